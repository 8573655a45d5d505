//! The open connector: identity, check, and the doors to reading, loading and native SQL.

use crate::catalog;
use crate::config::{DEF, Settings};
use crate::connection::{Purpose, open, with};
use crate::dialect::relation_sql;
use crate::error::plain;
use async_trait::async_trait;
use rusqlite::Connection;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use xdb_core::{
    Connector, ConnectorDef, ContextId, Execute, Extract, Load, Relation, RelationInfo, RelationPattern, Result,
    ServerInfo, TableInfo, file_to_be_made,
};

pub(crate) struct Sqlite {
    settings: Arc<Settings>,
    /// Keeps a `:memory:` database alive between uses; `None` for a file.
    anchor: Mutex<Option<Connection>>,
}
impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sqlite({} at {})", self.settings.connection, self.settings.address)
    }
}

impl Sqlite {
    pub(crate) fn new(settings: Settings) -> Self {
        // Failing here would fail again, with its reason, at the first use.
        let anchor = match settings.address.file() {
            None => open(&Settings { read_only: false, ..settings.clone() }, Purpose::Write).ok(),
            Some(_) => None,
        };
        Self { settings: Arc::new(settings), anchor: Mutex::new(anchor) }
    }
    pub(crate) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }
}

#[async_trait]
impl Connector for Sqlite {
    fn def(&self) -> &'static ConnectorDef {
        &DEF
    }
    fn context_id(&self) -> ContextId {
        let rights = if self.settings.read_only { "ro" } else { "rw" };
        ContextId(format!("sqlite:{rights}:{}", self.settings.address.identity()))
    }
    fn resolve(&self, rel: &Relation) -> Relation {
        catalog::resolve(rel)
    }
    fn relation_sql(&self, rel: &Relation) -> String {
        relation_sql(rel)
    }
    fn budget(&self) -> usize {
        self.settings.pool_size
    }
    async fn check(&self) -> Result<ServerInfo> {
        let read_only = self.settings.read_only;
        let database = self.settings.address.to_string();
        with(&self.settings, Purpose::Read, move |conn| {
            let start = Instant::now();
            // Counts what is in the file, so that a damaged or foreign file is found here.
            conn.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(())).map_err(plain)?;
            let latency = start.elapsed();
            Ok(ServerInfo {
                product: "SQLite".into(),
                version: rusqlite::version().into(),
                tls: None,
                user: None,
                database: Some(database),
                latency,
                read_only: Some(read_only || conn.is_readonly("main").map_err(plain)?),
            })
        })
        .await
    }
    async fn made_by_load(&self) -> Result<Option<String>> {
        let s = &self.settings;
        match s.address.file() {
            Some(path) if s.create && !s.read_only && !path.exists() => {
                file_to_be_made(path).map_err(|e| e.connection(&s.connection))
            }
            _ => Ok(None),
        }
    }
    async fn list(&self, pattern: &RelationPattern) -> Result<Vec<RelationInfo>> {
        let pattern = pattern.clone();
        with(&self.settings, Purpose::Read, move |conn| catalog::list(conn, &pattern)).await
    }
    async fn describe(&self, rel: &Relation) -> Result<TableInfo> {
        let (rel, s) = (rel.clone(), self.settings.clone());
        with(&self.settings, Purpose::Read, move |conn| catalog::describe(conn, &s, &rel)).await
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

impl Drop for Sqlite {
    fn drop(&mut self) {
        // Explicit: the database ends here.
        self.anchor.lock().unwrap_or_else(|e| e.into_inner()).take();
    }
}
