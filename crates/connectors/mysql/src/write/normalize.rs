//! Arrow's many types as the few that [`super::encode`] writes, value by value exact.

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Int64Array, PrimitiveArray, RecordBatch, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{self as t, DataType, Field, TimeUnit};
use arrow::json::writer::{EncoderOptions, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::sync::Arc;
use xdb_core::{Error, Result, TypePolicy};

/// Each column of `batch` in one of: Boolean, (U)Int8 to 64, Float32/64, Decimal128/256, Utf8, LargeUtf8, Binary,
/// LargeBinary, Date32, Time64(us), Timestamp(us), Null.
pub(crate) fn normalize(batch: &RecordBatch, policy: TypePolicy) -> Result<Vec<ArrayRef>> {
    let schema = batch.schema();
    schema.fields().iter().zip(batch.columns()).map(|(f, c)| column(f, c, policy)).collect()
}

fn column(f: &Field, c: &ArrayRef, policy: TypePolicy) -> Result<ArrayRef> {
    use DataType as D;
    let us = TimeUnit::Microsecond;
    let to = |t: &D| -> Result<ArrayRef> {
        let out = cast(c, t).map_err(|e| Error::from(e).with_message(|m| format!("column `{}`: {m}", f.name())))?;
        whole(f, c, out, policy)
    };
    Ok(match c.data_type() {
        D::Utf8View => to(&D::LargeUtf8)?,
        D::BinaryView | D::FixedSizeBinary(_) => to(&D::LargeBinary)?,
        D::Dictionary(_, v) => column(&Field::new(f.name(), v.as_ref().clone(), true), &to(v)?, policy)?,
        D::RunEndEncoded(_, v) => {
            column(&Field::new(f.name(), v.data_type().clone(), true), &to(v.data_type())?, policy)?
        }
        D::Float16 => to(&D::Float32)?,
        D::Decimal32(p, s) | D::Decimal64(p, s) => to(&D::Decimal128(*p, *s))?,
        D::Date64 => to(&D::Timestamp(us, None))?,
        D::Time32(_) => to(&D::Time64(us))?,
        D::Time64(TimeUnit::Nanosecond) => {
            to_micros(
                f,
                c,
                c.as_primitive::<t::Time64NanosecondType>().values(),
                policy,
                "has nanoseconds; MySQL holds microseconds",
            )?;
            to(&D::Time64(us))?
        }
        D::Timestamp(TimeUnit::Nanosecond, zone) => {
            let v = c.as_primitive::<t::TimestampNanosecondType>().values();
            to_micros(f, c, v, policy, "has nanoseconds; MySQL holds microseconds")?;
            to(&D::Timestamp(us, zone.clone()))?
        }
        D::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, zone) => to(&D::Timestamp(us, zone.clone()))?,
        D::Duration(unit) => duration(f, c, *unit, policy)?,
        D::Interval(_) => {
            let options = FormatOptions::default();
            let text = ArrayFormatter::try_new(c, &options)?;
            let mut out = StringBuilder::new();
            for i in 0..c.len() {
                out.append_option(c.is_valid(i).then(|| text.value(i).to_string()));
            }
            Arc::new(out.finish())
        }
        D::List(_)
        | D::LargeList(_)
        | D::FixedSizeList(..)
        | D::ListView(_)
        | D::LargeListView(_)
        | D::Struct(_)
        | D::Map(..) => json(f, c)?,
        _ => c.clone(),
    })
}

/// A value that a conversion couldn't hold became NULL: an error, unless that was agreed.
fn whole(f: &Field, from: &ArrayRef, to: ArrayRef, policy: TypePolicy) -> Result<ArrayRef> {
    if policy == TypePolicy::Lossy || to.null_count() == from.null_count() {
        return Ok(to);
    }
    match (0..from.len()).find(|i| from.is_valid(*i) && to.is_null(*i)) {
        None => Ok(to),
        Some(i) => {
            // Printed as the number it is: as a date it may have no form.
            let number = cast(from, &DataType::Int64).unwrap_or_else(|_| from.clone());
            let options = FormatOptions::default();
            let value = ArrayFormatter::try_new(&number, &options)?.value(i).to_string();
            Err(Error::inexact(f.name(), value, format!("of type {} is beyond what MySQL holds", from.data_type())))
        }
    }
}

/// Whether the nanoseconds of every value are whole microseconds.
fn to_micros(f: &Field, c: &ArrayRef, values: &[i64], policy: TypePolicy, why: &str) -> Result<()> {
    if policy == TypePolicy::Lossy {
        return Ok(());
    }
    match (0..c.len()).find(|i| c.is_valid(*i) && values[*i] % 1000 != 0) {
        None => Ok(()),
        Some(i) => {
            let options = FormatOptions::default();
            Err(Error::inexact(f.name(), ArrayFormatter::try_new(c, &options)?.value(i), why))
        }
    }
}

/// Whole microseconds.
fn duration(f: &Field, c: &ArrayRef, unit: TimeUnit, policy: TypePolicy) -> Result<ArrayRef> {
    let values = cast(c, &DataType::Int64)?;
    let values = values.as_primitive::<t::Int64Type>();
    let times = |n: i64| -> Result<ArrayRef> {
        let out: Int64Array = values.unary_opt(|v| v.checked_mul(n));
        whole(f, c, Arc::new(out), policy)
    };
    match unit {
        TimeUnit::Second => times(1_000_000),
        TimeUnit::Millisecond => times(1000),
        TimeUnit::Microsecond => Ok(Arc::new(values.clone())),
        TimeUnit::Nanosecond => {
            to_micros(f, c, values.values(), policy, "has nanoseconds; xdb writes durations as microseconds")?;
            let out: Int64Array = values.unary(|v| v.div_euclid(1000));
            Ok(Arc::new(out))
        }
    }
}

/// Lists, structs and maps as JSON documents.
fn json(f: &Field, c: &ArrayRef) -> Result<ArrayRef> {
    let field = Arc::new(Field::new(f.name(), c.data_type().clone(), true));
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(&field, c.as_ref(), &options)?;
    let mut out = StringBuilder::new();
    let mut buffer = Vec::new();
    for i in 0..c.len() {
        if c.is_null(i) {
            out.append_null();
            continue;
        }
        buffer.clear();
        encoder.encode(i, &mut buffer);
        match std::str::from_utf8(&buffer) {
            Ok(text) => out.append_value(text),
            Err(_) => return Err(Error::internal(format!("column `{}`: JSON that is not UTF-8", f.name()))),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// NaN and infinity, which MySQL has no name for.
pub(crate) fn finite(f: &Field, c: &ArrayRef, policy: TypePolicy) -> Result<ArrayRef> {
    fn check<T: t::ArrowPrimitiveType>(
        f: &Field,
        c: &PrimitiveArray<T>,
        policy: TypePolicy,
        ok: impl Fn(T::Native) -> bool,
    ) -> Result<Option<PrimitiveArray<T>>>
    where
        T::Native: std::fmt::Display,
    {
        match c.iter().flatten().find(|v| !ok(*v)) {
            None => Ok(None),
            Some(v) if policy == TypePolicy::Exact => Err(Error::inexact(f.name(), v, "does not exist in MySQL")),
            Some(_) => Ok(Some(c.iter().map(|v| v.filter(|v| ok(*v))).collect())),
        }
    }
    Ok(match c.data_type() {
        DataType::Float32 => match check(f, c.as_primitive::<t::Float32Type>(), policy, f32::is_finite)? {
            Some(a) => Arc::new(a) as Arc<Float32Array>,
            None => c.clone(),
        },
        DataType::Float64 => match check(f, c.as_primitive::<t::Float64Type>(), policy, f64::is_finite)? {
            Some(a) => Arc::new(a),
            None => c.clone(),
        },
        _ => c.clone(),
    })
}
