//! One statement's rows as a stream: a thread steps SQLite and fills builders, a bounded channel hands batches over.

use crate::catalog::{PROBE_ROWS, Seen};
use crate::config::Settings;
use crate::connection::{Purpose, StopOnDrop, Watch, on, open};
use crate::decode::BatchBuilder;
use crate::error::plain;
use crate::types::declared_kind;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Statement};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use xdb_core::{ArrowStream, Error, PanicFlag, ReadContext, Result, ResultExt, TypePolicy};

/// Batches that wait for the consumer, beside the one being filled.
const AHEAD: usize = 1;

/// What to run.
pub(crate) struct Query {
    /// Statements that go first, on the same connection.
    pub(crate) before: Vec<String>,
    pub(crate) sql: String,
    pub(crate) params: Vec<Value>,
    /// `None`: from the statement's declared types and first rows.
    pub(crate) schema: Option<SchemaRef>,
    pub(crate) types: TypePolicy,
    pub(crate) purpose: Purpose,
}

pub(crate) async fn stream(s: &Arc<Settings>, query: Query, ctx: &ReadContext) -> Result<ArrowStream> {
    let (s, ctx) = (s.clone(), ctx.clone());
    let watch = Arc::new(Watch::new(s.query_timeout));
    let guard = (StopOnDrop(watch.clone()), watch.clone().start_clock());
    let (send_schema, schema) = oneshot::channel::<Result<SchemaRef>>();
    let (send, receive) = mpsc::channel::<Result<RecordBatch>>(AHEAD);
    let flag = PanicFlag::default();
    let panics = flag.watch();
    tokio::task::spawn_blocking(move || {
        let _panics = panics;
        let mut send_schema = Some(send_schema);
        let result = open(&s, query.purpose)
            .and_then(|conn| produce(&conn, &query, &ctx, &watch, &mut send_schema, &send).with_sql(&query.sql));
        watch.end();
        if let Err(e) = result {
            let e = on(&s, watch.explain(e));
            // Before the schema is known the error is the answer to `read`, after it the last item of the stream.
            match send_schema.take() {
                Some(first) => drop(first.send(Err(e))),
                None => drop(send.blocking_send(Err(e))),
            }
        }
    });
    let schema = schema.await.map_err(|_| Error::internal("a SQLite thread died"))??;
    let batches = futures::stream::unfold((receive, guard, flag), |(mut receive, guard, flag)| async move {
        let next = receive.recv().await.or_else(|| flag.take().map(Err));
        next.map(|b| (b, (receive, guard, flag)))
    });
    Ok(ArrowStream::new(schema, batches.fuse()))
}

fn produce(
    conn: &Connection,
    query: &Query,
    ctx: &ReadContext,
    watch: &Watch,
    send_schema: &mut Option<oneshot::Sender<Result<SchemaRef>>>,
    send: &mpsc::Sender<Result<RecordBatch>>,
) -> Result<()> {
    watch.begin(conn.get_interrupt_handle());
    for statement in &query.before {
        let mut stmt = single(conn, statement).with_sql(statement)?;
        let mut rows = stmt.raw_query();
        while rows.next().map_err(plain).with_sql(statement)?.is_some() {}
    }
    let mut stmt = single(conn, &query.sql)?;
    let wanted = stmt.parameter_count();
    if wanted != query.params.len() {
        return Err(plain(rusqlite::Error::InvalidParameterCount(query.params.len(), wanted)));
    }
    for (i, p) in query.params.iter().enumerate() {
        stmt.raw_bind_parameter(i + 1, p).map_err(plain)?;
    }
    let width = stmt.column_count();
    let mut held: Vec<Vec<Held>> = Vec::new();
    let named: Vec<(String, String)> =
        stmt.columns().map(|c| (c.name().to_string(), c.decl_type().unwrap_or_default().to_string())).collect();
    let mut rows = stmt.raw_query();
    let mut ended = false;
    let schema = match &query.schema {
        Some(s) => s.clone(),
        None => {
            let mut kinds: Vec<_> = named.iter().map(|(_, d)| declared_kind(d)).collect();
            // A statement without rows is run here; one whose types are all declared need not be looked at first.
            if width == 0 || kinds.iter().any(Option::is_none) {
                let mut seen = vec![Seen::default(); width];
                while held.len() < PROBE_ROWS && !ended {
                    match rows.next().map_err(plain)? {
                        None => ended = true,
                        Some(r) => {
                            let mut values = Vec::with_capacity(width);
                            for (i, seen) in seen.iter_mut().enumerate() {
                                let v = r.get_ref(i).map_err(plain)?;
                                seen.add(v);
                                values.push(Held::from(v));
                            }
                            held.push(values);
                        }
                    }
                }
                for (k, s) in kinds.iter_mut().zip(&seen) {
                    k.get_or_insert_with(|| s.kind());
                }
            }
            let fields = named.iter().zip(kinds).map(|((n, d), k)| k.unwrap_or(crate::types::Kind::Text).field(n, d));
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        }
    };
    if let Some(first) = send_schema.take() {
        // Nobody waits any more: nobody wants the rows.
        if first.send(Ok(schema.clone())).is_err() {
            return Ok(());
        }
    }

    let mut batch = BatchBuilder::new(schema.clone(), query.types)?;
    let emit = |batch: &mut BatchBuilder| -> Result<bool> {
        let (rows, bytes) = (batch.rows() as u64, batch.bytes() as u64);
        let done = batch.finish()?;
        ctx.stats.add_rows(rows);
        ctx.stats.add_bytes(bytes);
        watch.pause();
        let taken = send.blocking_send(Ok(done)).is_ok();
        watch.resume();
        Ok(taken && !watch.is_stopped())
    };
    let full = |b: &BatchBuilder| b.rows() >= ctx.batch_rows.max(1) || b.bytes() >= ctx.batch_bytes.max(1);
    for values in held.drain(..) {
        batch.push(|i| Ok(values[i].get()))?;
        if full(&batch) && !emit(&mut batch)? {
            return Ok(());
        }
    }
    while !ended {
        match rows.next().map_err(plain)? {
            None => ended = true,
            Some(row) => {
                // A read of no columns (to count rows) has a schema narrower than the statement.
                batch.push(|i| row.get_ref(i).map_err(plain))?;
                if full(&batch) && !emit(&mut batch)? {
                    return Ok(());
                }
            }
        }
    }
    if batch.rows() > 0 {
        emit(&mut batch)?;
    }
    Ok(())
}

/// A value kept until the schema is known. Text is bytes here: whether it is UTF-8 is for the decoder to say.
enum Held {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}
impl From<ValueRef<'_>> for Held {
    fn from(v: ValueRef<'_>) -> Self {
        match v {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(i) => Self::Integer(i),
            ValueRef::Real(r) => Self::Real(r),
            ValueRef::Text(t) => Self::Text(t.into()),
            ValueRef::Blob(b) => Self::Blob(b.into()),
        }
    }
}
impl Held {
    fn get(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Integer(i) => ValueRef::Integer(*i),
            Self::Real(r) => ValueRef::Real(*r),
            Self::Text(t) => ValueRef::Text(t),
            Self::Blob(b) => ValueRef::Blob(b),
        }
    }
}

/// The one statement in `sql`.
pub(crate) fn single<'c>(conn: &'c Connection, sql: &str) -> Result<Statement<'c>> {
    use rusqlite::fallible_iterator::FallibleIterator;
    let mut batch = rusqlite::Batch::new(conn, sql);
    let Some(stmt) = batch.next().map_err(plain)? else { return Err(Error::config("there is no statement to run")) };
    // A second one may need what the first makes; that it is there is all that matters.
    match batch.next() {
        Ok(None) => Ok(stmt),
        _ => Err(plain(rusqlite::Error::MultipleStatement)),
    }
}
