//! `xdb debug`: what xdb finds, so that a person can see what it doesn't.

use crate::app::App;
use crate::args::DebugArgs;
use crate::console::{self, Paint};
use crate::output::errors::{FAILED, colored};
use crate::output::events;
use crate::output::text::plural;
use std::fmt::Write;
use xdb_core::{Registry, Result};
use xdb_project::Profiles;
use xdb_project::yaml::{self, Kind, Node};
use xdb_runner::Connections;

pub(crate) async fn run(app: &App, args: DebugArgs) -> Result<u8> {
    let mut code = 0;
    let mut out = String::new();
    let names = |all: Vec<&'static str>| all.join(", ");
    let _ = writeln!(
        out,
        "xdb          {} ({} {})",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    let _ = writeln!(out, "adapters     {}", names(app.registry.connectors().iter().map(|c| c.name).collect()));
    let _ = writeln!(out, "engines      {}", names(app.registry.engines().iter().map(|e| e.name).collect()));
    let _ =
        writeln!(out, "working dir  {}", std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default());
    let mut errors = Vec::new();
    let workspace = match app.project_dir() {
        None => {
            let _ = writeln!(out, "project      none here or above (xdb init NAME starts one)");
            None
        }
        Some(dir) => match app.workspace(app.options(&args.project, "debug")?) {
            Ok(ws) => {
                let file = &ws.project.file.file;
                let _ = writeln!(out, "project      {} ({})", ws.project.file.name, file.display());
                let sources: usize = ws.project.sources.iter().map(|s| s.tables.len()).sum();
                let _ = writeln!(
                    out,
                    "             {}, {}; target {}, engine {}, {}",
                    plural(ws.models().count(), "model"),
                    plural(sources, "source"),
                    ws.options.target.as_ref().or(ws.project.file.target.as_ref()).map_or("not set", |t| t.as_str()),
                    ws.project.file.compute.default_engine,
                    plural(ws.threads(), "thread")
                );
                Some(ws)
            }
            Err(e) => {
                let _ = writeln!(out, "project      {} {}", dir.display(), Paint::Red.on("is broken, see below"));
                errors.push(e);
                None
            }
        },
    };
    // Profiles are looked at also where the project is broken.
    let profiles = match &workspace {
        Some(ws) => Ok(ws.project.profiles.clone()),
        None => app.profiles(),
    };
    match &profiles {
        Ok(p) => drop(writeln!(out, "profiles     {} ({})", p.file().display(), plural(p.names().len(), "connection"))),
        Err(_) => drop(writeln!(out, "profiles     {}", Paint::Red.on("not readable, see below"))),
    }
    console::print(&out)?;
    match profiles {
        Ok(p) => {
            for warning in plain_secrets(&app.registry, &p) {
                events::warn(&warning);
            }
            if !args.no_connection && !p.names().is_empty() {
                console::print("")?;
                let names: Vec<String> = p.names().into_iter().map(String::from).collect();
                let connections = Connections::new(app.registry.clone(), std::sync::Arc::new(p));
                code = super::profiles::test(app, &connections, &names).await?;
            }
        }
        Err(e) => errors.push(e),
    }
    for e in &errors {
        console::line(&colored(&e.report()));
        code = FAILED;
    }
    Ok(code)
}

/// Secrets that stand in the file as they are. They work; they also end up in version control.
fn plain_secrets(registry: &Registry, profiles: &Profiles) -> Vec<String> {
    let Ok(text) = std::fs::read_to_string(profiles.file()) else { return vec![] };
    let Ok(root) = yaml::parse(&text, profiles.file()) else { return vec![] };
    let mut out = Vec::new();
    for name in profiles.names() {
        let Some(node) = connection_node(&root, name) else { continue };
        let adapter = node.get("adapter").or_else(|| node.get("type")).and_then(Node::scalar_text).unwrap_or_default();
        let Ok(def) = registry.connector(&adapter) else { continue };
        for entry in node.entries() {
            let known = def.params.iter().find(|s| s.name == entry.key || s.aliases.contains(&entry.key.as_str()));
            if known.is_some_and(|s| s.secret) && has_plain_text(&entry.value) {
                out.push(format!(
                    "`{name}` has its `{}` in plain text ({}:{}); use \"{{{{ env_var('XDB_ENV_SECRET_{}') }}}}\"",
                    entry.key,
                    profiles.file().display(),
                    entry.line,
                    format!("{name}_{}", entry.key).to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_")
                ));
            }
        }
    }
    out
}

/// A plain connection, or dbt's `profile.output`.
fn connection_node<'a>(root: &'a Node, name: &str) -> Option<&'a Node> {
    root.get(name).filter(|n| n.get("outputs").is_none()).or_else(|| {
        let (profile, output) = name.rsplit_once('.')?;
        root.get(profile)?.get("outputs")?.get(output)
    })
}

fn has_plain_text(value: &Node) -> bool {
    match &value.kind {
        Kind::Text(t) => !t.is_empty() && !t.contains("{{"),
        Kind::Number(_) | Kind::Bool(_) => true,
        Kind::Map(m) => m.iter().any(|e| has_plain_text(&e.value)),
        Kind::List(l) => l.iter().any(has_plain_text),
        Kind::Null => false,
    }
}
