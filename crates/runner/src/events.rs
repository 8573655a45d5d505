//! What happens while a graph runs, for whoever wants to show it. The runner itself prints nothing.

use crate::results::NodeResult;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use xdb_core::IoStats;

/// Counters of one running node, to be read at any time.
#[derive(Debug)]
pub struct Progress {
    pub started: Instant,
    /// By connection, in the order first read.
    pub reads: Mutex<Vec<(String, Arc<IoStats>)>>,
    /// Rows handed to the target.
    pub written: Arc<IoStats>,
    /// The server's estimate of rows to be read, where every input has one.
    pub estimate: Mutex<Option<u64>>,
}
impl Default for Progress {
    fn default() -> Self {
        Self { started: Instant::now(), reads: Mutex::default(), written: Arc::default(), estimate: Mutex::default() }
    }
}
impl Progress {
    /// The counter of `connection`, made if new.
    pub fn reads_of(&self, connection: &str) -> Arc<IoStats> {
        let Ok(mut all) = self.reads.lock() else { return Arc::default() };
        if let Some((_, s)) = all.iter().find(|(c, _)| c == connection) {
            return s.clone();
        }
        let s: Arc<IoStats> = Arc::default();
        all.push((connection.into(), s.clone()));
        s
    }
    /// (connection, rows, bytes) so far.
    pub fn read_so_far(&self) -> Vec<(String, u64, u64)> {
        match self.reads.lock() {
            Ok(all) => all.iter().map(|(c, s)| (c.clone(), s.rows(), s.bytes())).collect(),
            Err(_) => vec![],
        }
    }
}

/// What is known of a node when it starts.
#[derive(Clone, Debug)]
pub struct NodeStart {
    /// 1-based position and number of nodes in this run.
    pub index: usize,
    pub total: usize,
    pub unique_id: String,
    /// `table`, `view`, `incremental`, `file`.
    pub materialized: String,
    /// `schema.name` as people read it.
    pub relation: String,
    /// `None` until it is chosen.
    pub engine: Option<String>,
    pub progress: Arc<Progress>,
}

#[derive(Clone, Debug)]
pub enum Event {
    RunStart {
        total: usize,
        threads: usize,
    },
    NodeStart(NodeStart),
    NodeEnd {
        index: usize,
        total: usize,
        result: Arc<NodeResult>,
    },
    /// From `log()`/`print()` in a template, or a note of the runner's.
    Message {
        text: String,
        warning: bool,
    },
}

/// Called from any thread; must return at once.
pub type EventSink = Arc<dyn Fn(Event) + Send + Sync>;

/// For callers that don't care.
pub fn silent() -> EventSink {
    Arc::new(|_| {})
}
