//! Blocking work on threads of its own, and interrupting it.

use crate::config::Settings;
use crate::connector::Duck;
use duckdb::{Connection, InterruptHandle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use xdb_core::{Error, ErrorKind, Result};

/// Runs `work` with a connection on a blocking thread. Dropping the future interrupts the statement that runs there.
pub(crate) async fn with<T: Send + 'static>(
    duck: &Duck,
    work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
) -> Result<T> {
    let duck = duck.clone();
    let watch = Arc::new(Watch::new(duck.settings().query_timeout));
    let guard = (StopOnDrop(watch.clone()), watch.clone().start_clock());
    let done = tokio::task::spawn_blocking(move || {
        let run = || {
            let held = duck.connect()?;
            watch.begin(held.conn.interrupt_handle());
            let r = work(&held.conn);
            watch.end();
            r
        };
        run().map_err(|e| on(duck.settings(), watch.explain(e)))
    })
    .await;
    drop(guard);
    done.map_err(|e| Error::internal(format!("a DuckDB thread died: {e}")))?
}

/// Names the connection.
pub(crate) fn on(s: &Settings, e: Error) -> Error {
    e.connection(&s.connection)
}

/// Interrupts DuckDB when its user goes away or its time is up. Only time spent inside DuckDB counts, not the time a
/// slow consumer leaves it waiting.
pub(crate) struct Watch {
    handle: std::sync::Mutex<Option<Arc<InterruptHandle>>>,
    limit: Duration,
    start: Instant,
    /// Milliseconds inside DuckDB before the running call.
    spent: AtomicU64,
    /// When the running call began, in milliseconds after `start`, plus 1; 0: none is running.
    since: AtomicU64,
    stopped: AtomicBool,
    timed_out: AtomicBool,
}
impl Watch {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            handle: Default::default(),
            limit,
            start: Instant::now(),
            spent: AtomicU64::new(0),
            since: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            timed_out: AtomicBool::new(false),
        }
    }
    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
    /// DuckDB is about to work, on the connection that `handle` interrupts.
    pub(crate) fn begin(&self, handle: Arc<InterruptHandle>) {
        *self.handle.lock().unwrap_or_else(|e| e.into_inner()) = Some(handle);
        self.resume();
        if self.stopped.load(SeqCst) {
            self.interrupt();
        }
    }
    pub(crate) fn resume(&self) {
        self.since.store(self.now() + 1, SeqCst);
    }
    /// DuckDB has returned.
    pub(crate) fn pause(&self) {
        let since = self.since.swap(0, SeqCst);
        if since > 0 {
            self.spent.fetch_add((self.now() + 1).saturating_sub(since), SeqCst);
        }
    }
    /// Nothing is left to interrupt.
    pub(crate) fn end(&self) {
        self.pause();
        self.handle.lock().unwrap_or_else(|e| e.into_inner()).take();
    }
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(SeqCst)
    }
    pub(crate) fn stop(&self) {
        self.stopped.store(true, SeqCst);
        self.interrupt();
    }
    fn interrupt(&self) {
        if let Some(h) = &*self.handle.lock().unwrap_or_else(|e| e.into_inner()) {
            h.interrupt();
        }
    }
    fn busy(&self) -> Duration {
        let running = match self.since.load(SeqCst) {
            0 => 0,
            since => (self.now() + 1).saturating_sub(since),
        };
        Duration::from_millis(self.spent.load(SeqCst) + running)
    }
    /// Watches the limit until the returned guard is dropped. Needs a Tokio runtime.
    pub(crate) fn start_clock(self: Arc<Self>) -> Option<Clock> {
        if self.limit.is_zero() {
            return None;
        }
        Some(Clock(tokio::spawn(async move {
            while self.busy() < self.limit {
                tokio::time::sleep((self.limit - self.busy()).max(Duration::from_millis(1))).await;
            }
            self.timed_out.store(true, SeqCst);
            self.stop();
        })))
    }
    /// An interrupt by the clock is a timeout.
    pub(crate) fn explain(&self, e: Error) -> Error {
        if e.kind() == ErrorKind::Cancelled && self.timed_out.load(SeqCst) {
            return Error::new(ErrorKind::Timeout, format!("the statement ran longer than {:?}", self.limit))
                .retryable(false)
                .hint("raise `query_timeout` of this connection, or ask for less");
        }
        e
    }
}

pub(crate) struct Clock(tokio::task::JoinHandle<()>);
impl Drop for Clock {
    fn drop(&mut self) {
        self.0.abort();
    }
}
pub(crate) struct StopOnDrop(pub(crate) Arc<Watch>);
impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
