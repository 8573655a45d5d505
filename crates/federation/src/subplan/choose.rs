//! Whether a subplan is worth sending: its expected time against reading its relations and computing here.
//!
//! All figures are microseconds on one ordinary core. They need not be right, only in proportion: [`rates`] is the one
//! place that holds them.

use super::block::Block;
use super::guess;
use super::tree::accepted;
use arrow::datatypes::DataType;
use std::collections::HashMap;
use std::sync::Mutex;
use xdb_core::{Error, PushdownMode, Query, QueryExpr, QuerySource, ReadEstimate, Result, ScanPlan};

/// First values, from reading TPC-H's lineitem at scale factor 1 over loopback, and guesses in proportion to that.
mod rates {
    /// A server passes over one row of a table (PostgreSQL: 6 million rows of lineitem in about 0.5 s).
    pub(super) const SCAN_ROW: f64 = 0.1;
    /// A row crosses the wire and becomes Arrow …
    pub(super) const SEND_ROW: f64 = 0.15;
    /// … and for each byte of it (lineitem, 120 bytes: about 0.9 µs a row).
    pub(super) const SEND_BYTE: f64 = 0.006;
    /// A row goes through a join or an aggregate here.
    pub(super) const LOCAL_ROW: f64 = 0.1;
    /// The same in a server whose own estimate isn't known.
    pub(super) const SERVER_ROW: f64 = 0.15;
    /// One decimal operation in a server, beyond what its cost model thinks: decimals there are strings of digits.
    pub(super) const SERVER_DECIMAL: f64 = 0.07;
    /// A further statement: one round trip and its planning.
    pub(super) const STATEMENT: f64 = 500.0;
    /// What a further connection to one table adds to the first's speed.
    pub(super) const FURTHER_SPLIT: f64 = 0.6;
    /// Relations below this size are read by one connection.
    pub(super) const SPLIT_ROWS: f64 = 100_000.0;
}

/// A query as its server expects it to go.
#[derive(Clone, Debug)]
struct Expected {
    rows: f64,
    row_bytes: f64,
    /// Time at the server.
    server: f64,
}
impl Expected {
    fn send(&self) -> f64 {
        self.rows * (rates::SEND_ROW + self.row_bytes * rates::SEND_BYTE)
    }
}

/// What came out for one subplan.
#[derive(Debug)]
pub(super) struct Choice {
    /// `Some`: send it.
    pub(super) scan: Option<ScanPlan>,
    pub(super) rows: Option<f64>,
    /// For `explain`.
    pub(super) why: String,
}

/// Remembers estimates for one plan.
#[derive(Debug, Default)]
pub(super) struct Chooser {
    scans: Mutex<HashMap<String, Expected>>,
}

impl Chooser {
    pub(super) async fn choose(&self, block: &Block) -> Choice {
        match self.weigh(block).await {
            Ok(choice) => choice,
            Err(e) => Choice { scan: None, rows: None, why: format!("the connector cannot plan it: {e}") },
        }
    }

    /// Expected rows of `block`, by its source where that says.
    pub(super) async fn rows(&self, block: &Block) -> f64 {
        self.scan(block, None).await.rows
    }

    async fn weigh(&self, block: &Block) -> Result<Choice> {
        let (scan, estimate) = plan(block).await?;
        let aggressive = block.input.pushdown == PushdownMode::Aggressive;
        let tables = scans_of(block);
        // The time of one unit of the server's cost, by a read whose time is roughly known.
        let unit = match (&estimate, largest(&tables)) {
            (Some(ReadEstimate { cost: Some(_), .. }), Some(table)) => self.unit(table).await,
            _ => None,
        };
        let rows = Some(rows_of(&block.query, estimate));
        if aggressive {
            return Ok(Choice { scan: Some(scan), rows, why: "pushdown: aggressive".into() });
        }
        let mut apart = 0.0;
        let mut apart_rows = 0.0;
        for t in &tables {
            let e = self.scan(t, unit).await;
            apart_rows += e.rows;
            let degree = block.input.parallelism.min(1 + block.input.spare.available_permits());
            let speed = match guess::read(&t.query) {
                n if n < rates::SPLIT_ROWS => 1.0,
                _ => 1.0 + rates::FURTHER_SPLIT * degree.saturating_sub(1) as f64,
            };
            apart += rates::STATEMENT + (e.server + e.send()) / speed;
        }
        apart += apart_rows * rates::LOCAL_ROW;
        let pushed = expected(&block.query, estimate, unit, apart_rows);
        let digits = decimal_operations(&block.query) as f64 * apart_rows * rates::SERVER_DECIMAL;
        let whole = rates::STATEMENT + pushed.server + digits + pushed.send();
        let why = format!(
            "{} ms expected for {} rows, against {} ms for {} rows of its relations",
            (whole / 1000.0).ceil(),
            pushed.rows.ceil(),
            (apart / 1000.0).ceil(),
            apart_rows.ceil()
        );
        Ok(Choice { scan: (whole <= apart).then_some(scan), rows, why })
    }

    /// A relation read by itself, with its filters. Never fails: a guess is enough.
    async fn scan(&self, table: &Block, unit: Option<f64>) -> Expected {
        let key = format!("{:?}", table.query);
        if let Some(e) = self.scans.lock().ok().and_then(|s| s.get(&key).cloned()) {
            return e;
        }
        let estimate = plan(table).await.ok().and_then(|(_, e)| e);
        let e = expected(&table.query, estimate, unit, 0.0);
        if let Ok(mut s) = self.scans.lock() {
            s.insert(key, e.clone());
        }
        e
    }

    async fn unit(&self, table: &Block) -> Option<f64> {
        let mut whole = table.clone();
        whole.query.filter.clear();
        let (_, estimate) = plan(&whole).await.ok()?;
        let cost = estimate?.cost?;
        let time = guess::read(&whole.query) * rates::SCAN_ROW;
        (cost > 0.0 && time > 0.0).then_some(time / cost)
    }
}

/// Planned and estimated by its connector; an error where it can't be sent after all.
async fn plan(block: &Block) -> Result<(ScanPlan, Option<ReadEstimate>)> {
    let Some(extract) = block.input.connector.extract() else { return Err(Error::internal("not readable")) };
    let scan = extract.plan_query(&block.query).await?;
    if scan.schema != block.query.schema() || scan.splits.is_empty() {
        return Err(Error::internal("its columns would come back differently"));
    }
    // Without an estimate the plan is as good as before.
    let estimate = extract.estimate(&scan).await.unwrap_or_else(|e| {
        tracing::debug!("no estimate: {e}");
        None
    });
    Ok((scan, estimate))
}

fn rows_of(q: &Query, estimate: Option<ReadEstimate>) -> f64 {
    let Some(e) = estimate else { return guess::rows(q) };
    // Some servers say how many rows they read for it.
    let most = match (&q.groups, q.limit) {
        (Some(g), _) if g.is_empty() => 1.0,
        (_, Some(n)) => n as f64,
        _ => f64::INFINITY,
    };
    e.rows.min(most)
}

/// `worked`: rows that go through joins and aggregates there.
fn expected(q: &Query, estimate: Option<ReadEstimate>, unit: Option<f64>, worked: f64) -> Expected {
    let rows = rows_of(q, estimate);
    let server = match (estimate.and_then(|e| e.cost), unit) {
        (Some(cost), Some(unit)) => cost * unit,
        _ => guess::read(q) * rates::SCAN_ROW + worked * rates::SERVER_ROW,
    };
    // The server's width is of its own storage and has no projection in some: ours is only ever too small for text.
    let row_bytes = estimate.and_then(|e| e.row_bytes).unwrap_or_else(|| width(q));
    Expected { rows, row_bytes, server }
}

fn width(q: &Query) -> f64 {
    let of = |t: &DataType| match t {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => 20.0,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => 40.0,
        t if t.is_decimal() => 12.0,
        t => t.primitive_width().map_or(16.0, |n| n as f64),
    };
    // Each field carries a length in most protocols.
    q.items.iter().map(|i| 4.0 + of(i.field.data_type())).sum()
}

/// The scans that would be read instead: each relation with its own filters and the columns that are used.
fn scans_of(block: &Block) -> Vec<Block> {
    block.scans().iter().filter_map(|s| accepted(s.as_ref().clone()).ok()).collect()
}

fn largest(tables: &[Block]) -> Option<&Block> {
    tables.iter().max_by(|a, b| guess::read(&a.query).total_cmp(&guess::read(&b.query)))
}

/// Sums and arithmetic over decimals in `q`, each done about once a row.
fn decimal_operations(q: &Query) -> usize {
    fn of(e: &QueryExpr) -> usize {
        match e {
            QueryExpr::Column(_) | QueryExpr::Literal { .. } => 0,
            QueryExpr::Arithmetic { left, right, ty, .. } => usize::from(ty.is_decimal()) + of(left) + of(right),
            QueryExpr::Compare { left, right, .. } => of(left) + of(right),
            QueryExpr::And(all) | QueryExpr::Or(all) => all.iter().map(of).sum(),
            QueryExpr::Not(e)
            | QueryExpr::IsNull { expr: e, .. }
            | QueryExpr::Like { expr: e, .. }
            | QueryExpr::Cast { expr: e, .. }
            | QueryExpr::DatePart { expr: e, .. }
            | QueryExpr::Substring { expr: e, .. } => of(e),
            QueryExpr::In { expr, list, .. } => of(expr) + list.iter().map(of).sum::<usize>(),
            QueryExpr::Case { branches, otherwise, .. } => {
                branches.iter().map(|(c, v)| of(c) + of(v)).sum::<usize>() + otherwise.as_deref().map_or(0, of)
            }
            QueryExpr::Aggregate(a) => {
                usize::from(a.ty.is_decimal()) + a.argument.as_deref().map_or(0, of) + a.filter.as_deref().map_or(0, of)
            }
        }
    }
    // Only where rows are folded: else what is computed there would be computed of the same rows here.
    let own = match &q.groups {
        Some(_) => q.items.iter().map(|i| of(&i.expr)).chain(q.having.iter().map(of)).sum(),
        None => 0,
    };
    own + match &q.from {
        QuerySource::Query { query, .. } => decimal_operations(query),
        _ => 0,
    }
}
