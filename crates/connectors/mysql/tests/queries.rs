//! Whole queries on the service `mariadb` of `make test`, against Arrow's own kernels over the fully read tables.
#![allow(clippy::unwrap_used)] // Tests; clippy sees only the bodies of `#[test]` functions as such.

use xdb_connector_mysql::DEF;
use xdb_testkit::conformance::{Harness, open};
use xdb_testkit::queries::check;

fn server() -> Option<Harness> {
    let profile = xdb_testkit::services::profile("mariadb")?;
    Some(Harness::new(open(&DEF, "mariadb", &profile, std::path::Path::new("/"))))
}

/// `id` tells rows apart, `g` makes groups.
async fn table(h: &Harness, hint: &str, columns: &str, rows: &[&str]) -> xdb_core::Relation {
    let rel = h.relation(hint);
    let name = h.connector.relation_sql(&rel);
    let group = |i: usize| if i % 4 == 3 { "NULL".into() } else { (i % 3).to_string() };
    let rows: Vec<String> = rows.iter().enumerate().map(|(i, r)| format!("({i}, {}, {r})", group(i))).collect();
    let create = format!("CREATE TABLE {name} (id int NOT NULL, g int, {columns})");
    h.execute().run(&create).await.unwrap();
    h.execute().run(&format!("INSERT INTO {name} VALUES {}", rows.join(", "))).await.unwrap();
    rel
}

#[tokio::test(flavor = "multi_thread")]
async fn texts() {
    let Some(h) = server() else { return };
    let t = table(
        &h,
        "texts",
        "ci varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, \
         bin varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, \
         nopad varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, \
         c char(6) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, \
         l varchar(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci, \
         long_text text CHARACTER SET utf8mb4, \
         e enum('zz', 'b', 'a'), y varbinary(20), z blob, j json",
        &[
            "'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', '{\"a\": 1}'",
            "'A', 'A', 'A', 'A', 'A', 'A', 'b', 'A', 'A', '{\"a\":1}'",
            "'b', 'B', 'B', 'B', 'B', 'B', 'zz', 'B', 'B', 'null'",
            "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
            "'', '', '', '', '', '', 'zz', '', '', '1'",
            "'a ', 'a ', 'a ', 'a ', 'a ', 'a ', 'a', 'a ', 'a ', '[]'",
            "'é', 'é', 'É', 'É', 'é', 'é', 'a', 0x00, 0x00, '[ ]'",
            "'É', 'e', 'é', 'é', 'É', 'e', 'a', 0xff, 0xff, '1.0'",
            "'😀a', 'a😀', '😀', '😀', 'ß', '😀', NULL, 0x00ff, 0x00ff, '\"x\"'",
            "'a%b', 'a_b', 'a\\\\b', 'a%', 'ss', 'a%b', NULL, 'a%', 'a%', '{}'",
            "'a\\nb', '\\n', 'a\\t', 'a\\n', 'ÿ', '\\n', NULL, '\\n', '\\n', '{ }'",
            "'it''s', '_', '\\\\', '_', '\\\\', '_', NULL, '_', '_', '2'",
        ],
    )
    .await;
    let r = check(&h, &[t]).await;
    assert!(r.sent("random: ") > 40, "{}", r.sent("random: "));
    for c in ["ci", "bin", "nopad", "c", "l", "e"] {
        for uses in [
            "read",
            "null ",
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
            "=",
            "<",
            "in ",
        ] {
            r.accepted(&format!("{c}: {uses}"));
        }
        r.refused(&format!("{c}: join Full"));
    }
    r.accepted("y: group");
    // Sorted by its first bytes only.
    for uses in ["group all", "distinct", "order"] {
        if uses != "group all" {
            r.refused(&format!("long_text: {uses}"));
            r.refused(&format!("z: {uses}"));
        }
    }
    r.accepted("long_text: join Inner");
    r.accepted("long_text: group substring 1 Some(3)");
    r.refused("j: group");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers() {
    let Some(h) = server() else { return };
    let t = table(
        &h,
        "numbers",
        "t tinyint, s smallint, i int, l bigint, u bigint unsigned, n int unsigned, d decimal(15,2), e decimal(12,2), \
         w decimal(38,0), x decimal(65,30), f double, r float, b bit(1), k bit(9), yr year",
        &[
            "0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2000",
            "127, 32767, 2147483647, 9223372036854775807, 18446744073709551615, 4294967295, 9999999999999.99, 9999999999.99, 9999999999999999999999999999, 1.5, 1.5, 1.5, 1, 511, 1999",
            "-128, -32768, -2147483648, -9223372036854775808, 1, 1, -9999999999999.99, -0.01, -9999999999999999999999999999, -0.000000000000000001, -1.5, -1.5, 1, 1, 0",
            "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
            "1, 1, 1, 1, 1, 2, 0.05, 0.05, 1, 1, 1e300, 1e30, 0, 2, 2155",
            "1, 1, 1, -1, 2, 2, 0.15, 0.05, 1, 1.0, 1e-300, 1, 1, 3, 2001",
            "-1, -1, -1, 9223372036854775807, 2, 2, -0.15, -0.25, 2, 1.00, 0.1, 0.1, 0, 4, 2001",
            "-1, -1, 5, 5, 2, 3, 0.25, 1.00, 3, 12345678901234567890.123456789012345678, 2, 2, 0, 5, 2001",
            "7, 7, 5, 5, 18446744073709551614, 3, 1.00, 1, 4, 2, 3, 3, 1, 6, 2001",
        ],
    )
    .await;
    let r = check(&h, &[t]).await;
    assert!(r.sent("random: ") > 40, "{}", r.sent("random: "));
    for c in ["t", "s", "i", "l", "u", "n", "d", "w"] {
        for uses in ["read", "null ", "group", "order", "count", "min", "max", "join Semi", "=", "<", "in "] {
            if !(matches!(c, "u" | "n") && matches!(uses, "group" | "count" | "min" | "max")) {
                r.accepted(&format!("{c}: {uses}"));
            }
        }
    }
    for c in ["t", "s", "i", "l", "d", "w"] {
        for uses in ["sum all", "sum by g", "sum distinct", "sum filtered", "Sum of case"] {
            r.accepted(&format!("{c}: {uses}"));
        }
    }
    r.accepted("d: decimal");
    for c in ["f", "r"] {
        for uses in ["group", "order", "min", "max", "sum", "join", "count distinct"] {
            r.refused(&format!("{c}: {uses}"));
        }
        r.accepted(&format!("{c}: read"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times() {
    let Some(h) = server() else { return };
    let t = table(
        &h,
        "times",
        "d date, e date, s datetime(6), q datetime, z timestamp(6) NULL, t time(6)",
        &[
            "'1970-01-01', '1970-01-02', '1970-01-01', '1970-01-01', '1970-01-01 00:00:01', '00:00'",
            "'2024-02-29', '2024-02-29', '2024-02-29 23:59:59.999999', '2024-02-29', '2024-03-10 02:30:00', '23:59:59.999999'",
            "'9999-12-31', '0001-01-01', '0001-01-01', '9999-12-31 23:59:59', '2038-01-19 03:14:07', '12:00'",
            "NULL, NULL, NULL, NULL, NULL, NULL",
            "'1969-12-31', '1969-12-31', '1969-12-31 23:59:59.5', '2000-01-01', '2024-03-10 02:30:00.000001', '12:00'",
        ],
    )
    .await;
    let r = check(&h, &[t]).await;
    assert!(r.sent("random: ") > 40, "{}", r.sent("random: "));
    for c in ["d", "e", "s", "q"] {
        for uses in ["read", "null ", "group", "order", "count", "min", "max", "join Inner", "case", "part", "=", "in "]
        {
            r.accepted(&format!("{c}: {uses}"));
        }
    }
    r.accepted("z: join Inner");
    r.accepted("z: group having");
    r.refused("z: min");
}
