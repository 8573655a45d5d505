//! SQL text for sources and targets: quoting, literals, predicates, DDL.
//!
//! A dialect is data plus a few function pointers; a connector crate has its own as a `static`. What a predicate means
//! on a server (and so whether it may be sent) is the connector's `Extract::pushdown`, not here.

mod ddl;
mod dialect;
pub mod query;

pub use ddl::{ColumnDef, column_defs, create_table};
pub use dialect::{ANSI, Dialect, date_text, decimal_text, quote_text_ansi, time_text, timestamp_text};
