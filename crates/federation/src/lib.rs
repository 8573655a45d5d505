//! From a query's plan to what each source must send.
//!
//! DataFusion plans the SQL; this crate answers its questions on behalf of remote tables: which columns, which filters
//! (as [`xdb_core::Predicate`], with the connector's own word on whether each is exact), how many splits. It knows no
//! connector by name and runs no query of its own.

mod analyze;
mod convert;
mod dynamic;
mod error;
mod exec;
mod links;
mod read;
mod subplan;
mod table;

pub use analyze::{TableNeeds, needs};
pub use convert::{literal, predicate};
pub use dynamic::{KeyFilter, configure, key_filter, physical_rules};
pub use error::{from_datafusion, to_datafusion};
pub use exec::RemoteScanExec;
pub use links::{KeyLink, links};
pub use read::RemoteRead;
pub use subplan::{Federated, Planned, SubplanPlanner, federate, physical_plan};
pub use table::{RemoteTable, register, selectivity};
