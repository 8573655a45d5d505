//! Native SQL.

use crate::catalog::{probe, resolve};
use crate::commit::{Change, ROWS, commit, drop_existing};
use crate::connection::{Purpose, with};
use crate::connector::Sqlite;
use crate::dialect::{SQLITE, relation_sql};
use crate::encode::literal;
use crate::error::plain;
use crate::stage::Stage;
use crate::stream::{Query, single, stream};
use crate::write::{check_target, definitions, existing_columns};
use crate::{connection, encode::ColumnPlan};
use async_trait::async_trait;
use rusqlite::Connection;
use rusqlite::fallible_iterator::FallibleIterator;
use xdb_core::{
    ArrowStream, Error, Execute, Literal, LoadOptions, LoadReport, ReadContext, Relation, Result, ResultExt, WriteMode,
};

#[async_trait]
impl Execute for Sqlite {
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
        let s = self.settings();
        let query = Query {
            before: before.to_vec(),
            sql: sql.into(),
            params: params.iter().map(literal).collect::<Result<_>>().on_connection(&s.connection)?,
            schema: None,
            types: s.types,
            purpose: purpose(s.read_only),
        };
        stream(s, query, ctx).await
    }

    async fn run(&self, sql: &str) -> Result<Option<u64>> {
        let (text, s) = (sql.to_string(), self.settings());
        with(s, purpose(s.read_only), move |conn| run_all(conn, &text).with_sql(&text)).await
    }

    async fn create_table_as(&self, target: &Relation, select: &str, options: &LoadOptions) -> Result<LoadReport> {
        let s = self.settings().clone();
        let (target, select, options) = (resolve(target), select.to_string(), options.clone());
        check_target(&s, &target)?;
        let turn = s.address.turn().lock_owned().await;
        let result = with_stage(&s, move |stage, settings| {
            let _turn = turn;
            let report = table_as(stage, settings, &target, &select, &options).on_relation(&target)?;
            options.stats.add_rows(report.rows);
            Ok(report)
        });
        result.await
    }

    async fn create_view_as(&self, target: &Relation, select: &str) -> Result<()> {
        let s = self.settings().clone();
        let (target, select) = (resolve(target), select.to_string());
        check_target(&s, &target)?;
        let _turn = s.address.turn().lock_owned().await;
        with(&s, Purpose::Write, move |conn| {
            let name = relation_sql(&target);
            let sql = format!("CREATE VIEW {name} AS {}", body(&select));
            // SQLite doesn't look into a view before it is read: do that while it can still be undone.
            in_transaction(conn, || {
                drop_existing(conn, &target, &mut Vec::new())?;
                conn.execute_batch(&sql).map_err(plain).with_sql(&sql)?;
                conn.prepare(&format!("SELECT * FROM {name}")).map(drop).map_err(plain).with_sql(&sql)
            })
            .on_relation(&target)
        })
        .await
    }

    async fn drop_relation(&self, target: &Relation) -> Result<()> {
        let s = self.settings().clone();
        let target = resolve(target);
        check_target(&s, &target)?;
        if s.address.file().is_some_and(|p| !p.exists()) {
            return Ok(());
        }
        let _turn = s.address.turn().lock_owned().await;
        with(&s, Purpose::Write, move |conn| {
            conn.pragma_update(None, "foreign_keys", false).map_err(plain)?;
            in_transaction(conn, || drop_existing(conn, &target, &mut Vec::new())).on_relation(&target)
        })
        .await
    }

    fn placeholder(&self, _: usize) -> String {
        "?".into()
    }
}

fn purpose(read_only: bool) -> Purpose {
    if read_only { Purpose::Read } else { Purpose::Write }
}

/// Each statement to its end; the rows changed by the last that can change any.
fn run_all(conn: &Connection, sql: &str) -> Result<Option<u64>> {
    let mut batch = rusqlite::Batch::new(conn, sql);
    let mut affected = None;
    while let Some(mut stmt) = batch.next().map_err(plain)? {
        let before = conn.total_changes();
        let writes = !stmt.readonly();
        let mut rows = stmt.raw_query();
        while rows.next().map_err(plain)?.is_some() {}
        if writes {
            affected = Some(conn.total_changes() - before);
        }
    }
    if !conn.is_autocommit() {
        return Err(Error::config("the SQL leaves a transaction open; it was rolled back")
            .hint("end it with COMMIT in the same text"));
    }
    Ok(affected)
}

fn in_transaction(conn: &Connection, work: impl FnOnce() -> Result<()>) -> Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE").map_err(plain)?;
    let done = work().and_then(|()| conn.execute_batch("COMMIT").map_err(plain));
    if done.is_err() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    done
}

/// [`connection::with`], on a connection with a staging database.
async fn with_stage<T: Send + 'static>(
    s: &std::sync::Arc<crate::config::Settings>,
    work: impl FnOnce(&Stage, &crate::config::Settings) -> Result<T> + Send + 'static,
) -> Result<T> {
    let settings = s.clone();
    connection::guarded(s, move |watch| {
        let stage = Stage::open(&settings)?;
        watch.begin(stage.conn.get_interrupt_handle());
        let out = work(&stage, &settings);
        watch.end();
        out
    })
    .await
}

/// A statement's text without the semicolon that would end the statement it is put into.
fn body(select: &str) -> &str {
    select.trim().trim_end_matches(';').trim_end()
}

fn table_as(
    stage: &Stage,
    s: &crate::config::Settings,
    target: &Relation,
    select: &str,
    options: &LoadOptions,
) -> Result<LoadReport> {
    let conn = &stage.conn;
    let select = body(select);
    let (names, declared) = {
        let stmt = single(conn, select).with_sql(select)?;
        let text = |c: rusqlite::Column<'_>| (c.name().to_string(), c.decl_type().unwrap_or_default().to_string());
        stmt.columns().map(text).unzip::<_, _, Vec<_>, Vec<_>>()
    };
    if names.is_empty() {
        return Err(Error::config("the statement returns no columns to make a table of").sql(select));
    }
    // First without any types, so that no affinity touches a value; then the types are chosen by what is there.
    let untyped: Vec<String> = names.iter().map(|n| SQLITE.ident(n)).collect();
    stage.create_rows(&untyped)?;
    let fill = format!("INSERT INTO {ROWS} {select}");
    let rows = conn.execute(&fill, []).map_err(plain).with_sql(&fill)? as u64;

    let plans: Vec<ColumnPlan> = match options.mode {
        WriteMode::Replace => {
            let seen = probe(conn, &untyped, ROWS)?;
            names
                .iter()
                .zip(declared)
                .zip(seen)
                .map(|((n, d), seen)| ColumnPlan::new(n, &named_type(d, seen)))
                .collect()
        }
        _ => {
            let have = existing_columns(s, stage, target)?;
            names
                .iter()
                .map(|n| match have.iter().find(|(h, _)| h.eq_ignore_ascii_case(n)) {
                    Some((_, d)) => Ok(ColumnPlan::new(n, d)),
                    None => Err(Error::not_found(format!("the target has no column `{n}`"))),
                })
                .collect::<Result<_>>()?
        }
    };
    let definitions = definitions(&plans);
    commit(conn, &Change { target, mode: &options.mode, columns: &names, definitions: &definitions, rows })
}

/// An expression has no declared type: the affinity that changes none of its values.
fn named_type(declared: String, seen: crate::catalog::Seen) -> String {
    use crate::types::Kind;
    if !declared.is_empty() {
        return declared;
    }
    let one = [seen.integer, seen.real, seen.text, seen.blob].into_iter().filter(|x| *x).count() == 1;
    match (one, seen.kind()) {
        (true, Kind::Int) => "INTEGER".into(),
        (true, Kind::Float) => "REAL".into(),
        (true, Kind::Text) => "TEXT".into(),
        (true, Kind::Binary) => "BLOB".into(),
        _ => String::new(),
    }
}
