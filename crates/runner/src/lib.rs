//! Runs a graph of models: what is read, which engine, which target, in which order; retry, artifacts, events.
//!
//! Gets a `&Registry` and never sees a driver crate. Prints nothing: it tells an [`EventSink`].

mod adhoc;
mod compile;
mod connections;
mod events;
mod inputs;
mod node;
mod results;
mod run;
mod schedule;
mod setup;
mod sqlnames;
mod transfer;
mod workspace;

pub use adhoc::{AdHoc, Query, QueryOptions, What};
pub use compile::Compiled;
pub use connections::{Connection, Connections};
pub use events::{Event, EventSink, NodeStart, Progress, silent};
pub use inputs::{InputRef, ReadOptions};
pub use results::{NodeResult, PreviousRun, Read, RunResults, Status, write_text};
pub use setup::{Scratch, Setup};
pub use transfer::transfer;
pub use workspace::{Model, Options, Workspace};
