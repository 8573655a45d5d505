//! tracing: `logs/xdb.log` in the project's folder, and stderr with `--debug`. All of it is scrubbed.

use crate::args::{Global, LogFormat};
use crate::console;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

/// The target of what was printed anyway: the file has it, `--debug` doesn't show it twice.
pub(crate) const UI: &str = "xdb::ui";

/// Set once the project is known; what is logged before goes nowhere.
static FILE: OnceLock<Mutex<File>> = OnceLock::new();

pub(crate) fn start(global: &Global) {
    let ours = |level| {
        Targets::new().with_default(LevelFilter::WARN).with_targets(
            // The engines' own planning output would drown everything.
            [
                "xdb",
                "xdb_core",
                "xdb_runner",
                "xdb_template",
                "xdb_project",
                "xdb_federation",
                "xdb_connector",
                "xdb_engine",
            ]
            .map(|t| (t, level)),
        )
    };
    let file =
        tracing_subscriber::fmt::layer().with_ansi(false).with_writer(ToFile).with_filter(ours(LevelFilter::DEBUG));
    let stderr = global.debug.then(|| {
        let filter = ours(LevelFilter::DEBUG).with_target(UI, LevelFilter::OFF);
        match global.log_format {
            LogFormat::Text => {
                tracing_subscriber::fmt::layer().with_ansi(false).with_writer(ToStderr).with_filter(filter).boxed()
            }
            LogFormat::Json => {
                tracing_subscriber::fmt::layer().json().with_writer(ToStderr).with_filter(filter).boxed()
            }
        }
    });
    // Only fails where one is set already.
    let _ = tracing_subscriber::registry().with(file).with(stderr).try_init();
}

/// A log that can't be written is no reason to stop.
pub(crate) fn to_project(root: &Path, invocation: &str) {
    let dir = root.join("logs");
    let open = || {
        std::fs::create_dir_all(&dir)?;
        OpenOptions::new().create(true).append(true).open(dir.join("xdb.log"))
    };
    match open() {
        Ok(f) => drop(FILE.set(Mutex::new(f))),
        Err(e) => tracing::warn!("cannot write {}: {e}", dir.display()),
    }
    let command = std::env::args().nth(1).unwrap_or_default();
    tracing::info!(target: UI, "xdb {} {command} {invocation}", env!("CARGO_PKG_VERSION"));
}

struct ToFile;
impl<'a> MakeWriter<'a> for ToFile {
    type Writer = Line;
    fn make_writer(&'a self) -> Line {
        Line { text: Vec::new(), file: true }
    }
}
struct ToStderr;
impl<'a> MakeWriter<'a> for ToStderr {
    type Writer = Line;
    fn make_writer(&'a self) -> Line {
        Line { text: Vec::new(), file: false }
    }
}

/// One event, written out whole when it is dropped.
struct Line {
    text: Vec<u8>,
    file: bool,
}
impl Write for Line {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(buf);
        Ok(buf.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        if !self.file {
            return console::line(text.trim_end());
        }
        if let Some(f) = FILE.get() {
            let mut f = f.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = f.write_all(console::scrub(&text).as_bytes());
        }
    }
}
