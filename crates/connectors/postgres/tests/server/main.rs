//! Against a real PostgreSQL: the service `postgres` of `make test`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests; clippy sees only `#[test]` functions as such.

mod catalog;
mod common;
mod errors;
mod execute;
mod load;
mod read;
mod types;
