//! Values as text: the fields of CSV, the values of NDJSON.

use crate::json;
use crate::types::{interval_text, seconds_text};
use arrow::array::{Array, AsArray};
use arrow::datatypes::*;
use std::io::Write;
use xdb_core::{Error, LogicalType, Result};

/// Appends value `i`; `false` (and nothing appended) where it is NULL.
pub(crate) type Writer<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<bool> + 'a>;

#[derive(Clone, Copy)]
pub(crate) struct Style {
    /// JSON values; else bare text.
    pub(crate) json: bool,
    /// What has no text becomes NULL instead of an error.
    pub(crate) lossy: bool,
}

/// How `array`, a column described by `field`, is written. Errors name the column.
pub(crate) fn writer<'a>(field: &'a Field, array: &'a dyn Array, style: Style) -> Result<Writer<'a>> {
    let inner = value_writer(field, array, style)?;
    Ok(Box::new(move |i, out| if array.is_null(i) { Ok(false) } else { inner(i, out) }))
}

macro_rules! numbers {
    ($array:expr, $t:ty) => {{
        let a = $array.as_primitive::<$t>();
        Ok(Box::new(move |i, out: &mut Vec<u8>| {
            write!(out, "{}", a.value(i))?;
            Ok(true)
        }))
    }};
}

fn value_writer<'a>(field: &'a Field, array: &'a dyn Array, style: Style) -> Result<Writer<'a>> {
    let name = field.name();
    match array.data_type() {
        DataType::Null => Ok(Box::new(|_, _| Ok(false))),
        DataType::Boolean => {
            let a = array.as_boolean();
            Ok(Box::new(move |i, out| {
                out.extend_from_slice(if a.value(i) { b"true" } else { b"false" });
                Ok(true)
            }))
        }
        DataType::Int8 => numbers!(array, Int8Type),
        DataType::Int16 => numbers!(array, Int16Type),
        DataType::Int32 => numbers!(array, Int32Type),
        DataType::Int64 => numbers!(array, Int64Type),
        DataType::UInt8 => numbers!(array, UInt8Type),
        DataType::UInt16 => numbers!(array, UInt16Type),
        DataType::UInt32 => numbers!(array, UInt32Type),
        DataType::UInt64 => numbers!(array, UInt64Type),
        DataType::Float16 => {
            let a = array.as_primitive::<Float16Type>();
            Ok(Box::new(move |i, out| float(name, f64::from(a.value(i)), a.value(i).to_string(), style, out)))
        }
        DataType::Float32 => {
            let a = array.as_primitive::<Float32Type>();
            Ok(Box::new(move |i, out| float(name, f64::from(a.value(i)), float_text(a.value(i)), style, out)))
        }
        DataType::Float64 => {
            let a = array.as_primitive::<Float64Type>();
            Ok(Box::new(move |i, out| float(name, a.value(i), float_text(a.value(i)), style, out)))
        }
        DataType::Decimal128(p, s) => {
            let (a, p, s) = (array.as_primitive::<Decimal128Type>(), *p, *s);
            Ok(Box::new(move |i, out| {
                out.extend_from_slice(Decimal128Type::format_decimal(a.value(i), p, s).as_bytes());
                Ok(true)
            }))
        }
        DataType::Decimal256(p, s) => {
            let (a, p, s) = (array.as_primitive::<Decimal256Type>(), *p, *s);
            Ok(Box::new(move |i, out| {
                out.extend_from_slice(Decimal256Type::format_decimal(a.value(i), p, s).as_bytes());
                Ok(true)
            }))
        }
        DataType::Utf8 => {
            let (a, is_json) = (array.as_string::<i32>(), LogicalType::of(field) == Some(LogicalType::Json));
            Ok(Box::new(move |i, out| text(a.value(i), is_json, style, out)))
        }
        DataType::LargeUtf8 => {
            let (a, is_json) = (array.as_string::<i64>(), LogicalType::of(field) == Some(LogicalType::Json));
            Ok(Box::new(move |i, out| text(a.value(i), is_json, style, out)))
        }
        DataType::Binary => {
            let a = array.as_binary::<i32>();
            Ok(Box::new(move |i, out| hex(a.value(i), style, out)))
        }
        DataType::LargeBinary => {
            let a = array.as_binary::<i64>();
            Ok(Box::new(move |i, out| hex(a.value(i), style, out)))
        }
        DataType::FixedSizeBinary(_) => {
            let a = array.as_fixed_size_binary();
            Ok(Box::new(move |i, out| hex(a.value(i), style, out)))
        }
        DataType::Date32 => {
            let a = array.as_primitive::<Date32Type>();
            Ok(Box::new(move |i, out| match xdb_sql::date_text(a.value(i)) {
                Some(t) => quoted(&t, style, out),
                None => {
                    no_text(name, format!("{} days from 1970", a.value(i)), "is outside the years 1 to 9999", style)
                }
            }))
        }
        DataType::Date64 => {
            let a = array.as_primitive::<Date64Type>();
            Ok(Box::new(move |i, out| timestamp(name, i128::from(a.value(i)) * 1_000_000, false, style, out)))
        }
        DataType::Timestamp(unit, zone) => {
            let (zoned, per) = (zone.is_some(), nanos_per(*unit));
            let value: Box<dyn Fn(usize) -> i64 + 'a> = match unit {
                TimeUnit::Second => Box::new(|i| array.as_primitive::<TimestampSecondType>().value(i)),
                TimeUnit::Millisecond => Box::new(|i| array.as_primitive::<TimestampMillisecondType>().value(i)),
                TimeUnit::Microsecond => Box::new(|i| array.as_primitive::<TimestampMicrosecondType>().value(i)),
                TimeUnit::Nanosecond => Box::new(|i| array.as_primitive::<TimestampNanosecondType>().value(i)),
            };
            Ok(Box::new(move |i, out| timestamp(name, i128::from(value(i)) * per, zoned, style, out)))
        }
        DataType::Time32(unit) => {
            let per = nanos_per(*unit);
            let value: Box<dyn Fn(usize) -> i32 + 'a> = match unit {
                TimeUnit::Second => Box::new(|i| array.as_primitive::<Time32SecondType>().value(i)),
                _ => Box::new(|i| array.as_primitive::<Time32MillisecondType>().value(i)),
            };
            Ok(Box::new(move |i, out| quoted(&clock_text(i128::from(value(i)) * per), style, out)))
        }
        DataType::Time64(unit) => {
            let per = nanos_per(*unit);
            let value: Box<dyn Fn(usize) -> i64 + 'a> = match unit {
                TimeUnit::Nanosecond => Box::new(|i| array.as_primitive::<Time64NanosecondType>().value(i)),
                _ => Box::new(|i| array.as_primitive::<Time64MicrosecondType>().value(i)),
            };
            Ok(Box::new(move |i, out| quoted(&clock_text(i128::from(value(i)) * per), style, out)))
        }
        DataType::Duration(unit) => {
            let per = nanos_per(*unit);
            let value: Box<dyn Fn(usize) -> i64 + 'a> = match unit {
                TimeUnit::Second => Box::new(|i| array.as_primitive::<DurationSecondType>().value(i)),
                TimeUnit::Millisecond => Box::new(|i| array.as_primitive::<DurationMillisecondType>().value(i)),
                TimeUnit::Microsecond => Box::new(|i| array.as_primitive::<DurationMicrosecondType>().value(i)),
                TimeUnit::Nanosecond => Box::new(|i| array.as_primitive::<DurationNanosecondType>().value(i)),
            };
            Ok(Box::new(move |i, out| quoted(&format!("PT{}S", seconds_text(i128::from(value(i)) * per)), style, out)))
        }
        DataType::Interval(unit) => {
            let unit = *unit;
            Ok(Box::new(move |i, out| quoted(&interval_text(array, unit, i), style, out)))
        }
        DataType::List(f) => {
            let (a, child) = (array.as_list::<i32>(), nested(f, array.as_list::<i32>().values().as_ref(), style)?);
            Ok(Box::new(move |i, out| {
                let o = a.value_offsets();
                items(o[i] as usize..o[i + 1] as usize, &child, out)
            }))
        }
        DataType::LargeList(f) => {
            let (a, child) = (array.as_list::<i64>(), nested(f, array.as_list::<i64>().values().as_ref(), style)?);
            Ok(Box::new(move |i, out| {
                let o = a.value_offsets();
                items(o[i] as usize..o[i + 1] as usize, &child, out)
            }))
        }
        DataType::FixedSizeList(f, n) => {
            let n = *n as usize;
            let child = nested(f, array.as_fixed_size_list().values().as_ref(), style)?;
            Ok(Box::new(move |i, out| items(i * n..(i + 1) * n, &child, out)))
        }
        DataType::Struct(fields) => {
            let a = array.as_struct();
            let children = fields
                .iter()
                .zip(a.columns())
                .map(|(f, c)| Ok((json::quote(f.name()), nested(f, c.as_ref(), style)?)))
                .collect::<Result<Vec<_>>>()?;
            Ok(Box::new(move |i, out| {
                for (n, (key, child)) in children.iter().enumerate() {
                    out.push(if n == 0 { b'{' } else { b',' });
                    out.extend_from_slice(key.as_bytes());
                    out.push(b':');
                    or_null(child, i, out)?;
                }
                out.extend_from_slice(if children.is_empty() { b"{}" } else { b"}" });
                Ok(true)
            }))
        }
        DataType::Map(entry, _) => {
            let a = array.as_map();
            let DataType::Struct(fields) = entry.data_type() else { return Err(no_type(field)) };
            let [key, value] = fields.as_ref() else { return Err(no_type(field)) };
            // Keys of JSON objects are text: the bare value, quoted below.
            let key = writer(key, a.keys().as_ref(), Style { json: false, ..style })?;
            let value = nested(value, a.values().as_ref(), style)?;
            Ok(Box::new(move |i, out| {
                let o = a.value_offsets();
                out.push(b'{');
                for (n, at) in (o[i] as usize..o[i + 1] as usize).enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    let mut k = Vec::new();
                    key(at, &mut k)?;
                    out.extend_from_slice(json::quote(&String::from_utf8_lossy(&k)).as_bytes());
                    out.push(b':');
                    or_null(&value, at, out)?;
                }
                out.push(b'}');
                Ok(true)
            }))
        }
        _ => Err(no_type(field)),
    }
}

fn no_type(field: &Field) -> Error {
    Error::unsupported(format!("column `{}`: text files cannot hold {}", field.name(), field.data_type()))
        .hint("cast the column in SQL, for example to text")
}

/// Parts of lists and structs are JSON, in CSV too.
fn nested<'a>(field: &'a Field, array: &'a dyn Array, style: Style) -> Result<Writer<'a>> {
    writer(field, array, Style { json: true, ..style })
}
fn or_null(child: &Writer<'_>, i: usize, out: &mut Vec<u8>) -> Result<()> {
    if !child(i, out)? {
        out.extend_from_slice(b"null");
    }
    Ok(())
}
fn items(range: std::ops::Range<usize>, child: &Writer<'_>, out: &mut Vec<u8>) -> Result<bool> {
    out.push(b'[');
    for (n, at) in range.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        or_null(child, at, out)?;
    }
    out.push(b']');
    Ok(true)
}

fn quoted(t: &str, style: Style, out: &mut Vec<u8>) -> Result<bool> {
    if style.json {
        out.push(b'"');
        out.extend_from_slice(t.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(t.as_bytes());
    }
    Ok(true)
}

fn text(t: &str, is_json: bool, style: Style, out: &mut Vec<u8>) -> Result<bool> {
    if !style.json {
        out.extend_from_slice(t.as_bytes());
    } else if is_json && serde_json::from_str::<serde::de::IgnoredAny>(t).is_ok() {
        // Line ends can only stand between tokens, where a space means the same.
        out.extend(t.bytes().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }));
    } else {
        out.extend_from_slice(json::quote(t).as_bytes());
    }
    Ok(true)
}

/// Lower-case hexadecimal, two digits a byte.
fn hex(bytes: &[u8], style: Style, out: &mut Vec<u8>) -> Result<bool> {
    let t: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    quoted(&t, style, out)
}

/// The shortest text that reads back as the same value; scientific where plain digits would be long.
fn float_text<F: std::fmt::Display + std::fmt::LowerExp + Copy + Into<f64>>(f: F) -> String {
    let size = f.into().abs();
    if size != 0.0 && !(1e-5..1e17).contains(&size) { format!("{f:e}") } else { f.to_string() }
}
fn float(name: &str, f: f64, t: String, style: Style, out: &mut Vec<u8>) -> Result<bool> {
    if !f.is_finite() && style.json {
        return no_text(name, t, "has no JSON form", style);
    }
    out.extend_from_slice(t.as_bytes());
    Ok(true)
}

fn no_text(name: &str, value: String, why: &str, style: Style) -> Result<bool> {
    if style.lossy { Ok(false) } else { Err(Error::inexact(name, value, why)) }
}

fn nanos_per(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// `HH:MM:SS`, then a fraction of three, six or nine digits where there is one.
fn clock_text(nanos: i128) -> String {
    let (s, f) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let base = format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
    match f {
        0 => base,
        f if f % 1_000_000 == 0 => format!("{base}.{:03}", f / 1_000_000),
        f if f % 1_000 == 0 => format!("{base}.{:06}", f / 1_000),
        f => format!("{base}.{f:09}"),
    }
}

const DAY: i128 = 86_400_000_000_000;

fn timestamp(name: &str, nanos: i128, zoned: bool, style: Style, out: &mut Vec<u8>) -> Result<bool> {
    let date = i32::try_from(nanos.div_euclid(DAY)).ok().and_then(xdb_sql::date_text);
    let Some(date) = date else {
        let shown = format!("{} seconds from 1970", nanos / 1_000_000_000);
        return no_text(name, shown, "is outside the years 1 to 9999", style);
    };
    let zone = if zoned { "+00:00" } else { "" };
    quoted(&format!("{date} {}{zone}", clock_text(nanos.rem_euclid(DAY))), style, out)
}
