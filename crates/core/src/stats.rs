//! Counters that a reader or writer keeps while it works, read by the runner and the progress display.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Rows and wire bytes moved so far. One for each (node, connection); shared by all its splits.
#[derive(Debug, Default)]
pub struct IoStats {
    rows: AtomicU64,
    bytes: AtomicU64,
    /// Counts what this one counts, and more.
    whole: Option<Arc<IoStats>>,
}
impl IoStats {
    /// Counters of one part (a scan) of what `whole` counts.
    pub fn part_of(whole: Arc<IoStats>) -> Self {
        Self { whole: Some(whole), ..Self::default() }
    }
    pub fn add_rows(&self, n: u64) {
        self.rows.fetch_add(n, Relaxed);
        if let Some(w) = &self.whole {
            w.add_rows(n);
        }
    }
    /// Bytes as they came over the wire (or from the file), not as they are in Arrow.
    pub fn add_bytes(&self, n: u64) {
        self.bytes.fetch_add(n, Relaxed);
        if let Some(w) = &self.whole {
            w.add_bytes(n);
        }
    }
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}
