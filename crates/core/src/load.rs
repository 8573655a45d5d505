//! A write: staged, then made visible in one step.

use crate::{Error, IoStats, Result, TypePolicy};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How the rows meet what is in the target already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteMode {
    /// The target becomes exactly these rows. Readers see the old table or the new one, never neither.
    Replace,
    /// Added in one transaction. The target must exist.
    Append,
    /// Rows whose key is there already replace those; the others are added; one transaction. The target must exist.
    /// Two incoming rows with one key are an error. NULL keys match nothing.
    Merge { unique_key: Vec<String> },
}

#[derive(Clone, Debug)]
pub struct LoadOptions {
    pub mode: WriteMode,
    pub types: TypePolicy,
    /// At most this many connections for the staging load, at least 1.
    pub parallelism: usize,
    pub stats: Arc<IoStats>,
    /// Connector-specific settings of the model's config (`format`, `indexes`, `engine` …), as JSON values.
    pub extra: serde_json::Map<String, serde_json::Value>,
}
impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            mode: WriteMode::Replace,
            types: TypePolicy::Exact,
            parallelism: 1,
            stats: Arc::default(),
            extra: Default::default(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Rows that came in (inserted plus replaced).
    pub rows: u64,
    /// What else happened that a person should know, e.g. a dependent view that was recreated.
    pub notes: Vec<String>,
}

/// Rows go to a staging table; the target changes only in `commit`. Dropping a session without either must leave the
/// target as it was, and must try to remove the staging table; a crash may leave one, named by
/// [`crate::names::staging_name`], which nothing removes yet.
#[async_trait]
pub trait LoadSession: Send {
    /// Columns are matched by position; the schema is the one given to `begin`.
    async fn write(&mut self, batch: RecordBatch) -> Result<()>;
    async fn commit(self: Box<Self>) -> Result<LoadReport>;
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// For `begin` of a connector that cannot do `mode`.
pub fn unsupported_mode(connector: &str, mode: &WriteMode) -> Error {
    let what = match mode {
        WriteMode::Replace => "replace",
        WriteMode::Append => "append",
        WriteMode::Merge { .. } => "merge",
    };
    Error::unsupported(format!("{connector} targets do not support {what}"))
}
