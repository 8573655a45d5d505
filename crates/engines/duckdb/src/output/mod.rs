//! DuckDB -> Arrow: which type a result column gets, and its values.

mod nested;
mod types;
mod values;

pub(crate) use types::{Columns, columns};
