//! The connector against a real MariaDB (test service `mariadb`). Each test has a database of its own.
#![allow(clippy::unwrap_used, clippy::panic)] // Tests; clippy sees only the bodies of `#[test]` functions as such.

mod connect;
mod load;
mod native;
mod read;
mod support;
