//! A connector's page: example, parameters, what it can do, its types both ways.

use super::{code, fields, table};
use xdb_core::{Capabilities, ConnectorDef, Fidelity, ParamKind, ParamSpec, Registry};

pub(super) fn index(registry: &Registry) -> String {
    let rows: Vec<Vec<String>> = registry
        .connectors()
        .iter()
        .map(|d| {
            let c = &d.capabilities;
            let ways = [(c.load, "replace"), (c.append, "append"), (c.merge, "merge")];
            let ways: Vec<&str> = ways.iter().filter(|w| w.0).map(|w| w.1).collect();
            vec![
                format!("[`{}`]({}.md)", d.name, d.name),
                d.title.into(),
                d.aliases.iter().map(|a| code(a)).collect::<Vec<_>>().join(", "),
                if c.read { "yes" } else { "no" }.into(),
                if ways.is_empty() { "no".into() } else { ways.join(", ") },
                if c.execute { "yes" } else { "no" }.into(),
            ]
        })
        .collect();
    format!(
        "# Connectors\n\nThe `adapter:` of a connection in profiles.yml. How types travel between them: [types](../guide/types.md).\n\n{}",
        table(&["adapter", "system", "also", "source", "target", "native SQL"], &rows)
    )
}

pub(super) fn page(def: &ConnectorDef) -> String {
    let mut out = format!("# {} (`{}`)\n\n{}\n", def.title, def.name, def.about);
    if !def.aliases.is_empty() {
        let names: Vec<String> = def.aliases.iter().map(|a| code(a)).collect();
        out.push_str(&format!("\nThe adapter is also called {}.\n", names.join(", ")));
    }
    out.push_str(&format!("\n## profiles.yml\n\n```yaml\n{}```\n", example(def)));
    let parameters: Vec<Vec<String>> = def.params.iter().map(parameter).collect();
    let head = ["key", "also", "value", "default", "meaning", "example"];
    out.push_str(&format!("\n## Parameters\n\n{}", table(&head, &parameters)));
    out.push_str(&format!("\n## What it does\n\n{}", table(&["", ""], &abilities(&def.capabilities))));
    let reading: Vec<Vec<String>> = def
        .source_types
        .iter()
        .map(|s| vec![s.name.into(), s.arrow.into(), word(s.fidelity).into(), s.note.into()])
        .collect();
    if !reading.is_empty() {
        out.push_str("\n## Reading\n\nThe Arrow type that a column gets, which is what engines compute with.\n\n");
        out.push_str(&table(&["column type", "Arrow", "kept", "note"], &reading));
    }
    if def.capabilities.load {
        out.push_str("\n## Writing\n\nThe column type that a result's column gets in a table made by xdb.\n\n");
        out.push_str(&table(&["Arrow", "column type", "kept", "note"], &writing(def)));
    }
    out.push_str("\nWhat *exact*, *widened* and *lossy* mean: [types](../guide/types.md).\n");
    out
}

pub(super) fn word(f: Fidelity) -> &'static str {
    match f {
        Fidelity::Exact => "exact",
        Fidelity::Widened => "widened",
        Fidelity::Lossy => "lossy",
    }
}

/// An entry with every required parameter, and the ones that an example is given for.
fn example(def: &ConnectorDef) -> String {
    let mut out = format!("my_{}:\n  adapter: {}\n", def.name, def.name);
    for p in def.params.iter().filter(|p| p.required || p.secret || !p.example.is_empty()) {
        let value = if p.secret && p.kind == ParamKind::String {
            format!("\"{{{{ env_var('{}_{}') }}}}\"", def.name.to_uppercase(), p.name.to_uppercase())
        } else if p.example.is_empty() {
            p.default.unwrap_or("...").into()
        } else {
            p.example.into()
        };
        let usual = ["host", "port", "user", "database", "schema", "path"].contains(&p.name);
        let sign = if p.required || usual || p.secret && p.kind == ParamKind::String { "" } else { "# " };
        out.push_str(&format!("  {sign}{}: {value}\n", p.name));
    }
    out
}

fn parameter(p: &ParamSpec) -> Vec<String> {
    let kind = match p.kind {
        ParamKind::String => "text".into(),
        ParamKind::Integer => "whole number".into(),
        ParamKind::Bool => "true or false".into(),
        ParamKind::Duration => "duration".into(),
        ParamKind::Path => "path".into(),
        ParamKind::Choice(all) => all.iter().map(|c| code(c)).collect::<Vec<_>>().join(", "),
        ParamKind::Map => "mapping".into(),
    };
    let also: Vec<String> = p.aliases.iter().map(|a| code(a)).collect();
    let default = if p.required { "required".into() } else { p.default.map(code).unwrap_or_default() };
    let help = if p.secret { format!("{} Secret.", p.help) } else { p.help.into() };
    vec![code(p.name), also.join(", "), kind, default, help, code(p.example)]
}

fn abilities(c: &Capabilities) -> Vec<Vec<String>> {
    // Taken apart by name, so that a new capability can't be forgotten here.
    let Capabilities {
        read,
        filter,
        limit,
        parallel_read,
        consistent_splits,
        load,
        append,
        merge,
        atomic_replace,
        execute,
        parameters,
        views,
        schemas,
        tls,
        unix_socket,
        cancel,
    } = *c;
    let all = [
        ("source", read),
        ("filters are sent to it", filter),
        ("limits are sent to it", limit),
        ("one table over several connections", parallel_read),
        ("all of them see one moment", consistent_splits),
        ("target: replace", load),
        ("target: append", append),
        ("target: merge by a key", merge),
        ("a replaced table is old or new to its readers, never neither", atomic_replace),
        ("native SQL", execute),
        ("parameters are bound", parameters),
        ("views", views),
        ("schemas are created", schemas),
        ("TLS", tls),
        ("Unix sockets", unix_socket),
        ("stopping a read stops the query there", cancel),
    ];
    all.iter().map(|(what, can)| vec![what.to_string(), if *can { "yes" } else { "no" }.into()]).collect()
}

fn writing(def: &ConnectorDef) -> Vec<Vec<String>> {
    let row = |(name, field): (&str, arrow::datatypes::Field)| match (def.target_type)(&field) {
        Ok(t) => vec![name.to_string(), code(&t.sql), word(t.fidelity).into(), t.note.into()],
        Err(_) => vec![name.to_string(), String::new(), "refused".into(), String::new()],
    };
    fields::representative().into_iter().map(row).collect()
}
