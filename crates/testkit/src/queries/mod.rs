//! Whole queries against a real server: each query of a long list, made from a table's own columns and values, is either
//! refused by the connector or returns exactly the rows that [`reference`] makes of the fully read tables.
//!
//! A connector's test makes a table of nasty values, calls [`check`], and says which of the labels must be accepted and
//! which refused: the rule table, as the server sees it.

mod build;
mod cases;
mod random;
mod reference;

use crate::conformance::Harness;
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use xdb_core::{Query, ReadContext, Relation, Result, ScanRequest};

pub use build::{aggregate, column, item, literal_of, over_all, source};

/// What became of each query, by label (`column: use`).
#[derive(Debug, Default)]
pub struct Report {
    differences: Vec<String>,
    pub answers: BTreeMap<String, std::result::Result<(), String>>,
}
impl Report {
    fn matching<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a std::result::Result<(), String>)> {
        self.answers.iter().filter(move |(l, _)| l.starts_with(prefix))
    }
    /// All the labels that start so were sent, and there is one.
    pub fn accepted(&self, prefix: &str) {
        assert!(self.matching(prefix).next().is_some(), "no query is called `{prefix}`");
        for (l, a) in self.matching(prefix) {
            assert_eq!(a, &Ok(()), "{l} was refused");
        }
    }
    /// How many of the labels that start so were sent.
    pub fn sent(&self, prefix: &str) -> usize {
        self.matching(prefix).filter(|(_, a)| a.is_ok()).count()
    }
    /// None of the labels that start so was sent, and there is one.
    pub fn refused(&self, prefix: &str) {
        assert!(self.matching(prefix).next().is_some(), "no query is called `{prefix}`");
        for (l, a) in self.matching(prefix) {
            assert!(a.is_err(), "{l} was accepted");
        }
    }
}
impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (l, a) in &self.answers {
            match a {
                Ok(()) => writeln!(f, "sent     {l}")?,
                Err(why) => writeln!(f, "refused  {l}: {why}")?,
            }
        }
        Ok(())
    }
}

/// Every query of the list over the tables named, which have a column `id` that tells rows apart. Panics where there are
/// differences.
pub async fn check(harness: &Harness, tables: &[Relation]) -> Report {
    let mut report = Report::default();
    let mut known = reference::Tables::new();
    let mut infos = Vec::new();
    for rel in tables {
        let info = harness.describe(rel).await;
        let batches = harness.scan(&ScanRequest::all(info.clone())).await.expect("the table can be read whole");
        let batch = concat_batches(&info.schema, &batches).expect("batches of one schema");
        known.insert(info.relation.clone(), batch);
        infos.push(info);
    }
    for (n, info) in infos.iter().enumerate() {
        let batch = &known[&info.relation];
        for (label, query) in cases::of(info, batch) {
            let label = if n == 0 { label } else { format!("{n}/{label}") };
            one(harness, &known, &label, &query, &mut report).await;
        }
        for seed in random::seeds() {
            let query = random::query(info, batch, seed);
            one(harness, &known, &format!("random: {n} {seed}"), &query, &mut report).await;
        }
    }
    if std::env::var_os("XDB_SHOW_QUERIES").is_some() {
        #[allow(clippy::print_stderr)] // Asked for.
        {
            eprintln!("{report}");
        }
    }
    let n = report.differences.len();
    assert!(n == 0, "{n} differences:\n\n{}", report.differences[..n.min(15)].join("\n\n"));
    report
}

async fn one(harness: &Harness, known: &reference::Tables, label: &str, query: &Query, report: &mut Report) {
    let answer = harness.extract().accepts(query);
    let sent = answer.is_ok();
    report.answers.insert(label.to_string(), answer);
    if !sent {
        return;
    }
    let wanted = reference::run(query, known);
    let difference = match (run(harness, query).await, wanted) {
        (Ok((sql, got)), Ok(want)) => {
            let (got, want) = (sorted(&got), sorted(&want));
            (got != want).then(|| format!("{label}\n{sql}\nis answered by\n{}\nnot by\n{}", show(&got), show(&want)))
        }
        // The server's numbers are wider: it has the true answer where there is none here.
        (Ok(_), Err(ArrowError::ArithmeticOverflow(_))) => None,
        (Ok((sql, _)), Err(e)) => Some(format!("{label}\n{sql}\nis answered, but is an error here: {e}")),
        // Both fail: values that have no place in the result's type.
        (Err(_), Err(_)) => None,
        (Err(e), Ok(_)) => Some(format!("{label}: {e:?}")),
    };
    report.differences.extend(difference);
}

async fn run(harness: &Harness, query: &Query) -> Result<(String, RecordBatch)> {
    let plan = harness.extract().plan_query(query).await?;
    assert_eq!(plan.schema, query.schema(), "the plan's schema");
    harness.extract().estimate(&plan).await?;
    let mut batches = Vec::new();
    for split in &plan.splits {
        let text = serde_json::to_string(split).expect("a split is plain data");
        let split = serde_json::from_str(&text).expect("a split survives JSON");
        let mut stream = harness.extract().read(&split, &ReadContext::default()).await?;
        while let Some(b) = stream.next().await {
            let b = b?;
            for (a, b) in b.schema().fields().iter().zip(query.schema().fields()) {
                assert_eq!(a, b, "{}", split_sql(&plan));
            }
            batches.push(b);
        }
    }
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = match query.items.is_empty() {
        true => RecordBatch::try_new_with_options(query.schema(), vec![], &options)?,
        false => {
            let schema = batches.first().map_or_else(|| query.schema(), |b| b.schema());
            concat_batches(&schema, &batches)?
        }
    };
    Ok((split_sql(&plan), batch))
}

fn split_sql(plan: &xdb_core::ScanPlan) -> String {
    plan.splits.iter().map(|s| s.sql.as_str()).collect::<Vec<_>>().join(";\n")
}

/// Rows in an order of their own, each as comparable bytes and as text.
fn sorted(batch: &RecordBatch) -> Vec<(Vec<u8>, String)> {
    if batch.num_columns() == 0 {
        return vec![(vec![], String::new()); batch.num_rows()];
    }
    let fields = batch.columns().iter().map(|c| SortField::new(c.data_type().clone())).collect();
    let rows = RowConverter::new(fields).and_then(|c| c.convert_columns(batch.columns())).expect("comparable rows");
    let format = arrow::util::display::FormatOptions::default().with_null("NULL");
    let cell = |c: &Arc<dyn arrow::array::Array>, i: usize| {
        arrow::util::display::ArrayFormatter::try_new(c.as_ref(), &format)
            .map_or_else(|e| e.to_string(), |f| f.value(i).to_string())
    };
    let mut out: Vec<(Vec<u8>, String)> = (0..batch.num_rows())
        .map(|i| {
            let text: Vec<String> = batch.columns().iter().map(|c| cell(c, i)).collect();
            (rows.row(i).as_ref().to_vec(), text.join(" | "))
        })
        .collect();
    out.sort();
    out
}

fn show(rows: &[(Vec<u8>, String)]) -> String {
    rows.iter().take(40).map(|r| format!("  {:?}", r.1)).collect::<Vec<_>>().join("\n")
}
