//! [`Postgres`], the open connector: the parts of the trait that are not reading, loading or executing.

use crate::catalog::{self, Types, cell, flag};
use crate::config::{Config, DEF};
use crate::pool::Pool;
use crate::sql;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Instant;
use xdb_core::{
    Connector, ConnectorDef, ContextId, Error, ErrorKind, Execute, Extract, Load, Relation, RelationInfo,
    RelationPattern, Result, ResultExt, ServerInfo, TableInfo,
};

#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) pool: Arc<Pool>,
    pub(crate) types: Types,
}

impl Postgres {
    pub(crate) fn new(config: Config) -> Self {
        Self { pool: Pool::new(config), types: Types::default() }
    }
    pub(crate) fn config(&self) -> &Config {
        &self.pool.config
    }
    /// A relation of another database cannot be reached over this connection.
    pub(crate) fn own(&self, rel: &Relation) -> Result<Relation> {
        let rel = self.resolve(rel);
        match &rel.database {
            None => Ok(rel),
            Some(d) => Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "`{}` is connected to database `{}`; {rel} is in another",
                    self.config().name,
                    self.config().database
                ),
            )
            .connection(&self.config().name)
            .hint(format!("PostgreSQL connections reach one database: add a connection with `database: {d}`"))),
        }
    }
}

#[async_trait]
impl Connector for Postgres {
    fn def(&self) -> &'static ConnectorDef {
        &DEF
    }

    fn context_id(&self) -> ContextId {
        let c = self.config();
        ContextId(format!(
            "postgres://{}@{}/{}?role={}",
            c.user,
            c.server(),
            c.database,
            c.role.as_deref().unwrap_or("")
        ))
    }

    fn resolve(&self, rel: &Relation) -> Relation {
        Relation {
            database: rel.database.clone().filter(|d| *d != self.config().database),
            schema: Some(rel.schema.clone().unwrap_or_else(|| self.config().schema.clone())),
            name: rel.name.clone(),
        }
    }

    fn relation_sql(&self, rel: &Relation) -> String {
        sql::relation(&self.resolve(rel))
    }

    fn budget(&self) -> usize {
        self.config().pool_size
    }

    async fn check(&self) -> Result<ServerInfo> {
        let mut conn = self.pool.get().await?;
        let rows = conn
            .rows(
                "SELECT current_setting('server_version'), current_user, current_database(), \
                 pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on', version(), \
                 NOT (has_database_privilege(current_database(), 'CREATE') OR EXISTS (SELECT FROM pg_catalog.pg_namespace n \
                 WHERE n.nspname !~ '^pg_' AND has_schema_privilege(n.oid, 'CREATE')))",
            )
            .await?;
        let row = rows.first().ok_or_else(|| Error::new(ErrorKind::Protocol, "the server answered nothing"))?;
        // Not every server that speaks the protocol has it.
        let tls = conn.value("SELECT version FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl").await;
        let start = Instant::now();
        conn.run("SELECT 1").await?;
        let latency = start.elapsed();
        let text = |i| Some(cell(row, i).to_string()).filter(|t| !t.is_empty());
        let info = ServerInfo {
            product: cell(row, 4).split(' ').next().unwrap_or("PostgreSQL").to_string(),
            // "15.18 (Debian 15.18-0+deb12u1)"
            version: cell(row, 0).split(' ').next().unwrap_or("").to_string(),
            tls: tls.ok().flatten(),
            user: text(1),
            database: text(2),
            latency,
            read_only: Some(flag(row, 3) || flag(row, 5)),
        };
        conn.release();
        Ok(info)
    }

    async fn list(&self, pattern: &RelationPattern) -> Result<Vec<RelationInfo>> {
        let mut conn = self.pool.get().await?;
        let out = catalog::list(&mut conn, pattern).await?;
        conn.release();
        Ok(out)
    }

    async fn describe(&self, rel: &Relation) -> Result<TableInfo> {
        let rel = self.own(rel)?;
        let mut conn = self.pool.get().await?;
        let out = catalog::describe(&mut conn, &self.types, &rel).await.on_relation(sql::relation(&rel));
        // A relation that isn't there leaves the connection as good as it was.
        if out.as_ref().err().is_none_or(|e| e.kind() == ErrorKind::NotFound) {
            conn.release();
        }
        out
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
