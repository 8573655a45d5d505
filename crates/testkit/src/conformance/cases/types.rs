//! Every Arrow type goes in and comes back as the connector says it does, or is an error; never another value.

use super::named_rows;
use crate::conformance::{Harness, Sample, Table, assert_same, samples, specials};
use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field};
use futures::FutureExt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use xdb_core::{ErrorKind, Fidelity, LoadOptions, TypePolicy, WriteMode};

/// Run all the parts, then fail with every one that failed.
struct Failures(Vec<String>);
impl Failures {
    async fn attempt(&mut self, what: &str, part: impl Future<Output = ()>) {
        if let Err(panic) = AssertUnwindSafe(part).catch_unwind().await {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
            self.0.push(format!("{what}: {}", text.unwrap_or_default()));
        }
    }
    fn finish(self) {
        assert!(self.0.is_empty(), "{} failed:\n{}", self.0.len(), self.0.join("\n"));
    }
}

/// The types that hold the same values in other layouts count as one.
fn kind(t: &DataType) -> DataType {
    match t {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, v) => kind(v),
        DataType::Timestamp(u, Some(_)) => DataType::Timestamp(*u, Some("UTC".into())),
        DataType::List(f) | DataType::LargeList(f) => DataType::new_list(kind(f.data_type()), true),
        other => other.clone(),
    }
}

fn table_of(s: &Sample) -> Table {
    Table::of(vec![(s.field.clone(), s.values.clone())])
}

/// Load the whole sample and read it back.
async fn reads_back(h: &Harness, s: &Sample, exact: bool) {
    let rel = h.relation("type");
    h.put(&rel, &table_of(s)).await;
    let got = h.get(&rel).await;
    let column = got.column(s.field.name());
    assert_same("read back", &s.field, &s.values, column);
    if exact {
        let (want, got) = (kind(s.values.data_type()), kind(column.data_type()));
        assert_eq!(want, got, "said to be exact, but came back as another type");
    }
}

/// Each value alone is kept, or is an error of kind `Type` that names the column.
async fn kept_or_error(h: &Harness, s: &Sample) {
    for i in 0..s.values.len() {
        let one = Sample { field: s.field.clone(), values: s.values.slice(i, 1) };
        let rel = h.relation("value");
        match h.put_as(&rel, &table_of(&one), WriteMode::Replace).await {
            Ok(_) => {
                let got = h.get(&rel).await;
                assert_same(&format!("value {i}"), &s.field, &one.values, got.column(s.field.name()));
            }
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Type, "value {i}: {e:?}");
                assert!(e.report().contains(s.field.name().as_str()), "the error names the column: {e:?}");
                let lossy = LoadOptions { types: TypePolicy::Lossy, ..Default::default() };
                let batch = table_of(&one).batch().clone();
                let written = h.write(&rel, batch.schema(), [batch], &lossy).await;
                written.unwrap_or_else(|e| panic!("value {i} under `types: lossy`: {e:?}"));
                assert_eq!(h.get(&rel).await.rows(), 1, "value {i} under `types: lossy`: the row is there");
            }
        }
    }
}

/// A type the target can't have: loading fails before anything is made.
async fn refused(h: &Harness, s: &Sample, e: xdb_core::Error) {
    assert!(matches!(e.kind(), ErrorKind::Type | ErrorKind::Unsupported), "{e:?}");
    let rel = h.relation("refused");
    let schema = table_of(s).batch().schema();
    let e = h.load().begin(&rel, schema, &LoadOptions::default()).await.err();
    let e = e.unwrap_or_else(|| panic!("target_type refuses the type, begin takes it"));
    assert!(matches!(e.kind(), ErrorKind::Type | ErrorKind::Unsupported), "{e:?}");
    assert!(e.report().contains(s.field.name().as_str()), "the error names the column: {e:?}");
    assert!(h.connector.describe(&rel).await.is_err(), "nothing was made");
}

pub async fn every_type_reads_back(h: &Harness) {
    let mut failures = Failures(vec![]);
    for s in samples() {
        let target = (h.connector.def().target_type)(&s.field);
        let what = match &target {
            Ok(t) => format!("{} -> {} ({:?})", s.field.name(), t.sql, t.fidelity),
            Err(_) => format!("{} (refused)", s.field.name()),
        };
        failures
            .attempt(&what, async {
                match target {
                    Err(e) => refused(h, &s, e).await,
                    Ok(t) if t.fidelity == Fidelity::Lossy => kept_or_error(h, &s).await,
                    Ok(t) => reads_back(h, &s, t.fidelity == Fidelity::Exact).await,
                }
            })
            .await;
    }
    failures.finish();
}

pub async fn inexact_values_are_errors_or_kept(h: &Harness) {
    let mut failures = Failures(vec![]);
    for s in specials() {
        if (h.connector.def().target_type)(&s.field).is_ok() {
            failures.attempt(s.field.name(), kept_or_error(h, &s)).await;
        }
    }
    failures.finish();
}

pub async fn text_with_nul_is_refused_or_kept(h: &Harness) {
    let rel = h.relation("nul");
    let old = named_rows(&[(Some(1), "old")]);
    h.put(&rel, &old).await;
    let values: ArrayRef = Arc::new(StringArray::from(vec!["a\0b", "c"]));
    let field = Field::new("name", DataType::Utf8, true);
    let new = Table::of(vec![(field.clone(), values.clone())]);
    match h.put_as(&rel, &new, WriteMode::Replace).await {
        Ok(_) => assert_same("text with NUL", &field, &values, h.get(&rel).await.column("name")),
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::Type, "{e:?}");
            assert!(e.report().contains("name"), "the error names the column: {e:?}");
            assert_eq!(super::pairs(&h.get(&rel).await), super::pairs(&old), "the old table is as it was");
            assert!(h.leftovers_of(&rel).await.is_empty(), "{:?}", h.leftovers_of(&rel).await);
        }
    }
}
