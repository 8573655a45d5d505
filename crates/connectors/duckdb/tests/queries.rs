//! Whole queries, against Arrow's own kernels over the fully read tables.
#![allow(clippy::unwrap_used)] // Tests; clippy sees only the bodies of `#[test]` functions as such.

use xdb_connector_duckdb::DEF;
use xdb_core::Relation;
use xdb_testkit::conformance::{Harness, open};
use xdb_testkit::queries::{Report, check};

/// The table `t`, in which `id` tells rows apart and `g` makes groups.
async fn queries(before: &str, columns: &str, rows: &[&str]) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.duckdb");
    let group = |i: usize| if i % 4 == 3 { "NULL".into() } else { (i % 3).to_string() };
    let rows: Vec<String> = rows.iter().enumerate().map(|(i, r)| format!("({i}, {}, {r})", group(i))).collect();
    xdb_libduckdb::load().unwrap();
    duckdb::Connection::open(&path)
        .unwrap()
        .execute_batch(&format!(
            "{before}; CREATE TABLE t (id INTEGER NOT NULL, g INTEGER, {columns}); INSERT INTO t VALUES {}",
            rows.join(", ")
        ))
        .unwrap();
    let profile = serde_json::json!({"path": path});
    let h = Harness::new(open(&DEF, "duckdb", profile.as_object().unwrap(), dir.path()));
    check(&h, &[h.connector.resolve(&Relation::bare("t"))]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn texts() {
    let r = queries(
        "CREATE TYPE mood AS ENUM ('zz', 'b', 'a')",
        "t VARCHAR, v VARCHAR, m mood, u UUID, j JSON, b BLOB",
        &[
            "'a', 'a', 'a', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": 1}', ''",
            "'A', 'a', 'b', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{\"a\":1}', '\\x00'",
            "'b', 'B', 'zz', '00000000-0000-0000-0000-000000000000', 'null', '\\xFF'",
            "NULL, NULL, NULL, NULL, NULL, NULL",
            "'', '', 'zz', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '1', '\\x00\\xFF'",
            "'a ', 'a ', 'a', NULL, '[]', 'a'",
            "'é', 'é', 'a', NULL, '[ ]', 'a '",
            "'É', 'e' || chr(769), 'b', NULL, '1.0', NULL",
            "'😀a', 'a😀', NULL, NULL, '\"x\"', NULL",
            "'a%b', 'a_b', NULL, NULL, '{}', NULL",
            "'a' || chr(10) || 'b', '\\', NULL, NULL, '{ }', NULL",
            "'it''s', '_', NULL, NULL, '2', NULL",
        ],
    )
    .await;
    for c in ["t", "v", "m", "u", "j"] {
        for uses in ["read", "null ", "group", "order", "count", "min", "max", "join", "like", "substring", "case"] {
            r.accepted(&format!("{c}: {uses}"));
        }
    }
    r.accepted("b: group");
    r.accepted("b: order");
    for (label, answer) in r.answers.iter().filter(|(l, _)| l.starts_with("shape: ")) {
        assert_eq!(answer.is_ok(), label != "shape: union of limits", "{label}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn collations_are_left_alone() {
    let r = queries("SELECT 1", "t VARCHAR COLLATE NOCASE", &["'a'", "'A'", "NULL", "'b'"]).await;
    r.accepted("t: read");
    for uses in ["group", "order", "min", "join", "count distinct", "like", "="] {
        r.refused(&format!("t: {uses}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers() {
    let r = queries(
        "SELECT 1",
        "t TINYINT, s SMALLINT, i INTEGER, l BIGINT, h HUGEINT, ut UTINYINT, ul UBIGINT, d DECIMAL(15,2), e DECIMAL(12,2), \
         w DECIMAL(38,0), n DECIMAL(4,1), f DOUBLE, r REAL, b BOOLEAN",
        &[
            "0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, true",
            "127, 32767, 2147483647, 9223372036854775807, 1, 255, 18446744073709551615, 9999999999999.99, 9999999999.99, 9999999999999999999999999999, 999.9, 1.5, 1.5, false",
            "-128, -32768, -2147483648, -9223372036854775808, 2, 1, 1, -9999999999999.99, -0.01, -9999999999999999999999999999, -999.9, '-0', '-0', NULL",
            "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
            "1, 1, 1, 1, 3, 2, 2, 0.05, 0.05, 1, 0.1, 'NaN', 'NaN', true",
            "1, 1, 1, -1, 3, 2, 2, 0.15, 0.05, 1, 0.1, 'Infinity', 'Infinity', true",
            "-1, -1, -1, 9223372036854775807, 4, 3, 3, -0.15, -0.25, 2, 0.2, '-Infinity', '-Infinity', false",
            "-1, -1, 5, 5, 5, 3, 4, 0.25, 1.00, 3, 0.2, 1e300, 1e30, false",
            "7, 7, 5, 5, 6, 9, 18446744073709551614, 1.00, 1, 4, 0.3, 0.1, 0.1, false",
        ],
    )
    .await;
    for c in ["t", "s", "i", "l", "ut", "ul", "d", "w", "n"] {
        for uses in
            ["read", "null ", "group", "order", "count", "min", "max", "join", "case", "=", "<", "in ", "sum all"]
        {
            r.accepted(&format!("{c}: {uses}"));
        }
    }
    r.accepted("d: decimal");
    r.accepted("n: decimal");
    for c in ["f", "r", "h"] {
        for uses in ["group", "order", "min", "max", "sum", "join", "count distinct"] {
            r.refused(&format!("{c}: {uses}"));
        }
        r.accepted(&format!("{c}: read"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times() {
    let r = queries(
        "SELECT 1",
        "d DATE, e DATE, s TIMESTAMP, s2 TIMESTAMP_S, ns TIMESTAMP_NS, z TIMESTAMPTZ, t TIME, v INTERVAL, a INTEGER[]",
        &[
            "'1970-01-01', '1970-01-02', '1970-01-01', '1970-01-01', '1970-01-01', '1970-01-01 00:00:00+00', '00:00:00', '1 day', [1]",
            "'2024-02-29', '2024-02-29', '2024-02-29 23:59:59.999999', '2024-02-29', '2024-02-29', '2024-03-10 02:30:00-05', '23:59:59.999999', '24 hours', []",
            "'9999-12-31', '0001-01-01', '0001-01-01', '0001-01-01', '2000-01-01', '0001-01-01 00:00:00+00', '12:00:00', '1 month', [1,2]",
            "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
            "'0001-12-31 (BC)', '4713-01-01 (BC)', '0001-12-31 (BC) 23:00:00', NULL, NULL, '2024-03-10 02:30:00-05', '12:00:00', '30 days', NULL",
            "'262142-12-31', '262143-01-01', '262142-12-31 23:59:59', NULL, NULL, NULL, NULL, NULL, NULL",
            "'300000-01-01', '300000-12-31 (BC)', '290000-01-01', NULL, NULL, NULL, NULL, NULL, NULL",
            "'1969-12-31', '1969-12-31', '1969-12-31 23:59:59.5', NULL, NULL, NULL, NULL, NULL, NULL",
        ],
    )
    .await;
    for c in ["d", "e", "s", "z", "t"] {
        for uses in ["read", "null ", "group", "order", "count", "min", "max", "join", "case"] {
            r.accepted(&format!("{c}: {uses}"));
        }
    }
    r.accepted("d: part");
    r.accepted("s: group part");
    for c in ["v", "a"] {
        r.accepted(&format!("{c}: read"));
        r.refused(&format!("{c}: group"));
        r.refused(&format!("{c}: join"));
    }
}
