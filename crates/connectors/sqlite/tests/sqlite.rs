//! The connector from outside, on temporary files.
#![allow(clippy::unwrap_used, clippy::panic)] // Tests; clippy sees only the bodies of `#[test]` functions as such.

use arrow::array::*;
use arrow::datatypes::*;
use futures::StreamExt;
use proptest::prelude::*;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use xdb_connector_sqlite::DEF;
use xdb_core::types::LogicalType;
use xdb_core::*;

fn open_with(value: serde_json::Value) -> Arc<dyn Connector> {
    let params = Params::resolve("db", DEF.params, value.as_object().unwrap(), Path::new("/")).unwrap();
    (DEF.validate)(&params).unwrap().open().unwrap()
}
struct Db {
    dir: tempfile::TempDir,
    connector: Arc<dyn Connector>,
}
impl Db {
    /// A file made by plain SQLite with `setup`.
    fn new(setup: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sqlite");
        Connection::open(&path).unwrap().execute_batch(setup).unwrap();
        let connector = open_with(serde_json::json!({"path": path, "busy_timeout": "300ms"}));
        Self { dir, connector }
    }
    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("t.sqlite")
    }
    fn raw(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
    fn files(&self) -> Vec<String> {
        let mut all: Vec<_> = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        all.sort();
        all
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

// -- round trips ------------------------------------------------------------------------------------------------------

fn value_strategy() -> impl Strategy<Value = RecordBatch> {
    let row = (
        proptest::option::of(any::<i64>()),
        proptest::option::of(prop_oneof![Just(u64::MAX), Just(1 << 63), any::<u64>()]),
        proptest::option::of(
            any::<f64>().prop_filter("SQLite has neither NaN nor -0", |f| !f.is_nan() && f.to_bits() != 1 << 63),
        ),
        proptest::option::of(-999_999_999_999_999i128..=999_999_999_999_999),
        proptest::option::of(any::<i128>().prop_map(|v| v % 10i128.pow(38))),
        proptest::option::of(".{0,12}"),
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..12)),
        proptest::option::of(any::<i32>()),
        proptest::option::of(any::<i64>()),
        proptest::option::of(0i64..86_400_000_000_000),
        proptest::option::of((any::<i32>(), any::<i32>(), any::<i64>())),
        proptest::option::of(any::<bool>()),
    );
    proptest::collection::vec(row, 1..40).prop_map(|rows| {
        macro_rules! col {
            ($array:ty, $i:tt) => {
                Arc::new(rows.iter().map(|r| r.$i.clone()).collect::<$array>())
            };
        }
        let micros: Vec<Option<i64>> = rows.iter().map(|r| r.8).collect();
        batch(vec![
            ("i", col!(Int64Array, 0)),
            ("u", col!(UInt64Array, 1)),
            ("f", col!(Float64Array, 2)),
            (
                "d15",
                Arc::new(
                    rows.iter().map(|r| r.3).collect::<Decimal128Array>().with_precision_and_scale(15, 4).unwrap(),
                ),
            ),
            (
                "d38",
                Arc::new(
                    rows.iter().map(|r| r.4).collect::<Decimal128Array>().with_precision_and_scale(38, 17).unwrap(),
                ),
            ),
            (
                "d76",
                Arc::new(
                    rows.iter()
                        .map(|r| r.4.map(|v| i256::from_i128(v).wrapping_mul(i256::from_i128(10i128.pow(37)))))
                        .collect::<Decimal256Array>()
                        .with_precision_and_scale(76, 40)
                        .unwrap(),
                ),
            ),
            ("t", col!(StringArray, 5)),
            ("b", Arc::new(rows.iter().map(|r| r.6.as_deref()).collect::<BinaryArray>())),
            ("date", col!(Date32Array, 7)),
            ("ts", Arc::new(TimestampMicrosecondArray::from(micros.clone()))),
            ("tsz", Arc::new(TimestampMicrosecondArray::from(micros.clone()).with_timezone("UTC"))),
            ("ts_s", Arc::new(TimestampSecondArray::from(micros.clone()))),
            ("ts_ms", Arc::new(TimestampMillisecondArray::from(micros.clone()))),
            ("ts_ns", Arc::new(TimestampNanosecondArray::from(micros))),
            ("time_ns", col!(Time64NanosecondArray, 9)),
            (
                "time_s",
                Arc::new(rows.iter().map(|r| r.9.map(|n| (n / 1_000_000_000) as i32)).collect::<Time32SecondArray>()),
            ),
            (
                "iv",
                Arc::new(
                    rows.iter()
                        .map(|r| r.10.map(|(m, d, n)| IntervalMonthDayNano::new(m, d, n)))
                        .collect::<IntervalMonthDayNanoArray>(),
                ),
            ),
            ("bool", col!(BooleanArray, 11)),
        ])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..Default::default() })]
    #[test]
    fn every_type_round_trips(b in value_strategy()) {
        let rt = tokio::runtime::Runtime::new().unwrap();
        rt.block_on(async {
            let c = open_with(serde_json::json!({"path": ":memory:"}));
            load(&*c, "t", &b, WriteMode::Replace).await.unwrap();
            assert_same(&scan(&*c, "t", |_| {}).await.unwrap(), &b);
            // And into the table that is there, whose declared types lead now.
            load(&*c, "t", &b, WriteMode::Append).await.unwrap();
            let twice = arrow::compute::concat_batches(&b.schema(), [&b, &b]).unwrap();
            assert_same(&scan(&*c, "t", |_| {}).await.unwrap(), &twice);
        });
    }
}

#[tokio::test]
async fn extremes_round_trip() {
    let db = Db::new("");
    let texts = ["", "NULL", "a\0b", "😀👩‍👩‍👧", "  x  ", "'", "1e5", "007", "\u{feff}"];
    let n = texts.len();
    let uuid = LogicalType::Uuid.mark(Field::new("id", DataType::Utf8, true));
    let json = LogicalType::Json.mark(Field::new("j", DataType::Utf8, true));
    let schema = Arc::new(Schema::new(vec![
        Field::new("t", DataType::Utf8, true),
        uuid,
        json,
        Field::new("f", DataType::Float64, true),
        Field::new("n", DataType::Utf8, true),
    ]));
    let f =
        [f64::MAX, f64::MIN_POSITIVE, 5e-324, f64::INFINITY, f64::NEG_INFINITY, 0.1, -0.1, 1e15, 9007199254740993.0];
    let b = RecordBatch::try_new(
        schema,
        vec![
            Arc::new(StringArray::from_iter_values(texts)),
            Arc::new(StringArray::from_iter_values((0..n).map(|i| format!("0000000{i}-0000-4000-8000-00000000000e")))),
            Arc::new(StringArray::from_iter_values([
                "1.10",
                "1e400",
                "\"x\"",
                "{}",
                " 1",
                "null",
                "[1]",
                "12345678901234567890",
                "0.30",
            ])),
            Arc::new(Float64Array::from_iter_values(f)),
            new_null_array(&DataType::Utf8, n),
        ],
    )
    .unwrap();
    load(&*db.connector, "t", &b, WriteMode::Replace).await.unwrap();
    assert_same(&scan(&*db.connector, "t", |_| {}).await.unwrap(), &b);
}

#[tokio::test]
async fn what_sqlite_cannot_hold_is_refused() {
    let db = Db::new("create table old (f REAL, d DECIMAL(38,2)); insert into old values (1, 2)");
    let nan = batch(vec![("f", Arc::new(Float64Array::from(vec![f64::NAN])))]);
    let e = load(&*db.connector, "old", &nan, WriteMode::Replace).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Type && e.message().contains("`f`") && e.message().contains("NaN"), "{e:?}");
    // A table somebody else made, whose affinity would round.
    let wide = Decimal128Array::from(vec![12345678901234567890]).with_precision_and_scale(38, 2).unwrap();
    let e = load(&*db.connector, "old", &batch(vec![("d", Arc::new(wide))]), WriteMode::Append).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Type && e.message().contains("123456789012345678.90"), "{e:?}");
    let text = batch(vec![("f", Arc::new(StringArray::from(vec!["x"])))]);
    let e = load(&*db.connector, "old", &text, WriteMode::Append).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Type, "{e:?}");
    assert_eq!(db.raw().query_row("select count(*) from old", [], |r| r.get::<_, i64>(0)).unwrap(), 1);
    assert_eq!(db.files(), ["t.sqlite"]);
}

// -- reading ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn describe_tells_keys_types_and_collations() {
    let db = Db::new(
        "create table p (b INT, a VARCHAR(9) COLLATE NOCASE NOT NULL, t TEXT, g INT GENERATED ALWAYS AS (b + 1), \
           n NUMERIC, x, PRIMARY KEY (a, b)); \
         insert into p (b, a, n, x) values (1, 'k', 2.5, X'00'); \
         create view v as select a, count(*) as n, sum(n) as s, max(t) as nil from p group by a;",
    );
    let t = db.connector.describe(&Relation::bare("P")).await.unwrap();
    assert_eq!(t.relation, Relation::new(None, Some("main"), "p"));
    assert_eq!(t.primary_key, ["a", "b"]);
    let types: Vec<_> = t.schema.fields().iter().map(|f| f.data_type().to_string()).collect();
    assert_eq!(types, ["Int64", "Utf8", "Utf8", "Int64", "Float64", "Binary"]);
    assert_eq!(t.column("a").unwrap().collation.as_deref(), Some("NOCASE"));
    assert!(!t.column("a").unwrap().binary_equality && t.column("t").unwrap().binary_equality);
    assert!(!t.column("a").unwrap().nullable && t.column("t").unwrap().nullable);
    assert_eq!(t.row_estimate, Some(1));
    let v = db.connector.describe(&Relation::bare("v")).await.unwrap();
    let types: Vec<_> = v.schema.fields().iter().map(|f| f.data_type().to_string()).collect();
    assert_eq!(types, ["Utf8", "Int64", "Float64", "Utf8"]);
    assert_eq!(v.kind, RelationKind::View);
    assert_eq!(text(&scan(&*db.connector, "v", |_| {}).await.unwrap()), "k|1|2.5|NULL");

    let e = db.connector.describe(&Relation::bare("pp")).await.unwrap_err();
    assert!(e.kind() == ErrorKind::NotFound && e.hint_text() == Some("did you mean `p`?"), "{e:?}");
    let all = db.connector.list(&RelationPattern::default()).await.unwrap();
    assert_eq!(all.iter().map(|r| r.relation.name.as_str()).collect::<Vec<_>>(), ["p", "v"]);
}

#[tokio::test]
async fn values_that_do_not_fit_are_named() {
    let db = Db::new(
        "create table t (id INTEGER PRIMARY KEY, qty INTEGER, day DATE, note TEXT); \
         insert into t values (1, 5, '2024-01-01', 'x'), (2, 'many', '2024-01-02', 'y'), (3, 7, 1704067200, X'FF')",
    );
    let c = &*db.connector;
    let e = scan(c, "t", |_| {}).await.unwrap_err();
    assert!(e.message().contains("column `qty`") && e.message().contains("'many'"), "{e:?}");
    assert!(e.context().relation.is_some() && e.context().connection.as_deref() == Some("db"), "{e:?}");
    // The bad columns are not asked for: no error.
    assert_eq!(text(&scan(c, "t", |r| r.projection = Some(vec![0])).await.unwrap()), "1\n2\n3");
    let lossy = scan(c, "t", |r| r.types = TypePolicy::Lossy).await.unwrap();
    assert_eq!(text(&lossy), "1|5|2024-01-01|x\n2|NULL|2024-01-02|y\n3|7|NULL|NULL");
}

#[tokio::test]
async fn filters_keep_what_they_must() {
    let db = Db::new(
        "create table t (i INTEGER, s TEXT, n TEXT COLLATE NOCASE, d DATE, ts TIMESTAMP, tz TIMESTAMPTZ, p DECIMAL(9,2)); \
         insert into t values (1, 'abc', 'X', '2024-01-31', '2024-01-31T23:59', '2024-01-31 23:00:00-05:00', 1.5), \
           (2, 'ABC', 'x', '2024-02-01 00:00:00', '2024-02-01', '2024-02-01', 2), \
           (3, 'abd', NULL, '+10000-01-01', '-0001-01-01 00:00:00', NULL, NULL)",
    );
    let c = &*db.connector;
    let cmp = |column: &str, op, value| Predicate::Compare { column: column.into(), op, value };
    let day = |d: &str| d.parse::<i32>().unwrap();
    let (feb1, us) = (day("19754"), 86_400_000_000i64);
    let table = c.describe(&Relation::bare("t")).await.unwrap();
    for (p, want, rows) in [
        (cmp("i", CompareOp::Gt, Literal::Int(1)), Pushdown::Exact, "2 3"),
        (cmp("i", CompareOp::GtEq, Literal::Int(i64::MIN)), Pushdown::Exact, "1 2 3"),
        (cmp("s", CompareOp::Eq, Literal::Utf8("abc".into())), Pushdown::Exact, "1"),
        (cmp("n", CompareOp::Eq, Literal::Utf8("x".into())), Pushdown::Exact, "2"),
        (cmp("n", CompareOp::NotEq, Literal::Utf8("x".into())), Pushdown::Exact, "1"),
        (Predicate::StartsWith { column: "s".into(), prefix: "ab".into(), negated: false }, Pushdown::Exact, "1 3"),
        (Predicate::StartsWith { column: "s".into(), prefix: "ab".into(), negated: true }, Pushdown::Exact, "2"),
        (Predicate::IsNull { column: "n".into(), negated: false }, Pushdown::Exact, "3"),
        (Predicate::IsNull { column: "p".into(), negated: true }, Pushdown::Inexact, "1 2"),
        (cmp("d", CompareOp::Eq, Literal::Date(feb1)), Pushdown::Inexact, "2"),
        (cmp("d", CompareOp::GtEq, Literal::Date(feb1)), Pushdown::Inexact, "2 3"),
        (cmp("d", CompareOp::Lt, Literal::Date(feb1)), Pushdown::Inexact, "1 2 3"),
        (
            cmp("ts", CompareOp::Lt, Literal::Timestamp { micros: i64::from(feb1) * us, utc: false }),
            Pushdown::Inexact,
            "1 2 3",
        ),
        (
            cmp("tz", CompareOp::GtEq, Literal::Timestamp { micros: i64::from(feb1) * us, utc: true }),
            Pushdown::Inexact,
            "1 2",
        ),
    ] {
        assert_eq!(c.extract().unwrap().pushdown(&table, std::slice::from_ref(&p)), [want], "{p:?}");
        let got = scan(c, "t", |r| (r.predicates, r.projection) = (vec![p.clone()], Some(vec![0]))).await.unwrap();
        assert_eq!(text(&got).replace('\n', " "), rows, "{p:?}");
    }
    for p in [
        cmp("p", CompareOp::Gt, Literal::Decimal { value: 100, scale: 2 }),
        Predicate::Not(Box::new(cmp("d", CompareOp::Eq, Literal::Date(0)))),
        cmp("i", CompareOp::Eq, Literal::Utf8("1".into())),
        cmp("s", CompareOp::Eq, Literal::Utf8("a\0".into())),
    ] {
        let answer = c.extract().unwrap().pushdown(&table, std::slice::from_ref(&p));
        assert!(!answer[0].is_sent(), "{p:?}: {answer:?}");
    }
}

const SEVEN: &str =
    "with recursive n(i) as (values(1) union all select i + 1 from n where i < 70000) insert into t select i from n";

#[tokio::test]
async fn a_slow_consumer_holds_sqlite_back() {
    let db = Db::new(&format!("create table t (i INTEGER); {SEVEN}"));
    let table = Arc::new(db.connector.describe(&Relation::bare("t")).await.unwrap());
    let e = db.connector.extract().unwrap();
    let plan = e.plan(&ScanRequest::all(table)).await.unwrap();
    let ctx = ReadContext { batch_rows: 1000, ..Default::default() };
    let mut s = e.read(&plan.splits[0], &ctx).await.unwrap();
    assert_eq!(s.next().await.unwrap().unwrap().num_rows(), 1000);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(ctx.stats.rows() <= 4000, "{} rows were read ahead", ctx.stats.rows());
    let rest: usize = s.collect().await.unwrap().iter().map(|b| b.num_rows()).sum();
    assert_eq!((rest, ctx.stats.rows()), (69_000, 70_000));
}

const FOREVER: &str = "with recursive n(i) as (values(1) union all select i + 1 from n) select count(*) as n from n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_stream_interrupts_the_statement() {
    let db = Db::new("create table t (i INTEGER)");
    let c = db.connector.clone();
    // Never answers: the future is dropped while SQLite works, in a transaction that would keep its lock.
    let sql = format!("insert into t {FOREVER}");
    let task = tokio::spawn(async move { c.execute().unwrap().run(&sql).await });
    let locked = || db.raw().execute_batch("begin immediate; rollback").is_err();
    let start = Instant::now();
    while !locked() {
        assert!(start.elapsed() < Duration::from_secs(20), "the statement never began");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    task.abort();
    while locked() {
        assert!(start.elapsed() < Duration::from_secs(20), "the statement still runs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn query_timeout_is_a_timeout() {
    let db = Db::new("");
    let c = open_with(serde_json::json!({"path": db.path(), "query_timeout": "100ms"}));
    let e = c.execute().unwrap().query(FOREVER, &[], &ReadContext::default()).await.err().unwrap();
    assert!(e.kind() == ErrorKind::Timeout && e.hint_text().unwrap().contains("query_timeout"), "{e:?}");
}

// -- writing ----------------------------------------------------------------------------------------------------------

fn ints(name: &str, v: impl IntoIterator<Item = i64>) -> RecordBatch {
    batch(vec![(name, Arc::new(Int64Array::from_iter_values(v)))])
}

#[tokio::test]
async fn replace_keeps_indexes_triggers_and_views() {
    let db = Db::new(
        "create table t (i INTEGER, old TEXT); insert into t values (1, 'a'); create table log (n); \
         create index by_i on t (i); create index by_old on t (old); create view v as select i from t; \
         create trigger tr after insert on t begin insert into log values (new.i); end;",
    );
    let r = load(&*db.connector, "t", &ints("i", 0..5000), WriteMode::Replace).await.unwrap();
    assert_eq!(r.rows, 5000);
    assert!(r.notes.len() == 1 && r.notes[0].contains("by_old"), "{:?}", r.notes);
    let raw = db.raw();
    let one = |sql: &str| raw.query_row(sql, [], |r| r.get::<_, String>(0)).unwrap();
    assert_eq!(one("select count(*) || ' ' || max(i) from v"), "5000 4999");
    assert_eq!(
        one("select group_concat(name) from (select name from sqlite_master where tbl_name = 't' order by 1)"),
        "by_i,t,tr"
    );
    assert_eq!(one("select count(*) || '' from log"), "0");
    assert_eq!(one("pragma integrity_check"), "ok");
    assert_eq!(db.files(), ["t.sqlite"]);
}

#[tokio::test]
async fn readers_see_old_or_new() {
    let db = Db::new("pragma journal_mode = wal; create table t (i INTEGER); insert into t values (-1)");
    let reader = db.raw();
    reader.execute_batch("begin").unwrap();
    let count = || reader.query_row("select count(*) from t", [], |r| r.get::<_, i64>(0)).unwrap();
    assert_eq!(count(), 1);
    load(&*db.connector, "t", &ints("i", 0..10), WriteMode::Replace).await.unwrap();
    assert_eq!(count(), 1, "an open read sees the moment it began");
    reader.execute_batch("commit").unwrap();
    assert_eq!(count(), 10);
}

#[tokio::test]
async fn a_load_may_read_what_it_replaces() {
    // In SQLite's default journal mode, where a writer in the same file would wait for this reader.
    let db = Db::new(&format!("create table t (i INTEGER); {SEVEN}"));
    let c = &*db.connector;
    let table = Arc::new(c.describe(&Relation::bare("t")).await.unwrap());
    let e = c.extract().unwrap();
    let plan = e.plan(&ScanRequest::all(table)).await.unwrap();
    let mut rows = e.read(&plan.splits[0], &ReadContext::default()).await.unwrap();
    let mut s = c.load().unwrap().begin(&Relation::bare("t"), rows.schema(), &LoadOptions::default()).await.unwrap();
    while let Some(b) = rows.next().await {
        s.write(b.unwrap()).await.unwrap();
    }
    assert_eq!(s.commit().await.unwrap().rows, 70_000);
}

#[tokio::test]
async fn merge_replaces_by_key_and_refuses_doubles() {
    let setup = "create table parent (k TEXT PRIMARY KEY COLLATE NOCASE, v INTEGER, d TEXT DEFAULT 'dflt'); \
                 create table child (k TEXT REFERENCES parent ON DELETE CASCADE); \
                 insert into parent values ('a', 1, 'x'), ('B', 2, 'y'); insert into child values ('a');";
    let db = Db::new(setup);
    let kv = |k: &[&str], v: &[i64]| {
        batch(vec![
            ("k", Arc::new(StringArray::from_iter_values(k))),
            ("v", Arc::new(Int64Array::from_iter_values(v.iter().copied()))),
        ])
    };
    let merge = WriteMode::Merge { unique_key: vec!["k".into()] };
    let e = load(&*db.connector, "parent", &kv(&["a", "a"], &[1, 2]), merge.clone()).await.unwrap_err();
    assert!(e.message().contains("same key (k) = ('a')"), "{e:?}");
    load(&*db.connector, "parent", &kv(&["a", "c"], &[10, 3]), merge).await.unwrap();
    let got = scan(&*db.connector, "parent", |_| {}).await.unwrap();
    let mut lines: Vec<_> = text(&got).lines().map(String::from).collect();
    lines.sort();
    assert_eq!(lines, ["B|2|y", "a|10|dflt", "c|3|dflt"]);
    let left: i64 = db.raw().query_row("select count(*) from child", [], |r| r.get(0)).unwrap();
    assert_eq!(left, 1, "replacing a parent must not cascade");
}

#[tokio::test]
async fn append_needs_a_table_and_its_columns() {
    let db = Db::new("create table t (i INTEGER, s TEXT)");
    let c = &*db.connector;
    assert_eq!(load(c, "tt", &ints("i", 0..1), WriteMode::Append).await.unwrap_err().kind(), ErrorKind::NotFound);
    let e = load(c, "t", &ints("ii", 0..1), WriteMode::Append).await.unwrap_err();
    assert!(e.message().contains("`ii`") && e.hint_text().unwrap().contains("`i`"), "{e:?}");
    load(c, "t", &ints("I", 0..2), WriteMode::Append).await.unwrap();
    assert_eq!(text(&scan(c, "t", |_| {}).await.unwrap()), "0|NULL\n1|NULL");
}

#[tokio::test]
async fn abort_and_drop_leave_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let c = open_with(serde_json::json!({"path": dir.path().join("new.sqlite")}));
    let b = ints("i", 0..10);
    for drop_it in [true, false] {
        let mut s = c.load().unwrap().begin(&Relation::bare("t"), b.schema(), &LoadOptions::default()).await.unwrap();
        s.write(b.clone()).await.unwrap();
        if drop_it { drop(s) } else { s.abort().await.unwrap() }
    }
    // The database that the first load made stays, empty: somebody else may have it open.
    let left = || {
        let files = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap());
        files.filter(|e| e.file_name() != "new.sqlite" || e.metadata().is_ok_and(|m| m.len() > 0)).count()
    };
    let start = Instant::now();
    while left() > 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "files are left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_locked_target_is_a_conflict_and_unchanged() {
    let db = Db::new("create table t (i INTEGER); insert into t values (1)");
    let other = db.raw();
    other.execute_batch("begin immediate").unwrap();
    let start = Instant::now();
    let e = load(&*db.connector, "t", &ints("i", 0..3), WriteMode::Replace).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Conflict && e.hint_text().unwrap().contains("busy_timeout"), "{e:?}");
    assert!(start.elapsed() >= Duration::from_millis(250), "it must wait for `busy_timeout`");
    other.execute_batch("rollback").unwrap();

    // Locked only when it comes to the commit.
    let b = ints("i", 0..3);
    let mut s =
        db.connector.load().unwrap().begin(&Relation::bare("t"), b.schema(), &LoadOptions::default()).await.unwrap();
    s.write(b).await.unwrap();
    other.execute_batch("begin immediate").unwrap();
    assert_eq!(s.commit().await.unwrap_err().kind(), ErrorKind::Conflict);
    other.execute_batch("rollback").unwrap();
    assert_eq!(text(&scan(&*db.connector, "t", |_| {}).await.unwrap()), "1");
}

#[tokio::test]
async fn concurrent_loads_take_turns() {
    let db = Db::new("");
    let names: Vec<String> = (0..8).map(|i| format!("t{i}")).collect();
    let b = ints("i", 0..20_000);
    let all = names.iter().map(|n| load(&*db.connector, n, &b, WriteMode::Replace));
    for r in futures::future::join_all(all).await {
        assert_eq!(r.unwrap().rows, 20_000);
    }
}

#[tokio::test]
async fn files_that_cannot_be_used() {
    let db = Db::new("create table t (i INTEGER)");
    let ro = open_with(serde_json::json!({"path": db.path(), "read_only": true}));
    let b = ints("i", 0..1);
    let e = load(&*ro, "t", &b, WriteMode::Replace).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Permission && e.hint_text().unwrap().contains("read_only"), "{e:?}");
    assert_eq!(ro.execute().unwrap().run("insert into t values (1)").await.unwrap_err().kind(), ErrorKind::Permission);
    assert_eq!(ro.check().await.unwrap().read_only, Some(true));

    let missing = open_with(serde_json::json!({"path": db.dir.path().join("none.sqlite")}));
    let e = missing.check().await.unwrap_err();
    assert!(e.kind() == ErrorKind::NotFound && e.message().contains("there is no such file"), "{e:?}");
    assert!(!db.dir.path().join("none.sqlite").exists(), "a check must not make the file");
    let no_create = open_with(serde_json::json!({"path": db.dir.path().join("none.sqlite"), "create": false}));
    assert_eq!(load(&*no_create, "t", &b, WriteMode::Replace).await.unwrap_err().kind(), ErrorKind::NotFound);
    let no_folder = open_with(serde_json::json!({"path": db.dir.path().join("a/b.sqlite")}));
    let e = load(&*no_folder, "t", &b, WriteMode::Replace).await.unwrap_err();
    assert!(e.kind() == ErrorKind::NotFound && e.message().contains("folder"), "{e:?}");

    std::fs::write(db.dir.path().join("csv"), "a,b\n1,2\n".repeat(200)).unwrap();
    let foreign = open_with(serde_json::json!({"path": db.dir.path().join("csv")}));
    let e = foreign.check().await.unwrap_err();
    assert!(e.kind() == ErrorKind::Protocol && e.hint_text().is_some(), "{e:?}");
    let folder = open_with(serde_json::json!({"path": db.dir.path()}));
    assert_eq!(folder.check().await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn names_are_quoted_whatever_they_hold() {
    let db = Db::new("");
    let c = &*db.connector;
    for name in ["a\"b; drop table x; --".to_string(), "é".repeat(100), "n\"'`[]".repeat(33), "select".into()] {
        let b = ints(&name, 0..3);
        load(c, &name, &b, WriteMode::Replace).await.unwrap();
        load(c, &name, &b, WriteMode::Merge { unique_key: vec![name.clone()] }).await.unwrap();
        assert_same(&scan(c, &name, |_| {}).await.unwrap(), &b);
        c.execute().unwrap().drop_relation(&Relation::bare(&name)).await.unwrap();
        c.execute().unwrap().drop_relation(&Relation::bare(&name)).await.unwrap();
    }
    assert!(c.list(&RelationPattern::default()).await.unwrap().is_empty());
}

// -- native SQL -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn native_sql_with_bound_parameters() {
    let db = Db::new("create table t (d DATE, p DECIMAL(9,2)); insert into t values ('2024-01-01', 1.10)");
    let x = db.connector.execute().unwrap();
    let ctx = ReadContext::default();
    let s = x
        .query(
            "select d, p, count(*) as n, ? as s, ? as r, null as nil from t where d = ?",
            &[Literal::Utf8("'; drop table t".into()), Literal::Float(0.5), Literal::Date(19723)],
            &ctx,
        )
        .await
        .unwrap();
    let types: Vec<_> = s.schema().fields().iter().map(|f| f.data_type().to_string()).collect();
    assert_eq!(types, ["Date32", "Decimal128(9, 2)", "Int64", "Utf8", "Float64", "Utf8"]);
    let got = s.collect().await.unwrap();
    assert_eq!(text(&got[0]), "2024-01-01|1.10|1|'; drop table t|0.5|NULL");

    assert_eq!(x.run("insert into t values ('x', 1); update t set p = 3").await.unwrap(), Some(2));
    assert_eq!(x.run("select 1").await.unwrap(), None);
    let empty = x.query("delete from t where p = ?", &[Literal::Int(3)], &ctx).await.unwrap();
    assert_eq!((empty.schema().fields().len(), empty.collect().await.unwrap().len()), (0, 0));
    for (sql, params, kind) in [
        ("select nope from t", vec![], ErrorKind::Sql),
        ("select * from nope", vec![], ErrorKind::NotFound),
        ("select 1; select 2", vec![], ErrorKind::Config),
        ("select ?", vec![], ErrorKind::Config),
        ("", vec![], ErrorKind::Config),
        ("select ?", vec![Literal::Float(f64::NAN)], ErrorKind::Type),
    ] {
        let e = x.query(sql, &params, &ctx).await.err().unwrap();
        assert_eq!(e.kind(), kind, "{sql}: {e:?}");
    }
    let e = x.run("begin; insert into t values ('y', 1)").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Config);
    assert_eq!(text(&scan(&*db.connector, "t", |_| {}).await.unwrap()), "");
}

#[tokio::test]
async fn tables_and_views_of_selects() {
    let db =
        Db::new("create table t (d DATE, p DECIMAL(9,2)); insert into t values ('2024-01-01', 1.5), ('2024-01-02', 2)");
    let c = &*db.connector;
    let x = c.execute().unwrap();
    let sql = "select d, max(p) as p, count(*) as n, avg(p) as a, 'x' as s from t group by d order by d;";
    let r = x.create_table_as(&Relation::bare("m"), sql, &LoadOptions::default()).await.unwrap();
    assert_eq!(r.rows, 2);
    let m = scan(c, "m", |_| {}).await.unwrap();
    let types: Vec<_> = m.schema().fields().iter().map(|f| f.data_type().to_string()).collect();
    assert_eq!(types, ["Date32", "Float64", "Int64", "Float64", "Utf8"]);
    assert_eq!(text(&m), "2024-01-01|1.5|1|1.5|x\n2024-01-02|2.0|1|2.0|x");
    // A table built from itself, then a view in its place, then a table again.
    x.create_table_as(&Relation::bare("m"), "select d, n + 1 as n from m", &LoadOptions::default()).await.unwrap();
    let key = LoadOptions { mode: WriteMode::Merge { unique_key: vec!["d".into()] }, ..Default::default() };
    x.create_table_as(&Relation::bare("m"), "select '2024-01-02' as d, 9 as n", &key).await.unwrap();
    assert_eq!(text(&scan(c, "m", |_| {}).await.unwrap()), "2024-01-01|2\n2024-01-02|9");
    x.create_view_as(&Relation::bare("m"), "select d from t;").await.unwrap();
    assert_eq!(c.describe(&Relation::bare("m")).await.unwrap().kind, RelationKind::View);
    let e = x.create_view_as(&Relation::bare("m"), "select nope from t").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Sql, "{e:?}");
    assert_eq!(text(&scan(c, "m", |_| {}).await.unwrap()), "2024-01-01\n2024-01-02", "the old view stays");
    let r = load(c, "m", &ints("i", 0..1), WriteMode::Replace).await.unwrap();
    assert!(r.notes[0].contains("view"), "{:?}", r.notes);
}

#[tokio::test]
async fn memory_databases_are_shared_by_one_connection_only() {
    let a = open_with(serde_json::json!({"path": ":memory:"}));
    let b = open_with(serde_json::json!({"database": ":memory:"}));
    load(&*a, "t", &ints("i", 0..3), WriteMode::Replace).await.unwrap();
    assert_eq!(a.list(&RelationPattern::default()).await.unwrap().len(), 1);
    assert!(b.list(&RelationPattern::default()).await.unwrap().is_empty());
    assert_ne!(a.context_id(), b.context_id());
}
