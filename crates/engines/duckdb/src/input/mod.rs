//! Arrow -> DuckDB: which type a column gets, and its values.

mod types;
mod write;

pub(crate) use types::{Plain, logical_type, plain};
pub(crate) use write::{Column, write};
