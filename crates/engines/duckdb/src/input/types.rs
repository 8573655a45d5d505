//! The DuckDB type of an Arrow column.
//!
//! An Arrow type has a *plain* form: the one the writer knows, of equal values. Text and blobs keep their Arrow form;
//! dictionaries, half floats and the like are cast to theirs before DuckDB's threads see them.

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use duckdb::core::{LogicalTypeHandle, LogicalTypeId as Id};
use std::sync::Arc;

/// DuckDB's widest decimal: <https://duckdb.org/docs/stable/sql/data_types/numeric#fixed-point-decimals>.
pub(crate) const MAX_DECIMAL: u8 = 38;
/// DuckDB's longest fixed-size array: <https://duckdb.org/docs/stable/sql/data_types/array>.
const MAX_ARRAY: i32 = 100_000;

/// What must be done with a column before it can be written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plain {
    /// The writer takes it as it is.
    Same,
    /// Cast to this type first; no value changes.
    Cast(DataType),
}

/// The form of `t` that the writer takes, or why there is none.
pub(crate) fn plain(t: &DataType) -> Result<Plain, String> {
    let p = plain_type(t)?;
    Ok(if p == *t { Plain::Same } else { Plain::Cast(p) })
}

fn plain_type(t: &DataType) -> Result<DataType, String> {
    use DataType as D;
    Ok(match t {
        D::Dictionary(_, v) => plain_type(v)?,
        D::RunEndEncoded(_, v) => plain_type(v.data_type())?,
        D::Float16 => D::Float32,
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) | D::Decimal256(p, s) => {
            if *s < 0 {
                return Err(format!("is decimal({p},{s}): DuckDB has no negative scale"));
            }
            // PostgreSQL's numeric(2,4) is legal; DuckDB wants at least as many digits as decimals.
            let width = (*p).max(s.unsigned_abs());
            if width > MAX_DECIMAL {
                return Err(format!("is decimal({p},{s}): DuckDB's decimals have at most {MAX_DECIMAL} digits"));
            }
            D::Decimal128(width, *s)
        }
        D::Time32(_) => D::Time64(TimeUnit::Microsecond),
        // Nanoseconds with a zone stay: the writer checks each value, for DuckDB has microseconds there.
        D::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, z) => D::Timestamp(TimeUnit::Microsecond, z.clone()),
        D::List(f) | D::LargeList(f) | D::ListView(f) | D::LargeListView(f) => D::List(plain_field(f)?),
        D::FixedSizeList(f, n) if *n < 1 || *n > MAX_ARRAY => D::List(plain_field(f)?),
        D::FixedSizeList(f, n) => D::FixedSizeList(plain_field(f)?, *n),
        D::Struct(fs) if fs.is_empty() => return Err("is a struct without fields, which DuckDB has not".into()),
        D::Struct(fs) => D::Struct(fs.iter().map(plain_field).collect::<Result<_, _>>()?),
        D::Map(f, sorted) => D::Map(plain_field(f)?, *sorted),
        D::Date64 | D::Union(..) => return Err(format!("has the Arrow type {t}, which the duckdb engine can't read")),
        same => same.clone(),
    })
}

fn plain_field(f: &FieldRef) -> Result<FieldRef, String> {
    Ok(Arc::new(Field::clone(f).with_data_type(plain_type(f.data_type())?)))
}

/// The DuckDB type of a column whose Arrow type is plain.
pub(crate) fn logical_type(t: &DataType) -> Result<LogicalTypeHandle, String> {
    use DataType as D;
    let id = match t {
        D::Null => Id::SqlNull,
        D::Boolean => Id::Boolean,
        D::Int8 => Id::Tinyint,
        D::Int16 => Id::Smallint,
        D::Int32 => Id::Integer,
        D::Int64 => Id::Bigint,
        D::UInt8 => Id::UTinyint,
        D::UInt16 => Id::USmallint,
        D::UInt32 => Id::UInteger,
        D::UInt64 => Id::UBigint,
        D::Float32 => Id::Float,
        D::Float64 => Id::Double,
        D::Utf8 | D::LargeUtf8 | D::Utf8View => Id::Varchar,
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => Id::Blob,
        D::Date32 => Id::Date,
        D::Time64(TimeUnit::Microsecond) => Id::Time,
        D::Time64(TimeUnit::Nanosecond) => Id::TimeNs,
        D::Timestamp(_, Some(_)) => Id::TimestampTZ,
        D::Timestamp(TimeUnit::Microsecond, None) => Id::Timestamp,
        D::Timestamp(TimeUnit::Nanosecond, None) => Id::TimestampNs,
        D::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano) | D::Duration(_) => {
            Id::Interval
        }
        D::Decimal128(p, s) => return Ok(LogicalTypeHandle::decimal(*p, s.unsigned_abs())),
        D::List(f) => return Ok(LogicalTypeHandle::list(&logical_type(f.data_type())?)),
        D::FixedSizeList(f, n) => {
            return Ok(LogicalTypeHandle::array(&logical_type(f.data_type())?, u64::from(n.unsigned_abs())));
        }
        D::Struct(fs) => {
            let fields = fs.iter().map(|f| Ok((named(f)?, logical_type(f.data_type())?)));
            return Ok(LogicalTypeHandle::struct_type(&fields.collect::<Result<Vec<_>, String>>()?));
        }
        D::Map(entries, _) => {
            let D::Struct(kv) = entries.data_type() else { return Err("is a broken map".into()) };
            let [k, v] = &kv[..] else { return Err("is a broken map".into()) };
            return Ok(LogicalTypeHandle::map(&logical_type(k.data_type())?, &logical_type(v.data_type())?));
        }
        other => return Err(format!("has the Arrow type {other}, which the duckdb engine can't read")),
    };
    Ok(LogicalTypeHandle::from(id))
}

fn named(f: &Field) -> Result<&str, String> {
    // The C API takes names as C strings.
    if f.name().contains('\0') { Err("has a field whose name contains a NUL".into()) } else { Ok(f.name()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_duckdb_cannot_hold_is_refused_with_the_reason() {
        for (t, why) in [
            (DataType::Decimal256(50, 10), "38 digits"),
            (DataType::Decimal128(5, -2), "negative scale"),
            (DataType::Date64, "Date64"),
            (DataType::new_list(DataType::Decimal256(76, 0), true), "38 digits"),
        ] {
            let e = plain(&t).unwrap_err();
            assert!(e.contains(why), "{t}: {e}");
        }
    }

    #[test]
    fn nested_types_become_plain_all_the_way_down() {
        let dict = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let t = DataType::new_large_list(dict, true);
        assert_eq!(plain(&t), Ok(Plain::Cast(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))))));
        assert_eq!(plain(&DataType::Decimal256(20, 3)), Ok(Plain::Cast(DataType::Decimal128(20, 3))));
        assert_eq!(plain(&DataType::Decimal128(2, 4)), Ok(Plain::Cast(DataType::Decimal128(4, 4))));
        assert_eq!(plain(&DataType::Int8), Ok(Plain::Same));
    }
}
