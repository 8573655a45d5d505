//! Whole queries, against Arrow's own kernels over the fully read tables.
#![allow(clippy::unwrap_used)] // Tests; clippy sees only the bodies of `#[test]` functions as such.

use futures::StreamExt;
use std::sync::Arc;
use xdb_connector_sqlite::DEF;
use xdb_core::{AggregateFunction, Query, ReadContext, Relation, Result};
use xdb_testkit::conformance::{Harness, open};
use xdb_testkit::queries::{Report, aggregate, check, column, item, over_all};

fn harness(setup: &str) -> Harness {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.sqlite");
    rusqlite::Connection::open(&path).unwrap().execute_batch(setup).unwrap();
    let profile = serde_json::json!({"path": path});
    Harness::new(open(&DEF, "sqlite", profile.as_object().unwrap(), dir.path())).keep(dir)
}

/// The table `t`, in which `id` tells rows apart and `g` makes groups.
async fn queries(columns: &str, rows: &[&str]) -> Report {
    let group = |i: usize| if i % 4 == 3 { "NULL".into() } else { (i % 3).to_string() };
    let rows: Vec<String> = rows.iter().enumerate().map(|(i, r)| format!("({i}, {}, {r})", group(i))).collect();
    let h = harness(&format!(
        "CREATE TABLE t (id INTEGER NOT NULL, g INTEGER, {columns}); INSERT INTO t VALUES {}",
        rows.join(", ")
    ));
    check(&h, &[h.connector.resolve(&Relation::bare("t"))]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn texts() {
    let r = queries(
        "t TEXT, v VARCHAR(10) COLLATE NOCASE, p TEXT COLLATE RTRIM, b BLOB, u UUID, j JSON",
        &[
            "'a', 'a', 'a', x'', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": 1}'",
            "'A', 'A', 'a ', x'00', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '1'",
            "'b', 'B', 'B', x'ff', NULL, 'null'",
            "NULL, NULL, NULL, NULL, NULL, NULL",
            "'', '', '', x'00ff', NULL, '[]'",
            "'a ', 'a ', 'a ', x'61', NULL, '1.0'",
            "'é', 'É', 'é', NULL, NULL, NULL",
            "'É', 'é', 'é ', NULL, NULL, NULL",
            "'😀a', 'a😀', '😀', NULL, NULL, NULL",
            "'a%b', 'a_b', 'a*b', NULL, NULL, NULL",
            "'a' || char(0) || 'b', 'a' || char(0) || 'B', char(0), NULL, NULL, NULL",
            "'it''s', '_', '[a]', NULL, NULL, NULL",
        ],
    )
    .await;
    for c in ["t", "v", "p"] {
        for uses in
            ["read", "null ", "group", "order", "count", "min", "max", "join", "case", "= #0", "< #0", "in ", "like a%"]
        {
            if uses != "group" {
                r.accepted(&format!("{c}: {uses}"));
            }
        }
        for uses in ["group", "group having", "distinct", "like %a% true", "like %a% false"] {
            assert_eq!(r.answers[&format!("{c}: {uses}")], Ok(()), "{c}: {uses}");
        }
        r.refused(&format!("{c}: like %a false"));
        r.refused(&format!("{c}: substring"));
    }
    for uses in ["read", "group", "order", "min", "join"] {
        r.accepted(&format!("b: {uses}"));
    }
    for c in ["u", "j"] {
        r.accepted(&format!("{c}: read"));
        r.refused(&format!("{c}: join"));
    }
    r.accepted("shape: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers() {
    let r = queries(
        "i INTEGER, l BIGINT, b BOOLEAN, d DECIMAL(15,2), x DECIMAL_TEXT(15,2), f DOUBLE, day DATE, at TIMESTAMP",
        &[
            "0, 0, 0, 0, '0', 0, '1970-01-01', '1970-01-01 00:00:00'",
            "2147483647, 9223372036854775807, 1, 1.5, '1.5', 1.5, '1970-01-01', '1970-01-01T00:00:00'",
            "-2147483648, -9223372036854775808, 1, -1.5, '-1.50', -1.5, '2024-02-29', '2024-02-29 23:59:59.999999'",
            "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
            "1, 1, 0, 0.05, '0.05', -0.0, '9999-12-31', NULL",
            "1, -1, 1, 0.15, '0.15', 1e300, '0001-01-01', NULL",
            "-1, 9223372036854775807, 1, 1, '1.00', 0.1, NULL, NULL",
        ],
    )
    .await;
    for c in ["i", "l", "b"] {
        for uses in ["read", "null ", "group", "order", "count", "min", "max", "join", "case", "=", "<", "in "] {
            r.accepted(&format!("{c}: {uses}"));
        }
    }
    for uses in ["sum all", "sum by g", "sum distinct", "sum filtered", "Sum of case"] {
        r.accepted(&format!("i: {uses}"));
    }
    for c in ["d", "x", "f", "day", "at"] {
        r.accepted(&format!("{c}: read"));
        r.accepted(&format!("{c}: count all"));
        for uses in ["group", "order", "min", "max", "sum", "join", "count distinct"] {
            r.refused(&format!("{c}: {uses}"));
        }
    }
}

async fn answer(h: &Harness, query: &Query) -> Result<usize> {
    h.extract().accepts(query).unwrap();
    let plan = h.extract().plan_query(query).await?;
    let mut stream = h.extract().read(&plan.splits[0], &ReadContext::default()).await?;
    let mut rows = 0;
    while let Some(b) = stream.next().await {
        rows += b?.num_rows();
    }
    Ok(rows)
}

/// Whose table has `'12 apples'` among its integers gets no sum of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_fit_is_no_part_of_a_sum() {
    let fine = "CREATE TABLE t (id INTEGER, i INTEGER, b BOOLEAN); INSERT INTO t VALUES (1, 1, 1), (2, NULL, NULL)";
    for (misfit, fails) in [("", false), ("; INSERT INTO t VALUES (3, '12 apples', 'yes'), (4, x'31', 1.5)", true)] {
        let h = harness(&format!("{fine}{misfit}"));
        let table = h.describe(&h.connector.resolve(&Relation::bare("t"))).await;
        for (f, c) in [
            (AggregateFunction::Sum, "i"),
            (AggregateFunction::Min, "i"),
            (AggregateFunction::Max, "i"),
            (AggregateFunction::Max, "b"),
        ] {
            let e = aggregate(f, Some(column(&table, "t", c)), false);
            let q = Query { groups: Some(vec![]), ..over_all(&Arc::clone(&table), vec![item("x", e)]) };
            assert_eq!(answer(&h, &q).await.is_err(), fails, "{f:?} of {c}{misfit}");
        }
    }
}
