//! The thread that runs a query, and the stream of its rows.
//!
//! DuckDB computes while it is asked for chunks, so the asking happens on a thread of its own: no async worker waits for
//! DuckDB, and DuckDB may wait for async readers. Rows leave through a channel of two batches; when the stream is dropped
//! the sources are closed and DuckDB is interrupted.

use crate::database::{Database, Rows, Statement};
use crate::output::{Columns, columns};
use crate::scan::Shared;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use futures::stream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use xdb_core::{ArrowStream, Error, Literal, LogicalType, PanicFlag, Result};

/// A batch is closed at this many rows …
const BATCH_ROWS: usize = 8192;
/// … or about this many bytes.
const BATCH_BYTES: usize = 8 << 20;

/// Starts `sql`, which must be one SELECT; returns once DuckDB has planned it. `planned` is the output as the planner of
/// filters sees it, for the logical types of columns.
pub(crate) async fn start(
    db: Arc<Database>,
    shared: Arc<Shared>,
    sql: String,
    params: Vec<(String, Literal)>,
    planned: Option<Schema>,
) -> Result<(ArrowStream, Done)> {
    let (ready, is_ready) = oneshot::channel();
    let (rows, next) = mpsc::channel(2);
    let done = Done(Arc::new(AtomicBool::new(false)));
    // Made before the thread, so that giving up on this future stops it too.
    let guard = CancelOnDrop { db: db.clone(), shared: shared.clone(), done: done.clone() };
    let ended = SetOnDrop(done.clone());
    let flag = PanicFlag::default();
    let panics = flag.watch();
    std::thread::Builder::new().name("xdb-duckdb".into()).spawn(move || {
        let _ended = ended;
        let _panics = panics;
        run(&db, &shared, (&sql, &params), planned, ready, &rows);
    })?;
    let schema = is_ready.await.map_err(|_| Error::internal("duckdb: the query's thread broke"))??;
    let batches = stream::unfold(Some((next, guard, flag)), |state| async {
        let (mut next, guard, flag) = state?;
        let item: Result<RecordBatch> = next.recv().await.or_else(|| flag.take().map(Err))?;
        let rest = item.is_ok().then_some((next, guard, flag));
        Some((item, rest))
    });
    Ok((ArrowStream::new(schema, batches), done))
}

/// Whether a query's thread has ended.
#[derive(Clone)]
pub(crate) struct Done(Arc<AtomicBool>);
impl Done {
    pub(crate) fn is(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

struct SetOnDrop(Done);
impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Release);
    }
}

struct CancelOnDrop {
    db: Arc<Database>,
    shared: Arc<Shared>,
    done: Done,
}
impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if self.done.is() {
            return;
        }
        self.shared.cancel();
        self.db.interrupt();
        // DuckDB forgets an interruption that comes just before a statement starts: repeat it until the thread ends.
        let (db, done) = (self.db.clone(), self.done.clone());
        let repeat = move || {
            while !done.is() {
                db.interrupt();
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        if let Err(e) = std::thread::Builder::new().name("xdb-duckdb-stop".into()).spawn(repeat) {
            tracing::debug!(error = %e, "could not repeat the interruption of DuckDB");
        }
    }
}

type Ready = oneshot::Sender<Result<SchemaRef>>;
type Sender = mpsc::Sender<Result<RecordBatch>>;

fn run(
    db: &Arc<Database>,
    shared: &Shared,
    (sql, params): (&str, &[(String, Literal)]),
    planned: Option<Schema>,
    ready: Ready,
    rows: &Sender,
) {
    let explain = |e: Error| match shared.take_error() {
        Some(ours) => ours,
        None if shared.is_cancelled() => Error::cancelled(),
        None => e,
    };
    let prepare = || -> Result<(Statement, Option<Rows>, Columns)> {
        let statement = db.prepare_select(sql, params)?;
        // A column that a parameter is part of has no type before the statement runs.
        let mut running = if params.is_empty() { None } else { Some(statement.stream()?) };
        let described = running.as_mut().map_or_else(|| statement.columns(), Rows::columns);
        let mut columns = columns(described)?;
        if let Some(planned) = planned {
            columns.set_schema(with_logical_types(&columns.schema(), &planned));
        }
        Ok((statement, running, columns))
    };
    let (statement, running, mut columns) = match prepare() {
        Ok(p) => p,
        Err(e) => {
            // Nobody listens only where nobody wants the answer.
            let _ = ready.send(Err(explain(e)));
            return;
        }
    };
    if ready.send(Ok(columns.schema())).is_err() {
        return;
    }
    let started = running.map_or_else(|| statement.stream(), Ok);
    if let Err(e) = started.and_then(|r| send_all(r, &mut columns, rows)) {
        let _ = rows.blocking_send(Err(explain(e)));
    }
}

/// Returns early, without an error, when nobody wants more.
fn send_all(mut from: Rows, columns: &mut Columns, to: &Sender) -> Result<()> {
    while let Some(chunk) = from.fetch()? {
        columns.push(&chunk)?;
        if (columns.rows() >= BATCH_ROWS || columns.bytes() >= BATCH_BYTES)
            && to.blocking_send(Ok(columns.take()?)).is_err()
        {
            return Ok(());
        }
    }
    // Before the last batch: the sources' connections are free when the last row is out.
    drop(from);
    if columns.rows() > 0 {
        let _ = to.blocking_send(Ok(columns.take()?));
    }
    Ok(())
}

/// Text columns that the planner of filters knows as uuid or JSON are marked so. DuckDB carries no such marks.
fn with_logical_types(schema: &SchemaRef, planned: &Schema) -> SchemaRef {
    if schema.fields().len() != planned.fields().len() {
        return schema.clone();
    }
    let pairs = schema.fields().iter().zip(planned.fields());
    let fields = pairs.map(|(f, p)| {
        let field = f.as_ref().clone();
        match LogicalType::of(p) {
            Some(t) if f.data_type() == &DataType::Utf8 && f.name().eq_ignore_ascii_case(p.name()) => t.mark(field),
            _ => field,
        }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
