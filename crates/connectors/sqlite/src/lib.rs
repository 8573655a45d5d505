//! SQLite as a source and a target.
//!
//! What is particular here: values are typed, columns only lean towards a type. [`types`] says which Arrow type a
//! declared type gets, [`decode`] refuses values that don't fit it, and [`encode`] writes values so that they read back
//! the same. Reads step SQLite's own C API row by row straight into Arrow builders on a thread of their own; loads go to
//! a private side file and reach the target in one transaction ([`write`]).

mod address;
mod catalog;
mod commit;
mod config;
mod connection;
mod connector;
mod decode;
mod dialect;
mod encode;
mod error;
mod execute;
mod extract;
mod interval;
mod pushdown;
mod query;
mod stage;
mod stream;
mod temporal;
mod types;
mod write;

pub use config::DEF;
