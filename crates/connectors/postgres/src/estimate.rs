//! What the server expects of a statement: `EXPLAIN (FORMAT JSON)`, which plans and does not run.
//! <https://www.postgresql.org/docs/current/sql-explain.html>

use crate::connector::Postgres;
use serde_json::Value;
use std::time::Duration;
use xdb_core::{ReadEstimate, Result, ScanPlan};

/// Planning takes longer only where the statistics are of little use anyway.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) async fn estimate(postgres: &Postgres, plan: &ScanPlan) -> Result<Option<ReadEstimate>> {
    let Some(first) = plan.splits.first() else { return Ok(None) };
    let limit = postgres.config().query_timeout;
    let limit = if limit.is_zero() { PATIENCE } else { limit.min(PATIENCE) };
    let work = async {
        let mut conn = postgres.pool.get().await?;
        let text = conn.value(&format!("EXPLAIN (FORMAT JSON) {}", first.sql)).await?;
        conn.release();
        Ok::<_, xdb_core::Error>(text)
    };
    // Late is as good as not known; the dropped connection stops the server.
    let Ok(text) = tokio::time::timeout(limit, work).await else { return Ok(None) };
    Ok(text?.and_then(|t| parse(&t)).map(|e| times(e, plan.splits.len())))
}

/// Splits are about equal.
fn times(e: ReadEstimate, n: usize) -> ReadEstimate {
    let n = n as f64;
    ReadEstimate { rows: e.rows * n, row_bytes: e.row_bytes, cost: e.cost.map(|c| c * n) }
}

fn parse(json: &str) -> Option<ReadEstimate> {
    let json: Value = serde_json::from_str(json).ok()?;
    let plan = json.get(0)?.get("Plan")?;
    let number = |k: &str| plan.get(k).and_then(Value::as_f64);
    Some(ReadEstimate { rows: number("Plan Rows")?, row_bytes: number("Plan Width"), cost: number("Total Cost") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan() {
        let e =
            parse(r#"[{"Plan": {"Node Type": "Seq Scan", "Total Cost": 12.5, "Plan Rows": 250, "Plan Width": 8}}]"#);
        assert_eq!(e, Some(ReadEstimate { rows: 250.0, row_bytes: Some(8.0), cost: Some(12.5) }));
        assert_eq!(times(e.unwrap(), 4).rows, 1000.0);
        assert_eq!(parse("[]"), None);
        assert_eq!(parse("Seq Scan"), None);
    }
}
