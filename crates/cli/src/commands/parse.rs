//! `xdb parse`: everything that can be checked without connecting.

use crate::app::App;
use crate::args::Parse;
use crate::output::events;
use crate::output::text::plural;
use xdb_core::Result;

pub(crate) fn run(app: &App, args: Parse) -> Result<u8> {
    let started = std::time::Instant::now();
    let ws = app.workspace(app.options(&args.project, "parse")?)?;
    // Where models are written and sources are read must be known, though nothing is opened.
    for (_, m) in ws.models().filter(|(_, m)| m.config.enabled) {
        ws.target_of(m)?;
        ws.inputs_of(&m.recorded).map_err(|e| e.model(&m.file.name))?;
    }
    ws.write_manifest()?;
    let sources: usize = ws.project.sources.iter().map(|s| s.tables.len()).sum();
    events::info(&format!(
        "Project `{}` is fine: {}, {} ({:.2}s)",
        ws.project.file.name,
        plural(ws.models().count(), "model"),
        plural(sources, "source"),
        started.elapsed().as_secs_f64()
    ));
    Ok(0)
}
