//! DuckDB as a source and a target.
//!
//! DuckDB speaks Arrow: reads stream its result chunks, loads go through its appender. What this crate adds is care:
//! types that Arrow's export would change are carried as text ([`types`]), values that Arrow has no name for (infinite
//! dates) are refused ([`check`]), and one process opens one file once ([`database`]).

mod catalog;
mod check;
mod config;
mod connector;
mod convert;
mod database;
mod dialect;
mod error;
mod execute;
mod extract;
mod pushdown;
mod query;
mod stream;
mod types;
mod watch;
mod write;

pub use config::DEF;
