//! Values that DuckDB and Arrow see differently, found in Arrow arrays.
//!
//! DuckDB stores infinite dates and timestamps as the largest integers of their type, which Arrow reads as ordinary
//! (if odd) days; and HUGEINT has 39 digits where Arrow's Decimal128 has 38.

use arrow::array::*;
use arrow::datatypes::*;
use std::sync::Arc;
use xdb_core::{Error, Result};

const MAX_38: i128 = 10i128.pow(38) - 1;

/// `array` of column `column` as it came from DuckDB: unchanged, or with NULL for what Arrow can't hold where `lossy`.
pub(crate) fn from_duckdb(column: &str, array: &ArrayRef, lossy: bool) -> Result<ArrayRef> {
    let array = &clean(array);
    let Some((row, what)) = first_odd(array) else { return Ok(array.clone()) };
    if !lossy {
        let why = match what {
            Odd::Infinite(_) => "has no place in Arrow (nor in most databases)",
            Odd::TooLong(_) => "has more than the 38 digits of a decimal",
        };
        return Err(Error::inexact(column, what, why));
    }
    without_odd(array).ok_or_else(|| {
        Error::inexact(
            column,
            what,
            format!("is inside a nested value (row {row} of a batch), where it cannot become NULL"),
        )
    })
}

/// DuckDB leaves anything in the slots of NULLs. Arrow's casts compute on those too, and overflow in a debug build: zero
/// them in the types whose casts multiply.
fn clean(a: &ArrayRef) -> ArrayRef {
    fn zeroed<T: ArrowPrimitiveType>(a: &ArrayRef) -> ArrayRef {
        let Some(p) = a.as_primitive_opt::<T>() else { return a.clone() };
        let values: Vec<T::Native> = p.iter().map(|v| v.unwrap_or_default()).collect();
        let out = PrimitiveArray::<T>::new(values.into(), p.nulls().cloned());
        Arc::new(out.with_data_type(a.data_type().clone()))
    }
    if a.null_count() == 0 {
        return a.clone();
    }
    match a.data_type() {
        DataType::Date32 => zeroed::<Date32Type>(a),
        DataType::Time64(TimeUnit::Microsecond) => zeroed::<Time64MicrosecondType>(a),
        DataType::Timestamp(TimeUnit::Second, _) => zeroed::<TimestampSecondType>(a),
        DataType::Timestamp(TimeUnit::Millisecond, _) => zeroed::<TimestampMillisecondType>(a),
        DataType::Timestamp(TimeUnit::Microsecond, _) => zeroed::<TimestampMicrosecondType>(a),
        DataType::Decimal128(..) => zeroed::<Decimal128Type>(a),
        _ => a.clone(),
    }
}

/// `array` for DuckDB: refuses values that it would read as infinite, or makes them NULL where `lossy`.
pub(crate) fn to_duckdb(column: &str, array: &ArrayRef, lossy: bool) -> Result<ArrayRef> {
    let Some((_, what @ Odd::Infinite(negative))) = first_odd(array) else { return Ok(array.clone()) };
    if lossy && let Some(kept) = without_odd(array) {
        return Ok(kept);
    }
    let end = if negative { "smallest" } else { "largest" };
    Err(Error::inexact(
        column,
        format!("the {end} of {}", array.data_type()),
        format!("cannot be stored: it is how DuckDB stores {what}"),
    ))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Odd {
    Infinite(bool),
    TooLong(i128),
}
impl std::fmt::Display for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Infinite(false) => f.write_str("infinity"),
            Self::Infinite(true) => f.write_str("-infinity"),
            Self::TooLong(v) => v.fmt(f),
        }
    }
}

fn odd64(v: i64) -> Option<Odd> {
    match v {
        i64::MAX => Some(Odd::Infinite(false)),
        v if v == -i64::MAX => Some(Odd::Infinite(true)),
        _ => None,
    }
}
fn odd32(v: i32) -> Option<Odd> {
    match v {
        i32::MAX => Some(Odd::Infinite(false)),
        v if v == -i32::MAX => Some(Odd::Infinite(true)),
        _ => None,
    }
}
fn odd128(v: i128) -> Option<Odd> {
    (!(-MAX_38..=MAX_38).contains(&v)).then_some(Odd::TooLong(v))
}

fn find<T: ArrowPrimitiveType>(a: &ArrayRef, odd: impl Fn(T::Native) -> Option<Odd>) -> Option<(usize, Odd)> {
    let a = a.as_primitive_opt::<T>()?;
    // The buffer first, NULLs and all: almost always there is nothing odd in it.
    if !a.values().iter().any(|v| odd(*v).is_some()) {
        return None;
    }
    (0..a.len()).find_map(|i| if a.is_null(i) { None } else { odd(a.value(i)).map(|o| (i, o)) })
}

/// The first value, at any depth, with its place in its own array.
fn first_odd(a: &ArrayRef) -> Option<(usize, Odd)> {
    match a.data_type() {
        DataType::Date32 => find::<Date32Type>(a, odd32),
        DataType::Timestamp(TimeUnit::Second, _) => find::<TimestampSecondType>(a, odd64),
        DataType::Timestamp(TimeUnit::Millisecond, _) => find::<TimestampMillisecondType>(a, odd64),
        DataType::Timestamp(TimeUnit::Microsecond, _) => find::<TimestampMicrosecondType>(a, odd64),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => find::<TimestampNanosecondType>(a, odd64),
        DataType::Decimal128(38, _) => find::<Decimal128Type>(a, odd128),
        DataType::List(_) => {
            let l = a.as_list::<i32>();
            first_odd(&visible(l.values(), l.value_offsets().first(), l.value_offsets().last()))
        }
        DataType::LargeList(_) => first_odd(a.as_list::<i64>().values()),
        DataType::FixedSizeList(..) => first_odd(a.as_fixed_size_list().values()),
        DataType::Struct(_) => a.as_struct().columns().iter().find_map(first_odd),
        DataType::Map(..) => a.as_map().entries().columns().iter().find_map(first_odd),
        _ => None,
    }
}

/// The part of a list's values that its rows refer to.
fn visible(values: &ArrayRef, from: Option<&i32>, to: Option<&i32>) -> ArrayRef {
    match (from, to) {
        (Some(a), Some(b)) if a <= b => values.slice(*a as usize, (*b - *a) as usize),
        _ => values.clone(),
    }
}

fn without<T: ArrowPrimitiveType>(a: &ArrayRef, odd: impl Fn(T::Native) -> Option<Odd>) -> Option<ArrayRef> {
    let p = a.as_primitive_opt::<T>()?;
    let out: PrimitiveArray<T> = p.unary_opt(|v| if odd(v).is_some() { None } else { Some(v) });
    Some(Arc::new(out.with_data_type(a.data_type().clone())))
}
fn without_odd(a: &ArrayRef) -> Option<ArrayRef> {
    match a.data_type() {
        DataType::Date32 => without::<Date32Type>(a, odd32),
        DataType::Timestamp(TimeUnit::Second, _) => without::<TimestampSecondType>(a, odd64),
        DataType::Timestamp(TimeUnit::Millisecond, _) => without::<TimestampMillisecondType>(a, odd64),
        DataType::Timestamp(TimeUnit::Microsecond, _) => without::<TimestampMicrosecondType>(a, odd64),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => without::<TimestampNanosecondType>(a, odd64),
        DataType::Decimal128(..) => without::<Decimal128Type>(a, odd128),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn odd_values_are_found_at_any_depth_and_nulls_are_not_values() {
        let a: ArrayRef = Arc::new(Date32Array::from(vec![Some(1), Some(i32::MAX)]));
        let e = from_duckdb("d", &a, false).unwrap_err();
        assert!(e.message().contains("`d`") && e.message().contains("infinity"), "{e:?}");
        assert_eq!(from_duckdb("d", &a, true).unwrap().null_count(), 1);
        let e = to_duckdb("d", &a, false).unwrap_err();
        assert!(e.message().contains("infinity"), "{e:?}");
        assert_eq!(to_duckdb("d", &a, true).unwrap().null_count(), 1);
        let null: ArrayRef = Arc::new(Date32Array::new(vec![i32::MAX].into(), Some(vec![false].into())));
        assert!(from_duckdb("d", &null, false).is_ok());
        let s: ArrayRef =
            Arc::new(StructArray::from(vec![(Arc::new(Field::new("x", DataType::Date32, true)), a.clone())]));
        assert!(from_duckdb("s", &s, false).is_err() && from_duckdb("s", &s, true).is_err());
        let huge: ArrayRef = Arc::new(Decimal128Array::from(vec![i128::MAX]).with_precision_and_scale(38, 0).unwrap());
        assert!(from_duckdb("h", &huge, false).unwrap_err().message().contains("38 digits"));
    }
}
