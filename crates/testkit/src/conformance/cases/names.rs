//! Names that would be something else, were they not quoted: SQL, wildcards, placeholders, more than one word.

use super::named_rows;
use crate::conformance::{Harness, Table};
use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field};
use std::sync::Arc;
use xdb_core::{CompareOp, Error, ErrorKind, Literal, Predicate, Relation, RelationPattern, ScanRequest};

const NASTY: [&str; 15] = [
    "plain",
    "we\"ird",
    "back`tick",
    "semi;colon -- x",
    "quote'd",
    "select",
    "sp ace",
    "UPPER lower",
    "ünïcode",
    "日本語",
    "per%cent_",
    "$1 :x @y",
    "{{ jinja }}",
    "comma,paren)",
    "#hash",
];

/// A name that the system may refuse, with an error that the user can act on; but never change on the way.
fn refused(name: &str, e: &Error) {
    let fine = matches!(
        e.kind(),
        ErrorKind::Config | ErrorKind::Unsupported | ErrorKind::Sql | ErrorKind::Type | ErrorKind::Io
    );
    assert!(fine, "refusing the name {name:?}: {e:?}");
}

pub async fn table_names_are_taken_literally(h: &Harness) {
    let unique = h.relation("n").name;
    let mut failed = vec![];
    for (i, nasty) in NASTY.iter().enumerate() {
        let rel = h.named(&format!("{unique} {nasty}"));
        let rows = named_rows(&[(Some(i as i64), nasty)]);
        // Twice, so that the old table has to be got out of the way too.
        for _ in 0..2 {
            if let Err(e) = h.put_as(&rel, &rows, xdb_core::WriteMode::Replace).await {
                failed.push(format!("{nasty:?}: writing: {e:?}"));
            }
        }
        match h.try_get(&rel).await {
            Ok(t) if super::pairs(&t) == [(Some(i as i64), nasty.to_string())] => {}
            Ok(t) => failed.push(format!("{nasty:?}: read {:?}", super::pairs(&t))),
            Err(e) => failed.push(format!("{nasty:?}: reading: {e:?}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let listed = h.connector.list(&RelationPattern::default()).await.unwrap_or_else(|e| panic!("{e:?}"));
    for nasty in NASTY {
        let rel = h.named(&format!("{unique} {nasty}"));
        assert!(listed.iter().any(|i| i.relation == rel), "{rel} is not listed");
    }
    for odd in ["😀".to_string(), "long".repeat(60), "back\\slash".into(), "new\nline".into(), "[br] ? *".into()] {
        let rel = h.named(&format!("{unique} {odd}"));
        let rows = named_rows(&[(Some(1), "kept")]);
        match h.put_as(&rel, &rows, xdb_core::WriteMode::Replace).await {
            Err(e) => refused(&odd, &e),
            Ok(_) => {
                // A server that cuts names would find the cut one: only the list tells.
                assert_eq!(super::pairs(&h.get(&rel).await), [(Some(1), "kept".to_string())]);
                let pattern = RelationPattern::default();
                let all = h.connector.list(&pattern).await.unwrap_or_else(|e| panic!("{e:?}"));
                assert!(all.iter().any(|i| i.relation == rel), "{odd:?} was changed on the way");
            }
        }
    }
}

fn table_with_column(name: &str) -> Table {
    let values: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None, Some("y")]));
    Table::of(vec![(Field::new(name, DataType::Utf8, true), values)])
}

async fn column_survives(h: &Harness, rel: &Relation, name: &str) {
    let info = h.describe(rel).await;
    assert_eq!(info.schema.field(1).name(), name, "the described column");
    let mut request = ScanRequest::all(info.clone());
    request.projection = Some(vec![1]);
    let p = Predicate::Compare { column: name.into(), op: CompareOp::Eq, value: Literal::Utf8("y".into()) };
    let pushed = h.extract().pushdown(&info, std::slice::from_ref(&p));
    if pushed[0].is_sent() {
        request.predicates = vec![p];
    }
    let batches = h.scan(&request).await.unwrap_or_else(|e| panic!("column {name:?}: {e:?}"));
    let read: Vec<_> = batches.iter().flat_map(|b| crate::conformance::compare::texts(b.column(0))).collect();
    assert!(read.contains(&Some("y".into())), "column {name:?}: {read:?}");
    assert!(pushed[0] != xdb_core::Pushdown::Exact || read.len() == 1, "column {name:?}: {read:?}");
}

pub async fn column_names_are_taken_literally(h: &Harness) {
    for name in NASTY {
        let rel = h.relation("col");
        h.put(&rel, &table_with_column(name)).await;
        column_survives(h, &rel, name).await;
    }
    for odd in ["😀", "a.b", "[bracket] ?", "back\\slash", "new\nline", " lead", "trail ", &"c".repeat(200), ""] {
        let rel = h.relation("odd");
        match h.put_as(&rel, &table_with_column(odd), xdb_core::WriteMode::Replace).await {
            Err(e) => refused(odd, &e),
            Ok(_) => column_survives(h, &rel, odd).await,
        }
    }
}
