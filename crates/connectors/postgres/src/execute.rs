//! Native SQL: queries whose rows become Arrow, scripts, and tables and views made inside the database.

use crate::connector::Postgres;
use crate::decode::Decoder;
use crate::error;
use crate::kind::Kind;
use crate::params::{Bound, declared};
use crate::pool::Conn;
use crate::read::{self, Source, copy_out};
use crate::sql;
use crate::swap::{self, New};
use crate::write::{check_target, ensure_schema};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use futures::{StreamExt, future::poll_fn};
use sqlx::postgres::{PgArguments, PgStatement};
use sqlx::{Arguments, AssertSqlSafe, Column, Connection, Either, Executor, Row, SqlSafeStr, Statement, ValueRef};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::mpsc;
use xdb_core::{
    ArrowStream, Error, Execute, Literal, LoadOptions, LoadReport, PanicFlag, ReadContext, Relation, Result,
    TypePolicy, WriteMode,
};

/// Statements that COPY and a sub-select take.
fn is_select(sql: &str) -> bool {
    let mut rest = sql.trim_start();
    loop {
        if let Some(r) = rest.strip_prefix("--") {
            rest = r.split_once('\n').map_or("", |(_, r)| r).trim_start();
        } else if let Some(r) = rest.strip_prefix("/*") {
            // Comments nest there.
            let mut depth = 1;
            let mut at = 0;
            while depth > 0 {
                match (r[at..].find("*/"), r[at..].find("/*")) {
                    (Some(end), Some(open)) if open < end => (depth, at) = (depth + 1, at + open + 2),
                    (Some(end), _) => (depth, at) = (depth - 1, at + end + 2),
                    (None, _) => return false,
                }
            }
            rest = r[at..].trim_start();
        } else if let Some(r) = rest.strip_prefix('(') {
            rest = r.trim_start();
        } else {
            break;
        }
    }
    let word: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
    match word.to_ascii_lowercase().as_str() {
        "select" | "values" | "table" => true,
        // WITH may change rows, which neither a sub-select nor COPY's snapshot rules forbid, but a wrapper does.
        "with" => true,
        _ => false,
    }
}

/// Without the semicolon that ends it.
fn bare(sql: &str) -> &str {
    sql.trim_end().trim_end_matches(';').trim_end()
}

impl Postgres {
    /// Names and kinds of a statement's columns.
    async fn columns(&self, conn: &mut Conn, statement: &PgStatement) -> Result<Vec<(String, Kind)>> {
        let columns = statement.columns();
        // The driver drops the typmod; where a column comes straight from a table, the catalog has it.
        let from: Vec<String> = columns
            .iter()
            .filter_map(|c| Some(format!("({}, {})", c.relation_id()?.0, c.relation_attribute_no()?)))
            .collect();
        let mut typmods = std::collections::HashMap::new();
        if !from.is_empty() {
            let sql = format!(
                "SELECT attrelid, attnum, atttypmod, atttypid FROM pg_catalog.pg_attribute WHERE (attrelid, attnum) IN ({})",
                from.join(", ")
            );
            for r in conn.rows(&sql).await? {
                use crate::catalog::number;
                if let (Some(rel), Some(n), Some(m), Some(t)) =
                    (number::<u32>(&r, 0), number::<i16>(&r, 1), number::<i32>(&r, 2), number::<u32>(&r, 3))
                {
                    typmods.insert((rel, n), (m, t));
                }
            }
        }
        let wanted: Vec<(u32, i32)> = columns
            .iter()
            .map(|c| {
                let oid = c.type_info().oid().map_or(0, |o| o.0);
                let origin = c.relation_id().zip(c.relation_attribute_no());
                let typmod = match origin.and_then(|(r, n)| typmods.get(&(r.0, n))) {
                    Some((m, t)) if *t == oid => *m,
                    _ => -1,
                };
                (oid, typmod)
            })
            .collect();
        let kinds = self.types.kinds(conn, &wanted).await?;
        Ok(columns.iter().map(|c| c.name().to_string()).zip(kinds).collect())
    }
}

/// `sql` with the columns that need it cast to text. The aliases make every name unique inside; the schema has the real ones.
fn with_casts(sql: &str, kinds: &[Kind]) -> String {
    let names: Vec<String> = (1..=kinds.len()).map(|i| format!("c{i}")).collect();
    let list: Vec<String> = names.iter().zip(kinds).map(|(n, k)| k.select(n)).collect();
    format!("SELECT {} FROM ({sql}\n) AS q({})", list.join(", "), names.join(", "))
}

#[async_trait]
impl Execute for Postgres {
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
        let sql = bare(sql);
        let config = self.config();
        let fail = |e| error::from_sqlx(e, config).sql(sql);
        let mut conn = self.pool.get().await?;
        if config.pgbouncer {
            // Keeps one server connection for the statement's whole life.
            conn.run("BEGIN").await?;
        }
        for statement in before {
            conn.run(statement).await.map_err(|e| e.sql(statement))?;
        }
        let types: Vec<_> = params.iter().map(declared).collect();
        let statement = conn.prepare_with(AssertSqlSafe(sql).into_sql_str(), &types).await.map_err(fail)?;
        let columns = self.columns(&mut conn, &statement).await?;
        let kinds: Vec<Kind> = columns.iter().map(|(_, k)| k.clone()).collect();
        let schema: SchemaRef =
            Arc::new(Schema::new(columns.iter().map(|(n, k)| k.field(n, true, &k.to_string())).collect::<Vec<_>>()));
        let decoder = Decoder::new(schema.clone(), &kinds, config.types);
        let direct = kinds.iter().all(Kind::is_direct);
        let select = is_select(sql);
        if let Some((name, _)) = columns.iter().find(|(_, k)| !k.is_direct() && !select) {
            return Err(Error::unsupported(format!(
                "column `{name}` is of a type that this statement's rows cannot be read with"
            ))
            .connection(&config.name)
            .sql(sql)
            .hint(format!("cast it in the statement: {}::text", sql::ident(name))));
        }
        let text = if direct { sql.to_string() } else { with_casts(sql, &kinds) };
        if select && params.is_empty() && !columns.is_empty() && !config.pgbouncer {
            conn.clear_cached_statements().await.map_err(fail)?;
            let source = Source { begin: None, select: text, relation: None };
            return copy_out(conn, source, decoder, schema, ctx).await;
        }
        // The types that the server inferred.
        let wanted = match statement.parameters() {
            Some(Either::Left(t)) => t.iter().map(|t| t.oid().map_or(0, |o| o.0)).collect::<Vec<_>>(),
            _ => vec![],
        };
        if wanted.len() != params.len() {
            let m = format!("the statement has {} parameters, but {} values are given", wanted.len(), params.len());
            return Err(Error::config(m).connection(&config.name).sql(sql));
        }
        let mut arguments = PgArguments::default();
        for (i, (l, oid)) in params.iter().zip(wanted).enumerate() {
            let bound = Bound::new(i + 1, l, oid).map_err(|e| e.connection(&config.name).sql(sql))?;
            arguments.add(bound).map_err(|e| Error::internal(e.to_string()))?;
        }
        let (tx, rx) = mpsc::channel(2);
        let rows = Rows { conn, sql: text, arguments, decoder, ctx: ctx.clone(), tx, select };
        let flag = PanicFlag::default();
        let watch = flag.watch();
        tokio::spawn(async move {
            let _watch = watch;
            rows.run().await;
        });
        read::started(rx, schema, flag).await
    }

    async fn run(&self, sql: &str) -> Result<Option<u64>> {
        let mut conn = self.pool.get().await?;
        let n = conn.run(sql).await?;
        // A script may have left a transaction open or changed settings: start the next user from a fresh session.
        Ok(Some(n))
    }

    async fn create_table_as(&self, target: &Relation, select: &str, options: &LoadOptions) -> Result<LoadReport> {
        let report = self.make(target, select, New::Table, &options.mode, options.types).await?;
        options.stats.add_rows(report.rows);
        Ok(report)
    }

    async fn create_view_as(&self, target: &Relation, select: &str) -> Result<()> {
        self.make(target, select, New::View, &WriteMode::Replace, TypePolicy::Exact).await.map(|_| ())
    }

    async fn drop_relation(&self, target: &Relation) -> Result<()> {
        let target = self.own(target)?;
        let name = sql::relation(&target);
        let mut conn = self.pool.get().await?;
        let work = async {
            if let Some(old) = crate::keep::find(&mut conn, &target).await? {
                swap::begin(&mut conn).await?;
                conn.run(&format!("DROP {} IF EXISTS {name}", old.keyword())).await?;
                conn.run("COMMIT").await?;
            }
            Ok::<_, Error>(())
        };
        match work.await {
            Ok(()) => {
                conn.release();
                Ok(())
            }
            Err(e) => Err(self.undo(conn, e, &target).await.relation(&name)),
        }
    }

    fn placeholder(&self, n: usize) -> String {
        format!("${n}")
    }
}

impl Postgres {
    /// Makes a staging relation of `select` and puts it into the target, in one transaction.
    async fn make(
        &self,
        target: &Relation,
        select: &str,
        new: New,
        mode: &WriteMode,
        types: TypePolicy,
    ) -> Result<LoadReport> {
        let target = self.own(target)?;
        let name = sql::relation(&target);
        let staging = swap::staging(&target);
        let keyword = if new == New::View { "VIEW" } else { "TABLE" };
        let create = format!("CREATE {keyword} {} AS {}", sql::relation(&staging), bare(select));
        let mut conn = self.pool.get().await?;
        let work = async {
            check_target(&mut conn, &target, mode, None).await?;
            ensure_schema(&mut conn, &target).await?;
            swap::begin(&mut conn).await?;
            let rows = conn.run(&create).await?;
            let notes = match mode {
                WriteMode::Replace => swap::replace(&mut conn, &staging, &target, new).await?,
                mode => swap::add(&mut conn, &staging, &target, mode, types).await?,
            };
            conn.run("COMMIT").await?;
            Ok::<_, Error>(LoadReport { rows, notes })
        };
        match work.await {
            Ok(report) => {
                // As after a load: the next reader's estimate.
                if *mode == WriteMode::Replace
                    && new == New::Table
                    && let Err(e) = conn.run(&format!("ANALYZE {name}")).await
                {
                    tracing::debug!("ANALYZE failed: {e}");
                    return Ok(report);
                }
                conn.release();
                Ok(report)
            }
            Err(e) => Err(self.undo(conn, e, &target).await.relation(&name)),
        }
    }

    /// Ends the failed transaction; the error, with who is in the way.
    async fn undo(&self, mut conn: Conn, e: Error, target: &Relation) -> Error {
        let e = e.connection(&self.config().name);
        if conn.run("ROLLBACK").await.is_err() {
            return e;
        }
        let e = swap::who_holds(e, &mut conn, target).await;
        conn.release();
        e
    }
}

/// A statement's rows through the extended protocol: those with parameters, and those that COPY doesn't take.
struct Rows {
    conn: Conn,
    sql: String,
    arguments: PgArguments,
    decoder: Decoder,
    ctx: ReadContext,
    tx: mpsc::Sender<Result<RecordBatch>>,
    /// Anything else may have left a setting or a transaction behind: then the connection is not used again.
    select: bool,
}

impl Rows {
    async fn run(mut self) {
        match self.pump().await {
            Ok(true) => {
                let end = if self.conn.config().pgbouncer { "COMMIT" } else { "" };
                if self.conn.clear_cached_statements().await.is_ok()
                    && (end.is_empty() || self.conn.run(end).await.is_ok())
                    && self.select
                {
                    self.conn.release();
                }
            }
            Ok(false) => self.conn.cancel().await,
            Err(e) => {
                let running = e.context().code.is_none();
                let _ = self.tx.send(Err(e.sql(&self.sql))).await;
                if running {
                    self.conn.cancel().await;
                }
            }
        }
    }

    /// `false`: the consumer went away.
    async fn pump(&mut self) -> Result<bool> {
        let config = self.conn.config().clone();
        let query = sqlx::query_with(AssertSqlSafe(self.sql.as_str()), std::mem::take(&mut self.arguments));
        let mut rows = pin!((*self.conn).fetch_many(query));
        let mut closed = pin!(self.tx.closed());
        loop {
            let next = poll_fn(|cx| match rows.poll_next_unpin(cx) {
                Poll::Ready(r) => Poll::Ready(Some(r)),
                Poll::Pending => closed.as_mut().poll(cx).map(|()| None),
            });
            let Some(next) = next.await else { return Ok(false) };
            let last = match next {
                Some(Ok(Either::Right(row))) => {
                    for i in 0..row.len() {
                        let value = row.try_get_raw(i).map_err(|e| error::from_sqlx(e, &config))?;
                        let bytes = if value.is_null() { None } else { value.as_bytes().ok() };
                        self.decoder.push_value(i, bytes)?;
                    }
                    self.decoder.end_row();
                    false
                }
                Some(Ok(Either::Left(_))) => false,
                Some(Err(e)) => return Err(error::from_sqlx(e, &config)),
                None => true,
            };
            let full = self.decoder.rows() >= self.ctx.batch_rows || self.decoder.bytes() >= self.ctx.batch_bytes;
            if full || last && self.decoder.rows() > 0 {
                self.ctx.stats.add_rows(self.decoder.rows() as u64);
                self.ctx.stats.add_bytes(self.decoder.bytes() as u64);
                let batch = self.decoder.finish()?;
                if self.tx.send(Ok(batch)).await.is_err() {
                    return Ok(false);
                }
            }
            if last {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_are_told_from_the_rest() {
        for (sql, want) in [
            ("select 1", true),
            ("  -- why\n/* a /* nested */ one */ WITH x AS (SELECT 1) SELECT * FROM x", true),
            ("((values (1)))", true),
            ("TABLE t", true),
            ("insert into t select 1 returning *", false),
            ("show timezone", false),
            ("explain select 1", false),
            ("/* open", false),
            ("selection", false),
            ("", false),
        ] {
            assert_eq!(is_select(sql), want, "{sql}");
        }
        assert_eq!(bare("select 1 ;; \n"), "select 1");
    }
    #[test]
    fn casts_wrap_the_statement() {
        assert_eq!(
            with_casts("select a, b from t -- note", &[Kind::Int4, Kind::Cast]),
            "SELECT c1, c2::text FROM (select a, b from t -- note\n) AS q(c1, c2)"
        );
    }
}
