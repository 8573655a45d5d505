//! The stream of Arrow batches that everything passes along.

use crate::{Error, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// Batches of one schema. Pull-based: nothing is read ahead of the consumer beyond the producer's own bounded buffer,
/// and dropping the stream cancels the work behind it (for a server: the query there too).
pub struct ArrowStream {
    schema: SchemaRef,
    inner: BoxStream<'static, Result<RecordBatch>>,
}

impl ArrowStream {
    pub fn new(schema: SchemaRef, inner: impl Stream<Item = Result<RecordBatch>> + Send + 'static) -> Self {
        Self { schema, inner: inner.boxed() }
    }
    pub fn from_batches(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self::new(schema, stream::iter(batches.into_iter().map(Ok)))
    }
    pub fn empty(schema: SchemaRef) -> Self {
        Self::new(schema, stream::empty())
    }
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    /// The same rows under another schema object (names, metadata); types and order must agree.
    pub fn with_schema(self, schema: SchemaRef) -> Self {
        let s = schema.clone();
        let inner = self.inner.map(move |b| Ok(RecordBatch::try_new(s.clone(), b?.columns().to_vec())?)).boxed();
        Self { schema, inner }
    }
    /// Change each error on its way, to add context.
    pub fn map_error(self, f: impl Fn(Error) -> Error + Send + 'static) -> Self {
        let inner = self.inner.map_err(f).boxed();
        Self { schema: self.schema, inner }
    }
    /// Look at each batch as it passes.
    pub fn inspect(self, mut f: impl FnMut(&RecordBatch) + Send + 'static) -> Self {
        let inner = self.inner.inspect_ok(move |b| f(b)).boxed();
        Self { schema: self.schema, inner }
    }
    /// At most `n` rows; the source is dropped (and so cancelled) as soon as they are there.
    pub fn limit(self, n: u64) -> Self {
        let start = (n > 0).then_some((self.inner, n));
        let inner = stream::unfold(start, |state| async {
            let (mut s, left) = state?;
            match s.next().await? {
                Ok(b) => {
                    let keep = (b.num_rows() as u64).min(left);
                    let rest = left - keep;
                    Some((Ok(b.slice(0, keep as usize)), (rest > 0).then_some((s, rest))))
                }
                Err(e) => Some((Err(e), None)),
            }
        });
        Self { schema: self.schema, inner: inner.boxed() }
    }
    pub async fn collect(self) -> Result<Vec<RecordBatch>> {
        self.inner.try_collect().await
    }
}

/// Tells the end of a producer's rows from its death, where both close a channel: rows cut off by a panic must not pass
/// for all of them. The producer holds [`PanicFlag::watch`] while it works; the consumer of a channel that has closed
/// asks [`PanicFlag::take`].
#[derive(Clone, Debug, Default)]
pub struct PanicFlag(Arc<AtomicBool>);

/// See [`PanicFlag`].
#[derive(Debug)]
pub struct PanicWatch(PanicFlag);

impl PanicFlag {
    pub fn watch(&self) -> PanicWatch {
        PanicWatch(self.clone())
    }
    /// The error to end with, once, if the producer panicked.
    pub fn take(&self) -> Option<Error> {
        let panicked = self.0.swap(false, Ordering::AcqRel);
        panicked.then(|| Error::internal("the task that reads the rows panicked: the rows so far are not all of them"))
    }
}
impl Drop for PanicWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.0.store(true, Ordering::Release);
        }
    }
}

impl Stream for ArrowStream {
    type Item = Result<RecordBatch>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.poll_next_unpin(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int32Array;
    use arrow::datatypes::{DataType, Field, Schema};

    fn batches(sizes: &[i32]) -> ArrowStream {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, false)]));
        let all = sizes
            .iter()
            .map(|n| RecordBatch::try_new(schema.clone(), vec![Arc::new((0..*n).collect::<Int32Array>())]).unwrap());
        ArrowStream::from_batches(schema.clone(), all.collect())
    }

    #[tokio::test]
    async fn limit_is_exact_across_batches() {
        for (n, want) in [(0, 0), (1, 1), (3, 3), (4, 4), (7, 7), (99, 8)] {
            let got: usize = batches(&[3, 5]).limit(n).collect().await.unwrap().iter().map(|b| b.num_rows()).sum();
            assert_eq!(got, want, "limit {n}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_not_the_end() {
        let flag = PanicFlag::default();
        let watch = flag.watch();
        let _ = tokio::spawn(async move {
            let _watch = watch;
            tokio::task::yield_now().await;
            panic!("half-way");
        })
        .await;
        assert!(flag.take().is_some_and(|e| e.message().contains("panicked")));
        assert!(flag.take().is_none());
        let watch = flag.watch();
        std::thread::spawn(move || drop(watch)).join().unwrap();
        assert!(flag.take().is_none());
    }
}
