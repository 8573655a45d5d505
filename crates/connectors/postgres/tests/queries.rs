//! Whole queries on the service `postgres` of `make test`, against Arrow's own kernels over the fully read tables.
#![allow(clippy::unwrap_used)] // Tests; clippy sees only the bodies of `#[test]` functions as such.

use xdb_connector_postgres::DEF;
use xdb_testkit::conformance::{Harness, open};
use xdb_testkit::queries::check;

fn server() -> Option<Harness> {
    let mut profile = xdb_testkit::services::profile("postgres")?;
    profile.insert("schema".into(), "queries".into());
    Some(Harness::new(open(&DEF, "postgres", &profile, std::path::Path::new("/"))))
}

/// `id` tells rows apart, `g` makes groups.
async fn table(h: &Harness, hint: &str, columns: &str, rows: &[&str]) -> xdb_core::Relation {
    let rel = h.relation(hint);
    let name = h.connector.relation_sql(&rel);
    h.execute().run("CREATE SCHEMA IF NOT EXISTS queries").await.ok();
    let rows: Vec<String> = rows
        .iter()
        .enumerate()
        .map(|(i, r)| format!("({i}, {}, {r})", if i % 4 == 3 { "NULL".into() } else { (i % 3).to_string() }))
        .collect();
    h.execute()
        .run(&format!(
            "CREATE TABLE {name} (id int NOT NULL, g int, {columns}); INSERT INTO {name} VALUES {}",
            rows.join(", ")
        ))
        .await
        .unwrap();
    rel
}

#[tokio::test(flavor = "multi_thread")]
async fn texts() {
    let Some(h) = server() else { return };
    h.execute().run("CREATE SCHEMA IF NOT EXISTS queries").await.ok();
    h.execute()
        .run(
            "DO $$ BEGIN CREATE COLLATION queries.folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
             EXCEPTION WHEN OTHERS THEN NULL; END $$; \
             DO $$ BEGIN CREATE TYPE queries.mood AS ENUM ('zz', 'b', 'a'); EXCEPTION WHEN OTHERS THEN NULL; END $$",
        )
        .await
        .unwrap();
    let t = table(
        &h,
        "texts",
        "t text, v varchar(20) COLLATE \"en-x-icu\", f text COLLATE queries.folding, c char(6), m queries.mood, u uuid, j json, b jsonb, p point, n name",
        &[
            "'a', 'a', 'a', 'a', 'a', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": 1}', '{\"a\": 1}', '(1,2)', 'a'",
            "'A', 'A', 'A', 'A', 'b', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{\"a\":1}', '{\"a\":1.0}', '(2,1)', 'A'",
            "'b', 'B', 'B', 'B', 'zz', '00000000-0000-0000-0000-000000000000', 'null', 'null', NULL, 'B'",
            "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
            "'', '', '', '', 'zz', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '1', '1', '(1,2)', ''",
            "'a ', 'a ', 'a ', 'a ', 'a', NULL, '[]', '[]', NULL, 'a '",
            "'é', 'é', 'É', 'É', 'a', NULL, '[ ]', '[ ]', '(0,0)', 'é'",
            "U&'e\\0301', U&'e\\0301', U&'e\\0301', U&'e\\0301', 'b', NULL, '1.0', '1.0', NULL, 'e'",
            "'😀a', 'a😀', '😀', '😀', NULL, NULL, '\"x\"', '\"x\"', NULL, '😀'",
            "'a%b', 'a_b', 'a\\b', 'a%', NULL, NULL, '{}', '{}', NULL, 'a%b'",
            "E'a\\nb', E'\\n', E'a\\t', E'a\\n', NULL, NULL, '{ }', '{ }', NULL, 'it''s'",
            "'it''s', '_', '\\', '_', NULL, NULL, '2', '2', NULL, '\\'",
        ],
    )
    .await;
    let r = check(&h, &[t]).await;
    assert!(r.sent("random: ") > 40, "{}", r.sent("random: "));
    for c in ["t", "v", "f", "c", "m", "u", "j", "b", "p", "n"] {
        for uses in [
            "read",
            "null",
            "group",
            "order",
            "count",
            "min",
            "max",
            "join Inner",
            "join Left",
            "join Semi",
            "join Anti",
            "like",
            "substring",
            "case",
        ] {
            r.accepted(&format!("{c}: {uses}"));
        }
    }
    r.accepted("shape: ");
    r.accepted("t, ");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers() {
    let Some(h) = server() else { return };
    let t = table(
        &h,
        "numbers",
        "s smallint, i int, l bigint, o oid, d numeric(15,2), e numeric(12,2), w numeric(38,0), q numeric, f double precision, r real, b boolean",
        &[
            "0, 0, 0, 0, 0, 0, 0, 0, 0, 0, true",
            "32767, 2147483647, 9223372036854775807, 4294967295, 9999999999999.99, 9999999999.99, 9999999999999999999999999999, 1.5, 1.5, 1.5, false",
            "-32768, -2147483648, -9223372036854775808, 1, -9999999999999.99, -0.01, -9999999999999999999999999999, -0.000000000000000001, '-0', '-0', NULL",
            "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
            "1, 1, 1, 1, 0.05, 0.05, 1, 1, 'NaN', 'NaN', true",
            "1, 1, -1, 2, 0.15, 0.05, 1, 1.0, 'Infinity', 'Infinity', true",
            "-1, -1, 9223372036854775807, 2, -0.15, -0.25, 2, 1.00, '-Infinity', '-Infinity', false",
            "-1, 5, 5, 2, 0.25, 1.00, 3, 12345678901234567890.123456789012345678, 1e300, 1e30, false",
            "7, 5, 5, 2, 1.00, 1, 4, 2, 0.1, 0.1, false",
        ],
    )
    .await;
    let r = check(&h, &[t]).await;
    assert!(r.sent("random: ") > 40, "{}", r.sent("random: "));
    for c in ["s", "i", "l", "o", "d", "w", "q"] {
        for uses in ["read", "null", "group", "order", "count", "min", "max", "join", "case", "=", "<", "in false"] {
            r.accepted(&format!("{c}: {uses}"));
        }
    }
    for c in ["s", "i", "l", "d", "w", "q"] {
        r.accepted(&format!("{c}: sum"));
    }
    r.accepted("d: decimal");
    r.accepted("b: group");
    for c in ["f", "r"] {
        for uses in ["group", "order", "min", "max", "sum", "join", "count distinct"] {
            r.refused(&format!("{c}: {uses}"));
        }
        r.accepted(&format!("{c}: read"));
    }
    for c in ["s", "i", "l"] {
        r.refused(&format!("{c}: int Add"));
        r.accepted(&format!("{c}: int Multiply"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times() {
    let Some(h) = server() else { return };
    let t = table(
        &h,
        "times",
        "d date, e date, s timestamp, z timestamptz, t time, y bytea, v interval, a int[]",
        &[
            "'1970-01-01', '1970-01-02', '1970-01-01', '1970-01-01 00:00Z', '00:00', '', '1 day', '{1}'",
            "'2024-02-29', '2024-02-29', '2024-02-29 23:59:59.999999', '2024-03-10 02:30:00-05', '23:59:59.999999', '\\x00', '24 hours', '{}'",
            "'9999-12-31', '0001-01-01', '0001-01-01', '0001-01-01 00:00Z', '12:00', '\\xff', '1 mon', '{1,2}'",
            "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
            "'0001-12-31 BC', '4713-01-01 BC', '0001-12-31 23:00 BC', '4713-01-01 BC', '12:00', '\\x00ff', '30 days', NULL",
            "'262142-12-31', '262143-01-01', '262142-12-31 23:59:59', '262142-12-31', '01:00', NULL, NULL, NULL",
            "'300000-01-01', '5874897-12-31', '290000-01-01', '290000-01-01', NULL, NULL, NULL, NULL",
            "'1969-12-31', '1969-12-31', '1969-12-31 23:59:59.5', '1969-12-31 23:59:59.5Z', NULL, NULL, NULL, NULL",
        ],
    )
    .await;
    let r = check(&h, &[t]).await;
    assert!(r.sent("random: ") > 40, "{}", r.sent("random: "));
    for c in ["d", "e", "s", "z", "t"] {
        for uses in ["read", "null", "group", "order", "count", "min", "max", "join", "case"] {
            r.accepted(&format!("{c}: {uses}"));
        }
    }
    r.accepted("d: part");
    r.accepted("s: group part");
    r.accepted("y: group");
    for c in ["v", "a"] {
        r.accepted(&format!("{c}: read"));
        r.refused(&format!("{c}: group"));
        r.refused(&format!("{c}: join"));
    }
}
