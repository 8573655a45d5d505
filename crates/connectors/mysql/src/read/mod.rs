//! Reading: which filters go to the server, how a table is cut into splits, and rows into Arrow.

pub(crate) mod decode;
pub(crate) mod estimate;
mod numbers;
pub(crate) mod plan;
pub(crate) mod pushdown;
pub(crate) mod query;
pub(crate) mod snapshot;
pub(crate) mod stream;
