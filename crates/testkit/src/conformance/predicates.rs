//! Conditions to try on a table: for each column every operator against values that are in it and values between.

use super::evaluate::{Scalar, scalar};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, TimeUnit};
use xdb_core::{CompareOp, Literal, Predicate, TableInfo};

use super::Table;

const OPS: [CompareOp; 6] =
    [CompareOp::Eq, CompareOp::NotEq, CompareOp::Lt, CompareOp::LtEq, CompareOp::Gt, CompareOp::GtEq];

/// A value as the literal that a planner would make for a column of this type.
fn literal(data_type: &DataType, value: &Scalar) -> Option<Literal> {
    Some(match (data_type, value) {
        (DataType::Boolean, Scalar::Bool(b)) => Literal::Bool(*b),
        (DataType::Date32, Scalar::Int(i)) => Literal::Date(i32::try_from(*i).ok()?),
        (DataType::Time64(_), Scalar::Int(i)) => Literal::Time(i64::try_from(*i).ok()?),
        (DataType::Timestamp(_, zone), Scalar::Int(i)) => {
            Literal::Timestamp { micros: i64::try_from(*i).ok()?, utc: zone.is_some() }
        }
        (t, Scalar::Int(i)) if t.is_unsigned_integer() => Literal::UInt(u64::try_from(*i).ok()?),
        (t, Scalar::Int(i)) if t.is_integer() => Literal::Int(i64::try_from(*i).ok()?),
        (_, Scalar::Float(f)) => Literal::Float(*f),
        (_, Scalar::Decimal { value, scale }) => Literal::Decimal { value: value.to_i128()?, scale: *scale },
        (_, Scalar::Text(t)) => Literal::Utf8(t.clone()),
        (_, Scalar::Bytes(b)) => Literal::Binary(b.clone()),
        _ => return None,
    })
}

fn can_be_compared(t: &DataType) -> bool {
    matches!(
        t,
        DataType::Boolean
            | DataType::Date32
            | DataType::Time64(TimeUnit::Microsecond)
            | DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond, _)
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(..)
            | DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
    ) || t.is_integer()
}

/// Values in the column, each once, and neighbours that may not be in it.
fn candidates(field: &Field, array: &ArrayRef) -> Vec<Literal> {
    let mut values: Vec<Scalar> = vec![];
    for v in (0..array.len()).filter_map(|i| scalar(array, i)) {
        if !values.contains(&v) {
            values.push(v);
        }
    }
    let between = values.iter().take(2).filter_map(|v| match v {
        // There is nothing below 0, nor before midnight.
        Scalar::Int(i) if *i > 0 || field.data_type().is_signed_integer() => Some(Scalar::Int(i - 1)),
        Scalar::Float(f) if f.is_finite() => Some(Scalar::Float(f + 0.5)),
        Scalar::Decimal { value, scale } => {
            Some(Scalar::Decimal { value: value.wrapping_add(arrow::datatypes::i256::ONE), scale: *scale })
        }
        Scalar::Text(t) => Some(Scalar::Text(format!("{t}~"))),
        Scalar::Bytes(b) => Some(Scalar::Bytes([b.as_slice(), &[0]].concat())),
        _ => None,
    });
    let extra: Vec<Scalar> = between.filter(|b| !values.contains(b)).collect();
    values.extend(extra);
    values.iter().filter_map(|v| literal(field.data_type(), v)).collect()
}

/// Every condition of the suite on the table's columns, as described by the source; `data` is what the source returns
/// without a filter.
pub fn predicates_for(table: &TableInfo, data: &Table) -> Vec<Predicate> {
    let mut all = vec![];
    let mut simple = vec![];
    for field in table.schema.fields() {
        let column = field.name().clone();
        for negated in [false, true] {
            all.push(Predicate::IsNull { column: column.clone(), negated });
        }
        if !can_be_compared(field.data_type()) {
            continue;
        }
        let literals = candidates(field, data.column(&column));
        for value in &literals {
            for op in OPS {
                all.push(Predicate::Compare { column: column.clone(), op, value: value.clone() });
            }
        }
        if let Some(middle) = literals.get(literals.len() / 2) {
            simple.push(Predicate::Compare { column: column.clone(), op: CompareOp::LtEq, value: middle.clone() });
        }
        for values in
            [literals.iter().step_by(2).cloned().collect::<Vec<_>>(), literals.iter().take(1).cloned().collect()]
        {
            for negated in [false, true] {
                if !values.is_empty() {
                    all.push(Predicate::In { column: column.clone(), values: values.clone(), negated });
                }
            }
        }
        if matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            for prefix in ["", "a", "A", "%", "_", "\\", "[", "*", "'", "é", "e", "😀", "a ", "ab"] {
                for negated in [false, true] {
                    all.push(Predicate::StartsWith { column: column.clone(), prefix: prefix.into(), negated });
                }
            }
        }
    }
    // Combinations: each simple condition with the next one's, so that unknown meets true and false.
    for pair in simple.windows(2) {
        let is_null = Predicate::IsNull { column: pair[1].columns()[0].to_string(), negated: false };
        let not = |p: &Predicate| Predicate::Not(Box::new(p.clone()));
        all.push(not(&pair[0]));
        all.push(Predicate::And(pair.to_vec()));
        all.push(Predicate::Or(pair.to_vec()));
        all.push(Predicate::Or(vec![pair[0].clone(), is_null.clone()]));
        all.push(not(&Predicate::And(vec![pair[0].clone(), not(&is_null)])));
        all.push(not(&Predicate::Or(pair.to_vec())));
        all.push(Predicate::And(vec![Predicate::Or(pair.to_vec()), not(&pair[1]), Predicate::And(vec![])]));
    }
    all
}
