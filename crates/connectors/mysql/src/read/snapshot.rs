//! Several connections that see one table as of one moment.
//!
//! Neither MySQL nor MariaDB can hand a snapshot from one session to another. But while a session holds
//! `LOCK TABLES t READ` on an InnoDB table, no transaction has an uncommitted change to `t` and none can make one, so that
//! snapshots opened meanwhile by other sessions all see the same `t`. The lock is held for as long as the others take to
//! say START TRANSACTION, and nobody waits for it: where it can't be had at once (or at all), one split does the read.

use crate::errors::server_code;
use crate::pool::{Pool, Session, lock};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use xdb_core::{Error, Result};

/// Open snapshots, each of which one split at a time may use. The scan's guard.
#[derive(Debug)]
pub(crate) struct Snapshot {
    sessions: Mutex<Vec<Option<Session>>>,
}
impl Snapshot {
    pub(crate) fn take(&self, index: usize) -> Result<Session> {
        lock(&self.sessions)
            .get_mut(index)
            .and_then(Option::take)
            .ok_or_else(|| Error::internal("a split of a snapshot was read twice at once"))
    }
    /// For reading the same split again.
    pub(crate) fn put(&self, index: usize, session: Session) {
        if session.is_idle()
            && let Some(slot) = lock(&self.sessions).get_mut(index)
        {
            *slot = Some(session);
        }
    }
}

/// The snapshots that scans of this connector hold at the moment, by number.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Weak<Snapshot>>>,
}
impl Snapshots {
    pub(crate) fn add(&self, sessions: Vec<Session>) -> (u64, Arc<Snapshot>) {
        let snapshot = Arc::new(Snapshot { sessions: Mutex::new(sessions.into_iter().map(Some).collect()) });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut open = lock(&self.open);
        open.retain(|_, s| s.strong_count() > 0);
        open.insert(id, Arc::downgrade(&snapshot));
        (id, snapshot)
    }
    pub(crate) fn get(&self, id: u64) -> Result<Arc<Snapshot>> {
        lock(&self.open)
            .get(&id)
            .and_then(Weak::upgrade)
            .ok_or_else(|| Error::internal("the snapshot of this split is gone: its scan's guard was dropped"))
    }
}

/// Open `n` sessions on one moment of `table` (ready SQL, an InnoDB table). `None` where that can't be had now.
pub(crate) fn open(pool: &Pool, table: &str, n: usize) -> Result<Option<Vec<Session>>> {
    let mut sessions = Vec::with_capacity(n);
    for _ in 0..n {
        let mut s = pool.take()?;
        // For the next transaction only. Without it a server whose default is READ COMMITTED takes no snapshot.
        s.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
        sessions.push(s);
    }
    let mut locker = pool.take()?;
    let got = lock_table(&mut locker, table);
    let started = match &got {
        Ok(()) => sessions
            .iter_mut()
            .try_for_each(|s| s.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").map(drop)),
        Err(_) => Ok(()),
    };
    // The locker is closed rather than kept: its lock goes with it even where this fails.
    let _ = locker.execute("UNLOCK TABLES");
    started?;
    match got {
        Ok(()) => Ok(Some(sessions)),
        // No right to lock, a lock held by somebody else, a server too old for NOWAIT: not this way, then.
        Err(e) if server_code(&e).is_some() => {
            tracing::debug!(table, reason = %e, "one split: no consistent snapshot over several connections");
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

fn lock_table(s: &mut Session, table: &str) -> Result<()> {
    let sql = if s.server.mariadb {
        format!("LOCK TABLES {table} READ NOWAIT")
    } else {
        // One second is the least that MySQL has.
        s.execute("SET lock_wait_timeout = 1")?;
        format!("LOCK TABLES {table} READ")
    };
    s.execute(&sql).map(drop)
}
