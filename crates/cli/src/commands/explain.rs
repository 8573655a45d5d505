//! `xdb explain`: what would run where.

use super::show::what;
use crate::app::App;
use crate::args::{Explain, TextFormat};
use crate::console;
use crate::output::text::{bytes, plural, thousands};
use serde_json::json;
use std::fmt::Write;
use xdb_core::engine::SourceRead;
use xdb_core::{Error, Explanation, Result};
use xdb_runner::{Options, QueryOptions, silent};

pub(crate) async fn run(app: &App, args: Explain) -> Result<u8> {
    let name = args.model.as_deref().or(args.select.as_deref());
    let base = Options { compute: args.compute.compute.clone(), ..app.options(&args.project, "explain")? };
    let options = QueryOptions { analyze: args.analyze, ..QueryOptions::default() };
    let (explanation, engine, sql) = if app.project_dir().is_none()
        && let Some(sql) = &args.inline
    {
        let ad_hoc = app.ad_hoc(base)?;
        let options = QueryOptions { compute: args.compute.compute.clone(), ..options };
        let (x, engine) = app.stoppable(ad_hoc.explain(sql, &options)).await?;
        (x, engine.name, sql.clone())
    } else {
        let ws = app.workspace(base)?;
        let what = what(&ws, name, args.inline.as_deref())?;
        let (x, compiled) = app.stoppable(ws.explain(&what, &options, &silent())).await?;
        (x, compiled.engine.name, compiled.sql)
    };
    match args.output {
        TextFormat::Json => {
            let mut all = serde_json::to_value(&explanation).map_err(|e| Error::internal(e.to_string()))?;
            if let Some(all) = all.as_object_mut() {
                all.insert("engine".into(), json!(engine));
                all.insert("sql".into(), json!(sql));
            }
            console::print(&format!("{all:#}"))?;
        }
        TextFormat::Text => console::print(&text(engine, &explanation))?,
    }
    Ok(0)
}

fn text(engine: &str, x: &Explanation) -> String {
    let mut out = format!("engine: {engine}\n");
    if let Some(a) = x.actual {
        let _ = writeln!(out, "answer: {} in {}", plural(count(a.rows), "row"), seconds(a.elapsed_ms));
    }
    for s in &x.sources {
        source(&mut out, s);
    }
    for c in &x.choices {
        let what = if c.pushed { "sent whole" } else { "not sent whole" };
        let _ = write!(out, "\n{what}: {} (`{}`)\n  {}\n", c.relations.join(", "), c.connection, c.why);
    }
    if !x.not_pushed.is_empty() {
        let _ = write!(out, "\nkept here\n");
        for (operator, why) in &x.not_pushed {
            let _ = writeln!(out, "  {operator}  ({why})");
        }
    }
    let _ = write!(out, "\nplan\n");
    for line in x.plan.trim_end().lines() {
        let _ = writeln!(out, "  {line}");
    }
    out
}

fn source(out: &mut String, s: &SourceRead) {
    let rows = s.row_estimate.map(|n| format!(", about {} rows", thousands(n))).unwrap_or_default();
    let splits = if s.sql.len() > 1 { format!(", {}", plural(s.sql.len(), "split")) } else { String::new() };
    let _ = write!(out, "\nread {} from `{}`{rows}{splits}\n", s.relation, s.connection);
    if let Some(a) = s.actual {
        let size = if a.bytes > 0 { format!(", {}", bytes(a.bytes)) } else { String::new() };
        let waited = if a.waited_ms > 0 { format!(", {} of it waiting", seconds(a.waited_ms)) } else { String::new() };
        let rows = plural(count(a.rows), "row");
        let _ = writeln!(out, "  came      {rows}{size} in {}{waited}", seconds(a.elapsed_ms));
    }
    for f in &s.dynamic {
        let outcome = match &f.outcome {
            None => "known when it runs".into(),
            Some(text) if f.sent => text.clone(),
            Some(why) => format!("not sent: {why}"),
        };
        let _ = writeln!(out, "  filter    {} by {}: {outcome}", f.column, f.from);
    }
    for sql in &s.sql {
        let _ = writeln!(out, "  send      {}", cut(&sql.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    if s.sql.is_empty() {
        let _ = writeln!(out, "  send      nothing");
    }
    for (filter, why) in &s.not_pushed {
        let _ = writeln!(out, "  keep here {filter}  ({why})");
    }
}

/// A statement may hold thousands of values.
fn cut(sql: &str) -> String {
    const MOST: usize = 1_000;
    let length = sql.chars().count();
    if length <= MOST {
        return sql.into();
    }
    let start: String = sql.chars().take(MOST).collect();
    format!("{start} … ({} characters; all of them with --output json)", thousands(length as u64))
}

fn seconds(ms: u64) -> String {
    format!("{:.2}s", ms as f64 / 1000.0)
}

fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
