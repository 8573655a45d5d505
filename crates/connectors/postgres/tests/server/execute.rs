//! Native SQL.

use crate::common::{Db, column, ints, texts};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use xdb_core::{ErrorKind, Literal, LoadOptions, ReadContext, Result, WriteMode};

async fn query(db: &Db, sql: &str, params: &[Literal]) -> Result<RecordBatch> {
    let s = db.c.execute().unwrap().query(sql, params, &ReadContext::default()).await?;
    let schema = s.schema();
    Ok(concat_batches(&schema, &s.collect().await?)?)
}

#[tokio::test]
async fn queries_keep_their_types() {
    let Some(db) = Db::new("query").await else { return };
    db.sql("create table t (id bigint, price numeric(10,2), ip inet, c char(3)); insert into t values (1, 9.99, '10.0.0.1', 'a')").await;
    let t = format!("{}.t", db.schema);
    let b = query(
        &db,
        &format!("select id, price, ip, c, price * 2 as twice, 1 as one, 1 as one from {t} order by id -- all;"),
        &[],
    )
    .await
    .unwrap();
    let types: Vec<DataType> = b.schema().fields().iter().map(|f| f.data_type().clone()).collect();
    assert_eq!(
        types[..5],
        [DataType::Int64, DataType::Decimal128(10, 2), DataType::Utf8, DataType::Utf8, DataType::Decimal128(38, 18)]
    );
    assert_eq!(
        (column(&b, "price"), column(&b, "ip"), column(&b, "c")),
        (vec!["9.99".into()], vec!["10.0.0.1/32".into()], vec!["a".into()])
    );
    assert_eq!(b.schema().field(6).name(), "one");
    // Nothing to read, and no rows at all.
    let b = query(&db, &format!("select ip from {t} where false;"), &[]).await.unwrap();
    assert_eq!((b.num_rows(), b.num_columns()), (0, 1));
    let b = query(&db, &format!("create table {}.u (id int)", db.schema), &[]).await.unwrap();
    assert_eq!((b.num_rows(), b.num_columns()), (0, 0));
    let b = query(&db, &format!("insert into {t} values (2, 1, null, 'b') returning id, price"), &[]).await.unwrap();
    assert_eq!((column(&b, "id"), column(&b, "price")), (vec!["2".into()], vec!["1.00".into()]));
    let e = query(&db, &format!("insert into {t} values (2, 1, null, 'b') returning ip"), &[]).await.unwrap_err();
    assert!(e.hint_text().unwrap().contains("::text"), "{e:?}");
    assert_eq!(texts(query(&db, "show timezone", &[]).await.unwrap().column(0)), ["UTC"]);
    assert!(query(&db, "explain select 1", &[]).await.unwrap().num_rows() > 0);
    // A table changed under a connection that has read it.
    let all = format!("select * from {t}");
    assert_eq!(query(&db, &all, &[]).await.unwrap().num_columns(), 4);
    db.sql("alter table t drop price").await;
    assert_eq!(query(&db, &all, &[]).await.unwrap().num_columns(), 3);
    let e = query(&db, "select * form x", &[]).await.unwrap_err();
    assert_eq!((e.kind(), e.context().sql.as_deref()), (ErrorKind::Sql, Some("select * form x")), "{e:?}");
    let e = query(&db, &format!("select nope from {t}"), &[]).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e:?}");
    db.done().await;
}

#[tokio::test]
async fn parameters_are_bound() {
    let Some(db) = Db::new("params").await else { return };
    db.sql("create type mood as enum ('x'); create table t (id bigint, i int, t text, d date, n numeric(10,2), tz timestamptz, u uuid, b boolean, m mood, ip inet, c char(4));
            insert into t values (1, 7, 'O''Brien', '2020-02-29', 1.50, '2020-01-01 00:00+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', true, 'x', '10.0.0.1', 'ab')").await;
    let text = |t: &str| Literal::Utf8(t.into());
    for (condition, value) in [
        ("i = $1", text("7")),
        ("i = $1", Literal::Int(7)),
        ("id = $1", Literal::UInt(1)),
        ("t = $1", text("O'Brien")),
        ("t <> $1", text("'; drop table t; --")),
        ("d = $1", text("2020-02-29")),
        ("d = $1", Literal::Date(18321)),
        ("n = $1", text("1.5")),
        ("n = $1", Literal::Decimal { value: 150, scale: 2 }),
        ("n > $1", Literal::Float(1.25)),
        ("tz = $1", text("2020-01-01 01:00:00+01:00")),
        ("tz = $1", Literal::Timestamp { micros: 1_577_836_800_000_000, utc: true }),
        ("u = $1", text("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11")),
        ("b = $1", Literal::Bool(true)),
        ("m = $1::text::mood", text("x")),
        ("ip = $1::text::inet", text("10.0.0.1")),
        ("c = $1", text("ab")),
        ("id = any(string_to_array($1, ',')::bigint[])", text("1,2")),
        ("$1::int is null", Literal::Null),
    ] {
        let condition = condition.replace("mood", &format!("{}.mood", db.schema));
        let sql = format!("select id, ip from {}.t where {condition}", db.schema);
        let b = query(&db, &sql, &[value]).await.unwrap_or_else(|e| panic!("{condition}: {e:?}"));
        assert_eq!(b.num_rows(), 1, "{condition}");
        assert_eq!(column(&b, "ip"), ["10.0.0.1/32"]);
    }
    let b = query(
        &db,
        "select $1 as a, $2 + $3 as b, substr($4, $5) as c",
        &[text("x"), Literal::Int(2), Literal::Int(3), text("hello"), Literal::Int(2)],
    )
    .await
    .unwrap();
    assert_eq!(
        (column(&b, "a"), column(&b, "b"), column(&b, "c")),
        (vec!["x".into()], vec!["5".into()], vec!["ello".into()])
    );
    let e = query(&db, "select 1 where 1 = $1", &[text("x")]).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Type && e.message().contains("parameter 1"), "{e:?}");
    let e = query(&db, "select $1::int", &[]).await.unwrap_err();
    assert!(e.message().contains("parameter"), "{e:?}");
    assert_eq!(db.c.execute().unwrap().placeholder(3), "$3");
    db.done().await;
}

#[tokio::test]
async fn scripts_run_as_a_whole() {
    let Some(db) = Db::new("run").await else { return };
    let x = db.c.execute().unwrap();
    let s = &db.schema;
    let n = x.run(&format!("create table {s}.t (id int); insert into {s}.t select generate_series(1, 5); delete from {s}.t where id > 3")).await.unwrap();
    assert_eq!(n, Some(2));
    let e = x.run(&format!("insert into {s}.t values (9); select 1/0")).await.unwrap_err();
    assert_eq!(e.context().code.as_deref(), Some("22012"));
    assert_eq!(db.value("select count(*) from t").await, "3");
    // What a script sets does not stay.
    x.run("set timezone = 'Asia/Tokyo'; begin").await.unwrap();
    assert_eq!(texts(query(&db, "show timezone", &[]).await.unwrap().column(0)), ["UTC"]);
    db.done().await;
}

#[tokio::test]
async fn tables_and_views_take_each_others_place() {
    let Some(db) = Db::new("ctas").await else { return };
    let x = db.c.execute().unwrap();
    let (t, replace) = (db.rel("t"), LoadOptions::default());
    let n = |n: i64| format!("select g::bigint as id, 'x' as t from generate_series(1, {n}) g;");
    let r = x.create_table_as(&t, &n(3), &replace).await.unwrap();
    assert_eq!((r.rows, replace.stats.rows()), (3, 3));
    db.sql("create view over as select count(*) as n from t; grant select on t to xdb_reader").await;
    x.create_view_as(&t, &n(4)).await.unwrap();
    assert_eq!(db.value("select relkind || (select n from over) from pg_class where oid = 't'::regclass").await, "v4");
    x.create_view_as(&t, "select 1::bigint as id, 'y' as t, 2 as more -- why").await.unwrap();
    assert_eq!(db.value("select n from over").await, "1");
    let r = x.create_table_as(&t, &n(5), &replace).await.unwrap();
    assert!(r.notes.iter().any(|n| n.contains("over")), "{r:?}");
    assert_eq!(db.value("select relkind || (select n from over) from pg_class where oid = 't'::regclass").await, "r5");
    assert_eq!(db.value("select has_table_privilege('xdb_reader', 't', 'select')").await, "true");
    let mode = |mode| LoadOptions { mode, ..LoadOptions::default() };
    x.create_table_as(&t, "select 6::bigint as id, 'six' as t", &mode(WriteMode::Append)).await.unwrap();
    x.create_table_as(
        &t,
        "select 6::bigint as id, 'new' as t",
        &mode(WriteMode::Merge { unique_key: vec!["id".into()] }),
    )
    .await
    .unwrap();
    assert_eq!(ints(&db.read("t").await, "id"), [1, 2, 3, 4, 5, 6]);
    let e = x.create_table_as(&t, "select 1/0 as id", &replace).await.unwrap_err();
    assert!(e.context().relation.is_some() && e.context().sql.is_some(), "{e:?}");
    assert_eq!(db.value("select n from over").await, "6");
    // A view of itself cannot replace the table.
    assert!(x.create_view_as(&t, &format!("select * from {}.t", db.schema)).await.is_err());
    assert_eq!(db.value("select n from over").await, "6");
    db.sql("drop view over").await;
    x.drop_relation(&t).await.unwrap();
    x.drop_relation(&t).await.unwrap();
    assert_eq!(db.value("select to_regclass('t')").await, "NULL");
    db.no_staging().await;
    db.done().await;
}
