//! Native SQL: queries, statements, and tables and views made inside the database.

use crate::connector::MySql;
use crate::dialect::MYSQL;
use crate::errors::server_code;
use crate::pool::Session;
use crate::read::stream::{self, FromPool, Query};
use crate::write::session::busy_target;
use crate::write::{swap, target};
use async_trait::async_trait;
use xdb_core::{
    ArrowStream, Connector, Error, Execute, Literal, LoadOptions, LoadReport, ReadContext, Relation, RelationKind,
    Result, WriteMode,
};

#[async_trait]
impl Execute for MySql {
    async fn query(&self, sql: &str, params: &[Literal], ctx: &ReadContext) -> Result<ArrowStream> {
        self.query_after(&[], sql, params, ctx).await
    }

    async fn query_after(
        &self,
        before: &[String],
        sql: &str,
        params: &[Literal],
        ctx: &ReadContext,
    ) -> Result<ArrowStream> {
        let query = Query {
            before: before.to_vec(),
            sql: sql.to_string(),
            params: params.to_vec(),
            schema: None,
            policy: self.config().types,
            relation: None,
        };
        stream::open(&self.pool, FromPool { keep: false }, query, ctx).await
    }

    async fn run(&self, sql: &str) -> Result<Option<u64>> {
        let sql = sql.to_string();
        // What it did to the session is nobody else's business: the connection isn't kept.
        self.pool.with(false, move |s| s.execute_many(&sql).map(|d| Some(d.affected)).map_err(|e| e.sql(&sql))).await
    }

    async fn create_table_as(&self, target: &Relation, select: &str, options: &LoadOptions) -> Result<LoadReport> {
        let relation = self.resolve(target);
        let (select, options, shown) = (select.to_string(), options.clone(), relation.to_string());
        self.pool.with(false, move |s| table_as(s, &relation, &select, &options)).await.map_err(|e| e.relation(shown))
    }

    async fn create_view_as(&self, target: &Relation, select: &str) -> Result<()> {
        let relation = self.resolve(target);
        let (select, shown) = (select.to_string(), relation.to_string());
        self.pool.with(true, move |s| view_as(s, &relation, &select)).await.map_err(|e| e.relation(shown))
    }

    async fn drop_relation(&self, target: &Relation) -> Result<()> {
        let relation = self.resolve(target);
        let shown = relation.to_string();
        self.pool
            .with(true, move |s| {
                let kind = match crate::catalog::find(s, &relation)?.map(|f| f.1) {
                    Some(RelationKind::View) => "VIEW",
                    _ => "TABLE",
                };
                let sql = format!("DROP {kind} IF EXISTS {}", MYSQL.relation(&relation));
                s.execute(&sql).map(drop).map_err(|e| e.sql(&sql))
            })
            .await
            .map_err(|e| e.relation(shown))
    }

    fn placeholder(&self, _: usize) -> String {
        "?".into()
    }
}

fn table_as(s: &mut Session, relation: &Relation, select: &str, options: &LoadOptions) -> Result<LoadReport> {
    let mut notes = vec![];
    let (staging, rows) = target::Staging::create_as(s, relation, select, options)?;
    let out = swap::commit(s, &staging, &mut notes);
    if out.is_err() || options.mode != WriteMode::Replace {
        let drop = format!("DROP TABLE IF EXISTS {}", MYSQL.relation(&staging.relation));
        if let Err(e) = s.execute(&drop)
            && out.is_ok()
        {
            notes.push(format!("{} could not be removed: {}", staging.relation, e.message()));
        }
    }
    out.map_err(|e| busy_target(e, relation))?;
    Ok(LoadReport { rows, notes })
}

/// CREATE OR REPLACE VIEW is one step where there is a view or nothing; a table makes way as in a load.
fn view_as(s: &mut Session, relation: &Relation, select: &str) -> Result<()> {
    let database =
        relation.schema.as_deref().ok_or_else(|| Error::config(format!("no database to make {relation} in")))?;
    target::ensure_database(s, database)?;
    let existing = crate::catalog::find(s, relation)?.map(|f| f.1);
    let create = |name: &Relation| format!("CREATE OR REPLACE VIEW {} AS {select}", MYSQL.relation(name));
    if existing != Some(RelationKind::Table) {
        let sql = create(relation);
        return s.execute(&sql).map(drop).map_err(|e| e.sql(&sql));
    }
    target::refuse_referenced(s, relation)?;
    let (new, old) = target::two_names(relation);
    let sql = create(&new);
    s.execute(&sql).map_err(|e| e.sql(&sql))?;
    let out = swap::swap(s, relation, &new, &old, &mut vec![]).map_err(|e| busy_target(e, relation));
    if let Err(e) = &out
        && server_code(e).is_some()
    {
        let _ = s.execute(&format!("DROP VIEW IF EXISTS {}", MYSQL.relation(&new)));
    }
    out
}
