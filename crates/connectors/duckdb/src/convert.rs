//! Arrow arrays as the appender takes them, every value the same, or an error that names the first that isn't.

use crate::check::to_duckdb;
use crate::types::normal;
use arrow::array::*;
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::*;
use std::sync::Arc;
use xdb_core::{Error, ErrorKind, Result};

/// The Arrow type whose values the appender takes without changing any, for a field of type `t`.
pub(crate) fn appended(t: &DataType) -> DataType {
    use DataType as D;
    match t {
        D::Null => D::Int32,
        D::Float16 => D::Float32,
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) | D::Decimal256(p, s) => {
            let (p, s) = if *s < 0 { (i16::from(*p) - i16::from(*s), 0) } else { (i16::from(*p), *s) };
            D::Decimal128(p.min(38) as u8, s)
        }
        D::Date64 => D::Date32,
        D::Time32(_) | D::Time64(_) => D::Time64(TimeUnit::Microsecond),
        D::Timestamp(_, Some(_)) => D::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        D::Interval(_) | D::Duration(_) => D::Interval(IntervalUnit::MonthDayNano),
        D::Dictionary(_, v) => appended(v),
        D::RunEndEncoded(_, v) => appended(v.data_type()),
        D::List(_) | D::LargeList(_) | D::FixedSizeList(..) | D::Struct(_) | D::Map(..) => normal(t),
        other => other.clone(),
    }
}

/// `array` for a column that reads back as `to`.
pub(crate) fn convert(column: &str, array: &ArrayRef, to: &DataType, lossy: bool) -> Result<ArrayRef> {
    let from = array.data_type().clone();
    let plain = match &from {
        DataType::Dictionary(_, v) => cast(array, v)?,
        DataType::RunEndEncoded(_, v) => cast(array, v.data_type())?,
        // The zone's name is not kept, the moment is.
        DataType::Timestamp(u, Some(_)) => {
            make_array(array.to_data().into_builder().data_type(DataType::Timestamp(*u, Some("UTC".into()))).build()?)
        }
        _ => array.clone(),
    };
    let out = match (plain.data_type(), to) {
        (a, b) if a == b => plain,
        (DataType::Null, _) => new_null_array(to, plain.len()),
        (DataType::Interval(_) | DataType::Duration(_), DataType::Interval(_)) => intervals(column, &plain, lossy)?,
        (DataType::Time64(TimeUnit::Nanosecond), DataType::Time64(TimeUnit::Microsecond)) => {
            micros(column, &plain, lossy)?
        }
        _ => checked_cast(column, &plain, to, lossy)?,
    };
    if let DataType::Interval(IntervalUnit::MonthDayNano) = to {
        let v = out.as_primitive::<IntervalMonthDayNanoType>();
        if let Some(i) = v.iter().flatten().find(|i| i.nanoseconds % 1000 != 0)
            && !lossy
        {
            return Err(Error::inexact(
                column,
                format!("{i:?}"),
                "has nanoseconds; DuckDB's intervals have microseconds",
            ));
        }
    }
    to_duckdb(column, &out, lossy)
}

/// Times of day in microseconds.
fn micros(column: &str, array: &ArrayRef, lossy: bool) -> Result<ArrayRef> {
    let nanos = array.as_primitive::<Time64NanosecondType>();
    if let Some(n) = nanos.iter().flatten().find(|n| n % 1000 != 0)
        && !lossy
    {
        let shown = Time64NanosecondArray::from(vec![n]);
        let shown = arrow::util::display::array_value_to_string(&shown, 0)?;
        return Err(Error::inexact(column, shown, "has nanoseconds; DuckDB's TIME has microseconds"));
    }
    Ok(Arc::new(nanos.unary::<_, Time64MicrosecondType>(|n| n / 1000)))
}

fn checked_cast(column: &str, source: &ArrayRef, to: &DataType, lossy: bool) -> Result<ArrayRef> {
    let from = source.data_type();
    let mismatch = |why: &str| {
        Error::new(
            ErrorKind::Type,
            format!("column `{column}`: {from} cannot be stored in a column that holds {to}: {why}"),
        )
        .hint("cast the column in the model's SQL, or let xdb replace the table")
    };
    if let (DataType::Timestamp(_, a), DataType::Timestamp(_, b)) = (from, to)
        && a.is_some() != b.is_some()
        && !lossy
    {
        return Err(mismatch("one has a time zone and the other has none"));
    }
    let options = CastOptions { safe: true, ..Default::default() };
    let there = cast_with_options(source, to, &options).map_err(|_| mismatch("there is no conversion"))?;
    // Each wider float holds the narrower exactly, but NaNs would not compare equal below.
    if lossy || matches!((from, to), (DataType::Float16, DataType::Float32) | (DataType::Float32, DataType::Float64)) {
        return Ok(there);
    }
    let back =
        cast_with_options(&there, from, &options).map_err(|_| mismatch("there is no conversion back to check with"))?;
    if back.to_data() == source.to_data() {
        return Ok(there);
    }
    for row in 0..source.len() {
        if back.slice(row, 1).to_data() != source.slice(row, 1).to_data() {
            let shown = arrow::util::display::array_value_to_string(source, row)?;
            return Err(Error::inexact(column, shown, format!("cannot be kept exactly as {to}")));
        }
    }
    Ok(there)
}

fn intervals(column: &str, array: &ArrayRef, lossy: bool) -> Result<ArrayRef> {
    let per_tick = match array.data_type() {
        DataType::Duration(TimeUnit::Second) => 1_000_000_000,
        DataType::Duration(TimeUnit::Millisecond) => 1_000_000,
        DataType::Duration(TimeUnit::Microsecond) => 1_000,
        _ => 1i64,
    };
    let mut out = PrimitiveBuilder::<IntervalMonthDayNanoType>::with_capacity(array.len());
    let ticks = match array.data_type() {
        DataType::Duration(_) => Some(make_array(array.to_data().into_builder().data_type(DataType::Int64).build()?)),
        _ => None,
    };
    for row in 0..array.len() {
        if array.is_null(row) {
            out.append_null();
            continue;
        }
        let v = match (&ticks, array.data_type()) {
            (Some(t), _) => t
                .as_primitive::<Int64Type>()
                .value(row)
                .checked_mul(per_tick)
                .map(|n| IntervalMonthDayNano::new(0, 0, n)),
            (None, DataType::Interval(IntervalUnit::YearMonth)) => {
                Some(IntervalMonthDayNano::new(array.as_primitive::<IntervalYearMonthType>().value(row), 0, 0))
            }
            _ => {
                let v = array.as_primitive::<IntervalDayTimeType>().value(row);
                Some(IntervalMonthDayNano::new(0, v.days, i64::from(v.milliseconds) * 1_000_000))
            }
        };
        if v.is_none() && !lossy {
            let shown = arrow::util::display::array_value_to_string(array, row)?;
            return Err(Error::inexact(column, shown, "is longer than 292 years in nanoseconds"));
        }
        out.append_option(v);
    }
    Ok(Arc::new(out.finish()))
}

/// The crate's appender (1.10506.1) writes a NULL interval as a zero one. Such columns go as text, which DuckDB casts to
/// the table's type.
pub(crate) fn null_safe(array: ArrayRef) -> ArrayRef {
    if array.null_count() == 0 || !matches!(array.data_type(), DataType::Interval(_)) {
        return array;
    }
    let text = array
        .as_primitive::<IntervalMonthDayNanoType>()
        .iter()
        .map(|v| v.map(|v| format!("{} months {} days {} microseconds", v.months, v.days, v.nanoseconds / 1000)));
    Arc::new(text.collect::<StringArray>())
}

/// `array` as it came from DuckDB, in the type that its column was described with.
pub(crate) fn arrived(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    match (array.data_type(), to) {
        (DataType::Timestamp(a, _), DataType::Timestamp(b, _)) if a == b => {
            Ok(make_array(array.to_data().into_builder().data_type(to.clone()).build()?))
        }
        // UHUGEINT as text.
        (DataType::Utf8, DataType::Decimal256(p, s)) => {
            let values = array.as_string::<i32>().iter().map(|t| t.and_then(i256::from_string));
            Ok(Arc::new(values.collect::<Decimal256Array>().with_precision_and_scale(*p, *s)?))
        }
        _ => Ok(cast_with_options(array, to, &CastOptions { safe: false, ..Default::default() })?),
    }
}

/// A constant to be bound to a parameter.
pub(crate) fn literal(l: &xdb_core::Literal) -> duckdb::types::Value {
    use duckdb::types::{TimeUnit as U, Value as V};
    use xdb_core::Literal as L;
    match l {
        L::Null => V::Null,
        L::Bool(b) => V::Boolean(*b),
        L::Int(i) => V::BigInt(*i),
        L::UInt(u) => V::UBigInt(*u),
        L::Float(f) => V::Double(*f),
        // As text DuckDB gives it the type that its place wants.
        L::Decimal { value, scale } => V::Text(xdb_sql::decimal_text(*value, *scale).trim_matches(['(', ')']).into()),
        L::Utf8(t) => V::Text(t.clone()),
        L::Binary(b) => V::Blob(b.clone()),
        L::Date(d) => V::Date32(*d),
        L::Time(us) => V::Time64(U::Microsecond, *us),
        L::Timestamp { micros, utc: false } => V::Timestamp(U::Microsecond, *micros),
        L::Timestamp { micros, utc: true } => match xdb_sql::timestamp_text(*micros) {
            Some(t) => V::Text(format!("{t}+00:00")),
            None => V::Timestamp(U::Microsecond, *micros),
        },
    }
}
