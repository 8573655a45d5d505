//! Reading: types, filters, limits, splits, cancelling.

use crate::support::*;
use arrow::array::*;
use arrow::datatypes::*;
use futures::StreamExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use xdb_core::*;

const TYPES: &str = "CREATE TABLE t (id INT PRIMARY KEY, i8 TINYINT, u8 TINYINT UNSIGNED, i16 SMALLINT, u16 SMALLINT UNSIGNED, \
    i24 MEDIUMINT, u24 MEDIUMINT UNSIGNED, i32 INT, u32 INT UNSIGNED, i64 BIGINT, u64 BIGINT UNSIGNED ZEROFILL, y YEAR, \
    d DECIMAL(65,30), m DECIMAL(12,2), f FLOAT, g DOUBLE, b BIT(1), bits BIT(64), c CHAR(5), v VARCHAR(20), l LONGTEXT, \
    e ENUM('x','y'), s SET('p','q'), bin BINARY(4), vb VARBINARY(9), bl BLOB, dt DATE, t DATETIME(6), ts TIMESTAMP(6) NULL, \
    tm TIME(6), u UUID, n6 INET6, j JSON, g2 POINT, lat VARCHAR(9) CHARACTER SET latin1)";

#[tokio::test]
async fn every_type_at_its_ends() {
    let Some(db) = Db::new("types", TYPES).await else { return };
    db.run(
        "INSERT INTO t VALUES (1, -128, 255, -32768, 65535, -8388608, 16777215, -2147483648, 4294967295, \
         -9223372036854775808, 18446744073709551615, 2155, -99999999999999999999999999999999999.999999999999999999999999999999, \
         -0.05, 1.1, 1.7976931348623157e308, b'1', 18446744073709551615, 'a  ', 'tab\\t 😀 ', '', 'y', 'p,q', 'ab', x'00ff', \
         x'', '9999-12-31', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.999999', '23:59:59.999999', \
         '123E4567-e89b-12d3-a456-426614174000', '::1', '{\"a\": [1,  2]}', POINT(1, 2), 'é'); \
         INSERT INTO t (id) VALUES (2)",
    )
    .await;
    let b = scan(&*db.c, "t", |_| {}).await.unwrap();
    let text = |name: &str| {
        let a = b.column_by_name(name).unwrap();
        arrow::util::display::array_value_to_string(a, 0).unwrap()
    };
    for (name, want) in [
        ("i8", "-128"),
        ("u8", "255"),
        ("i16", "-32768"),
        ("u16", "65535"),
        ("i24", "-8388608"),
        ("u24", "16777215"),
        ("i32", "-2147483648"),
        ("u32", "4294967295"),
        ("i64", "-9223372036854775808"),
        ("u64", "18446744073709551615"),
        ("y", "2155"),
        ("d", "-99999999999999999999999999999999999.999999999999999999999999999999"),
        ("m", "-0.05"),
        ("f", "1.1"),
        ("g", "1.7976931348623157e308"),
        ("b", "true"),
        ("bits", "18446744073709551615"),
        ("c", "a"),
        ("v", "tab\t 😀 "),
        ("l", ""),
        ("e", "y"),
        ("s", "p,q"),
        ("bin", "61620000"),
        ("vb", "00ff"),
        ("bl", ""),
        ("dt", "9999-12-31"),
        ("t", "9999-12-31T23:59:59.999999"),
        ("ts", "2038-01-19T03:14:07.999999Z"),
        ("tm", "23:59:59.999999"),
        ("u", "123e4567-e89b-12d3-a456-426614174000"),
        ("n6", "::1"),
        ("j", "{\"a\": [1,  2]}"),
        ("lat", "é"),
    ] {
        assert_eq!(text(name), want, "{name}");
    }
    assert_eq!(b.column_by_name("g2").unwrap().as_binary::<i32>().value(0).len(), 25);
    for (i, f) in b.schema().fields().iter().enumerate().skip(1) {
        assert!(b.column(i).is_null(1), "{}", f.name());
    }
    // The same by query, whose types come from the wire alone.
    let q = query(&*db.c, "SELECT * FROM t", &[]).await.unwrap();
    let types = |b: &RecordBatch| b.schema().fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
    assert_eq!(types(&q), types(&b));
    assert_eq!(q.columns(), b.columns());
    let schema = q.schema();
    assert_eq!(LogicalType::of(schema.field_with_name("u").unwrap()), Some(LogicalType::Uuid));
    assert_eq!(LogicalType::of(schema.field_with_name("j").unwrap()), Some(LogicalType::Json));
    db.done().await;
}

#[tokio::test]
async fn zero_dates_and_long_times() {
    let Some(db) = Db::new(
        "zero",
        "SET sql_mode = ''; CREATE TABLE t (id INT, d DATE NOT NULL, t DATETIME, ts TIMESTAMP NOT NULL DEFAULT '2000-01-01', tm TIME); \
         INSERT INTO t VALUES (1, '2024-01-01', '2024-01-01', '2024-01-01', '10:00:00'), (2, '0000-00-00', NULL, '2024-01-01', NULL), \
         (3, '2024-00-10', '2024-01-01', '2024-01-01', NULL), (4, '2024-01-01', '0000-00-00', '0000-00-00', '-01:00:00'), \
         (5, '2024-01-01', NULL, '2024-01-01', '838:59:59')",
    )
    .await
    else {
        return;
    };
    for (column, id, value) in [
        ("d", 2, "0000-00-00"),
        ("d", 3, "2024-00-10"),
        ("t", 4, "0000-00-00"),
        ("ts", 4, "0000-00-00"),
        ("tm", 4, "-01:00:00"),
        ("tm", 5, "838:59:59"),
    ] {
        let e = query(&*db.c, &format!("SELECT {column} FROM t WHERE id = {id}"), &[]).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Type);
        assert!(e.message().contains(&format!("`{column}`")) && e.message().contains(value), "{e:?}");
        assert!(e.hint_text().unwrap().contains("types: lossy"));
    }
    assert_eq!(scan(&*db.c, "t", |_| {}).await.unwrap_err().kind(), ErrorKind::Type);
    let lossy = |p: Vec<Predicate>| {
        let c = db.c.clone();
        async move {
            let b = scan(&*c, "t", |r| {
                r.types = TypePolicy::Lossy;
                r.predicates = p;
            })
            .await
            .unwrap();
            b.column(0).as_primitive::<Int32Type>().values().to_vec()
        }
    };
    // To Arrow these dates are NULL, and so they are to the filters on the server.
    let before = Predicate::Compare { column: "d".into(), op: CompareOp::Lt, value: Literal::Date(30_000) };
    assert_eq!(lossy(vec![before]).await, [1, 4, 5]);
    assert_eq!(lossy(vec![Predicate::IsNull { column: "d".into(), negated: false }]).await, [2, 3]);
    assert_eq!(lossy(vec![Predicate::IsNull { column: "t".into(), negated: false }]).await, [2, 4, 5]);
    assert_eq!(lossy(vec![Predicate::IsNull { column: "tm".into(), negated: true }]).await, [1]);
    db.done().await;
}

#[tokio::test]
async fn projection_limit_and_counts() {
    let Some(db) =
        Db::new("shape", "CREATE TABLE t AS SELECT seq a, seq * 2 b, 'x' `we``ird` FROM seq_1_to_50000").await
    else {
        return;
    };
    let b = scan(&*db.c, "t", |r| r.projection = Some(vec![2, 0])).await.unwrap();
    assert_eq!((b.schema().field(0).name().as_str(), b.num_rows()), ("we`ird", 50_000));
    let b = scan(&*db.c, "t", |r| r.projection = Some(vec![])).await.unwrap();
    assert_eq!((b.num_columns(), b.num_rows()), (0, 50_000));
    let b = scan(&*db.c, "t", |r| r.limit = Some(7)).await.unwrap();
    assert_eq!(b.num_rows(), 7);
    let (_, batches) = scan_splits(&*db.c, "t", |_| {}).await.unwrap();
    assert!(batches.len() >= 4 && batches.iter().all(|b| b.num_rows() <= 16_384));
    db.done().await;
}

/// Whatever `pushdown` calls exact must give the rows that Arrow's own comparison gives; inexact, at least those.
#[tokio::test]
async fn filters_mean_the_same_on_the_server() {
    let Some(db) = Db::new(
        "filters",
        "CREATE TABLE t (id INT, i INT, u BIGINT UNSIGNED, d DECIMAL(10,2), ci VARCHAR(10), bin VARCHAR(10) COLLATE utf8mb4_bin, \
         np VARCHAR(10) COLLATE utf8mb4_nopad_bin, c CHAR(10) COLLATE utf8mb4_nopad_bin, vb VARBINARY(10), dt DATE, ts DATETIME(6), \
         g DOUBLE, e ENUM('b','a'), lat VARCHAR(9) CHARACTER SET latin1 COLLATE latin1_swedish_ci); \
         INSERT INTO t VALUES \
         (1, -1, 0, -1.50, 'a', 'a', 'a', 'a', 'a', '2024-01-01', '2024-01-01', 1.5, 'a', 'a'), \
         (2, 0, 18446744073709551615, 1.50, 'A', 'A', 'A', 'A', 'A', '2024-01-02', '2024-01-01 00:00:00.000001', -1.5, 'b', 'A'), \
         (3, 1, 1, 0, 'a ', 'a ', 'a ', 'a ', 'a ', '1000-01-01', '1000-01-01', 0, NULL, 'a '), \
         (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), \
         (5, 2147483647, 5, 99999999.99, 'á', 'a\\t', 'a\\t', 'á', 'a\\0', '9999-12-31', '9999-12-31 23:59:59.999999', 1e300, 'a', 'é'), \
         (6, 7, 5, 7, '😀', '%_\\\\x', '%_\\\\x', '', '', '2024-02-29', '2024-02-29', -0e0, 'a', '')",
    )
    .await
    else {
        return;
    };
    let info = Arc::new(db.c.describe(&Relation::bare("t")).await.unwrap());
    let all = scan(&*db.c, "t", |_| {}).await.unwrap();
    let day = |t: &str| Literal::Date(t.parse::<i32>().unwrap());
    let text = |t: &str| Literal::Utf8(t.into());
    let constants: Vec<(&str, Vec<Literal>)> = vec![
        ("i", vec![Literal::Int(-1), Literal::Int(0), Literal::Int(i64::from(i32::MAX)), Literal::Int(i64::MIN)]),
        ("u", vec![Literal::UInt(u64::MAX), Literal::UInt(1), Literal::Int(-1)]),
        (
            "d",
            vec![
                Literal::Decimal { value: 150, scale: 2 },
                Literal::Decimal { value: -150, scale: 2 },
                Literal::Int(7),
            ],
        ),
        ("ci", vec![text("a"), text("A"), text("a "), text("😀")]),
        ("bin", vec![text("a"), text("a "), text("a\t"), text("%_\\x"), text("O'Brien")]),
        ("np", vec![text("a"), text("a "), text("a\t"), text("%_\\x")]),
        ("c", vec![text("a"), text("")]),
        ("vb", vec![Literal::Binary(b"a".to_vec()), Literal::Binary(vec![]), Literal::Binary(b"a\0".to_vec())]),
        ("dt", vec![day("19723"), day("19724"), day("2932896")]),
        (
            "ts",
            vec![
                Literal::Timestamp { micros: 1_704_067_200_000_000, utc: false },
                Literal::Timestamp { micros: 1_704_067_200_000_001, utc: false },
            ],
        ),
        ("g", vec![Literal::Float(1.5), Literal::Float(0.0), Literal::Float(1e300)]),
        ("e", vec![text("a"), text("b")]),
        ("lat", vec![text("a"), text("é"), text("😀"), text("日本")]),
    ];
    use CompareOp::*;
    let mut sent = 0;
    for (column, values) in &constants {
        let mut tests = vec![];
        for value in values {
            for op in [Eq, NotEq, Lt, LtEq, Gt, GtEq] {
                tests.push(Predicate::Compare { column: column.to_string(), op, value: value.clone() });
            }
            if let Literal::Utf8(prefix) = value {
                for negated in [false, true] {
                    tests.push(Predicate::StartsWith { column: column.to_string(), prefix: prefix.clone(), negated });
                }
            }
        }
        for negated in [false, true] {
            tests.push(Predicate::In { column: column.to_string(), values: values.clone(), negated });
            tests.push(Predicate::IsNull { column: column.to_string(), negated });
        }
        tests.extend(tests.clone().into_iter().map(|p| Predicate::Not(Box::new(p))));
        for p in tests {
            let answer = db.c.extract().unwrap().pushdown(&info, std::slice::from_ref(&p)).remove(0);
            if !answer.is_sent() {
                continue;
            }
            sent += 1;
            let want: Vec<i32> =
                (0..all.num_rows()).filter(|i| passes(&p, &all, *i) == Some(true)).map(|i| i as i32 + 1).collect();
            let b =
                scan(&*db.c, "t", |r| r.predicates = vec![p.clone()]).await.unwrap_or_else(|e| panic!("{p:?}: {e:?}"));
            let got = b.column(0).as_primitive::<Int32Type>().values().to_vec();
            match answer {
                Pushdown::Exact => assert_eq!(got, want, "{p:?}"),
                _ => assert!(want.iter().all(|w| got.contains(w)), "{p:?}: {got:?} lacks some of {want:?}"),
            }
        }
    }
    assert!(sent > 200, "{sent}");
    db.done().await;
}

/// Arrow's answer, in three values.
fn passes(p: &Predicate, b: &RecordBatch, row: usize) -> Option<bool> {
    use std::cmp::Ordering;
    let column = |c: &str| b.column_by_name(c).unwrap();
    let order = |c: &str, v: &Literal| -> Option<Ordering> {
        let a = column(c);
        if a.is_null(row) {
            return None;
        }
        let exact = |scale: u32| match v {
            Literal::Int(i) => i128::from(*i) * 10i128.pow(scale),
            Literal::UInt(u) => i128::from(*u) * 10i128.pow(scale),
            Literal::Decimal { value, .. } => *value,
            other => panic!("{other:?}"),
        };
        Some(match (a.data_type(), v) {
            (DataType::Int32, _) => i128::from(a.as_primitive::<Int32Type>().value(row)).cmp(&exact(0)),
            (DataType::UInt64, _) => i128::from(a.as_primitive::<UInt64Type>().value(row)).cmp(&exact(0)),
            (DataType::Decimal128(..), _) => a.as_primitive::<Decimal128Type>().value(row).cmp(&exact(2)),
            (DataType::Utf8, Literal::Utf8(t)) => a.as_string::<i32>().value(row).cmp(t),
            (DataType::Binary, Literal::Binary(t)) => a.as_binary::<i32>().value(row).cmp(t),
            (DataType::Date32, Literal::Date(d)) => a.as_primitive::<Date32Type>().value(row).cmp(d),
            (DataType::Timestamp(..), Literal::Timestamp { micros, .. }) => {
                a.as_primitive::<TimestampMicrosecondType>().value(row).cmp(micros)
            }
            (DataType::Float64, Literal::Float(f)) => {
                a.as_primitive::<Float64Type>().value(row).partial_cmp(f).unwrap()
            }
            other => panic!("{other:?}"),
        })
    };
    match p {
        Predicate::Compare { column, op, value } => order(column, value).map(|o| match op {
            CompareOp::Eq => o.is_eq(),
            CompareOp::NotEq => o.is_ne(),
            CompareOp::Lt => o.is_lt(),
            CompareOp::LtEq => o.is_le(),
            CompareOp::Gt => o.is_gt(),
            CompareOp::GtEq => o.is_ge(),
        }),
        Predicate::In { column, values, negated } => {
            let any = values.iter().map(|v| order(column, v)).collect::<Option<Vec<_>>>()?.iter().any(|o| o.is_eq());
            Some(any != *negated)
        }
        Predicate::IsNull { column: c, negated } => Some(column(c).is_null(row) != *negated),
        Predicate::StartsWith { column: c, prefix, negated } => {
            let a = column(c);
            (!a.is_null(row)).then(|| a.as_string::<i32>().value(row).starts_with(prefix.as_str()) != *negated)
        }
        Predicate::Not(p) => passes(p, b, row).map(|x| !x),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn splits_see_one_moment() {
    let Some(db) = Db::new(
        "splits",
        "CREATE TABLE t (id BIGINT PRIMARY KEY, v INT) AS SELECT seq id, 1 v FROM seq_1_to_100000; \
         INSERT INTO t VALUES (-5, 1), (9000000, 1); ANALYZE TABLE t",
    )
    .await
    else {
        return;
    };
    let request = |c: Arc<dyn Connector>| async move {
        let table = Arc::new(c.describe(&Relation::bare("t")).await.unwrap());
        let mut r = ScanRequest::all(table);
        r.parallelism = 4;
        r
    };
    let r = request(db.c.clone()).await;
    let e = db.c.extract().unwrap();
    let plan = e.plan(&r).await.unwrap();
    assert_eq!(plan.splits.len(), 4, "{plan:?}");
    // What happens after the plan isn't seen by any split.
    db.run("UPDATE t SET v = 2; INSERT INTO t VALUES (-6, 2), (50, 2) ON DUPLICATE KEY UPDATE v = 3; DELETE FROM t WHERE id > 500").await;
    for _again in 0..2 {
        let mut rows = 0;
        let mut sum = 0;
        for split in &plan.splits {
            let b = gather(e.read(split, &ReadContext::default()).await.unwrap()).await.unwrap();
            rows += b.num_rows();
            sum += b.column(1).as_primitive::<Int32Type>().values().iter().sum::<i32>();
        }
        assert_eq!((rows, sum), (100_002, 100_002));
    }
    let split = plan.splits[0].clone();
    drop(plan);
    assert!(e.read(&split, &ReadContext::default()).await.is_err(), "the snapshot is gone with its guard");

    // An uncommitted change must not be seen by some splits and not by others: no lock, one split.
    db.run("INSERT INTO t SELECT seq, 1 FROM seq_1000000_to_1100000; ANALYZE TABLE t").await;
    let r = request(db.c.clone()).await;
    let held = Holder::new(&db, "START TRANSACTION; UPDATE t SET v = 9 WHERE id = 1").await;
    let start = Instant::now();
    let plan = e.plan(&r).await.unwrap();
    assert_eq!(plan.splits.len(), 1);
    assert!(start.elapsed() < Duration::from_secs(3));
    held.release().await;
    assert_eq!(e.plan(&r).await.unwrap().splits.len(), 4);

    // Without the right to lock tables: one split.
    let reader = db.with(serde_json::json!({"user": "xdb_reader", "password": "reader-Pa55"}));
    let r = request(reader.clone()).await;
    assert_eq!(reader.extract().unwrap().plan(&r).await.unwrap().splits.len(), 1);
    // Nor for an engine that has no transactions.
    db.run("ALTER TABLE t ENGINE = MyISAM").await;
    let r = request(db.c.clone()).await;
    assert_eq!(e.plan(&r).await.unwrap().splits.len(), 1);
    db.done().await;
}

/// Another session that keeps something locked: a query that runs on until it is dropped.
pub(crate) struct Holder {
    task: tokio::task::JoinHandle<()>,
}
impl Holder {
    pub(crate) async fn new(db: &Db, sql: &str) -> Self {
        let c = db.with(serde_json::json!({}));
        let sql = format!("{sql}; SELECT SLEEP(60)");
        let marker = format!("{:?}", std::thread::current().id());
        let _ = marker;
        let task = tokio::spawn(async move {
            let _ = c.execute().unwrap().run(&sql).await;
        });
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            let n = db
                .scalar(&format!("SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{}' AND info LIKE 'SELECT SLEEP(60)%'", db.name))
                .await;
            if n == "1" {
                return Self { task };
            }
        }
        panic!("the other session did not start");
    }
    pub(crate) async fn release(self) {
        self.task.abort();
        let _ = self.task.await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn dropping_a_stream_stops_the_query_on_the_server() {
    let Some(db) = Db::new("cancel", "CREATE TABLE t (id INT PRIMARY KEY) AS SELECT seq id FROM seq_1_to_20000").await
    else {
        return;
    };
    let running = |what: &'static str| {
        format!("SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{}' AND info LIKE '{what}%'", db.name)
    };
    // While rows are coming: twenty million would take many seconds.
    let sql = "SELECT /* slow */ a.id, b.id, REPEAT('x', 100) FROM t a, t b";
    let mut s = db.c.execute().unwrap().query(sql, &[], &ReadContext::default()).await.unwrap();
    assert!(s.next().await.unwrap().unwrap().num_rows() > 0);
    assert_eq!(db.scalar(&running("SELECT /* slow */")).await, "1");
    let start = Instant::now();
    drop(s);
    wait_until_gone(&db, &running("SELECT /* slow */")).await;
    assert!(start.elapsed() < Duration::from_secs(3));

    // While the server is still thinking.
    let c = db.c.clone();
    let task = tokio::spawn(async move {
        let _ = query(&*c, "SELECT /* think */ SLEEP(100)", &[]).await;
    });
    let mut started = false;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        started |= db.scalar(&running("SELECT /* think */")).await == "1";
        if started {
            break;
        }
    }
    assert!(started);
    task.abort();
    wait_until_gone(&db, &running("SELECT /* think */")).await;
    db.done().await;
}
async fn wait_until_gone(db: &Db, sql: &str) {
    for _ in 0..150 {
        if db.scalar(sql).await == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("still running: {}", db.show("SHOW FULL PROCESSLIST").await);
}

#[tokio::test]
async fn a_consumer_that_waits_holds_the_server_back() {
    let Some(db) =
        Db::new("pressure", "CREATE TABLE t AS SELECT seq id, REPEAT('x', 1000) x FROM seq_1_to_200000").await
    else {
        return;
    };
    let table = Arc::new(db.c.describe(&Relation::bare("t")).await.unwrap());
    let e = db.c.extract().unwrap();
    let plan = e.plan(&ScanRequest::all(table)).await.unwrap();
    let ctx = ReadContext { batch_bytes: 1 << 20, ..ReadContext::default() };
    let mut s = e.read(&plan.splits[0], &ctx).await.unwrap();
    s.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ahead = ctx.stats.bytes();
    assert!(ahead < 20 << 20, "{ahead} bytes read ahead of the consumer");
    let mut rows = 0;
    while let Some(b) = s.next().await {
        rows += b.unwrap().num_rows();
    }
    assert!(rows > 190_000);
    assert!(ctx.stats.rows() == 200_000 && ctx.stats.bytes() > 200_000_000);
    db.done().await;
}

#[tokio::test]
async fn query_timeout() {
    let Some(db) = Db::new("timeout", "").await else { return };
    let c = db.with(serde_json::json!({"query_timeout": "200ms"}));
    let start = Instant::now();
    let e = query(&*c, "SELECT COUNT(*) FROM seq_1_to_100000000 a, seq_1_to_1000 b WHERE a.seq + b.seq = 7", &[])
        .await
        .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout, "{e:?}");
    assert!(start.elapsed() < Duration::from_secs(5) && e.hint_text().unwrap().contains("query_timeout"));
    db.done().await;
}
