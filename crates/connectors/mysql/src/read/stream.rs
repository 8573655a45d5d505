//! A running query as a stream of batches: one thread that reads the socket and decodes, and a short queue.

use super::decode::Decoder;
use crate::errors::server_code;
use crate::pool::{Cancel, Pool, Session};
use crate::types;
use crate::wire::{Reply, Rows};
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use futures::stream;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use xdb_core::{ArrowStream, Error, Literal, PanicFlag, ReadContext, Result, TypePolicy};

/// Batches that may wait for the consumer, besides the one being filled.
const QUEUE: usize = 2;
/// "This command is not supported in the prepared statement protocol yet".
const ER_UNSUPPORTED_PS: u16 = 1295;

/// What to run.
pub(crate) struct Query {
    /// Statements that go first, in the same session.
    pub(crate) before: Vec<String>,
    pub(crate) sql: String,
    pub(crate) params: Vec<Literal>,
    /// The schema the rows must have; `None`: whatever they have.
    pub(crate) schema: Option<SchemaRef>,
    pub(crate) policy: TypePolicy,
    pub(crate) relation: Option<String>,
}

/// Where the connection comes from and where it goes.
pub(crate) trait Source: Send + 'static {
    fn take(&self, pool: &Pool) -> Result<Session>;
    /// After the last row, whole and well.
    fn put(&self, pool: &Pool, session: Session);
}
/// Any connection of the pool. `keep: false` closes it afterwards, because the statement may have changed the session.
pub(crate) struct FromPool {
    pub(crate) keep: bool,
}
impl Source for FromPool {
    fn take(&self, pool: &Pool) -> Result<Session> {
        pool.take()
    }
    fn put(&self, pool: &Pool, session: Session) {
        if self.keep {
            pool.put(session);
        }
    }
}

/// Start `query` and wait until its first rows (or its error) are there.
pub(crate) async fn open(
    pool: &Arc<Pool>,
    source: impl Source,
    query: Query,
    ctx: &ReadContext,
) -> Result<ArrowStream> {
    let cancel = Cancel::new(pool.clone());
    let running = cancel.running();
    let (schema_tx, schema_rx) = oneshot::channel::<Result<SchemaRef>>();
    let (tx, rx) = mpsc::channel::<Result<RecordBatch>>(QUEUE);
    let (thread_pool, ctx) = (pool.clone(), ctx.clone());
    let flag = PanicFlag::default();
    let watch = flag.watch();
    let run = move || {
        let _watch = watch;
        let mut schema_tx = Some(schema_tx);
        let mut work = || -> Result<()> {
            let mut session = source.take(&thread_pool)?;
            running.start(&session)?;
            let out = read(&thread_pool, &mut session, &query, &ctx, &tx, &mut schema_tx);
            let wanted = running.finish();
            if out? && wanted {
                source.put(&thread_pool, session);
            }
            Ok(())
        };
        if let Err(e) = work() {
            let mut e = thread_pool.context(e).sql(&query.sql);
            if let Some(r) = &query.relation {
                e = e.relation(r.clone());
            }
            // A receiver that is gone does not care for the error either.
            match schema_tx.take() {
                Some(first) => drop(first.send(Err(e))),
                None => drop(tx.blocking_send(Err(e))),
            }
        }
    };
    std::thread::Builder::new().name("xdb-mysql-read".into()).spawn(run)?;
    let schema = schema_rx.await.map_err(|_| Error::internal("a reading thread ended without a word"))??;
    let state = Reading { cancel, rx, flag };
    Ok(ArrowStream::new(
        schema,
        stream::unfold(state, |mut s| async move {
            let next = s.rx.recv().await.or_else(|| s.flag.take().map(Err))?;
            Some((next, s))
        }),
    ))
}

/// Fields are dropped in this order: the query is killed before its thread finds nobody listening.
struct Reading {
    #[allow(dead_code)] // Held for its drop.
    cancel: Cancel,
    rx: mpsc::Receiver<Result<RecordBatch>>,
    flag: PanicFlag,
}

/// `false`: the consumer went away in the middle.
fn read(
    pool: &Pool,
    session: &mut Session,
    query: &Query,
    ctx: &ReadContext,
    tx: &mpsc::Sender<Result<RecordBatch>>,
    schema_tx: &mut Option<oneshot::Sender<Result<SchemaRef>>>,
) -> Result<bool> {
    let mut received = session.received();
    for statement in &query.before {
        session.execute(statement).map_err(|e| e.sql(statement))?;
    }
    let rows = start(session, &query.sql, &query.params)?;
    let schema = match (&query.schema, &rows) {
        (Some(s), _) => s.clone(),
        (None, None) => Arc::new(Schema::empty()),
        (None, Some(rows)) => {
            let bools = pool.config.tinyint1_is_bool;
            let fields = rows.columns.iter().map(|c| types::wire_field(c, bools)).collect::<Result<Vec<Field>>>()?;
            Arc::new(Schema::new(fields))
        }
    };
    let batch_rows = ctx.batch_rows.max(1);
    // Offsets have 31 bits.
    let batch_bytes = ctx.batch_bytes.clamp(1, 512 << 20);
    let mut decoder = match &rows {
        Some(rows) => Some(Decoder::new(schema.clone(), rows, query.policy, batch_rows.min(65_536))?),
        None => None,
    };
    if let Some(first) = schema_tx.take()
        && first.send(Ok(schema)).is_err()
    {
        return Ok(false);
    }
    let (Some(decoder), Some(rows)) = (decoder.as_mut(), rows) else { return Ok(session.is_idle()) };
    let mut bytes = 0;
    loop {
        let more = match session.row()? {
            Some(packet) => {
                bytes += packet.len();
                decoder.row(packet)?;
                true
            }
            None => false,
        };
        if decoder.rows() >= batch_rows || bytes >= batch_bytes || (!more && decoder.rows() > 0) {
            bytes = 0;
            let batch = decoder.finish()?;
            ctx.stats.add_rows(batch.num_rows() as u64);
            ctx.stats.add_bytes(session.received() - received);
            received = session.received();
            if tx.blocking_send(Ok(batch)).is_err() {
                return Ok(false);
            }
        }
        if !more {
            session.close_statement(&rows)?;
            // More results follow after CALL: only the first was asked for, and the connection is closed.
            return Ok(session.is_idle());
        }
    }
}

/// The binary protocol wherever the server has it for the statement: floats are exact in it, and decoding is cheaper.
fn start(session: &mut Session, sql: &str, params: &[Literal]) -> Result<Option<Rows>> {
    match session.run_prepared(sql, params) {
        Err(e) if params.is_empty() && server_code(&e) == Some(ER_UNSUPPORTED_PS) => match session.query(sql)? {
            Reply::Rows(columns) => Ok(Some(Rows::text(columns))),
            _ => Ok(None),
        },
        other => other,
    }
}
