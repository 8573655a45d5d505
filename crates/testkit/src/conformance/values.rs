//! Columns of every Arrow type, with the values that go wrong: extremes, NULL, NaN, empty and four-byte text.

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Int32Type, IntervalMonthDayNano, i256};
use std::sync::Arc;
use xdb_core::LogicalType;

/// One column to try.
#[derive(Clone, Debug)]
pub struct Sample {
    pub field: Field,
    /// Its first value is NULL.
    pub values: ArrayRef,
}

fn sample(name: &str, values: impl Array + 'static) -> Sample {
    Sample { field: Field::new(name, values.data_type().clone(), true), values: Arc::new(values) }
}

/// Text that collations, escapes, encodings and loaders trip over. No NUL: that is a case of its own.
pub(super) const TEXTS: [&str; 27] = [
    "",
    " ",
    "a",
    "A",
    "a ",
    " a",
    "ab",
    "b",
    "é",
    "e\u{301}",
    "ß",
    "ss",
    "İi",
    "😀",
    "a\tb",
    "a\nb\r\nc",
    "\\",
    "\\N",
    "NULL",
    "'; DROP TABLE x; --",
    "\"q\"",
    "%_%",
    "_x",
    "[a]*",
    "\u{202e}rtl",
    "\u{feff}bom",
    "1e400",
];

const DAY: i64 = 86_400;
/// 0001-01-01 and 9999-12-31 as days: the range that every system with a DATE has.
pub(super) const FIRST_DAY: i32 = -719_162;
pub(super) const LAST_DAY: i32 = 2_932_896;

/// Columns whose every value is one that a type of that name is for. Years 1 to 9999.
pub fn samples() -> Vec<Sample> {
    let mut out = numbers();
    out.extend(decimals());
    out.extend(texts_and_bytes());
    out.extend(times());
    out.extend(nested());
    out
}

/// Values that only some systems can hold, whatever they say of the type: kept, or an error that names the column. Each
/// is tried alone.
pub fn specials() -> Vec<Sample> {
    let year_10000 = i64::from(LAST_DAY + 1) * DAY * 1_000_000;
    let micros = vec![None, Some(i64::MAX), Some(i64::MIN + 1), Some(year_10000), Some(-year_10000)];
    vec![
        sample(
            "float64_special",
            Float64Array::from(vec![None, Some(f64::NAN), Some(f64::INFINITY), Some(-f64::INFINITY), Some(-0.0)]),
        ),
        sample("float32_special", Float32Array::from(vec![None, Some(f32::NAN), Some(f32::INFINITY), Some(-0.0)])),
        sample(
            "date_far",
            Date32Array::from(vec![None, Some(LAST_DAY + 1), Some(FIRST_DAY - 1), Some(i32::MAX), Some(i32::MIN)]),
        ),
        sample("ts_far", TimestampMicrosecondArray::from(micros.clone())),
        sample("tz_far", TimestampMicrosecondArray::from(micros).with_timezone("UTC")),
        sample("ts_ms_far", TimestampMillisecondArray::from(vec![None, Some(i64::MAX), Some(i64::MIN)])),
        sample("ts_s_far", TimestampSecondArray::from(vec![None, Some(i64::MAX), Some(1 << 40)])),
        sample("ts_ns_fine", TimestampNanosecondArray::from(vec![None, Some(1), Some(-1), Some(i64::MAX)])),
        sample("time_ns_fine", Time64NanosecondArray::from(vec![None, Some(1), Some(86_399_999_999_999)])),
        sample("date64_part", Date64Array::from(vec![None, Some(1), Some(-1)])),
        sample("duration_far", DurationSecondArray::from(vec![None, Some(i64::MAX), Some(i64::MIN)])),
        sample(
            "interval_fine",
            IntervalMonthDayNanoArray::from(vec![
                None,
                Some(IntervalMonthDayNano::new(0, 0, 1)),
                Some(IntervalMonthDayNano::new(i32::MAX, i32::MIN, i64::MAX)),
            ]),
        ),
    ]
}

fn numbers() -> Vec<Sample> {
    vec![
        sample("bool", BooleanArray::from(vec![None, Some(true), Some(false)])),
        sample("int8", Int8Array::from(vec![None, Some(0), Some(i8::MIN), Some(i8::MAX)])),
        sample("int16", Int16Array::from(vec![None, Some(0), Some(i16::MIN), Some(i16::MAX)])),
        sample("int32", Int32Array::from(vec![None, Some(0), Some(i32::MIN), Some(i32::MAX)])),
        sample("int64", Int64Array::from(vec![None, Some(0), Some(i64::MIN), Some(i64::MAX), Some((1 << 53) + 1)])),
        sample("uint8", UInt8Array::from(vec![None, Some(0), Some(u8::MAX)])),
        sample("uint16", UInt16Array::from(vec![None, Some(0), Some(u16::MAX)])),
        sample("uint32", UInt32Array::from(vec![None, Some(0), Some(u32::MAX)])),
        sample("uint64", UInt64Array::from(vec![None, Some(0), Some(u64::MAX), Some(1 << 63)])),
        sample(
            "float32",
            Float32Array::from(vec![
                None,
                Some(0.0),
                Some(0.1),
                Some(f32::MAX),
                Some(f32::MIN),
                Some(f32::MIN_POSITIVE),
                Some(f32::from_bits(1)),
                Some(16_777_217.0),
            ]),
        ),
        sample(
            "float64",
            Float64Array::from(vec![
                None,
                Some(0.0),
                Some(0.1),
                Some(f64::MAX),
                Some(f64::MIN),
                Some(f64::MIN_POSITIVE),
                Some(f64::from_bits(1)),
                Some(1.0 / 3.0),
                Some(9_007_199_254_740_993.0),
            ]),
        ),
    ]
}

fn decimals() -> Vec<Sample> {
    let small = |name: &str, p: u8, s: i8| {
        let top = 10i128.pow(p.into()) - 1;
        let values = vec![None, Some(0), Some(top), Some(-top), Some(1), Some(-1)];
        sample(name, Decimal128Array::from(values).with_precision_and_scale(p, s).expect("a valid decimal"))
    };
    let large = |name: &str, p: u8, s: i8| {
        let top = i256::from_string(&"9".repeat(p.into())).expect("digits");
        let values = vec![None, Some(i256::ZERO), Some(top), Some(top.wrapping_neg()), Some(i256::ONE)];
        sample(name, Decimal256Array::from(values).with_precision_and_scale(p, s).expect("a valid decimal"))
    };
    vec![
        small("dec_10_2", 10, 2),
        small("dec_18_0", 18, 0),
        small("dec_38_0", 38, 0),
        small("dec_38_10", 38, 10),
        small("dec_30_30", 30, 30),
        small("dec_38_38", 38, 38),
        small("dec_20_neg2", 20, -2),
        large("dec_65_30", 65, 30),
        large("dec_76_0", 76, 0),
        large("dec_76_38", 76, 38),
    ]
}

fn texts_and_bytes() -> Vec<Sample> {
    let texts: Vec<Option<&str>> = std::iter::once(None).chain(TEXTS.map(Some)).collect();
    let long = "x😀".repeat(40_000);
    let bytes: Vec<Option<&[u8]>> = vec![None, Some(b""), Some(b"\0"), Some(b"\xff\xfe\\\n\t'"), Some(b"a\0b")];
    let uuid = ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-4fff-bfff-ffffffffffff"];
    let json = [
        "null",
        "1",
        "1.5",
        "\"x\"",
        "[]",
        r#"{"a":[1,2.5,null,{"b":"é😀\n\"q\""}],"z":{}}"#,
        r#"{"b":1,"a":2}"#,
        "12345678901234567",
    ];
    let marked = |name: &str, l: LogicalType, values: &[&str]| {
        let all: Vec<Option<&str>> = std::iter::once(None).chain(values.iter().map(|v| Some(*v))).collect();
        let s = sample(name, StringArray::from(all));
        Sample { field: l.mark(s.field), values: s.values }
    };
    let keys = vec![None, Some("a"), Some("b"), Some("a")];
    vec![
        sample("utf8", StringArray::from(texts.clone())),
        sample("large_utf8", LargeStringArray::from(texts.clone())),
        sample("utf8_view", StringViewArray::from(texts)),
        sample("utf8_long", StringArray::from(vec![None, Some(long.as_str())])),
        sample("binary", BinaryArray::from(bytes.clone())),
        sample("large_binary", LargeBinaryArray::from(bytes)),
        sample(
            "fixed_binary",
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                [None, Some([0u8; 16]), Some([255u8; 16])].into_iter(),
                16,
            )
            .expect("16 bytes each"),
        ),
        sample("dictionary", keys.into_iter().collect::<DictionaryArray<Int32Type>>()),
        marked("uuid", LogicalType::Uuid, &uuid),
        marked("json", LogicalType::Json, &json),
    ]
}

fn times() -> Vec<Sample> {
    let first = i64::from(FIRST_DAY) * DAY;
    let last = i64::from(LAST_DAY) * DAY + DAY - 1;
    let seconds = |unit: i64| vec![None, Some(0), Some(first * unit), Some(last * unit), Some(-1), Some(1_709_210_096)];
    let micros = {
        let mut v = seconds(1_000_000);
        v.extend([Some(last * 1_000_000 + 999_999), Some(-1), Some(1_709_210_096_123_456)]);
        v
    };
    // Nanoseconds in an i64 end in 1677 and 2262; the last value is one that microseconds can't hold.
    let nanos = vec![None, Some(0), Some(1_709_210_096_123_456_000), Some(1_709_210_096_123_456_789)];
    let utc = || "UTC";
    vec![
        sample("date32", Date32Array::from(vec![None, Some(0), Some(FIRST_DAY), Some(LAST_DAY), Some(19_782)])),
        sample(
            "date64",
            Date64Array::from(vec![None, Some(0), Some(19_782 * DAY * 1000), Some(i64::from(LAST_DAY) * DAY * 1000)]),
        ),
        sample("time_s", Time32SecondArray::from(vec![None, Some(0), Some(86_399)])),
        sample("time_ms", Time32MillisecondArray::from(vec![None, Some(0), Some(86_399_999)])),
        sample("time_us", Time64MicrosecondArray::from(vec![None, Some(0), Some(86_399_999_999), Some(1)])),
        sample("time_ns", Time64NanosecondArray::from(vec![None, Some(0), Some(1_000), Some(86_399_999_999_999)])),
        sample("ts_s", TimestampSecondArray::from(seconds(1))),
        sample("ts_ms", TimestampMillisecondArray::from(seconds(1_000))),
        sample("ts_us", TimestampMicrosecondArray::from(micros.clone())),
        sample("ts_ns", TimestampNanosecondArray::from(nanos.clone())),
        sample("tz_s", TimestampSecondArray::from(seconds(1)).with_timezone(utc())),
        sample("tz_us", TimestampMicrosecondArray::from(micros).with_timezone(utc())),
        sample("tz_ns", TimestampNanosecondArray::from(nanos).with_timezone(utc())),
        sample(
            "tz_offset",
            TimestampMicrosecondArray::from(vec![None, Some(0), Some(1_709_210_096_123_456)]).with_timezone("+02:00"),
        ),
        sample("duration", DurationMicrosecondArray::from(vec![None, Some(0), Some(-1), Some(3_600_000_001)])),
        sample(
            "interval",
            IntervalMonthDayNanoArray::from(vec![
                None,
                Some(IntervalMonthDayNano::new(0, 0, 0)),
                Some(IntervalMonthDayNano::new(14, -3, 3_600_000_000_000)),
                Some(IntervalMonthDayNano::new(-1, 31, -1_000)),
            ]),
        ),
    ]
}

fn nested() -> Vec<Sample> {
    let ints = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        None,
        Some(vec![]),
        Some(vec![Some(1), None, Some(i32::MAX)]),
        Some(vec![None]),
    ]);
    let mut texts = ListBuilder::new(StringBuilder::new());
    texts.append_null();
    for value in [vec![], vec![Some("a,b"), Some("{\"q\"}"), None, Some("NULL"), Some(""), Some("é😀\\")]] {
        for v in value {
            texts.values().append_option(v);
        }
        texts.append(true);
    }
    let x: ArrayRef = Arc::new(Int32Array::from(vec![None, Some(1), None]));
    let y: ArrayRef = Arc::new(StringArray::from(vec![None, Some("é"), Some("")]));
    let structs = StructArray::try_new(
        vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)].into(),
        vec![x, y],
        Some(vec![false, true, true].into()),
    )
    .expect("a struct of two columns");
    vec![
        sample("list_int", ints),
        sample("list_text", texts.finish()),
        sample("struct", structs),
        sample("null", NullArray::new(2)),
    ]
}

/// Columns to filter on, side by side: the values of the types that predicates are about, padded with NULL to one length.
/// Without -0.0, on which systems differ.
pub(super) fn filter_columns() -> Vec<Sample> {
    let texts: Vec<Option<&str>> = TEXTS.iter().map(|t| Some(*t)).chain([None]).collect();
    let micros = |us: i64| {
        TimestampMicrosecondArray::from(vec![
            Some(us),
            None,
            Some(0),
            Some(-1),
            Some(us + 1),
            Some(i64::from(FIRST_DAY) * DAY * 1_000_000),
            Some(i64::from(LAST_DAY) * DAY * 1_000_000 + 86_399_999_999),
        ])
    };
    let all = vec![
        sample("b", BooleanArray::from(vec![Some(true), None, Some(false), Some(true)])),
        sample("i", Int32Array::from(vec![Some(0), Some(1), None, Some(-1), Some(i32::MAX), Some(i32::MIN), Some(1)])),
        sample(
            "l",
            Int64Array::from(vec![Some(i64::MIN), None, Some((1 << 53) + 1), Some(1 << 53), Some(i64::MAX), Some(0)]),
        ),
        sample("u", UInt64Array::from(vec![Some(0), Some(u64::MAX), None, Some(1 << 63)])),
        sample(
            "f",
            Float64Array::from(vec![
                Some(0.1),
                None,
                Some(0.0),
                Some(1e300),
                Some(-1e300),
                Some(f64::from_bits(1)),
                Some(0.3),
                Some(0.1 + 0.2),
            ]),
        ),
        sample("g", Float32Array::from(vec![Some(0.1), None, Some(0.0), Some(f32::MAX), Some(-1.5)])),
        sample(
            "n",
            Float64Array::from(vec![Some(1.0), None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY)]),
        ),
        sample(
            "d",
            Decimal128Array::from(vec![Some(0), Some(1), None, Some(-1), Some(9_999_999_999), Some(150), Some(100)])
                .with_precision_and_scale(10, 2)
                .expect("a valid decimal"),
        ),
        sample(
            "e",
            Decimal128Array::from(vec![Some(10i128.pow(38) - 1), None, Some(1), Some(10i128.pow(20))])
                .with_precision_and_scale(38, 10)
                .expect("a valid decimal"),
        ),
        sample("t", StringArray::from(texts)),
        sample(
            "x",
            BinaryArray::from(vec![
                Some(&b""[..]),
                Some(b"\0"),
                None,
                Some(b"a"),
                Some(b"A"),
                Some(b"a\0"),
                Some(b"\xff"),
            ]),
        ),
        sample("day", Date32Array::from(vec![Some(0), None, Some(19_782), Some(FIRST_DAY), Some(LAST_DAY), Some(-1)])),
        sample("tm", Time64MicrosecondArray::from(vec![Some(0), None, Some(86_399_999_999), Some(43_200_000_001)])),
        sample("ts", micros(1_709_210_096_123_456)),
        sample("tz", micros(1_709_210_096_123_456).with_timezone("UTC")),
    ];
    let rows = all.iter().map(|s| s.values.len()).max().unwrap_or(0);
    all.into_iter()
        .map(|s| {
            let padding = new_null_array(s.values.data_type(), rows - s.values.len());
            let values = arrow::compute::concat(&[s.values.as_ref(), padding.as_ref()]).expect("one type");
            Sample { field: s.field, values }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::TimeUnit;

    #[test]
    fn every_sample_starts_with_null_and_has_its_fields_type() {
        for s in samples() {
            assert_eq!(s.field.data_type(), s.values.data_type(), "{}", s.field.name());
            assert!(s.values.data_type().is_null() || s.values.is_null(0), "{}", s.field.name());
            assert!(s.field.data_type() == &DataType::Null || s.values.null_count() < s.values.len());
        }
    }
    #[test]
    fn timestamps_are_tried_in_every_unit() {
        let units = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
        for unit in units {
            assert!(samples().iter().any(|s| s.field.data_type() == &DataType::Timestamp(unit, None)), "{unit:?}");
        }
    }
}
