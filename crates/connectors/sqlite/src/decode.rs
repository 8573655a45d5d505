//! Stored values -> Arrow builders. A value that doesn't fit its column's type is an error that names both.

use crate::interval::parse_interval;
use crate::temporal::{Moment, NANOS_PER_DAY, parse_date, parse_time, parse_timestamp};
use crate::types::{DOUBLE_DIGITS, Kind};
use arrow::array::*;
use arrow::datatypes::{DataType, Field, IntervalMonthDayNanoType, SchemaRef, i256};
use rusqlite::types::ValueRef;
use std::sync::Arc;
use xdb_core::{Error, Result, TypePolicy};

enum Builder {
    Int(Int64Builder),
    UInt(UInt64Builder),
    Bool(BooleanBuilder),
    Float(Float64Builder),
    Decimal128(Decimal128Builder, u8, i8),
    Decimal256(Decimal256Builder, u8, i8),
    Date(Date32Builder),
    /// Time32 as plain integers; reinterpreted at the end.
    Int32(Int32Builder, i64),
    /// Time64 and Timestamp the same way. The second is how many nanoseconds a unit has.
    Ticks(Int64Builder, i64),
    Interval(PrimitiveBuilder<IntervalMonthDayNanoType>),
    Text(StringBuilder),
    Binary(BinaryBuilder),
}

/// One column of a batch being filled.
pub(crate) struct Column {
    name: String,
    kind: Kind,
    lossy: bool,
    builder: Builder,
}

const CAPACITY: usize = 1024;

impl Column {
    pub(crate) fn new(field: &Field, types: TypePolicy) -> Result<Self> {
        let kind = Kind::of(field)?;
        let builder = match kind {
            Kind::Int => Builder::Int(Int64Builder::with_capacity(CAPACITY)),
            Kind::UInt => Builder::UInt(UInt64Builder::with_capacity(CAPACITY)),
            Kind::Bool => Builder::Bool(BooleanBuilder::with_capacity(CAPACITY)),
            Kind::Float => Builder::Float(Float64Builder::with_capacity(CAPACITY)),
            Kind::Decimal { precision, scale } if precision <= 38 => Builder::Decimal128(
                Decimal128Builder::with_capacity(CAPACITY).with_precision_and_scale(precision, scale)?,
                precision,
                scale,
            ),
            Kind::Decimal { precision, scale } => Builder::Decimal256(
                Decimal256Builder::with_capacity(CAPACITY).with_precision_and_scale(precision, scale)?,
                precision,
                scale,
            ),
            Kind::Date => Builder::Date(Date32Builder::with_capacity(CAPACITY)),
            Kind::Time { digits: d @ (0 | 3) } => Builder::Int32(Int32Builder::with_capacity(CAPACITY), tick(d)),
            Kind::Time { digits } | Kind::Timestamp { digits, .. } => {
                Builder::Ticks(Int64Builder::with_capacity(CAPACITY), tick(digits))
            }
            Kind::Interval => Builder::Interval(PrimitiveBuilder::with_capacity(CAPACITY)),
            Kind::Text | Kind::Uuid | Kind::Json => Builder::Text(StringBuilder::new()),
            Kind::Binary => Builder::Binary(BinaryBuilder::new()),
        };
        Ok(Self { name: field.name().clone(), kind, lossy: types == TypePolicy::Lossy, builder })
    }

    /// Adds one value; its size in bytes, about.
    pub(crate) fn push(&mut self, value: ValueRef<'_>) -> Result<usize> {
        match self.try_push(value) {
            Ok(n) => Ok(n),
            Err(_) if self.lossy => Ok(self.push_lossy(value)),
            Err(why) => Err(misfit(&self.name, value, self.kind, why)),
        }
    }

    fn try_push(&mut self, value: ValueRef<'_>) -> std::result::Result<usize, Misfit> {
        use ValueRef as V;
        if matches!(value, V::Null) {
            self.push_null();
            return Ok(1);
        }
        match (&mut self.builder, value) {
            (Builder::Int(b), V::Integer(i)) => b.append_value(i),
            (Builder::UInt(b), V::Integer(i)) => b.append_value(u64::try_from(i).map_err(|_| Misfit::Range)?),
            (Builder::UInt(b), V::Blob(x)) => {
                let n = x.try_into().map(u64::from_be_bytes).map_err(|_| Misfit::Storage)?;
                if i64::try_from(n).is_ok() {
                    return Err(Misfit::Storage);
                }
                b.append_value(n)
            }
            (Builder::Bool(b), V::Integer(i @ 0..=1)) => b.append_value(i == 1),
            (Builder::Bool(_), V::Integer(_)) => return Err(Misfit::Range),
            (Builder::Float(b), V::Real(r)) => b.append_value(r),
            (Builder::Float(b), V::Integer(i)) => {
                if i.unsigned_abs() > 1 << 53 {
                    return Err(Misfit::Range);
                }
                b.append_value(i as f64)
            }
            (Builder::Decimal128(b, p, s), v) => {
                let d = decimal(v, *p, *s)?.to_i128().ok_or(Misfit::Range)?;
                b.append_value(d)
            }
            (Builder::Decimal256(b, p, s), v) => b.append_value(decimal(v, *p, *s)?),
            (Builder::Date(b), V::Text(t)) => {
                let days = parse_date(text(t)?).ok_or(Misfit::Spelling)?;
                b.append_value(i32::try_from(days).map_err(|_| Misfit::Range)?)
            }
            (Builder::Int32(b, tick), V::Text(t)) => {
                let nanos = parse_time(text(t)?).ok_or(Misfit::Spelling)?;
                if nanos % *tick != 0 {
                    return Err(Misfit::Fraction);
                }
                b.append_value((nanos / *tick) as i32)
            }
            (Builder::Ticks(b, tick), V::Text(t)) => {
                let nanos = match self.kind {
                    Kind::Timestamp { utc, .. } => {
                        let m = parse_timestamp(text(t)?).ok_or(Misfit::Spelling)?;
                        if !utc && m.offset.is_some() {
                            return Err(Misfit::Zone);
                        }
                        m.total_nanos()
                    }
                    _ => i128::from(parse_time(text(t)?).ok_or(Misfit::Spelling)?),
                };
                let tick = i128::from(*tick);
                if nanos % tick != 0 {
                    return Err(Misfit::Fraction);
                }
                b.append_value(i64::try_from(nanos / tick).map_err(|_| Misfit::Range)?)
            }
            (Builder::Interval(b), V::Text(t)) => {
                b.append_value(parse_interval(text(t)?).ok_or(Misfit::Spelling)?);
            }
            (Builder::Text(b), V::Text(t)) => {
                let t = text(t)?;
                if self.kind == Kind::Uuid {
                    b.append_value(uuid_text(t).ok_or(Misfit::Spelling)?);
                } else {
                    b.append_value(t);
                }
                return Ok(t.len() + 4);
            }
            (Builder::Text(b), V::Blob(x)) if self.kind == Kind::Uuid => {
                let id: [u8; 16] = x.try_into().map_err(|_| Misfit::Storage)?;
                b.append_value(format_uuid(id));
                return Ok(40);
            }
            // A JSON column has NUMERIC affinity, so a document that is only a number is stored as one.
            (Builder::Text(b), V::Integer(i)) if self.kind == Kind::Json => b.append_value(i.to_string()),
            (Builder::Text(b), V::Real(r)) if self.kind == Kind::Json && r.is_finite() => b.append_value(r.to_string()),
            (Builder::Binary(b), V::Blob(x)) => {
                b.append_value(x);
                return Ok(x.len() + 4);
            }
            _ => return Err(Misfit::Storage),
        }
        Ok(8)
    }

    fn push_null(&mut self) {
        match &mut self.builder {
            Builder::Int(b) => b.append_null(),
            Builder::UInt(b) => b.append_null(),
            Builder::Bool(b) => b.append_null(),
            Builder::Float(b) => b.append_null(),
            Builder::Decimal128(b, ..) => b.append_null(),
            Builder::Decimal256(b, ..) => b.append_null(),
            Builder::Date(b) => b.append_null(),
            Builder::Int32(b, _) => b.append_null(),
            Builder::Ticks(b, _) => b.append_null(),
            Builder::Interval(b) => b.append_null(),
            Builder::Text(b) => b.append_null(),
            Builder::Binary(b) => b.append_null(),
        }
    }

    /// NULL; numbers in a text column as their text; a finer fraction or another zone cut or moved to the column's.
    fn push_lossy(&mut self, value: ValueRef<'_>) -> usize {
        match (&mut self.builder, value, self.kind) {
            (Builder::Text(b), ValueRef::Integer(i), Kind::Text) => b.append_value(i.to_string()),
            (Builder::Text(b), ValueRef::Real(r), Kind::Text) => b.append_value(r.to_string()),
            (Builder::Float(b), ValueRef::Integer(i), _) => b.append_value(i as f64),
            (Builder::Ticks(b, tick), ValueRef::Text(t), Kind::Timestamp { .. }) => {
                let ticks = text(t)
                    .ok()
                    .and_then(parse_timestamp)
                    .and_then(|m: Moment| i64::try_from(m.total_nanos().div_euclid(i128::from(*tick))).ok());
                b.append_option(ticks)
            }
            _ => self.push_null(),
        }
        8
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match &mut self.builder {
            Builder::Int(b) => Arc::new(b.finish()),
            Builder::UInt(b) => Arc::new(b.finish()),
            Builder::Bool(b) => Arc::new(b.finish()),
            Builder::Float(b) => Arc::new(b.finish()),
            Builder::Decimal128(b, ..) => Arc::new(b.finish()),
            Builder::Decimal256(b, ..) => Arc::new(b.finish()),
            Builder::Date(b) => Arc::new(b.finish()),
            Builder::Int32(b, _) => relabel(&b.finish(), self.kind.data_type())?,
            Builder::Ticks(b, _) => relabel(&b.finish(), self.kind.data_type())?,
            Builder::Interval(b) => Arc::new(b.finish()),
            Builder::Text(b) => Arc::new(b.finish()),
            Builder::Binary(b) => Arc::new(b.finish()),
        })
    }
}

/// The same integers under the type whose physical form they are.
fn relabel(array: &dyn Array, to: DataType) -> Result<ArrayRef> {
    Ok(make_array(array.to_data().into_builder().data_type(to).build()?))
}

/// Nanoseconds in one unit of a type with `digits` of fraction.
fn tick(digits: u8) -> i64 {
    match digits {
        0 => 1_000_000_000,
        3 => 1_000_000,
        6 => 1_000,
        _ => 1,
    }
}

/// The columns of a batch, filled row by row.
pub(crate) struct BatchBuilder {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}
impl BatchBuilder {
    pub(crate) fn new(schema: SchemaRef, types: TypePolicy) -> Result<Self> {
        let columns = schema.fields().iter().map(|f| Column::new(f, types)).collect::<Result<_>>()?;
        Ok(Self { schema, columns, rows: 0, bytes: 0 })
    }
    pub(crate) fn push<'a>(&mut self, mut value: impl FnMut(usize) -> Result<ValueRef<'a>>) -> Result<()> {
        for (i, c) in self.columns.iter_mut().enumerate() {
            self.bytes += c.push(value(i)?)?;
        }
        self.rows += 1;
        Ok(())
    }
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }
    /// About how many bytes of Arrow data are in it.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        let arrays = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?)
    }
}

/// Why a value doesn't fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misfit {
    Storage,
    Range,
    Spelling,
    Fraction,
    Zone,
    Encoding,
}

fn misfit(column: &str, value: ValueRef<'_>, kind: Kind, why: Misfit) -> Error {
    let (stored, shown) = match value {
        ValueRef::Null => ("NULL", "NULL".to_string()),
        ValueRef::Integer(i) => ("an integer", i.to_string()),
        ValueRef::Real(r) => ("a real number", format!("{r:?}")),
        ValueRef::Text(t) => ("text", format!("'{}'", String::from_utf8_lossy(&t[..t.len().min(200)]))),
        ValueRef::Blob(b) => {
            ("a blob", format!("X'{}'", b.iter().take(40).map(|x| format!("{x:02X}")).collect::<String>()))
        }
    };
    let ty = kind.data_type();
    let why = match (why, kind) {
        (Misfit::Storage, _) => format!("is stored as {stored} and does not fit {ty}"),
        (Misfit::Range, Kind::Bool) => "is neither 0 nor 1".into(),
        (Misfit::Range, _) => format!("is out of range for {ty}"),
        (Misfit::Spelling, Kind::Decimal { .. }) => format!("is not exactly a {ty}"),
        (Misfit::Spelling, Kind::Uuid) => "is not a uuid".into(),
        (Misfit::Spelling, _) => format!("is not ISO 8601 text as {ty} needs it"),
        (Misfit::Fraction, Kind::Decimal { .. }) => format!("is not exactly a {ty}"),
        (Misfit::Fraction, _) => format!("has a finer fraction than {ty} can hold"),
        (Misfit::Zone, _) => "has an offset from UTC, but its column is declared without a time zone".into(),
        (Misfit::Encoding, _) => "is not valid UTF-8".into(),
    };
    Error::inexact(column, shown, why)
        .with_message(|m| format!("{m}; SQLite columns may hold any value, whatever their declared type"))
}

fn text(bytes: &[u8]) -> std::result::Result<&str, Misfit> {
    std::str::from_utf8(bytes).map_err(|_| Misfit::Encoding)
}

/// `value` as `n * 10^-scale`, where it is exactly that and has at most `precision` digits.
fn decimal(value: ValueRef<'_>, precision: u8, scale: i8) -> std::result::Result<i256, Misfit> {
    match value {
        ValueRef::Integer(i) => parse_decimal(&i.to_string(), precision, scale),
        ValueRef::Real(r) if r.is_finite() => {
            // Rust prints the shortest digits that give the same double back. Up to 15 of them, no other decimal of as
            // many digits is stored as this double, so it is the number that was written; beyond, it may not be.
            let shortest = format!("{r:e}");
            let digits = shortest.split('e').next().map_or(0, |m| m.bytes().filter(u8::is_ascii_digit).count());
            if digits > DOUBLE_DIGITS as usize {
                return Err(Misfit::Fraction);
            }
            parse_decimal(&r.to_string(), precision, scale)
        }
        ValueRef::Text(t) => parse_decimal(text(t)?, precision, scale),
        _ => Err(Misfit::Storage),
    }
}

/// Plain digits with an optional sign and point; zeros beyond the scale are fine.
fn parse_decimal(text: &str, precision: u8, scale: i8) -> std::result::Result<i256, Misfit> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(d) => (true, d),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |t: &str| t.bytes().all(|c| c.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return Err(Misfit::Spelling);
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let scale = scale.max(0) as usize;
    if fraction.len() > scale {
        return Err(Misfit::Fraction);
    }
    if whole.len() + scale > precision as usize {
        return Err(Misfit::Range);
    }
    let padded = format!("{}{whole}{fraction:0<scale$}", if negative { "-" } else { "" });
    if padded.is_empty() || padded == "-" {
        return Ok(i256::ZERO);
    }
    i256::from_string(&padded).ok_or(Misfit::Range)
}

/// Lower case, hyphens at 8-4-4-4-12; `None` for anything that isn't a uuid in that form.
fn uuid_text(t: &str) -> Option<String> {
    let ok = t.len() == 36
        && t.bytes().enumerate().all(|(i, c)| match i {
            8 | 13 | 18 | 23 => c == b'-',
            _ => c.is_ascii_hexdigit(),
        });
    ok.then(|| t.to_ascii_lowercase())
}
fn format_uuid(id: [u8; 16]) -> String {
    let hex: String = id.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

// The time of day fits the narrower types: checked once, here.
const _: () = assert!(NANOS_PER_DAY / 1_000_000 <= i32::MAX as i64);

#[cfg(test)]
mod tests {
    use super::*;
    use ValueRef as V;

    fn one(kind: Kind, v: V<'_>, types: TypePolicy) -> Result<ArrayRef> {
        let mut c = Column::new(&kind.field("c", "t"), types)?;
        c.push(v)?;
        c.finish()
    }
    fn exact(kind: Kind, v: V<'_>) -> Option<String> {
        let a = one(kind, v, TypePolicy::Exact).ok()?;
        assert_eq!(a.data_type(), &kind.data_type());
        Some(arrow::util::display::array_value_to_string(&a, 0).unwrap())
    }
    const MONEY: Kind = Kind::Decimal { precision: 10, scale: 2 };

    #[test]
    fn decimals_are_exact_or_refused() {
        for (v, want) in [
            (V::Integer(5), Some("5.00")),
            (V::Real(1.1), Some("1.10")),
            (V::Real(-0.25), Some("-0.25")),
            (V::Real(0.1 + 0.2), None),
            (V::Real(0.125), None),
            (V::Real(f64::INFINITY), None),
            (V::Text(b"12345678.90"), Some("12345678.90")),
            (V::Text(b"-.5"), Some("-0.50")),
            (V::Text(b"007.1000"), Some("7.10")),
            (V::Text(b"123456789.00"), None),
            (V::Text(b"1e3"), None),
            (V::Text(b""), None),
            (V::Text(b"-"), None),
            (V::Blob(b"1"), None),
        ] {
            assert_eq!(exact(MONEY, v).as_deref(), want, "{v:?}");
        }
        // A double that big stands for several decimals of as many digits: which one was meant is gone.
        let wide = Kind::Decimal { precision: 38, scale: 2 };
        assert_eq!(exact(wide, V::Real(1_234_567_890_123_456.8)), None);
        assert_eq!(exact(wide, V::Real(1e20)).as_deref(), Some("100000000000000000000.00"));
    }

    #[test]
    fn misfits_name_column_value_and_way_out() {
        let e = one(Kind::Int, V::Text("Zoë".as_bytes()), TypePolicy::Exact).unwrap_err();
        assert!(e.message().contains("column `c`: value 'Zoë' is stored as text"), "{e:?}");
        assert!(e.hint_text().unwrap().contains("types: lossy"));
        for (k, v) in [
            (Kind::Int, V::Real(1.5)),
            (Kind::Bool, V::Integer(2)),
            (Kind::UInt, V::Integer(-1)),
            (Kind::UInt, V::Blob(&[0, 0, 0, 0, 0, 0, 0, 1])),
            (Kind::Date, V::Integer(1_700_000_000)),
            (Kind::Date, V::Text(b"01/02/2024")),
            (Kind::Date, V::Text(b"")),
            (Kind::Timestamp { digits: 6, utc: false }, V::Text(b"2024-01-01 00:00:00+02:00")),
            (Kind::Timestamp { digits: 6, utc: false }, V::Text(b"2024-01-01 00:00:00.1234567")),
            (Kind::Timestamp { digits: 9, utc: false }, V::Text(b"2500-01-01")),
            (Kind::Text, V::Blob(b"x")),
            (Kind::Text, V::Text(b"\xff")),
            (Kind::Binary, V::Text(b"x")),
            (Kind::Uuid, V::Text(b"nope")),
            (Kind::Float, V::Integer(i64::MAX)),
        ] {
            let e = one(k, v, TypePolicy::Exact).unwrap_err();
            assert_eq!(e.kind(), xdb_core::ErrorKind::Type, "{k:?} {v:?}");
            assert_eq!(one(k, v, TypePolicy::Lossy).unwrap().len(), 1);
        }
    }

    #[test]
    fn values_that_fit() {
        let ts = |digits, utc| Kind::Timestamp { digits, utc };
        for (k, v, want) in [
            (Kind::UInt, V::Blob(&[255; 8]), "18446744073709551615"),
            (ts(6, true), V::Text(b"2024-01-01T02:00:00+02:00"), "2024-01-01T00:00:00Z"),
            (ts(6, true), V::Text(b"2024-01-01"), "2024-01-01T00:00:00Z"),
            (ts(9, false), V::Text(b"1969-12-31 23:59:59.999999999"), "1969-12-31T23:59:59.999999999"),
            (Kind::Time { digits: 0 }, V::Text(b"23:59:59"), "23:59:59"),
            (Kind::Uuid, V::Blob(&[0xAB; 16]), "abababab-abab-abab-abab-abababababab"),
            (Kind::Json, V::Integer(1), "1"),
        ] {
            assert_eq!(exact(k, v).as_deref(), Some(want));
        }
    }
}
