//! Writing: Arrow batches as text rows, the staging table they go to, and how that becomes the target.

pub(crate) mod encode;
pub(crate) mod normalize;
pub(crate) mod session;
pub(crate) mod swap;
pub(crate) mod target;
pub(crate) mod worker;
