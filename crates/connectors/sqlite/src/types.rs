//! Declared column types -> Arrow, and Arrow -> declared types of tables that xdb creates.
//!
//! SQLite keeps a declared type only as text, and derives from it an *affinity*
//! (<https://www.sqlite.org/datatype3.html#determination_of_column_affinity>): what it tries to turn stored values into.
//! The names that xdb writes are chosen so that the affinity never changes a value: `DECIMAL_TEXT(38,10)` contains
//! `TEXT`, so its digits stay text, where `DECIMAL(38,10)` would turn them into a double.

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use xdb_core::types::SOURCE_TYPE_KEY;
use xdb_core::{Error, Fidelity, LogicalType, Result, SourceType, TargetType};

/// What the values of one column are. Each kind is one Arrow type; it travels in splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Int,
    UInt,
    Bool,
    Float,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Date,
    /// `digits` of the second's fraction: 0, 3, 6 or 9.
    Time {
        digits: u8,
    },
    Timestamp {
        digits: u8,
        utc: bool,
    },
    Interval,
    Text,
    Uuid,
    Json,
    Binary,
}

impl Kind {
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Int => DataType::Int64,
            Self::UInt => DataType::UInt64,
            Self::Bool => DataType::Boolean,
            Self::Float => DataType::Float64,
            Self::Decimal { precision, scale } if precision <= 38 => DataType::Decimal128(precision, scale),
            Self::Decimal { precision, scale } => DataType::Decimal256(precision, scale),
            Self::Date => DataType::Date32,
            Self::Time { digits: d @ (0 | 3) } => DataType::Time32(unit(d)),
            Self::Time { digits } => DataType::Time64(unit(digits)),
            Self::Timestamp { digits, utc } => DataType::Timestamp(unit(digits), utc.then(|| Arc::from("UTC"))),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Text | Self::Uuid | Self::Json => DataType::Utf8,
            Self::Binary => DataType::Binary,
        }
    }
    /// The Arrow field of a column. Always nullable: what a column promises (`NOT NULL`) and what `types: lossy` makes
    /// of a value that doesn't fit are two things.
    pub(crate) fn field(self, name: &str, source_type: &str) -> Field {
        let f = Field::new(name, self.data_type(), true)
            .with_metadata(HashMap::from([(SOURCE_TYPE_KEY.to_string(), source_type.to_string())]));
        match self {
            Self::Uuid => LogicalType::Uuid.mark(f),
            Self::Json => LogicalType::Json.mark(f),
            _ => f,
        }
    }
    /// The kind behind a field that [`Kind::field`] made.
    pub(crate) fn of(field: &Field) -> Result<Self> {
        Ok(match field.data_type() {
            DataType::Int64 => Self::Int,
            DataType::UInt64 => Self::UInt,
            DataType::Boolean => Self::Bool,
            DataType::Float64 => Self::Float,
            DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => Self::Decimal { precision: *p, scale: *s },
            DataType::Date32 => Self::Date,
            DataType::Time32(u) | DataType::Time64(u) => Self::Time { digits: digits(*u) },
            DataType::Timestamp(u, tz) => Self::Timestamp { digits: digits(*u), utc: tz.is_some() },
            DataType::Interval(_) => Self::Interval,
            DataType::Binary => Self::Binary,
            DataType::Utf8 => match LogicalType::of(field) {
                Some(LogicalType::Uuid) => Self::Uuid,
                Some(LogicalType::Json) => Self::Json,
                None => Self::Text,
            },
            other => return Err(Error::internal(format!("SQLite columns are never {other}"))),
        })
    }
}

fn unit(digits: u8) -> TimeUnit {
    match digits {
        0 => TimeUnit::Second,
        3 => TimeUnit::Millisecond,
        6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}
pub(crate) fn digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// SQLite's five affinities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}
impl Affinity {
    /// The five rules of the manual, in their order.
    pub(crate) fn of(declared: &str) -> Self {
        let t = declared.to_ascii_uppercase();
        let has = |s: &str| t.contains(s);
        if has("INT") {
            Self::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if has("BLOB") || t.trim().is_empty() {
            Self::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Self::Real
        } else {
            Self::Numeric
        }
    }
}

/// What a declared type says; `None` where it says too little (no type, a bare `NUMERIC`, an unknown name) and stored
/// values decide (see the `catalog` module).
pub(crate) fn declared_kind(declared: &str) -> Option<Kind> {
    let upper = declared.trim().to_ascii_uppercase();
    let (name, args) = split_args(&upper);
    let digits = |default: u8| match args.first() {
        Some(0) => 0,
        Some(1..=3) => 3,
        Some(4..=6) => 6,
        Some(_) => 9,
        None => default,
    };
    Some(match name.as_str() {
        "BOOLEAN" | "BOOL" => Kind::Bool,
        "UNSIGNED BIGINT" | "UNSIGNED BIG INT" | "BIGINT UNSIGNED" | "UBIGINT" => Kind::UInt,
        "DECIMAL" | "NUMERIC" | "DEC" | "NUMBER" | "DECIMAL_TEXT" => match args[..] {
            [p @ 1..=76] => Kind::Decimal { precision: p as u8, scale: 0 },
            [p @ 1..=76, s] if (0..=p).contains(&s) => Kind::Decimal { precision: p as u8, scale: s as i8 },
            _ => return None,
        },
        "DATE" => Kind::Date,
        "TIME" => Kind::Time { digits: digits(6) },
        "DATETIME" | "TIMESTAMP" | "TIMESTAMP WITHOUT TIME ZONE" => Kind::Timestamp { digits: digits(6), utc: false },
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" | "DATETIMEOFFSET" => {
            Kind::Timestamp { digits: digits(6), utc: true }
        }
        "INTERVAL" => Kind::Interval,
        "UUID" | "UUID_TEXT" | "GUID" => Kind::Uuid,
        "JSON" | "JSON_TEXT" => Kind::Json,
        "JSONB" => Kind::Binary,
        _ => match Affinity::of(&name) {
            Affinity::Integer => Kind::Int,
            Affinity::Text => Kind::Text,
            Affinity::Real => Kind::Float,
            Affinity::Blob if !name.is_empty() => Kind::Binary,
            Affinity::Blob | Affinity::Numeric => return None,
        },
    })
}

/// `DECIMAL ( 10 , 2 )` -> (`DECIMAL`, [10, 2]); words after the parenthesis stay in the name.
fn split_args(declared: &str) -> (String, Vec<i64>) {
    let (name, args) = match (declared.find('('), declared.find(')')) {
        (Some(a), Some(b)) if a < b => {
            let args = declared[a + 1..b].split(',').filter_map(|x| x.trim().parse().ok()).collect();
            (format!("{} {}", &declared[..a], &declared[b + 1..]), args)
        }
        _ => (declared.to_string(), vec![]),
    };
    (name.split_whitespace().collect::<Vec<_>>().join(" "), args)
}

/// Most significant digits that a double keeps in every case (C's `DBL_DIG`).
pub(crate) const DOUBLE_DIGITS: u8 = 15;

pub(crate) fn target_type(field: &Field) -> Result<TargetType> {
    use DataType as D;
    Ok(match field.data_type() {
        D::Null => TargetType::widened("TEXT", "a column of NULLs"),
        D::Boolean => TargetType::exact("BOOLEAN"),
        D::Int64 => TargetType::exact("INTEGER"),
        D::Int8 | D::Int16 | D::Int32 | D::UInt8 | D::UInt16 | D::UInt32 => {
            TargetType::widened("INTEGER", "reads back as Int64")
        }
        // Above 2^63-1 the value is stored as an 8-byte big-endian blob: affinity leaves blobs alone, and they sort
        // after all integers and among each other by value.
        D::UInt64 => TargetType::exact("UNSIGNED BIGINT"),
        D::Float16 | D::Float32 => TargetType::lossy("REAL", "reads back as Float64; SQLite has no NaN"),
        D::Float64 => TargetType::lossy("REAL", "SQLite has no NaN"),
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) | D::Decimal256(p, s) => {
            let (p, s) = if *s < 0 { (*p as i16 - *s as i16, 0) } else { (*p as i16, *s as i16) };
            if p > 76 {
                return Err(Error::unsupported(format!("a decimal of {p} digits; at most 76 can be stored")));
            }
            // Few digits: a number that SQLite's own SQL can compare and add. Many: text, or digits would be lost.
            let name = if p <= i16::from(DOUBLE_DIGITS) { "DECIMAL" } else { "DECIMAL_TEXT" };
            let sql = format!("{name}({p},{s})");
            match field.data_type() {
                D::Decimal128(_, 0..) if p <= 38 => TargetType::exact(sql),
                D::Decimal256(_, 0..) if p > 38 => TargetType::exact(sql),
                _ => TargetType::widened(sql, "reads back as Decimal128 up to 38 digits, else Decimal256"),
            }
        }
        D::Date32 => TargetType::exact("DATE"),
        D::Date64 => TargetType::lossy("DATE", "whole days only"),
        D::Time32(u) | D::Time64(u) => TargetType::exact(with_digits("TIME", *u)),
        D::Timestamp(u, None) => TargetType::exact(with_digits("TIMESTAMP", *u)),
        D::Timestamp(u, Some(tz)) => {
            let sql = with_digits("TIMESTAMPTZ", *u);
            if tz.as_ref() == "UTC" { TargetType::exact(sql) } else { TargetType::widened(sql, "same moment, in UTC") }
        }
        D::Interval(IntervalUnit::MonthDayNano) => TargetType::exact("INTERVAL"),
        D::Interval(_) => TargetType::widened("INTERVAL", "reads back as months, days and nanoseconds"),
        D::Duration(_) => TargetType::lossy("INTERVAL", "at most 292 years"),
        D::Utf8 | D::LargeUtf8 | D::Utf8View => match LogicalType::of(field) {
            Some(LogicalType::Uuid) => TargetType::exact("UUID"),
            // Not `JSON`: its affinity is NUMERIC and would turn the document `1.10` into the number 1.1.
            Some(LogicalType::Json) => TargetType::exact("JSON_TEXT"),
            None => TargetType::exact("TEXT"),
        },
        D::Binary | D::LargeBinary | D::BinaryView => TargetType::exact("BLOB"),
        D::FixedSizeBinary(_) => TargetType::widened("BLOB", "reads back as Binary"),
        D::Dictionary(_, v) => return target_type(&field.clone().with_data_type(v.as_ref().clone())),
        D::RunEndEncoded(_, v) => return target_type(&field.clone().with_data_type(v.data_type().clone())),
        other => {
            return Err(Error::unsupported(format!("SQLite has no column type for {other}"))
                .hint("turn it into text or into several columns in the model's SQL"));
        }
    })
}

/// Microseconds are what a bare name means.
fn with_digits(name: &str, u: TimeUnit) -> String {
    match u {
        TimeUnit::Microsecond => name.to_string(),
        other => format!("{name}({})", digits(other)),
    }
}

const fn exact(name: &'static str, arrow: &'static str, note: &'static str) -> SourceType {
    SourceType { name, arrow, fidelity: Fidelity::Exact, note }
}

/// By declared type. Whatever the declared type, a stored value that doesn't fit the Arrow type is an error that names
/// column and value, and NULL under `types: lossy` (numbers in a text column become text).
pub(crate) const SOURCE_TYPES: &[SourceType] = &[
    exact("any name with INT", "Int64", "INTEGER, BIGINT, INT UNSIGNED ..."),
    exact("UNSIGNED BIGINT", "UInt64", "also UNSIGNED BIG INT, BIGINT UNSIGNED, UBIGINT"),
    exact("BOOLEAN, BOOL", "Boolean", "stored 0 and 1 only"),
    exact("any name with REAL, FLOA or DOUB", "Float64", ""),
    exact(
        "DECIMAL(p,s), NUMERIC(p,s)",
        "Decimal128(p, s), above 38 digits Decimal256(p, s)",
        "stored integers, digits as text, and doubles of at most 15 significant digits that fit the scale",
    ),
    exact("DECIMAL_TEXT(p,s)", "Decimal128(p, s), above 38 digits Decimal256(p, s)", "xdb's own: digits as text"),
    exact("DATE", "Date32", "ISO 8601 text"),
    exact("TIME, TIME(d)", "Time64(µs), by d: Time32(s), Time32(ms), Time64(ns)", "ISO 8601 text"),
    exact("DATETIME, TIMESTAMP, TIMESTAMP(d)", "Timestamp(µs), by d: s, ms, ns", "ISO 8601 text without a zone"),
    exact(
        "TIMESTAMPTZ, TIMESTAMP WITH TIME ZONE",
        "Timestamp(µs, UTC)",
        "ISO 8601 text; without an offset it is UTC, as in SQLite's own functions",
    ),
    exact("INTERVAL", "Interval(MonthDayNano)", "ISO 8601 duration, e.g. P1M2DT0.5S"),
    exact("UUID, GUID", "Utf8 (uuid)", "text or 16 bytes"),
    exact("JSON, JSON_TEXT", "Utf8 (json)", ""),
    exact("any name with CHAR, CLOB or TEXT", "Utf8", "the length in VARCHAR(n) is not enforced by SQLite"),
    exact("any name with BLOB; JSONB", "Binary", ""),
    SourceType {
        name: "none, NUMERIC, other names, view expressions",
        arrow: "Int64, Float64, Utf8 or Binary",
        fidelity: Fidelity::Widened,
        note: "by what the first 1000 rows store; only NULLs: Utf8",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types() {
        for (d, want) in [
            ("integer", Some(Kind::Int)),
            ("Big Int", Some(Kind::Int)),
            ("INT UNSIGNED", Some(Kind::Int)),
            ("unsigned big int", Some(Kind::UInt)),
            ("BIGINT(20) UNSIGNED", Some(Kind::UInt)),
            ("bool", Some(Kind::Bool)),
            ("double precision", Some(Kind::Float)),
            ("DECIMAL ( 10 , 2 )", Some(Kind::Decimal { precision: 10, scale: 2 })),
            ("NUMERIC(5)", Some(Kind::Decimal { precision: 5, scale: 0 })),
            ("NUMERIC", None),
            ("DECIMAL(5,9)", None),
            ("DECIMAL_TEXT(50,10)", Some(Kind::Decimal { precision: 50, scale: 10 })),
            ("date", Some(Kind::Date)),
            ("TIMESTAMP(9)", Some(Kind::Timestamp { digits: 9, utc: false })),
            ("TIMESTAMP(3) WITH TIME ZONE", Some(Kind::Timestamp { digits: 3, utc: true })),
            ("datetime", Some(Kind::Timestamp { digits: 6, utc: false })),
            ("NATIVE CHARACTER(70)", Some(Kind::Text)),
            ("VARCHAR(255)", Some(Kind::Text)),
            ("BLOB", Some(Kind::Binary)),
            ("", None),
            ("STRING", None),
            ("MONEY", None),
        ] {
            assert_eq!(declared_kind(d), want, "{d}");
        }
    }

    #[test]
    fn what_is_written_reads_back_as_the_same_arrow_type() {
        for t in [
            DataType::Boolean,
            DataType::Int64,
            DataType::UInt64,
            DataType::Decimal128(15, 2),
            DataType::Decimal128(16, 2),
            DataType::Decimal128(38, 38),
            DataType::Decimal256(76, 10),
            DataType::Date32,
            DataType::Time32(TimeUnit::Second),
            DataType::Time32(TimeUnit::Millisecond),
            DataType::Time64(TimeUnit::Microsecond),
            DataType::Time64(TimeUnit::Nanosecond),
            DataType::Timestamp(TimeUnit::Second, None),
            DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            DataType::Interval(IntervalUnit::MonthDayNano),
            DataType::Utf8,
            DataType::Binary,
        ] {
            let target = target_type(&Field::new("c", t.clone(), true)).unwrap();
            assert_eq!(target.fidelity, Fidelity::Exact, "{t}");
            assert_eq!(declared_kind(&target.sql).unwrap().data_type(), t, "{}", target.sql);
        }
    }

    #[test]
    fn exact_text_never_gets_a_numeric_affinity() {
        for t in [DataType::Decimal128(38, 10), DataType::Utf8] {
            let sql = target_type(&Field::new("c", t, true)).unwrap().sql;
            assert_eq!(Affinity::of(&sql), Affinity::Text, "{sql}");
        }
        let json = LogicalType::Json.mark(Field::new("j", DataType::Utf8, true));
        assert_eq!(Affinity::of(&target_type(&json).unwrap().sql), Affinity::Text);
    }
}
