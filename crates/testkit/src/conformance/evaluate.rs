//! The suite's own reading of a predicate over Arrow data, written apart from any connector's: SQL's three-valued logic,
//! text by bytes, NaN equal to itself and above every number (as in Arrow, DataFusion, PostgreSQL and DuckDB).

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, TimeUnit, i256};
use std::cmp::Ordering;
use xdb_core::{CompareOp, Literal, Predicate};

/// One value, in a form in which values of one column compare.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Bool(bool),
    /// Integers; days of dates; microseconds of times and timestamps.
    Int(i128),
    Float(f64),
    Decimal {
        value: i256,
        scale: i8,
    },
    Text(String),
    Bytes(Vec<u8>),
}

/// The value of a row; `None` for NULL.
///
/// # Panics
/// For a type that predicates are not tried on.
pub fn scalar(array: &ArrayRef, row: usize) -> Option<Scalar> {
    use arrow::datatypes as t;
    if array.is_null(row) {
        return None;
    }
    macro_rules! int {
        ($type:ty) => {
            Scalar::Int(array.as_primitive::<$type>().value(row).into())
        };
        ($type:ty, $times:expr) => {
            Scalar::Int(i128::from(array.as_primitive::<$type>().value(row)) * $times)
        };
    }
    Some(match array.data_type() {
        DataType::Boolean => Scalar::Bool(array.as_boolean().value(row)),
        DataType::Int8 => int!(t::Int8Type),
        DataType::Int16 => int!(t::Int16Type),
        DataType::Int32 => int!(t::Int32Type),
        DataType::Int64 => int!(t::Int64Type),
        DataType::UInt8 => int!(t::UInt8Type),
        DataType::UInt16 => int!(t::UInt16Type),
        DataType::UInt32 => int!(t::UInt32Type),
        DataType::UInt64 => int!(t::UInt64Type),
        DataType::Date32 => int!(t::Date32Type),
        DataType::Time64(TimeUnit::Microsecond) => int!(t::Time64MicrosecondType),
        DataType::Timestamp(TimeUnit::Second, _) => int!(t::TimestampSecondType, 1_000_000),
        DataType::Timestamp(TimeUnit::Millisecond, _) => int!(t::TimestampMillisecondType, 1_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => int!(t::TimestampMicrosecondType),
        DataType::Float32 => Scalar::Float(array.as_primitive::<t::Float32Type>().value(row).into()),
        DataType::Float64 => Scalar::Float(array.as_primitive::<t::Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => Scalar::Decimal {
            value: i256::from_i128(array.as_primitive::<t::Decimal128Type>().value(row)),
            scale: *scale,
        },
        DataType::Utf8 => Scalar::Text(array.as_string::<i32>().value(row).into()),
        DataType::LargeUtf8 => Scalar::Text(array.as_string::<i64>().value(row).into()),
        DataType::Utf8View => Scalar::Text(array.as_string_view().value(row).into()),
        DataType::Binary => Scalar::Bytes(array.as_binary::<i32>().value(row).into()),
        DataType::LargeBinary => Scalar::Bytes(array.as_binary::<i64>().value(row).into()),
        DataType::BinaryView => Scalar::Bytes(array.as_binary_view().value(row).into()),
        other => panic!("predicates are not tried on {other}"),
    })
}

fn of_literal(l: &Literal) -> Option<Scalar> {
    Some(match l {
        Literal::Null => return None,
        Literal::Bool(b) => Scalar::Bool(*b),
        Literal::Int(i) => Scalar::Int((*i).into()),
        Literal::UInt(u) => Scalar::Int((*u).into()),
        Literal::Float(f) => Scalar::Float(*f),
        Literal::Decimal { value, scale } => Scalar::Decimal { value: i256::from_i128(*value), scale: *scale },
        Literal::Utf8(t) => Scalar::Text(t.clone()),
        Literal::Binary(b) => Scalar::Bytes(b.clone()),
        Literal::Date(d) => Scalar::Int((*d).into()),
        Literal::Time(us) => Scalar::Int((*us).into()),
        Literal::Timestamp { micros, .. } => Scalar::Int((*micros).into()),
    })
}

fn order(a: &Scalar, b: &Scalar) -> Ordering {
    match (a, b) {
        (Scalar::Bool(a), Scalar::Bool(b)) => a.cmp(b),
        (Scalar::Int(a), Scalar::Int(b)) => a.cmp(b),
        (Scalar::Text(a), Scalar::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Scalar::Bytes(a), Scalar::Bytes(b)) => a.cmp(b),
        (Scalar::Float(a), Scalar::Float(b)) => match (a.is_nan(), b.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        },
        (Scalar::Decimal { value: a, scale: s }, Scalar::Decimal { value: b, scale: t }) => {
            let ten = i256::from_i128(10);
            let scaled = |v: &i256, by: i8| (0..by).fold(*v, |v, _| v.wrapping_mul(ten));
            let top = *s.max(t);
            scaled(a, top - s).cmp(&scaled(b, top - t))
        }
        other => panic!("a literal that hasn't the column's type: {other:?}"),
    }
}

/// `None` is SQL's unknown.
pub fn evaluate(p: &Predicate, batch: &RecordBatch, row: usize) -> Option<bool> {
    let value =
        |column: &str| scalar(batch.column_by_name(column).unwrap_or_else(|| panic!("no column `{column}`")), row);
    match p {
        Predicate::Compare { column, op, value: literal } => {
            let o = order(&value(column)?, &of_literal(literal)?);
            Some(match op {
                CompareOp::Eq => o.is_eq(),
                CompareOp::NotEq => o.is_ne(),
                CompareOp::Lt => o.is_lt(),
                CompareOp::LtEq => o.is_le(),
                CompareOp::Gt => o.is_gt(),
                CompareOp::GtEq => o.is_ge(),
            })
        }
        Predicate::In { column, values, negated } => {
            let v = value(column)?;
            let found = values.iter().flat_map(of_literal).any(|l| order(&v, &l).is_eq());
            Some(found != *negated)
        }
        Predicate::IsNull { column, negated } => Some(value(column).is_none() != *negated),
        Predicate::StartsWith { column, prefix, negated } => {
            let Scalar::Text(t) = value(column)? else { panic!("LIKE on a column that isn't text") };
            Some(t.starts_with(prefix.as_str()) != *negated)
        }
        Predicate::And(ps) => fold(ps, batch, row, false),
        Predicate::Or(ps) => fold(ps, batch, row, true),
        Predicate::Not(p) => evaluate(p, batch, row).map(|b| !b),
    }
}

/// AND where `decisive` is false, OR where it is true: one decisive part decides, else one unknown makes it unknown.
fn fold(ps: &[Predicate], batch: &RecordBatch, row: usize, decisive: bool) -> Option<bool> {
    let parts: Vec<Option<bool>> = ps.iter().map(|p| evaluate(p, batch, row)).collect();
    if parts.contains(&Some(decisive)) {
        Some(decisive)
    } else if parts.contains(&None) {
        None
    } else {
        Some(!decisive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Float64Array, Int32Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn three_valued_logic() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n", Arc::new(Int32Array::from(vec![Some(1), None]))),
            ("t", Arc::new(StringArray::from(vec![Some("a%b"), Some("")]))),
            ("f", Arc::new(Float64Array::from(vec![f64::NAN, 1.0]))),
            ("d", Arc::new(Decimal128Array::from(vec![150, -1]).with_precision_and_scale(10, 2).unwrap())),
        ];
        let b = RecordBatch::try_from_iter(columns).unwrap();
        let n = |op, v| Predicate::Compare { column: "n".into(), op, value: Literal::Int(v) };
        let null = Predicate::IsNull { column: "n".into(), negated: false };
        let not = |p: Predicate| Predicate::Not(Box::new(p));
        let cases = [
            (n(CompareOp::Eq, 1), Some(true), None),
            (not(n(CompareOp::Eq, 1)), Some(false), None),
            (Predicate::Or(vec![n(CompareOp::Eq, 2), null.clone()]), Some(false), Some(true)),
            (Predicate::And(vec![n(CompareOp::Eq, 1), not(null.clone())]), Some(true), Some(false)),
            (Predicate::And(vec![]), Some(true), Some(true)),
            (Predicate::Or(vec![]), Some(false), Some(false)),
            (Predicate::In { column: "n".into(), values: vec![Literal::Int(7)], negated: true }, Some(true), None),
            (
                Predicate::StartsWith { column: "t".into(), prefix: "a%".into(), negated: false },
                Some(true),
                Some(false),
            ),
            (
                Predicate::Compare { column: "f".into(), op: CompareOp::Gt, value: Literal::Float(f64::INFINITY) },
                Some(true),
                Some(false),
            ),
            (
                Predicate::Compare {
                    column: "d".into(),
                    op: CompareOp::Eq,
                    value: Literal::Decimal { value: 15, scale: 1 },
                },
                Some(true),
                Some(false),
            ),
        ];
        for (p, first, second) in cases {
            assert_eq!((evaluate(&p, &b, 0), evaluate(&p, &b, 1)), (first, second), "{p:?}");
        }
    }
}
