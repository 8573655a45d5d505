//! How many rows a query returns, guessed from row counts alone: where a server gives no estimate of its own.

use xdb_core::{CompareOp, Literal, Query, QueryExpr, QueryJoin, QuerySource};

/// Where the source says nothing about a relation's size.
const UNKNOWN_ROWS: f64 = 100_000.0;

pub(super) fn rows(q: &Query) -> f64 {
    let mut n = source(&q.from) * all(&q.filter);
    n = match &q.groups {
        None => n,
        Some(g) if g.is_empty() => 1.0,
        // Each further column parts the groups further.
        Some(g) => n.min(n.powf(1.0 - 0.5f64.powi(g.len() as i32))),
    } * all(&q.having);
    q.limit.map_or(n, |l| n.min(l as f64)).max(if q.groups.as_ref().is_some_and(Vec::is_empty) { 1.0 } else { 0.0 })
}

/// Rows that are read to answer it, over all its relations.
pub(super) fn read(q: &Query) -> f64 {
    q.tables().iter().map(|t| t.row_estimate.map_or(UNKNOWN_ROWS, |n| n as f64)).sum()
}

fn source(s: &QuerySource) -> f64 {
    match s {
        QuerySource::Table { table, .. } => table.row_estimate.map_or(UNKNOWN_ROWS, |n| n as f64),
        QuerySource::Query { query, .. } => rows(query),
        QuerySource::Union { inputs, .. } => inputs.iter().map(rows).sum(),
        QuerySource::Join { left, right, kind, .. } => {
            let (l, r) = (source(left), source(right));
            match kind {
                // A key on one side, as nearly always.
                QueryJoin::Inner => l.max(r),
                QueryJoin::Left => l.max(r),
                QueryJoin::Full => l + r,
                QueryJoin::Semi | QueryJoin::Anti => l * 0.5,
            }
        }
    }
}

fn all(conditions: &[QueryExpr]) -> f64 {
    conditions.iter().map(selectivity).product()
}

/// The classic System R constants.
fn selectivity(e: &QueryExpr) -> f64 {
    let unless = |negated: bool, s: f64| if negated { 1.0 - s } else { s };
    match e {
        QueryExpr::Compare { op, .. } => match op {
            CompareOp::Eq => 0.1,
            CompareOp::NotEq => 0.9,
            _ => 1.0 / 3.0,
        },
        QueryExpr::And(all) => all.iter().map(selectivity).product(),
        QueryExpr::Or(any) => any.iter().map(selectivity).sum::<f64>().min(1.0),
        QueryExpr::Not(e) => 1.0 - selectivity(e),
        QueryExpr::IsNull { negated, .. } => unless(*negated, 0.1),
        QueryExpr::In { list, negated, .. } => unless(*negated, (0.1 * list.len() as f64).min(0.5)),
        QueryExpr::Like { negated, .. } => unless(*negated, 0.1),
        QueryExpr::Literal { value: Literal::Bool(b), .. } => f64::from(u8::from(*b)),
        _ => 0.5,
    }
}
