//! Opening connections, running blocking work on threads of its own, interrupting it.

use crate::address::Address;
use crate::config::Settings;
use crate::error::plain;
use rusqlite::{Connection, InterruptHandle, OpenFlags};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use xdb_core::{Error, ErrorKind, Result};

/// What a connection is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Read,
    Write,
}

/// A new connection. Cheap (the file is opened, its schema read at first use), so there is no pool to get stale.
pub(crate) fn open(s: &Settings, purpose: Purpose) -> Result<Connection> {
    open_plain(s, purpose).map_err(|e| on(s, e))
}

fn open_plain(s: &Settings, purpose: Purpose) -> Result<Connection> {
    if purpose == Purpose::Write && s.read_only {
        return Err(read_only(s));
    }
    let base = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let conn = match &s.address {
        Address::Memory(n) => Connection::open_with_flags(
            // `memdb`: one database for all connections of this process that give this name.
            format!("file:/xdb-memory-{n}?vfs=memdb"),
            base | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        ),
        Address::File(path) => {
            let mode = match purpose {
                _ if s.read_only => OpenFlags::SQLITE_OPEN_READ_ONLY,
                // Also for reading: recovering a crashed writer's journal needs it. SQLite itself falls back to
                // reading where the file may not be written.
                Purpose::Write if s.create => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
                _ => OpenFlags::SQLITE_OPEN_READ_WRITE,
            };
            Connection::open_with_flags(path, base | mode)
        }
    };
    let conn = conn.map_err(|e| cannot_open(s, plain(e)))?;
    conn.busy_timeout(s.busy_timeout).map_err(plain)?;
    if purpose == Purpose::Read {
        conn.execute_batch("PRAGMA query_only = on").map_err(plain)?;
    }
    conn.set_prepared_statement_cache_capacity(8);
    // The first read of the file: finds out here that it isn't a database, or is locked.
    conn.query_row("PRAGMA schema_version", [], |_| Ok(())).map_err(|e| cannot_open(s, plain(e)))?;
    Ok(conn)
}

pub(crate) fn read_only(s: &Settings) -> Error {
    Error::new(ErrorKind::Permission, format!("connection `{}` is read-only", s.connection))
        .connection(&s.connection)
        .hint(format!("remove `read_only` from `{}` in profiles.yml, or write to another connection", s.connection))
}

fn cannot_open(s: &Settings, e: Error) -> Error {
    let (kind, message) = (e.kind(), e.message().to_string());
    let head = format!("cannot open `{}` (sqlite at {})", s.connection, s.address);
    match (kind, s.address.file()) {
        (ErrorKind::NotFound, Some(path)) if path.is_dir() => {
            Error::config(format!("{head}: that is a folder")).hint("`path` must name a file")
        }
        (ErrorKind::NotFound, Some(path)) if path.exists() => Error::new(ErrorKind::Permission, head)
            .cause(message)
            .hint("check that this user may read the file and its folder"),
        (ErrorKind::NotFound, Some(path)) => {
            let missing_folder = path.parent().is_some_and(|d| !d.exists());
            let what = if missing_folder { "its folder does not exist" } else { "there is no such file" };
            let check = format!("check `path` under `{}` in profiles.yml", s.connection);
            Error::not_found(format!("{head}: {what}")).hint(match s.create && !s.read_only {
                true => format!("{check}; a load makes the file, not its folder"),
                false => check,
            })
        }
        _ => {
            let hint = e.hint_text().map(str::to_string);
            let code = e.context().code.clone();
            let retry = e.is_retryable();
            let mut out = Error::new(kind, head).cause(message).retryable(retry);
            if let Some(h) = hint {
                out = out.hint(h);
            }
            if let Some(c) = code {
                out = out.code(c);
            }
            out
        }
    }
}

/// Names the connection, and turns an interrupt by the clock into a timeout.
pub(crate) fn on(s: &Settings, e: Error) -> Error {
    e.connection(&s.connection)
}

/// Runs `work` with a connection on a blocking thread. Dropping the future interrupts the statement that runs there.
pub(crate) async fn with<T: Send + 'static>(
    s: &Arc<Settings>,
    purpose: Purpose,
    work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
) -> Result<T> {
    let settings = s.clone();
    guarded(s, move |watch| {
        let mut conn = open(&settings, purpose)?;
        watch.begin(conn.get_interrupt_handle());
        let r = work(&mut conn);
        watch.end();
        r
    })
    .await
}

/// Runs `work` on a blocking thread under a [`Watch`], which it must tell about its connection.
pub(crate) async fn guarded<T: Send + 'static>(
    s: &Arc<Settings>,
    work: impl FnOnce(&Watch) -> Result<T> + Send + 'static,
) -> Result<T> {
    let s = s.clone();
    let watch = Arc::new(Watch::new(s.query_timeout));
    let guard = (StopOnDrop(watch.clone()), watch.clone().start_clock());
    let done = tokio::task::spawn_blocking(move || work(&watch).map_err(|e| on(&s, watch.explain(e)))).await;
    drop(guard);
    done.map_err(|e| Error::internal(format!("a SQLite thread died: {e}")))?
}

/// Interrupts SQLite when its user goes away or its time is up. Only time spent inside SQLite counts, not the time a
/// slow consumer leaves it waiting.
pub(crate) struct Watch {
    handle: std::sync::Mutex<Option<InterruptHandle>>,
    limit: Duration,
    start: Instant,
    /// Milliseconds inside SQLite before the running call.
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
    /// SQLite is about to work, on the connection that `handle` interrupts.
    pub(crate) fn begin(&self, handle: InterruptHandle) {
        *self.handle.lock().unwrap_or_else(|e| e.into_inner()) = Some(handle);
        self.resume();
        if self.stopped.load(SeqCst) {
            self.interrupt();
        }
    }
    pub(crate) fn resume(&self) {
        self.since.store(self.now() + 1, SeqCst);
    }
    /// SQLite has returned.
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
