//! The bytes of a text file, unpacked, as a blocking reader for a decoding thread.

use crate::format::Compression;
use crate::store::{FileEntry, Store};
use bytes::Bytes;
use futures::StreamExt;
use object_store::GetResultPayload;
use std::io::{Error as IoError, ErrorKind as IoKind, Read};
use std::sync::Arc;
use tokio::sync::mpsc;
use xdb_core::{IoStats, Result};

pub(crate) type Input = Box<dyn Read + Send>;

/// Opens `file`. What is read of it is counted as it lies there, before unpacking. A byte-order mark is taken off.
pub(crate) async fn open(
    store: &Store,
    file: &FileEntry,
    packed: Compression,
    stats: Option<Arc<IoStats>>,
) -> Result<Input> {
    let raw: Input = match store.get(file, None).await?.payload {
        GetResultPayload::File(f, _) => Box::new(f),
        GetResultPayload::Stream(mut chunks) => {
            // Two chunks ahead; the thread that reads lets go of the receiver when it ends, and that ends the download.
            let (tx, rx) = mpsc::channel(2);
            let (store, path) = (store.clone(), file.path.clone());
            tokio::spawn(async move {
                while let Some(chunk) = chunks.next().await {
                    let chunk = chunk.map(Some).map_err(|e| IoError::other(store.error(e, &path).to_string()));
                    let failed = chunk.is_err();
                    if tx.send(chunk).await.is_err() || failed {
                        return;
                    }
                }
                // A receiver that has gone needs no end.
                let _ = tx.send(Ok(None)).await;
            });
            Box::new(Chunks { rx, now: Bytes::new(), ended: false })
        }
    };
    let counted = Counted { inner: raw, stats };
    let unpacked: Input = match packed {
        Compression::Gzip => Box::new(Packed { start: Some(counted), inner: None, name: "gzip" }),
        Compression::Zstd => Box::new(Packed { start: Some(counted), inner: None, name: "zstd" }),
        Compression::None | Compression::Snappy => Box::new(counted),
    };
    Ok(Box::new(SkipMark { inner: unpacked, held: vec![], started: false }))
}

struct Chunks {
    /// `None` is the file's end; a channel that closes without it broke off.
    rx: mpsc::Receiver<std::io::Result<Option<Bytes>>>,
    now: Bytes,
    ended: bool,
}
impl Read for Chunks {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        while self.now.is_empty() && !self.ended {
            match self.rx.blocking_recv() {
                None => return Err(IoError::other("the download broke off")),
                Some(chunk) => match chunk? {
                    Some(bytes) => self.now = bytes,
                    None => self.ended = true,
                },
            }
        }
        let n = buf.len().min(self.now.len());
        buf[..n].copy_from_slice(&self.now.split_to(n));
        Ok(n)
    }
}

struct Counted {
    inner: Input,
    stats: Option<Arc<IoStats>>,
}
impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buf)?;
        if let Some(s) = &self.stats {
            s.add_bytes(n as u64);
        }
        Ok(n)
    }
}

/// An unpacker that is made on the first read (some read at once, which an async task must not do), and that says
/// "damaged" where its own errors would pass for a broken connection.
struct Packed {
    start: Option<Counted>,
    inner: Option<Input>,
    name: &'static str,
}
impl Packed {
    fn inner(&mut self) -> std::io::Result<&mut Input> {
        if let Some(raw) = self.start.take() {
            self.inner = Some(match self.name {
                "zstd" => Box::new(zstd::stream::read::Decoder::new(raw)?),
                _ => Box::new(flate2::read::MultiGzDecoder::new(raw)),
            });
        }
        self.inner.as_mut().ok_or_else(|| IoError::other("the unpacker failed before"))
    }
}
impl Read for Packed {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let name = self.name;
        self.inner()?.read(buf).map_err(|e| match e.kind() {
            IoKind::Interrupted => e,
            IoKind::UnexpectedEof => IoError::other(format!("the {name} data ends too early: the file is cut off")),
            _ => IoError::other(format!("the file is not valid {name}: {e}")),
        })
    }
}

const MARK: &[u8] = b"\xef\xbb\xbf";

/// Takes a UTF-8 byte-order mark off the start.
struct SkipMark {
    inner: Input,
    held: Vec<u8>,
    started: bool,
}
impl Read for SkipMark {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if !self.started {
            let mut first = Vec::with_capacity(MARK.len());
            (&mut self.inner).take(MARK.len() as u64).read_to_end(&mut first)?;
            if first != MARK {
                self.held = first;
            }
            self.started = true;
        }
        if !self.held.is_empty() && !buf.is_empty() {
            let n = buf.len().min(self.held.len());
            buf[..n].copy_from_slice(&self.held[..n]);
            self.held.drain(..n);
            return Ok(n);
        }
        self.inner.read(buf)
    }
}
