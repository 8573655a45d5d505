//! TPC-H over real databases, as a person runs it: `xdb run` of models whose tables are in two databases.
//!
//! [`by_hand`]: customers in one database, orders in another, the result written to a third, against an answer computed
//! in plain Rust from the CSV text. [`queries`]: the 22 queries of tests/tpch over several splits of the eight tables,
//! against the answers of one database that holds them all. [`data`] loads everything once; [`rows`] compares.

#![cfg(all(feature = "postgres", feature = "mysql", feature = "sqlite", feature = "duckdb", feature = "files"))]
#![cfg(all(feature = "engine-datafusion", feature = "engine-duckdb"))]
#![allow(clippy::expect_used, clippy::panic)] // Helpers of a test fail the test.

mod by_hand;
mod data;
mod queries;
mod rows;
