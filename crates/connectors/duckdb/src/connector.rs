//! The open connector: identity, check, and the doors to reading, loading and native SQL.

use crate::catalog;
use crate::config::{DEF, Settings};
use crate::database::{self, Database, Held};
use crate::dialect::DUCKDB;
use crate::error::plain;
use crate::watch::with;
use async_trait::async_trait;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use xdb_core::{
    Connector, ConnectorConfig, ConnectorDef, ContextId, Execute, Extract, Load, Relation, RelationInfo,
    RelationPattern, Result, ServerInfo, TableInfo, file_to_be_made,
};

/// Cheap to clone; clones are the same connector.
#[derive(Clone)]
pub(crate) struct Duck(Arc<Inner>);

struct Inner {
    settings: Settings,
    /// Opened at first use, then held: opening a file replays its log.
    database: Mutex<Option<Arc<Database>>>,
}

impl std::fmt::Debug for Duck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DuckDB({} at {})", self.0.settings.connection, self.0.settings.address())
    }
}

impl Duck {
    pub(crate) fn new(settings: Settings) -> Self {
        Self(Arc::new(Inner { settings, database: Mutex::new(None) }))
    }
    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }
    /// A new connection, for reading or for SQL that the caller has checked against `read_only`. Blocks.
    pub(crate) fn connect(&self) -> Result<Held> {
        self.held(false)
    }
    /// A new connection for a load, which may make the file. Blocks.
    pub(crate) fn connect_to_load(&self) -> Result<Held> {
        if self.0.settings.read_only {
            return Err(database::read_only_error(&self.0.settings));
        }
        self.held(true)
    }
    fn held(&self, create: bool) -> Result<Held> {
        let database = {
            let mut d = self.0.database.lock().unwrap_or_else(|e| e.into_inner());
            match &*d {
                Some(d) => d.clone(),
                None => d.insert(database::open(&self.0.settings, create)?).clone(),
            }
        };
        let held = database.connect()?;
        if self.0.settings.read_only && !database.read_only {
            // Another connection of this process has the file open for writing; this one still must not.
            held.conn.execute_batch("BEGIN TRANSACTION READ ONLY").map_err(plain)?;
        }
        Ok(held)
    }
}

#[async_trait]
impl Connector for Duck {
    fn def(&self) -> &'static ConnectorDef {
        &DEF
    }
    fn context_id(&self) -> ContextId {
        let s = self.settings();
        let place = match &s.path {
            Some(p) => database::identity(p).display().to_string(),
            None => format!(":memory:{:p}", Arc::as_ptr(&self.0)),
        };
        ContextId(format!("duckdb:{}:{place}", if s.read_only { "ro" } else { "rw" }))
    }
    fn resolve(&self, rel: &Relation) -> Relation {
        let mut rel = rel.clone();
        rel.schema.get_or_insert_with(|| self.settings().schema.clone());
        rel
    }
    fn relation_sql(&self, rel: &Relation) -> String {
        DUCKDB.relation(&self.resolve(rel))
    }
    fn budget(&self) -> usize {
        self.settings().pool_size
    }
    async fn check(&self) -> Result<ServerInfo> {
        let (read_only, database) = (self.settings().read_only, self.settings().address());
        with(self, move |conn| {
            let start = Instant::now();
            let version = conn.version().map_err(plain)?;
            Ok(ServerInfo {
                product: "DuckDB".into(),
                version: version.trim_start_matches('v').into(),
                tls: None,
                user: None,
                database: Some(database),
                latency: start.elapsed(),
                read_only: Some(read_only),
            })
        })
        .await
    }
    async fn made_by_load(&self) -> Result<Option<String>> {
        let s = self.settings();
        match &s.path {
            Some(path) if !s.read_only && !path.exists() => {
                file_to_be_made(path).map_err(|e| e.connection(&s.connection))
            }
            _ => Ok(None),
        }
    }
    async fn list(&self, pattern: &RelationPattern) -> Result<Vec<RelationInfo>> {
        let pattern = pattern.clone();
        with(self, move |conn| catalog::list(conn, &pattern)).await
    }
    async fn describe(&self, rel: &Relation) -> Result<TableInfo> {
        let (duck, rel) = (self.clone(), self.resolve(rel));
        with(self, move |conn| catalog::describe(conn, &duck, &rel)).await
    }
    fn extract(&self) -> Option<&dyn Extract> {
        Some(self)
    }
    fn load(&self) -> Option<&dyn Load> {
        Some(self)
    }
    fn execute(&self) -> Option<&dyn Execute> {
        Some(self)
    }
}
