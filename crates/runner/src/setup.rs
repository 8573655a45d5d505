//! Opens an engine session for a compiled query.

use crate::compile::Compiled;
use crate::events::Progress;
use crate::inputs::{ReadOptions, attach};
use crate::transfer::read_ahead;
use futures::StreamExt;
use std::path::PathBuf;
use std::sync::Arc;
use xdb_core::{ArrowStream, EngineOptions, EngineSession, Literal, Result};
use xdb_project::project_file::ComputeConfig;

/// The engines' settings.
#[derive(Clone, Debug)]
pub struct Setup {
    pub compute: ComputeConfig,
    /// Where the engine's own settings say nothing.
    pub threads: usize,
}

/// A folder that goes with its owner; for spilling.
#[derive(Debug)]
pub struct Scratch(PathBuf);
impl Drop for Scratch {
    fn drop(&mut self) {
        // One that can't be removed now is found by its name in the temp folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Setup {
    /// Start the query. The stream reads ahead by a bounded amount and holds its session; keep the folder as long.
    pub async fn open(
        &self,
        compiled: &Compiled,
        progress: &Arc<Progress>,
        read: ReadOptions,
        params: Vec<(String, Literal)>,
    ) -> Result<(ArrowStream, Scratch)> {
        let (mut session, scratch) = self.session(compiled, progress, read).await?;
        session.bind(params)?;
        let stream = session.execute(&compiled.sql).await?;
        let schema = stream.schema();
        let stream = stream.map(move |b| {
            let _ = &session;
            b
        });
        Ok((read_ahead(ArrowStream::new(schema, stream)), scratch))
    }

    /// A session of the compiled query's engine with all its inputs attached.
    pub async fn session(
        &self,
        compiled: &Compiled,
        progress: &Arc<Progress>,
        read: ReadOptions,
    ) -> Result<(Box<dyn EngineSession>, Scratch)> {
        let settings = self.compute.engine(compiled.engine.name);
        let name = format!("xdb-{}-{}", std::process::id(), uuid::Uuid::new_v4().simple());
        let temp_dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&temp_dir)?;
        let scratch = Scratch(temp_dir.clone());
        let options = EngineOptions {
            memory_limit: Some(settings.memory_limit.unwrap_or_else(default_memory)),
            threads: settings.threads.unwrap_or(self.threads).max(1),
            temp_dir,
            types: read.types.unwrap_or_default(),
            home: compiled.home.as_ref().map(|h| (h.name.clone(), h.connector.clone())),
            extra: settings.extra,
        };
        let engine = (compiled.engine.new)();
        let mut session = engine.session(&options).await?;
        attach(session.as_mut(), &compiled.inputs, progress, read).await?;
        Ok((session, scratch))
    }
}

/// Half of the machine's memory, at least 1 GiB; 4 GiB where it can't be told.
fn default_memory() -> u64 {
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|t| {
        let kb = t.lines().find_map(|l| l.strip_prefix("MemTotal:"))?.trim().strip_suffix("kB")?.trim();
        kb.parse::<u64>().ok()
    });
    total.map(|kb| (kb * 512).max(1 << 30)).unwrap_or(4 << 30)
}
