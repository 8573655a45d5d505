//! The engine over a fake source: laziness, streaming, errors, cancelling, names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use common::*;
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use xdb_core::*;

fn numbers(from: i64, to: i64) -> RecordBatch {
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    let name: ArrayRef = Arc::new(StringArray::from_iter_values((from..to).map(|i| format!("name number {i}"))));
    let third: ArrayRef = Arc::new(Int64Array::from_iter((from..to).map(|i| (i % 3 != 0).then_some(i * 2))));
    batch(vec![("id", id), ("name", name), ("keep_local", third)])
}

fn cell(b: &RecordBatch, column: usize) -> i64 {
    b.column(column).as_primitive::<Int64Type>().value(0)
}

#[tokio::test]
async fn only_the_columns_the_query_needs_are_asked_for() {
    let f = fake(vec![numbers(0, 5000)]);
    let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
    let b = c.one(r#"select count(*), max(t.id) from "pg"."public"."t" t where keep_local is not null"#).await;
    assert_eq!((cell(&b, 0), cell(&b, 1)), (3333, 4999));
    assert_eq!(types(&b)[0], DataType::Int64);
    let seen = f.seen.requests.lock().unwrap();
    assert_eq!(seen.len(), 1);
    let mut p = seen[0].projection.clone().unwrap();
    p.sort();
    assert_eq!(p, [0, 2]);
}

#[tokio::test]
async fn counting_needs_no_column() {
    let f = fake(vec![numbers(0, 5000), numbers(0, 1)]);
    let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
    assert_eq!(cell(&c.one("select count(*) from pg.public.t").await, 0), 5001);
    assert_eq!(f.seen.requests.lock().unwrap()[0].projection, Some(vec![]));
}

#[tokio::test]
async fn filters_reach_the_source_and_are_checked_again() {
    let f = fake(vec![numbers(0, 100)]);
    let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
    // The fake sends every row whatever it is asked.
    let b = c.one("select count(*) from pg.public.t where id >= 90 and name like 'name%' and keep_local = 182").await;
    assert_eq!(cell(&b, 0), 1);
    let seen = f.seen.requests.lock().unwrap();
    let wanted = Predicate::Compare { column: "id".into(), op: CompareOp::GtEq, value: Literal::Int(90) };
    assert!(seen[0].predicates.contains(&wanted), "{:?}", seen[0].predicates);
    assert!(!seen[0].predicates.iter().any(|p| p.columns().contains(&"keep_local")));
    assert_eq!(seen[0].predicates.len(), 2);
}

#[tokio::test]
async fn without_pushdown_no_filter_is_sent() {
    let f = fake(vec![numbers(0, 100)]);
    let t = TableInput { pushdown: PushdownMode::Off, ..input("pg", "public", "t", &f) };
    let mut c = duck(vec![t]).await;
    assert_eq!(cell(&c.one("select count(*) from pg.public.t where id >= 90").await, 0), 10);
    assert_eq!(f.seen.requests.lock().unwrap()[0].predicates, []);
}

#[tokio::test]
async fn a_self_join_scans_twice_with_the_rows_of_either_place() {
    let f = fake(vec![numbers(0, 3000), numbers(3000, 6000)]);
    let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
    let sql = "select count(*) from pg.public.t a join pg.public.t b on a.id = b.id + 1 where a.id < 10 and b.id > 4";
    assert_eq!(cell(&c.one(sql).await, 0), 4);
    let seen = f.seen.requests.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|r| r.predicates.len() == 1 && matches!(r.predicates[0], Predicate::Or(_))), "{seen:?}");
}

#[tokio::test]
async fn two_connections_join() {
    let (f, g) = (fake(vec![numbers(0, 3000)]), fake(vec![numbers(2990, 3010)]));
    let mut c = duck(vec![input("pg", "public", "t", &f), input("my", "shop", "t", &g)]).await;
    let sql = r#"select count(*), sum(a.id) s from "pg"."public"."t" a join "my"."shop"."t" b using (id)"#;
    let b = c.one(sql).await;
    assert_eq!(cell(&b, 0), 10);
    // sum of bigint is hugeint
    assert_eq!(types(&b)[1], DataType::Decimal128(38, 0));
    assert_eq!(b.column(1).as_primitive::<arrow::datatypes::Decimal128Type>().value(0), 29945);
    assert_eq!(f.seen.requests.lock().unwrap()[0].projection, Some(vec![0]));
}

#[tokio::test]
async fn several_splits_are_read_at_once_and_every_row_once() {
    let all: Vec<RecordBatch> = (0..40).map(|i| numbers(i * 1000, (i + 1) * 1000)).collect();
    let f = Fake { splits: 3, pause: Duration::from_millis(1), ..fake(all) };
    let t = input("pg", "public", "t", &f);
    let (stats, spare) = (t.stats.clone(), t.spare.clone());
    let mut c = duck(vec![t]).await;
    let b = c.one("select count(*), count(distinct id), sum(id)::bigint from pg.public.t").await;
    assert_eq!((cell(&b, 0), cell(&b, 1), cell(&b, 2)), (40_000, 40_000, 799_980_000));
    assert_eq!(f.seen.most_open.load(Ordering::SeqCst), 3);
    assert_eq!(f.seen.requests.lock().unwrap()[0].parallelism, 4);
    assert_eq!(stats.rows(), 40_000);
    assert_eq!(spare.available_permits(), 8);
}

#[tokio::test]
async fn spare_connections_are_only_tried_for() {
    let f = Fake { splits: 4, ..fake(vec![numbers(0, 10)]) };
    let t = TableInput { spare: Arc::new(tokio::sync::Semaphore::new(1)), ..input("pg", "public", "t", &f) };
    let mut c = duck(vec![t]).await;
    assert_eq!(cell(&c.one("select count(*) from pg.public.t").await, 0), 10);
    assert_eq!(f.seen.requests.lock().unwrap()[0].parallelism, 2);
}

#[tokio::test]
async fn empty_tables_are_fine() {
    let f = fake(vec![numbers(0, 0)]);
    let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
    let b = c.one("select id, name, keep_local k from pg.public.t").await;
    assert_eq!((b.num_rows(), b.num_columns()), (0, 3));
    assert_eq!(types(&b), [DataType::Int64, DataType::Utf8, DataType::Int64]);
    assert_eq!(cell(&c.one("select count(*) from pg.public.t").await, 0), 0);
}

#[tokio::test]
async fn a_limit_stops_an_endless_source() {
    let f = Fake { ending: Ending::Never, ..fake(vec![numbers(0, 1000)]) };
    let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
    let b = c.one("select id from pg.public.t limit 10").await;
    assert_eq!(b.num_rows(), 10);
    soon("the source is closed", || f.seen.open.load(Ordering::SeqCst) == 0).await;
    assert!(f.seen.batches.load(Ordering::SeqCst) < 500, "{:?}", f.seen.batches);
}

#[tokio::test]
async fn rows_stream_with_back_pressure() {
    let f = Fake { ending: Ending::Never, ..fake(vec![numbers(0, 8192)]) };
    let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
    let mut s = c.session.execute("select * from pg.public.t where id % 2 = 0").await.unwrap();
    for _ in 0..5 {
        let b = s.next().await.unwrap().unwrap();
        assert!((2048..=3 * 8192).contains(&b.num_rows()), "{}", b.num_rows());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = f.seen.batches.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(f.seen.batches.load(Ordering::SeqCst), before, "reads on although nobody takes rows");
    assert!(before < 200, "{before} batches read ahead");
    drop(s);
    soon("the source is closed", || f.seen.open.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn the_sources_own_error_comes_out_whole() {
    let f = Fake { ending: Ending::Fail, ..fake(vec![numbers(0, 100)]) };
    let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
    for sql in ["select * from pg.public.t", "select sum(id) from pg.public.t", "select * from pg.public.t order by id"]
    {
        let e = c.error(sql).await;
        assert_eq!((e.kind(), e.message()), (ErrorKind::Connect, "the line went dead"), "{sql}: {}", e.report());
        let x = e.context();
        assert_eq!(x.connection.as_deref(), Some("pg"));
        assert_eq!(x.relation.as_deref(), Some("public.t"));
        assert_eq!(x.code.as_deref(), Some("57P01"));
        assert!(x.sql.as_deref().unwrap().starts_with("read "));
        assert_eq!(e.hint_text(), Some("dial again"));
    }
    // The session is not spoilt by it.
    assert_eq!(cell(&c.one("select 7::bigint").await, 0), 7);
}

#[tokio::test]
async fn dropping_the_stream_stops_duckdb_and_the_source() {
    // Endless, waiting for a source that says nothing, and busy without any source.
    for (ending, sql) in [
        (Ending::Never, "select count(*) from pg.public.t"),
        (Ending::Hang, "select count(*) from pg.public.t"),
        (Ending::Hang, "select * from pg.public.t order by id"),
        (Ending::End, "select count(*) from range(100000000000) a, pg.public.t"),
    ] {
        let f = Fake { ending, ..fake(vec![numbers(0, 1000)]) };
        let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
        let mut s = c.session.execute(sql).await.unwrap();
        let none = tokio::time::timeout(Duration::from_millis(100), s.next()).await;
        assert!(none.is_err(), "{sql} had an answer");
        let start = Instant::now();
        drop(s);
        // A new statement waits for the end of the old one.
        assert_eq!(cell(&c.one("select 1::bigint").await, 0), 1);
        assert!(start.elapsed() < Duration::from_secs(1), "{sql}: {:?}", start.elapsed());
        soon("the source is closed", || f.seen.open.load(Ordering::SeqCst) == 0).await;
    }
}

#[tokio::test]
async fn the_stream_outlives_its_session() {
    let f = fake(vec![numbers(0, 100_000)]);
    let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
    let s = c.session.execute("select id from pg.public.t").await.unwrap();
    drop(c);
    let n: usize = s.collect().await.unwrap().iter().map(|b| b.num_rows()).sum();
    assert_eq!(n, 100_000);
}

#[tokio::test]
async fn sql_errors_are_duckdbs_first_line_with_its_suggestion() {
    let f = fake(vec![numbers(0, 10)]);
    let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
    let e = c.error("select nme from pg.public.t").await;
    assert_eq!(e.kind(), ErrorKind::Sql);
    assert_eq!(e.message(), "duckdb: Referenced column \"nme\" not found in FROM clause!");
    assert!(e.hint_text().unwrap().contains("name"), "{}", e.report());
    let e = c.error("select frobnicate(id) from pg.public.t").await;
    assert!(e.message().starts_with("duckdb: Scalar Function with name frobnicate does not exist"), "{}", e.report());
    let e = c.error("select from where").await;
    assert!(e.message().starts_with("duckdb: syntax error"), "{}", e.report());
    let e = c.error("select cast(name as integer) from pg.public.t").await;
    assert_eq!(e.kind(), ErrorKind::Sql);
    assert!(e.message().contains("name number 0"), "{}", e.report());
}

#[tokio::test]
async fn anything_but_one_select_is_refused() {
    let mut c = duck(vec![]).await;
    for sql in [
        "create table t (i int)",
        "select 1; select 2",
        "",
        "-- nothing",
        "copy (select 1) to 'x.csv'",
        "set threads = 1",
    ] {
        let e = c.error(sql).await;
        assert_eq!((e.kind(), e.message()), (ErrorKind::Sql, "a model must be one SELECT statement"), "{sql}");
    }
    assert!(c.error("select ?").await.message().contains("parameters"));
    assert_eq!(cell(&c.one("with x as (select 5::bigint a) from x;").await, 0), 5);
}

#[tokio::test]
async fn files_and_the_network_are_out_of_reach() {
    let mut c = duck(vec![]).await;
    assert_eq!(c.error("select * from read_csv('/etc/passwd')").await.kind(), ErrorKind::Permission);
    assert_eq!(c.error("select * from '/etc/passwd'").await.kind(), ErrorKind::Sql);
}

#[tokio::test]
async fn a_big_sort_and_aggregate_spill_or_say_that_memory_ran_out() {
    let all: Vec<RecordBatch> = (0..60).map(|i| numbers(i * 16_384, (i + 1) * 16_384)).collect();
    let rows = 60 * 16_384;
    let f = fake(all);
    let mut c = open(&xdb_engine_duckdb::DEF, Some(64 << 20), vec![input("pg", "public", "t", &f)]).await;
    let sql = "select id, name || ' and some more text to make it large, ' || name as long from pg.public.t order by hash(id)";
    let mut s = c.session.execute(sql).await.unwrap();
    let mut n = 0;
    while let Some(b) = s.next().await {
        n += b.unwrap_or_else(|e| panic!("{}", e.report())).num_rows();
    }
    assert_eq!(n as i64, rows);
    let b = c.one("select count(*) from (select name, count(*) from pg.public.t group by name)").await;
    assert_eq!(cell(&b, 0), rows);
    let mut small = open(&xdb_engine_duckdb::DEF, Some(4 << 20), vec![input("pg", "public", "t", &f)]).await;
    let e = small.error("select list(name order by name) from pg.public.t").await;
    assert_eq!(e.kind(), ErrorKind::Resource, "{}", e.report());
    assert_eq!(e.message(), "duckdb ran out of its memory limit");
    assert!(e.hint_text().unwrap().contains("memory_limit"));
}

#[tokio::test]
async fn every_name_works() {
    let f = fake(vec![numbers(0, 10)]);
    for connection in
        ["main", "temp", "system", "memory", "select", "Upper", "we\"ird", "Ünï", "a.b", "with space", "it's", "xdb"]
    {
        for (schema, name) in [
            ("main", "t"),
            ("public", "Orders"),
            ("information_schema", "x"),
            ("pg_catalog", "x"),
            ("a.b", "q\"uote"),
            ("temp", "select"),
        ] {
            let t = input(connection, schema, name, &f);
            let sql = xdb_core::engine::federated_sql(connection, &t.table.relation);
            let q = |s: &str| s.replace('"', "\"\"");
            let mut c = duck(vec![t, input("other", "public", "t", &f)]).await;
            let sql = format!(
                "select count(*), max(x.id) from {sql} x join {sql} y using (id) join other.public.t z using (id)
                 where x.id > 3 and x.name <> 'it''s'"
            );
            let b = c.one(&sql).await;
            assert_eq!((cell(&b, 0), cell(&b, 1)), (6, 9), "{sql}");
            // Referred to by its own name.
            let b = c
                .one(&format!("select max(\"{0}\".id) from \"{1}\".\"{2}\".\"{0}\"", q(name), q(connection), q(schema)))
                .await;
            assert_eq!(cell(&b, 0), 9);
        }
    }
}

#[tokio::test]
async fn tables_that_differ_only_in_case_are_not_confused() {
    let (f, g) = (fake(vec![numbers(0, 10)]), fake(vec![numbers(0, 20)]));
    let mut c = duck(vec![input("pg", "public", "Orders", &f), input("pg", "public", "orders", &g)]).await;
    assert_eq!(cell(&c.one(r#"select count(*) from "pg"."public"."Orders""#).await, 0), 10);
    assert_eq!(cell(&c.one(r#"select count(*) from "pg"."public"."orders""#).await, 0), 20);
    assert_eq!(
        cell(&c.one(r#"select count(*) from pg.public.orders o join pg.public."Orders" using (id)"#).await, 0),
        10
    );
    assert!(c.error("select count(*) from pg.public.ORDERS").await.message().contains("several tables"));
}

#[tokio::test]
async fn columns_that_differ_only_in_case_are_not_confused() {
    let a: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let b: ArrayRef = Arc::new(Int64Array::from(vec![2]));
    let f = fake(vec![batch(vec![("id", a), ("ID", b)])]);
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions {
        memory_limit: None,
        threads: 1,
        temp_dir: dir.path().into(),
        types: TypePolicy::Exact,
        home: None,
        extra: Default::default(),
    };
    let mut s = (xdb_engine_duckdb::DEF.new)().session(&options).await.unwrap();
    let e = s.attach(EngineInput::Table(input("pg", "public", "t", &f))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.message().contains("`id`") && e.message().contains("`ID`"), "{}", e.report());
    assert!(e.hint_text().unwrap().contains("datafusion"));
}

#[tokio::test]
async fn explain_names_the_sources_columns_and_filters() {
    let f = fake(vec![numbers(0, 10)]);
    let mut c = duck(vec![input("pg", "public", "t", &f), input("main", "x", "t", &f)]).await;
    let sql = "select a.name, count(*) from pg.public.t a join main.x.t b on a.id = b.id where a.keep_local > 4 and a.id < 9 group by 1";
    let e = c.session.explain(sql).await.unwrap();
    assert!(e.plan.contains("JOIN"), "{}", e.plan);
    assert_eq!(e.sources.len(), 2);
    let pg = e.sources.iter().find(|s| s.connection == "pg").unwrap();
    assert_eq!(pg.relation, "public.t");
    for column in ["id", "name", "keep_local"] {
        assert!(pg.sql[0].contains(column), "{:?}", pg.sql);
    }
    assert_eq!(pg.not_pushed.len(), 1);
    assert!(pg.not_pushed[0].0.contains("keep_local"));
    let other = e.sources.iter().find(|s| s.connection == "main").unwrap();
    assert_eq!(other.sql, ["read id part 0 of 1"]);
    let e = c.session.explain("select count(*) from pg.public.t").await.unwrap();
    assert_eq!(e.sources[0].sql, ["read  part 0 of 1"]);
    assert_eq!(f.seen.open.load(Ordering::SeqCst), 0);
    assert_eq!(c.session.explain("drop table x").await.unwrap_err().kind(), ErrorKind::Sql);
}

#[tokio::test]
async fn uuid_and_json_marks_survive_a_plain_column() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["00112233-4455-6677-8899-aabbccddeeff"]));
    let b = batch(vec![("u", text.clone()), ("j", text.clone()), ("t", text)]);
    let s = b.schema();
    let fields = vec![
        LogicalType::Uuid.mark(s.field(0).clone()),
        LogicalType::Json.mark(s.field(1).clone()),
        s.field(2).clone(),
    ];
    let b = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), b.columns().to_vec()).unwrap();
    let f = fake(vec![b]);
    let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
    let out = c.one("select u, t, u || '' as v, j from pg.public.t").await;
    let marks: Vec<_> = out.schema().fields().iter().map(|f| LogicalType::of(f)).collect();
    assert_eq!(marks, [Some(LogicalType::Uuid), None, None, Some(LogicalType::Json)]);
}
