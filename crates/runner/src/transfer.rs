//! Moves a stream into a load session, reading ahead by a bounded amount and stopping cleanly.

use futures::StreamExt;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use xdb_core::{ArrowStream, Connector, Error, LoadOptions, LoadReport, Relation, Result};

/// Batches in flight between the producer and the writer.
const AHEAD: usize = 2;

/// Write all of `stream` to `target` and commit. On any error, or when `cancel` fires, the session is aborted: the
/// target stays as it was and the staging table is gone when this returns.
pub async fn transfer(
    stream: ArrowStream,
    connector: Arc<dyn Connector>,
    target: &Relation,
    options: &LoadOptions,
    cancel: &CancellationToken,
) -> Result<LoadReport> {
    let load = connector
        .load()
        .ok_or_else(|| Error::unsupported(format!("{} cannot be written to", connector.def().title)))?;
    let mut session = tokio::select! {
        biased;
        _ = cancel.cancelled() => return Err(Error::cancelled()),
        s = load.begin(target, stream.schema(), options) => s?,
    };
    let mut stream = read_ahead(stream);
    let outcome = loop {
        let next = tokio::select! {
            biased;
            _ = cancel.cancelled() => break Err(Error::cancelled()),
            b = stream.next() => b,
        };
        match next {
            None => break Ok(()),
            Some(Err(e)) => break Err(e),
            Some(Ok(batch)) if batch.num_rows() == 0 => {}
            Some(Ok(batch)) => {
                let rows = batch.num_rows() as u64;
                let wrote = tokio::select! {
                    biased;
                    _ = cancel.cancelled() => Err(Error::cancelled()),
                    w = session.write(batch) => w,
                };
                match wrote {
                    Ok(()) => options.stats.add_rows(rows),
                    Err(e) => break Err(e),
                }
            }
        }
    };
    // Sources first: nothing should still be reading while the target is tidied up.
    drop(stream);
    match outcome {
        Ok(()) => session.commit().await,
        Err(e) => match session.abort().await {
            Ok(()) => Err(e),
            Err(left) => Err(e.hint(format!("cleaning up failed too: {left}"))),
        },
    }
}

/// The same stream, produced by a task of its own so that reading and computing overlap with writing.
pub(crate) fn read_ahead(stream: ArrowStream) -> ArrowStream {
    let schema = stream.schema();
    let (tx, rx) = mpsc::channel(AHEAD);
    let mut stream = stream;
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Some(item) = stream.next().await {
            if tx.send(item).await.is_err() {
                break;
            }
        }
    }));
    let out = futures::stream::unfold((rx, task), |(mut rx, task)| async move {
        match rx.recv().await {
            Some(item) => Some((item, (rx, task))),
            // Closed: either the end, or a producer that panicked, which must not look like the end.
            None => match task.await {
                Ok(()) => None,
                Err(e) => {
                    let e = Error::internal(format!("the reading task died: {e}"));
                    Some((Err(e), (rx, AbortOnDropHandle::new(tokio::spawn(async {})))))
                }
            },
        }
    });
    ArrowStream::new(schema, out)
}
