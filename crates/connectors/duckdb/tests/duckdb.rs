//! The connector from outside, on temporary files.
#![allow(clippy::unwrap_used, clippy::panic)] // Tests; clippy sees only the bodies of `#[test]` functions as such.

use arrow::array::*;
use arrow::datatypes::*;
use duckdb::Connection;
use futures::StreamExt;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use xdb_connector_duckdb::DEF;
use xdb_core::types::LogicalType;
use xdb_core::*;

fn open_with(value: serde_json::Value) -> Arc<dyn Connector> {
    let params = Params::resolve("db", DEF.params, value.as_object().unwrap(), Path::new("/")).unwrap();
    (DEF.validate)(&params).unwrap().open().unwrap()
}
/// Plain DuckDB, without xdb.
fn connect(path: &Path) -> duckdb::Result<Connection> {
    xdb_libduckdb::load().unwrap();
    Connection::open(path)
}
struct Db {
    dir: tempfile::TempDir,
    connector: Arc<dyn Connector>,
}
impl Db {
    /// A file made by plain DuckDB with `setup`.
    fn new(setup: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.duckdb");
        connect(&path).unwrap().execute_batch(setup).unwrap();
        let connector = open_with(serde_json::json!({"path": path}));
        Self { dir, connector }
    }
    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("t.duckdb")
    }
    async fn text(&self, sql: &str) -> String {
        native(&*self.connector, sql).await
    }
}

async fn scan(c: &dyn Connector, name: &str, edit: impl FnOnce(&mut ScanRequest)) -> Result<RecordBatch> {
    let table = Arc::new(c.describe(&Relation::bare(name)).await?);
    let mut request = ScanRequest::all(table);
    edit(&mut request);
    let e = c.extract().unwrap();
    let plan = e.plan(&request).await?;
    assert_eq!(plan.schema, request.schema());
    let mut all = vec![];
    for split in &plan.splits {
        // As another machine would get it.
        let split: Split = serde_json::from_str(&serde_json::to_string(split).unwrap()).unwrap();
        let s = e.read(&split, &ReadContext::default()).await?;
        assert_eq!(s.schema(), plan.schema);
        all.extend(s.collect().await?);
    }
    Ok(arrow::compute::concat_batches(&plan.schema, &all)?)
}
async fn load(c: &dyn Connector, name: &str, batch: &RecordBatch, mode: WriteMode) -> Result<LoadReport> {
    let options = LoadOptions { mode, ..Default::default() };
    let mut s = c.load().unwrap().begin(&Relation::bare(name), batch.schema(), &options).await?;
    for start in (0..batch.num_rows()).step_by(700) {
        s.write(batch.slice(start, 700.min(batch.num_rows() - start))).await?;
    }
    s.commit().await
}
fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap()
}
fn text(b: &RecordBatch) -> String {
    let options = arrow::util::display::FormatOptions::default().with_null("NULL");
    let f: Vec<_> =
        b.columns().iter().map(|c| arrow::util::display::ArrayFormatter::try_new(c, &options).unwrap()).collect();
    (0..b.num_rows())
        .map(|r| f.iter().map(|c| c.value(r).to_string()).collect::<Vec<_>>().join("|"))
        .collect::<Vec<_>>()
        .join("\n")
}
/// Same types but for metadata, same values.
fn assert_same(got: &RecordBatch, want: &RecordBatch) {
    assert_eq!(got.num_rows(), want.num_rows());
    for (i, f) in want.schema().fields().iter().enumerate() {
        assert_eq!(got.schema().field(i).name(), f.name());
        assert_eq!(got.schema().field(i).data_type(), f.data_type(), "column {}", f.name());
        assert_eq!(LogicalType::of(got.schema().field(i)), LogicalType::of(f), "column {}", f.name());
        assert_eq!(got.column(i).to_data(), want.column(i).to_data(), "column {}", f.name());
    }
}

async fn native(c: &dyn Connector, sql: &str) -> String {
    let s = c.execute().unwrap().query(sql, &[], &ReadContext::default()).await.unwrap();
    s.collect().await.unwrap().iter().map(text).collect::<Vec<_>>().join("\n")
}
fn ints(name: &str, v: impl IntoIterator<Item = i64>) -> RecordBatch {
    batch(vec![(name, Arc::new(Int64Array::from_iter_values(v)))])
}

// -- round trips ------------------------------------------------------------------------------------------------------

fn value_strategy() -> impl Strategy<Value = RecordBatch> {
    let finite = |v: &i64| *v != i64::MAX && *v != -i64::MAX;
    let row = (
        proptest::option::of(any::<i64>()),
        proptest::option::of(prop_oneof![Just(u64::MAX), any::<u64>()]),
        proptest::option::of(any::<f64>()),
        proptest::option::of(any::<i128>().prop_map(|v| v % 10i128.pow(38))),
        proptest::option::of(".{0,20}"),
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        proptest::option::of(any::<i32>().prop_filter("infinite", |v| *v != i32::MAX && *v != -i32::MAX)),
        proptest::option::of(any::<i64>().prop_filter("infinite", finite)),
        proptest::option::of(0i64..86_400_000_000),
        proptest::option::of((any::<i32>(), any::<i32>(), -9_000_000_000_000_000i64..9_000_000_000_000_000)),
        proptest::option::of(any::<bool>()),
        proptest::option::of(proptest::collection::vec(proptest::option::of(any::<i32>()), 0..5)),
    );
    proptest::collection::vec(row, 1..40).prop_map(|rows| {
        macro_rules! col {
            ($array:ty, $i:tt) => {
                Arc::new(rows.iter().map(|r| r.$i.clone()).collect::<$array>())
            };
        }
        let micros: Vec<Option<i64>> = rows.iter().map(|r| r.7).collect();
        batch(vec![
            ("i8", Arc::new(rows.iter().map(|r| r.0.map(|v| v as i8)).collect::<Int8Array>())),
            ("i", col!(Int64Array, 0)),
            ("u", col!(UInt64Array, 1)),
            ("f", Arc::new(rows.iter().map(|r| r.2).collect::<Float64Array>())),
            ("f32", Arc::new(rows.iter().map(|r| r.2.map(|v| v as f32)).collect::<Float32Array>())),
            (
                "d38",
                Arc::new(
                    rows.iter().map(|r| r.3).collect::<Decimal128Array>().with_precision_and_scale(38, 17).unwrap(),
                ),
            ),
            (
                "d9",
                Arc::new(
                    rows.iter()
                        .map(|r| r.3.map(|v| v % 1_000_000_000))
                        .collect::<Decimal128Array>()
                        .with_precision_and_scale(9, 9)
                        .unwrap(),
                ),
            ),
            ("t", col!(StringArray, 4)),
            ("b", Arc::new(rows.iter().map(|r| r.5.as_deref()).collect::<BinaryArray>())),
            ("date", col!(Date32Array, 6)),
            ("ts", Arc::new(TimestampMicrosecondArray::from(micros.clone()))),
            ("tsz", Arc::new(TimestampMicrosecondArray::from(micros.clone()).with_timezone("UTC"))),
            ("ts_s", Arc::new(TimestampSecondArray::from(micros.clone()))),
            ("ts_ms", Arc::new(TimestampMillisecondArray::from(micros.clone()))),
            ("ts_ns", Arc::new(TimestampNanosecondArray::from(micros))),
            ("time", col!(Time64MicrosecondArray, 8)),
            (
                "iv",
                Arc::new(
                    rows.iter()
                        .map(|r| r.9.map(|(m, d, n)| IntervalMonthDayNano::new(m, d, n * 1000)))
                        .collect::<IntervalMonthDayNanoArray>(),
                ),
            ),
            ("bool", col!(BooleanArray, 10)),
            ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows.iter().map(|r| r.11.clone())))),
        ])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..Default::default() })]
    #[test]
    fn every_type_round_trips(b in value_strategy()) {
        let rt = tokio::runtime::Runtime::new().unwrap();
        rt.block_on(async {
            let c = open_with(serde_json::json!({"path": ":memory:", "threads": 1}));
            load(&*c, "t", &b, WriteMode::Replace).await.unwrap();
            assert_bits(&scan(&*c, "t", |_| {}).await.unwrap(), &b);
            load(&*c, "t", &b, WriteMode::Append).await.unwrap();
            let twice = arrow::compute::concat_batches(&b.schema(), [&b, &b]).unwrap();
            assert_bits(&scan(&*c, "t", |_| {}).await.unwrap(), &twice);
        });
    }
}
/// `assert_same`, NaNs equal where their bits are.
fn assert_bits(got: &RecordBatch, want: &RecordBatch) {
    for name in ["f", "f32"] {
        let bits = |b: &RecordBatch| match b.column_by_name(name).unwrap().data_type() {
            DataType::Float64 => b
                .column_by_name(name)
                .unwrap()
                .as_primitive::<Float64Type>()
                .iter()
                .map(|v| v.map(f64::to_bits))
                .collect::<Vec<_>>(),
            _ => b
                .column_by_name(name)
                .unwrap()
                .as_primitive::<Float32Type>()
                .iter()
                .map(|v| v.map(|f| f.to_bits().into()))
                .collect(),
        };
        assert_eq!(bits(got), bits(want), "{name}");
    }
    let without = |b: &RecordBatch| {
        let keep: Vec<usize> = (0..b.num_columns()).filter(|i| !b.schema().field(*i).name().starts_with('f')).collect();
        b.project(&keep).unwrap()
    };
    assert_same(&without(got), &without(want));
}

#[tokio::test]
async fn every_type_of_duckdb_is_read() {
    let db = Db::new("");
    for (sql, arrow, want) in [
        ("170141183460469231731687303715884105::hugeint", "Decimal128(38, 0)", "170141183460469231731687303715884105"),
        (
            "340282366920938463463374607431768211455::uhugeint",
            "Decimal256(39, 0)",
            "340282366920938463463374607431768211455",
        ),
        ("18446744073709551615::ubigint", "UInt64", "18446744073709551615"),
        ("1.50::decimal(4,2)", "Decimal128(4, 2)", "1.50"),
        ("'12:30:00+02'::timetz", "Utf8", "12:30:00+02"),
        ("'12:30:00.123456789'::time_ns", "Time64(ns)", "12:30:00.123456789"),
        ("'2020-01-01 01:00:00+01'::timestamptz", "Timestamp(µs, \"UTC\")", "2020-01-01T00:00:00Z"),
        ("'2020-01-01'::timestamp_ns", "Timestamp(ns)", "2020-01-01T00:00:00"),
        ("'2020-01-01'::timestamp_s", "Timestamp(s)", "2020-01-01T00:00:00"),
        ("interval '1 month 2 days 3 us'", "Interval(MonthDayNano)", "1 mons 2 days 0.000003000 secs"),
        ("'AAAAAAAA-0000-4000-8000-000000000001'::uuid", "Utf8", "aaaaaaaa-0000-4000-8000-000000000001"),
        ("'{\"a\" : 1.10}'::json", "Utf8", "{\"a\" : 1.10}"),
        ("'b'::enum('a','b')", "Utf8", "b"),
        ("'\\xAA\\x00'::blob", "Binary", "aa00"),
        ("'101'::bit", "Utf8", "101"),
        (
            "'12345678901234567890123456789012345678901234567890'::bignum",
            "Utf8",
            "12345678901234567890123456789012345678901234567890",
        ),
        ("union_value(a := 1)", "Utf8", "1"),
        ("1::variant", "Utf8", "1"),
        ("['x'::enum('x')]", "List(Utf8)", "[x]"),
        ("{'a': '101'::bit, 'b c': [1::uhugeint]}", "Struct(\"a\": Utf8, \"b c\": List(Utf8))", "{a: 101, b c: [1]}"),
        (
            "map{'k': 1}",
            "Map(\"entries\": non-null Struct(\"key\": non-null Utf8, \"value\": Int32), unsorted)",
            "{k: 1}",
        ),
        ("[1,2]::int[2]", "FixedSizeList(2 x Int32)", "[1, 2]"),
        ("'x' || chr(0) || 'y'", "Utf8", "x\0y"),
        ("null", "Int32", "NULL"),
    ] {
        let b =
            db.connector.execute().unwrap().query(&format!("select {sql} as c"), &[], &ReadContext::default()).await;
        let b = b.unwrap_or_else(|e| panic!("{sql}: {e:?}")).collect().await.unwrap();
        assert_eq!(b[0].schema().field(0).data_type().to_string(), arrow, "{sql}");
        assert_eq!(text(&b[0]), want, "{sql}");
        // The same through a table (a file of the default storage version has no VARIANT).
        if sql.ends_with("variant") {
            continue;
        }
        native(&*db.connector, &format!("create or replace table t as select {sql} as c")).await;
        let t = scan(&*db.connector, "t", |_| {}).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        assert_eq!(
            (t.schema().field(0).data_type().to_string(), text(&t)),
            (arrow.to_string(), want.to_string()),
            "{sql}"
        );
    }
}

#[tokio::test]
async fn infinite_dates_are_refused_or_null() {
    let db = Db::new(
        "create table t (id int, d date, ts timestamp, h hugeint); \
         insert into t values (1, '2024-01-01', '2024-01-01', 1), (2, 'infinity', '-infinity', 170141183460469231731687303715884105727)",
    );
    let c = &*db.connector;
    for (i, shown) in [(1, "infinity"), (2, "-infinity"), (3, "170141183460469231731687303715884105727")] {
        let e = scan(c, "t", |r| r.projection = Some(vec![i])).await.unwrap_err();
        assert!(e.kind() == ErrorKind::Type && e.message().contains(shown), "{e:?}");
    }
    let lossy = scan(c, "t", |r| r.types = TypePolicy::Lossy).await.unwrap();
    assert_eq!(text(&lossy), "1|2024-01-01|2024-01-01T00:00:00|1\n2|NULL|NULL|NULL");
    let after = Predicate::Compare { column: "d".into(), op: CompareOp::Gt, value: Literal::Date(0) };
    let got = scan(c, "t", |r| (r.types, r.predicates, r.projection) = (TypePolicy::Lossy, vec![after], Some(vec![0])));
    assert_eq!(text(&got.await.unwrap()), "1");
    let far = batch(vec![("d", Arc::new(Date32Array::from(vec![i32::MAX])))]);
    let e = load(c, "far", &far, WriteMode::Replace).await.unwrap_err();
    assert!(e.message().contains("`d`") && e.message().contains("infinity"), "{e:?}");
}

// -- reading ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn describe_and_list() {
    let db = Db::new(
        "create schema s2; create table s2.p (b int, a varchar, primary key (a, b)); \
         create table t (i int not null, n varchar); insert into t values (1, 'x'); comment on column t.i is 'the id'; \
         create view v as select count(*) as n, n as k from t group by n; create table c (x varchar collate nocase)",
    );
    let c = &*db.connector;
    let t = c.describe(&Relation::bare("T")).await.unwrap();
    assert_eq!(t.relation, Relation::new(None, Some("main"), "t"));
    assert_eq!(
        (t.row_estimate, t.columns[0].comment.as_deref(), t.columns[0].nullable),
        (Some(1), Some("the id"), false)
    );
    let p = c.describe(&Relation::new(None, Some("s2"), "p")).await.unwrap();
    assert_eq!(p.primary_key, ["a", "b"]);
    assert_eq!(c.describe(&Relation::bare("v")).await.unwrap().kind, RelationKind::View);
    assert!(!c.describe(&Relation::bare("c")).await.unwrap().columns[0].binary_equality);
    let all = c.list(&RelationPattern::default()).await.unwrap();
    let names: Vec<_> = all.iter().map(|r| r.relation.to_string()).collect();
    assert_eq!(names, ["main.c", "main.t", "main.v", "s2.p"]);
    let e = c.describe(&Relation::bare("tt")).await.unwrap_err();
    assert!(e.kind() == ErrorKind::NotFound && e.hint_text() == Some("did you mean `t`?"), "{e:?}");
    assert_eq!(c.check().await.unwrap().version, "1.5.6");
}

#[tokio::test]
async fn filters_are_exact_or_not_sent() {
    let db = Db::new(
        "create table t (i int, s varchar, d date, ts timestamp, tz timestamptz, p decimal(38,10), b blob, f double, \
           u uuid, tm time, n varchar); \
         insert into t values (1, 'a%c', '2024-01-31', '2024-01-31 23:59:59.999999', '2024-01-31 23:00:00-05', 1.5, '\\x00', 0.5, uuid(), '12:00', 'x'), \
           (2, 'A', '2024-02-01', '2024-02-01', '2024-02-01 00:00:00+00', 2, '', 'nan', uuid(), '13:00', null), \
           (3, null, null, null, null, null, null, null, null, null, null)",
    );
    let c = &*db.connector;
    let table = c.describe(&Relation::bare("t")).await.unwrap();
    let cmp = |column: &str, op, value| Predicate::Compare { column: column.into(), op, value };
    let micros = 19754 * 86_400_000_000i64;
    for (p, want) in [
        (cmp("i", CompareOp::Gt, Literal::Int(1)), Some("2 3")),
        (cmp("s", CompareOp::Eq, Literal::Utf8("A".into())), Some("2")),
        (Predicate::StartsWith { column: "s".into(), prefix: "a%".into(), negated: false }, Some("1")),
        (Predicate::StartsWith { column: "s".into(), prefix: "a".into(), negated: true }, Some("2")),
        (cmp("d", CompareOp::Lt, Literal::Date(19754)), Some("1")),
        (cmp("ts", CompareOp::GtEq, Literal::Timestamp { micros, utc: false }), Some("2")),
        (cmp("tz", CompareOp::Gt, Literal::Timestamp { micros, utc: true }), Some("1")),
        (cmp("p", CompareOp::Lt, Literal::Decimal { value: 20_000_000_000, scale: 10 }), Some("1")),
        (cmp("b", CompareOp::Eq, Literal::Binary(vec![0])), Some("1")),
        (cmp("tm", CompareOp::Gt, Literal::Time(43_200_000_000)), Some("2")),
        (Predicate::IsNull { column: "u".into(), negated: false }, Some("3")),
        (
            Predicate::Not(Box::new(Predicate::In {
                column: "i".into(),
                values: vec![Literal::Int(1)],
                negated: false,
            })),
            Some("2 3"),
        ),
        (cmp("f", CompareOp::Gt, Literal::Float(0.1)), None),
        (cmp("u", CompareOp::Eq, Literal::Utf8("x".into())), None),
        (cmp("p", CompareOp::Lt, Literal::Decimal { value: 2, scale: 0 }), None),
    ] {
        let answer = &c.extract().unwrap().pushdown(&table, std::slice::from_ref(&p))[0];
        let Some(rows) = want else {
            assert!(!answer.is_sent(), "{p:?}");
            continue;
        };
        assert_eq!(answer, &Pushdown::Exact, "{p:?}");
        let got = scan(c, "t", |r| (r.predicates, r.projection) = (vec![p.clone()], Some(vec![0]))).await.unwrap();
        assert_eq!(text(&got).replace('\n', " "), rows, "{p:?}");
    }
    assert_eq!(
        scan(c, "t", |r| (r.projection, r.limit) = (Some(vec![]), Some(2))).await.map(|b| b.num_rows()).unwrap(),
        2
    );
}

#[tokio::test]
async fn a_slow_consumer_holds_duckdb_back() {
    // Endless as far as this test is concerned: only streaming gives a first batch.
    let c = open_with(serde_json::json!({"path": ":memory:"}));
    let ctx = ReadContext { batch_rows: 4096, ..Default::default() };
    let sql = "select i, repeat('x', 100) as t from range(20_000_000_000) r(i)";
    let mut s = c.execute().unwrap().query(sql, &[], &ctx).await.unwrap();
    assert_eq!(s.next().await.unwrap().unwrap().num_rows(), 4096);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(ctx.stats.rows() <= 4 * 4096, "{} rows were read ahead", ctx.stats.rows());
}

const FOREVER: &str = "select count(*) from range(10_000_000_000) a(i), range(1000) b(j) where (i * j) % 7 = 3";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_interrupts_and_time_runs_out() {
    let db = Db::new("");
    let c = db.connector.clone();
    let task = tokio::spawn(async move { c.execute().unwrap().run(FOREVER).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    task.abort();
    // The thread lets go of the file only when its statement has ended.
    let weak = Arc::downgrade(&db.connector);
    let path = db.path();
    drop(db.connector);
    let start = Instant::now();
    while weak.upgrade().is_some() || connect(&path).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "the statement still runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let c = open_with(serde_json::json!({"path": ":memory:", "query_timeout": "200ms"}));
    let e = match c.execute().unwrap().query(FOREVER, &[], &ReadContext::default()).await {
        Ok(s) => s.collect().await.unwrap_err(),
        Err(e) => e,
    };
    assert!(e.kind() == ErrorKind::Timeout && e.hint_text().unwrap().contains("query_timeout"), "{e:?}");
}

// -- writing ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn replace_keeps_indexes_and_views() {
    let db = Db::new(
        "create table t (i bigint, old varchar); insert into t values (1, 'a'); create index by_i on t (i); \
         create index by_old on t (old); create view v as select i from t",
    );
    let r = load(&*db.connector, "t", &ints("i", 0..300_000), WriteMode::Replace).await.unwrap();
    assert_eq!(r.rows, 300_000);
    assert!(r.notes.len() == 1 && r.notes[0].contains("by_old"), "{:?}", r.notes);
    assert_eq!(db.text("select count(*), max(i) from v").await, "300000|299999");
    assert_eq!(db.text("select string_agg(index_name, ',' order by 1) from duckdb_indexes()").await, "by_i");
    let e = {
        native(&*db.connector, "create unique index u on t (i)").await;
        load(&*db.connector, "t", &ints("i", [1, 1]), WriteMode::Replace).await.unwrap_err()
    };
    assert!(e.kind() == ErrorKind::Sql && e.message().contains("duplicate key"), "{e:?}");
    assert_eq!(db.text("select count(*) from t").await, "300000", "the old table stays");
    assert_eq!(db.text("select count(*) from duckdb_tables()").await, "1");
}

#[tokio::test]
async fn a_load_may_read_what_it_replaces_and_others_see_the_old_table() {
    let db = Db::new("create table t as select i::bigint as i from range(100_000) r(i)");
    let c = &*db.connector;
    let table = Arc::new(c.describe(&Relation::bare("t")).await.unwrap());
    let e = c.extract().unwrap();
    let plan = e.plan(&ScanRequest::all(table)).await.unwrap();
    let mut rows = e.read(&plan.splits[0], &ReadContext::default()).await.unwrap();
    let mut s = c.load().unwrap().begin(&Relation::bare("t"), rows.schema(), &LoadOptions::default()).await.unwrap();
    let mut first = true;
    while let Some(b) = rows.next().await {
        let b = b.unwrap();
        if first {
            s.write(b.clone()).await.unwrap();
            first = false;
        }
        s.write(b).await.unwrap();
        assert_eq!(db.text("select count(*) from t").await, "100000");
        assert_eq!(c.list(&RelationPattern::default()).await.unwrap().len(), 1);
    }
    let rows = s.commit().await.unwrap().rows;
    assert_eq!(db.text("select count(*) from t").await, rows.to_string());
    assert!(rows > 100_000);
}

#[tokio::test]
async fn append_and_merge() {
    let db = Db::new(
        "create table t (k varchar primary key, v int, d varchar default 'dflt'); insert into t values ('a', 1, 'x'), ('b', 2, 'y')",
    );
    let c = &*db.connector;
    let kv = |k: &[&str], v: &[i64]| {
        batch(vec![
            ("K", Arc::new(StringArray::from_iter_values(k)) as ArrayRef),
            ("v", Arc::new(Int64Array::from_iter_values(v.iter().copied()))),
        ])
    };
    let merge = WriteMode::Merge { unique_key: vec!["k".into()] };
    let e = load(c, "t", &kv(&["a", "a"], &[1, 2]), merge.clone()).await.unwrap_err();
    assert!(e.message().contains("same key (k) = (a)"), "{e:?}");
    load(c, "t", &kv(&["a", "c"], &[10, 3]), merge.clone()).await.unwrap();
    assert_eq!(db.text("select * from t order by k").await, "a|10|x\nb|2|y\nc|3|dflt");
    load(c, "t", &kv(&["e"], &[5]), WriteMode::Append).await.unwrap();
    let e = load(c, "t", &kv(&["z"], &[1 << 40]), WriteMode::Append).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Type && e.message().contains("1099511627776"), "{e:?}");
    let e = load(c, "t", &kv(&["a"], &[0]), WriteMode::Append).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Sql, "a key that is there: {e:?}");
    assert_eq!(load(c, "tt", &kv(&[], &[]), WriteMode::Append).await.unwrap_err().kind(), ErrorKind::NotFound);
    let e = load(c, "t", &ints("vv", [1]), WriteMode::Append).await.unwrap_err();
    assert!(e.message().contains("`vv`") && e.hint_text().unwrap().contains("`v`"), "{e:?}");
    assert_eq!(db.text("select count(*) from t").await, "4");
}

#[tokio::test]
async fn files_that_cannot_be_used() {
    let db = Db::new("create table t (i int)");
    let dir = db.dir.path();
    let b = ints("i", 0..1);
    let missing = open_with(serde_json::json!({"path": dir.join("none.duckdb")}));
    let e = missing.check().await.unwrap_err();
    assert!(e.kind() == ErrorKind::NotFound && e.message().contains("no such file"), "{e:?}");
    assert!(!dir.join("none.duckdb").exists(), "a check must not make the file");
    load(&*missing, "t", &b, WriteMode::Replace).await.unwrap();
    assert!(dir.join("none.duckdb").exists());
    let no_folder = open_with(serde_json::json!({"path": dir.join("a/b.duckdb")}));
    assert_eq!(load(&*no_folder, "t", &b, WriteMode::Replace).await.unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::write(dir.join("csv"), "a,b\n1,2\n".repeat(2000)).unwrap();
    let e = open_with(serde_json::json!({"path": dir.join("csv")})).check().await.unwrap_err();
    assert!(e.kind() == ErrorKind::Protocol && e.hint_text().is_some(), "{e:?}");

    let ro = open_with(serde_json::json!({"path": db.path(), "read_only": true}));
    for shared in [false, true] {
        if shared {
            // Another connection of this process has the file open for writing.
            drop(ro.clone());
            db.connector.check().await.ok();
        }
        let e = load(&*ro, "t", &b, WriteMode::Replace).await.unwrap_err();
        assert!(e.kind() == ErrorKind::Permission && e.hint_text().unwrap().contains("read_only"), "{e:?}");
        let e = ro.execute().unwrap().run("insert into t values (1)").await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Permission, "{e:?}");
        assert_eq!(scan(&*ro, "t", |_| {}).await.unwrap().num_rows(), 0);
    }
}

/// Runs in a process of its own (see `another_process_holds_the_file`).
#[test]
#[ignore = "a helper process of another test"]
fn hold_the_file() {
    let path = std::env::var("XDB_TEST_HOLD").unwrap();
    let _c = connect(Path::new(&path)).unwrap();
    std::fs::write(format!("{path}.held"), "").unwrap();
    while std::path::Path::new(&format!("{path}.held")).exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn another_process_holds_the_file() {
    let db = Db::new("create table t (i int)");
    let held = std::path::PathBuf::from(format!("{}.held", db.path().display()));
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "hold_the_file"])
        .env("XDB_TEST_HOLD", db.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !held.exists() {
        assert!(start.elapsed() < Duration::from_secs(30), "the helper did not start");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let e = db.connector.check().await.unwrap_err();
    let ended = std::fs::remove_file(&held).and_then(|()| child.wait());
    assert!(ended.unwrap().success());
    assert!(e.kind() == ErrorKind::Conflict && e.hint_text().unwrap().contains("another program"), "{e:?}");
    assert!(e.is_retryable());
    db.connector.check().await.unwrap();
}

#[tokio::test]
async fn two_connectors_share_one_instance_and_loads_run_side_by_side() {
    let db = Db::new("");
    let other = open_with(serde_json::json!({"path": db.dir.path().join(".").join("t.duckdb")}));
    assert_eq!(other.context_id(), db.connector.context_id());
    let b = ints("i", 0..50_000);
    let names: Vec<String> = (0..6).map(|i| format!("t{i}")).collect();
    let all = names
        .iter()
        .enumerate()
        .map(|(i, n)| load(if i % 2 == 0 { &*other } else { &*db.connector }, n, &b, WriteMode::Replace));
    for r in futures::future::join_all(all).await {
        assert_eq!(r.unwrap().rows, 50_000);
    }
    assert_eq!(db.text("select count(*) from duckdb_tables()").await, "6");
}

#[tokio::test]
async fn names_are_quoted_whatever_they_hold() {
    let db = Db::new("");
    let c = &*db.connector;
    for name in ["a\"b; drop table x; --".to_string(), "é".repeat(100), "n\"'`[]".repeat(33), "select".into()] {
        let b = ints(&name, 0..3);
        let rel = Relation::new(None, Some(&name), &name);
        for mode in [WriteMode::Replace, WriteMode::Merge { unique_key: vec![name.clone()] }] {
            let options = LoadOptions { mode, ..Default::default() };
            let mut s = c.load().unwrap().begin(&rel, b.schema(), &options).await.unwrap();
            s.write(b.clone()).await.unwrap();
            s.commit().await.unwrap();
        }
        let t = c.describe(&rel).await.unwrap();
        assert_eq!(t.schema.field(0).name(), &name);
        c.execute().unwrap().drop_relation(&rel).await.unwrap();
        c.execute().unwrap().drop_relation(&rel).await.unwrap();
    }
    assert!(c.list(&RelationPattern::default()).await.unwrap().is_empty());
}

// -- native SQL -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn native_sql() {
    let db = Db::new("create table t (d date, p decimal(9,2)); insert into t values ('2024-01-01', 1.10)");
    let x = db.connector.execute().unwrap();
    let ctx = ReadContext::default();
    let s = x
        .query(
            "select d, p, $1 as s, 'b'::enum('a','b') as e from t where d = $2 and p = $3",
            &[Literal::Utf8("'; drop table t".into()), Literal::Date(19723), Literal::Decimal { value: 110, scale: 2 }],
            &ctx,
        )
        .await
        .unwrap();
    assert_eq!(text(&s.collect().await.unwrap()[0]), "2024-01-01|1.10|'; drop table t|b");
    assert_eq!(x.run("insert into t values ('2024-01-02', 1); update t set p = 3").await.unwrap(), Some(2));
    assert_eq!(x.run("create table u (i int)").await.unwrap(), Some(0));
    let none = x.query("delete from t where p = 3", &[], &ctx).await.unwrap();
    assert_eq!((none.schema().fields().len(), none.collect().await.unwrap().len()), (0, 0));
    for (sql, kind) in [
        ("select nope from t", ErrorKind::Sql),
        ("select * from nope", ErrorKind::NotFound),
        ("select $1", ErrorKind::Config),
        ("selekt", ErrorKind::Sql),
    ] {
        let e = x.query(sql, &[], &ctx).await.err().unwrap();
        assert_eq!(e.kind(), kind, "{sql}: {e:?}");
        assert_eq!(e.context().sql.as_deref(), Some(sql));
    }
    assert_eq!(x.run("begin; insert into t values ('2024-01-03', 1)").await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(db.text("select count(*) from t").await, "0");

    x.run("insert into t values ('2024-01-01', 1.5), ('2024-01-02', 2)").await.unwrap();
    let m = Relation::bare("m");
    let r = x
        .create_table_as(&m, "select d, max(p) as p, count(*) as n from t group by d;", &LoadOptions::default())
        .await
        .unwrap();
    assert_eq!(r.rows, 2);
    x.create_table_as(&m, "select d, n + 1 as n from m", &LoadOptions::default()).await.unwrap();
    let key = LoadOptions { mode: WriteMode::Merge { unique_key: vec!["d".into()] }, ..Default::default() };
    x.create_table_as(&m, "select date '2024-01-02' as d, 9 as n", &key).await.unwrap();
    assert_eq!(db.text("select * from m order by d").await, "2024-01-01|2\n2024-01-02|9");
    x.create_view_as(&m, "select d from t;").await.unwrap();
    assert_eq!(x.create_view_as(&m, "select nope from t").await.unwrap_err().kind(), ErrorKind::Sql);
    assert_eq!(db.connector.describe(&m).await.unwrap().kind, RelationKind::View);
    let r = load(&*db.connector, "m", &ints("i", 0..1), WriteMode::Replace).await.unwrap();
    assert!(r.notes[0].contains("view"), "{:?}", r.notes);
}
