//! Arrow columns that stand for the types a model's result may have: the rows of the writing tables.

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use xdb_core::LogicalType;

/// Nullable fields, with the name that the docs give them.
pub(super) fn representative() -> Vec<(&'static str, Field)> {
    let utc = || Some("UTC".into());
    let plain = |t: DataType| Field::new("c", t, true);
    let list = |t: DataType| plain(DataType::new_list(t, true));
    let pair = || DataType::Struct(vec![Field::new("a", DataType::Int32, true)].into());
    let ts = |unit, zone| plain(DataType::Timestamp(unit, zone));
    vec![
        ("Boolean", plain(DataType::Boolean)),
        ("Int8", plain(DataType::Int8)),
        ("Int16", plain(DataType::Int16)),
        ("Int32", plain(DataType::Int32)),
        ("Int64", plain(DataType::Int64)),
        ("UInt8", plain(DataType::UInt8)),
        ("UInt16", plain(DataType::UInt16)),
        ("UInt32", plain(DataType::UInt32)),
        ("UInt64", plain(DataType::UInt64)),
        ("Float32", plain(DataType::Float32)),
        ("Float64", plain(DataType::Float64)),
        ("Decimal128(15, 2)", plain(DataType::Decimal128(15, 2))),
        ("Decimal128(38, 10)", plain(DataType::Decimal128(38, 10))),
        ("Decimal256(76, 20)", plain(DataType::Decimal256(76, 20))),
        ("Utf8", plain(DataType::Utf8)),
        ("Utf8 (uuid)", LogicalType::Uuid.mark(plain(DataType::Utf8))),
        ("Utf8 (json)", LogicalType::Json.mark(plain(DataType::Utf8))),
        ("Binary", plain(DataType::Binary)),
        ("Date32", plain(DataType::Date32)),
        ("Time64(µs)", plain(DataType::Time64(TimeUnit::Microsecond))),
        ("Time64(ns)", plain(DataType::Time64(TimeUnit::Nanosecond))),
        ("Timestamp(s)", ts(TimeUnit::Second, None)),
        ("Timestamp(ms)", ts(TimeUnit::Millisecond, None)),
        ("Timestamp(µs)", ts(TimeUnit::Microsecond, None)),
        ("Timestamp(ns)", ts(TimeUnit::Nanosecond, None)),
        ("Timestamp(µs, UTC)", ts(TimeUnit::Microsecond, utc())),
        ("Timestamp(ns, UTC)", ts(TimeUnit::Nanosecond, utc())),
        ("Duration(µs)", plain(DataType::Duration(TimeUnit::Microsecond))),
        ("Interval(MonthDayNano)", plain(DataType::Interval(IntervalUnit::MonthDayNano))),
        ("List(Int32)", list(DataType::Int32)),
        ("List(Utf8)", list(DataType::Utf8)),
        ("Struct", plain(pair())),
    ]
}
