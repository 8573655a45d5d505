//! Arrow values as JSON, without loss: decimals and 64-bit integers are printed digit by digit as numbers, NaN and the
//! infinities, which JSON lacks, as text.

use super::cells::OPTIONS;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use arrow::util::display::ArrayFormatter;
use std::fmt::Write;
use xdb_core::{Error, Result};

/// Add the value of row `i` to `out`.
pub(crate) fn write_value(array: &ArrayRef, i: usize, out: &mut String) -> Result<()> {
    if array.is_null(i) {
        out.push_str("null");
        return Ok(());
    }
    let finite = match array.data_type() {
        DataType::Float16 => array.as_primitive::<Float16Type>().value(i).is_finite(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(i).is_finite(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(i).is_finite(),
        _ => true,
    };
    match array.data_type() {
        DataType::Null => out.push_str("null"),
        DataType::Boolean => out.push_str(if array.as_boolean().value(i) { "true" } else { "false" }),
        DataType::Utf8 => quote(array.as_string::<i32>().value(i), out),
        DataType::LargeUtf8 => quote(array.as_string::<i64>().value(i), out),
        DataType::Utf8View => quote(array.as_string_view().value(i), out),
        t if t.is_numeric() && finite => text(array, i, out)?,
        DataType::List(_) => list(&array.as_list::<i32>().value(i), out)?,
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(i), out)?,
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(i), out)?,
        DataType::Struct(fields) => {
            let s = array.as_struct();
            out.push('{');
            for (n, (field, column)) in fields.iter().zip(s.columns()).enumerate() {
                if n > 0 {
                    out.push(',');
                }
                quote(field.name(), out);
                out.push(':');
                write_value(column, i, out)?;
            }
            out.push('}');
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(i);
            out.push('{');
            for n in 0..entries.len() {
                if n > 0 {
                    out.push(',');
                }
                // JSON's keys are texts.
                let mut key = String::new();
                text(entries.column(0), n, &mut key)?;
                quote(&key, out);
                out.push(':');
                write_value(entries.column(1), n, out)?;
            }
            out.push('}');
        }
        DataType::Dictionary(..) => {
            let d = array.as_any_dictionary();
            let key = d.normalized_keys().get(i).copied().unwrap_or_default();
            write_value(d.values(), key, out)?;
        }
        _ => {
            let mut s = String::new();
            text(array, i, &mut s)?;
            quote(&s, out);
        }
    }
    Ok(())
}

fn list(values: &ArrayRef, out: &mut String) -> Result<()> {
    out.push('[');
    for i in 0..values.len() {
        if i > 0 {
            out.push(',');
        }
        write_value(values, i, out)?;
    }
    out.push(']');
    Ok(())
}

fn text(array: &ArrayRef, i: usize, out: &mut String) -> Result<()> {
    let f = ArrayFormatter::try_new(array.as_ref(), &OPTIONS)?;
    f.value(i).write(out).map_err(|_| Error::internal(format!("cannot print a value of type {}", array.data_type())))
}

/// `s` as a JSON string.
pub(crate) fn quote(s: &str, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::*;
    use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
    use std::sync::Arc;

    fn show(a: impl Array + 'static) -> String {
        let a: ArrayRef = Arc::new(a);
        let mut out = String::new();
        list(&a, &mut out).unwrap();
        // Whatever is written must be JSON.
        serde_json::from_str::<serde_json::Value>(&out).unwrap();
        out
    }

    #[test]
    fn numbers_are_exact() {
        let d = Decimal128Array::from(vec![Some(12345678901234567890123456789012345678), Some(-5), None]);
        assert_eq!(
            show(d.with_precision_and_scale(38, 2).unwrap()),
            "[123456789012345678901234567890123456.78,-0.05,null]"
        );
        assert_eq!(show(Int64Array::from(vec![i64::MAX, i64::MIN])), "[9223372036854775807,-9223372036854775808]");
        assert_eq!(show(Float64Array::from(vec![0.1, f64::NAN, f64::NEG_INFINITY])), "[0.1,\"NaN\",\"-inf\"]");
    }
    #[test]
    fn texts_bytes_and_times() {
        assert_eq!(show(StringArray::from(vec!["a\"\\\n\u{1}é😀"])), r#"["a\"\\\n\u0001é😀"]"#);
        assert_eq!(show(BinaryArray::from(vec![b"\x00\xff".as_slice()])), r#"["00ff"]"#);
        let t = PrimitiveArray::<TimestampMicrosecondType>::from(vec![1_700_000_000_123_456]);
        assert_eq!(show(t.clone()), r#"["2023-11-14T22:13:20.123456"]"#);
        assert_eq!(show(t.with_timezone("+00:00")), r#"["2023-11-14T22:13:20.123456Z"]"#);
    }
    #[test]
    fn nested() {
        let l = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None]);
        assert_eq!(show(l), "[[1,null],null]");
        let d: DictionaryArray<Int64Type> = vec!["x", "y", "x"].into_iter().collect();
        assert_eq!(show(d), r#"["x","y","x"]"#);
    }
}
