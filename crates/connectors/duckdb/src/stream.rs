//! One statement's rows as a stream: a thread fetches DuckDB's chunks as they are made (nothing is materialised), joins
//! them to batches, and hands those over through a bounded channel.

use crate::catalog::transported;
use crate::check::from_duckdb;
use crate::connector::Duck;
use crate::convert::arrived;
use crate::error::plain;
use crate::types::{Transport, field, parse};
use crate::watch::{StopOnDrop, Watch, on};
use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use duckdb::Connection;
use duckdb::types::Value;
use futures::StreamExt;
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
    /// `None`: native SQL, whose types are asked for first.
    pub(crate) schema: Option<SchemaRef>,
    pub(crate) types: TypePolicy,
}

type First = Option<oneshot::Sender<Result<SchemaRef>>>;

pub(crate) async fn stream(duck: &Duck, query: Query, ctx: &ReadContext) -> Result<ArrowStream> {
    let (duck, ctx) = (duck.clone(), ctx.clone());
    let watch = Arc::new(Watch::new(duck.settings().query_timeout));
    let guard = (StopOnDrop(watch.clone()), watch.clone().start_clock());
    let (send_schema, schema) = oneshot::channel::<Result<SchemaRef>>();
    let (send, receive) = mpsc::channel::<Result<RecordBatch>>(AHEAD);
    let flag = PanicFlag::default();
    let panics = flag.watch();
    tokio::task::spawn_blocking(move || {
        let _panics = panics;
        let mut first: First = Some(send_schema);
        let result = duck.connect().and_then(|held| {
            watch.begin(held.conn.interrupt_handle());
            let done = produce(&held.conn, &query, &ctx, &watch, &mut first, &send).with_sql(&query.sql);
            watch.end();
            done
        });
        if let Err(e) = result {
            let e = on(duck.settings(), watch.explain(e));
            // Before the schema is known the error is the answer to `read`, after it the last item of the stream.
            match first.take() {
                Some(first) => drop(first.send(Err(e))),
                None => drop(send.blocking_send(Err(e))),
            }
        }
    });
    let schema = schema.await.map_err(|_| Error::internal("a DuckDB thread died"))??;
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
    first: &mut First,
    send: &mpsc::Sender<Result<RecordBatch>>,
) -> Result<()> {
    for statement in &query.before {
        conn.execute_batch(statement).map_err(plain).with_sql(statement)?;
    }
    let schema = query.schema.clone();
    let source_types = match schema {
        Some(_) => None,
        None => result_types(conn, &query.sql, &query.params),
    };
    let sql = match schema {
        Some(_) => query.sql.clone(),
        None => carried(&query.sql, source_types.as_deref())?,
    };
    let mut stmt = conn.prepare(&sql).map_err(plain)?;
    let wanted = stmt.parameter_count();
    if wanted != query.params.len() {
        return Err(plain(duckdb::Error::InvalidParameterCount(query.params.len(), wanted)));
    }
    // The iterator this returns panics on errors; `step` below gives them.
    let _ = stmt.stream_arrow(duckdb::params_from_iter(&query.params)).map_err(plain)?;
    let schema = match schema {
        Some(s) => s,
        None => native_schema(&stmt.schema(), source_types.as_deref()),
    };
    // A statement that returns no rows (DDL, or DML with its count) has done its work.
    let rows_wanted = source_types.is_some() || query.schema.is_some();
    let schema = if rows_wanted { schema } else { Arc::new(Schema::empty()) };
    if let Some(first) = first.take()
        && first.send(Ok(schema.clone())).is_err()
    {
        return Ok(());
    }
    let mut pending = Pending::new(schema.clone());
    loop {
        let Some(chunk) = stmt.step().map_err(plain)? else { break };
        if !rows_wanted {
            continue;
        }
        pending.push(chunk_to_batch(&chunk, &schema, query.types)?);
        if (pending.rows >= ctx.batch_rows.max(1) || pending.bytes >= ctx.batch_bytes.max(1))
            && !pending.emit(ctx, watch, send, false)?
        {
            return Ok(());
        }
    }
    pending.emit(ctx, watch, send, true)?;
    Ok(())
}

/// Chunks (of at most 2048 rows) that wait to be a batch.
struct Pending {
    schema: SchemaRef,
    parts: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}
impl Pending {
    fn new(schema: SchemaRef) -> Self {
        Self { schema, parts: vec![], rows: 0, bytes: 0 }
    }
    fn push(&mut self, b: RecordBatch) {
        self.rows += b.num_rows();
        self.bytes += b.get_array_memory_size();
        self.parts.push(b);
    }
    /// Sends full batches (all of what is there, at the `end`). False where nobody takes them any more.
    fn emit(
        &mut self,
        ctx: &ReadContext,
        watch: &Watch,
        send: &mpsc::Sender<Result<RecordBatch>>,
        end: bool,
    ) -> Result<bool> {
        if self.rows == 0 {
            return Ok(true);
        }
        let all = joined(&self.schema, &self.parts)?;
        let (bytes, rows) = (self.bytes, self.rows);
        (self.parts, self.rows, self.bytes) = (vec![], 0, 0);
        let per_batch = if bytes > ctx.batch_bytes {
            (rows * ctx.batch_bytes / bytes).clamp(1, ctx.batch_rows.max(1))
        } else {
            ctx.batch_rows.max(1)
        };
        let mut start = 0;
        while start < rows {
            let n = per_batch.min(rows - start);
            // A rest waits for more, unless it is the last or would wait as bytes do.
            if n < per_batch && !end && start > 0 {
                self.push(all.slice(start, n));
                self.bytes = bytes / rows.max(1) * n;
                break;
            }
            ctx.stats.add_rows(n as u64);
            ctx.stats.add_bytes((bytes as u64 * n as u64) / rows as u64);
            watch.pause();
            let taken = send.blocking_send(Ok(all.slice(start, n))).is_ok();
            watch.resume();
            if !taken || watch.is_stopped() {
                return Ok(false);
            }
            start += n;
        }
        Ok(true)
    }
}

fn joined(schema: &SchemaRef, parts: &[RecordBatch]) -> Result<RecordBatch> {
    if schema.fields().is_empty() {
        let rows = parts.iter().map(RecordBatch::num_rows).sum();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        return Ok(RecordBatch::try_new_with_options(schema.clone(), vec![], &options)?);
    }
    Ok(arrow::compute::concat_batches(schema, parts)?)
}

fn chunk_to_batch(chunk: &arrow::array::StructArray, schema: &SchemaRef, types: TypePolicy) -> Result<RecordBatch> {
    let lossy = types == TypePolicy::Lossy;
    let arrays = schema
        .fields()
        .iter()
        .zip(chunk.columns())
        .map(|(f, a)| from_duckdb(f.name(), &arrived(a, f.data_type())?, lossy))
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(chunk.len()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?)
}

/// Column names and types of a statement that returns rows, without running it. `None` for any other statement.
pub(crate) fn result_types(conn: &Connection, sql: &str, params: &[Value]) -> Option<Vec<(String, String)>> {
    let mut stmt = conn.prepare(&format!("DESCRIBE {}", body(sql))).ok()?;
    stmt.query_map(duckdb::params_from_iter(params), |r| Ok((r.get(0)?, r.get(1)?)))
        .ok()?
        .collect::<duckdb::Result<_>>()
        .ok()
}

/// `sql` with the columns that Arrow would change cast to what it carries.
fn carried(sql: &str, types: Option<&[(String, String)]>) -> Result<String> {
    let Some(types) = types else { return Ok(sql.into()) };
    let mut names = std::collections::HashSet::new();
    let unique = types.iter().all(|(n, _)| names.insert(n.to_lowercase()));
    let plain = types.iter().all(|(_, t)| parse(t).transport() == Transport::AsIs);
    if plain {
        return Ok(sql.into());
    }
    if !unique {
        return Err(Error::unsupported("two result columns have one name, and one of them must be cast to be read")
            .hint("give the columns different names"));
    }
    let list: Vec<String> = types.iter().map(|(n, t)| transported(n, t)).collect();
    Ok(format!("SELECT {} FROM ({}) AS q", list.join(", "), body(sql)))
}

/// A statement's text without the semicolon that would end the statement it is put into.
pub(crate) fn body(sql: &str) -> &str {
    sql.trim().trim_end_matches(';').trim_end()
}

fn native_schema(exported: &SchemaRef, types: Option<&[(String, String)]>) -> SchemaRef {
    let fields = exported.fields().iter().enumerate().map(|(i, f)| {
        let source = types.and_then(|t| t.get(i)).map_or("", |t| t.1.as_str());
        field(f.name(), source, f.data_type())
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
