//! Arrow types to PostgreSQL column types, and the table of source types for the docs.

use crate::kind::Kind;
use arrow::datatypes::{DataType, Field, TimeUnit};
use xdb_core::{Error, Fidelity, LogicalType, Result, SourceType, TargetType};

/// The column type that an Arrow field gets.
pub(crate) fn target_type(field: &Field) -> Result<TargetType> {
    // What came from PostgreSQL as jsonb goes back as jsonb: its text is normalised already.
    if Kind::of(field) == Some(Kind::Jsonb) && LogicalType::of(field) == Some(LogicalType::Json) {
        return Ok(TargetType::exact("jsonb"));
    }
    match LogicalType::of(field) {
        Some(LogicalType::Uuid) => return Ok(TargetType::exact("uuid")),
        // json keeps the text as it is; jsonb would reorder keys and drop duplicates.
        Some(LogicalType::Json) => return Ok(TargetType::exact("json")),
        None => {}
    }
    of(field.data_type())
}

fn of(t: &DataType) -> Result<TargetType> {
    use DataType as D;
    Ok(match t {
        D::Boolean => TargetType::exact("boolean"),
        D::Int8 => TargetType::widened("smallint", ""),
        D::Int16 => TargetType::exact("smallint"),
        D::Int32 => TargetType::exact("integer"),
        D::Int64 => TargetType::exact("bigint"),
        D::UInt8 => TargetType::widened("smallint", ""),
        D::UInt16 => TargetType::widened("integer", ""),
        D::UInt32 => TargetType::widened("bigint", ""),
        D::UInt64 => TargetType::widened("numeric(20,0)", ""),
        D::Float16 => TargetType::widened("real", ""),
        D::Float32 => TargetType::exact("real"),
        D::Float64 => TargetType::exact("double precision"),
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) | D::Decimal256(p, s) => {
            let (p, s) = (i32::from(*p), i32::from(*s));
            // A negative scale needs version 15 there; whole numbers with more digits hold the same.
            if s < 0 {
                TargetType::widened(format!("numeric({},0)", p - s), "")
            } else {
                TargetType::exact(format!("numeric({p},{s})"))
            }
        }
        D::Utf8 | D::LargeUtf8 | D::Utf8View => TargetType::exact("text"),
        D::Binary | D::LargeBinary | D::BinaryView => TargetType::exact("bytea"),
        D::FixedSizeBinary(_) => TargetType::widened("bytea", ""),
        D::Date32 => TargetType::exact("date"),
        D::Date64 => TargetType::lossy("date", "milliseconds within the day are refused"),
        D::Time64(TimeUnit::Microsecond) => TargetType::exact("time"),
        D::Time32(_) => TargetType::widened("time", ""),
        D::Time64(_) => TargetType::lossy("time", "to the microsecond"),
        D::Timestamp(unit, zone) => {
            let sql = if zone.is_some() { "timestamptz" } else { "timestamp" };
            match unit {
                TimeUnit::Nanosecond => TargetType::lossy(sql, "to the microsecond"),
                _ if zone.as_deref().is_some_and(|z| z != "UTC" && z != "+00:00") => {
                    TargetType::widened(sql, "the moment is kept, the zone's name is not")
                }
                TimeUnit::Microsecond => TargetType::exact(sql),
                TimeUnit::Second | TimeUnit::Millisecond => TargetType::widened(sql, ""),
            }
        }
        D::Interval(_) => TargetType::lossy("interval", "to the microsecond"),
        D::Duration(TimeUnit::Nanosecond) => TargetType::lossy("interval", "to the microsecond"),
        D::Duration(_) => TargetType::widened("interval", ""),
        D::Null => TargetType::widened("text", "only NULLs"),
        D::Dictionary(_, v) => return of(v),
        D::RunEndEncoded(_, v) => return target_type(v),
        D::List(f) | D::LargeList(f) | D::FixedSizeList(f, _) | D::ListView(f) | D::LargeListView(f) => {
            match f.data_type() {
                D::Struct(_) | D::Map(..) | D::Null | D::Union(..) => json(),
                t if is_list(t) => json(),
                _ => {
                    let element = target_type(f)?;
                    TargetType { sql: format!("{}[]", element.sql), ..element }
                }
            }
        }
        D::Struct(_) | D::Map(..) => json(),
        D::Union(..) => return Err(Error::unsupported(format!("PostgreSQL has no type for {t}"))),
    })
}

fn json() -> TargetType {
    TargetType::widened("json", "as JSON text")
}

pub(crate) fn is_list(t: &DataType) -> bool {
    use DataType as D;
    matches!(t, D::List(_) | D::LargeList(_) | D::FixedSizeList(..) | D::ListView(_) | D::LargeListView(_))
}

macro_rules! row {
    ($name:expr, $arrow:expr, $fidelity:ident, $note:expr) => {
        SourceType { name: $name, arrow: $arrow, fidelity: Fidelity::$fidelity, note: $note }
    };
}

pub(crate) const SOURCE_TYPES: &[SourceType] = &[
    row!("boolean", "Boolean", Exact, ""),
    row!("smallint", "Int16", Exact, ""),
    row!("integer", "Int32", Exact, ""),
    row!("bigint", "Int64", Exact, ""),
    row!("oid", "UInt32", Exact, ""),
    row!("real", "Float32", Exact, "NaN and infinities are kept; all NaN become one"),
    row!("double precision", "Float64", Exact, "NaN and infinities are kept; all NaN become one"),
    row!("numeric(p,s), p ≤ 38", "Decimal128(p, s)", Exact, "NaN is refused (lossy: NULL)"),
    row!("numeric(p,s), p ≤ 76", "Decimal256(p, s)", Exact, "NaN is refused (lossy: NULL)"),
    row!("numeric(p,s), p > 76", "Decimal256(76, s)", Lossy, "more than 76 digits are refused (lossy: NULL)"),
    row!(
        "numeric",
        "Decimal128(38, 18)",
        Lossy,
        "NaN, infinities, more than 20 digits before the point are refused (lossy: NULL), and more than 18 after it (lossy: rounded)"
    ),
    row!("text, varchar(n), name, citext", "Utf8", Exact, ""),
    row!("char(n)", "Utf8", Exact, "without the padding, as PostgreSQL's own cast to text"),
    row!("enum", "Utf8", Widened, "the label"),
    row!("bytea", "Binary", Exact, ""),
    row!("date", "Date32", Exact, "infinity is refused (lossy: NULL)"),
    row!("time", "Time64(µs)", Exact, "24:00:00 is refused (lossy: NULL)"),
    row!("timetz", "Utf8", Widened, "as text"),
    row!("timestamp", "Timestamp(µs)", Exact, "infinity is refused (lossy: NULL)"),
    row!("timestamptz", "Timestamp(µs, UTC)", Exact, "infinity is refused (lossy: NULL)"),
    row!(
        "interval",
        "Interval(MonthDayNano)",
        Exact,
        "beyond 292 years of pure time, and infinity, are refused (lossy: NULL)"
    ),
    row!("uuid", "Utf8", Exact, "marked as uuid"),
    row!("json, jsonb", "Utf8", Exact, "marked as json; the server's text"),
    row!(
        "array of any of these",
        "List",
        Exact,
        "of one dimension; more are refused (lossy: NULL); lower bounds are not kept"
    ),
    row!("domain", "as its base type", Exact, ""),
    row!(
        "any other (inet, ranges, geometric, xml, bit, money, hstore, tsvector, composite, vector …)",
        "Utf8",
        Widened,
        "the server's text"
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn arrow_types_get_column_types() {
        use DataType as D;
        let item = |t| Arc::new(Field::new_list_field(t, true));
        for (t, want) in [
            (D::UInt8, "smallint"),
            (D::UInt64, "numeric(20,0)"),
            (D::Decimal128(10, -2), "numeric(12,0)"),
            (D::Decimal256(76, 38), "numeric(76,38)"),
            (D::Timestamp(TimeUnit::Nanosecond, Some("Europe/Paris".into())), "timestamptz"),
            (D::Dictionary(Box::new(D::Int32), Box::new(D::Utf8)), "text"),
            (D::List(item(D::Int64)), "bigint[]"),
            (D::LargeList(item(D::Decimal128(5, 2))), "numeric(5,2)[]"),
            (D::List(item(D::List(item(D::Int64)))), "json"),
            (D::Struct(vec![Field::new("a", D::Int8, true)].into()), "json"),
            (D::Null, "text"),
        ] {
            assert_eq!(of(&t).unwrap().sql, want, "{t}");
        }
    }
    #[test]
    fn marked_text_keeps_its_type() {
        let text = Field::new("c", DataType::Utf8, true);
        assert_eq!(target_type(&LogicalType::Uuid.mark(text.clone())).unwrap().sql, "uuid");
        assert_eq!(target_type(&LogicalType::Json.mark(text)).unwrap().sql, "json");
        assert_eq!(target_type(&Kind::Jsonb.field("c", true, "jsonb")).unwrap().sql, "jsonb");
    }
}
