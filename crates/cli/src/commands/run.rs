//! `xdb run`: builds models.

use super::compile::{built, warn_unmatched};
use crate::app::App;
use crate::args::Run;
use crate::output::errors::{FAILED, UNEXPECTED};
use crate::output::events;
use crate::output::run::{Reporter, finish};
use crate::output::text::plural;
use serde_json::{Value, json};
use std::sync::Arc;
use xdb_core::{ErrorKind, Result};
use xdb_runner::{Options, RunResults, Status, Workspace};

pub(crate) async fn run(app: &App, args: Run) -> Result<u8> {
    let stored = json!({
        "which": "run", "select": args.selection.select, "exclude": args.selection.exclude,
        "target": args.project.target, "vars": args.project.vars, "target_path": args.project.target_path,
        "compute": args.compute.compute, "threads": args.threads.threads, "fail_fast": args.fail_fast,
        "full_refresh": args.full_refresh,
    });
    let options = Options {
        compute: args.compute.compute,
        threads: args.threads.threads.map(usize::from).unwrap_or(0),
        full_refresh: args.full_refresh,
        fail_fast: args.fail_fast,
        ..app.options(&args.project, "run")?
    };
    let ws = app.workspace(options)?;
    let ids = ws.select(&args.selection.select, &args.selection.exclude)?;
    warn_unmatched(&ws, &args.selection.select)?;
    build(app, &ws, &ids, &stored).await
}

/// Build `ids` and show how it goes; the exit code.
pub(crate) async fn build(app: &App, ws: &Arc<Workspace>, ids: &[String], stored: &Value) -> Result<u8> {
    let sources: usize = ws.project.sources.iter().map(|s| s.tables.len()).sum();
    events::info(&format!("Running with xdb={}", env!("CARGO_PKG_VERSION")));
    events::info(&format!("Found {}, {}", plural(ws.models().count(), "model"), plural(sources, "source")));
    if built(ws, ids) == 0 {
        events::warn("nothing to do: no model is selected");
        return Ok(0);
    }
    let reporter = Reporter::new();
    // The run sees the token itself, so that it can tidy up.
    let results = ws.run(ids, stored, &reporter.sink(), &app.cancel).await?;
    drop(reporter);
    finish(&results);
    Ok(code(&results))
}

pub(crate) fn code(results: &RunResults) -> u8 {
    let bug = results.results.iter().any(|r| r.error.as_ref().is_some_and(|e| e.kind() == ErrorKind::Internal));
    match results {
        r if r.interrupted || bug => UNEXPECTED,
        r if r.results.iter().all(|r| r.status == Status::Success) => 0,
        _ => FAILED,
    }
}
