//! Source types to Arrow, and Arrow to the column types of tables that xdb makes.
//!
//! Sizes and ranges: <https://dev.mysql.com/doc/refman/8.4/en/data-types.html>,
//! <https://mariadb.com/kb/en/data-types/>.

use crate::wire::{ColumnDef, ColumnType};
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use xdb_core::types::SOURCE_TYPE_KEY;
use xdb_core::{Error, Fidelity, LogicalType, Result, SourceType, TargetType};

/// The most digits DECIMAL holds, and the most behind the point (MariaDB holds 38 there, MySQL 30).
pub(crate) const MAX_PRECISION: u8 = 65;
pub(crate) const MAX_SCALE: i8 = 30;

const fn row(name: &'static str, arrow: &'static str, fidelity: Fidelity, note: &'static str) -> SourceType {
    SourceType { name, arrow, fidelity, note }
}

pub(crate) static SOURCE_TYPES: &[SourceType] = &[
    row("tinyint", "Int8", Fidelity::Exact, "tinyint(1) too, unless `tinyint1_is_bool`"),
    row("tinyint unsigned", "UInt8", Fidelity::Exact, ""),
    row("smallint", "Int16", Fidelity::Exact, ""),
    row("smallint unsigned", "UInt16", Fidelity::Exact, ""),
    row("mediumint, int", "Int32", Fidelity::Exact, ""),
    row("mediumint unsigned, int unsigned", "UInt32", Fidelity::Exact, ""),
    row("bigint", "Int64", Fidelity::Exact, ""),
    row("bigint unsigned", "UInt64", Fidelity::Exact, ""),
    row("year", "UInt16", Fidelity::Exact, ""),
    row("decimal(p,s)", "Decimal128(p, s), Decimal256(p, s) from 39 digits", Fidelity::Exact, ""),
    row("float", "Float32", Fidelity::Exact, ""),
    row("double", "Float64", Fidelity::Exact, ""),
    row("bit(1)", "Boolean", Fidelity::Exact, ""),
    row("bit(n)", "UInt64", Fidelity::Exact, ""),
    row("char, varchar, text, enum, set", "Utf8", Fidelity::Exact, "char without the padding, as the server gives it"),
    row("json", "Utf8 (json)", Fidelity::Exact, "as the server prints it"),
    row("binary, varbinary, blob", "Binary", Fidelity::Exact, "binary(n) with its zero bytes"),
    row("date", "Date32", Fidelity::Lossy, "zero and impossible dates: an error, NULL under `types: lossy`"),
    row(
        "datetime(6)",
        "Timestamp(us)",
        Fidelity::Lossy,
        "zero and impossible dates: an error, NULL under `types: lossy`",
    ),
    row("timestamp(6)", "Timestamp(us, UTC)", Fidelity::Lossy, "zero dates: an error, NULL under `types: lossy`"),
    row("time(6)", "Time64(us)", Fidelity::Lossy, "below 0 or from 24 hours: an error, NULL under `types: lossy`"),
    row("uuid (MariaDB)", "Utf8 (uuid)", Fidelity::Exact, ""),
    row("inet4, inet6 (MariaDB)", "Utf8", Fidelity::Exact, ""),
    row("geometry and its kinds", "Binary", Fidelity::Exact, "four bytes of SRID, then WKB, as the server gives it"),
    row("vector(n) (MySQL 9)", "List(Float32)", Fidelity::Exact, ""),
];

/// A column as information_schema describes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceColumn {
    pub(crate) data_type: String,
    pub(crate) column_type: String,
    pub(crate) precision: Option<u8>,
    pub(crate) scale: Option<i8>,
    /// Bits of a `bit(n)`.
    pub(crate) is_json: bool,
}

/// The Arrow type of a column of a table.
pub(crate) fn column_type(c: &SourceColumn, tinyint1_is_bool: bool) -> Result<(DataType, Option<LogicalType>)> {
    use DataType as D;
    let unsigned = c.column_type.contains("unsigned");
    let int = |signed, un| if unsigned { un } else { signed };
    let plain = |t| Ok((t, None));
    match c.data_type.to_ascii_lowercase().as_str() {
        "tinyint" if tinyint1_is_bool && c.column_type.starts_with("tinyint(1)") && !unsigned => plain(D::Boolean),
        "tinyint" => plain(int(D::Int8, D::UInt8)),
        "smallint" => plain(int(D::Int16, D::UInt16)),
        "mediumint" | "int" | "integer" => plain(int(D::Int32, D::UInt32)),
        "bigint" => plain(int(D::Int64, D::UInt64)),
        "year" => plain(D::UInt16),
        "decimal" | "numeric" => plain(decimal(c.precision.unwrap_or(10), c.scale.unwrap_or(0))),
        "float" => plain(D::Float32),
        "double" | "real" => plain(D::Float64),
        "bit" => plain(if c.precision.unwrap_or(1) == 1 { D::Boolean } else { D::UInt64 }),
        "json" => Ok((D::Utf8, Some(LogicalType::Json))),
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" if c.is_json => {
            Ok((D::Utf8, Some(LogicalType::Json)))
        }
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" | "inet4" | "inet6" => {
            plain(D::Utf8)
        }
        "uuid" => Ok((D::Utf8, Some(LogicalType::Uuid))),
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => plain(D::Binary),
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "geomcollection" => plain(D::Binary),
        "date" => plain(D::Date32),
        "datetime" => plain(D::Timestamp(TimeUnit::Microsecond, None)),
        "timestamp" => plain(D::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        "time" => plain(D::Time64(TimeUnit::Microsecond)),
        "vector" => plain(vector()),
        other => Err(Error::unsupported(format!("type `{other}` is not known to xdb"))
            .hint("cast the column in a view, or leave it out of the SELECT")),
    }
}
pub(crate) fn vector() -> DataType {
    DataType::List(std::sync::Arc::new(Field::new_list_field(DataType::Float32, true)))
}
fn decimal(p: u8, s: i8) -> DataType {
    if p <= 38 { DataType::Decimal128(p.max(1), s) } else { DataType::Decimal256(p.min(76), s) }
}

/// The field of a column of any query's result, from its definition on the wire.
pub(crate) fn wire_field(c: &ColumnDef, tinyint1_is_bool: bool) -> Result<Field> {
    use ColumnType as T;
    use DataType as D;
    let int = |signed, un| if c.is_unsigned() { un } else { signed };
    let text = |binary: D| if c.is_binary() { binary } else { D::Utf8 };
    let mut logical = match (c.extended_type.as_deref(), c.format.as_deref()) {
        (Some("uuid"), _) => Some(LogicalType::Uuid),
        (_, Some("json")) => Some(LogicalType::Json),
        _ => None,
    };
    let Some(kind) = c.kind else {
        return Err(Error::unsupported(format!("column `{}` has a type that is not known to xdb", c.name)));
    };
    let (t, name) = match kind {
        T::MYSQL_TYPE_TINY if tinyint1_is_bool && c.length == 1 && !c.is_unsigned() => (D::Boolean, "tinyint(1)"),
        T::MYSQL_TYPE_TINY => (int(D::Int8, D::UInt8), "tinyint"),
        T::MYSQL_TYPE_SHORT => (int(D::Int16, D::UInt16), "smallint"),
        T::MYSQL_TYPE_INT24 | T::MYSQL_TYPE_LONG => (int(D::Int32, D::UInt32), "int"),
        T::MYSQL_TYPE_LONGLONG => (int(D::Int64, D::UInt64), "bigint"),
        T::MYSQL_TYPE_YEAR => (D::UInt16, "year"),
        T::MYSQL_TYPE_FLOAT => (D::Float32, "float"),
        T::MYSQL_TYPE_DOUBLE => (D::Float64, "double"),
        T::MYSQL_TYPE_DECIMAL | T::MYSQL_TYPE_NEWDECIMAL => {
            // The length counts the sign and the point.
            let extra = u32::from(c.decimals > 0) + u32::from(!c.is_unsigned());
            let digits = c.length.saturating_sub(extra).clamp(1, u32::from(MAX_PRECISION)) as u8;
            (decimal(digits.max(c.decimals), i8::try_from(c.decimals).unwrap_or(0)), "decimal")
        }
        T::MYSQL_TYPE_BIT => (if c.length == 1 { D::Boolean } else { D::UInt64 }, "bit"),
        T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE => (D::Date32, "date"),
        T::MYSQL_TYPE_DATETIME | T::MYSQL_TYPE_DATETIME2 => (D::Timestamp(TimeUnit::Microsecond, None), "datetime"),
        T::MYSQL_TYPE_TIMESTAMP | T::MYSQL_TYPE_TIMESTAMP2 => {
            (D::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "timestamp")
        }
        T::MYSQL_TYPE_TIME | T::MYSQL_TYPE_TIME2 => (D::Time64(TimeUnit::Microsecond), "time"),
        T::MYSQL_TYPE_NULL => (D::Null, "null"),
        T::MYSQL_TYPE_JSON => {
            logical = Some(LogicalType::Json);
            (D::Utf8, "json")
        }
        T::MYSQL_TYPE_VECTOR => (vector(), "vector"),
        T::MYSQL_TYPE_GEOMETRY => (D::Binary, "geometry"),
        T::MYSQL_TYPE_ENUM => (D::Utf8, "enum"),
        T::MYSQL_TYPE_SET => (D::Utf8, "set"),
        T::MYSQL_TYPE_VARCHAR | T::MYSQL_TYPE_VAR_STRING => (text(D::Binary), "varchar"),
        T::MYSQL_TYPE_STRING => (text(D::Binary), "char"),
        T::MYSQL_TYPE_TINY_BLOB | T::MYSQL_TYPE_MEDIUM_BLOB | T::MYSQL_TYPE_LONG_BLOB | T::MYSQL_TYPE_BLOB => {
            (text(D::Binary), "text")
        }
        T::MYSQL_TYPE_TYPED_ARRAY | T::MYSQL_TYPE_UNKNOWN => {
            return Err(Error::unsupported(format!("column `{}` has a type that is not known to xdb", c.name)));
        }
    };
    let nullable = !c.is_not_null() || may_become_null(&t);
    let field = field(&c.name, t, nullable, name);
    Ok(match logical {
        Some(l) if *field.data_type() == D::Utf8 => l.mark(field),
        _ => field,
    })
}

/// Values that Arrow has no name for (a zero date) become NULL under `types: lossy`, whatever the column says.
pub(crate) fn may_become_null(t: &DataType) -> bool {
    matches!(t, DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_))
}

pub(crate) fn field(name: &str, t: DataType, nullable: bool, source: &str) -> Field {
    Field::new(name, t, nullable).with_metadata([(SOURCE_TYPE_KEY.to_string(), source.to_string())].into())
}

/// Texts compare by bytes, so that what was written can be found again. This collation still ignores trailing spaces; the
/// load takes the server's own that doesn't, where it has one ([`without_padding`]).
const TEXT: &str = "longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// The column type `sql` with the collation of this server that neither folds nor pads: MariaDB's from 10.2, MySQL's from
/// 8.0.17.
pub(crate) fn without_padding(sql: &str, mariadb: bool, version: &str) -> String {
    let mut parts = version.split(['.', '-']).map(|p| p.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    match mariadb {
        true if version >= (10, 2, 0) => sql.replace("COLLATE utf8mb4_bin", "COLLATE utf8mb4_nopad_bin"),
        false if version >= (8, 0, 17) => sql.replace("COLLATE utf8mb4_bin", "COLLATE utf8mb4_0900_bin"),
        _ => sql.to_string(),
    }
}

/// `ConnectorDef::target_type`.
pub(crate) fn target_type(f: &Field) -> Result<TargetType> {
    use DataType as D;
    let no = |why: &str| Err(Error::unsupported(format!("MySQL has no column type for {}{why}", f.data_type())));
    Ok(match f.data_type() {
        D::Boolean => TargetType::widened("tinyint(1)", "reads back as a small integer, unless `tinyint1_is_bool`"),
        D::Int8 => TargetType::exact("tinyint"),
        D::Int16 => TargetType::exact("smallint"),
        D::Int32 => TargetType::exact("int"),
        D::Int64 => TargetType::exact("bigint"),
        D::UInt8 => TargetType::exact("tinyint unsigned"),
        D::UInt16 => TargetType::exact("smallint unsigned"),
        D::UInt32 => TargetType::exact("int unsigned"),
        D::UInt64 => TargetType::exact("bigint unsigned"),
        D::Float16 => TargetType::widened("float", "16 bits become 32; NaN and infinity are errors"),
        D::Float32 => TargetType { note: "NaN and infinity are errors; -0 becomes 0", ..TargetType::exact("float") },
        D::Float64 => TargetType { note: "NaN and infinity are errors; -0 becomes 0", ..TargetType::exact("double") },
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) | D::Decimal256(p, s) => {
            // A negative scale is digits before the point.
            let digits = i16::from(*p) - i16::from((*s).min(0));
            if digits > i16::from(MAX_PRECISION) || *s > MAX_SCALE {
                return no(": DECIMAL has 65 digits, 30 of them behind the point")
                    .map_err(|e: Error| e.hint("cast the column to a smaller decimal, or to text"));
            }
            let digits = digits.max(i16::from(*s)).max(1);
            let sql = format!("decimal({digits},{})", (*s).max(0));
            if *s < 0 { TargetType::widened(sql, "with a scale of 0") } else { TargetType::exact(sql) }
        }
        D::Utf8 | D::LargeUtf8 | D::Utf8View => match LogicalType::of(f) {
            Some(LogicalType::Uuid) => {
                TargetType::widened("char(36) CHARACTER SET ascii COLLATE ascii_bin", "text; MySQL has no uuid type")
            }
            Some(LogicalType::Json) => TargetType::widened(TEXT, "text: MySQL's json would rewrite the document"),
            None => TargetType::exact(TEXT),
        },
        D::Binary | D::LargeBinary | D::BinaryView => TargetType::exact("longblob"),
        D::FixedSizeBinary(_) => TargetType::widened("longblob", "any length"),
        D::Date32 => TargetType { note: "years 1 to 9999", ..TargetType::exact("date") },
        D::Date64 => TargetType::widened("datetime(6)", "years 1 to 9999"),
        D::Timestamp(TimeUnit::Nanosecond, _) => TargetType::lossy("datetime(6)", "microseconds; in UTC"),
        D::Timestamp(TimeUnit::Microsecond, None) => {
            TargetType { note: "years 1 to 9999", ..TargetType::exact("datetime(6)") }
        }
        D::Timestamp(_, None) => TargetType::widened("datetime(6)", "microseconds; years 1 to 9999"),
        D::Timestamp(_, Some(_)) => {
            TargetType::widened("datetime(6)", "in UTC, without the zone: MySQL's timestamp ends in 2038")
        }
        D::Time32(_) => TargetType::widened("time(6)", ""),
        D::Time64(TimeUnit::Nanosecond) => TargetType::lossy("time(6)", "microseconds"),
        D::Time64(_) => TargetType::exact("time(6)"),
        D::Duration(TimeUnit::Nanosecond) => TargetType::lossy("bigint", "whole microseconds"),
        D::Duration(_) => TargetType::widened("bigint", "microseconds"),
        D::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano) => {
            TargetType::lossy(TEXT, "text, only under `types: lossy`")
        }
        D::List(_)
        | D::LargeList(_)
        | D::FixedSizeList(..)
        | D::ListView(_)
        | D::LargeListView(_)
        | D::Struct(_)
        | D::Map(..) => TargetType::widened(TEXT, "a JSON document"),
        D::Dictionary(_, v) => target_type(&Field::new(f.name(), v.as_ref().clone(), f.is_nullable()))?,
        D::RunEndEncoded(_, v) => target_type(&Field::new(f.name(), v.data_type().clone(), f.is_nullable()))?,
        D::Null => TargetType::widened(TEXT, "a column of NULLs"),
        D::Union(..) => return no(""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(data_type: &str, column_type: &str) -> SourceColumn {
        SourceColumn { data_type: data_type.into(), column_type: column_type.into(), ..Default::default() }
    }
    #[test]
    fn unsigned_and_booleans() {
        let t = |c: &SourceColumn, b| column_type(c, b).unwrap().0;
        assert_eq!(t(&source("bigint", "bigint(20) unsigned zerofill"), false), DataType::UInt64);
        assert_eq!(t(&source("tinyint", "tinyint(1)"), false), DataType::Int8);
        assert_eq!(t(&source("tinyint", "tinyint(1)"), true), DataType::Boolean);
        assert_eq!(t(&source("mediumint", "mediumint(9)"), true), DataType::Int32);
        let d = SourceColumn { precision: Some(65), scale: Some(30), ..source("decimal", "decimal(65,30)") };
        assert_eq!(t(&d, false), DataType::Decimal256(65, 30));
        assert!(column_type(&source("xyz", "xyz"), false).is_err());
    }
    #[test]
    fn collations_that_do_not_pad() {
        let c = |mariadb, v| without_padding(TEXT, mariadb, v).rsplit(' ').next().unwrap().to_string();
        assert_eq!(c(true, "10.11.19-MariaDB"), "utf8mb4_nopad_bin");
        assert_eq!(c(false, "9.7.0"), "utf8mb4_0900_bin");
        assert_eq!(c(false, "8.0.16"), "utf8mb4_bin");
        assert_eq!(c(false, "garbage"), "utf8mb4_bin");
    }
    #[test]
    fn decimals_that_fit_and_that_do_not() {
        let t = |t| target_type(&Field::new("c", t, true));
        assert_eq!(t(DataType::Decimal128(38, 10)).unwrap().sql, "decimal(38,10)");
        assert_eq!(t(DataType::Decimal128(5, -3)).unwrap().sql, "decimal(8,0)");
        assert_eq!(t(DataType::Decimal256(65, 30)).unwrap().sql, "decimal(65,30)");
        assert!(t(DataType::Decimal256(66, 0)).is_err());
        assert!(t(DataType::Decimal128(38, 31)).is_err());
    }
}
