//! Loading: a staging table filled by binary COPY on one or several connections, then the swap.

use crate::config::DEF;
use crate::connector::Postgres;
use crate::encode;
use crate::error;
use crate::keep;
use crate::pool::{Conn, Pool};
use crate::prepare;
use crate::sql::{self, DIALECT, MAX_IDENTIFIER};
use crate::swap;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;
use xdb_core::{
    Error, IoStats, Load, LoadOptions, LoadReport, LoadSession, Relation, Result, ResultExt, TypePolicy, WriteMode,
};

/// Encoded bytes at which they are sent.
const CHUNK: usize = 256 << 10;
/// Batches waiting for one connection.
const QUEUE: usize = 1;

/// Makes sure of the target's schema. Asking first: CREATE SCHEMA needs its right even where there is nothing to create.
pub(crate) async fn ensure_schema(conn: &mut Conn, target: &Relation) -> Result<()> {
    let schema = target.schema.as_deref().unwrap_or_default();
    let ask = format!("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = {}", sql::text(schema));
    if conn.value(&ask).await?.is_some() {
        return Ok(());
    }
    match conn.run(&format!("CREATE SCHEMA IF NOT EXISTS {}", sql::ident(schema))).await {
        Ok(_) => Ok(()),
        // IF NOT EXISTS doesn't keep two sessions from creating it at once: one of them fails on the catalog's index.
        Err(e) => match conn.value(&ask).await {
            Ok(Some(_)) => Ok(()),
            _ => Err(e),
        },
    }
}

/// Names longer than this are cut by the server with no more than a notice.
fn check_name(what: &str, name: &str) -> Result<()> {
    if name.len() <= MAX_IDENTIFIER && !name.is_empty() {
        return Ok(());
    }
    let m = format!("{what} `{name}` has {} bytes; PostgreSQL allows 1 to {MAX_IDENTIFIER}", name.len());
    Err(Error::config(m).hint("give it a shorter alias in the model's SQL"))
}

/// The checks that need no rows: what the target is now, and whether these columns can go there.
pub(crate) async fn check_target(
    conn: &mut Conn,
    target: &Relation,
    mode: &WriteMode,
    columns: Option<&[&str]>,
) -> Result<()> {
    check_name("the table's name", &target.name)?;
    let old = keep::find(conn, target).await?;
    if *mode == WriteMode::Replace {
        return old.map_or(Ok(()), |old| keep::refuse(&old, target));
    }
    if old.is_none() {
        return Err(crate::catalog::not_found(conn, target).await);
    }
    let there = swap::column_types(conn, target).await?;
    if let Some(name) = columns.unwrap_or_default().iter().find(|c| !there.iter().any(|(n, _)| n == *c)) {
        return Err(swap::missing_column(name, target, there.iter().map(|(n, _)| n.as_str())));
    }
    if let (WriteMode::Merge { unique_key }, Some(columns)) = (mode, columns)
        && let Some(k) = unique_key.iter().find(|k| !columns.contains(&k.as_str()))
    {
        let e = Error::config(format!("unique_key `{k}` is not a column of the model"));
        return Err(match xdb_core::names::suggest(k, columns.iter().copied()) {
            Some(h) => e.hint(h),
            None => e,
        });
    }
    if matches!(mode, WriteMode::Merge { unique_key } if unique_key.is_empty()) {
        return Err(Error::config("a merge needs at least one column in `unique_key`"));
    }
    Ok(())
}

#[async_trait]
impl Load for Postgres {
    async fn begin(&self, target: &Relation, schema: SchemaRef, options: &LoadOptions) -> Result<Box<dyn LoadSession>> {
        let target = self.own(target)?;
        let name = sql::relation(&target);
        let work = async {
            for f in schema.fields() {
                check_name("column", f.name())?;
            }
            let columns = xdb_sql::column_defs(&DEF, &schema)?;
            let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
            let staging = swap::staging(&target);
            let mut conn = self.pool.get().await?;
            check_target(&mut conn, &target, &options.mode, Some(&names)).await?;
            ensure_schema(&mut conn, &target).await?;
            conn.run(&xdb_sql::create_table(&DIALECT, &sql::relation(&staging), &columns)).await?;
            conn.release();
            Ok::<_, Error>(staging)
        };
        let staging = work.await.map_err(|e| e.connection(&self.config().name).relation(&name))?;
        let copy = Copy {
            pool: self.pool.clone(),
            sql: format!("COPY {} FROM STDIN (FORMAT BINARY)", sql::relation(&staging)),
            schema,
            policy: options.types,
            stats: options.stats.clone(),
        };
        Ok(Box::new(Session {
            pool: self.pool.clone(),
            target,
            staging: Some(staging),
            mode: options.mode.clone(),
            policy: options.types,
            limit: options.parallelism.clamp(1, self.config().pool_size),
            copy,
            workers: Vec::new(),
            next: 0,
        }))
    }
}

/// What each connection of a load does.
#[derive(Clone)]
struct Copy {
    pool: Arc<Pool>,
    sql: String,
    schema: SchemaRef,
    policy: TypePolicy,
    stats: Arc<IoStats>,
}

struct Worker {
    queue: mpsc::Sender<RecordBatch>,
    task: JoinHandle<Result<u64>>,
}

struct Session {
    pool: Arc<Pool>,
    target: Relation,
    /// `None` once it is gone: committed or dropped.
    staging: Option<Relation>,
    mode: WriteMode,
    policy: TypePolicy,
    limit: usize,
    copy: Copy,
    workers: Vec<Worker>,
    /// Where the next batch is offered first.
    next: usize,
}

impl Copy {
    fn start(&self) -> Worker {
        let (queue, batches) = mpsc::channel(QUEUE);
        Worker { queue, task: tokio::spawn(self.clone().run(batches)) }
    }

    /// All batches into one COPY; the number of rows that the server took.
    async fn run(self, mut batches: mpsc::Receiver<RecordBatch>) -> Result<u64> {
        let mut conn = self.pool.get().await?;
        let fail = |e: sqlx::Error| error::from_sqlx(e, &self.pool.config).sql(&self.sql);
        let mut copy = conn.copy_in_raw(&self.sql).await.map_err(fail)?;
        let mut buffer = encode::header();
        while let Some(batch) = batches.recv().await {
            let arrays = prepare::prepare(&self.schema, &batch)?;
            let mut row = 0;
            while row < batch.num_rows() {
                let from = row;
                row = self.encode(&mut buffer, &arrays, row, batch.num_rows())?;
                self.stats.add_rows((row - from) as u64);
                if buffer.len() >= CHUNK {
                    self.stats.add_bytes(buffer.len() as u64);
                    copy.send(buffer.as_slice()).await.map_err(fail)?;
                    buffer.clear();
                }
            }
        }
        buffer.extend(encode::TRAILER);
        self.stats.add_bytes(buffer.len() as u64);
        copy.send(buffer.as_slice()).await.map_err(fail)?;
        let rows = copy.finish().await.map_err(fail)?;
        conn.release();
        Ok(rows)
    }

    /// One chunk's worth of rows. The encoders must not live across an await.
    fn encode(
        &self,
        buffer: &mut Vec<u8>,
        arrays: &[arrow::array::ArrayRef],
        from: usize,
        rows: usize,
    ) -> Result<usize> {
        let columns = encode::columns(&self.schema, arrays, self.policy)?;
        encode::encode_rows(buffer, &columns, from, rows, CHUNK)
    }
}

impl Session {
    /// The error that ended a worker whose queue is closed.
    async fn failure(&mut self, worker: usize) -> Error {
        match self.workers.swap_remove(worker).task.await {
            Ok(Err(e)) => self.place(e),
            Ok(Ok(_)) => Error::internal("a load's connection ended early"),
            Err(e) => Error::internal(format!("a load's task failed: {e}")),
        }
    }

    fn place(&self, e: Error) -> Error {
        e.connection(&self.pool.config.name).relation(sql::relation(&self.target))
    }

    async fn offer(&mut self, batch: RecordBatch) -> Result<()> {
        let mut batch = batch;
        for i in 0..self.workers.len() {
            let at = (self.next + i) % self.workers.len();
            match self.workers[at].queue.try_send(batch) {
                Ok(()) => {
                    self.next = at + 1;
                    return Ok(());
                }
                Err(TrySendError::Full(b)) => batch = b,
                Err(TrySendError::Closed(_)) => return Err(self.failure(at).await),
            }
        }
        // All are busy: one more, if there may be, else wait for the one that has waited longest.
        if self.workers.len() < self.limit {
            self.workers.push(self.copy.start());
            self.next = self.workers.len() - 1;
        }
        let at = self.next % self.workers.len();
        self.next = at + 1;
        match self.workers[at].queue.send(batch).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failure(at).await),
        }
    }

    /// Waits for the rows and puts them into the target.
    async fn publish(&mut self) -> Result<LoadReport> {
        let mut rows = 0;
        // Closing a queue ends its COPY; all of them before waiting for any.
        let tasks: Vec<_> = self.workers.drain(..).map(|w| w.task).collect();
        let mut failed = None;
        for t in tasks {
            match t.await.map_err(|e| Error::internal(format!("a load's task failed: {e}"))).and_then(|r| r) {
                Ok(n) => rows += n,
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        if let Some(e) = failed {
            return Err(e);
        }
        let Some(staging) = self.staging.clone() else { return Err(Error::internal("committed twice")) };
        let mut conn = self.pool.get().await?;
        let work = async {
            swap::begin(&mut conn).await?;
            let notes = match &self.mode {
                WriteMode::Replace => swap::replace(&mut conn, &staging, &self.target, swap::New::Table).await?,
                mode => swap::add(&mut conn, &staging, &self.target, mode, self.policy).await?,
            };
            conn.run("COMMIT").await?;
            Ok::<_, Error>(notes)
        };
        match work.await {
            Ok(notes) => {
                self.staging = None;
                // So that the next reader's estimate is right; autovacuum would do the same a minute later.
                if self.mode == WriteMode::Replace
                    && let Err(e) = conn.run(&format!("ANALYZE {}", sql::relation(&self.target))).await
                {
                    tracing::debug!("ANALYZE failed: {e}");
                    return Ok(LoadReport { rows, notes });
                }
                conn.release();
                Ok(LoadReport { rows, notes })
            }
            Err(e) => {
                // The blocker is found only while this transaction's own locks are gone.
                if conn.run("ROLLBACK").await.is_err() {
                    return Err(e);
                }
                let e = swap::who_holds(e, &mut conn, &self.target).await;
                conn.release();
                Err(e)
            }
        }
    }
}

/// Stops the workers, then removes the staging table.
async fn discard(pool: Arc<Pool>, workers: Vec<Worker>, staging: Option<Relation>) -> Result<()> {
    for w in &workers {
        w.task.abort();
    }
    for w in workers {
        // Its connection must be closed before the table can be dropped.
        let _ = w.task.await;
    }
    let Some(staging) = staging else { return Ok(()) };
    let mut conn = pool.get().await?;
    conn.run(&format!("DROP TABLE IF EXISTS {}", sql::relation(&staging))).await?;
    conn.release();
    Ok(())
}

#[async_trait]
impl LoadSession for Session {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_columns() != self.copy.schema.fields().len() {
            return Err(Error::internal("a batch of another schema than the load's"));
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.offer(batch).await
    }

    async fn commit(mut self: Box<Self>) -> Result<LoadReport> {
        match self.publish().await {
            Ok(r) => Ok(r),
            Err(e) => {
                let e = self.place(e);
                let staging = self.staging.take();
                let name = staging.as_ref().map(sql::relation).unwrap_or_default();
                match discard(self.pool.clone(), std::mem::take(&mut self.workers), staging).await {
                    Ok(()) => Err(e),
                    Err(left) => {
                        tracing::warn!("could not remove the staging table {name}: {left}");
                        Err(e)
                    }
                }
            }
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        let staging = self.staging.take();
        let done = discard(self.pool.clone(), std::mem::take(&mut self.workers), staging).await;
        done.on_connection(&self.pool.config.name)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (workers, staging) = (std::mem::take(&mut self.workers), self.staging.take());
        if staging.is_none() && workers.is_empty() {
            return;
        }
        let pool = self.pool.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(e) = discard(pool, workers, staging).await {
                    tracing::warn!("could not remove a staging table: {e}");
                }
            });
        }
    }
}
