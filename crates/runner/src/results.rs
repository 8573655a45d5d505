//! What a run did, node by node, and `target/run_results.json`, which is rewritten after every node so that a killed
//! run still tells the truth. The file has dbt's shape.

use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use xdb_core::{Error, ErrorKind, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Success,
    Error,
    /// A node it depends on failed.
    Skipped,
    /// Interrupted, or stopped by `--fail-fast`.
    Cancelled,
}
impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Rows and bytes read from one connection.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Read {
    pub connection: String,
    pub rows: u64,
    pub bytes: u64,
}

#[derive(Debug)]
pub struct NodeResult {
    pub unique_id: String,
    pub status: Status,
    pub materialized: String,
    pub relation: String,
    pub engine: Option<String>,
    /// Rows written; `None` where the database doesn't say (a view).
    pub rows: Option<u64>,
    pub reads: Vec<Read>,
    pub bytes_written: u64,
    /// Seconds.
    pub seconds: f64,
    pub notes: Vec<String>,
    pub error: Option<Error>,
    /// The failed node that made this one be skipped.
    pub skipped_because: Option<String>,
    pub compiled_path: Option<PathBuf>,
}

#[derive(Debug)]
pub struct RunResults {
    pub invocation_id: String,
    pub command: String,
    /// RFC 3339, UTC.
    pub generated_at: String,
    pub results: Vec<std::sync::Arc<NodeResult>>,
    /// Seconds.
    pub elapsed: f64,
    /// The user stopped it.
    pub interrupted: bool,
}
impl RunResults {
    pub fn count(&self, status: Status) -> usize {
        self.results.iter().filter(|r| r.status == status).count()
    }
    pub fn is_success(&self) -> bool {
        !self.interrupted && self.results.iter().all(|r| r.status == Status::Success)
    }
    pub fn to_json(&self, args: &serde_json::Value) -> serde_json::Value {
        let results: Vec<_> = self
            .results
            .iter()
            .map(|r| {
                let message = match (&r.error, &r.skipped_because) {
                    (Some(e), _) => Some(e.report()),
                    (None, Some(why)) => Some(format!("skipped: `{why}` failed")),
                    _ => None,
                };
                json!({
                    "unique_id": r.unique_id,
                    "status": r.status.as_str(),
                    "message": message,
                    "execution_time": r.seconds,
                    "relation_name": r.relation,
                    "compiled_path": r.compiled_path,
                    "failures": null,
                    "adapter_response": {
                        "engine": r.engine,
                        "rows_affected": r.rows,
                        "bytes_written": r.bytes_written,
                        "read": r.reads,
                        "notes": r.notes,
                        "error_kind": r.error.as_ref().map(|e| e.kind().as_str()),
                    },
                })
            })
            .collect();
        json!({
            "metadata": {
                "generated_at": self.generated_at,
                "invocation_id": self.invocation_id,
                "xdb_version": env!("CARGO_PKG_VERSION"),
                "interrupted": self.interrupted,
            },
            "args": args,
            "elapsed_time": self.elapsed,
            "results": results,
        })
    }
}

/// Written beside and renamed over, so that a reader never sees half a file.
pub(crate) fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    write_text(path, &format!("{value:#}\n"))
}

pub fn write_text(path: &Path, text: &str) -> Result<()> {
    let fail = |e: std::io::Error| Error::from(e).with_message(|m| format!("cannot write {}: {m}", path.display()));
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(fail)?;
    }
    let mut temp = path.as_os_str().to_owned();
    temp.push(format!(".{}.tmp", std::process::id()));
    std::fs::write(&temp, text).map_err(fail)?;
    std::fs::rename(&temp, path).map_err(fail)
}

/// What `retry` and `result:` need of the last run.
#[derive(Clone, Debug)]
pub struct PreviousRun {
    pub command: String,
    pub args: serde_json::Value,
    /// (unique_id, status)
    pub statuses: Vec<(String, String)>,
}
impl PreviousRun {
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            Error::new(ErrorKind::NotFound, format!("there is no {} of an earlier run", path.display()))
                .cause(e)
                .hint("run `xdb run` first")
        })?;
        let v: serde_json::Value = serde_json::from_str(&text)
            .map_err(|e| Error::config(format!("{} is not readable: {e}", path.display())))?;
        let statuses = v["results"]
            .as_array()
            .map(|a| {
                a.iter().filter_map(|r| Some((r["unique_id"].as_str()?.into(), r["status"].as_str()?.into()))).collect()
            })
            .unwrap_or_default();
        let args = v["args"].clone();
        Ok(Self { command: args["which"].as_str().unwrap_or("run").into(), args, statuses })
    }
    /// Nodes that did not succeed.
    pub fn unfinished(&self) -> Vec<String> {
        self.statuses.iter().filter(|(_, s)| s != "success").map(|(id, _)| id.clone()).collect()
    }
}
