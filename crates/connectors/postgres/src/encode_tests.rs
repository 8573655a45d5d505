//! Arrow to the wire and back: what is written must read as the same value.

use super::*;
use crate::decode::Decoder;
use crate::prepare::prepare;
use arrow::array::builder::{ListBuilder, StringDictionaryBuilder};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Field;
use arrow::datatypes::{IntervalMonthDayNano, IntervalMonthDayNanoType};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

/// The rows of one column.
fn one(field: Field, a: ArrayRef, policy: TypePolicy) -> Result<Vec<u8>> {
    let schema = Schema::new(vec![field]);
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), vec![a])?;
    let arrays = prepare(&schema, &batch)?;
    let columns = columns(&schema, &arrays, policy)?;
    let mut out = Vec::new();
    encode_rows(&mut out, &columns, 0, batch.num_rows(), usize::MAX)?;
    Ok(out)
}

/// `a` written, then read as `kind`.
fn through(a: ArrayRef, kind: Kind) -> Result<ArrayRef> {
    let field = Field::new("c", a.data_type().clone(), true);
    read_back(one(field, a, TypePolicy::Exact)?, kind)
}

fn read_back(mut rows: Vec<u8>, kind: Kind) -> Result<ArrayRef> {
    let schema = Arc::new(Schema::new(vec![kind.field("c", true, "")]));
    let mut d = Decoder::new(schema, &[kind], TypePolicy::Exact);
    rows.extend(TRAILER);
    d.push_copy_data(&[header(), rows].concat())?;
    assert!(d.ended());
    Ok(d.finish()?.column(0).clone())
}

fn same(a: ArrayRef, kind: Kind) {
    assert_eq!(through(a.clone(), kind.clone()).unwrap().as_ref(), a.as_ref(), "{kind}");
}

#[test]
fn every_exact_type_round_trips() {
    same(Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])), Kind::Bool);
    same(Arc::new(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX)])), Kind::Int2);
    same(Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(i32::MAX)])), Kind::Int4);
    same(Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)])), Kind::Int8);
    same(Arc::new(Float32Array::from(vec![f32::MIN, -0.0, f32::NAN, f32::INFINITY, 1e-45])), Kind::Float4);
    same(Arc::new(Float64Array::from(vec![f64::MAX, -0.0, f64::NAN, f64::NEG_INFINITY, 5e-324])), Kind::Float8);
    same(Arc::new(StringArray::from(vec![Some(""), None, Some("O'Brien \\ \"x\" 🦀 \u{202e}\r\n\t")])), Kind::Text);
    same(Arc::new(BinaryArray::from(vec![Some(&b"\0\xff"[..]), None, Some(b"")])), Kind::Bytea);
    same(Arc::new(Date32Array::from(vec![0, -719_162, 2_932_896, EPOCH_DAYS])), Kind::Date);
    same(Arc::new(Time64MicrosecondArray::from(vec![0, 86_399_999_999])), Kind::Time);
    same(
        Arc::new(TimestampMicrosecondArray::from(vec![0, -1, EPOCH_MICROS, 253_402_300_799_999_999])),
        Kind::Timestamp,
    );
    same(Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC")), Kind::TimestampTz);
    let i = |m, d, n| IntervalMonthDayNano::new(m, d, n);
    same(
        Arc::new(IntervalMonthDayNanoArray::from(vec![i(-14, 3, -5_000), i(0, 0, 0), i(i32::MAX, i32::MIN, 1000)])),
        Kind::Interval,
    );
    let d = Decimal128Array::from(vec![Some(-1), None, Some(99_999)]).with_precision_and_scale(5, 2).unwrap();
    same(Arc::new(d), Kind::Numeric(5, 2));
    let big = i256::from_string(&"9".repeat(76)).unwrap();
    let d = Decimal256Array::from(vec![Some(big), None]).with_precision_and_scale(76, 38).unwrap();
    same(Arc::new(d), Kind::Numeric(76, 38));
}

#[test]
fn widened_types_keep_their_values() {
    let u64s: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 0]));
    let want = Decimal128Array::from(vec![i128::from(u64::MAX), 0]).with_precision_and_scale(20, 0).unwrap();
    assert_eq!(through(u64s, Kind::Numeric(20, 0)).unwrap().as_ref(), &want);
    let u8s: ArrayRef = Arc::new(UInt8Array::from(vec![255]));
    assert_eq!(through(u8s, Kind::Int2).unwrap().as_ref(), &Int16Array::from(vec![255]));
    let u32s: ArrayRef = Arc::new(UInt32Array::from(vec![u32::MAX]));
    assert_eq!(through(u32s, Kind::Int8).unwrap().as_ref(), &Int64Array::from(vec![4_294_967_295]));
    let views: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a longer text than twelve bytes"), None]));
    assert_eq!(
        through(views, Kind::Text).unwrap().as_ref(),
        &StringArray::from(vec![Some("a longer text than twelve bytes"), None])
    );
    let mut dict = StringDictionaryBuilder::<Int32Type>::new();
    dict.append_value("x");
    dict.append_null();
    dict.append_value("x");
    assert_eq!(
        through(Arc::new(dict.finish()), Kind::Text).unwrap().as_ref(),
        &StringArray::from(vec![Some("x"), None, Some("x")])
    );
    let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![-5]));
    assert_eq!(through(seconds, Kind::Timestamp).unwrap().as_ref(), &TimestampMicrosecondArray::from(vec![-5_000_000]));
    let negative = Decimal128Array::from(vec![-12]).with_precision_and_scale(5, -3).unwrap();
    let want = Decimal128Array::from(vec![-12_000]).with_precision_and_scale(8, 0).unwrap();
    assert_eq!(through(Arc::new(negative), Kind::Numeric(8, 0)).unwrap().as_ref(), &want);
}

#[test]
fn lists_round_trip_with_nulls_at_both_levels() {
    let mut b = ListBuilder::new(Int64Array::builder(0));
    b.append_value([Some(1), None, Some(3)]);
    b.append_null();
    b.append_value([]);
    same(Arc::new(b.finish()), Kind::List(Box::new(Kind::Int8)));
    let sliced = {
        let mut b = ListBuilder::new(StringBuilder::new());
        b.append_value([Some("gone")]);
        b.append_value([Some("kept"), None]);
        b.finish().slice(1, 1)
    };
    let back = through(Arc::new(sliced.clone()), Kind::List(Box::new(Kind::Text))).unwrap();
    assert_eq!(back.as_list::<i32>().value(0).as_ref(), sliced.value(0).as_ref());
}

#[test]
fn structs_become_json() {
    let a: ArrayRef = Arc::new(StructArray::new(
        vec![Field::new("n", DataType::Int64, true), Field::new("t", DataType::Utf8, true)].into(),
        vec![Arc::new(Int64Array::from(vec![Some(1), None])), Arc::new(StringArray::from(vec!["a\"b", "🦀"]))],
        None,
    ));
    let back = through(a, Kind::Json).unwrap();
    let back = back.as_string::<i32>();
    let values: Vec<serde_json::Value> = back.iter().map(|t| serde_json::from_str(t.unwrap()).unwrap()).collect();
    assert_eq!(values, [serde_json::json!({"n": 1, "t": "a\"b"}), serde_json::json!({"n": null, "t": "🦀"})]);
}

#[test]
fn marked_text_is_written_as_its_type() {
    let a: ArrayRef = Arc::new(StringArray::from(vec![Some("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), None]));
    let rows = one(LogicalType::Uuid.mark(Field::new("c", DataType::Utf8, true)), a, TypePolicy::Exact).unwrap();
    let want = StringArray::from(vec![Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), None]);
    assert_eq!(read_back(rows, Kind::Uuid).unwrap().as_ref(), &want);
    let a: ArrayRef = Arc::new(StringArray::from(vec!["{\"a\": 1}"]));
    let rows = one(Kind::Jsonb.field("c", true, "jsonb"), a.clone(), TypePolicy::Exact).unwrap();
    assert_eq!(read_back(rows, Kind::Jsonb).unwrap().as_ref(), a.as_ref());
}

fn refused(a: impl Array + 'static, want: &str) {
    let field = Field::new("price", a.data_type().clone(), true);
    let a: ArrayRef = Arc::new(a);
    let e = one(field.clone(), a.clone(), TypePolicy::Exact).unwrap_err();
    assert!(e.message().contains("`price`") && e.message().contains(want), "{e:?}");
}

#[test]
fn what_does_not_fit_is_named() {
    refused(StringArray::from(vec!["ok", "a\0b"]), "NUL");
    refused(TimestampNanosecondArray::from(vec![1_001]), "1001");
    refused(TimestampMicrosecondArray::from(vec![i64::MIN]), "moment");
    refused(Date32Array::from(vec![i32::MIN]), "date");
    refused(Date64Array::from(vec![1]), "1 ms");
    refused(Time64NanosecondArray::from(vec![1]), "time of day");
    refused(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(0, 0, 1)]), "finer");
    let bad: ArrayRef = Arc::new(StringArray::from(vec!["nope"]));
    let e = one(LogicalType::Uuid.mark(Field::new("id", DataType::Utf8, true)), bad, TypePolicy::Exact).unwrap_err();
    assert!(e.message().contains("`id`") && e.message().contains("nope"), "{e:?}");
}

#[test]
fn lossy_takes_the_nearest_or_null() {
    let a: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_999, -1]));
    let rows = one(Field::new("c", a.data_type().clone(), true), a, TypePolicy::Lossy).unwrap();
    assert_eq!(read_back(rows, Kind::Timestamp).unwrap().as_ref(), &TimestampMicrosecondArray::from(vec![1, -1]));
    let a: ArrayRef = Arc::new(Date32Array::from(vec![i32::MAX]));
    let rows = one(Field::new("c", DataType::Date32, true), a, TypePolicy::Lossy).unwrap();
    assert_eq!(read_back(rows, Kind::Date).unwrap().null_count(), 1);
}

#[test]
fn a_chunk_ends_at_its_limit_and_goes_on_there() {
    let schema = Schema::new(vec![Field::new("c", DataType::Int64, false)]);
    let arrays: Vec<ArrayRef> = vec![Arc::new((0..100i64).collect::<Int64Array>())];
    let columns = columns(&schema, &arrays, TypePolicy::Exact).unwrap();
    let (mut at, mut all, mut chunks) = (0, Vec::new(), 0);
    while at < 100 {
        let mut out = Vec::new();
        at = encode_rows(&mut out, &columns, at, 100, 64).unwrap();
        assert!(out.len() < 64 + 14);
        all.extend(out);
        chunks += 1;
    }
    assert!(chunks > 10);
    assert_eq!(read_back(all, Kind::Int8).unwrap().as_ref(), arrays[0].as_ref());
}

proptest! {
    #[test]
    fn any_text(v in proptest::collection::vec(proptest::option::of("[^\\x00]*"), 0..20)) {
        same(Arc::new(StringArray::from(v)), Kind::Text);
    }
    #[test]
    fn any_timestamp(v in proptest::collection::vec(proptest::option::of(-200_000_000_000_000_000i64..9_000_000_000_000_000_000), 0..20)) {
        same(Arc::new(TimestampMicrosecondArray::from(v)), Kind::Timestamp);
    }
    #[test]
    fn any_date(v in proptest::collection::vec(-2_400_000i32..2_000_000_000, 0..20)) {
        same(Arc::new(Date32Array::from(v)), Kind::Date);
    }
    #[test]
    fn any_decimal(v in proptest::collection::vec(proptest::option::of(-crate::numeric::POW10[38] + 1..crate::numeric::POW10[38]), 1..10), s in 0i8..=38) {
        same(Arc::new(Decimal128Array::from(v).with_precision_and_scale(38, s).unwrap()), Kind::Numeric(38, s));
    }
    #[test]
    fn any_interval(v in proptest::collection::vec((any::<i32>(), any::<i32>(), (i64::MIN / 1000)..(i64::MAX / 1000)), 1..10)) {
        let v: Vec<_> = v.into_iter().map(|(m, d, us)| IntervalMonthDayNano::new(m, d, us * 1000)).collect();
        let nulls = Some(NullBuffer::new_valid(v.len()));
        same(Arc::new(PrimitiveArray::<IntervalMonthDayNanoType>::new(v.into(), nulls)), Kind::Interval);
    }
}

#[test]
fn metadata_of_other_connectors_changes_nothing() {
    let f =
        Field::new("c", DataType::Utf8, true).with_metadata(HashMap::from([("other".to_string(), "x".to_string())]));
    assert!(one(f, Arc::new(StringArray::from(vec!["x"])), TypePolicy::Exact).is_ok());
}
