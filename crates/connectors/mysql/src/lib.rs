//! The `mysql` connector: MySQL 8 and 9, and MariaDB, as sources and targets.
//!
//! - [`config`](crate::config): parameters. [`pool`](crate::pool): connections, sessions, cancelling.
//! - [`wire`](crate::wire): the protocol. [`errors`](crate::errors): what the server's errors mean.
//! - [`catalog`](crate::catalog): `check`, `list`, `describe`. [`types`](crate::types): both type tables.
//! - [`read`](crate::read): pushdown, splits, rows to Arrow. [`write`](crate::write): loads.
//! - [`execute`](crate::execute): native SQL.
//!
//! Why the protocol is spoken here and not by a driver: docs/decisions/0003-mysql-driver.md.
#![allow(rustdoc::private_intra_doc_links)]

mod calendar;
mod catalog;
mod config;
mod connector;
mod def;
mod dialect;
mod errors;
mod execute;
mod pool;
mod read;
mod types;
mod wire;
mod write;

pub use def::DEF;
