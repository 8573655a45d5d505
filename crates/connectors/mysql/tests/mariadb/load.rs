//! Loading: exact round trips, the three modes, locks, aborts.

use crate::read::Holder;
use crate::support::*;
use arrow::array::*;
use arrow::datatypes::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use xdb_core::types::LOGICAL_KEY;
use xdb_core::*;

fn every_type() -> RecordBatch {
    let us = TimeUnit::Microsecond;
    let text = ["", "\\N", "a\tb\nc\r\\", "O'Brien \" \0 \x1a", "😀 é \u{10FFFF}", "NULL"];
    let n = text.len() + 1;
    let o = |v: Vec<i64>| v.into_iter().map(Some).chain([None]).collect::<Vec<_>>();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new((0..n as i32).collect::<Int32Array>())),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), Some(true), None, None, None, None]))),
        ("i8", Arc::new(Int8Array::from(vec![Some(i8::MIN), Some(i8::MAX), Some(0), None, None, None, None]))),
        ("u64", Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(0), None, None, None, None, None]))),
        ("i64", Arc::new(Int64Array::from(o(vec![i64::MIN, i64::MAX, 0, -1, 1, 2])))),
        ("f", Arc::new(Float32Array::from(vec![1.1, f32::MAX, f32::MIN_POSITIVE, -2.5, 1e-30, 16_777_217.0, 0.1]))),
        (
            "g",
            Arc::new(Float64Array::from(vec![
                0.1,
                f64::MAX,
                2.2250738585072014e-308,
                -1.5,
                1e-300,
                9_007_199_254_740_993.0,
                3.0,
            ])),
        ),
        (
            "d",
            Arc::new(
                Decimal128Array::from(vec![
                    Some(10i128.pow(38) - 1),
                    Some(-(10i128.pow(38)) + 1),
                    Some(0),
                    Some(-5),
                    None,
                    None,
                    None,
                ])
                .with_precision_and_scale(38, 10)
                .unwrap(),
            ),
        ),
        (
            "w",
            Arc::new(
                Decimal256Array::from(vec![
                    i256::from_string(&"9".repeat(65)),
                    i256::from_string(&format!("-{}", "9".repeat(65))),
                    None,
                    None,
                    None,
                    None,
                    None,
                ])
                .with_precision_and_scale(65, 30)
                .unwrap(),
            ),
        ),
        ("t", Arc::new(text.iter().map(|t| Some(*t)).chain([None]).collect::<StringArray>())),
        ("bin", Arc::new(text.iter().map(|t| Some(t.as_bytes())).chain([None]).collect::<BinaryArray>())),
        (
            "raw",
            Arc::new(BinaryArray::from_vec(vec![
                &[0, 255, 254],
                &(0..=255).collect::<Vec<u8>>(),
                b"",
                b"\\",
                b"\n",
                b"\t",
                b"'",
            ])),
        ),
        ("date", Arc::new(Date32Array::from(vec![-719_162, 2_932_896, 0, -1, 19_782, 1, 2]))),
        (
            "ts",
            Arc::new(TimestampMicrosecondArray::from(o(vec![
                0,
                -1,
                1,
                -62_135_596_800_000_000,
                253_402_300_799_999_999,
                5,
            ]))),
        ),
        (
            "tz",
            Arc::new(
                TimestampMicrosecondArray::from(o(vec![0, -1, 1, 2, 4_102_444_800_000_000, 5])).with_timezone("+02:00"),
            ),
        ),
        ("tm", Arc::new(Time64MicrosecondArray::from(o(vec![0, 1, 86_399_999_999, 3, 4, 5])))),
    ];
    let fields: Vec<Field> = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
    let _ = us;
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|c| c.1).collect()).unwrap()
}

#[tokio::test]
async fn every_value_comes_back_by_each_way_of_loading() {
    let Some(db) = Db::new("roundtrip", "").await else { return };
    let batch = every_type();
    for way in ["auto", "off"] {
        let c = db.with(serde_json::json!({"local_infile": way, "tinyint1_is_bool": true}));
        let report = load(&*c, "t", &batch, LoadOptions::default()).await.unwrap();
        assert_eq!((report.rows, report.notes.len()), (7, 0), "{report:?}");
        let back = scan(&*c, "t", |_| {}).await.unwrap();
        // The server keeps no order; `id` is the row's number.
        let order = arrow::compute::sort_to_indices(back.column(0), None, None).unwrap();
        for (i, f) in batch.schema().fields().iter().enumerate() {
            let got = arrow::compute::take(back.column(i), &order, None).unwrap();
            let want = match f.name().as_str() {
                // In UTC, without the zone.
                "tz" => {
                    let v = batch.column(i).as_primitive::<TimestampMicrosecondType>();
                    Arc::new(v.clone().with_timezone_opt(None::<Arc<str>>)) as ArrayRef
                }
                _ => batch.column(i).clone(),
            };
            assert_eq!(&got, &want, "{way}: {}", f.name());
        }
        assert_eq!(db.leftovers().await, "0");
    }
    db.done().await;
}

#[tokio::test]
async fn types_that_arrive_as_others() {
    let Some(db) = Db::new("widened", "").await else { return };
    let nested: ArrayRef =
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]));
    let dict: DictionaryArray<Int8Type> = vec![Some("x"), None].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("list", nested),
        ("dict", Arc::new(dict)),
        ("view", Arc::new(StringViewArray::from(vec![Some("a longer text than twelve bytes"), None]))),
        ("dur", Arc::new(DurationMillisecondArray::from(vec![Some(5), None]))),
        ("secs", Arc::new(TimestampSecondArray::from(vec![Some(1), None]))),
        ("nanos", Arc::new(TimestampNanosecondArray::from(vec![Some(1_000), None]))),
        ("null", Arc::new(NullArray::new(2))),
        ("half", Arc::new(Time32SecondArray::from(vec![Some(1), None]))),
    ];
    let mut fields: Vec<Field> = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
    let uuid: ArrayRef = Arc::new(StringArray::from(vec![Some("123e4567-e89b-12d3-a456-426614174000"), None]));
    fields.push(
        Field::new("uuid", DataType::Utf8, true).with_metadata([(LOGICAL_KEY.to_string(), "uuid".to_string())].into()),
    );
    let arrays = columns.into_iter().map(|c| c.1).chain([uuid]).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    load(&*db.c, "t", &batch, LoadOptions::default()).await.unwrap();
    let shown = db.show("SELECT list, dict, dur, secs, nanos, `null`, half, uuid FROM t ORDER BY list IS NULL").await;
    let row = shown.lines().nth(3).unwrap().split('|').map(str::trim).collect::<Vec<_>>();
    assert_eq!(
        row[1..9],
        [
            "[1,null]",
            "x",
            "5000",
            "1970-01-01T00:00:01",
            "1970-01-01T00:00:00.000001",
            "",
            "00:00:01",
            "123e4567-e89b-12d3-a456-426614174000"
        ]
    );
    db.done().await;
}

fn rows(ids: &[i32], v: &[&str]) -> RecordBatch {
    let schema =
        Arc::new(Schema::new(vec![Field::new("id", DataType::Int32, true), Field::new("v", DataType::Utf8, true)]));
    RecordBatch::try_new(
        schema,
        vec![Arc::new(Int32Array::from(ids.to_vec())), Arc::new(StringArray::from(v.to_vec()))],
    )
    .unwrap()
}
fn mode(mode: WriteMode) -> LoadOptions {
    LoadOptions { mode, ..LoadOptions::default() }
}

#[tokio::test]
async fn what_mysql_cannot_hold_is_an_error_and_the_target_stays() {
    let Some(db) = Db::new("inexact", "CREATE TABLE t AS SELECT 'old' x").await else { return };
    let one = |a: ArrayRef| {
        let schema = Arc::new(Schema::new(vec![Field::new("c", a.data_type().clone(), true)]));
        RecordBatch::try_new(schema, vec![a]).unwrap()
    };
    let cases: Vec<(ArrayRef, &str)> = vec![
        (Arc::new(Float64Array::from(vec![1.0, f64::NAN])), "NaN"),
        (Arc::new(Float32Array::from(vec![f32::INFINITY])), "inf"),
        (Arc::new(Date32Array::from(vec![-1_000_000])), "-1000000"),
        (Arc::new(TimestampNanosecondArray::from(vec![1])), "000000001"),
    ];
    for (array, value) in cases {
        let batch = one(array);
        let e = load(&*db.c, "t", &batch, LoadOptions::default()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Type, "{e:?}");
        assert!(e.message().contains("`c`") && e.message().contains(value), "{e:?}");
        assert_eq!(db.scalar("SELECT x FROM t").await, "old");
        assert_eq!(db.leftovers().await, "0");
        let lossy = LoadOptions { types: TypePolicy::Lossy, ..LoadOptions::default() };
        load(&*db.c, "t2", &batch, lossy).await.unwrap();
    }
    let interval = one(Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, 2, 3)])));
    assert_eq!(load(&*db.c, "t", &interval, LoadOptions::default()).await.unwrap_err().kind(), ErrorKind::Type);
    db.done().await;
}

#[tokio::test]
async fn replace_keeps_keys_and_takes_the_place_of_a_view() {
    let Some(db) = Db::new(
        "replace",
        "CREATE TABLE t (id INT PRIMARY KEY, gone INT, v VARCHAR(9), KEY k (gone), KEY first (v(3))); INSERT INTO t VALUES (1, 1, 'old'); \
         CREATE VIEW v AS SELECT 1 x; CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.gone = 1; \
         CREATE TABLE parent (id INT PRIMARY KEY); CREATE TABLE child (p INT, FOREIGN KEY (p) REFERENCES parent (id))",
    )
    .await
    else {
        return;
    };
    let report = load(&*db.c, "t", &rows(&[7, 8], &["a", "b"]), LoadOptions::default()).await.unwrap();
    assert!(report.notes.iter().any(|n| n.contains("KEY `k` (`gone`)")), "{report:?}");
    assert!(report.notes.iter().any(|n| n.contains("trigger tr")), "{report:?}");
    assert_eq!(db.scalar("SELECT GROUP_CONCAT(DISTINCT index_name ORDER BY 1) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 't'").await, "first,PRIMARY");
    assert_eq!(db.scalar("SELECT GROUP_CONCAT(v ORDER BY id) FROM t").await, "a,b");
    load(&*db.c, "v", &rows(&[1], &["x"]), LoadOptions::default()).await.unwrap();
    assert_eq!(db.scalar("SELECT v FROM v").await, "x");
    let e = load(&*db.c, "parent", &rows(&[1], &["x"]), LoadOptions::default()).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Unsupported && e.message().contains("child"), "{e:?}");
    assert_eq!(db.leftovers().await, "0");
    db.done().await;
}

#[tokio::test]
async fn append_and_merge() {
    let Some(db) = Db::new(
        "merge",
        "CREATE TABLE t (id INT, v VARCHAR(5), extra INT DEFAULT 9); INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2); \
         CREATE TABLE k (id INT PRIMARY KEY, v VARCHAR(5), extra INT DEFAULT 9); INSERT INTO k SELECT * FROM t",
    )
    .await
    else {
        return;
    };
    let all = |t: &str| format!("SELECT GROUP_CONCAT(id, v, extra ORDER BY id, v) FROM {t}");
    load(&*db.c, "t", &rows(&[3], &["three"]), mode(WriteMode::Append)).await.unwrap();
    assert_eq!(db.scalar(&all("t")).await, "1one1,2two2,3three9");
    let merge = || mode(WriteMode::Merge { unique_key: vec!["id".into()] });
    load(&*db.c, "t", &rows(&[2, 4], &["TWO", "four"]), merge()).await.unwrap();
    assert_eq!(db.scalar(&all("t")).await, "1one1,2TWO9,3three9,4four9");
    // With a unique key the row stays, and so does what isn't written.
    let report = load(&*db.c, "k", &rows(&[2, 4], &["TWO", "four"]), merge()).await.unwrap();
    assert_eq!(report.rows, 2);
    assert_eq!(db.scalar(&all("k")).await, "1one1,2TWO2,4four9");

    let e = load(&*db.c, "k", &rows(&[5, 5], &["a", "b"]), merge()).await.unwrap_err();
    assert!(e.message().contains("(id) = (5)"), "{e:?}");
    // Too long for the target: an error, not a shorter text.
    let e = load(&*db.c, "k", &rows(&[6], &["too long"]), mode(WriteMode::Append)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Type, "{e:?}");
    let wide = RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(vec![1i64 << 40])) as ArrayRef)]).unwrap();
    let e = load(&*db.c, "t", &wide, mode(WriteMode::Append)).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Type && e.message().contains("Out of range"), "{e:?}");
    let e = load(&*db.c, "k", &rows(&[1], &["dup"]), mode(WriteMode::Append)).await.unwrap_err();
    assert!(e.message().contains("Duplicate"), "{e:?}");
    let e = load(&*db.c, "nowhere", &rows(&[1], &["x"]), mode(WriteMode::Append)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert_eq!(db.scalar(&all("k")).await, "1one1,2TWO2,4four9");

    // Types of the target that would round in silence.
    db.run("CREATE TABLE r (t DATETIME, d DECIMAL(4,1), b BIT(1))").await;
    let r = |us: i64, d: i128, scale: i8| {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("t", Arc::new(TimestampMicrosecondArray::from(vec![us]))),
            ("d", Arc::new(Decimal128Array::from(vec![d]).with_precision_and_scale(4, scale).unwrap())),
            ("b", Arc::new(BooleanArray::from(vec![true]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    for way in ["auto", "off"] {
        let c = db.with(serde_json::json!({"local_infile": way}));
        load(&*c, "r", &r(1_000_000, 15, 1), mode(WriteMode::Append)).await.unwrap();
        let e = load(&*c, "r", &r(1_500_000, 15, 1), mode(WriteMode::Append)).await.unwrap_err();
        assert!(e.kind() == ErrorKind::Type && e.message().contains("00:00:01.5"), "{e:?}");
        let e = load(&*c, "r", &r(0, 1, 2), mode(WriteMode::Append)).await.unwrap_err();
        assert!(e.kind() == ErrorKind::Type && e.message().contains("`d`"), "{e:?}");
    }
    assert_eq!(
        db.scalar("SELECT GROUP_CONCAT(t, d, b + 0) FROM r").await,
        "1970-01-01 00:00:011.51,1970-01-01 00:00:011.51"
    );
    assert_eq!(db.leftovers().await, "0");
    db.done().await;
}

#[tokio::test]
async fn a_locked_target_is_a_conflict_and_stays_as_it_was() {
    let Some(db) = Db::new("locked", "CREATE TABLE t AS SELECT 1 id, 'old' v").await else { return };
    let c = db.with(serde_json::json!({"lock_timeout": "1s"}));
    let held = Holder::new(&db, "START TRANSACTION; SELECT * FROM t FOR UPDATE").await;
    for m in [WriteMode::Replace, WriteMode::Append] {
        let start = Instant::now();
        // The row lock of an append is taken only where rows meet; the table's own is enough for the swap.
        let out = load(&*c, "t", &rows(&[1], &["new"]), mode(m.clone())).await;
        if m == WriteMode::Append && out.is_ok() {
            continue;
        }
        let e = out.unwrap_err();
        assert_eq!((e.kind(), e.is_retryable()), (ErrorKind::Conflict, true), "{e:?}");
        assert!(e.hint_text().unwrap().contains("lock_timeout") && start.elapsed() < Duration::from_secs(8), "{e:?}");
    }
    held.release().await;
    assert!(db.scalar("SELECT GROUP_CONCAT(v ORDER BY v) FROM t").await.contains("old"));
    assert_eq!(db.leftovers().await, "0");
    db.done().await;
}

#[tokio::test]
async fn aborted_and_dropped_sessions_leave_nothing() {
    let Some(db) = Db::new("abort", "CREATE TABLE t AS SELECT 'old' v").await else { return };
    let batch = rows(&[1], &["x"]);
    let begin = || async {
        let mut s =
            db.c.load().unwrap().begin(&Relation::bare("t"), batch.schema(), &LoadOptions::default()).await.unwrap();
        s.write(batch.clone()).await.unwrap();
        s
    };
    begin().await.abort().await.unwrap();
    assert_eq!(db.leftovers().await, "0");
    let s = begin().await;
    // A table that is being filled is not swept away by another run; one that a dead run left is.
    db.run("CREATE TABLE _xdb_new_0badc0de_t (a INT)").await;
    begin().await.abort().await.unwrap();
    assert_eq!(db.leftovers().await, "1");
    drop(s);
    for _ in 0..50 {
        if db.leftovers().await == "0" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(db.leftovers().await, "0");
    assert_eq!(db.scalar("SELECT v FROM t").await, "old");
    db.done().await;
}

#[tokio::test]
async fn empty_loads_big_values_and_many_workers() {
    let Some(db) = Db::new("sizes", "").await else { return };
    let empty = rows(&[], &[]);
    assert_eq!(load(&*db.c, "e", &empty, LoadOptions::default()).await.unwrap().rows, 0);
    assert_eq!(db.scalar("SELECT COUNT(*) FROM e").await, "0");

    let big = "x\n".repeat(10 << 20);
    let report = load(&*db.c, "big", &rows(&[1, 2], &[&big, "y"]), LoadOptions::default()).await.unwrap();
    assert_eq!(report.rows, 2);
    let back = scan(&*db.c, "big", |_| {}).await.unwrap();
    assert!(back.column(1).as_string::<i32>().iter().flatten().any(|v| v == big));

    let n = 200_000;
    let ids: Vec<i32> = (0..n).collect();
    let texts: Vec<String> = ids.iter().map(|i| format!("text {i}")).collect();
    let batch = rows(&ids, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let options = LoadOptions { parallelism: 4, ..LoadOptions::default() };
    let mut s = db.c.load().unwrap().begin(&Relation::bare("many"), batch.schema(), &options).await.unwrap();
    for at in (0..n as usize).step_by(1000) {
        s.write(batch.slice(at, 1000)).await.unwrap();
    }
    assert_eq!(s.commit().await.unwrap().rows, n as u64);
    assert_eq!(options.stats.rows(), n as u64);
    assert_eq!(
        db.scalar("SELECT COUNT(DISTINCT id) + SUM(v = CONCAT('text ', id)) FROM many").await,
        (2 * n).to_string()
    );
    db.done().await;
}

#[tokio::test]
async fn a_reader_may_not_write() {
    let Some(db) = Db::new("readonly", "CREATE TABLE t AS SELECT 'old' v").await else { return };
    let reader = db.with(serde_json::json!({"user": "xdb_reader", "password": "reader-Pa55"}));
    let e = load(&*reader, "t", &rows(&[1], &["x"]), LoadOptions::default()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Permission, "{e:?}");
    assert!(e.context().sql.is_some() && e.context().connection.as_deref() == Some("crm"));
    db.done().await;
}
