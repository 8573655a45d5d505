//! Parquet: types, row groups, pruning.

use super::*;
use ::parquet::arrow::ArrowWriter;
use ::parquet::file::properties::WriterProperties;
use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::*;

fn every_type() -> RecordBatch {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None, Some(vec![])]);
    let points = Fields::from(vec![Field::new("x", DataType::Float64, true), Field::new("t", DataType::Utf8, true)]);
    let point = StructArray::new(
        points,
        vec![
            Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0])),
            Arc::new(StringArray::from(vec![Some("é"), None, Some("")])),
        ],
        Some(vec![true, false, true].into()),
    );
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    map.keys().append_value("k");
    map.values().append_value(1);
    map.append(true).unwrap();
    map.append(false).unwrap();
    map.append(true).unwrap();
    let vector = FixedSizeListArray::new(
        Arc::new(Field::new("item", DataType::Float32, true)),
        2,
        Arc::new(Float32Array::from(vec![1.0, 2.0, 0.0, 0.0, 5.0, 6.0])),
        Some(vec![true, false, true].into()),
    );
    let large = LargeListArray::new(
        Arc::new(Field::new("item", DataType::Utf8, true)),
        OffsetBuffer::new(vec![0i64, 1, 1, 2].into()),
        Arc::new(StringArray::from(vec![Some("a"), None])),
        None,
    );
    let dec256 = Decimal256Array::from(vec![Some(i256::MAX / i256::from_i128(100)), None, Some(i256::MINUS_ONE)]);
    let dec128 = Decimal128Array::from(vec![Some(10i128.pow(38) - 1), None, Some(-1)]);
    let fields: Vec<(Field, ArrayRef)> = {
        let f = |n: &str, a: ArrayRef| (Field::new(n, a.data_type().clone(), true), a);
        vec![
            f("bool", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
            f("i8", Arc::new(Int8Array::from(vec![Some(i8::MIN), None, Some(i8::MAX)]))),
            f("i16", Arc::new(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX)]))),
            f("i32", Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(i32::MAX)]))),
            f("i64", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)]))),
            f("u8", Arc::new(UInt8Array::from(vec![Some(0), None, Some(u8::MAX)]))),
            f("u16", Arc::new(UInt16Array::from(vec![Some(0), None, Some(u16::MAX)]))),
            f("u32", Arc::new(UInt32Array::from(vec![Some(0), None, Some(u32::MAX)]))),
            f("u64", Arc::new(UInt64Array::from(vec![Some(0), None, Some(u64::MAX)]))),
            f("f32", Arc::new(Float32Array::from(vec![Some(f32::MIN), None, Some(f32::INFINITY)]))),
            f("f64", Arc::new(Float64Array::from(vec![Some(-0.0), None, Some(5e-324)]))),
            f("dec", Arc::new(dec128.with_precision_and_scale(38, 10).unwrap())),
            f("dec76", Arc::new(dec256.with_precision_and_scale(76, 20).unwrap())),
            f("text", Arc::new(StringArray::from(vec![Some(""), None, Some("a\0é😀")]))),
            f("large", Arc::new(LargeStringArray::from(vec![Some(""), None, Some("x")]))),
            f("bin", Arc::new(BinaryArray::from(vec![Some(b"".as_slice()), None, Some(b"\xff\0")]))),
            f(
                "fixed",
                Arc::new(
                    FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                        [Some([1u8, 2, 3]), None, Some([0; 3])].into_iter(),
                        3,
                    )
                    .unwrap(),
                ),
            ),
            f("day", Arc::new(Date32Array::from(vec![Some(i32::MIN), None, Some(i32::MAX)]))),
            f("t_ms", Arc::new(Time32MillisecondArray::from(vec![Some(0), None, Some(86_399_999)]))),
            f("t_us", Arc::new(Time64MicrosecondArray::from(vec![Some(0), None, Some(86_400_000_000)]))),
            f("t_ns", Arc::new(Time64NanosecondArray::from(vec![Some(0), None, Some(1)]))),
            f("ts_ms", Arc::new(TimestampMillisecondArray::from(vec![Some(i64::MIN), None, Some(1)]))),
            f("ts_us", Arc::new(TimestampMicrosecondArray::from(vec![Some(i64::MIN), None, Some(1)]))),
            f("ts_ns", Arc::new(TimestampNanosecondArray::from(vec![Some(i64::MIN), None, Some(1)]))),
            f("ts_utc", Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1)]).with_timezone("UTC"))),
            f(
                "ts_zone",
                Arc::new(TimestampNanosecondArray::from(vec![Some(-1), None, Some(1)]).with_timezone("Europe/Berlin")),
            ),
            f("dur", Arc::new(DurationMicrosecondArray::from(vec![Some(-1), None, Some(i64::MAX)]))),
            f("list", Arc::new(list)),
            f("large_list", Arc::new(large)),
            f("vector", Arc::new(vector)),
            f("point", Arc::new(point)),
            f("map", Arc::new(map.finish())),
            (
                LogicalType::Uuid.mark(Field::new("id", DataType::Utf8, true)),
                Arc::new(StringArray::from(vec![Some("6f2c6e1e-0000-4000-8000-00805f9b34fb"), None, None])),
            ),
            (
                LogicalType::Json.mark(Field::new("doc", DataType::Utf8, true)),
                Arc::new(StringArray::from(vec![Some("{\"a\": 1.10}"), None, Some("null")])),
            ),
        ]
    };
    let (fields, columns): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[tokio::test]
async fn every_type_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let b = every_type();
    for codec in ["none", "snappy", "zstd"] {
        let f = open(dir.path(), json!({"compression": codec}));
        let report = write(&f, "t", &b, json!({})).await.unwrap();
        assert_eq!(report.rows, 3);
        let back = read(&f, "t").await.unwrap();
        for (want, got) in b.schema().fields().iter().zip(back.schema().fields()) {
            assert_eq!(want, got);
            assert_eq!(b[want.name().as_str()].as_ref(), back[want.name().as_str()].as_ref(), "{}", want.name());
        }
    }
    let info = open(dir.path(), json!({})).describe(&rel("t")).await.unwrap();
    assert_eq!(info.row_estimate, Some(3));
    assert_eq!(info.column("dec").unwrap().source_type, "decimal(38,10)");
    assert!(info.bytes_estimate.unwrap() > 1000);
}

#[tokio::test]
async fn what_parquet_lacks_is_widened() {
    let dir = tempfile::tempdir().unwrap();
    let f = open(dir.path(), json!({}));
    let keys = Int32Array::from(vec![Some(0), None]);
    let dict = DictionaryArray::new(keys, Arc::new(StringArray::from(vec!["d"])));
    let b = batch(vec![
        ("n", Arc::new(NullArray::new(2))),
        ("s", Arc::new(TimestampSecondArray::from(vec![1, -1]))),
        (
            "span",
            Arc::new(IntervalMonthDayNanoArray::from(vec![Some(IntervalMonthDayNano::new(1, 2, 3_000_000_000)), None])),
        ),
        ("dict", Arc::new(dict)),
        ("view", Arc::new(StringViewArray::from(vec![Some("a view of more than twelve bytes"), None]))),
    ]);
    write(&f, "t", &b, json!({})).await.unwrap();
    let back = read(&f, "t").await.unwrap();
    assert_eq!(types(&back.schema()), ["n: Utf8", "s: Timestamp(ms)", "span: Utf8", "dict: Utf8", "view: Utf8"]);
    assert_eq!(shown(&back, "span"), ["P1M2DT3S", "∅"]);
    assert_eq!(shown(&back, "s"), ["1970-01-01T00:00:01", "1969-12-31T23:59:59"]);
    assert_eq!(shown(&back, "dict"), ["d", "∅"]);
}

/// A file of other makers: `rows` rows in row groups of 100, numbered, with NULLs and a UUID.
fn foreign(path: &Path, rows: i64) {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let day: ArrayRef = Arc::new(Date32Array::from_iter_values((0..rows).map(|i| i as i32)));
    let text: ArrayRef = Arc::new(StringArray::from_iter((0..rows).map(|i| (i >= 100).then(|| format!("t{i:05}")))));
    let price =
        Decimal128Array::from_iter_values((0..rows).map(|i| i as i128 * 100)).with_precision_and_scale(18, 2).unwrap();
    let b = batch(vec![("id", ids), ("day", day), ("text", text), ("price", Arc::new(price))]);
    let p = WriterProperties::builder().set_max_row_group_row_count(Some(100)).build();
    let mut w = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), b.schema(), Some(p)).unwrap();
    w.write(&b).unwrap();
    w.close().unwrap();
}

#[tokio::test]
async fn statistics_leave_row_groups_out_and_filters_are_exact() {
    let dir = tempfile::tempdir().unwrap();
    foreign(&dir.path().join("t.parquet"), 1000);
    let f = open(dir.path(), json!({}));
    let table = Arc::new(f.describe(&rel("t")).await.unwrap());
    let cmp = |c: &str, op, value| Predicate::Compare { column: c.into(), op, value };
    let null = |negated| Predicate::IsNull { column: "text".into(), negated };
    use CompareOp::*;
    for (p, groups, rows) in [
        (cmp("id", Lt, Literal::Int(150)), 2, 150),
        (cmp("id", Eq, Literal::Int(555)), 1, 1),
        (cmp("id", Gt, Literal::Int(5000)), 0, 0),
        (cmp("id", NotEq, Literal::Int(5)), 10, 999),
        (cmp("day", GtEq, Literal::Date(900)), 1, 100),
        (cmp("price", LtEq, Literal::Decimal { value: 99, scale: 0 }), 1, 100),
        (cmp("text", Gt, Literal::Utf8("t00950".into())), 1, 49),
        (null(false), 1, 100),
        (null(true), 9, 900),
        (Predicate::StartsWith { column: "text".into(), prefix: "t002".into(), negated: false }, 1, 100),
        (Predicate::In { column: "id".into(), values: vec![Literal::Int(1), Literal::Int(999)], negated: false }, 2, 2),
        (Predicate::In { column: "text".into(), values: vec![Literal::Utf8("t00200".into())], negated: true }, 9, 899),
        (Predicate::Or(vec![cmp("id", Lt, Literal::Int(1)), cmp("id", GtEq, Literal::Int(999))]), 2, 2),
        (Predicate::And(vec![cmp("id", Lt, Literal::Int(250)), null(true)]), 2, 150),
        (Predicate::Not(Box::new(cmp("id", GtEq, Literal::Int(10)))), 10, 10),
    ] {
        assert_eq!(f.extract().unwrap().pushdown(&table, std::slice::from_ref(&p)), [Pushdown::Exact]);
        let footer = f.footer(&f.find(&rel("t")).await.unwrap().files[0].0).await.unwrap();
        assert_eq!(crate::prune::row_groups(&footer, std::slice::from_ref(&p)).len(), groups, "{p:?}");
        let request = ScanRequest {
            predicates: vec![p.clone()],
            parallelism: 3,
            projection: Some(vec![3]),
            ..ScanRequest::all(table.clone())
        };
        let b = read_plan(&f, &request, &ReadContext::default()).await.unwrap();
        assert_eq!((b.num_rows(), b.num_columns()), (rows, 1), "{p:?}");
    }
    let p = cmp("id", Lt, Literal::Int(150));
    let request = ScanRequest { predicates: vec![p], limit: Some(120), ..ScanRequest::all(table.clone()) };
    let b = read_plan(&f, &request, &ReadContext::default()).await.unwrap();
    assert_eq!(shown(&b, "id"), (0..120).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn splits_together_are_the_table() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("p")).unwrap();
    foreign(&dir.path().join("p/part-1.parquet"), 0);
    foreign(&dir.path().join("p/part-2.parquet"), 950);
    foreign(&dir.path().join("p/part-3.parquet"), 50);
    let f = open(dir.path(), json!({}));
    for parallelism in [1, 2, 3, 7, 100] {
        let b = read_with(&f, "p", |r| r.parallelism = parallelism).await.unwrap();
        let want: Vec<_> = (0..950).chain(0..50).map(|i| i.to_string()).collect();
        assert_eq!(shown(&b, "id"), want, "{parallelism}");
    }
    let request = ScanRequest { parallelism: 4, ..ScanRequest::all(Arc::new(f.describe(&rel("p")).await.unwrap())) };
    let plan = f.extract().unwrap().plan(&request).await.unwrap();
    assert_eq!(plan.splits.iter().map(|s| s.row_estimate.unwrap()).sum::<u64>(), 1000);
    assert_eq!(plan.splits.len(), 4);
    let counted = read_with(&f, "p", |r| r.projection = Some(vec![])).await.unwrap();
    assert_eq!(counted.num_rows(), 1000);
}

#[tokio::test]
async fn only_the_needed_bytes_are_read() {
    let dir = tempfile::tempdir().unwrap();
    foreign(&dir.path().join("t.parquet"), 100_000);
    let f = open(dir.path(), json!({}));
    let table = Arc::new(f.describe(&rel("t")).await.unwrap());
    let bytes = |projection: Option<Vec<usize>>, limit: Option<i64>| {
        let (f, table) = (f.clone(), table.clone());
        async move {
            let predicates = limit
                .map(|n| Predicate::Compare { column: "id".into(), op: CompareOp::Lt, value: Literal::Int(n) })
                .into_iter()
                .collect();
            let ctx = ReadContext::default();
            read_plan(&f, &ScanRequest { projection, predicates, ..ScanRequest::all(table) }, &ctx).await.unwrap();
            ctx.stats.bytes()
        }
    };
    let size = table.bytes_estimate.unwrap();
    let all = bytes(None, None).await;
    assert!(all > size / 2 && all <= size * 2, "{all} of {size}");
    assert!(bytes(None, Some(500)).await < all / 50);
}

#[tokio::test]
async fn damaged_files_say_so() {
    let dir = tempfile::tempdir().unwrap();
    foreign(&dir.path().join("good.parquet"), 500);
    let good = std::fs::read(dir.path().join("good.parquet")).unwrap();
    put(dir.path(), "cut.parquet", &good[..good.len() / 2]);
    put(dir.path(), "tiny.parquet", "PAR1");
    put(dir.path(), "empty.parquet", "");
    put(dir.path(), "text.parquet", "this is not a Parquet file at all");
    let mut scratched = good.clone();
    scratched[200..1200].fill(0xaa);
    put(dir.path(), "scratched.parquet", scratched);
    let f = open(dir.path(), json!({}));
    for name in ["cut", "tiny", "empty", "text", "scratched"] {
        let e = read(&f, name).await.unwrap_err();
        assert!(e.message().contains(&format!("{name}.parquet")), "{e:?}");
        assert!(e.kind() == ErrorKind::Io && e.hint_text().is_some(), "{e:?}");
    }
}

#[tokio::test]
async fn files_of_one_table_agree_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let f = open(dir.path(), json!({}));
    let ints = |n: &str| -> (&'static str, ArrayRef) {
        (if n == "a" { "a" } else { "b" }, Arc::new(Int32Array::from(vec![1])))
    };
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    write(&f, "g1/1.parquet", &batch(vec![ints("a"), ("b", text.clone())]), json!({})).await.unwrap();
    write(&f, "g1/2.parquet", &batch(vec![("b", text.clone()), ints("a")]), json!({})).await.unwrap();
    write(&f, "g1/3.parquet", &batch(vec![ints("a"), ints("b")]), json!({})).await.unwrap();
    write(&f, "g1/4.parquet", &batch(vec![ints("a")]), json!({})).await.unwrap();
    let b = read(&f, "g1/[12].parquet").await.unwrap();
    assert_eq!((shown(&b, "a"), shown(&b, "b")), (vec!["1".to_string(); 2], vec!["x".to_string(); 2]));
    let e = read(&f, "g1/[13].parquet").await.unwrap_err();
    assert!(e.message().contains("3.parquet") && e.message().contains("`b`"), "{e:?}");
    let e = read(&f, "g1/[14].parquet").await.unwrap_err();
    assert!(e.message().contains("4.parquet") && e.message().contains("`b`"), "{e:?}");
}
