//! Federated names as DuckDB names.
//!
//! `"connection"."schema"."name"` is a database, a schema and a view of DuckDB's. DuckDB compares names without case and
//! reserves some, so a few tables can't have their own name there: those are kept under another, and the query's
//! references to them are changed in DuckDB's own syntax tree (`json_serialize_sql`), never in its text.

use serde_json::Value;
use xdb_core::{Error, ErrorKind, Result};

/// The session's own database, where views without a name of their own live. No connection can be called so.
pub(crate) const HOME: &str = "xdb:session";

/// `name` as a quoted identifier.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as a string literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether DuckDB would take two names for one. It folds ASCII letters only.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Names that DuckDB won't give to an attached database, or whose schemas it fills itself.
pub(crate) fn is_reserved(name: &[String; 3]) -> bool {
    let [database, schema, _] = name;
    ["main", "temp", "system"].iter().any(|r| same(r, database))
        || ["information_schema", "pg_catalog"].iter().any(|r| same(r, schema))
}

/// Where a table lives.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) federated: [String; 3],
    /// The view's name in [`HOME`]'s schema `main`, if it can't have its own name.
    pub(crate) view: Option<String>,
}

/// Which table a reference in a query means: exactly that one, or the only one that differs in case alone.
fn find<'a>(tables: &'a [Named], parts: [&str; 3]) -> Result<Option<&'a str>> {
    if let Some(exact) = tables.iter().find(|t| t.federated.iter().zip(parts).all(|(a, b)| a == b)) {
        return Ok(exact.view.as_deref());
    }
    let mut alike = tables.iter().filter(|t| t.federated.iter().zip(parts).all(|(a, b)| same(a, b)));
    match (alike.next(), alike.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => Ok(one.view.as_deref()),
        _ => Err(Error::new(ErrorKind::Sql, format!("duckdb: {} may be one of several tables", parts.join(".")))
            .hint("write the name in double quotes, with its exact upper- and lower-case letters")),
    }
}

/// Changes the references to renamed tables in a statement as `json_serialize_sql` gives it.
pub(crate) fn rename(tree: &mut Value, tables: &[Named]) -> Result<()> {
    match tree {
        Value::Array(items) => items.iter_mut().try_for_each(|v| rename(v, tables)),
        Value::Object(node) => {
            let kind = node.get("type").and_then(Value::as_str);
            match kind {
                Some("BASE_TABLE") => {
                    let part = |k: &str| node.get(k).and_then(Value::as_str).unwrap_or_default().to_string();
                    let parts = [part("catalog_name"), part("schema_name"), part("table_name")];
                    if let Some(view) = find(tables, [&parts[0], &parts[1], &parts[2]])? {
                        if part("alias").is_empty() {
                            node.insert("alias".into(), parts[2].clone().into());
                        }
                        node.insert("catalog_name".into(), HOME.into());
                        node.insert("schema_name".into(), "main".into());
                        node.insert("table_name".into(), view.into());
                    }
                }
                Some("COLUMN_REF") => {
                    if let Some(Value::Array(names)) = node.get_mut("column_names") {
                        let text: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
                        // `connection.schema.table.column`: the table is called `table` now.
                        if let [c, s, t, _, ..] = text[..]
                            && find(tables, [c, s, t])?.is_some()
                        {
                            names.drain(..2);
                        }
                    }
                }
                _ => {}
            }
            node.values_mut().try_for_each(|v| rename(v, tables))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tables() -> Vec<Named> {
        let named = |t: &str, view: Option<&str>| Named {
            federated: ["main".into(), "public".into(), t.into()],
            view: view.map(Into::into),
        };
        vec![named("t", Some("t0")), named("Orders", None), named("orders", Some("t2"))]
    }

    #[test]
    fn references_change_and_keep_their_alias() {
        let mut tree = json!({"from": [
            {"type": "BASE_TABLE", "alias": "", "catalog_name": "MAIN", "schema_name": "public", "table_name": "T"},
            {"type": "BASE_TABLE", "alias": "o", "catalog_name": "main", "schema_name": "public", "table_name": "orders"},
            {"type": "BASE_TABLE", "alias": "", "catalog_name": "", "schema_name": "", "table_name": "t"},
            {"type": "BASE_TABLE", "alias": "", "catalog_name": "main", "schema_name": "public", "table_name": "Orders"}],
            "list": [{"type": "COLUMN_REF", "column_names": ["main", "public", "t", "id"]},
                     {"type": "COLUMN_REF", "column_names": ["t", "id"]}]});
        rename(&mut tree, &tables()).unwrap();
        assert_eq!(tree["from"][0]["table_name"], "t0");
        assert_eq!(tree["from"][0]["alias"], "T");
        assert_eq!(tree["from"][1]["table_name"], "t2");
        assert_eq!(tree["from"][1]["alias"], "o");
        assert_eq!(tree["from"][2]["table_name"], "t");
        assert_eq!(tree["from"][3]["table_name"], "Orders");
        assert_eq!(tree["list"][0]["column_names"], json!(["t", "id"]));
        assert_eq!(tree["list"][1]["column_names"], json!(["t", "id"]));
    }

    #[test]
    fn a_name_that_fits_two_tables_is_an_error() {
        let mut tree = json!(
            {"type": "BASE_TABLE", "alias": "", "catalog_name": "main", "schema_name": "public", "table_name": "ORDERS"});
        assert_eq!(rename(&mut tree, &tables()).unwrap_err().kind(), ErrorKind::Sql);
    }
}
