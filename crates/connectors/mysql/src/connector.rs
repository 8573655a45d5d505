//! The open connector: what `Connector` and `Extract` ask, answered by the other modules.

use crate::catalog;
use crate::config::Config;
use crate::dialect::MYSQL;
use crate::pool::{Pool, blocking};
use crate::read::plan::{self, FromSnapshot, Payload, Select};
use crate::read::query::Queries;
use crate::read::snapshot::Snapshots;
use crate::read::stream::{self, FromPool, Query};
use crate::read::{estimate, pushdown};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use xdb_core::{
    ArrowStream, Connector, ConnectorDef, ContextId, Error, Execute, Extract, Load, Predicate, Pushdown, ReadContext,
    ReadEstimate, Relation, RelationInfo, RelationPattern, Result, ScanGuard, ScanPlan, ScanRequest, ServerInfo, Split,
    TableInfo, TypePolicy,
};
use xdb_sql::query::render;

/// How long the server may think about a plan that isn't run.
const ESTIMATE_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct MySql {
    pub(crate) pool: Arc<Pool>,
    snapshots: Snapshots,
}
impl MySql {
    pub(crate) fn new(config: Config) -> Self {
        Self { pool: Pool::new(config), snapshots: Snapshots::default() }
    }
    pub(crate) fn config(&self) -> &Config {
        &self.pool.config
    }
}

#[async_trait]
impl Connector for MySql {
    fn def(&self) -> &'static ConnectorDef {
        &crate::DEF
    }
    fn context_id(&self) -> ContextId {
        let c = &self.config().connect;
        ContextId(format!("mysql://{}@{}", c.user, c.address))
    }
    fn resolve(&self, rel: &Relation) -> Relation {
        // What dbt calls a database is the same thing here as a schema.
        let schema = rel.schema.as_ref().or(rel.database.as_ref()).or(self.config().connect.database.as_ref());
        Relation { database: None, schema: schema.cloned(), name: rel.name.clone() }
    }
    fn relation_sql(&self, rel: &Relation) -> String {
        MYSQL.relation(&self.resolve(rel))
    }
    fn budget(&self) -> usize {
        self.config().pool_size
    }
    async fn check(&self) -> Result<ServerInfo> {
        self.pool.with(true, catalog::check).await
    }
    async fn list(&self, pattern: &RelationPattern) -> Result<Vec<RelationInfo>> {
        let pattern = pattern.clone();
        self.pool.with(true, move |s| catalog::list(s, &pattern)).await
    }
    async fn describe(&self, rel: &Relation) -> Result<TableInfo> {
        let rel = self.resolve(rel);
        let bools = self.config().tinyint1_is_bool;
        self.pool.with(true, move |s| catalog::describe(s, &rel, bools)).await
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

#[async_trait]
impl Extract for MySql {
    fn pushdown(&self, table: &TableInfo, predicates: &[Predicate]) -> Vec<Pushdown> {
        pushdown::pushdown(table, predicates)
    }

    fn expected_splits(&self, request: &ScanRequest) -> Option<usize> {
        Some(plan::wanted(request))
    }

    async fn plan(&self, request: &ScanRequest) -> Result<ScanPlan> {
        let schema = request.schema();
        let select = Select::new(request)?;
        let relation = &request.table.relation;
        let split = |snapshot, range: Option<&str>, rows: Option<u64>| -> Result<Split> {
            let payload = Payload::new(&schema, request.types, relation.to_string(), snapshot);
            let payload = serde_json::to_value(payload).map_err(|e| Error::internal(e.to_string()))?;
            Ok(Split { payload, sql: select.sql(range), row_estimate: rows })
        };
        let rows = request.table.row_estimate;
        let wanted = plan::wanted(request);
        if wanted > 1 {
            let (pool, r) = (self.pool.clone(), request.clone());
            let cut = blocking(move || plan::cut(&pool, &r, wanted))
                .await
                .map_err(|e| self.pool.context(e).relation(relation.to_string()))?;
            if let Some((sessions, ranges)) = cut {
                let n = ranges.len();
                let (id, snapshot) = self.snapshots.add(sessions);
                let splits = ranges
                    .iter()
                    .enumerate()
                    .map(|(i, range)| split(Some((id, i)), Some(range), rows.map(|r| r / n as u64)))
                    .collect::<Result<Vec<_>>>()?;
                return Ok(ScanPlan { schema, splits, guard: Some(snapshot as ScanGuard) });
            }
        }
        Ok(ScanPlan { splits: vec![split(None, None, rows)?], schema, guard: None })
    }

    fn accepts(&self, query: &xdb_core::Query) -> Result<(), String> {
        render(query, &Queries).map(|_| ())
    }

    async fn plan_query(&self, query: &xdb_core::Query) -> Result<ScanPlan> {
        let rendered = render(query, &Queries)
            .map_err(|why| self.pool.context(Error::unsupported(format!("a query cannot be sent: {why}"))))?;
        let schema = query.schema();
        let relations: Vec<String> = query.tables().iter().map(|t| t.relation.to_string()).collect();
        let payload = Payload::new(&schema, TypePolicy::Exact, relations.join(", "), None);
        let payload = serde_json::to_value(payload).map_err(|e| Error::internal(e.to_string()))?;
        let split = Split { payload, sql: rendered.sql, row_estimate: None };
        Ok(ScanPlan { schema, splits: vec![split], guard: None })
    }

    async fn estimate(&self, plan: &ScanPlan) -> Result<Option<ReadEstimate>> {
        let Some(first) = plan.splits.first() else { return Ok(None) };
        let sql = format!("EXPLAIN FORMAT=JSON {}", first.sql);
        let work = self.pool.with(true, move |s| s.texts(&sql).map_err(|e| e.sql(&sql)));
        // Late is as good as not known.
        let Ok(rows) = tokio::time::timeout(ESTIMATE_PATIENCE, work).await else { return Ok(None) };
        let text = rows?.into_iter().flatten().flatten().next();
        let n = plan.splits.len() as f64;
        // Ranges of keys are about equal.
        Ok(text.and_then(|t| estimate::parse(&t)).map(|e| ReadEstimate {
            rows: e.rows * n,
            cost: e.cost.map(|c| c * n),
            ..e
        }))
    }

    async fn read(&self, split: &Split, ctx: &ReadContext) -> Result<ArrowStream> {
        let payload: Payload = serde_json::from_value(split.payload.clone())
            .map_err(|e| Error::internal(format!("this split is not one of MySQL's: {e}")))?;
        let query = Query {
            before: vec![],
            sql: split.sql.clone(),
            params: vec![],
            schema: Some(payload.schema()?),
            policy: payload.types,
            relation: Some(payload.relation.clone()),
        };
        match payload.snapshot {
            Some((id, index)) => {
                let snapshot = self.snapshots.get(id)?;
                stream::open(&self.pool, FromSnapshot { snapshot, index }, query, ctx).await
            }
            None => stream::open(&self.pool, FromPool { keep: true }, query, ctx).await,
        }
    }
}
