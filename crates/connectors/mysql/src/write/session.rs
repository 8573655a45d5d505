//! `Load` and its session: staging, workers, commit, and cleaning up after all else.

use super::swap;
use super::target::Staging;
use super::worker::{Queue, Worker};
use crate::connector::MySql;
use crate::dialect::MYSQL;
use crate::errors::server_code;
use crate::pool::{Cancel, Pool, Session, blocking};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use xdb_core::{Error, ErrorKind, Load, LoadOptions, LoadReport, LoadSession, Relation, Result};

/// More connections than this load no faster.
const MAX_WORKERS: usize = 8;
/// How long a session that is dropped without `abort` waits for its cleaning up.
const DROP_WAIT: Duration = Duration::from_secs(2);

#[async_trait]
impl Load for MySql {
    async fn begin(&self, target: &Relation, schema: SchemaRef, options: &LoadOptions) -> Result<Box<dyn LoadSession>> {
        let target = xdb_core::Connector::resolve(self, target);
        let (pool, s, o, t) = (self.pool.clone(), schema.clone(), options.clone(), target.clone());
        let local_infile = self.config().local_infile;
        let (control, staging) = blocking(move || {
            let mut control = match pool.take() {
                // The default database is what is to be made.
                Err(e) if server_code(&e) == Some(1049) => pool.open_without_database()?,
                other => other?,
            };
            let staging = Staging::create(&mut control, &t, &s, &o, local_infile)?;
            Ok((control, Arc::new(staging)))
        })
        .await
        .map_err(|e| self.pool.context(e).relation(target.to_string()))?;
        Ok(Box::new(Loading::start(self.pool.clone(), control, staging, schema, options)))
    }
}

struct Loading {
    pool: Arc<Pool>,
    /// Holds the staging table's name lock. `None` once the session is over.
    control: Option<Session>,
    staging: Arc<Staging>,
    batches: Option<mpsc::Sender<RecordBatch>>,
    failed: Arc<AtomicBool>,
    workers: Vec<(oneshot::Receiver<Result<u64>>, Cancel)>,
}

impl Loading {
    fn start(
        pool: Arc<Pool>,
        control: Session,
        staging: Arc<Staging>,
        schema: SchemaRef,
        options: &LoadOptions,
    ) -> Self {
        let n = options.parallelism.clamp(1, MAX_WORKERS);
        let (tx, rx) = mpsc::channel(n + 1);
        let queue: Queue = Arc::new(Mutex::new(rx));
        let failed = Arc::new(AtomicBool::new(false));
        let workers = (0..n)
            .map(|_| {
                let cancel = Cancel::new(pool.clone());
                let (done_tx, done) = oneshot::channel();
                let worker = Worker {
                    pool: pool.clone(),
                    staging: staging.clone(),
                    schema: schema.clone(),
                    policy: options.types,
                    stats: options.stats.clone(),
                    queue: queue.clone(),
                    running: cancel.running(),
                };
                let failed = failed.clone();
                // Where no thread can be made, `done` says so by closing.
                let _ = std::thread::Builder::new().name("xdb-mysql-load".into()).spawn(move || {
                    let out = worker.run();
                    if out.is_err() {
                        failed.store(true, Ordering::Release);
                    }
                    // The session may be gone.
                    let _ = done_tx.send(out);
                });
                (done, cancel)
            })
            .collect();
        Self { pool, control: Some(control), staging, batches: Some(tx), failed, workers }
    }

    /// Wait for the workers: rows written, or the first real error.
    async fn finish_workers(&mut self) -> Result<u64> {
        self.batches = None;
        let mut rows = 0;
        let mut first: Option<Error> = None;
        for (done, cancel) in self.workers.drain(..) {
            let out = match done.await {
                Ok(out) => out,
                Err(_) => Err(Error::internal("a loading thread ended without a word")),
            };
            drop(cancel);
            match out {
                Ok(n) => rows += n,
                Err(e) => first = first.or(Some(e)),
            }
        }
        match first {
            None => Ok(rows),
            Some(e) => Err(e),
        }
    }
    fn context(&self, e: Error) -> Error {
        self.pool.context(e).relation(self.staging.target.to_string())
    }
    /// Remove the staging table. Blocks.
    fn clean(pool: &Pool, control: Option<Session>, staging: &Staging) -> Result<()> {
        let mut s = match control {
            Some(s) if s.is_idle() => s,
            _ => pool.open()?,
        };
        let sql = format!("DROP TABLE IF EXISTS {}", MYSQL.relation(&staging.relation));
        s.execute(&sql).map(drop).map_err(|e| e.sql(&sql))
        // The connection is closed, and the name lock with it.
    }
    async fn clean_up(&mut self) -> Result<()> {
        let (pool, control, staging) = (self.pool.clone(), self.control.take(), self.staging.clone());
        blocking(move || Self::clean(&pool, control, &staging)).await
    }
}

#[async_trait]
impl LoadSession for Loading {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let sent = match &self.batches {
            Some(tx) if !self.failed.load(Ordering::Acquire) => tx.send(batch).await.is_ok(),
            _ => false,
        };
        if sent {
            return Ok(());
        }
        // A worker failed: its error is the reason.
        let e = match self.finish_workers().await {
            Err(e) => e,
            Ok(_) => Error::internal("the load ended early"),
        };
        Err(self.context(e))
    }

    async fn commit(mut self: Box<Self>) -> Result<LoadReport> {
        let rows = match self.finish_workers().await {
            Ok(rows) => rows,
            Err(e) => {
                // The error counts; what is left of the table goes in any case.
                let _ = self.clean_up().await;
                return Err(self.context(e));
            }
        };
        let Some(mut control) = self.control.take() else { return Err(Error::internal("a load was committed twice")) };
        let staging = self.staging.clone();
        let cancel = Cancel::new(self.pool.clone());
        let running = cancel.running();
        let (control, out) = blocking(move || {
            running.start(&control)?;
            let mut notes = vec![];
            let out = swap::commit(&mut control, &staging, &mut notes).map(|()| notes);
            running.finish();
            Ok((control, out))
        })
        .await?;
        drop(cancel);
        self.control = Some(control);
        let cleaned = match (&out, &self.staging.mode) {
            // The staging table has become the target.
            (Ok(_), xdb_core::WriteMode::Replace) => {
                self.control = None;
                Ok(())
            }
            _ => self.clean_up().await,
        };
        let mut notes = out.map_err(|e| self.context(busy_target(e, &self.staging.target)))?;
        if let Err(e) = cleaned {
            notes.push(format!("{} could not be removed: {}", self.staging.relation, e.message()));
        }
        Ok(LoadReport { rows, notes })
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.batches = None;
        // Dropping a worker's `Cancel` kills its statement.
        let workers: Vec<_> = self.workers.drain(..).collect();
        blocking(move || {
            drop(workers);
            Ok(())
        })
        .await?;
        self.clean_up().await.map_err(|e| self.context(e))
    }
}

/// A lock that doesn't come says what to look for.
pub(crate) fn busy_target(e: Error, target: &Relation) -> Error {
    if e.kind() == ErrorKind::Conflict {
        let said = e.message().to_string();
        let out = Error::new(ErrorKind::Conflict, format!("{target} is locked by another session"))
            .retryable(true)
            .cause(said);
        let out = match &e.context().code {
            Some(c) => out.code(c.clone()),
            None => out,
        };
        let out = match &e.context().sql {
            Some(s) => out.sql(s.clone()),
            None => out,
        };
        return out.hint(
            "nothing was changed; see SHOW PROCESSLIST for who holds it, raise `lock_timeout`, or run `xdb retry`",
        );
    }
    e
}

impl Drop for Loading {
    fn drop(&mut self) {
        let Some(control) = self.control.take() else { return };
        self.batches = None;
        let (pool, staging) = (self.pool.clone(), self.staging.clone());
        let workers = std::mem::take(&mut self.workers);
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let spawned = std::thread::Builder::new().name("xdb-mysql-clean".into()).spawn(move || {
            drop(workers);
            if let Err(e) = Self::clean(&pool, Some(control), &staging) {
                tracing::warn!(table = %staging.relation, error = %e, "a staging table was left behind");
            }
            drop(done);
        });
        if spawned.is_ok() {
            let _ = wait.recv_timeout(DROP_WAIT);
        }
    }
}
