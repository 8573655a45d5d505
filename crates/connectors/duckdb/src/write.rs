//! Loads: one transaction on one connection. Rows go through the appender into a staging table that nobody else sees,
//! and DuckDB writes them to the file as they come; `commit` swaps the staging table in (or adds its rows). A crash at
//! any point leaves the database as it was, without a staging table.

use crate::catalog::{columns, find, missing, schema_of};
use crate::config::DEF;
use crate::connector::Duck;
use crate::convert::{appended, convert, null_safe};
use crate::database::read_only_error;
use crate::dialect::{DUCKDB, relation_sql};
use crate::error::plain;
use crate::watch::on;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use duckdb::Connection;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};
use xdb_core::names::{staging_name, suggest};
use xdb_core::{
    Error, ErrorKind, Load, LoadOptions, LoadReport, LoadSession, Relation, RelationKind, Result, ResultExt,
    TypePolicy, WriteMode,
};

#[async_trait]
impl Load for Duck {
    async fn begin(&self, target: &Relation, schema: SchemaRef, options: &LoadOptions) -> Result<Box<dyn LoadSession>> {
        if self.settings().read_only {
            return Err(read_only_error(self.settings()));
        }
        let (commands, inbox) = mpsc::channel(1);
        let (ready, is_ready) = oneshot::channel();
        let failure = Failure::default();
        let job = Job {
            duck: self.clone(),
            target: xdb_core::Connector::resolve(self, target),
            schema,
            options: options.clone(),
        };
        let f = failure.clone();
        tokio::task::spawn_blocking(move || job.run(inbox, ready, &f));
        is_ready.await.map_err(|_| died())??;
        Ok(Box::new(Session { commands, failure }))
    }
}

fn died() -> Error {
    Error::internal("a DuckDB thread died")
}

enum Command {
    Batch(RecordBatch),
    Commit(oneshot::Sender<Result<LoadReport>>),
    Abort(oneshot::Sender<()>),
}
/// Why the thread ended early.
type Failure = Arc<Mutex<Option<Error>>>;

/// Dropping it closes the channel, which ends the thread and rolls its transaction back.
struct Session {
    commands: mpsc::Sender<Command>,
    failure: Failure,
}
impl Session {
    async fn send(&self, c: Command) -> Result<()> {
        if self.commands.send(c).await.is_ok() { Ok(()) } else { Err(self.failed()) }
    }
    fn failed(&self) -> Error {
        self.failure.lock().unwrap_or_else(|e| e.into_inner()).take().unwrap_or_else(died)
    }
}

#[async_trait]
impl LoadSession for Session {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.send(Command::Batch(batch)).await
    }
    async fn commit(self: Box<Self>) -> Result<LoadReport> {
        let (answer, report) = oneshot::channel();
        self.send(Command::Commit(answer)).await?;
        // No answer: a batch before it failed.
        report.await.unwrap_or_else(|_| Err(self.failed()))
    }
    async fn abort(self: Box<Self>) -> Result<()> {
        let (answer, done) = oneshot::channel();
        if self.send(Command::Abort(answer)).await.is_ok() {
            let _ = done.await;
        }
        Ok(())
    }
}

struct Job {
    duck: Duck,
    target: Relation,
    schema: SchemaRef,
    options: LoadOptions,
}

/// A staging table inside an open transaction.
pub(crate) struct Staged {
    pub(crate) relation: Relation,
    /// What its columns read back as.
    types: Vec<DataType>,
}

impl Job {
    fn run(self, mut inbox: mpsc::Receiver<Command>, ready: oneshot::Sender<Result<()>>, failure: &Failure) {
        let started = self.duck.connect_to_load().and_then(|held| {
            let staged = self.start(&held.conn)?;
            Ok((held, staged))
        });
        let (held, staged) = match started {
            Ok(x) => x,
            Err(e) => {
                let _ = ready.send(Err(self.context(e)));
                return;
            }
        };
        if ready.send(Ok(())).is_err() {
            return;
        }
        let conn = &held.conn;
        let mut rows = 0;
        while let Some(c) = inbox.blocking_recv() {
            match c {
                Command::Batch(b) => match self.append(conn, &staged, &b) {
                    Ok(()) => {
                        rows += b.num_rows() as u64;
                        self.options.stats.add_rows(b.num_rows() as u64);
                        self.options.stats.add_bytes(b.get_array_memory_size() as u64);
                    }
                    Err(e) => {
                        // Set before the channel closes, which is how the session learns of it.
                        *failure.lock().unwrap_or_else(|e| e.into_inner()) = Some(self.context(e));
                        rollback(conn);
                        return;
                    }
                },
                Command::Commit(answer) => {
                    let names: Vec<String> = self.schema.fields().iter().map(|f| f.name().clone()).collect();
                    let report = commit(conn, &self.target, &staged.relation, &names, &self.options.mode, rows);
                    let _ = answer.send(report.map_err(|e| self.context(e)));
                    return;
                }
                Command::Abort(answer) => {
                    rollback(conn);
                    let _ = answer.send(());
                    return;
                }
            }
        }
        rollback(conn);
    }

    fn context(&self, e: Error) -> Error {
        on(self.duck.settings(), e).relation(self.target.to_string())
    }

    fn start(&self, conn: &Connection) -> Result<Staged> {
        unique_names(&self.schema)?;
        let defs = xdb_sql::column_defs(&DEF, &self.schema)?;
        run(conn, "BEGIN TRANSACTION")?;
        let relation = staging(&self.target);
        match self.options.mode {
            WriteMode::Replace => {
                create_schema(conn, &self.target)?;
                let types = self.schema.fields().iter().map(|f| appended(f.data_type())).collect();
                run(conn, &xdb_sql::create_table(&DUCKDB, &relation_sql(&relation), &defs))?;
                Ok(Staged { relation, types })
            }
            _ => {
                let names: Vec<String> = self.schema.fields().iter().map(|f| f.name().clone()).collect();
                let have = existing(conn, &self.duck, &self.target, &names)?;
                let list: Vec<String> = have.iter().map(|(n, _)| DUCKDB.ident(n)).collect();
                let from = relation_sql(&self.target);
                let sql = format!(
                    "CREATE TABLE {} AS SELECT {} FROM {from} LIMIT 0",
                    relation_sql(&relation),
                    list.join(", ")
                );
                run(conn, &sql)?;
                let schema = schema_of(conn, &have, &from)?;
                Ok(Staged { relation, types: schema.fields().iter().map(|f| f.data_type().clone()).collect() })
            }
        }
    }

    fn append(&self, conn: &Connection, staged: &Staged, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let lossy = self.options.types == TypePolicy::Lossy;
        let mut fields = Vec::with_capacity(batch.num_columns());
        let mut arrays = Vec::with_capacity(batch.num_columns());
        for ((f, a), t) in self.schema.fields().iter().zip(batch.columns()).zip(&staged.types) {
            let a = null_safe(convert(f.name(), a, t, lossy)?);
            fields.push(Field::new(f.name(), a.data_type().clone(), true));
            arrays.push(a);
        }
        let ready = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
        let schema = staged.relation.schema.as_deref().unwrap_or("main");
        let mut appender = match &staged.relation.database {
            Some(d) => conn.appender_to_catalog_and_db(&staged.relation.name, d, schema),
            None => conn.appender_to_db(&staged.relation.name, schema),
        }
        .map_err(plain)?;
        appender.append_record_batch(ready).map_err(plain)?;
        appender.flush().map_err(plain)
    }
}

fn rollback(conn: &Connection) {
    // Where the transaction is gone already this fails, and that is fine.
    let _ = conn.execute_batch("ROLLBACK");
}

pub(crate) fn run(conn: &Connection, sql: &str) -> Result<()> {
    conn.execute_batch(sql).map_err(plain).with_sql(sql)
}

pub(crate) fn create_schema(conn: &Connection, target: &Relation) -> Result<()> {
    match target.schema.as_deref() {
        None | Some("main") => Ok(()),
        Some(s) => {
            let name = match &target.database {
                Some(d) => format!("{}.{}", DUCKDB.ident(d), DUCKDB.ident(s)),
                None => DUCKDB.ident(s),
            };
            run(conn, &format!("CREATE SCHEMA IF NOT EXISTS {name}"))
        }
    }
}

/// A name for the staging table, in the target's own schema. Only its own transaction ever sees it.
pub(crate) fn staging(target: &Relation) -> Relation {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let run = format!("{:x}{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    Relation { name: staging_name("new", &run, &target.name, DUCKDB.max_identifier), ..target.clone() }
}

fn unique_names(schema: &Schema) -> Result<()> {
    if schema.fields().is_empty() {
        return Err(Error::unsupported("DuckDB tables need at least one column"));
    }
    let mut seen = std::collections::HashSet::new();
    match schema.fields().iter().find(|f| !seen.insert(f.name().to_lowercase())) {
        None => Ok(()),
        Some(f) => Err(Error::config(format!("two columns are named `{}` (DuckDB ignores case in names)", f.name()))
            .hint("give one of them an alias")),
    }
}

/// The target's own names and types of the columns `names`.
pub(crate) fn existing(
    conn: &Connection,
    duck: &Duck,
    target: &Relation,
    names: &[String],
) -> Result<Vec<(String, String)>> {
    let Some((target, kind)) = find(conn, target)? else { return Err(missing(conn, duck, target)) };
    if kind == RelationKind::View {
        return Err(Error::config(format!("`{}` is a view; rows can be added to tables only", target.name)));
    }
    let have = columns(conn, &target)?;
    names
        .iter()
        .map(|n| match have.iter().find(|c| c.name.to_lowercase() == n.to_lowercase()) {
            Some(c) => Ok((c.name.clone(), c.source_type.clone())),
            None => {
                let e = Error::not_found(format!("the target has no column `{n}`"));
                let near = suggest(n, have.iter().map(|c| c.name.as_str()));
                Err(near.into_iter().fold(e, Error::hint))
            }
        })
        .collect()
}

/// Ends the transaction: with `staging` swapped in, or its rows added, or with nothing changed.
pub(crate) fn commit(
    conn: &Connection,
    target: &Relation,
    staging: &Relation,
    names: &[String],
    mode: &WriteMode,
    rows: u64,
) -> Result<LoadReport> {
    let mut notes = vec![];
    let done = match mode {
        WriteMode::Replace => swap(conn, target, staging, &mut notes),
        WriteMode::Append => insert(conn, target, staging, names).and_then(|()| drop_table(conn, staging)),
        WriteMode::Merge { unique_key } => {
            merge(conn, target, staging, names, unique_key).and_then(|()| drop_table(conn, staging))
        }
    };
    match done.and_then(|()| run(conn, "COMMIT")) {
        Ok(()) => Ok(LoadReport { rows, notes }),
        Err(e) => {
            rollback(conn);
            Err(e)
        }
    }
}

fn drop_table(conn: &Connection, r: &Relation) -> Result<()> {
    run(conn, &format!("DROP TABLE {}", relation_sql(r)))
}

pub(crate) fn drop_existing(conn: &Connection, target: &Relation, notes: &mut Vec<String>) -> Result<()> {
    match find(conn, target)? {
        None => Ok(()),
        Some((found, RelationKind::View)) => {
            notes.push(format!("the view `{}` was replaced", found.name));
            run(conn, &format!("DROP VIEW {}", relation_sql(&found)))
        }
        Some((found, _)) => drop_table(conn, &found),
    }
}

fn swap(conn: &Connection, target: &Relation, staging: &Relation, notes: &mut Vec<String>) -> Result<()> {
    let indexes = indexes(conn, target)?;
    drop_existing(conn, target, notes)?;
    run(conn, &format!("ALTER TABLE {} RENAME TO {}", relation_sql(staging), DUCKDB.ident(&target.name)))?;
    if indexes.is_empty() {
        return Ok(());
    }
    // An index's SQL, as DuckDB prints it, names the table without its schema.
    let path = match (&target.database, &target.schema) {
        (Some(d), Some(s)) => format!("{}.{}", DUCKDB.ident(d), DUCKDB.ident(s)),
        (None, Some(s)) => DUCKDB.ident(s),
        _ => DUCKDB.ident("main"),
    };
    run(conn, &format!("SET search_path = {}", xdb_sql::quote_text_ansi(&path).unwrap_or_default()))?;
    for (name, sql) in indexes {
        match run(conn, &sql) {
            Ok(()) => {}
            // A column that is gone. The transaction survives an error this early (and only such a one).
            Err(e) if e.message().starts_with("Binder Error") => {
                notes.push(format!("index `{name}` was not kept: {}", e.message()));
            }
            Err(e) => return Err(e.with_message(|m| format!("the new rows break the index `{name}`: {m}"))),
        }
    }
    run(conn, "RESET search_path")
}

/// Name and SQL of each index of the target. Those of its constraints have no SQL and go with it.
fn indexes(conn: &Connection, target: &Relation) -> Result<Vec<(String, String)>> {
    let sql = "SELECT index_name, sql FROM duckdb_indexes() WHERE sql IS NOT NULL \
               AND database_name = coalesce(?1, current_database()) AND lower(schema_name) = lower(?2) \
               AND lower(table_name) = lower(?3) ORDER BY index_name";
    let mut stmt = conn.prepare(sql).map_err(plain)?;
    stmt.query_map(duckdb::params![target.database, target.schema, target.name], |r| Ok((r.get(0)?, r.get(1)?)))
        .map_err(plain)?
        .collect::<duckdb::Result<_>>()
        .map_err(plain)
}

fn insert(conn: &Connection, target: &Relation, staging: &Relation, names: &[String]) -> Result<()> {
    let list = names.iter().map(|n| DUCKDB.ident(n)).collect::<Vec<_>>().join(", ");
    run(conn, &format!("INSERT INTO {} ({list}) SELECT {list} FROM {}", relation_sql(target), relation_sql(staging)))
}

fn merge(conn: &Connection, target: &Relation, staging: &Relation, names: &[String], key: &[String]) -> Result<()> {
    if key.is_empty() {
        return Err(Error::config("merge needs a `unique_key`"));
    }
    if let Some(k) = key.iter().find(|k| !names.iter().any(|n| n.to_lowercase() == k.to_lowercase())) {
        return Err(Error::config(format!("the unique key `{k}` is not among the columns of the model")));
    }
    let id = |n: &String| DUCKDB.ident(n);
    let keys: Vec<String> = key.iter().map(id).collect();
    let known = keys.iter().map(|k| format!("{k} IS NOT NULL")).collect::<Vec<_>>().join(" AND ");
    let shown =
        keys.iter().map(|k| format!("coalesce(CAST({k} AS VARCHAR), 'NULL')")).collect::<Vec<_>>().join(" || ', ' || ");
    let twice = format!(
        "SELECT {shown} FROM {} WHERE {known} GROUP BY {} HAVING count(*) > 1 LIMIT 1",
        relation_sql(staging),
        keys.join(", ")
    );
    let mut stmt = conn.prepare(&twice).map_err(plain).with_sql(&twice)?;
    let mut rows = stmt.query([]).map_err(plain)?;
    if let Some(r) = rows.next().map_err(plain)? {
        let values: String = r.get(0).map_err(plain)?;
        return Err(Error::new(
            ErrorKind::Sql,
            format!("two incoming rows have the same key ({}) = ({values})", key.join(", ")),
        )
        .hint("make the model's rows unique by `unique_key`"));
    }
    drop(rows);
    let on = keys.iter().map(|k| format!("t.{k} = s.{k}")).collect::<Vec<_>>().join(" AND ");
    let is_key = |n: &String| key.iter().any(|k| k.to_lowercase() == n.to_lowercase());
    let set: Vec<String> = names.iter().filter(|n| !is_key(n)).map(|n| format!("{0} = s.{0}", id(n))).collect();
    let update =
        if set.is_empty() { String::new() } else { format!(" WHEN MATCHED THEN UPDATE SET {}", set.join(", ")) };
    let list = names.iter().map(id).collect::<Vec<_>>();
    let values = list.iter().map(|n| format!("s.{n}")).collect::<Vec<_>>();
    run(
        conn,
        &format!(
            "MERGE INTO {} AS t USING {} AS s ON ({on}){update} WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
            relation_sql(target),
            relation_sql(staging),
            list.join(", "),
            values.join(", ")
        ),
    )
}
