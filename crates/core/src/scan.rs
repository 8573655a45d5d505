//! A read: what is asked for, how it is cut into splits, and what a reader is told.

use crate::{IoStats, Predicate, TableInfo, TypePolicy};
use arrow::datatypes::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// One table's part of a query.
#[derive(Clone, Debug)]
pub struct ScanRequest {
    pub table: Arc<TableInfo>,
    /// Indices into `table.schema`, in the order wanted; `None` is all of them. May be empty (a `count(*)`): then the
    /// batches have no columns, but right row counts.
    pub projection: Option<Vec<usize>>,
    /// All of them hold (AND). Only ones that `pushdown` did not answer with `No`.
    pub predicates: Vec<Predicate>,
    /// No more rows than this are needed; set only where every predicate is `Exact`. It applies to the whole read, so a
    /// plan with several splits may return more.
    pub limit: Option<u64>,
    /// At most this many splits, at least 1.
    pub parallelism: usize,
    pub types: TypePolicy,
}
impl ScanRequest {
    pub fn all(table: Arc<TableInfo>) -> Self {
        Self { table, projection: None, predicates: vec![], limit: None, parallelism: 1, types: TypePolicy::Exact }
    }
    /// The schema of what the read returns.
    pub fn schema(&self) -> SchemaRef {
        match &self.projection {
            None => self.table.schema.clone(),
            Some(p) => Arc::new(Schema::new(p.iter().map(|i| self.table.schema.field(*i).clone()).collect::<Vec<_>>())),
        }
    }
    /// Names of the projected columns.
    pub fn column_names(&self) -> Vec<&str> {
        let fields = self.table.schema.fields();
        match &self.projection {
            None => fields.iter().map(|f| f.name().as_str()).collect(),
            Some(p) => p.iter().map(|i| fields[*i].name().as_str()).collect(),
        }
    }
}

/// A part of a read that one connection can do. Plain data: an executor on another machine can be sent it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Split {
    /// The connector's own description; only it reads this.
    pub payload: serde_json::Value,
    /// What will be sent, for `explain` and errors.
    pub sql: String,
    pub row_estimate: Option<u64>,
}

/// Keeps something open on the server (an exported snapshot) until the last split has been read.
pub type ScanGuard = Arc<dyn Any + Send + Sync>;

/// The splits of one read. Together they return each matching row once, all as of one moment where the source can.
#[derive(Clone)]
pub struct ScanPlan {
    pub schema: SchemaRef,
    pub splits: Vec<Split>,
    pub guard: Option<ScanGuard>,
}
impl fmt::Debug for ScanPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanPlan").field("schema", &self.schema).field("splits", &self.splits).finish_non_exhaustive()
    }
}

/// What a reader is told besides its split.
#[derive(Clone, Debug)]
pub struct ReadContext {
    pub stats: Arc<IoStats>,
    /// Close a batch at this many rows …
    pub batch_rows: usize,
    /// … or at about this many bytes of Arrow data, whichever is first.
    pub batch_bytes: usize,
}
impl Default for ReadContext {
    fn default() -> Self {
        Self { stats: Arc::default(), batch_rows: 16_384, batch_bytes: 8 << 20 }
    }
}
