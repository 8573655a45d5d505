//! Which subplans are sent, and that the answer is the same whatever is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fake;
mod operators;
mod random;
mod sql;
mod tpch;
