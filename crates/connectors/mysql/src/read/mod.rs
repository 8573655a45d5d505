//! Reading: which filters go to the server, how a table is cut into splits, and rows into Arrow.

pub(crate) mod decode;
mod numbers;
pub(crate) mod plan;
pub(crate) mod pushdown;
pub(crate) mod snapshot;
pub(crate) mod stream;
