//! `xdb ls`: models and sources, in dependency order.

use crate::app::App;
use crate::args::{Ls, LsFormat};
use crate::console::Stdout;
use crate::output::events;
use serde_json::json;
use std::io::Write;
use xdb_core::names::suggest;
use xdb_core::{Error, Result};
use xdb_graph::{Node, ResourceType, SelectContext};

pub(crate) fn run(app: &App, args: Ls) -> Result<u8> {
    let types = args.resource_type.iter().map(|t| resource_type(t)).collect::<Result<Vec<_>>>()?;
    let ws = app.workspace(app.options(&args.project, "ls")?)?;
    let context = SelectContext::default();
    let chosen = ws.graph.select(&args.selection.select, &args.selection.exclude, &context)?;
    super::compile::warn_unmatched(&ws, &args.selection.select)?;
    let mut out = Stdout::new();
    let mut any = false;
    for node in ws.graph.topological().iter().filter(|id| chosen.contains(*id)).filter_map(|id| ws.graph.node(id)) {
        if !types.is_empty() && !types.contains(&node.resource_type) {
            continue;
        }
        any = true;
        let text = match args.output {
            LsFormat::Name => name(node),
            LsFormat::Path => node.path.display().to_string(),
            LsFormat::Json => json!({
                "unique_id": node.id, "name": node.name, "resource_type": node.resource_type.as_str(),
                "package_name": node.package, "original_file_path": node.path, "fqn": node.fqn, "tags": node.tags,
                "config": node.config, "depends_on": {"nodes": ws.graph.parents(&node.id).collect::<Vec<_>>()},
            })
            .to_string(),
        };
        writeln!(out, "{}", crate::console::scrub(&text))?;
    }
    out.flush()?;
    if !any {
        events::warn("nothing is selected");
    }
    Ok(0)
}

/// dbt's way: `source:project.source.table`, `project.folder.model`.
fn name(node: &Node) -> String {
    let fqn = node.fqn.join(".");
    match node.resource_type {
        ResourceType::Source => format!("source:{fqn}"),
        _ => fqn,
    }
}

fn resource_type(name: &str) -> Result<ResourceType> {
    ResourceType::parse(name).ok_or_else(|| {
        let e = Error::config(format!("there is no resource type `{name}`"));
        match suggest(name, ResourceType::ALL.iter().map(|t| t.as_str())) {
            Some(h) => e.hint(h),
            None => e,
        }
    })
}
