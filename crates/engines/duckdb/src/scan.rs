//! One scan of one table: its splits are read by tokio tasks into a bounded queue, from which DuckDB's threads take.
//!
//! A scan starts when DuckDB first asks for rows, not when it plans, so that a table whose turn never comes is never
//! read. Dropping it drops the source streams.

use crate::queue::{Closed, Queue};
use crate::table::{EndRead, Table, make_plain};
use arrow::array::RecordBatch;
use futures::StreamExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use xdb_core::{Error, IoStats, ReadContext, Result, Split};

/// What all scans of a session share.
pub(crate) struct Shared {
    pub(crate) handle: Handle,
    pub(crate) threads: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The first error of a source: it goes to the user instead of DuckDB's words about it.
    error: Option<Error>,
    cancelled: bool,
    queues: Vec<Weak<Queue>>,
}

impl Shared {
    pub(crate) fn new(handle: Handle, threads: usize) -> Self {
        Self { handle, threads, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps `e` unless an earlier one is kept.
    pub(crate) fn fail(&self, e: Error) {
        self.state().error.get_or_insert(e);
    }

    pub(crate) fn take_error(&self) -> Option<Error> {
        self.state().error.take()
    }

    /// Stops all scans, and those yet to come.
    pub(crate) fn cancel(&self) {
        let queues = {
            let mut s = self.state();
            s.cancelled = true;
            std::mem::take(&mut s.queues)
        };
        queues.iter().filter_map(Weak::upgrade).for_each(|q| q.close());
    }

    /// Forget the last query.
    pub(crate) fn reset(&self) {
        *self.state() = State::default();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    fn add(&self, queue: &Arc<Queue>) {
        let mut s = self.state();
        if s.cancelled {
            queue.close();
        } else {
            s.queues.retain(|q| q.strong_count() > 0);
            s.queues.push(Arc::downgrade(queue));
        }
    }
}

/// A batch of which some rows are taken.
struct Cursor {
    batch: RecordBatch,
    next: usize,
}

pub(crate) struct Scan {
    table: Arc<Table>,
    shared: Arc<Shared>,
    /// What DuckDB wants in each of its vectors: a position in the source's batches, or nothing it looks at.
    pub(crate) outputs: Vec<Option<usize>>,
    projection: Vec<usize>,
    queue: Arc<Queue>,
    cursors: Mutex<Cursors>,
}

#[derive(Default)]
struct Cursors {
    open: Vec<Cursor>,
    reader: Option<JoinHandle<()>>,
}

impl Scan {
    /// `wanted` are indices of the table's columns; `None`, or one past the last, gets no values.
    pub(crate) fn new(table: Arc<Table>, shared: Arc<Shared>, wanted: &[Option<usize>]) -> Result<Self> {
        let mut projection: Vec<usize> = Vec::new();
        let mut outputs = Vec::with_capacity(wanted.len());
        for w in wanted {
            let column = w.filter(|c| *c < table.columns.len());
            outputs.push(column.map(|c| match projection.iter().position(|p| *p == c) {
                Some(at) => at,
                None => {
                    projection.push(c);
                    projection.len() - 1
                }
            }));
        }
        table.check_columns(&projection)?;
        // Two for each split that may come: one being filled while one is emptied.
        let queue = Arc::new(Queue::new(2 * table.input.parallelism.clamp(1, 4)));
        shared.add(&queue);
        Ok(Self { table, shared, outputs, projection, queue, cursors: Mutex::default() })
    }

    /// At most `max` rows of some batch, given to `take` with their range; 0 at the end. Blocks: DuckDB's threads only.
    pub(crate) fn next(
        &self,
        max: usize,
        take: impl FnOnce(&RecordBatch, std::ops::Range<usize>) -> Result<()>,
    ) -> Result<usize> {
        let resumed = {
            let mut c = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
            if c.reader.is_none() {
                c.reader = Some(self.start());
            }
            c.open.pop()
        };
        let mut cursor = match resumed {
            Some(c) => c,
            None => loop {
                match self.queue.pop() {
                    Ok(Some(batch)) if batch.num_rows() == 0 => {}
                    Ok(Some(batch)) => break Cursor { batch, next: 0 },
                    Ok(None) => return Ok(0),
                    Err(Closed) => return Err(Error::cancelled()),
                }
            },
        };
        let n = max.min(cursor.batch.num_rows() - cursor.next);
        take(&cursor.batch, cursor.next..cursor.next + n).map_err(|e| self.table.locate(e))?;
        cursor.next += n;
        if cursor.next < cursor.batch.num_rows() {
            self.cursors.lock().unwrap_or_else(PoisonError::into_inner).open.push(cursor);
        }
        Ok(n)
    }

    pub(crate) fn fail(&self, e: Error) {
        self.shared.fail(e);
    }

    pub(crate) fn column_name(&self, output: usize) -> &str {
        let at = self.outputs.get(output).copied().flatten().and_then(|i| self.projection.get(i));
        at.map(|i| self.table.input.table.schema.field(*i).name().as_str()).unwrap_or("?")
    }

    fn start(&self) -> JoinHandle<()> {
        let (table, shared, queue) = (self.table.clone(), self.shared.clone(), self.queue.clone());
        let projection = self.projection.clone();
        // Also where the runtime goes away and drops the task: nobody may wait for it for ever.
        let ended = Ended { queue: queue.clone(), whole: false };
        self.shared.handle.spawn(async move {
            let mut ended = ended;
            match read(&table, projection, &queue).await {
                Ok(()) => ended.whole = true,
                Err(e) => shared.fail(table.locate(e)),
            }
        })
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(r) = self.cursors.get_mut().unwrap_or_else(PoisonError::into_inner).reader.take() {
            r.abort();
        }
    }
}

struct Ended {
    queue: Arc<Queue>,
    whole: bool,
}
impl Drop for Ended {
    fn drop(&mut self) {
        if self.whole { self.queue.finish() } else { self.queue.close() }
    }
}

/// Reads all splits into `queue`.
async fn read(table: &Arc<Table>, projection: Vec<usize>, queue: &Arc<Queue>) -> Result<()> {
    let (nothing, kept) = {
        let q = table.query();
        (q.nothing, q.kept.clone())
    };
    if nothing {
        return Ok(());
    }
    if let Some(kept) = kept
        && let Some(columns) = kept.positions(&projection)
    {
        for batch in &kept.batches {
            if queue.push(batch.project(&columns)?).await.is_err() {
                break;
            }
        }
        return Ok(());
    }
    let extract = table.extract()?;
    let (predicates, _) = table.predicates();
    let mut permits = Vec::new();
    while permits.len() + 1 < table.input.parallelism {
        match table.input.spare.clone().try_acquire_owned() {
            Ok(p) => permits.push(p),
            Err(_) => break,
        }
    }
    let plan = extract.plan(&table.request(projection.clone(), predicates, permits.len() + 1)).await?;
    permits.truncate(plan.splits.len().saturating_sub(1));
    let reading = EndRead(table.reading(&plan.splits));
    let mut readers = JoinSet::new();
    for split in plan.splits {
        // The first split needs none: its connection is the scan's own.
        let permit = if readers.is_empty() { None } else { permits.pop() };
        let (table, queue, projection) = (table.clone(), queue.clone(), projection.clone());
        let stats = reading.0.stats.clone();
        readers.spawn(async move {
            let _held = permit;
            read_split(&table, &split, &projection, &queue, stats).await
        });
    }
    while let Some(done) = readers.join_next().await {
        done.map_err(|e| Error::internal(format!("a reader of {} broke: {e}", table.input.table.relation)))??;
    }
    drop(plan.guard);
    Ok(())
}

async fn read_split(
    table: &Table,
    split: &Split,
    projection: &[usize],
    queue: &Queue,
    stats: Arc<IoStats>,
) -> Result<()> {
    let ctx = ReadContext { stats, ..ReadContext::default() };
    let mut stream = table.extract()?.read(split, &ctx).await.map_err(|e| e.sql(&split.sql))?;
    while let Some(batch) = stream.next().await {
        let batch = make_plain(batch.map_err(|e| e.sql(&split.sql))?, table, projection)?;
        if queue.push(batch).await.is_err() {
            break;
        }
    }
    Ok(())
}
