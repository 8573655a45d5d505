//! Native SQL: rows, parameters, tables and views made inside the database.

use super::{assert_tables, named_rows, not_claimed, pairs, plain_table};
use crate::conformance::{Harness, Table};
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, TimeUnit};
use std::sync::Arc;
use xdb_core::{ErrorKind, Literal, LoadOptions, Relation, RelationKind, WriteMode};

macro_rules! needs_sql {
    ($h:expr) => {
        if !$h.connector.def().capabilities.execute {
            not_claimed!("no native SQL");
        }
    };
}

fn sql_of(h: &Harness, rel: &Relation) -> String {
    h.connector.relation_sql(rel)
}

pub async fn queries_return_rows(h: &Harness) {
    needs_sql!(h);
    let rel = h.relation("query");
    let table = plain_table(50);
    h.put(&rel, &table).await;
    let sql = format!("select id, name, amount, grp from {} where id < 20 order by id", sql_of(h, &rel));
    let batches = h.query(&sql, &[]).await.unwrap_or_else(|e| panic!("{e:?}"));
    let schema = batches[0].schema();
    assert_tables("query", &table.filter(|i| i < 20), &Table::sorted(&schema, &batches));
    let none = h.query(&format!("select id from {} where id < 0", sql_of(h, &rel)), &[]).await;
    assert_eq!(none.unwrap_or_else(|e| panic!("{e:?}")).iter().map(|b| b.num_rows()).sum::<usize>(), 0);

    let made = h.relation("made");
    let create = format!("create table {} (id int)", sql_of(h, &made));
    let rows = h.query(&create, &[]).await.unwrap_or_else(|e| panic!("a statement without rows: {e:?}"));
    assert_eq!(rows.iter().map(|b| b.num_rows()).sum::<usize>(), 0);
    let m = sql_of(h, &made);
    let insert = format!("insert into {m} values (1); insert into {m} values (2), (3)");
    let affected = h.execute().run(&insert).await.unwrap_or_else(|e| panic!("two statements: {e:?}"));
    assert!(affected.is_none_or(|n| n == 2), "rows affected by the last statement: {affected:?}");
    assert_eq!(h.get(&made).await.ids(), [1, 2, 3]);
}

pub async fn parameters_are_bound(h: &Harness) {
    needs_sql!(h);
    if !h.connector.def().capabilities.parameters {
        not_claimed!("no parameters");
    }
    let rel = h.relation("param");
    let nasty = "x'; drop table y; -- $1 ? \\ é😀";
    let texts: ArrayRef = Arc::new(StringArray::from(vec![nasty, "other"]));
    let ints: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 0]));
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.1, 0.2]));
    let days: ArrayRef = Arc::new(Date32Array::from(vec![19_782, 0]));
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_709_210_096_123_456, 0]));
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
    let field = |n: &str, t| Field::new(n, t, true);
    let table = Table::of(vec![
        (field("t", DataType::Utf8), texts),
        (field("i", DataType::Int64), ints),
        (field("f", DataType::Float64), floats),
        (field("d", DataType::Date32), days),
        (field("ts", DataType::Timestamp(TimeUnit::Microsecond, None)), times),
        (field("b", DataType::Boolean), flags),
    ]);
    h.put(&rel, &table).await;
    let from = sql_of(h, &rel);
    let cases = [
        ("t", Literal::Utf8(nasty.into())),
        ("i", Literal::Int(i64::MAX)),
        ("f", Literal::Float(0.1)),
        ("d", Literal::Date(19_782)),
        ("ts", Literal::Timestamp { micros: 1_709_210_096_123_456, utc: false }),
        ("b", Literal::Bool(true)),
    ];
    for (column, value) in cases {
        let sql = format!("select id from {from} where {column} = {}", h.execute().placeholder(1));
        let batches = h.query(&sql, std::slice::from_ref(&value)).await.unwrap_or_else(|e| panic!("{value:?}: {e:?}"));
        let ids: Vec<_> = batches.iter().flat_map(|b| crate::conformance::compare::ids(b.column(0))).collect();
        assert_eq!(ids, [Some(0)], "{column} = {value:?}");
    }
    let (one, two) = (h.execute().placeholder(1), h.execute().placeholder(2));
    let sql = format!("select id from {from} where i < {one} and t = {two}");
    let params = [Literal::Int(5), Literal::Utf8("other".into())];
    let batches = h.query(&sql, &params).await.unwrap_or_else(|e| panic!("two parameters: {e:?}"));
    assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 1);
    let sql = format!("select id from {from} where i = {one}");
    let batches = h.query(&sql, &[Literal::Null]).await.unwrap_or_else(|e| panic!("NULL: {e:?}"));
    assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 0, "nothing equals NULL");
    let e = h.query(&sql, &[]).await.expect_err("a parameter is missing");
    assert_ne!(e.kind(), ErrorKind::Internal, "{e:?}");
}

pub async fn create_table_as_works(h: &Harness) {
    needs_sql!(h);
    let (source, target) = (h.relation("from"), h.relation("into"));
    let rows = named_rows(&[(Some(1), "a"), (Some(2), "b"), (Some(3), "c")]);
    h.put(&source, &rows).await;
    let from = sql_of(h, &source);
    let options = |mode| LoadOptions { mode, ..Default::default() };
    let x = h.execute();
    let all = format!("select id, name from {from}");
    for _ in 0..2 {
        let r = x.create_table_as(&target, &all, &options(WriteMode::Replace)).await;
        assert_eq!(r.unwrap_or_else(|e| panic!("{e:?}")).rows, 3);
        assert_eq!(pairs(&h.get(&target).await), pairs(&rows));
    }
    let c = h.connector.def().capabilities;
    if c.append {
        let select = format!("select id + 10 as id, name from {from} where id = 1");
        let r = x.create_table_as(&target, &select, &options(WriteMode::Append)).await;
        assert_eq!(r.unwrap_or_else(|e| panic!("{e:?}")).rows, 1);
        assert_eq!(h.get(&target).await.ids(), [1, 2, 3, 11]);
    }
    if c.merge {
        let merge = || WriteMode::Merge { unique_key: vec!["id".into()] };
        let select = format!("select id + 1 as id, name from {from}");
        let r = x.create_table_as(&target, &select, &options(merge())).await;
        r.unwrap_or_else(|e| panic!("{e:?}"));
        let got = pairs(&h.get(&target).await);
        let got: Vec<_> = got.iter().filter(|p| p.0 < Some(10)).map(|p| (p.0.unwrap_or(-1), p.1.as_str())).collect();
        assert_eq!(got, [(1, "a"), (2, "a"), (3, "b"), (4, "c")]);
        let before = pairs(&h.get(&target).await);
        let twice = format!("select 1 as id, name from {from}");
        let e = x.create_table_as(&target, &twice, &options(merge())).await.expect_err("one key twice");
        assert_ne!(e.kind(), ErrorKind::Internal, "{e:?}");
        assert_eq!(pairs(&h.get(&target).await), before, "the target is as it was");
    }
    let before = pairs(&h.get(&target).await);
    let e = x.create_table_as(&target, "select no_such_column from nowhere", &options(WriteMode::Replace)).await;
    let e = e.expect_err("broken SQL");
    assert!(matches!(e.kind(), ErrorKind::Sql | ErrorKind::NotFound), "{e:?}");
    assert_eq!(pairs(&h.get(&target).await), before, "the old table is as it was");
    assert!(h.leftovers_of(&target).await.is_empty(), "{:?}", h.leftovers_of(&target).await);
}

pub async fn create_view_as_works(h: &Harness) {
    needs_sql!(h);
    let (source, view) = (h.relation("base"), h.relation("view"));
    h.put(&source, &named_rows(&[(Some(1), "a"), (Some(2), "b")])).await;
    let from = sql_of(h, &source);
    let select = |more: &str| format!("select id, name{more} from {from}");
    if !h.connector.def().capabilities.views {
        let e = h.execute().create_view_as(&view, &select("")).await.expect_err("views are not claimed");
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{e:?}");
        return;
    }
    let x = h.execute();
    for more in ["", ", id + 1 as plus", ""] {
        x.create_view_as(&view, &select(more)).await.unwrap_or_else(|e| panic!("{more:?}: {e:?}"));
        assert_eq!(pairs(&h.get(&view).await), [(Some(1), "a".into()), (Some(2), "b".into())]);
    }
    assert_eq!(h.describe(&view).await.kind, RelationKind::View);
    // A table of that name gives way to the view, and a view to a table.
    h.put(&view, &named_rows(&[(Some(9), "table")])).await;
    assert_eq!(pairs(&h.get(&view).await), [(Some(9), "table".into())]);
    assert_eq!(h.describe(&view).await.kind, RelationKind::Table);
    x.create_view_as(&view, &select("")).await.unwrap_or_else(|e| panic!("over a table: {e:?}"));
    assert_eq!(h.describe(&view).await.kind, RelationKind::View);
    assert!(x.create_view_as(&view, "select nothing from nowhere").await.is_err());
    assert_eq!(h.get(&view).await.rows(), 2, "the old view is as it was");
    assert!(h.leftovers_of(&view).await.is_empty(), "{:?}", h.leftovers_of(&view).await);
}

pub async fn drop_relation_may_be_repeated(h: &Harness) {
    needs_sql!(h);
    let rel = h.relation("dropme");
    h.put(&rel, &named_rows(&[(Some(1), "a")])).await;
    for _ in 0..2 {
        h.execute().drop_relation(&rel).await.unwrap_or_else(|e| panic!("{e:?}"));
        let e = h.connector.describe(&rel).await.expect_err("dropped");
        assert_eq!(e.kind(), ErrorKind::NotFound, "{e:?}");
    }
    if h.connector.def().capabilities.views {
        h.execute().create_view_as(&rel, "select 1 as id").await.unwrap_or_else(|e| panic!("{e:?}"));
        h.execute().drop_relation(&rel).await.unwrap_or_else(|e| panic!("a view: {e:?}"));
        assert!(h.connector.describe(&rel).await.is_err());
    }
}

pub async fn broken_sql_is_an_sql_error(h: &Harness) {
    needs_sql!(h);
    // An embedded database is made by the first load.
    h.put(&h.relation("broken"), &plain_table(1)).await;
    let e = h.query("selec 1", &[]).await.expect_err("broken SQL");
    assert_eq!(e.kind(), ErrorKind::Sql, "{e:?}");
    assert_eq!(e.context().sql.as_deref(), Some("selec 1"), "the error has the SQL sent: {e:?}");
    assert!(e.context().connection.is_some(), "the error names the connection: {e:?}");
    let e = h.execute().run("selec 1").await.expect_err("broken SQL");
    assert_eq!(e.kind(), ErrorKind::Sql, "{e:?}");
}
