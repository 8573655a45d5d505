//! CSV and NDJSON: inference, quoting, compression.

use super::*;
use arrow::array::*;

use proptest::prelude::*;

#[tokio::test]
async fn types_are_inferred_and_values_exact() {
    let dir = tempfile::tempdir().unwrap();
    put(
        dir.path(),
        "t.csv",
        "\u{feff}id,price,zip,when,at,ok,f,note\r\n\
         1,12.50,00123,2024-02-29,2024-02-29 10:00:00,true,1e3,\"a \"\"b\"\"\r\nc\"\r\n\
         2,-0.05,10115,,2024-03-01 00:00:00.5,FALSE,2.5,\"\"\r\n\
         3,,99999,2024-03-01,,,,\r\n",
    );
    let f = open(dir.path(), json!({}));
    let info = f.describe(&rel("t")).await.unwrap();
    assert_eq!(
        types(&info.schema),
        [
            "id: Int64",
            "price: Decimal128(18, 2)",
            "zip: Utf8",
            "when: Date32",
            "at: Timestamp(µs)",
            "ok: Boolean",
            "f: Float64",
            "note: Utf8"
        ]
    );
    assert_eq!(info.row_estimate, Some(3));
    assert_eq!(info.columns[1].source_type, "decimal(18,2)");
    let b = read(&f, "t").await.unwrap();
    assert_eq!(shown(&b, "price"), ["12.50", "-0.05", "∅"]);
    assert_eq!(shown(&b, "zip"), ["00123", "10115", "99999"]);
    assert_eq!(shown(&b, "at"), ["2024-02-29T10:00:00", "2024-03-01T00:00:00.500", "∅"]);
    assert_eq!(strings(&b, "note"), [Some("a \"b\"\r\nc".into()), Some("".into()), None]);
}

#[tokio::test]
async fn faults_name_file_line_column_and_value() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "many.csv", "a,b\n1,2\n\n3,4,5\n");
    put(dir.path(), "few.csv", "a,b\n1,2\n3\n");
    put(dir.path(), "open.csv", "a,b\n1,\"2\n3,4\n");
    put(dir.path(), "latin.csv", b"a,b\n1,caf\xe9\n");
    put(dir.path(), "empty.csv", "");
    put(dir.path(), "twice.csv", "a,a\n");
    put(dir.path(), "cut.csv.gz", b"\x1f\x8b\x08\x00\x00");
    put(dir.path(), "array.json", "[{\"a\":1}]\n");
    put(dir.path(), "bad.ndjson", "{\"a\":1}\n\n{\"a\":}\n");
    put(dir.path(), "none.ndjson", "\n");
    let f = open(dir.path(), json!({}));
    for (name, place, words) in [
        ("many", "many.csv:4", "3 fields"),
        ("few", "few.csv:3", "1 field,"),
        ("open", "open.csv:2", "never closes"),
        ("latin", "latin.csv:2", "UTF-8"),
        ("empty", "", "empty.csv"),
        ("twice", "twice.csv:1", "`a`"),
        ("cut", "cut.csv.gz", "cut off"),
        ("array", "array.json:1", "array"),
        ("bad", "bad.ndjson:3", "byte 6"),
        ("none", "", "none.ndjson"),
    ] {
        let e = read(&f, name).await.unwrap_err();
        assert!(e.message().contains(words), "{name}: {e:?}");
        assert!(e.context().location.as_deref().unwrap_or_default().ends_with(place), "{name}: {e:?}");
        assert_eq!(e.context().connection.as_deref(), Some("lake"), "{e:?}");
        assert!(e.hint_text().is_some() || name == "cut", "{name} {e:?}");
        assert!(!e.is_retryable(), "{name}: {e:?}");
    }
}

#[tokio::test]
async fn a_later_misfit_is_an_error_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "t.csv", "id,n\n1,2\n2,3\n3,x9\n");
    put(dir.path(), "j.ndjson", "{\"a\":1}\n{\"a\":2}\n{\"a\":3,\"b\":4}\n");
    let f = open(dir.path(), json!({"sample_rows": 2}));
    assert_eq!(f.describe(&rel("t")).await.unwrap().row_estimate, None);
    let e = read(&f, "t").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Type);
    for words in ["`n`", "x9", "int64"] {
        assert!(e.message().contains(words), "{e:?}");
    }
    assert!(e.context().location.as_deref().unwrap().ends_with("t.csv:4"), "{e:?}");
    assert!(e.hint_text().unwrap().contains("sample_rows: 0"), "{e:?}");
    // A column that isn't read isn't converted.
    let ids = read_with(&f, "t", |r| r.projection = Some(vec![0])).await.unwrap();
    assert_eq!(ids.num_rows(), 3);
    let e = read(&f, "j").await.unwrap_err();
    assert!(e.message().contains("`b`") && e.context().location.as_deref().unwrap().ends_with(":3"), "{e:?}");

    let all = open(dir.path(), json!({"sample_rows": 0}));
    assert_eq!(strings(&read(&all, "t").await.unwrap(), "n"), ["2", "3", "x9"].map(|s| Some(s.to_string())));
    assert_eq!(read(&all, "j").await.unwrap().num_columns(), 2);
}

#[tokio::test]
async fn globs_read_as_one_table_with_joint_types() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "raw/orders_1.csv", "id,amount\n1,5\n");
    put(dir.path(), "raw/orders_2.csv.gz", {
        use std::io::Write;
        let mut g = flate2::write::GzEncoder::new(vec![], Default::default());
        g.write_all(b"amount,id\n2.75,2\n").unwrap();
        g.finish().unwrap()
    });
    put(dir.path(), "raw/other.csv", "x\n1\n");
    put(dir.path(), "raw/.hidden.csv", "x\n1\n");
    put(dir.path(), "odd/a.csv", "id,amount\n1,5\n");
    put(dir.path(), "odd/b.csv", "id,amnt\n1,5\n");
    put(dir.path(), "mixed/a.csv", "id\n1\n");
    put(dir.path(), "mixed/b.ndjson", "{\"id\":1}\n");
    let f = open(dir.path(), json!({}));
    for parallelism in [1, 2, 5] {
        let b = read_with(&f, "raw/orders_*", |r| r.parallelism = parallelism).await.unwrap();
        assert_eq!(shown(&b, "id"), ["1", "2"]);
        assert_eq!(shown(&b, "amount"), ["5.00", "2.75"]);
    }
    let e = read(&f, "odd/*.csv").await.unwrap_err();
    assert!(e.message().contains("b.csv") && e.message().contains("`amnt`"), "{e:?}");
    let e = read(&f, "mixed/*").await.unwrap_err();
    assert!(e.message().contains("a.csv") && e.message().contains("b.ndjson"), "{e:?}");
    let e = read(&f, "raw/nothing_*.csv").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn predicates_limits_and_projections_are_exact() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..1000)
        .map(|i| format!("{i},{}\n", if i % 10 == 0 { String::new() } else { format!("t{}", i % 7) }))
        .collect();
    put(dir.path(), "t.csv", format!("id,t\n{rows}"));
    let f = open(dir.path(), json!({}));
    let p = vec![
        Predicate::Compare { column: "id".into(), op: CompareOp::GtEq, value: Literal::Int(500) },
        Predicate::IsNull { column: "t".into(), negated: false },
    ];
    let info = f.describe(&rel("t")).await.unwrap();
    assert_eq!(f.extract().unwrap().pushdown(&info, &p), [Pushdown::Exact, Pushdown::Exact]);
    let b = read_with(&f, "t", |r| {
        r.predicates = p.clone();
        r.projection = Some(vec![1]);
    })
    .await
    .unwrap();
    assert_eq!((b.num_rows(), b.num_columns(), b.column(0).null_count()), (50, 1, 50));
    let b = read_with(&f, "t", |r| {
        r.predicates = p.clone();
        r.projection = Some(vec![]);
        r.limit = Some(7);
    })
    .await
    .unwrap();
    assert_eq!((b.num_rows(), b.num_columns()), (7, 0));
    let count = read_with(&f, "t", |r| r.projection = Some(vec![])).await.unwrap();
    assert_eq!(count.num_rows(), 1000);
}

#[tokio::test]
async fn batches_are_bounded_and_bytes_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("id,t\n{}", (0..5000).map(|i| format!("{i},{}\n", "x".repeat(100))).collect::<String>());
    put(dir.path(), "t.csv", &text);
    let f = open(dir.path(), json!({}));
    let request = ScanRequest::all(Arc::new(f.describe(&rel("t")).await.unwrap()));
    let plan = f.extract().unwrap().plan(&request).await.unwrap();
    let ctx = ReadContext { batch_rows: 1000, batch_bytes: 20_000, ..Default::default() };
    let all = f.extract().unwrap().read(&plan.splits[0], &ctx).await.unwrap().collect().await.unwrap();
    assert!(all.iter().all(|b| b.num_rows() <= 190), "{}", all[0].num_rows());
    assert_eq!(ctx.stats.rows(), 5000);
    assert_eq!(ctx.stats.bytes(), text.len() as u64);
}

#[tokio::test]
async fn dropping_the_stream_stops_the_reading() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("id,t\n{}", (0..200_000).map(|i| format!("{i},some text\n")).collect::<String>());
    put(dir.path(), "t.csv", &text);
    let f = open(dir.path(), json!({"sample_rows": 10}));
    let request = ScanRequest::all(Arc::new(f.describe(&rel("t")).await.unwrap()));
    let plan = f.extract().unwrap().plan(&request).await.unwrap();
    let ctx = ReadContext { batch_rows: 100, ..Default::default() };
    let mut s = f.extract().unwrap().read(&plan.splits[0], &ctx).await.unwrap();
    futures::StreamExt::next(&mut s).await.unwrap().unwrap();
    drop(s);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let after = ctx.stats.bytes();
    assert!(after < text.len() as u64 / 2, "{after} of {}", text.len());
    // The runtime's shutdown waits for blocking threads: a reader that doesn't stop would hang this test.
}

#[tokio::test]
async fn a_file_that_changes_between_plan_and_read_is_a_conflict() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "t.csv", "id\n1\n");
    let f = open(dir.path(), json!({}));
    let request = ScanRequest::all(Arc::new(f.describe(&rel("t")).await.unwrap()));
    let plan = f.extract().unwrap().plan(&request).await.unwrap();
    put(dir.path(), "t.csv", "id\n1\n2\n");
    let s = f.extract().unwrap().read(&plan.splits[0], &ReadContext::default()).await.unwrap();
    let e = s.collect().await.unwrap_err();
    assert_eq!((e.kind(), e.is_retryable()), (ErrorKind::Conflict, true), "{e:?}");
}

#[tokio::test]
async fn styles_are_obeyed() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "t.tsv", "a\tb\n1\tx,y\n");
    put(dir.path(), "s.csv", "1;'a;b';\\N\n2;;x\n");
    let f = open(dir.path(), json!({}));
    assert_eq!(strings(&read(&f, "t").await.unwrap(), "b"), [Some("x,y".into())]);
    let f = open(dir.path(), json!({"delimiter": ";", "quote": "'", "header": false, "null_value": "\\N"}));
    let b = read(&f, "s").await.unwrap();
    assert_eq!(shown(&b, "column_1"), ["1", "2"]);
    assert_eq!(strings(&b, "column_2"), [Some("a;b".into()), Some("".into())]);
    assert_eq!(strings(&b, "column_3"), [None, Some("x".into())]);
}

#[tokio::test]
async fn one_column_of_nulls_and_text_round_trips() {
    let dir = tempfile::tempdir().unwrap();
    let f = open(dir.path(), json!({"format": "csv"}));
    let b = batch(vec![("t", Arc::new(StringArray::from(vec![None, Some(""), Some("x"), None])))]);
    write(&f, "t", &b, json!({})).await.unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("t.csv")).unwrap(), "t\n\n\"\"\nx\n\n");
    assert_eq!(read(&f, "t").await.unwrap(), b);
}

#[tokio::test]
async fn every_type_has_a_text_and_is_not_changed() {
    use arrow::datatypes::*;
    let dir = tempfile::tempdir().unwrap();
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None]);
    let fields = Fields::from(vec![Field::new("key", DataType::Utf8, true)]);
    let inner: ArrayRef = Arc::new(StringArray::from(vec![Some("a\"b"), None]));
    let b = batch(vec![
        ("i", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
        ("f", Arc::new(Float64Array::from(vec![0.1, 1e300]))),
        ("d", Arc::new(Decimal128Array::from(vec![Some(-5), None]).with_precision_and_scale(38, 3).unwrap())),
        ("b", Arc::new(BinaryArray::from(vec![Some(b"\x00\xff".as_slice()), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(-719_162), None]))),
        ("t", Arc::new(Time64NanosecondArray::from(vec![Some(1), None]))),
        ("ts", Arc::new(TimestampNanosecondArray::from(vec![Some(-1), None]).with_timezone("Europe/Berlin"))),
        ("l", Arc::new(list)),
        ("s", Arc::new(StructArray::new(fields, vec![inner], None))),
        ("span", Arc::new(IntervalMonthDayNanoArray::from(vec![Some(IntervalMonthDayNano::new(1, 2, 3)), None]))),
    ]);
    let f = open(dir.path(), json!({}));
    write(&f, "c", &b, json!({"format": "csv"})).await.unwrap();
    write(&f, "j", &b, json!({"format": "ndjson"})).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(dir.path().join("c.csv")).unwrap(),
        "i,f,d,b,day,t,ts,l,s,span\n\
         18446744073709551615,0.1,-0.005,00ff,0001-01-01,00:00:00.000000001,1969-12-31 23:59:59.999999999+00:00,\
         \"[1,null]\",\"{\"\"key\"\":\"\"a\\\"\"b\"\"}\",P1M2DT0.000000003S\n\
         ,1e300,,,,,,,\"{\"\"key\"\":null}\",\n"
    );
    assert_eq!(
        std::fs::read_to_string(dir.path().join("j.ndjson")).unwrap(),
        "{\"i\":18446744073709551615,\"f\":0.1,\"d\":-0.005,\"b\":\"00ff\",\"day\":\"0001-01-01\",\
         \"t\":\"00:00:00.000000001\",\"ts\":\"1969-12-31 23:59:59.999999999+00:00\",\"l\":[1,null],\
         \"s\":{\"key\":\"a\\\"b\"},\"span\":\"P1M2DT0.000000003S\"}\n\
         {\"i\":null,\"f\":1e300,\"d\":null,\"b\":null,\"day\":null,\"t\":null,\"ts\":null,\"l\":null,\
         \"s\":{\"key\":null},\"span\":null}\n"
    );
    let back = read(&f, "j").await.unwrap();
    assert_eq!(shown(&back, "i")[0], "18446744073709551615");
    assert_eq!(
        back.schema().field_with_name("ts").unwrap().data_type(),
        &DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
    );
    assert_eq!(LogicalType::of(back.schema().field_with_name("s").unwrap()), Some(LogicalType::Json));
    assert_eq!(strings(&back, "l"), [Some("[1,null]".into()), None]);
}

#[tokio::test]
async fn what_has_no_text_is_an_error_or_null_by_choice() {
    let dir = tempfile::tempdir().unwrap();
    let f = open(dir.path(), json!({"format": "ndjson"}));
    let b = batch(vec![
        ("x", Arc::new(Float64Array::from(vec![1.0, f64::NAN]))),
        ("d", Arc::new(Date32Array::from(vec![0, i32::MAX]))),
    ]);
    let e = write(&f, "t", &b, json!({})).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Type && e.message().contains("`x`") && e.message().contains("NaN"), "{e:?}");
    assert_eq!(names(dir.path()), [""; 0]);
    let lossy = LoadOptions { types: TypePolicy::Lossy, ..Default::default() };
    write_with(&f, "t", &b, &lossy).await.unwrap();
    assert_eq!(shown(&read(&f, "t").await.unwrap(), "d"), ["1970-01-01", "∅"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn text_tables_round_trip(
        rows in prop::collection::vec((prop::option::of("[ a,;'\"\n\r\tN\\\\{}é😀\u{feff}]{0,5}|NULL|true|null"), prop::option::of("[ -~]{0,4}")), 0..8),
        format in prop::sample::select(vec!["csv", "ndjson"]),
        compression in prop::sample::select(vec!["none", "gzip", "zstd"]),
    ) {
        // Text that looks like a number comes back as one: keep the columns text by a first row that is.
        let first = |tail: Vec<Option<String>>| StringArray::from_iter(std::iter::once(Some("text".to_string())).chain(tail));
        let b = batch(vec![
            ("a", Arc::new(first(rows.iter().map(|r| r.0.clone()).collect()))),
            ("b \"c\",", Arc::new(first(rows.iter().map(|r| r.1.clone()).collect()))),
        ]);
        let dir = tempfile::tempdir().unwrap();
        let f = open(dir.path(), json!({"format": format, "compression": compression}));
        let back = tokio::runtime::Runtime::new().unwrap().block_on(async {
            write(&f, "t", &b, json!({})).await.unwrap();
            read(&f, "t").await.unwrap()
        });
        prop_assert_eq!(back, b);
    }
}
