//! `xdb compile`: the SQL each model would run.

use crate::app::App;
use crate::args::Compile;
use crate::console;
use crate::output::events;
use crate::output::text::plural;
use std::sync::Arc;
use xdb_core::Result;
use xdb_project::Materialized;
use xdb_runner::{Options, What, Workspace, silent, write_text};

pub(crate) async fn run(app: &App, args: Compile) -> Result<u8> {
    let options = Options { compute: args.compute.compute, ..app.options(&args.project, "compile")? };
    let ws = app.workspace(options)?;
    if let Some(sql) = &args.inline {
        let compiled = app.stoppable(ws.compile_one(&What::Inline(sql), &silent())).await?;
        console::print(&compiled.sql)?;
        return Ok(0);
    }
    let ids = ws.select(&args.selection.select, &args.selection.exclude)?;
    warn_unmatched(&ws, &args.selection.select)?;
    let mut last = None;
    let mut failed = 0;
    let reporter = crate::output::run::Reporter::new();
    for id in &ids {
        let model = ws.model(id)?;
        let compiled = app.stoppable(ws.compile_one(&What::Model(&model.file.name), &reporter.sink())).await;
        match compiled {
            Ok(c) => {
                let dir = ws.target_path().join("compiled").join(&ws.project.file.name);
                write_text(&dir.join(&model.file.path), &format!("{}\n", c.sql.trim_end()))?;
                last = Some(c.sql);
            }
            Err(e) if app.cancel.is_cancelled() => return Err(e),
            Err(e) => {
                failed += 1;
                crate::output::errors::print(&e.model(&model.file.name));
            }
        }
    }
    if failed > 0 {
        return Ok(crate::output::errors::FAILED);
    }
    match (last, ids.len()) {
        (Some(sql), 1) => console::print(&sql)?,
        _ => events::info(&format!(
            "Compiled {} to {}",
            plural(ids.len(), "model"),
            ws.target_path().join("compiled").display()
        )),
    }
    Ok(0)
}

/// A selector that means nothing is most likely a typo.
pub(crate) fn warn_unmatched(ws: &Arc<Workspace>, select: &[String]) -> Result<()> {
    for s in ws.graph.unmatched(select, &Default::default()).unwrap_or_default() {
        events::warn(&format!("the selection `{s}` matches nothing"));
    }
    Ok(())
}

/// Models of `ids` that `run` builds.
pub(crate) fn built(ws: &Workspace, ids: &[String]) -> usize {
    let is_built = |id: &&String| ws.model(id).is_ok_and(|m| m.config.materialized != Materialized::Ephemeral);
    ids.iter().filter(is_built).count()
}
