//! What tests share: the servers that `make test` started, an in-memory connector, the connector conformance suite, and
//! the harness for snapshots of the command line. Used by tests only, so helpers fail by panicking.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)] // A helper of tests fails the test.

pub mod cli;
pub mod conformance;
pub mod memory;
pub mod queries;
pub mod services;
pub mod slt;
