//! Rows as text: lines for LOAD DATA, tuples for INSERT.
//!
//! The file format is LOAD DATA's own default (tabs, newlines, backslashes), read under `CHARACTER SET binary`: every
//! byte of a text or blob arrives as it is, with only the four bytes that have a meaning escaped.
//! <https://dev.mysql.com/doc/refman/8.4/en/load-data.html#load-data-field-line-handling>

use crate::calendar;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, LargeBinaryArray, LargeStringArray, PrimitiveArray,
    StringArray,
};
use arrow::datatypes::{self as t, DataType, Field, TimeUnit};
use std::io::Write;
use xdb_core::{Error, Result, TypePolicy};

/// How values are set apart and escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Load,
    Insert,
}

enum Values<'a> {
    Null,
    Bool(&'a BooleanArray),
    I8(&'a PrimitiveArray<t::Int8Type>),
    I16(&'a PrimitiveArray<t::Int16Type>),
    I32(&'a PrimitiveArray<t::Int32Type>),
    I64(&'a PrimitiveArray<t::Int64Type>),
    U8(&'a PrimitiveArray<t::UInt8Type>),
    U16(&'a PrimitiveArray<t::UInt16Type>),
    U32(&'a PrimitiveArray<t::UInt32Type>),
    U64(&'a PrimitiveArray<t::UInt64Type>),
    F32(&'a PrimitiveArray<t::Float32Type>),
    F64(&'a PrimitiveArray<t::Float64Type>),
    D128(&'a PrimitiveArray<t::Decimal128Type>, i8),
    D256(&'a PrimitiveArray<t::Decimal256Type>),
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    Date(&'a PrimitiveArray<t::Date32Type>),
    Time(&'a PrimitiveArray<t::Time64MicrosecondType>),
    Moment(&'a PrimitiveArray<t::TimestampMicrosecondType>),
}

/// One column of a normalized batch, ready to be written row by row.
pub(crate) struct ColumnWriter<'a> {
    name: &'a str,
    array: &'a ArrayRef,
    has_nulls: bool,
    values: Values<'a>,
    policy: TypePolicy,
}

impl<'a> ColumnWriter<'a> {
    pub(crate) fn new(field: &'a Field, array: &'a ArrayRef, policy: TypePolicy) -> Result<Self> {
        use DataType as D;
        let values = match array.data_type() {
            D::Null => Values::Null,
            D::Boolean => Values::Bool(array.as_boolean()),
            D::Int8 => Values::I8(array.as_primitive()),
            D::Int16 => Values::I16(array.as_primitive()),
            D::Int32 => Values::I32(array.as_primitive()),
            D::Int64 => Values::I64(array.as_primitive()),
            D::UInt8 => Values::U8(array.as_primitive()),
            D::UInt16 => Values::U16(array.as_primitive()),
            D::UInt32 => Values::U32(array.as_primitive()),
            D::UInt64 => Values::U64(array.as_primitive()),
            D::Float32 => Values::F32(array.as_primitive()),
            D::Float64 => Values::F64(array.as_primitive()),
            D::Decimal128(_, s) => Values::D128(array.as_primitive(), *s),
            D::Decimal256(..) => Values::D256(array.as_primitive()),
            D::Utf8 => Values::Utf8(array.as_string()),
            D::LargeUtf8 => Values::LargeUtf8(array.as_string()),
            D::Binary => Values::Binary(array.as_binary()),
            D::LargeBinary => Values::LargeBinary(array.as_binary()),
            D::Date32 => Values::Date(array.as_primitive()),
            D::Time64(TimeUnit::Microsecond) => Values::Time(array.as_primitive()),
            D::Timestamp(TimeUnit::Microsecond, _) => Values::Moment(array.as_primitive()),
            other => return Err(Error::internal(format!("column `{}` came as {other}", field.name()))),
        };
        Ok(Self { name: field.name(), array, has_nulls: array.is_nullable(), values, policy })
    }

    /// The value of `row`, as `style` writes it.
    #[inline]
    pub(crate) fn write(&self, row: usize, style: Style, out: &mut Vec<u8>) -> Result<()> {
        if self.has_nulls && self.array.is_null(row) {
            null(style, out);
            return Ok(());
        }
        match &self.values {
            Values::Null => null(style, out),
            Values::Bool(a) => out.push(b'0' + u8::from(a.value(row))),
            Values::I8(a) => signed(i64::from(a.value(row)), out),
            Values::I16(a) => signed(i64::from(a.value(row)), out),
            Values::I32(a) => signed(i64::from(a.value(row)), out),
            Values::I64(a) => signed(a.value(row), out),
            Values::U8(a) => unsigned(u64::from(a.value(row)), out),
            Values::U16(a) => unsigned(u64::from(a.value(row)), out),
            Values::U32(a) => unsigned(u64::from(a.value(row)), out),
            Values::U64(a) => unsigned(a.value(row), out),
            // As a double, which a float's value always is exactly; the server rounds it back to the same float.
            Values::F32(a) => float(f64::from(a.value(row)), out),
            Values::F64(a) => float(a.value(row), out),
            Values::D128(a, scale) => decimal(a.value(row), *scale, out),
            Values::D256(a) => out.extend_from_slice(a.value_as_string(row).as_bytes()),
            Values::Utf8(a) => text(a.value(row).as_bytes(), style, false, out),
            Values::LargeUtf8(a) => text(a.value(row).as_bytes(), style, false, out),
            Values::Binary(a) => text(a.value(row), style, true, out),
            Values::LargeBinary(a) => text(a.value(row), style, true, out),
            Values::Date(a) => {
                let days = i64::from(a.value(row));
                return self.quoted(style, out, |out| date(days, out), &|| format!("day {days} from 1970-01-01"));
            }
            Values::Time(a) => {
                let us = a.value(row);
                return self.quoted(
                    style,
                    out,
                    |out| {
                        time(us, out);
                        true
                    },
                    &|| format!("{us} us"),
                );
            }
            Values::Moment(a) => {
                let us = a.value(row);
                let write = |out: &mut Vec<u8>| {
                    let ok = date(us.div_euclid(DAY), out);
                    out.push(b' ');
                    time(us.rem_euclid(DAY), out);
                    ok
                };
                return self.quoted(style, out, write, &|| format!("{us} us from 1970-01-01"));
            }
        }
        Ok(())
    }

    fn quoted(
        &self,
        style: Style,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> bool,
        shown: &dyn Fn() -> String,
    ) -> Result<()> {
        let start = out.len();
        let quote = style == Style::Insert;
        if quote {
            out.push(b'\'');
        }
        if !write(out) {
            if self.policy == TypePolicy::Exact {
                return Err(Error::inexact(self.name, shown(), "is outside of the years 1 to 9999, which MySQL has"));
            }
            out.truncate(start);
            null(style, out);
            return Ok(());
        }
        if quote {
            out.push(b'\'');
        }
        Ok(())
    }
}

const DAY: i64 = 86_400_000_000;

fn null(style: Style, out: &mut Vec<u8>) {
    out.extend_from_slice(match style {
        Style::Load => b"\\N",
        Style::Insert => b"NULL",
    });
}

#[inline]
fn signed(v: i64, out: &mut Vec<u8>) {
    if v < 0 {
        out.push(b'-');
    }
    unsigned(v.unsigned_abs(), out);
}
#[inline]
fn unsigned(mut v: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (v % 10) as u8;
        v /= 10;
        if v == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
/// The shortest digits that mean this double.
fn float(v: f64, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{v:e}");
}
fn decimal(v: i128, scale: i8, out: &mut Vec<u8>) {
    if v < 0 {
        out.push(b'-');
    }
    let v = v.unsigned_abs();
    match (u64::try_from(v), u32::try_from(scale)) {
        (Ok(v), Ok(scale @ 0..=18)) => {
            let unit = 10u64.pow(scale);
            unsigned(v / unit, out);
            if scale > 0 {
                out.push(b'.');
                let start = out.len();
                unsigned(v % unit, out);
                let missing = scale as usize - (out.len() - start);
                out.splice(start..start, std::iter::repeat_n(b'0', missing));
            }
        }
        _ => {
            let digits = v.to_string();
            match usize::try_from(scale) {
                Ok(s) => {
                    let padded = format!("{digits:0>width$}", width = s + 1);
                    let (whole, part) = padded.split_at(padded.len() - s);
                    out.extend_from_slice(whole.as_bytes());
                    if s > 0 {
                        out.push(b'.');
                        out.extend_from_slice(part.as_bytes());
                    }
                }
                Err(_) => {
                    out.extend_from_slice(digits.as_bytes());
                    out.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
                }
            }
        }
    }
}
fn two(n: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (n / 10) as u8, b'0' + (n % 10) as u8]);
}
/// `false` outside of the years 1 to 9999.
fn date(days: i64, out: &mut Vec<u8>) -> bool {
    let (y, m, d) = calendar::civil(days);
    let Some(y) = u64::try_from(y).ok().filter(|y| (1..=9999).contains(y)) else { return false };
    two(y / 100, out);
    two(y % 100, out);
    out.push(b'-');
    two(u64::from(m), out);
    out.push(b'-');
    two(u64::from(d), out);
    true
}
fn time(us: i64, out: &mut Vec<u8>) {
    let (s, f) = (us.unsigned_abs() / 1_000_000, us.unsigned_abs() % 1_000_000);
    two(s / 3600 % 100, out);
    out.push(b':');
    two(s / 60 % 60, out);
    out.push(b':');
    two(s % 60, out);
    if f != 0 {
        out.push(b'.');
        two(f / 10_000, out);
        two(f / 100 % 100, out);
        two(f % 100, out);
    }
}

fn text(v: &[u8], style: Style, binary: bool, out: &mut Vec<u8>) {
    if style == Style::Insert {
        if binary {
            // A constant with this introducer takes any bytes, escaped as in a text.
            out.extend_from_slice(b"_binary");
        }
        out.push(b'\'');
    }
    let special = |b: &u8| matches!(b, b'\\' | b'\t' | b'\n' | b'\'' | 0);
    let mut rest = v;
    while let Some(at) = rest.iter().position(special) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'\\' => b"\\\\",
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            0 => b"\\0",
            _ => b"\\'",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    if style == Style::Insert {
        out.push(b'\'');
    }
}

/// Append rows `from..to` as lines of a file.
pub(crate) fn lines(columns: &[ColumnWriter<'_>], from: usize, to: usize, out: &mut Vec<u8>) -> Result<()> {
    for row in from..to {
        for (i, c) in columns.iter().enumerate() {
            if i > 0 {
                out.push(b'\t');
            }
            c.write(row, Style::Load, out)?;
        }
        out.push(b'\n');
    }
    Ok(())
}

/// Append row `row` as `(a,b,…)`.
pub(crate) fn tuple(columns: &[ColumnWriter<'_>], row: usize, out: &mut Vec<u8>) -> Result<()> {
    out.push(b'(');
    for (i, c) in columns.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        c.write(row, Style::Insert, out)?;
    }
    out.push(b')');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Decimal128Array, Float32Array, Float64Array};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn written(array: ArrayRef, style: Style) -> Result<String> {
        let field = Field::new("c", array.data_type().clone(), true);
        let w = ColumnWriter::new(&field, &array, TypePolicy::Exact)?;
        let mut out = vec![];
        w.write(0, style, &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
    /// What LOAD DATA makes of a field, by the manual.
    fn unescape(field: &[u8]) -> Option<Vec<u8>> {
        if field == b"\\N" {
            return None;
        }
        let mut out = vec![];
        let mut i = 0;
        while i < field.len() {
            if field[i] == b'\\' {
                i += 1;
                out.push(match field[i] {
                    b'0' => 0,
                    b'b' => 8,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'Z' => 26,
                    other => other,
                });
            } else {
                out.push(field[i]);
            }
            i += 1;
        }
        Some(out)
    }

    proptest! {
        #[test]
        fn any_bytes_survive_the_file_format(v in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\\'), Just(b'\n'), Just(b'\t'), Just(b'N')], 0..60)) {
            let array: ArrayRef = Arc::new(BinaryArray::from_iter_values([&v]));
            let field = Field::new("c", array.data_type().clone(), true);
            let w = [ColumnWriter::new(&field, &array, TypePolicy::Exact).unwrap()];
            let mut out = vec![];
            lines(&w, 0, 1, &mut out).unwrap();
            prop_assert_eq!(out.pop(), Some(b'\n'));
            prop_assert!(!out.contains(&b'\n') && !out.contains(&b'\t'));
            prop_assert_eq!(unescape(&out), Some(v));
        }
        #[test]
        fn floats_are_written_so_that_they_come_back(v in any::<f64>(), w in any::<f32>()) {
            prop_assume!(v.is_finite() && w.is_finite());
            let text = written(Arc::new(Float64Array::from(vec![v])), Style::Load).unwrap();
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), v.to_bits());
            let text = written(Arc::new(Float32Array::from(vec![w])), Style::Load).unwrap();
            prop_assert_eq!((text.parse::<f64>().unwrap() as f32).to_bits(), w.to_bits());
        }
        #[test]
        fn decimals_are_written_in_full(v in any::<i128>(), shift in 0u32..127, scale in -5i8..=30) {
            let v = (v >> shift) / 10;
            let a = Decimal128Array::from(vec![v]).with_precision_and_scale(38, scale.max(0)).unwrap();
            let field = Field::new("c", a.data_type().clone(), true);
            let mut out = vec![];
            decimal(v, scale, &mut out);
            let want = xdb_sql::decimal_text(v, scale);
            prop_assert_eq!(String::from_utf8(out).unwrap(), want.trim_matches(['(', ')']));
            let _ = field;
        }
        #[test]
        fn integers(v in any::<i64>(), w in any::<u64>()) {
            let mut out = vec![];
            signed(v, &mut out);
            out.push(b' ');
            unsigned(w, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{v} {w}"));
        }
    }

    #[test]
    fn empty_null_and_the_letter_n() {
        let s = |v: Option<&str>| Arc::new(StringArray::from(vec![v])) as ArrayRef;
        assert_eq!(written(s(Some("")), Style::Load).unwrap(), "");
        assert_eq!(written(s(None), Style::Load).unwrap(), "\\N");
        assert_eq!(written(s(Some("\\N")), Style::Load).unwrap(), "\\\\N");
        assert_eq!(written(s(Some("NULL")), Style::Insert).unwrap(), "'NULL'");
        assert_eq!(written(s(None), Style::Insert).unwrap(), "NULL");
        assert_eq!(written(s(Some("O'Brien\\")), Style::Insert).unwrap(), "'O\\'Brien\\\\'");
    }
    #[test]
    fn dates_in_and_out_of_range() {
        let d = |v| written(Arc::new(Date32Array::from(vec![v])), Style::Insert);
        assert_eq!(d(19_782).unwrap(), "'2024-02-29'");
        assert_eq!(d(-719_162).unwrap(), "'0001-01-01'");
        assert!(d(-719_163).unwrap_err().message().contains("`c`"));
        assert!(d(i32::MAX).is_err());
    }
}
