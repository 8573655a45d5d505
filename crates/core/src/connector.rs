//! What a connector is: a definition (data), a configuration (checked, no I/O), and an open connector.

use crate::{
    ArrowStream, Capabilities, Error, Literal, LoadOptions, LoadReport, LoadSession, ParamSpec, Params, Predicate,
    Pushdown, Query, ReadContext, ReadEstimate, Relation, RelationInfo, RelationPattern, Result, ScanPlan, ScanRequest,
    SourceType, Split, TableInfo, TargetType,
};
use arrow::datatypes::{Field, SchemaRef};
use async_trait::async_trait;
use serde::Serialize;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// A connector as data plus its constructor. `pub static DEF: ConnectorDef` in each connector crate.
pub struct ConnectorDef {
    /// The `adapter:` value.
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    /// What people call the system, e.g. `PostgreSQL`.
    pub title: &'static str,
    /// Two or three sentences for the docs page.
    pub about: &'static str,
    pub params: &'static [ParamSpec],
    pub capabilities: Capabilities,
    pub source_types: &'static [SourceType],
    /// The column type an Arrow field gets in a table xdb creates; an error where the system can't hold the type.
    pub target_type: fn(&Field) -> Result<TargetType>,
    /// Pure: checks parameters against each other, opens nothing.
    pub validate: fn(&Params) -> Result<Box<dyn ConnectorConfig>>,
}
impl Debug for ConnectorDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConnectorDef({})", self.name)
    }
}

pub trait ConnectorConfig: Send + Sync + Debug {
    /// Makes the connector; the first use connects, not this.
    fn open(&self) -> Result<Arc<dyn Connector>>;
    /// `host:port/database` or a path, for people. No secret.
    fn address(&self) -> String;
}

/// Two connectors with equal ids reach the same server with the same rights: one query may name tables of both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContextId(pub String);

#[derive(Clone, Debug, Serialize)]
pub struct ServerInfo {
    /// e.g. `PostgreSQL`, `MariaDB`.
    pub product: String,
    pub version: String,
    /// Protocol version in use (e.g. `TLSv1.3`), or `None` for plain text.
    pub tls: Option<String>,
    pub user: Option<String>,
    pub database: Option<String>,
    /// One trivial statement there and back, on an open connection.
    pub latency: Duration,
    /// Can this user write? `None`: could not tell without trying.
    pub read_only: Option<bool>,
}

/// For [`Connector::made_by_load`] of a database in a file: that `path`'s folder is there and may be written, found out by
/// writing a file that is removed again. `None` where there is no folder.
pub fn file_to_be_made(path: &std::path::Path) -> Result<Option<String>> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    if !folder.is_dir() {
        return Ok(None);
    }
    let probe = folder.join(format!("._xdb_probe_{}", std::process::id()));
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(&probe);
    match made.and_then(|_| std::fs::remove_file(&probe)) {
        Ok(()) => Ok(Some("no file yet; a run creates it".into())),
        Err(e) => Err(Error::from(e)
            .with_message(|m| format!("there is no file {}, and none can be made: {m}", path.display()))
            .hint("this user must be able to write the folder")),
    }
}

/// An open connector: cheap to share; every method may be called from several tasks at once. Errors carry the
/// connection's name, the relation and the SQL where there is one.
#[async_trait]
pub trait Connector: Debug + Send + Sync {
    fn def(&self) -> &'static ConnectorDef;
    fn context_id(&self) -> ContextId;
    /// Fill in what `rel` leaves out (default schema or database). Pure.
    fn resolve(&self, rel: &Relation) -> Relation;
    /// `rel` quoted for SQL sent to this server. Pure.
    fn relation_sql(&self, rel: &Relation) -> String;
    /// The most connections this connection may use at once (`pool_size`).
    fn budget(&self) -> usize;
    async fn check(&self) -> Result<ServerInfo>;
    /// Asked where `check` found no file: what to say if a load would make it (`no file yet; a run creates it`), `None`
    /// if that is a failure. Errors: a load would fail too, because the folder may not be written.
    async fn made_by_load(&self) -> Result<Option<String>> {
        Ok(None)
    }
    /// Sorted by schema, then name. System schemas are left out, and so are xdb's own staging tables.
    async fn list(&self, pattern: &RelationPattern) -> Result<Vec<RelationInfo>>;
    /// `ErrorKind::NotFound`, with the nearest name as a hint, where there is no such relation.
    async fn describe(&self, rel: &Relation) -> Result<TableInfo>;
    fn extract(&self) -> Option<&dyn Extract> {
        None
    }
    fn load(&self) -> Option<&dyn Load> {
        None
    }
    fn execute(&self) -> Option<&dyn Execute> {
        None
    }
}

#[async_trait]
pub trait Extract: Send + Sync {
    /// One answer for each predicate. Pure.
    fn pushdown(&self, table: &TableInfo, predicates: &[Predicate]) -> Vec<Pushdown>;
    async fn plan(&self, request: &ScanRequest) -> Result<ScanPlan>;
    /// About how many splits `plan` would make, from what `describe` said: lets a planner leave `plan`, which may open
    /// things on the server, until the read starts. `None`: ask `plan`. Pure.
    fn expected_splits(&self, request: &ScanRequest) -> Option<usize> {
        let _ = request;
        None
    }
    /// Bounded batches, back-pressure, cancellation on drop. The stream's schema is the plan's.
    async fn read(&self, split: &Split, ctx: &ReadContext) -> Result<ArrowStream>;
    /// Whether `query` can be sent and returns there, for every possible content of its relations, the rows it means;
    /// else why not, in few words for `explain`. Pure. Asked about each query before `plan_query`.
    fn accepts(&self, query: &Query) -> Result<(), String> {
        let _ = query;
        Err("this connector reads relations, not queries".into())
    }
    /// The read of a whole query that was accepted. The stream's schema is `query.schema()`.
    async fn plan_query(&self, query: &Query) -> Result<ScanPlan> {
        let _ = query;
        Err(Error::unsupported("this connector reads relations, not queries"))
    }
    /// The server's own estimate of a planned read (`EXPLAIN`), without running it; `None` where it has none.
    async fn estimate(&self, plan: &ScanPlan) -> Result<Option<ReadEstimate>> {
        let _ = plan;
        Ok(None)
    }
}

#[async_trait]
pub trait Load: Send + Sync {
    /// Creates the staging table (and, for `Replace`, nothing else). The target's schema (namespace) is created if it
    /// isn't there. Fails early where the target can't be written.
    async fn begin(&self, target: &Relation, schema: SchemaRef, options: &LoadOptions) -> Result<Box<dyn LoadSession>>;
}

/// Native SQL.
#[async_trait]
pub trait Execute: Send + Sync {
    /// Rows of one statement. `params` are bound, never spliced, as `$1`/`?` in the server's own placeholder style;
    /// a statement without rows gives an empty stream.
    async fn query(&self, sql: &str, params: &[Literal], ctx: &ReadContext) -> Result<ArrowStream>;
    /// [`Execute::query`] of `sql` after the statements `before`, whose rows nobody wants, in the same session.
    async fn query_after(
        &self,
        before: &[String],
        sql: &str,
        params: &[Literal],
        ctx: &ReadContext,
    ) -> Result<ArrowStream> {
        if before.is_empty() {
            return self.query(sql, params, ctx).await;
        }
        Err(Error::unsupported("only one statement can be sent at a time").hint("send them one by one"))
    }
    /// Run one or more statements; the number of rows affected by the last, where the server says.
    async fn run(&self, sql: &str) -> Result<Option<u64>>;
    /// `target` becomes (or grows by) the rows of `select`, run inside the database, with the same atomicity as a load.
    async fn create_table_as(&self, target: &Relation, select: &str, options: &LoadOptions) -> Result<LoadReport>;
    /// `target` becomes a view of `select`, replacing a view or table of that name in one step.
    async fn create_view_as(&self, target: &Relation, select: &str) -> Result<()> {
        let _ = select;
        Err(Error::unsupported(format!("{} cannot create the view {target}", target.name)))
    }
    /// Drop the table or view if it is there.
    async fn drop_relation(&self, target: &Relation) -> Result<()>;
    /// Placeholder of the `n`th parameter, from 1: `$1`, `?`.
    fn placeholder(&self, n: usize) -> String;
}
