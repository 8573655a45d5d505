//! Which Arrow types files hold, and as what.

use crate::parquet::plain;
use arrow::array::{Array, ArrayRef, AsArray, StringBuilder, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use std::sync::Arc;
use xdb_core::{Error, Fidelity, LogicalType, Result, SourceType, TargetType};

const fn source(name: &'static str, arrow: &'static str, fidelity: Fidelity, note: &'static str) -> SourceType {
    SourceType { name, arrow, fidelity, note }
}

/// Parquet's types are those of its LogicalTypes.md; the rest is how text is read.
pub(crate) static SOURCE_TYPES: &[SourceType] = &[
    source("parquet BOOLEAN", "Boolean", Fidelity::Exact, ""),
    source("parquet INT(8..64), UINT(8..64)", "Int8 … UInt64", Fidelity::Exact, ""),
    source("parquet FLOAT16, FLOAT, DOUBLE", "Float16, Float32, Float64", Fidelity::Exact, ""),
    source("parquet DECIMAL(p,s)", "Decimal128(p, s), Decimal256 above 38 digits", Fidelity::Exact, ""),
    source("parquet STRING, ENUM", "Utf8", Fidelity::Exact, ""),
    source("parquet JSON", "Utf8, xdb.type = json", Fidelity::Exact, ""),
    source("parquet UUID", "Utf8, xdb.type = uuid", Fidelity::Exact, "lower-case text with hyphens"),
    source("parquet BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY", "Binary, FixedSizeBinary", Fidelity::Exact, ""),
    source("parquet DATE", "Date32", Fidelity::Exact, ""),
    source("parquet TIME", "Time32 or Time64", Fidelity::Exact, ""),
    source("parquet TIMESTAMP", "Timestamp, UTC where adjusted to UTC", Fidelity::Exact, ""),
    source("parquet INT96", "Timestamp(ns)", Fidelity::Exact, "without a zone, as written"),
    source("parquet LIST, MAP, group", "List, Map, Struct", Fidelity::Exact, ""),
    source("csv, ndjson: boolean", "Boolean", Fidelity::Exact, "true/false only"),
    source(
        "csv, ndjson: whole numbers",
        "Int64",
        Fidelity::Exact,
        "above 64 bits Decimal128(38, 0); with leading zeros text",
    ),
    source(
        "csv, ndjson: numbers with a fraction",
        "Decimal128(18 or 38, s)",
        Fidelity::Exact,
        "s is the longest fraction, up to 12",
    ),
    source(
        "csv, ndjson: scientific, longer fractions",
        "Float64",
        Fidelity::Exact,
        "only where no digit is lost; else text",
    ),
    source("csv, ndjson: YYYY-MM-DD", "Date32", Fidelity::Exact, ""),
    source("csv, ndjson: HH:MM:SS[.ffffff]", "Time64(µs)", Fidelity::Exact, ""),
    source(
        "csv, ndjson: YYYY-MM-DD HH:MM:SS[.f][zone]",
        "Timestamp(µs or ns), UTC where it has a zone",
        Fidelity::Exact,
        "",
    ),
    source("csv, ndjson: anything else", "Utf8", Fidelity::Exact, ""),
    source("ndjson: arrays, objects, mixed values", "Utf8, xdb.type = json", Fidelity::Exact, "the value's own text"),
];

/// The type a column has in a Parquet file that xdb writes. CSV and NDJSON hold every value of these types as text.
pub(crate) fn target_type(field: &Field) -> Result<TargetType> {
    let t = field.data_type();
    let to = stored(field)?;
    let name = match &to {
        DataType::Utf8 | DataType::LargeUtf8 => "string".into(),
        DataType::Binary | DataType::LargeBinary => "binary".into(),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => format!("decimal({p},{s})"),
        DataType::Date32 => "date".into(),
        DataType::Boolean => "boolean".into(),
        other => other.to_string().to_lowercase(),
    };
    Ok(if matches!(t, DataType::Interval(_)) {
        TargetType::widened(name, "ISO 8601 text, e.g. P1M2DT3.5S: Parquet's INTERVAL has only milliseconds")
    } else if LogicalType::of(field).is_some() {
        TargetType::widened(name, "text; xdb itself reads it back as what it was")
    } else if plain(t) == to {
        TargetType::exact(name)
    } else {
        TargetType::widened(name, "the nearest type that Parquet has")
    })
}

/// The Arrow type that `field` is written as. Encodings are undone; what Parquet has no type for is widened.
pub(crate) fn stored(field: &Field) -> Result<DataType> {
    let no = |what: &str| {
        Err(Error::unsupported(format!("column `{}`: Parquet cannot hold {what}", field.name()))
            .hint("cast the column in SQL, for example to text"))
    };
    Ok(match plain(field.data_type()) {
        DataType::Null => DataType::Utf8,
        DataType::Interval(_) => DataType::Utf8,
        DataType::Date64 => DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Timestamp(TimeUnit::Second, z) => DataType::Timestamp(TimeUnit::Millisecond, z),
        DataType::Time32(TimeUnit::Second) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Decimal128(p, s) if s < 0 => DataType::Decimal256(p + s.unsigned_abs(), 0),
        DataType::Union(..) => return no("unions"),
        DataType::RunEndEncoded(_, v) => plain(v.data_type()),
        DataType::ListView(_) | DataType::LargeListView(_) => return no("list views"),
        t @ (DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::Map(..)) => {
            nested(field, &t)?;
            t
        }
        t @ DataType::Struct(_) => {
            nested(field, &t)?;
            t
        }
        other => other,
    })
}

/// Within lists and structs there is no widening: a type that can't be kept is an error.
fn nested(field: &Field, t: &DataType) -> Result<()> {
    let children: Vec<&Field> = match t {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::Map(f, _) => vec![f],
        DataType::Struct(fs) => fs.iter().map(|f| f.as_ref()).collect(),
        _ => vec![],
    };
    if matches!(t, DataType::Struct(fs) if fs.is_empty()) {
        return Err(Error::unsupported(format!(
            "column `{}`: Parquet cannot hold a struct without fields",
            field.name()
        )));
    }
    for c in children {
        let fine = matches!(c.data_type(), DataType::Struct(_) | DataType::Null) || stored(c)? == *c.data_type();
        if !fine {
            return Err(Error::unsupported(format!(
                "column `{}`: Parquet cannot hold {} within {}",
                field.name(),
                c.data_type(),
                field.data_type()
            ))
            .hint("cast the column in SQL, for example to text"));
        }
        nested(field, c.data_type())?;
    }
    Ok(())
}

/// `array` as the type [`stored`] says. What doesn't fit is an error that names the column, or NULL where `lossy`.
pub(crate) fn convert(array: &ArrayRef, to: &DataType, column: &str, lossy: bool) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    match array.data_type() {
        DataType::Null => Ok(new_null_array(to, array.len())),
        DataType::Interval(unit) => {
            let mut out = StringBuilder::new();
            for i in 0..array.len() {
                out.append_option(array.is_valid(i).then(|| interval_text(array, *unit, i)));
            }
            Ok(Arc::new(out.finish()))
        }
        _ => {
            let options = CastOptions { safe: lossy, ..Default::default() };
            cast_with_options(array, to, &options).map_err(|e| {
                let hint = "cast the column in SQL, or set `types: lossy` to have NULL instead";
                Error::from(e).with_message(|m| format!("column `{column}`: {m}")).hint(hint)
            })
        }
    }
}

/// ISO 8601 with each part as it is stored: months, days and nanoseconds don't turn into each other.
pub(crate) fn interval_text(array: &dyn Array, unit: IntervalUnit, i: usize) -> String {
    let (months, days, nanos) = match unit {
        IntervalUnit::YearMonth => (array.as_primitive::<arrow::datatypes::IntervalYearMonthType>().value(i), 0, 0i128),
        IntervalUnit::DayTime => {
            let v = array.as_primitive::<arrow::datatypes::IntervalDayTimeType>().value(i);
            (0, v.days, i128::from(v.milliseconds) * 1_000_000)
        }
        IntervalUnit::MonthDayNano => {
            let v = array.as_primitive::<arrow::datatypes::IntervalMonthDayNanoType>().value(i);
            (v.months, v.days, i128::from(v.nanoseconds))
        }
    };
    let mut out = String::from("P");
    if months != 0 {
        out.push_str(&format!("{months}M"));
    }
    if days != 0 {
        out.push_str(&format!("{days}D"));
    }
    if nanos != 0 || out.len() == 1 {
        out.push_str(&format!("T{}S", seconds_text(nanos)));
    }
    out
}

/// Nanoseconds as seconds, without zeros that say nothing.
pub(crate) fn seconds_text(nanos: i128) -> String {
    let (s, f) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    let sign = if nanos < 0 { "-" } else { "" };
    if f == 0 {
        return format!("{sign}{s}");
    }
    let f = format!("{f:09}");
    format!("{sign}{s}.{}", f.trim_end_matches('0'))
}

/// Whether every value of type `from` is a value of type `to`, or an overflow that the cast reports.
pub(crate) fn fits(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (a, b) if a == b => true,
        (Null, _) => true,
        (a, b) if a.is_integer() && b.is_integer() => true,
        (a, Decimal128(..) | Decimal256(..)) if a.is_integer() => true,
        (Decimal128(_, s) | Decimal256(_, s), Decimal128(_, t) | Decimal256(_, t)) => s <= t,
        (Float16 | Float32, Float32 | Float64) => true,
        (Utf8 | LargeUtf8, Utf8 | LargeUtf8) => true,
        (Binary | LargeBinary | FixedSizeBinary(_), Binary | LargeBinary) => true,
        (Timestamp(a, y), Timestamp(b, z)) => a <= b && y.is_some() == z.is_some(),
        (Time32(_), Time64(_)) | (Time64(TimeUnit::Microsecond), Time64(TimeUnit::Nanosecond)) => true,
        (Interval(_), Utf8) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::IntervalMonthDayNanoArray;
    use arrow::datatypes::IntervalMonthDayNano;

    #[test]
    fn intervals_keep_their_parts() {
        let a = IntervalMonthDayNanoArray::from(vec![
            IntervalMonthDayNano::new(14, -3, 4_500_000_000),
            IntervalMonthDayNano::new(0, 0, 0),
            IntervalMonthDayNano::new(0, 1, -1),
        ]);
        let t: Vec<_> = (0..3).map(|i| interval_text(&a, IntervalUnit::MonthDayNano, i)).collect();
        assert_eq!(t, ["P14M-3DT4.5S", "PT0S", "P1DT-0.000000001S"]);
    }
    #[test]
    fn what_parquet_cannot_hold_is_an_error_that_names_the_column() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Interval(IntervalUnit::MonthDayNano), true)));
        let e = target_type(&Field::new("spans", list, true)).unwrap_err();
        assert!(e.message().contains("`spans`"), "{e:?}");
        let t = target_type(&Field::new("i", DataType::Interval(IntervalUnit::MonthDayNano), true)).unwrap();
        assert_eq!(t.fidelity, Fidelity::Widened);
        assert_eq!(
            target_type(&Field::new("d", DataType::Decimal128(38, 2), true)).unwrap(),
            TargetType::exact("decimal(38,2)")
        );
    }
}
