//! Every Arrow type in and out, with NULLs and extremes, and what must be refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use arrow::array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::*;
use arrow::util::pretty::pretty_format_batches;
use common::*;
use std::sync::Arc;
use xdb_core::*;

fn a<T: Array + 'static>(t: T) -> ArrayRef {
    Arc::new(t)
}

/// `given` as DuckDB gives it back.
async fn round_trip(given: &ArrayRef) -> Result<ArrayRef> {
    let n = given.len();
    // Beside a key, which puts the rows in order again; in two batches, the second of which starts inside its arrays.
    let ids = a(Int64Array::from_iter_values(0..n as i64));
    let whole = batch(vec![("id", ids), ("v", given.clone())]);
    let cut = n / 2;
    let f = fake(vec![whole.slice(0, cut), whole.slice(cut, n - cut)]);
    let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
    let all = c.rows("select v from pg.public.t order by id").await?;
    let schema = c.session.execute("select v from pg.public.t").await?.schema();
    let out = arrow::compute::concat_batches(&schema, &all).unwrap();
    // Also straight through, without the sort that copies everything.
    let plain = c.one("select id, v from pg.public.t").await;
    let order = arrow::compute::sort_to_indices(plain.column(0), None, None).unwrap();
    let straight = arrow::compute::take(plain.column(1), &order, None).unwrap();
    assert_eq!(
        straight.to_data(),
        arrow::compute::take(out.column(0), &UInt32Array::from_iter_values(0..n as u32), None).unwrap().to_data()
    );
    Ok(out.column(0).clone())
}

async fn comes_back_as(given: ArrayRef, wanted: ArrayRef) {
    let got = round_trip(&given).await.unwrap_or_else(|e| panic!("{}: {}", given.data_type(), e.report()));
    let show = |x: &ArrayRef| pretty_format_batches(&[batch(vec![("v", x.clone())])]).unwrap().to_string();
    assert_eq!(got.data_type(), wanted.data_type(), "{}", given.data_type());
    assert_eq!(show(&got), show(&wanted), "{}", given.data_type());
    assert_eq!(&got, &wanted, "{}", given.data_type());
}

async fn comes_back(given: ArrayRef) {
    comes_back_as(given.clone(), given).await
}

#[tokio::test]
async fn numbers() {
    comes_back(a(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), None]))).await;
    comes_back(a(Int8Array::from(vec![Some(i8::MIN), None, Some(i8::MAX), Some(0)]))).await;
    comes_back(a(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX)]))).await;
    comes_back(a(Int32Array::from(vec![Some(i32::MIN), None, Some(i32::MAX)]))).await;
    comes_back(a(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)]))).await;
    comes_back(a(UInt8Array::from(vec![Some(0), None, Some(u8::MAX)]))).await;
    comes_back(a(UInt16Array::from(vec![Some(0), None, Some(u16::MAX)]))).await;
    comes_back(a(UInt32Array::from(vec![Some(0), None, Some(u32::MAX)]))).await;
    comes_back(a(UInt64Array::from(vec![Some(0), None, Some(u64::MAX)]))).await;
    comes_back(a(Float32Array::from(vec![
        Some(f32::MIN),
        None,
        Some(f32::INFINITY),
        Some(-0.0),
        Some(f32::MIN_POSITIVE),
    ])))
    .await;
    comes_back(a(Float64Array::from(vec![Some(f64::MAX), None, Some(f64::NEG_INFINITY), Some(5e-324)]))).await;
    let nan = round_trip(&a(Float64Array::from(vec![f64::NAN]))).await.unwrap();
    assert!(nan.as_primitive::<Float64Type>().value(0).is_nan());
}

#[tokio::test]
async fn more_rows_than_a_vector_with_nulls_everywhere() {
    let n = 10_000;
    comes_back(a(Int32Array::from_iter((0..n).map(|i| (i % 7 != 0).then_some(i))))).await;
    comes_back(a(BooleanArray::from_iter((0..n).map(|i| (i % 5 != 0).then_some(i % 3 == 0))))).await;
    let text = |i: i32| format!("{}{i}", "é".repeat((i % 40) as usize));
    comes_back(a(StringArray::from_iter((0..n).map(|i| (i % 11 != 0).then(|| text(i)))))).await;
    let mut lists = ListBuilder::new(StringBuilder::new());
    for i in 0..n {
        for k in 0..i % 6 {
            lists.values().append_option((k != 3).then(|| text(i + k)));
        }
        lists.append(i % 9 != 0);
    }
    comes_back(a(lists.finish())).await;
}

#[tokio::test]
async fn decimals() {
    for (p, s, most) in [
        (4u8, 2i8, 9999i128),
        (9, 0, 999_999_999),
        (18, 6, 10i128.pow(18) - 1),
        (19, 0, 10i128.pow(19) - 1),
        (38, 10, 10i128.pow(38) - 1),
        (38, 38, 1),
    ] {
        let d = Decimal128Array::from(vec![Some(most), None, Some(-most), Some(0), Some(1)]);
        comes_back(a(d.with_precision_and_scale(p, s).unwrap())).await;
    }
    let d256 = Decimal256Array::from(vec![Some(arrow::datatypes::i256::from_i128(-12345)), None]);
    let d128 = Decimal128Array::from(vec![Some(-12345), None]).with_precision_and_scale(20, 3).unwrap();
    comes_back_as(a(d256.with_precision_and_scale(20, 3).unwrap()), a(d128)).await;
    // numeric(2,4)
    let narrow = Decimal128Array::from(vec![Some(12), None]).with_data_type(DataType::Decimal128(2, 4));
    let wide = Decimal128Array::from(vec![Some(12), None]).with_data_type(DataType::Decimal128(4, 4));
    comes_back_as(a(narrow), a(wide)).await;
}

#[tokio::test]
async fn text_and_bytes() {
    let words = || {
        vec![
            Some(""),
            None,
            Some("twelve bytes"),
            Some("thirteen byte"),
            Some("nul \0 inside the text"),
            Some("😀 é ü"),
            Some("\0"),
        ]
    };
    let plain = a(StringArray::from(words()));
    comes_back(plain.clone()).await;
    comes_back_as(a(LargeStringArray::from(words())), plain.clone()).await;
    comes_back_as(a(StringViewArray::from(words())), plain.clone()).await;
    let dict = cast(&plain, &DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8))).unwrap();
    comes_back_as(dict, plain).await;
    let bytes = || vec![Some(&b""[..]), None, Some(b"\xff\xfe\x00"), Some(b"more than twelve bytes \x00\xff")];
    comes_back(a(BinaryArray::from(bytes()))).await;
    comes_back_as(a(LargeBinaryArray::from(bytes())), a(BinaryArray::from(bytes()))).await;
    comes_back_as(a(BinaryViewArray::from(bytes())), a(BinaryArray::from(bytes()))).await;
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some(b"abcd"), None].into_iter(), 4).unwrap();
    comes_back_as(a(fixed), a(BinaryArray::from(vec![Some(&b"abcd"[..]), None]))).await;
}

#[tokio::test]
async fn dates_and_times() {
    // The ends of DuckDB's ranges: https://duckdb.org/docs/stable/sql/data_types/timestamp
    comes_back(a(Date32Array::from(vec![Some(0), None, Some(-2_147_483_646), Some(2_147_483_646), Some(-719_162)])))
        .await;
    comes_back(a(Time64MicrosecondArray::from(vec![Some(0), None, Some(86_399_999_999), Some(86_400_000_000)]))).await;
    comes_back(a(Time64NanosecondArray::from(vec![Some(1), None, Some(86_399_999_999_999)]))).await;
    let micros = || {
        TimestampMicrosecondArray::from(vec![
            Some(0),
            None,
            Some(-1),
            Some(253_402_300_799_999_999),
            Some(-62_135_596_800_000_000),
        ])
    };
    comes_back(a(micros())).await;
    comes_back(a(micros().with_timezone("UTC"))).await;
    // The moment stays, the zone's name doesn't.
    comes_back_as(a(micros().with_timezone("+02:00")), a(micros().with_timezone("UTC"))).await;
    comes_back(a(TimestampNanosecondArray::from(vec![Some(1), None, Some(-1)]))).await;
    let seconds = TimestampSecondArray::from(vec![Some(-5), None]);
    comes_back_as(a(seconds), a(TimestampMicrosecondArray::from(vec![Some(-5_000_000), None]))).await;
    let nanos = TimestampNanosecondArray::from(vec![Some(-5_000), None]).with_timezone("UTC");
    comes_back_as(a(nanos), a(TimestampMicrosecondArray::from(vec![Some(-5), None]).with_timezone("UTC"))).await;
    comes_back_as(
        a(Time32SecondArray::from(vec![Some(5), None])),
        a(Time64MicrosecondArray::from(vec![Some(5_000_000), None])),
    )
    .await;
    let i = |m, d, n| Some(IntervalMonthDayNano::new(m, d, n));
    comes_back(a(IntervalMonthDayNanoArray::from(vec![
        i(-1, 2, 3000),
        None,
        i(i32::MAX, i32::MIN, i64::MAX / 1000 * 1000),
    ])))
    .await;
    comes_back_as(
        a(IntervalYearMonthArray::from(vec![Some(-14), None])),
        a(IntervalMonthDayNanoArray::from(vec![i(-14, 0, 0), None])),
    )
    .await;
    comes_back_as(
        a(DurationMillisecondArray::from(vec![Some(-14), None])),
        a(IntervalMonthDayNanoArray::from(vec![i(0, 0, -14_000_000), None])),
    )
    .await;
}

#[tokio::test]
async fn nested() {
    let item = |t| Arc::new(Field::new_list_field(t, true));
    let ints = || Int32Array::from(vec![Some(1), None, Some(3), Some(4), Some(5), Some(6), Some(7), None]);
    let nulls = || Some(NullBuffer::from(vec![true, false, true, true]));
    // The null list hides items.
    let lists = ListArray::new(
        item(DataType::Int32),
        arrow::buffer::OffsetBuffer::new(vec![0, 2, 4, 4, 8].into()),
        a(ints()),
        nulls(),
    );
    let shown = {
        let mut b = ListBuilder::new(Int32Builder::new());
        b.append_value([Some(1), None]);
        b.append_null();
        b.append_value([]);
        b.append_value([Some(5), Some(6), Some(7), None]);
        a(b.finish())
    };
    comes_back_as(a(lists.clone()), shown.clone()).await;
    comes_back_as(cast(&a(lists), &DataType::new_large_list(DataType::Int32, true)).unwrap(), shown).await;
    let pairs = || FixedSizeListArray::new(item(DataType::Int32), 2, a(ints()), nulls());
    comes_back(a(pairs())).await;
    // The null struct hides values.
    let fields: Fields = vec![Field::new("n", DataType::Int32, true), Field::new("a B", DataType::Utf8, true)].into();
    let text = || a(StringArray::from(vec![Some("one"), Some("hidden, long enough"), None, Some("four")]));
    let structs = || StructArray::new(fields.clone(), vec![a(Int32Array::from(vec![1, 2, 3, 4])), text()], nulls());
    comes_back(a(structs())).await;
    let f = fake(vec![batch(vec![("s", a(structs()))])]);
    let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
    let out = c.one(r#"select s."a B" as t, s.n from pg.public.t"#).await;
    assert_eq!(out.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("one"), None, None, Some("four")]);
    assert_eq!(out.column(1).null_count(), 1);
    // Lists of structs of fixed lists.
    let inner: Fields =
        vec![Field::new("p", pairs().data_type().clone(), true), Field::new("t", DataType::Utf8, true)].into();
    let deep = StructArray::new(inner.clone(), vec![a(pairs()), text()], None);
    let offsets = arrow::buffer::OffsetBuffer::new(vec![0, 1, 1, 4].into());
    comes_back(a(ListArray::new(item(DataType::Struct(inner)), offsets, a(deep), None))).await;
    let mut m = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    m.keys().append_value("k");
    m.values().append_value(1);
    m.keys().append_value("a longer key than fits");
    m.values().append_null();
    m.append(true).unwrap();
    m.append(false).unwrap();
    m.append(true).unwrap();
    let m = a(m.finish());
    let got = round_trip(&m).await.unwrap();
    assert_eq!(got.as_map().value_length(0), 2);
    assert!(got.is_null(1) && got.as_map().value_length(2) == 0);
    let entries = got.as_map().value(0);
    assert_eq!(entries.column(0).as_string::<i32>().value(1), "a longer key than fits");
    assert_eq!(entries.column(1).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(1), None]);
}

#[tokio::test]
async fn a_column_of_nulls_fits_anything() {
    let f = fake(vec![batch(vec![("n", a(NullArray::new(3)))])]);
    let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
    let out = c.one("select coalesce(n, 'x') as t, coalesce(n, 5) as i from pg.public.t").await;
    assert_eq!(out.column(0).as_string::<i32>().value(2), "x");
    assert_eq!(out.column(1).as_primitive::<Int32Type>().value(2), 5);
    let out = c.one("select n from pg.public.t").await;
    assert_eq!((out.num_rows(), out.column(0).logical_null_count()), (3, 3));
}

#[tokio::test]
async fn what_duckdb_would_read_as_something_else_is_an_error() {
    let cases: Vec<(ArrayRef, &str)> = vec![
        (a(Date32Array::from(vec![0, i32::MAX])), "range of dates"),
        (a(Date32Array::from(vec![i32::MIN])), "range of dates"),
        (a(TimestampMicrosecondArray::from(vec![i64::MAX])), "range of timestamps"),
        (a(TimestampMicrosecondArray::from(vec![-i64::MAX]).with_timezone("UTC")), "range of timestamps"),
        (a(TimestampNanosecondArray::from(vec![1]).with_timezone("UTC")), "nanoseconds"),
        (a(TimestampSecondArray::from(vec![i64::MAX])), "cannot be carried"),
        (a(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(0, 0, 1)])), "nanoseconds"),
        (a(DurationSecondArray::from(vec![i64::MAX])), "range of intervals"),
        (a(Time64MicrosecondArray::from(vec![-1])), "time of day"),
        (a(Decimal128Array::from(vec![100_000]).with_data_type(DataType::Decimal128(4, 0))), "more digits"),
        (
            a(Decimal256Array::from(vec![arrow::datatypes::i256::ONE]).with_data_type(DataType::Decimal256(50, 10))),
            "38 digits",
        ),
    ];
    for (given, why) in cases {
        let e = round_trip(&given).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Type, "{}: {}", given.data_type(), e.report());
        assert!(e.report().contains("`v`") && e.report().contains(why), "{}", e.report());
        assert_eq!(e.context().relation.as_deref(), Some("public.t"), "{}", e.report());
        assert!(e.hint_text().is_some());
    }
    // A NULL may hide any of them.
    let hidden = Date32Array::new(vec![5, i32::MAX].into(), Some(NullBuffer::from(vec![true, false])));
    comes_back_as(a(hidden), a(Date32Array::from(vec![Some(5), None]))).await;
}

#[tokio::test]
async fn a_column_that_duckdb_cannot_have_hurts_only_who_uses_it() {
    let wide = Decimal256Array::from(vec![arrow::datatypes::i256::ONE]).with_data_type(DataType::Decimal256(50, 10));
    let f = fake(vec![batch(vec![("id", a(Int64Array::from(vec![7]))), ("wide", a(wide))])]);
    let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
    assert_eq!(c.one("select id from pg.public.t").await.column(0).as_primitive::<Int64Type>().value(0), 7);
    let e = c.error("select wide from pg.public.t").await;
    assert!(e.message().contains("`wide`") && e.message().contains("decimal(50,10)"), "{}", e.report());
    assert_eq!(e.context().connection.as_deref(), Some("pg"));
}

#[tokio::test]
async fn duckdbs_own_types_come_out_as_xdb_has_them() {
    let mut c = duck(vec![]).await;
    let sql = "select 170141183460469231731687303715::hugeint h, 5::uhugeint uh, 'a'::enum('b', 'a') e,
        '00112233-4455-6677-8899-aabbccddeeff'::uuid u, '{\"a\": 1}'::json j, timestamp_s '2020-01-01 00:00:01' s,
        timestamp_ms '2020-01-01 00:00:00.001' ms, timestamptz '2020-01-01 02:00:00+02' tz, time '01:02:03' t,
        interval '1 month 2 days 3 seconds' i, 'x'::blob b, [1, null] l, {'a': 1} st, map {'k': 1} m, null n,
        1.5 d, sum(5::int) over () su, 3::utinyint ut, array_value(1, 2) ar, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid u2,
        [null::uuid, '00112233-4455-6677-8899-aabbccddeeff'::uuid] lu";
    let b = c.one(sql).await;
    let us = |z: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, z.map(Into::into));
    let list = |t| DataType::new_list(t, true);
    let kinds: Vec<String> = types(&b).iter().map(|t| t.to_string()).collect();
    let wanted = [
        DataType::Decimal128(38, 0),
        DataType::Decimal128(38, 0),
        DataType::Utf8,
        DataType::Utf8,
        DataType::Utf8,
        us(None),
        us(None),
        us(Some("UTC")),
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Binary,
        list(DataType::Int32),
    ];
    for (i, w) in wanted.iter().enumerate() {
        assert_eq!(&types(&b)[i], w, "column {i} of {kinds:?}");
    }
    assert!(b.schema().fields().iter().all(|f| f.is_nullable()));
    let shown = pretty_format_batches(&[b]).unwrap().to_string();
    for part in [
        "170141183460469231731687303715 ",
        "| a ",
        "00112233-4455-6677-8899-aabbccddeeff |",
        "{\"a\": 1}",
        "2020-01-01T00:00:01 ",
        "2020-01-01T00:00:00.001 ",
        "2020-01-01T00:00:00Z",
        "01:02:03",
        "1 mons 2 days 3.000000000 secs",
        "| 78 ",
        "[1, ]",
        "{a: 1}",
        "{k: 1}",
        "| 1.5 ",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "[, 00112233-4455-6677-8899-aabbccddeeff]",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
}

#[tokio::test]
async fn what_cannot_leave_duckdb_is_an_error_that_names_the_column() {
    let mut c = duck(vec![]).await;
    for (sql, why) in [
        ("select 170141183460469231731687303715884105727::hugeint as v", "38 digits"),
        ("select 'infinity'::date as v", "infinity"),
        ("select '-infinity'::timestamp as v", "infinity"),
        ("select 'infinity'::timestamptz as v", "infinity"),
        ("select ['infinity'::date] as v", "infinity"),
        ("select {'a': 170141183460469231731687303715884105727::hugeint} as v", "`v.a`"),
        ("select '10101'::bit as v", "BIT"),
        ("select '01:02:03+01'::timetz as v", "TIME WITH TIME ZONE"),
        ("select union_value(a := 1) as v", "UNION"),
    ] {
        let e = c.error(sql).await;
        assert_eq!(e.kind(), ErrorKind::Type, "{sql}: {}", e.report());
        assert!(e.report().contains("`v") && e.report().contains(why), "{sql}: {}", e.report());
        assert!(e.hint_text().is_some());
    }
}
