//! Native SQL: parameters, statements, tables and views made in the database.

use crate::support::*;
use arrow::array::*;
use arrow::datatypes::*;
use xdb_core::*;

#[tokio::test]
async fn parameters_are_bound() {
    let Some(db) = Db::new("params", "").await else { return };
    let params = [
        Literal::Int(i64::MIN),
        Literal::UInt(u64::MAX),
        Literal::Utf8("'; DROP TABLE t; -- 😀".into()),
        Literal::Null,
        Literal::Decimal { value: -12345, scale: 3 },
        Literal::Date(19_782),
        Literal::Timestamp { micros: 1_709_251_198_000_001, utc: false },
        Literal::Time(86_399_999_999),
        Literal::Binary(vec![0, 255]),
        Literal::Float(0.1),
    ];
    let sql = "SELECT ? a, ? b, ? c, ? d, CAST(? AS DECIMAL(9,3)) e, ? f, ? g, ? h, HEX(?) i, ? j";
    let b = query(&*db.c, sql, &params).await.unwrap();
    let row: Vec<String> =
        (0..10).map(|i| arrow::util::display::array_value_to_string(b.column(i), 0).unwrap()).collect();
    assert_eq!(
        row,
        [
            "-9223372036854775808",
            "18446744073709551615",
            "'; DROP TABLE t; -- 😀",
            "",
            "-12.345",
            "2024-02-29",
            "2024-02-29T23:59:58.000001",
            "23:59:59.999999",
            "00FF",
            "0.1"
        ]
    );
    let e = query(&*db.c, "SELECT ?", &[]).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Config, "{e:?}");
    db.done().await;
}

#[tokio::test]
async fn statements_and_their_errors() {
    let Some(db) = Db::new("run", "").await else { return };
    let n = db.run("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2), (3)").await;
    assert_eq!(n, Some(3));
    let e = db.c.execute().unwrap().run("INSERT INTO t VALUES (4); SELEC 1").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Sql);
    assert!(e.report().contains("SELEC 1") && e.context().code.as_deref().unwrap().starts_with("1064"), "{e:?}");
    let e = query(&*db.c, "SELECT * FROM nowhere", &[]).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    // No rows, and statements that the prepared protocol doesn't know, are answered as well.
    assert_eq!(query(&*db.c, "DELETE FROM t WHERE a = 1", &[]).await.unwrap().num_columns(), 0);
    assert!(query(&*db.c, "SHOW TABLES", &[]).await.unwrap().num_rows() == 1);
    // Two statements aren't one query.
    assert!(query(&*db.c, "SELECT 1; SELECT 2", &[]).await.is_err());
    // A procedure's further results are not mistaken for rows.
    db.run("CREATE PROCEDURE p() BEGIN SELECT 1 x; SELECT 2 y; END").await;
    assert_eq!(query(&*db.c, "CALL p()", &[]).await.unwrap().num_rows(), 1);
    // What a hook does to its session does not reach the next one.
    db.run("SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', time_zone = '+09:00'").await;
    assert_eq!(db.scalar("SELECT @@time_zone").await, "+00:00");
    // A server that asks for a file doesn't get one.
    let e = db.c.execute().unwrap().run("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t").await;
    assert_eq!(db.scalar("SELECT COUNT(*) FROM t").await, "3", "{e:?}");
    db.done().await;
}

#[tokio::test]
async fn tables_and_views_made_inside() {
    let Some(db) = Db::new("ctas", "CREATE TABLE s AS SELECT seq id, seq * 10 v FROM seq_1_to_5").await else { return };
    let x = db.c.execute().unwrap();
    let t = Relation::bare("t");
    let mode = |mode| LoadOptions { mode, ..LoadOptions::default() };
    let r = x.create_table_as(&t, "SELECT id, v FROM s", &mode(WriteMode::Replace)).await.unwrap();
    assert_eq!(r.rows, 5);
    x.create_table_as(&t, "SELECT id, v FROM s WHERE id < 4", &mode(WriteMode::Replace)).await.unwrap();
    x.create_table_as(&t, "SELECT 9 id, 90 v", &mode(WriteMode::Append)).await.unwrap();
    let merge = mode(WriteMode::Merge { unique_key: vec!["id".into()] });
    let r = x.create_table_as(&t, "SELECT id, v + 1 v FROM s WHERE id > 2", &merge).await.unwrap();
    assert_eq!(r.rows, 3);
    assert_eq!(db.scalar("SELECT GROUP_CONCAT(id, ':', v ORDER BY id) FROM t").await, "1:10,2:20,3:31,4:41,5:51,9:90");
    let e = x.create_table_as(&t, "SELECT 'x' id, 1 v", &mode(WriteMode::Append)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Type, "{e:?}");
    let e = x.create_table_as(&t, "SELECT nonsense FROM s", &mode(WriteMode::Replace)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e:?}");
    assert_eq!(db.scalar("SELECT COUNT(*) FROM t").await, "6");

    // A table becomes a view, a view another view, a view a table.
    x.create_view_as(&t, "SELECT 1 one").await.unwrap();
    x.create_view_as(&t, "SELECT 2 two").await.unwrap();
    assert_eq!(db.scalar("SELECT two FROM t").await, "2");
    x.create_table_as(&t, "SELECT 3 three", &mode(WriteMode::Replace)).await.unwrap();
    assert_eq!(db.scalar("SELECT three FROM t").await, "3");
    x.drop_relation(&t).await.unwrap();
    x.drop_relation(&t).await.unwrap();
    assert_eq!(db.leftovers().await, "0");
    assert_eq!(x.placeholder(3), "?");
    let b = query(&*db.c, "SELECT CAST(1 AS UNSIGNED) u, NULL n, 1.50 d, TRUE b", &[]).await.unwrap();
    assert_eq!(b.column(2).data_type(), &DataType::Decimal128(3, 2));
    assert_eq!(b.column(1).null_count() + usize::from(*b.column(1).data_type() == DataType::Null), 1);
    db.done().await;
}
