//! What the server expects of a statement: `EXPLAIN FORMAT=JSON`, which plans and does not run. The two systems, and their
//! versions, differ in what they print: what is found is used.
//! <https://dev.mysql.com/doc/refman/8.4/en/explain-output.html>, <https://mariadb.com/kb/en/explain-format-json/>

use serde_json::Value;
use xdb_core::ReadEstimate;

pub(crate) fn parse(json: &str) -> Option<ReadEstimate> {
    let json: Value = serde_json::from_str(json).ok()?;
    let block = json.get("query_block")?;
    let cost = block.get("cost_info").and_then(|c| number(c.get("query_cost")?)).or_else(|| number(block.get("cost")?));
    Some(ReadEstimate { rows: rows(block)?, row_bytes: None, cost })
}

/// MySQL prints some numbers as text.
fn number(v: &Value) -> Option<f64> {
    v.as_f64().or_else(|| v.as_str()?.parse().ok())
}

/// Rows of the join at the bottom: an upper bound where groups are made of them.
fn rows(node: &Value) -> Option<f64> {
    if let Some(tables) = node.get("nested_loop").and_then(Value::as_array) {
        return tables.iter().map(rows).reduce(|a, b| Some(a? * b?))?;
    }
    if let Some(t) = node.get("table") {
        let scanned = ["rows_examined_per_scan", "rows", "r_rows"].iter().find_map(|k| number(t.get(*k)?));
        // A constant table has no number.
        let filtered = t.get("filtered").and_then(number).unwrap_or(100.0);
        return Some(scanned.unwrap_or(1.0) * filtered / 100.0);
    }
    if node.get("message").is_some() || node.get("table").is_none() && node.get("query_specifications").is_some() {
        return None;
    }
    [
        "grouping_operation",
        "ordering_operation",
        "duplicates_removal",
        "filesort",
        "temporary_table",
        "read_sorted_file",
        "block-nl-join",
        "buffer_result",
        "windows_computation",
    ]
    .iter()
    .find_map(|k| rows(node.get(*k)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_systems() {
        let mariadb = r#"{"query_block": {"select_id": 1, "filesort": {"temporary_table": {"nested_loop": [
            {"table": {"table_name": "a", "rows": 100, "filtered": 50}},
            {"table": {"table_name": "b", "rows": 3, "filtered": 100}}]}}}}"#;
        assert_eq!(parse(mariadb), Some(ReadEstimate { rows: 150.0, row_bytes: None, cost: None }));
        let mysql = r#"{"query_block": {"cost_info": {"query_cost": "12.50"}, "grouping_operation": {"table":
            {"rows_examined_per_scan": 40, "filtered": "25.00"}}}}"#;
        assert_eq!(parse(mysql), Some(ReadEstimate { rows: 10.0, row_bytes: None, cost: Some(12.5) }));
        assert_eq!(parse(r#"{"query_block": {"message": "Impossible WHERE"}}"#), None);
        assert_eq!(parse("no"), None);
    }
}
