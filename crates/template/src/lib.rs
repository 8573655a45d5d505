//! Jinja as dbt writes it: renders models, macros and hooks, and records every `ref()`, `source()` and `config()` met.
//!
//! Two phases. [`Templates::parse`] renders with `execute` false and placeholders, to learn what a model reads and how
//! it is configured; [`Templates::render`] renders again with the relations, and the answers of the database, that a
//! [`RenderContext`] gives. Nothing here opens a connection or reads a file.

mod builtins;
mod context;
mod convert;
mod engine;
mod errors;
mod filters;
mod objects;
mod record;
mod run;
mod source;

pub use context::{NodeInfo, QueryRows, RelationValue, RenderContext, Settings, TargetValues};
pub use engine::{DBT_VERSION, MacroFile, Template, Templates};
pub use record::{EnvCall, Recorded, RefCall, SourceCall};
