//! A new object in a bucket: parts go up while it is written, and it appears when the upload is completed.

use crate::store::Store;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload, WriteMultipart};
use std::sync::{Arc, Mutex};
use xdb_core::{Error, Result};

/// Parts of an upload under way at once.
const UPLOADS: usize = 4;

/// An object on its way into a bucket.
pub(crate) struct Upload {
    store: Store,
    path: Path,
    buffer: Arc<Mutex<Vec<u8>>>,
    parts: Option<WriteMultipart>,
    sent: bool,
}
impl Upload {
    pub(crate) async fn begin(store: &Store, path: &Path, buffer: Arc<Mutex<Vec<u8>>>) -> Result<Self> {
        let parts = store.inner.put_multipart(path).await.map_err(|e| store.error(e, path))?;
        Ok(Self {
            store: store.clone(),
            path: path.clone(),
            buffer,
            parts: Some(WriteMultipart::new(parts)),
            sent: false,
        })
    }
    /// Send what the encoder has put out; waits while enough is under way.
    pub(crate) async fn drain(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut *self.buffer.lock().unwrap_or_else(|e| e.into_inner()));
        let Some(parts) = self.parts.as_mut().filter(|_| !bytes.is_empty()) else { return Ok(()) };
        parts.wait_for_capacity(UPLOADS).await.map_err(|e| self.store.error(e, &self.path))?;
        parts.put(bytes.into());
        self.sent = true;
        Ok(())
    }
    pub(crate) async fn commit(mut self) -> Result<()> {
        self.drain().await?;
        let Some(parts) = self.parts.take() else { return Err(Error::internal("an upload was ended twice")) };
        let fail = |e| self.store.error(e, &self.path);
        if self.sent {
            parts.finish().await.map_err(fail)?;
        } else {
            // A multipart upload needs a part.
            parts.abort().await.map_err(fail)?;
            self.store.inner.put(&self.path, PutPayload::default()).await.map_err(fail)?;
        }
        Ok(())
    }
    pub(crate) async fn abort(mut self) -> Result<()> {
        match self.parts.take() {
            Some(parts) => parts.abort().await.map_err(|e| self.store.error(e, &self.path)),
            None => Ok(()),
        }
    }
}
impl Drop for Upload {
    /// What a session that is dropped leaves in the store: parts that only cost money. Try to remove them.
    fn drop(&mut self) {
        if let (Some(parts), Ok(runtime)) = (self.parts.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let _ = parts.abort().await;
            });
        }
    }
}
