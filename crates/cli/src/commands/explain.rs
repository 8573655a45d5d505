//! `xdb explain`: what would run where.

use super::show::what;
use crate::app::App;
use crate::args::{Explain, TextFormat};
use crate::console;
use crate::output::text::{plural, thousands};
use serde_json::json;
use std::fmt::Write;
use xdb_core::{Explanation, Result};
use xdb_runner::{Options, QueryOptions, silent};

pub(crate) async fn run(app: &App, args: Explain) -> Result<u8> {
    let name = args.model.as_deref().or(args.select.as_deref());
    let base = Options { compute: args.compute.compute.clone(), ..app.options(&args.project, "explain")? };
    let (explanation, engine, sql) = if app.project_dir().is_none()
        && let Some(sql) = &args.inline
    {
        let ad_hoc = app.ad_hoc(base)?;
        let options = QueryOptions { compute: args.compute.compute.clone(), ..QueryOptions::default() };
        let (x, engine) = app.stoppable(ad_hoc.explain(sql, &options)).await?;
        (x, engine.name, sql.clone())
    } else {
        let ws = app.workspace(base)?;
        let what = what(&ws, name, args.inline.as_deref())?;
        let (x, compiled) = app.stoppable(ws.explain(&what, &QueryOptions::default(), &silent())).await?;
        (x, compiled.engine.name, compiled.sql)
    };
    match args.output {
        TextFormat::Json => {
            let all = json!({"engine": engine, "sql": sql, "plan": explanation.plan, "sources": explanation.sources});
            console::print(&format!("{all:#}"))?;
        }
        TextFormat::Text => console::print(&text(engine, &explanation))?,
    }
    Ok(0)
}

fn text(engine: &str, x: &Explanation) -> String {
    let mut out = format!("engine: {engine}\n");
    for s in &x.sources {
        let rows = s.row_estimate.map(|n| format!(", about {} rows", thousands(n))).unwrap_or_default();
        let splits = if s.sql.len() > 1 { format!(", {}", plural(s.sql.len(), "split")) } else { String::new() };
        let _ = write!(out, "\nread {} from `{}`{rows}{splits}\n", s.relation, s.connection);
        for sql in &s.sql {
            let _ = writeln!(out, "  send      {}", sql.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        for (filter, why) in &s.not_pushed {
            let _ = writeln!(out, "  keep here {filter}  ({why})");
        }
    }
    let _ = write!(out, "\nplan\n");
    for line in x.plan.trim_end().lines() {
        let _ = writeln!(out, "  {line}");
    }
    out
}
