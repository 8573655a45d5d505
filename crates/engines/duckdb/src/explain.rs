//! DuckDB's plan as text, and what each scan in it would ask its source.
//!
//! DuckDB tells a table function its columns only when it runs, but its JSON plan names them.

use crate::database::Database;
use crate::names::same;
use crate::syntax::texts;
use crate::table::Table;
use serde_json::Value;
use std::sync::Arc;
use xdb_core::{Error, Result};

/// DuckDB's own text of its plan of `sql`.
pub(crate) fn plan_text(db: &Arc<Database>, sql: &str) -> Result<String> {
    second_column(db, &format!("EXPLAIN {sql}"))
}

/// Each scan of `sql`'s plan, as the function's name and the indices of the columns it would be asked for.
pub(crate) fn scans(
    db: &Arc<Database>,
    sql: &str,
    tables: &[(String, Arc<Table>)],
) -> Result<Vec<(usize, Vec<usize>)>> {
    let text = second_column(db, &format!("EXPLAIN (FORMAT json) {sql}"))?;
    let plan: Value =
        serde_json::from_str(&text).map_err(|e| Error::internal(format!("duckdb's plan is not JSON: {e}")))?;
    let mut out = Vec::new();
    walk(&plan, tables, &mut out);
    Ok(out)
}

fn walk(node: &Value, tables: &[(String, Arc<Table>)], out: &mut Vec<(usize, Vec<usize>)>) {
    if let Value::Array(nodes) = node {
        nodes.iter().for_each(|n| walk(n, tables, out));
        return;
    }
    let info = &node["extra_info"];
    let function = info["Function"].as_str().or(node["name"].as_str()).unwrap_or_default();
    if let Some(at) = tables.iter().position(|(f, _)| same(f, function.trim())) {
        out.push((at, projection(&info["Projections"], &tables[at].1)));
    }
    walk(&node["children"], tables, out);
}

/// One name is a text, several are a list; none (`count(*)`) is absent.
fn projection(names: &Value, table: &Table) -> Vec<usize> {
    let names: Vec<&str> = match names {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let schema = &table.input.table.schema;
    names.iter().filter_map(|n| schema.index_of(n).ok()).collect()
}

/// `EXPLAIN` gives one row a plan: its kind, and its text.
fn second_column(db: &Arc<Database>, sql: &str) -> Result<String> {
    Ok(texts(db, sql)?.into_iter().nth(1).unwrap_or_default())
}
