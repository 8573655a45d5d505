//! Reading: plans of splits, and the task behind each stream.
//!
//! A stream's rows come from a task of its own that reads the COPY data, decodes it and puts batches into a channel of two:
//! a consumer that falls behind stops the task, then the socket, then the server. A consumer that goes away makes the task
//! ask the server to stop, and the connection is closed, not reused.

use crate::config::Config;
use crate::connector::Postgres;
use crate::decode::Decoder;
use crate::error;
use crate::estimate;
use crate::kind::Kind;
use crate::pool::Conn;
use crate::pushdown::{self, Sent};
use crate::query::{Queries, item_kind};
use crate::splits::{self, Part};
use crate::sql;
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use futures::{StreamExt, future::poll_fn, stream};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::mpsc;
use xdb_core::{
    ArrowStream, Error, ErrorKind, Extract, PanicFlag, Predicate, Pushdown, Query, ReadContext, ReadEstimate,
    RelationKind, Result, ResultExt, ScanPlan, ScanRequest, Split, TableInfo, TypePolicy,
};
use xdb_sql::query::{RenderedItem, render};

/// Batches ready beyond the one being read.
const AHEAD: usize = 2;

/// A split, as data. The statement to copy out of is `Split::sql`.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    relation: String,
    columns: Vec<Column>,
    /// Of all splits of one read, exported by the plan's guard.
    snapshot: Option<String>,
    lossy: bool,
}

/// A column of the stream: its kind, and what makes its Arrow field.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Column {
    name: String,
    kind: Kind,
    nullable: bool,
    metadata: HashMap<String, String>,
}

/// Holds the transaction open whose snapshot the splits use.
struct SnapshotGuard(Option<Conn>);

impl Drop for SnapshotGuard {
    fn drop(&mut self) {
        // Without a runtime the socket is closed, which ends the transaction as well.
        if let (Some(mut conn), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                if conn.run("ROLLBACK").await.is_ok() {
                    conn.release();
                }
            });
        }
    }
}

/// `SELECT columns FROM … WHERE …` over the part's pieces, or the whole relation.
fn select_sql(
    columns: &[Column],
    relation: &str,
    part: Option<&Part>,
    filters: &[String],
    limit: Option<u64>,
) -> String {
    // No columns at all is allowed there, and keeps the number of rows.
    let list: Vec<String> = columns.iter().map(|c| c.kind.select(&sql::ident(&c.name))).collect();
    let list = if list.is_empty() { String::new() } else { format!(" {}", list.join(", ")) };
    let one = |from: String, condition: Option<String>| {
        let all: Vec<&str> = condition.iter().chain(filters).map(String::as_str).collect();
        let filter = if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) };
        format!("SELECT{list} FROM {from}{filter}")
    };
    let mut sql = match part {
        None => one(relation.to_string(), None),
        Some(p) => {
            let piece = |p: &splits::Piece| {
                // ONLY: a child's own children have pieces of their own.
                let from = p.heap.as_ref().map_or_else(|| relation.to_string(), |h| format!("ONLY {h}"));
                one(from, p.condition())
            };
            p.pieces.iter().map(piece).collect::<Vec<_>>().join(" UNION ALL ")
        }
    };
    if let Some(n) = limit {
        sql += &format!(" LIMIT {n}");
    }
    sql
}

#[async_trait]
impl Extract for Postgres {
    fn pushdown(&self, table: &TableInfo, predicates: &[Predicate]) -> Vec<Pushdown> {
        predicates.iter().map(|p| pushdown::answer(table, p)).collect()
    }

    fn expected_splits(&self, request: &ScanRequest) -> Option<usize> {
        if request.limit.is_some() || request.parallelism < 2 {
            return Some(1);
        }
        splits::expected(request.table.bytes_estimate?, request.parallelism)
    }

    async fn plan(&self, request: &ScanRequest) -> Result<ScanPlan> {
        let table = &request.table;
        let rel = self.own(&table.relation)?;
        let relation = sql::relation(&rel);
        let schema = request.schema();
        let columns = columns_of(&schema).on_relation(&relation)?;
        let mut filters = Vec::new();
        for p in &request.predicates {
            match pushdown::render(table, p, request.types) {
                Sent::Exact(s) | Sent::Inexact(s) => filters.push(s),
                // Only under `types: lossy`: the filter stays with the one who asks only if it isn't promised as exact.
                Sent::No(why) => {
                    return Err(Error::unsupported(format!("{relation}: a filter cannot be sent: {why}"))
                        .connection(&self.config().name)
                        .hint("set `pushdown: off`, or `types: exact`"));
                }
            }
        }
        let lossy = request.types == TypePolicy::Lossy;
        let split = |part: Option<&Part>, snapshot: Option<&str>, rows: Option<u64>| {
            let payload = Payload {
                relation: relation.clone(),
                columns: columns.clone(),
                snapshot: snapshot.map(Into::into),
                lossy,
            };
            Ok::<_, Error>(Split {
                payload: serde_json::to_value(payload).map_err(|e| Error::internal(e.to_string()))?,
                sql: select_sql(&columns, &relation, part, &filters, request.limit),
                row_estimate: rows,
            })
        };
        // A limit stops early on one connection; several would each read as much.
        let divisible = matches!(table.kind, RelationKind::Table | RelationKind::MaterializedView);
        if request.parallelism > 1 && request.limit.is_none() && divisible {
            let mut conn = self.pool.get().await?;
            conn.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let (heaps, ranges) = splits::heaps(&mut conn, &rel).await.on_relation(&relation)?;
            let parts = splits::cut(&heaps, ranges, request.parallelism);
            if parts.len() > 1 {
                // Some servers that speak the protocol cannot; then one connection reads it all.
                if let Ok(Some(snapshot)) = conn.value("SELECT pg_catalog.pg_export_snapshot()").await {
                    let share = table.row_estimate.map(|n| n / parts.len() as u64);
                    let splits = parts.iter().map(|p| split(Some(p), Some(&snapshot), share)).collect::<Result<_>>()?;
                    return Ok(ScanPlan { schema, splits, guard: Some(Arc::new(SnapshotGuard(Some(conn)))) });
                }
                // Its transaction is broken: let it go.
                drop(conn);
            } else {
                conn.run("COMMIT").await?;
                conn.release();
            }
        }
        Ok(ScanPlan { splits: vec![split(None, None, table.row_estimate)?], schema, guard: None })
    }

    fn accepts(&self, query: &Query) -> Result<(), String> {
        for table in query.tables() {
            self.own(&table.relation).map_err(|e| e.message().to_string())?;
        }
        render(query, &Queries).map(|_| ())
    }

    async fn plan_query(&self, query: &Query) -> Result<ScanPlan> {
        let refused =
            |why: String| Error::unsupported(format!("a query cannot be sent: {why}")).connection(&self.config().name);
        let rendered = render(query, &Queries).map_err(refused)?;
        let column = |i: &RenderedItem| {
            let f = &i.field;
            let kind = item_kind(i.origin.as_ref(), f).map_err(refused)?;
            Ok(Column { name: f.name().clone(), kind, nullable: f.is_nullable(), metadata: f.metadata().clone() })
        };
        let relations: Vec<String> = query.tables().iter().map(|t| sql::relation(&t.relation)).collect();
        let payload = Payload {
            relation: relations.join(", "),
            columns: rendered.items.iter().map(column).collect::<Result<_>>()?,
            snapshot: None,
            lossy: false,
        };
        let split = Split {
            payload: serde_json::to_value(payload).map_err(|e| Error::internal(e.to_string()))?,
            sql: rendered.sql,
            row_estimate: None,
        };
        Ok(ScanPlan { schema: query.schema(), splits: vec![split], guard: None })
    }

    async fn estimate(&self, plan: &ScanPlan) -> Result<Option<ReadEstimate>> {
        estimate::estimate(self, plan).await
    }

    async fn read(&self, split: &Split, ctx: &ReadContext) -> Result<ArrowStream> {
        let payload: Payload = serde_json::from_value(split.payload.clone())
            .map_err(|e| Error::internal(format!("a split of the postgres connector: {e}")))?;
        let kinds: Vec<Kind> = payload.columns.iter().map(|c| c.kind.clone()).collect();
        let field = |c: Column| Field::new(c.name, c.kind.arrow(), c.nullable).with_metadata(c.metadata);
        let schema = Arc::new(Schema::new(payload.columns.into_iter().map(field).collect::<Vec<_>>()));
        let policy = if payload.lossy { TypePolicy::Lossy } else { TypePolicy::Exact };
        let conn = self.pool.get().await?;
        let begin = payload.snapshot.as_ref().map(|s| {
            format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}", sql::text(s))
        });
        let source = Source { begin, select: split.sql.clone(), relation: Some(payload.relation) };
        copy_out(conn, source, Decoder::new(schema.clone(), &kinds, policy), schema, ctx).await
    }
}

fn columns_of(schema: &Schema) -> Result<Vec<Column>> {
    let column = |f: &FieldRef| match Kind::of(f) {
        Some(kind) => {
            Ok(Column { name: f.name().clone(), kind, nullable: f.is_nullable(), metadata: f.metadata().clone() })
        }
        None => Err(Error::internal(format!("column `{}` was not described by the postgres connector", f.name()))),
    };
    schema.fields().iter().map(column).collect()
}

/// What a stream reads.
pub(crate) struct Source {
    /// Statements before, which open a transaction.
    pub(crate) begin: Option<String>,
    pub(crate) select: String,
    pub(crate) relation: Option<String>,
}
impl Source {
    fn describe(&self, e: Error) -> Error {
        let e = e.sql(&self.select);
        match &self.relation {
            Some(r) => e.relation(r),
            None => e,
        }
    }
}

/// The rows of a SELECT as a stream. Waits for the first batch (or the end), so that an error of the statement is the
/// call's, not the stream's.
pub(crate) async fn copy_out(
    conn: Conn,
    source: Source,
    decoder: Decoder,
    schema: SchemaRef,
    ctx: &ReadContext,
) -> Result<ArrowStream> {
    let (tx, rx) = mpsc::channel(AHEAD);
    let task = Pump { conn, source, decoder, ctx: ctx.clone(), tx };
    let flag = PanicFlag::default();
    let watch = flag.watch();
    tokio::spawn(async move {
        let _watch = watch;
        task.run().await;
    });
    started(rx, schema, flag).await
}

/// The channel's batches as a stream, once the first is there.
pub(crate) async fn started(
    mut rx: mpsc::Receiver<Result<RecordBatch>>,
    schema: SchemaRef,
    flag: PanicFlag,
) -> Result<ArrowStream> {
    let first = match rx.recv().await.transpose()? {
        Some(b) => Some(b),
        None => match flag.take() {
            Some(e) => return Err(e),
            None => None,
        },
    };
    let rest = stream::unfold((rx, flag), |(mut rx, flag)| async move {
        let next = rx.recv().await.or_else(|| flag.take().map(Err));
        next.map(|b| (b, (rx, flag)))
    });
    Ok(ArrowStream::new(schema, stream::iter(first.map(Ok)).chain(rest)))
}

struct Pump {
    conn: Conn,
    source: Source,
    decoder: Decoder,
    ctx: ReadContext,
    tx: mpsc::Sender<Result<RecordBatch>>,
}

/// Why a pump stopped.
enum End {
    /// All rows were read and the connection is clean.
    Done,
    /// Nobody listens any more.
    Dropped,
    Failed(Error),
}

impl Pump {
    async fn run(mut self) {
        let end = match self.pump().await {
            Ok(end) => end,
            Err(e) => End::Failed(e),
        };
        match end {
            End::Done => {
                if self.source.begin.is_none() || self.conn.run("COMMIT").await.is_ok() {
                    self.conn.release();
                }
            }
            End::Dropped => self.conn.cancel().await,
            End::Failed(e) => {
                // A failed statement has stopped by itself; one whose rows could not be decoded has not.
                let running = e.context().code.is_none();
                let _ = self.tx.send(Err(self.source.describe(e))).await;
                if running {
                    self.conn.cancel().await;
                }
            }
        }
    }

    async fn pump(&mut self) -> Result<End> {
        if let Some(begin) = &self.source.begin {
            self.conn.run(begin).await.map_err(snapshot_gone)?;
        }
        let config: Config = self.conn.config().clone();
        let fail = |e: sqlx::Error| error::from_sqlx(e, &config);
        // The line break ends a comment at the end of a statement from the user.
        let copy = format!("COPY ({}\n) TO STDOUT (FORMAT BINARY)", self.source.select);
        let mut closed = pin!(self.tx.closed());
        let mut start = pin!(self.conn.copy_out_raw(&copy));
        // A statement that sorts for minutes before its first row must notice a consumer that leaves, too.
        let started = poll_fn(|cx| match start.as_mut().poll(cx) {
            Poll::Ready(r) => Poll::Ready(Some(r)),
            Poll::Pending => closed.as_mut().poll(cx).map(|()| None),
        });
        let mut data = match started.await {
            None => return Ok(End::Dropped),
            Some(r) => r.map_err(fail)?,
        };
        let mut wire = 0;
        loop {
            // The consumer is asked about only while the server has nothing: this runs once a row.
            let next = poll_fn(|cx| match data.as_mut().poll_next(cx) {
                Poll::Ready(r) => Poll::Ready(Some(r)),
                Poll::Pending => closed.as_mut().poll(cx).map(|()| None),
            });
            let Some(next) = next.await else { return Ok(End::Dropped) };
            let last = match next {
                Some(bytes) => {
                    let bytes = bytes.map_err(fail)?;
                    wire += bytes.len() as u64;
                    self.decoder.push_copy_data(&bytes)?;
                    false
                }
                None => true,
            };
            let full = self.decoder.rows() >= self.ctx.batch_rows || self.decoder.bytes() >= self.ctx.batch_bytes;
            if full || last && self.decoder.rows() > 0 {
                let rows = self.decoder.rows() as u64;
                let batch = self.decoder.finish()?;
                self.ctx.stats.add_rows(rows);
                self.ctx.stats.add_bytes(std::mem::take(&mut wire));
                if self.tx.send(Ok(batch)).await.is_err() {
                    return Ok(End::Dropped);
                }
            }
            if last {
                if !self.decoder.ended() {
                    return Err(Error::new(ErrorKind::Protocol, "the server ended COPY without its trailer"));
                }
                return Ok(End::Done);
            }
        }
    }
}

fn snapshot_gone(e: Error) -> Error {
    match e.context().code.as_deref() {
        Some("22023" | "42704") => e
            .with_message(|m| format!("the read's snapshot is gone: {m}"))
            .hint("the connection that held it was lost; run it again")
            .retryable(true),
        _ => e,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::splits::{Heap, cut};

    #[test]
    fn statements() {
        let column = |name: &str, kind| Column { name: name.into(), kind, nullable: true, metadata: HashMap::new() };
        let columns = vec![column("id", Kind::Int8), column("ad\"dr", Kind::Cast)];
        assert_eq!(
            select_sql(&columns, "\"s\".\"t\"", None, &["(\"id\" > 1)".into()], Some(5)),
            r#"SELECT "id", "ad""dr"::text FROM "s"."t" WHERE ("id" > 1) LIMIT 5"#
        );
        assert_eq!(select_sql(&[], "t", None, &[], None), "SELECT FROM t");
        let heaps = [Heap { sql: Some("a".into()), pages: 3000 }, Heap { sql: Some("b".into()), pages: 3000 }];
        let sql: Vec<String> =
            cut(&heaps, true, 3).iter().map(|p| select_sql(&columns[..1], "t", Some(p), &["x".into()], None)).collect();
        assert_eq!(
            sql,
            [
                r#"SELECT "id" FROM ONLY a WHERE ctid < '(2000,0)'::tid AND x"#,
                r#"SELECT "id" FROM ONLY a WHERE ctid >= '(2000,0)'::tid AND x UNION ALL SELECT "id" FROM ONLY b WHERE ctid < '(1000,0)'::tid AND x"#,
                r#"SELECT "id" FROM ONLY b WHERE ctid >= '(1000,0)'::tid AND x"#,
            ]
        );
    }
}
