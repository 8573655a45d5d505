//! `xdb inspect`: connections, then their schemas and tables, then a table's columns.

use crate::app::App;
use crate::args::{Inspect, TextFormat};
use crate::console;
use crate::output::table::plain;
use crate::output::text::{bytes, plural, thousands};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use xdb_core::names::suggest;
use xdb_core::{Error, ErrorKind, Relation, RelationInfo, RelationPattern, Result, TableInfo};
use xdb_runner::Connection;

pub(crate) async fn run(app: &App, args: Inspect) -> Result<u8> {
    let Some(what) = &args.what else {
        return super::profiles::run(app, crate::args::Profiles::List { output: args.output }).await;
    };
    let connections = app.connections()?;
    let names = connections.profiles().names();
    let (name, parts) = split(what, &names)?;
    let c = connections.get(&name)?;
    let found = app.stoppable(find(&c, &parts)).await.map_err(|e| e.connection(&name))?;
    match (found, &args.sources) {
        (Found::Relations(all), Some(file)) => sources(&c, &all, file.as_deref()),
        (Found::Table(t), Some(file)) => {
            let one = RelationInfo { relation: t.relation.clone(), kind: t.kind, row_estimate: t.row_estimate };
            sources(&c, &[one], file.as_deref())
        }
        (Found::Relations(all), None) => relations(&all, args.output),
        (Found::Table(t), None) => table(&c, &t, args.output),
    }
}

enum Found {
    Relations(Vec<RelationInfo>),
    Table(Box<TableInfo>),
}

/// The connection, and the name parts after it. A connection's own name may have dots in it.
fn split(what: &str, names: &[&str]) -> Result<(String, Vec<String>)> {
    let mut best: Option<&str> = None;
    for n in names {
        let fits = what == *n || what.strip_prefix(n).is_some_and(|r| r.starts_with('.'));
        if fits && best.is_none_or(|b| b.len() < n.len()) {
            best = Some(n);
        }
    }
    let Some(name) = best else {
        let first = what.split('.').next().unwrap_or(what);
        let e = Error::not_found(format!("there is no connection `{first}`"));
        return Err(match suggest(first, names.iter().copied()) {
            Some(h) => e.hint(h),
            None => e,
        });
    };
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut quoted = false;
    for c in what[name.len()..].chars().skip(1) {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    Ok((name.into(), parts))
}

async fn find(c: &Connection, parts: &[String]) -> Result<Found> {
    let list = async |schema: Option<&String>, name: Option<&String>| {
        c.connector.list(&RelationPattern { schema: schema.cloned(), name: name.cloned() }).await.map(Found::Relations)
    };
    let describe =
        async |rel: Relation| c.connector.describe(&c.connector.resolve(&rel)).await.map(|t| Found::Table(t.into()));
    match parts {
        [] => list(None, None).await,
        [one] => {
            let found = list(Some(one), None).await?;
            if matches!(&found, Found::Relations(all) if !all.is_empty()) {
                return Ok(found);
            }
            // `shop.orders`: a table of the connection's own schema.
            if one.contains('*') {
                return list(None, Some(one)).await;
            }
            describe(Relation::bare(one)).await.map_err(|e| match e.kind() {
                ErrorKind::NotFound => {
                    e.with_message(|_| format!("`{}` has neither a schema nor a table `{one}`", c.name))
                }
                _ => e,
            })
        }
        [schema, name] if name.contains('*') => list(Some(schema), Some(name)).await,
        [schema, name] => describe(Relation::new(None, Some(schema), name)).await,
        [database, schema, name] => describe(Relation::new(Some(database), Some(schema), name)).await,
        _ => Err(Error::config("too many parts").hint("xdb inspect CONNECTION.SCHEMA.TABLE")),
    }
}

fn relations(all: &[RelationInfo], output: TextFormat) -> Result<u8> {
    if output == TextFormat::Json {
        console::print(&format!("{:#}", json!(all)))?;
        return Ok(0);
    }
    let rows = all
        .iter()
        .map(|r| {
            vec![
                r.relation.schema.clone().unwrap_or_default(),
                r.relation.name.clone(),
                r.kind.as_str().into(),
                r.row_estimate.map(thousands).unwrap_or_default(),
            ]
        })
        .collect();
    console::print(&plain(&["schema", "name", "kind", "rows (est.)"], rows, &[3]))?;
    console::note(&format!("({})", plural(all.len(), "relation")));
    Ok(0)
}

fn table(c: &Connection, t: &TableInfo, output: TextFormat) -> Result<u8> {
    let key = |name: &str| t.primary_key.iter().position(|k| k == name).map(|i| i + 1);
    if output == TextFormat::Json {
        let columns: Vec<Value> = t
            .columns
            .iter()
            .zip(t.schema.fields())
            .map(|(c, f)| {
                json!({
                    "name": c.name, "source_type": c.source_type, "arrow_type": f.data_type().to_string(),
                    "nullable": c.nullable, "primary_key": key(&c.name), "collation": c.collation, "comment": c.comment,
                })
            })
            .collect();
        let all = json!({
            "connection": c.name, "relation": t.relation, "kind": t.kind.as_str(), "row_estimate": t.row_estimate,
            "bytes_estimate": t.bytes_estimate, "primary_key": t.primary_key, "columns": columns,
        });
        console::print(&format!("{all:#}"))?;
        return Ok(0);
    }
    let rows = t
        .columns
        .iter()
        .zip(t.schema.fields())
        .map(|(c, f)| {
            vec![
                c.name.clone(),
                c.source_type.clone(),
                f.data_type().to_string(),
                if c.nullable { "yes" } else { "no" }.into(),
                key(&c.name).map(|n| format!("key {n}")).unwrap_or_default(),
            ]
        })
        .collect();
    console::print(&plain(&["column", "type", "Arrow type", "null", "key"], rows, &[]))?;
    let mut about = format!("{} {}", t.kind.as_str(), t.relation);
    if let Some(n) = t.row_estimate {
        let _ = write!(about, ", about {} rows", thousands(n));
    }
    if let Some(n) = t.bytes_estimate {
        let _ = write!(about, ", {}", bytes(n));
    }
    console::note(&about);
    Ok(0)
}

/// A ready sources.yml: one source a schema.
fn sources(c: &Connection, all: &[RelationInfo], file: Option<&Path>) -> Result<u8> {
    if all.is_empty() {
        return Err(Error::not_found(format!("`{}` has no tables there", c.name)));
    }
    let text = sources_text(&c.name, all);
    let Some(path) = file else {
        console::print(&text)?;
        return Ok(0);
    };
    if path.exists() {
        return Err(Error::config(format!("{} is there already", path.display()))
            .hint("name another file, or leave the name away to print it"));
    }
    xdb_runner::write_text(path, &text)?;
    console::note(&format!("wrote {} with {}", path.display(), plural(all.len(), "table")));
    Ok(0)
}

fn sources_text(connection: &str, all: &[RelationInfo]) -> String {
    let mut schemas: BTreeMap<Option<&str>, Vec<&RelationInfo>> = BTreeMap::new();
    for r in all {
        schemas.entry(r.relation.schema.as_deref()).or_default().push(r);
    }
    let many = schemas.len() > 1;
    let plain: String = connection.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let mut out = String::from("version: 2\n\nsources:\n");
    for (schema, tables) in schemas {
        let name = match schema {
            Some(s) if many => format!("{plain}_{s}"),
            _ => plain.clone(),
        };
        let _ = write!(out, "  - name: {}\n    profile: {}\n", yaml_text(&name), yaml_text(connection));
        if let Some(s) = schema {
            let _ = writeln!(out, "    schema: {}", yaml_text(s));
        }
        out.push_str("    tables:\n");
        for t in tables {
            let _ = writeln!(out, "      - name: {}", yaml_text(&t.relation.name));
        }
    }
    out
}

fn yaml_text(s: &str) -> String {
    let word = s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let taken = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&s.to_lowercase().as_str());
    if word && !taken { s.into() } else { json!(s).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xdb_core::RelationKind;

    #[test]
    fn names_are_split_at_dots_outside_quotes_after_the_longest_connection() {
        let names = ["crm", "crm.dev", "lake"];
        let s = |w: &str| split(w, &names).unwrap();
        assert_eq!(s("crm"), ("crm".into(), vec![]));
        assert_eq!(s("crm.public.t"), ("crm".into(), vec!["public".into(), "t".into()]));
        assert_eq!(s("crm.dev.public"), ("crm.dev".into(), vec!["public".into()]));
        assert_eq!(s("lake.main.\"a.csv\""), ("lake".into(), vec!["main".into(), "a.csv".into()]));
        assert_eq!(split("crn.x", &names).unwrap_err().hint_text(), Some("did you mean `crm`?"));
    }

    #[test]
    fn a_ready_sources_file() {
        let rel = |schema, name: &str| RelationInfo {
            relation: Relation::new(None, Some(schema), name),
            kind: RelationKind::Table,
            row_estimate: None,
        };
        let text = sources_text("crm", &[rel("public", "a"), rel("public", "b c"), rel("no", "t")]);
        insta::assert_snapshot!(text, @r#"
        version: 2

        sources:
          - name: crm_no
            profile: crm
            schema: "no"
            tables:
              - name: t
          - name: crm_public
            profile: crm
            schema: public
            tables:
              - name: a
              - name: "b c"
        "#);
    }
}
