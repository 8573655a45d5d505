//! DuckDB's own syntax tree of a query, there and back, through its SQL functions `json_serialize_sql` and
//! `json_deserialize_sql`: <https://duckdb.org/docs/stable/data/json/sql_to_and_from_json>.

use crate::database::Database;
use crate::names::literal;
use crate::output::columns;
use arrow::array::{Array, AsArray, StringArray};
use serde_json::Value;
use std::sync::Arc;
use xdb_core::{Error, Result};

/// What parsing says of a text.
pub(crate) enum Parsed {
    /// Statements that are SELECTs.
    Tree(Value),
    /// Statements of which one isn't a SELECT.
    Other,
    /// No SQL: preparing it says why.
    Broken,
}

/// Looks up no names.
pub(crate) fn parse(db: &Arc<Database>, sql: &str) -> Result<Parsed> {
    let tree = texts(db, &format!("SELECT json_serialize_sql({})::varchar", literal(sql)))?;
    let tree: Value = tree
        .first()
        .and_then(|t| serde_json::from_str(t).ok())
        .ok_or_else(|| Error::internal("duckdb's syntax tree is not JSON"))?;
    Ok(match (&tree["error"], tree["error_type"].as_str()) {
        (Value::Bool(false), _) => Parsed::Tree(tree),
        (_, Some("not implemented")) => Parsed::Other,
        _ => Parsed::Broken,
    })
}

pub(crate) fn to_sql(db: &Arc<Database>, tree: &Value) -> Result<String> {
    let sql = texts(db, &format!("SELECT json_deserialize_sql({}::json)", literal(&tree.to_string())))?;
    sql.into_iter().next().ok_or_else(|| Error::internal("duckdb wrote no SQL"))
}

/// The values of `sql`'s first row, which are all text.
pub(crate) fn texts(db: &Arc<Database>, sql: &str) -> Result<Vec<String>> {
    let statement = db.prepare(sql)?;
    let mut columns = columns(statement.columns())?;
    let mut rows = statement.stream()?;
    while let Some(chunk) = rows.fetch()? {
        columns.push(&chunk)?;
    }
    let batch = columns.take()?;
    let value = |a: &StringArray| if a.is_empty() || a.is_null(0) { String::new() } else { a.value(0).to_string() };
    Ok(batch.columns().iter().map(|c| c.as_string_opt::<i32>().map(value).unwrap_or_default()).collect())
}
