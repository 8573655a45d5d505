//! Where the database is: a file, or memory shared by this connection's own threads.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    File(PathBuf),
    /// The number makes it another database than every other `:memory:` of this process.
    Memory(u64),
}
impl Address {
    pub(crate) fn memory() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self::Memory(NEXT.fetch_add(1, Ordering::Relaxed))
    }
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(p) => Some(p),
            Self::Memory(_) => None,
        }
    }
    /// The same text for the same database, however its path is spelled.
    pub(crate) fn identity(&self) -> String {
        match self {
            Self::File(p) => {
                let real = std::fs::canonicalize(p).ok().or_else(|| {
                    // Not there yet: its folder may be.
                    let dir = std::fs::canonicalize(p.parent()?).ok()?;
                    Some(dir.join(p.file_name()?))
                });
                real.as_deref().unwrap_or(p).display().to_string()
            }
            Self::Memory(n) => format!(":memory:{n}"),
        }
    }
    /// Loads into one database take turns on this lock for their last step, so that xdb's own models never wait for each
    /// other in SQLite's busy handler, which has no queue and a time limit.
    pub(crate) fn turn(&self) -> Arc<tokio::sync::Mutex<()>> {
        type Turns = Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>;
        static TURNS: OnceLock<Turns> = OnceLock::new();
        let mut turns = TURNS.get_or_init(Mutex::default).lock().unwrap_or_else(|e| e.into_inner());
        turns.retain(|_, t| t.strong_count() > 0);
        let key = self.identity();
        if let Some(t) = turns.get(&key).and_then(Weak::upgrade) {
            return t;
        }
        let t = Arc::default();
        turns.insert(key, Arc::downgrade(&t));
        t
    }
}
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(p) => p.display().fmt(f),
            Self::Memory(_) => f.write_str(":memory:"),
        }
    }
}
