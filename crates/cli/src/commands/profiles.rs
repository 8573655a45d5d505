//! `xdb profiles`: what connections there are, how they are set, and whether they work.

use crate::app::App;
use crate::args::{Profiles as Args, TextFormat};
use crate::console::{self, Paint};
use crate::output::errors::FAILED;
use crate::output::table::plain;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use xdb_core::secret::MASK;
use xdb_core::{Connector, ConnectorDef, Error, ErrorKind, Registry, Result, ServerInfo};
use xdb_project::{ConnectionProfile, Profiles};
use xdb_runner::Connections;

pub(crate) async fn run(app: &App, args: Args) -> Result<u8> {
    match args {
        Args::List { output } => list(app, output),
        Args::Show { name } => show(app, &name),
        Args::Test { names, .. } => {
            let connections = app.connections()?;
            let all = connections.profiles().names().into_iter().map(String::from).collect();
            let names = if names.is_empty() { all } else { names };
            if names.is_empty() {
                return Err(no_connections(connections.profiles()));
            }
            test(app, &connections, &names).await
        }
    }
}

fn no_connections(profiles: &Profiles) -> Error {
    Error::config(format!("{} has no connections", profiles.file().display()))
}

fn list(app: &App, output: TextFormat) -> Result<u8> {
    let profiles = app.profiles()?;
    let rows: Vec<(String, String, String, Option<Error>)> =
        profiles.names().into_iter().map(|n| summary(&app.registry, &profiles, n)).collect();
    match output {
        TextFormat::Json => {
            let all: Vec<Value> = rows
                .iter()
                .map(|(n, a, at, e)| {
                    json!({"name": n, "adapter": a, "address": at, "error": e.as_ref().map(|e| e.message().to_string())})
                })
                .collect();
            console::print(&format!("{:#}", Value::from(all)))?;
        }
        TextFormat::Text => {
            let cell = |e: &Option<Error>, at: &str| e.as_ref().map(|e| e.message().to_string()).unwrap_or(at.into());
            let cells = rows.iter().map(|(n, a, at, e)| vec![n.clone(), a.clone(), cell(e, at)]).collect();
            console::print(&plain(&["connection", "adapter", "address"], cells, &[]))?;
            console::note(&format!("from {}", profiles.file().display()));
        }
    }
    Ok(0)
}

/// Name, adapter, address, or why it can't be told. Opens nothing.
fn summary(registry: &Registry, profiles: &Profiles, name: &str) -> (String, String, String, Option<Error>) {
    let read = || -> Result<(String, String)> {
        let p = profiles.get(name)?;
        let base = p.file.parent().unwrap_or(Path::new("."));
        let config =
            registry.validate(&p.name, &p.adapter, &p.raw, base).map_err(|e| e.at(p.file.display(), p.line))?;
        Ok((p.adapter, config.address()))
    };
    match read() {
        Ok((adapter, address)) => (name.into(), adapter, address, None),
        Err(e) => (name.into(), profiles.get(name).map(|p| p.adapter).unwrap_or_default(), String::new(), Some(e)),
    }
}

fn show(app: &App, name: &str) -> Result<u8> {
    let profiles = app.profiles()?;
    let p = profiles.get(name)?;
    console::print(&masked(&p, app.registry.connector(&p.adapter).ok()))?;
    console::note(&format!("from {}:{}", p.file.display(), p.line));
    Ok(0)
}

/// As YAML. A key that the adapter doesn't know may be a misspelt secret: masked too.
fn masked(p: &ConnectionProfile, def: Option<&ConnectorDef>) -> String {
    let mut out = format!("{}:\n  adapter: {}\n", p.name, p.adapter);
    for (key, value) in &p.raw {
        let spec = def.and_then(|d| d.params.iter().find(|s| s.name == key || s.aliases.contains(&key.as_str())));
        let shown = match value {
            Value::Null => "null".into(),
            _ if spec.is_none_or(|s| s.secret) => MASK.to_string(),
            Value::String(s) if plain_scalar(s) => s.clone(),
            other => other.to_string(),
        };
        let _ = writeln!(out, "  {key}: {shown}");
    }
    out
}

fn plain_scalar(s: &str) -> bool {
    s.starts_with(|c: char| c.is_alphabetic() || c == '/' || c == '.')
        && s.chars().all(|c| c.is_alphanumeric() || "_-./".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off"].contains(&s.to_lowercase().as_str())
}

/// One line each, in order, all at once; 1 if any failed.
pub(crate) async fn test(app: &App, connections: &Connections, names: &[String]) -> Result<u8> {
    let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    let mut checks: FuturesOrdered<_> = names
        .iter()
        .map(|name| async move {
            let out = match connections.get(name) {
                Ok(c) => check(&*c.connector).await.map_err(|e| e.connection(name)),
                Err(e) => Err(e),
            };
            (name, out)
        })
        .collect();
    let mut code = 0;
    let json = console::settings().format == crate::args::LogFormat::Json;
    while let Some((name, out)) = app.stoppable(async { Ok(checks.next().await) }).await? {
        if out.is_err() {
            code = FAILED;
        }
        if json {
            let fields = match &out {
                Ok(Found::Server(i)) => json!({"connection": name, "ok": true, "server": i}),
                Ok(Found::ToBeMade(note)) => json!({"connection": name, "ok": true, "note": note}),
                Err(e) => json!({"connection": name, "ok": false, "error": crate::output::errors::fields(e)}),
            };
            console::print(&fields.to_string())?;
            continue;
        }
        let line = match &out {
            Ok(Found::ToBeMade(note)) => format!("{}      {name:width$}  {note}", Paint::Green.on("ok")),
            Ok(Found::Server(info)) => {
                let tls = connections.get(name).is_ok_and(|c| c.connector.def().capabilities.tls);
                format!("{}      {name:width$}  {}", Paint::Green.on("ok"), server(info, tls))
            }
            Err(e) => {
                let hint = e.hint_text().map(|h| format!(" — {h}")).unwrap_or_default();
                // The cause is what tells a refused connection from a wrong password.
                let cause = e.causes().first().map(|c| format!(": {}", one_line(c))).unwrap_or_default();
                format!("{}  {name:width$}  {}{cause}{hint}", Paint::Red.on("failed"), one_line(e.message()))
            }
        };
        console::print(&line)?;
    }
    Ok(code)
}

enum Found {
    Server(ServerInfo),
    /// Nothing yet, but a run would make it; what to say of it.
    ToBeMade(String),
}

async fn check(connector: &dyn Connector) -> Result<Found> {
    match connector.check().await {
        Ok(info) => Ok(Found::Server(info)),
        Err(e) if e.kind() == ErrorKind::NotFound => match connector.made_by_load().await? {
            Some(note) => Ok(Found::ToBeMade(note)),
            None => Err(e),
        },
        Err(e) => Err(e),
    }
}

fn one_line(s: &str) -> String {
    s.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn server(i: &ServerInfo, tls: bool) -> String {
    let mut parts = vec![format!("{} {}", i.product, i.version)];
    if tls {
        parts.push(i.tls.clone().unwrap_or_else(|| "no TLS".into()));
    }
    parts.push(format!("{:.1} ms", i.latency.as_secs_f64() * 1e3));
    if i.read_only == Some(true) {
        parts.push("read-only".into());
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use xdb_core::{ParamKind, ParamSpec};

    #[test]
    fn secrets_and_unknown_keys_are_masked() {
        const SPECS: &[ParamSpec] = &[
            ParamSpec::new("host", ParamKind::String, "x."),
            ParamSpec::new("password", ParamKind::String, "x.").aliases(&["pass"]).secret(),
        ];
        let raw = json!({"host": "h.example", "pass": "hunter2", "pasword": "hunter3", "port": 1});
        let p = ConnectionProfile {
            name: "crm".into(),
            adapter: "x".into(),
            raw: raw.as_object().unwrap().clone(),
            file: "p.yml".into(),
            line: 1,
        };
        let def = ConnectorDef {
            name: "x",
            aliases: &[],
            title: "X",
            about: "",
            params: SPECS,
            capabilities: Default::default(),
            source_types: &[],
            target_type: |_| Err(Error::internal("")),
            validate: |_| Err(Error::internal("")),
        };
        insta::assert_snapshot!(masked(&p, Some(&def)), @r"
        crm:
          adapter: x
          host: h.example
          pass: ********
          pasword: ********
          port: ********
        ");
    }
}
