//! Replace, append, merge; and that a write which isn't committed never was.

use super::{assert_tables, named_rows, not_claimed, pairs, plain_table};
use crate::conformance::{Harness, Table};
use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use xdb_core::{ErrorKind, LoadOptions, LoadSession, WriteMode};

pub async fn replace_replaces(h: &Harness) {
    let rel = h.relation("replace");
    let report = h.put(&rel, &plain_table(100)).await;
    assert_eq!(report.rows, 100);
    assert_tables("first", &plain_table(100), &h.get(&rel).await);
    // Other columns, fewer rows, several batches, an empty one among them.
    let new = named_rows(&[(Some(5), "x"), (Some(6), ""), (Some(7), "z")]);
    let b = new.batch();
    let batches = [b.slice(0, 1), b.slice(0, 0), b.slice(1, 2)];
    let report = h.write(&rel, b.schema(), batches, &LoadOptions::default()).await.unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(report.rows, 3);
    assert_tables("second", &new, &h.get(&rel).await);
    assert!(h.leftovers_of(&rel).await.is_empty(), "{:?}", h.leftovers_of(&rel).await);
}

pub async fn replace_with_nothing_empties(h: &Harness) {
    let rel = h.relation("empty");
    h.put(&rel, &plain_table(10)).await;
    let schema = plain_table(0).batch().schema();
    let report = h.write(&rel, schema.clone(), [], &LoadOptions::default()).await.unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(report.rows, 0);
    let got = h.get(&rel).await;
    assert_eq!(got.rows(), 0);
    let names = |t: &Table| t.batch().schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    assert_eq!(names(&got), names(&plain_table(0)), "an empty table has its columns");
}

pub async fn append_adds(h: &Harness) {
    if !h.connector.def().capabilities.append {
        not_claimed!("no append");
    }
    let rel = h.relation("append");
    h.put(&rel, &named_rows(&[(Some(1), "a")])).await;
    let more = named_rows(&[(Some(2), "b"), (Some(1), "a")]);
    let report = h.put_as(&rel, &more, WriteMode::Append).await.unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(report.rows, 2);
    let want = [(Some(1), "a".to_string()), (Some(1), "a".into()), (Some(2), "b".into())];
    assert_eq!(pairs(&h.get(&rel).await), want);

    // Not committed, not added.
    let options = LoadOptions { mode: WriteMode::Append, ..Default::default() };
    let b = more.batch();
    let mut session = h.load().begin(&rel, b.schema(), &options).await.unwrap_or_else(|e| panic!("{e:?}"));
    session.write(b.clone()).await.unwrap_or_else(|e| panic!("{e:?}"));
    session.abort().await.unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(pairs(&h.get(&rel).await), want, "after an append that was aborted");
    assert!(h.leftovers_of(&rel).await.is_empty(), "{:?}", h.leftovers_of(&rel).await);
}

pub async fn append_needs_a_target(h: &Harness) {
    let c = h.connector.def().capabilities;
    let rows = named_rows(&[(Some(1), "a")]);
    let key = || vec!["id".to_string()];
    for (claimed, mode) in [(c.append, WriteMode::Append), (c.merge, WriteMode::Merge { unique_key: key() })] {
        let rel = h.relation("none");
        let e = h.put_as(&rel, &rows, mode.clone()).await.expect_err("there is no such target");
        let want = if claimed { ErrorKind::NotFound } else { ErrorKind::Unsupported };
        assert_eq!(e.kind(), want, "{mode:?}: {e:?}");
        assert!(h.leftovers_of(&rel).await.is_empty(), "{:?}", h.leftovers_of(&rel).await);
    }
}

fn merge_by(keys: &[&str]) -> WriteMode {
    WriteMode::Merge { unique_key: keys.iter().map(|k| k.to_string()).collect() }
}

pub async fn merge_replaces_and_adds(h: &Harness) {
    if !h.connector.def().capabilities.merge {
        not_claimed!("no merge");
    }
    let rel = h.relation("merge");
    h.put(&rel, &named_rows(&[(Some(1), "old"), (Some(2), "stays"), (None, "null stays")])).await;
    let new = named_rows(&[(Some(1), "new"), (Some(3), "added"), (None, "null added")]);
    let report = h.put_as(&rel, &new, merge_by(&["id"])).await.unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(report.rows, 3);
    let want: Vec<(Option<i64>, String)> = vec![
        (None, "null added".into()),
        (None, "null stays".into()),
        (Some(1), "new".into()),
        (Some(2), "stays".into()),
        (Some(3), "added".into()),
    ];
    assert_eq!(pairs(&h.get(&rel).await), want);

    // A key of two columns: text compares by bytes, also where the database's collation doesn't.
    let rel = h.relation("merge2");
    let two = |rows: &[(i64, &str, i64)]| {
        let ids: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.0)).collect::<Int64Array>());
        let texts: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.1)).collect::<StringArray>());
        let values: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.2)).collect::<Int64Array>());
        let field = |n: &str, t| Field::new(n, t, true);
        Table::with_ids(ids, vec![(field("name", DataType::Utf8), texts), (field("v", DataType::Int64), values)])
    };
    h.put(&rel, &two(&[(1, "a", 10), (1, "b", 20), (2, "a", 30)])).await;
    let new = two(&[(1, "A", 11), (1, "a ", 12), (1, "b", 21), (2, "é", 32)]);
    h.put_as(&rel, &new, merge_by(&["id", "name"])).await.unwrap_or_else(|e| panic!("{e:?}"));
    let got = h.get(&rel).await;
    let values = crate::conformance::compare::ids(got.column("v"));
    let names = crate::conformance::compare::texts(got.column("name")).into_iter().map(Option::unwrap_or_default);
    let mut got: Vec<_> =
        got.ids().into_iter().zip(names).zip(values).map(|((i, n), v)| (i, n, v.unwrap_or(-1))).collect();
    got.sort();
    let want = [(1, "A", 11), (1, "a", 10), (1, "a ", 12), (1, "b", 21), (2, "a", 30), (2, "é", 32)];
    assert_eq!(got, want.map(|(i, n, v)| (i, n.to_string(), v)));
}

pub async fn merge_refuses_duplicate_keys(h: &Harness) {
    if !h.connector.def().capabilities.merge {
        not_claimed!("no merge");
    }
    let rel = h.relation("dup");
    let old = named_rows(&[(Some(1), "old")]);
    h.put(&rel, &old).await;
    let twice = named_rows(&[(Some(1), "x"), (Some(2), "y"), (Some(1), "z")]);
    let e = h.put_as(&rel, &twice, merge_by(&["id"])).await.expect_err("two incoming rows with one key");
    assert!(!matches!(e.kind(), ErrorKind::Internal | ErrorKind::Connect), "{e:?}");
    assert!(e.report().contains("id"), "the error names the key: {e:?}");
    assert_eq!(pairs(&h.get(&rel).await), pairs(&old), "the target is as it was");
    assert!(h.leftovers_of(&rel).await.is_empty(), "{:?}", h.leftovers_of(&rel).await);
    let e = h.put_as(&rel, &old, merge_by(&["no_such_column"])).await.expect_err("a key that isn't a column");
    assert!(e.report().contains("no_such_column") && e.kind() != ErrorKind::Internal, "{e:?}");
}

pub async fn abort_and_drop_leave_no_trace(h: &Harness) {
    let old = named_rows(&[(Some(1), "old")]);
    let new = plain_table(20_000);
    let begin = async |rel: &xdb_core::Relation| -> Box<dyn LoadSession> {
        let options = LoadOptions::default();
        let mut s = h.load().begin(rel, new.batch().schema(), &options).await.unwrap_or_else(|e| panic!("{e:?}"));
        s.write(new.batch().clone()).await.unwrap_or_else(|e| panic!("{e:?}"));
        s
    };
    for existing in [true, false] {
        for aborted in [true, false] {
            let what = format!("existing target: {existing}, {}", if aborted { "aborted" } else { "dropped" });
            let rel = h.relation("gone");
            if existing {
                h.put(&rel, &old).await;
            }
            let session = begin(&rel).await;
            if aborted {
                session.abort().await.unwrap_or_else(|e| panic!("{what}: {e:?}"));
            } else {
                drop(session);
            }
            assert!(h.leftovers_of(&rel).await.is_empty(), "{what}: {:?}", h.leftovers_of(&rel).await);
            match h.try_get(&rel).await {
                Ok(t) => assert_eq!((existing, pairs(&t)), (true, pairs(&old)), "{what}"),
                Err(e) => assert_eq!((existing, e.kind()), (false, ErrorKind::NotFound), "{what}: {e:?}"),
            }
            // Whatever was held is free again.
            h.put(&rel, &old).await;
        }
    }
}

/// Readers, while the table is replaced again and again, see all the rows of one version, always.
pub async fn replace_is_atomic_for_readers(h: &Harness) {
    if !h.connector.def().capabilities.atomic_replace {
        not_claimed!("replace need not be atomic");
    }
    const ROWS: usize = 2000;
    let rel = h.relation("atomic");
    let version = |v: i64| {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![v; ROWS]));
        Table::of(vec![(Field::new("version", DataType::Int64, true), values)])
    };
    h.put(&rel, &version(0)).await;
    let (done, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let reader = async {
        let mut last = 0;
        while !done.load(SeqCst) {
            let t = match h.try_get(&rel).await {
                Ok(t) => t,
                // The old version is gone while it is read: a system that keeps none may say so, and to try again.
                Err(e) if e.kind() == ErrorKind::Conflict && e.is_retryable() => continue,
                Err(e) => panic!("a reader saw no table: {e:?}"),
            };
            assert_eq!(t.rows(), ROWS, "a reader saw part of a table");
            let seen = crate::conformance::compare::ids(t.column("version"));
            assert!(seen.iter().all(|v| *v == seen[0]), "a reader saw two versions at once");
            assert!(seen[0] >= Some(last), "a reader went back from {last} to {:?}", seen[0]);
            last = seen[0].unwrap_or(0);
            reads.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
        }
    };
    let writer = async {
        for v in 1..=25 {
            h.put(&rel, &version(v)).await;
        }
        // A slow machine may not have read in between: then read a little longer.
        while reads.load(SeqCst) < 10 {
            tokio::task::yield_now().await;
        }
        done.store(true, SeqCst);
    };
    tokio::join!(reader, writer);
    assert_eq!(crate::conformance::compare::ids(h.get(&rel).await.column("version"))[0], Some(25));
}
