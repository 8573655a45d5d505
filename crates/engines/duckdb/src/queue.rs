//! A bounded queue of batches between tokio tasks (which wait without blocking) and DuckDB's threads (which may block).
//!
//! Neither side of tokio's own channels fits: several DuckDB threads take from one scan, and each must wake when the
//! scan is closed from outside.

use arrow::array::RecordBatch;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The producers are done: what is queued may still be taken.
    Finished,
    /// Nobody wants the rest.
    Closed,
}

struct Inner {
    batches: VecDeque<RecordBatch>,
    state: State,
}

pub(crate) struct Queue {
    inner: Mutex<Inner>,
    capacity: usize,
    filled: Condvar,
    emptied: Notify,
}

/// The queue was closed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl Queue {
    /// Holds `capacity` batches, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            inner: Mutex::new(Inner { batches: VecDeque::new(), state: State::Open }),
            capacity: capacity.max(1),
            filled: Condvar::new(),
            emptied: Notify::new(),
        }
    }

    /// A panic elsewhere can't leave the queue half changed: each change is one step.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room.
    pub(crate) async fn push(&self, batch: RecordBatch) -> Result<(), Closed> {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            // Registered before looking, so that a `pop` in between isn't missed.
            emptied.as_mut().enable();
            {
                let mut inner = self.lock();
                if inner.state != State::Open {
                    return Err(Closed);
                }
                if inner.batches.len() < self.capacity {
                    inner.batches.push_back(batch);
                    self.filled.notify_one();
                    return Ok(());
                }
            }
            emptied.await;
        }
    }

    /// Blocks for the next batch; `None` once all are taken. Never call it on a tokio worker.
    pub(crate) fn pop(&self) -> Result<Option<RecordBatch>, Closed> {
        let mut inner = self.lock();
        loop {
            if inner.state == State::Closed {
                return Err(Closed);
            }
            if let Some(b) = inner.batches.pop_front() {
                self.emptied.notify_one();
                return Ok(Some(b));
            }
            if inner.state == State::Finished {
                return Ok(None);
            }
            inner = self.filled.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// No more will be pushed.
    pub(crate) fn finish(&self) {
        let mut inner = self.lock();
        if inner.state == State::Open {
            inner.state = State::Finished;
        }
        self.filled.notify_all();
    }

    /// Wakes both sides; what is queued is dropped.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.state = State::Closed;
        inner.batches.clear();
        self.filled.notify_all();
        self.emptied.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Schema;
    use std::sync::Arc;
    use std::time::Duration;

    fn batch() -> RecordBatch {
        RecordBatch::new_empty(Arc::new(Schema::empty()))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_batch_arrives_and_a_full_queue_makes_producers_wait() {
        let q = Arc::new(Queue::new(2));
        let producers: Vec<_> = (0..4)
            .map(|_| {
                let q = q.clone();
                tokio::spawn(async move {
                    for _ in 0..50 {
                        q.push(batch()).await.unwrap();
                    }
                })
            })
            .collect();
        let takers: Vec<_> = (0..3)
            .map(|_| {
                let q = q.clone();
                std::thread::spawn(move || {
                    let mut n = 0;
                    while q.pop().unwrap().is_some() {
                        n += 1;
                        assert!(q.lock().batches.len() <= 2);
                    }
                    n
                })
            })
            .collect();
        for p in producers {
            p.await.unwrap();
        }
        q.finish();
        assert_eq!(takers.into_iter().map(|t| t.join().unwrap()).sum::<i32>(), 200);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn closing_wakes_both_sides() {
        let empty = Arc::new(Queue::new(1));
        let full = Arc::new(Queue::new(1));
        full.push(batch()).await.unwrap();
        let (e, f) = (empty.clone(), full.clone());
        let taker = std::thread::spawn(move || e.pop().map(|b| b.is_some()));
        let pusher = tokio::spawn(async move { f.push(batch()).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        empty.close();
        full.close();
        assert_eq!(taker.join().unwrap(), Err(Closed));
        assert_eq!(pusher.await.unwrap(), Err(Closed));
    }
}
