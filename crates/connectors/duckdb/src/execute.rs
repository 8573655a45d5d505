//! Native SQL.

use crate::connector::Duck;
use crate::convert::literal;
use crate::database::read_only_error;
use crate::dialect::relation_sql;
use crate::error::plain;
use crate::stream::{Query, body, result_types, stream};
use crate::watch::{self, on};
use crate::write::{commit, create_schema, drop_existing, existing, run, staging};
use async_trait::async_trait;
use duckdb::Connection;
use xdb_core::{
    ArrowStream, Connector, Error, Execute, Literal, LoadOptions, LoadReport, ReadContext, Relation, Result, ResultExt,
    WriteMode,
};

#[async_trait]
impl Execute for Duck {
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
            sql: sql.into(),
            params: params.iter().map(literal).collect(),
            schema: None,
            types: self.settings().types,
        };
        stream(self, query, ctx).await
    }

    async fn run(&self, sql: &str) -> Result<Option<u64>> {
        let (text, may_write) = (sql.to_string(), !self.settings().read_only);
        watch::with(self, move |conn| run_all(conn, &text, may_write).with_sql(&text)).await
    }

    async fn create_table_as(&self, target: &Relation, select: &str, options: &LoadOptions) -> Result<LoadReport> {
        let (duck, select, options) = (self.clone(), body(select).to_string(), options.clone());
        let target = self.resolve(target);
        self.writing(move |conn| {
            let report = table_as(conn, &duck, &target, &select, &options.mode).on_relation(&target)?;
            options.stats.add_rows(report.rows);
            Ok(report)
        })
        .await
    }

    async fn create_view_as(&self, target: &Relation, select: &str) -> Result<()> {
        let (target, select) = (self.resolve(target), body(select).to_string());
        self.writing(move |conn| {
            in_transaction(conn, || {
                create_schema(conn, &target)?;
                drop_existing(conn, &target, &mut vec![])?;
                run(conn, &format!("CREATE VIEW {} AS {select}", relation_sql(&target)))
            })
            .on_relation(&target)
        })
        .await
    }

    async fn drop_relation(&self, target: &Relation) -> Result<()> {
        let target = self.resolve(target);
        if self.settings().path.as_ref().is_some_and(|p| !p.exists()) {
            return Ok(());
        }
        self.writing(move |conn| {
            in_transaction(conn, || drop_existing(conn, &target, &mut vec![])).on_relation(&target)
        })
        .await
    }

    fn placeholder(&self, n: usize) -> String {
        format!("${n}")
    }
}

impl Duck {
    /// [`watch::with`], on a connection that may make the file.
    async fn writing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.settings().read_only {
            return Err(read_only_error(self.settings()));
        }
        let opener = self.clone();
        tokio::task::spawn_blocking(move || opener.connect_to_load().map(drop))
            .await
            .map_err(|e| Error::internal(format!("a DuckDB thread died: {e}")))?
            .map_err(|e| on(self.settings(), e))?;
        watch::with(self, work).await
    }
}

fn in_transaction<T>(conn: &Connection, work: impl FnOnce() -> Result<T>) -> Result<T> {
    run(conn, "BEGIN TRANSACTION")?;
    let done = work().and_then(|v| run(conn, "COMMIT").map(|()| v));
    if done.is_err() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    done
}

/// Everything but the last statement as it is, the last one for its count.
fn run_all(conn: &Connection, sql: &str, may_write: bool) -> Result<Option<u64>> {
    let affected = match conn.prepare(sql) {
        // `prepare` runs all statements but the last itself.
        Ok(mut stmt) => {
            let rows = stmt.execute([]).map_err(plain)? as u64;
            let counts = stmt.schema().fields().len() == 1 && stmt.schema().field(0).name() == "Count";
            counts.then_some(rows)
        }
        Err(e) => return Err(plain(e)),
    };
    // The crate always says "autocommit"; that there is something to roll back is the sign. (A read-only connection may
    // be inside the transaction that makes it so.)
    if may_write && conn.execute_batch("ROLLBACK").is_ok() {
        return Err(Error::config("the SQL leaves a transaction open; it was rolled back")
            .hint("end it with COMMIT in the same text"));
    }
    Ok(affected)
}

fn table_as(conn: &Connection, duck: &Duck, target: &Relation, select: &str, mode: &WriteMode) -> Result<LoadReport> {
    let staged = staging(target);
    run(conn, "BEGIN TRANSACTION")?;
    let fill = || -> Result<(Vec<String>, u64)> {
        let types = result_types(conn, select, &[]);
        let sql = match mode {
            WriteMode::Replace => {
                create_schema(conn, target)?;
                format!("CREATE TABLE {} AS {select}", relation_sql(&staged))
            }
            _ => {
                let names: Vec<String> = types.iter().flatten().map(|t| t.0.clone()).collect();
                existing(conn, duck, target, &names)?;
                format!("CREATE TABLE {} AS {select}", relation_sql(&staged))
            }
        };
        run(conn, &sql)?;
        // `CREATE TABLE AS` doesn't say how many.
        let count = format!("SELECT count(*) FROM {}", relation_sql(&staged));
        let rows = conn.query_row(&count, [], |r| r.get::<_, u64>(0)).map_err(plain).with_sql(&count)?;
        Ok((types.unwrap_or_default().into_iter().map(|t| t.0).collect(), rows))
    };
    match fill() {
        Ok((names, rows)) => commit(conn, target, &staged, &names, mode, rows),
        Err(e) => {
            let _ = conn.execute_batch("ROLLBACK");
            Err(e)
        }
    }
}
