//! What an engine is: something that runs one model's SQL over its inputs.

use crate::{ArrowStream, Connector, Error, IoStats, Literal, Relation, Result, TableInfo, TypePolicy};
use async_trait::async_trait;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// How relations are written in the SQL an engine gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `"connection"."schema"."name"`: the engine sees many connections.
    Federated,
    /// As the one database that runs it writes them.
    Native,
}

pub struct EngineDef {
    /// The `compute:` value.
    pub name: &'static str,
    /// One sentence for docs: what it is and whose SQL dialect it speaks.
    pub about: &'static str,
    pub naming: Naming,
    pub new: fn() -> Arc<dyn Engine>,
}
impl std::fmt::Debug for EngineDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EngineDef({})", self.name)
    }
}

#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Bytes; `None` lets the engine choose.
    pub memory_limit: Option<u64>,
    pub threads: usize,
    /// An existing folder of this run's own, for spilling; the runner removes it.
    pub temp_dir: PathBuf,
    pub types: TypePolicy,
    /// The connection that runs the SQL, for engines with native naming.
    pub home: Option<(String, Arc<dyn Connector>)>,
    /// Keys under `compute.<engine>` that xdb itself doesn't know, e.g. `scheduler`.
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// How much work is sent to the sources. The answer is the same in each mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PushdownMode {
    /// Whole columns and rows are read: for tests and for distrust.
    Off,
    /// What keeps the answer and is expected to be faster there, by the sources' own estimates.
    #[default]
    Safe,
    /// Everything that keeps the answer, whatever the estimates say.
    Aggressive,
}
impl PushdownMode {
    pub fn is_on(self) -> bool {
        self != Self::Off
    }
}

/// One relation that the SQL reads, described but not yet read.
#[derive(Clone, Debug)]
pub struct TableInput {
    pub connection: String,
    pub connector: Arc<dyn Connector>,
    pub table: Arc<TableInfo>,
    pub stats: Arc<IoStats>,
    /// Spare connections, for splits beyond the first of each scan: taken with `try_acquire`, never waited for.
    pub spare: Arc<Semaphore>,
    /// Most splits of one scan.
    pub parallelism: usize,
    pub types: TypePolicy,
    pub pushdown: PushdownMode,
}
impl TableInput {
    /// The three parts of its federated name.
    pub fn federated_name(&self) -> [String; 3] {
        federated_name(&self.connection, &self.table.relation)
    }
}

/// `connection`, `schema`, `name`. A system without schemas has `main`; one with databases above schemas, when the
/// database isn't the connection's own, `database.schema`.
pub fn federated_name(connection: &str, resolved: &Relation) -> [String; 3] {
    let schema = match (&resolved.database, &resolved.schema) {
        (Some(d), Some(s)) => format!("{d}.{s}"),
        (None, Some(s)) | (Some(s), None) => s.clone(),
        (None, None) => "main".into(),
    };
    [connection.into(), schema, resolved.name.clone()]
}

/// [`federated_name`] as SQL, every part quoted with `"`.
pub fn federated_sql(connection: &str, resolved: &Relation) -> String {
    federated_name(connection, resolved).map(|p| format!("\"{}\"", p.replace('"', "\"\""))).join(".")
}

#[derive(Clone, Debug)]
pub enum EngineInput {
    /// Read when and as the engine needs it, as often as the query names it.
    Table(TableInput),
}

/// What one source is asked for, as far as it is known before running; after [`EngineSession::analyze`], what it was
/// asked and what came.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceRead {
    pub connection: String,
    pub relation: String,
    /// One statement a split.
    pub sql: Vec<String>,
    /// Filters that stay local, with the reason.
    pub not_pushed: Vec<(String, String)>,
    pub row_estimate: Option<u64>,
    /// Filters whose constants become known only while the query runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dynamic: Vec<RuntimeFilter>,
    /// Only after running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<ReadActual>,
}

/// A filter made of another part of the query: the keys of a join's other side, a scalar subquery's value.
#[derive(Clone, Debug, Serialize)]
pub struct RuntimeFilter {
    /// The column it filters.
    pub column: String,
    /// What it is made of, for people.
    pub from: String,
    /// What was sent (`12 values`, `1 to 99`), or why nothing was; `None` before running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Whether the source was sent it.
    pub sent: bool,
}

/// What one read did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ReadActual {
    pub rows: u64,
    /// As they came over the wire (or from the file); 0 where the connector doesn't count them.
    pub bytes: u64,
    /// From the first split's start to the last one's end, also while nobody asked for rows.
    pub elapsed_ms: u64,
    /// Of these, spent on waiting for runtime filters.
    pub waited_ms: u64,
    /// Statements sent.
    pub splits: usize,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Explanation {
    /// The engine's own plan, as text.
    pub plan: String,
    pub sources: Vec<SourceRead>,
    /// Pieces of the query that one connection could answer whole, and what was made of each.
    pub choices: Vec<PushdownChoice>,
    /// Operators above remote rows that run locally: the operator, and the rule that forbade to send it.
    pub not_pushed: Vec<(String, String)>,
    /// Only after running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<QueryActual>,
}

/// What a whole query did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryActual {
    /// Rows of the answer.
    pub rows: u64,
    pub elapsed_ms: u64,
}

/// Whether a piece of the query is sent to its connection as one statement.
#[derive(Clone, Debug, Serialize)]
pub struct PushdownChoice {
    pub connection: String,
    pub relations: Vec<String>,
    pub pushed: bool,
    /// With the estimates it rests on, for people.
    pub why: String,
}

#[async_trait]
pub trait Engine: Send + Sync {
    fn def(&self) -> &'static EngineDef;
    async fn session(&self, options: &EngineOptions) -> Result<Box<dyn EngineSession>>;
}

/// One query's life. Dropping it (or the stream it returned) cancels the work and frees its memory and temp files.
#[async_trait]
pub trait EngineSession: Send {
    /// Make `input` known under its federated name.
    async fn attach(&mut self, input: EngineInput) -> Result<()>;
    /// Values of the `$name` placeholders of the next query: bound, never spliced.
    fn bind(&mut self, params: Vec<(String, Literal)>) -> Result<()> {
        if params.is_empty() { Ok(()) } else { Err(Error::unsupported("this engine does not take parameters")) }
    }
    /// Start the query; rows come as the stream is polled. Errors about the SQL name the engine.
    async fn execute(&mut self, sql: &str) -> Result<ArrowStream>;
    async fn explain(&mut self, sql: &str) -> Result<Explanation>;
    /// Run the query, throw its rows away, and say what was done.
    async fn analyze(&mut self, sql: &str) -> Result<Explanation> {
        let _ = sql;
        Err(Error::unsupported("this engine cannot tell what a query did")
            .hint("`xdb explain` without --analyze works"))
    }
}
