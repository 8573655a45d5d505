//! Loads: a thread binds Arrow rows to a prepared `INSERT` into the staging database; `commit` changes the target.

use crate::catalog::{find, missing, resolve};
use crate::commit::{Change, ROWS, commit, writable_columns};
use crate::config::{DEF, Settings};
use crate::connection::{on, read_only};
use crate::connector::Sqlite;
use crate::dialect::SQLITE;
use crate::encode::{ColumnPlan, Prepared};
use crate::error::plain;
use crate::stage::Stage;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};
use xdb_core::names::suggest;
use xdb_core::{
    Error, ErrorKind, Load, LoadOptions, LoadReport, LoadSession, Relation, RelationKind, Result, WriteMode,
};

#[async_trait]
impl Load for Sqlite {
    async fn begin(&self, target: &Relation, schema: SchemaRef, options: &LoadOptions) -> Result<Box<dyn LoadSession>> {
        let s = self.settings().clone();
        let target = resolve(target);
        check_target(&s, &target)?;
        let (commands, inbox) = mpsc::channel(1);
        let (ready, is_ready) = oneshot::channel();
        let failure = Failure::default();
        let job = Job { s: s.clone(), target, schema, options: options.clone() };
        // In turn, so that the probe of the write lock meets only other programs' locks.
        let turn = s.address.turn();
        let mine = turn.clone().lock_owned().await;
        let f = failure.clone();
        tokio::task::spawn_blocking(move || job.run(inbox, ready, mine, &f));
        is_ready.await.map_err(|_| died())??;
        Ok(Box::new(Session { commands, turn, failure }))
    }
}

/// What can be said without opening the file.
pub(crate) fn check_target(s: &Settings, target: &Relation) -> Result<()> {
    if s.read_only {
        return Err(read_only(s));
    }
    match target.schema.as_deref() {
        None | Some("main") => Ok(()),
        Some(other) => Err(Error::not_found(format!("a SQLite file has no schema `{other}`"))
            .connection(&s.connection)
            .relation(target.to_string())
            .hint("leave `schema` out, or set it to `main`")),
    }
}

fn died() -> Error {
    Error::internal("a SQLite thread died")
}

enum Command {
    Batch(RecordBatch),
    /// With the turn on the database, held until the answer.
    Commit(OwnedMutexGuard<()>, oneshot::Sender<Result<LoadReport>>),
    Abort(oneshot::Sender<()>),
}
/// Why the thread ended early.
type Failure = Arc<Mutex<Option<Error>>>;

/// Dropping it closes the channel, which ends the thread and with it the staging database.
struct Session {
    commands: mpsc::Sender<Command>,
    turn: Arc<tokio::sync::Mutex<()>>,
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
        let turn = self.turn.clone().lock_owned().await;
        let (answer, report) = oneshot::channel();
        self.send(Command::Commit(turn, answer)).await?;
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
    s: Arc<Settings>,
    target: Relation,
    schema: SchemaRef,
    options: LoadOptions,
}

impl Job {
    fn run(
        self,
        mut inbox: mpsc::Receiver<Command>,
        ready: oneshot::Sender<Result<()>>,
        turn: OwnedMutexGuard<()>,
        failure: &Failure,
    ) {
        let started = self.start();
        drop(turn);
        let (stage, plans) = match started {
            Ok(x) => {
                if ready.send(Ok(())).is_err() {
                    return;
                }
                x
            }
            Err(e) => {
                let _ = ready.send(Err(self.context(e)));
                return;
            }
        };
        let fail = |e: Error| *failure.lock().unwrap_or_else(|e| e.into_inner()) = Some(self.context(e));
        let mut rows = 0;
        while let Some(c) = inbox.blocking_recv() {
            match c {
                Command::Batch(b) => match self.insert(&stage, &plans, &b) {
                    Ok(()) => {
                        rows += b.num_rows() as u64;
                        self.options.stats.add_rows(b.num_rows() as u64);
                        self.options.stats.add_bytes(b.get_array_memory_size() as u64);
                    }
                    // Set before the channel closes, which is how the session learns of it.
                    Err(e) => return fail(e),
                },
                Command::Commit(turn, answer) => {
                    let names: Vec<String> = plans.iter().map(|p| p.name.clone()).collect();
                    let change = Change {
                        target: &self.target,
                        mode: &self.options.mode,
                        columns: &names,
                        definitions: &definitions(&plans),
                        rows,
                    };
                    let report = commit(&stage.conn, &change).map_err(|e| self.context(e));
                    drop(stage);
                    drop(turn);
                    let _ = answer.send(report);
                    return;
                }
                Command::Abort(answer) => {
                    drop(stage);
                    let _ = answer.send(());
                    return;
                }
            }
        }
    }

    fn context(&self, e: Error) -> Error {
        on(&self.s, e).relation(self.target.to_string())
    }

    fn start(&self) -> Result<(Stage, Vec<ColumnPlan>)> {
        let stage = Stage::open(&self.s)?;
        let plans = plan_columns(&self.s, &stage, &self.target, &self.schema, &self.options)?;
        stage.create_rows(&definitions(&plans))?;
        Ok((stage, plans))
    }

    fn insert(&self, stage: &Stage, plans: &[ColumnPlan], batch: &RecordBatch) -> Result<()> {
        let types = self.options.types;
        let schema = batch.schema();
        let columns = plans
            .iter()
            .zip(schema.fields())
            .zip(batch.columns())
            .map(|((p, f), a)| Prepared::new(p, f, a, types))
            .collect::<Result<Vec<_>>>()?;
        let marks = vec!["?"; columns.len()].join(", ");
        let conn = &stage.conn;
        conn.execute_batch("BEGIN").map_err(plain)?;
        {
            let mut stmt = conn.prepare_cached(&format!("INSERT INTO {ROWS} VALUES ({marks})")).map_err(plain)?;
            let mut scratch = String::new();
            for row in 0..batch.num_rows() {
                for (i, c) in columns.iter().enumerate() {
                    c.bind(&mut stmt, i + 1, row, &mut scratch)?;
                }
                stmt.raw_execute().map_err(plain)?;
            }
        }
        conn.execute_batch("COMMIT").map_err(plain)
    }
}

pub(crate) fn definitions(plans: &[ColumnPlan]) -> Vec<String> {
    plans.iter().map(|p| format!("{} {}", SQLITE.ident(&p.name), p.declared)).collect()
}

/// The columns to stage: as a new table would have them, or as the target has them.
fn plan_columns(
    s: &Settings,
    stage: &Stage,
    target: &Relation,
    schema: &SchemaRef,
    options: &LoadOptions,
) -> Result<Vec<ColumnPlan>> {
    if schema.fields().is_empty() {
        return Err(Error::unsupported("SQLite tables need at least one column"));
    }
    let mut seen = std::collections::HashSet::new();
    if let Some(f) = schema.fields().iter().find(|f| !seen.insert(f.name().to_ascii_lowercase())) {
        return Err(Error::config(format!("two columns are named `{}` (SQLite ignores case in names)", f.name()))
            .hint("give one of them an alias"));
    }
    let defs = xdb_sql::column_defs(&DEF, schema)?;
    if options.mode == WriteMode::Replace {
        return Ok(defs.iter().map(|d| ColumnPlan::new(&d.name, &d.target.sql)).collect());
    }
    let have = existing_columns(s, stage, target)?;
    schema
        .fields()
        .iter()
        .map(|f| {
            let hit = have
                .iter()
                .find(|(name, _)| name == f.name())
                .or_else(|| have.iter().find(|(name, _)| name.eq_ignore_ascii_case(f.name())));
            match hit {
                Some((_, declared)) => Ok(ColumnPlan::new(f.name(), declared)),
                None => {
                    let e = Error::not_found(format!("the target has no column `{}`", f.name()));
                    let near = suggest(f.name(), have.iter().map(|(n, _)| n.as_str()));
                    Err(near.into_iter().fold(e, Error::hint))
                }
            }
        })
        .collect()
}

/// Name and declared type of each column that may be written.
pub(crate) fn existing_columns(s: &Settings, stage: &Stage, target: &Relation) -> Result<Vec<(String, String)>> {
    match find(&stage.conn, target)? {
        Some((_, RelationKind::View)) => {
            Err(Error::new(ErrorKind::Config, format!("`{}` is a view; rows can be added to tables only", target.name)))
        }
        Some(_) => writable_columns(&stage.conn, target),
        None => Err(missing(&stage.conn, s, target)),
    }
}
