//! DataFusion expression -> [`Predicate`], only where the meaning is the same.
//!
//! The column must stand alone and the constant must fit the column's type exactly; anything else is not a predicate
//! and stays with the engine.

use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, InList, Like};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use xdb_core::{CompareOp, Literal, Predicate};

/// `None` where `expr` isn't of a shape that a source can be asked.
pub fn predicate(expr: &Expr, schema: &Schema) -> Option<Predicate> {
    match expr {
        Expr::Alias(a) => predicate(&a.expr, schema),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => Some(Predicate::And(vec![predicate(left, schema)?, predicate(right, schema)?])),
            Operator::Or => Some(Predicate::Or(vec![predicate(left, schema)?, predicate(right, schema)?])),
            _ => {
                let op = compare_op(*op)?;
                if let Some(column) = column(left, schema) {
                    compare(column, op, right, schema)
                } else {
                    compare(column(right, schema)?, op.swap(), left, schema)
                }
            }
        },
        Expr::Not(inner) => Some(Predicate::Not(Box::new(predicate(inner, schema)?))),
        Expr::IsNull(inner) => Some(Predicate::IsNull { column: column(inner, schema)?.into(), negated: false }),
        Expr::IsNotNull(inner) => Some(Predicate::IsNull { column: column(inner, schema)?.into(), negated: true }),
        Expr::Between(Between { expr, negated, low, high }) => {
            let c = column(expr, schema)?;
            let both = vec![compare(c, CompareOp::GtEq, low, schema)?, compare(c, CompareOp::LtEq, high, schema)?];
            let p = Predicate::And(both);
            Some(if *negated { Predicate::Not(Box::new(p)) } else { p })
        }
        Expr::InList(InList { expr, list, negated }) => {
            let c = column(expr, schema)?;
            let ty = schema.field_with_name(c).ok()?.data_type();
            let values = list.iter().map(|e| literal(&constant(e)?, ty)).collect::<Option<Vec<_>>>()?;
            if values.is_empty() || values.contains(&Literal::Null) {
                return None;
            }
            Some(Predicate::In { column: c.into(), values, negated: *negated })
        }
        Expr::Like(Like { negated, expr, pattern, escape_char: None, case_insensitive: false }) => {
            let c = column(expr, schema)?;
            let Literal::Utf8(pattern) = literal(&constant(pattern)?, schema.field_with_name(c).ok()?.data_type())?
            else {
                return None;
            };
            let prefix = pattern.strip_suffix('%')?;
            if prefix.is_empty() || prefix.contains(['%', '_', '\\']) {
                return None;
            }
            Some(Predicate::StartsWith { column: c.into(), prefix: prefix.into(), negated: *negated })
        }
        // `where flag`
        Expr::Column(_) => {
            let c = column(expr, schema)?;
            (schema.field_with_name(c).ok()?.data_type() == &DataType::Boolean).then(|| Predicate::Compare {
                column: c.into(),
                op: CompareOp::Eq,
                value: Literal::Bool(true),
            })
        }
        _ => None,
    }
}

pub(crate) fn compare_op(op: Operator) -> Option<CompareOp> {
    Some(match op {
        Operator::Eq => CompareOp::Eq,
        Operator::NotEq => CompareOp::NotEq,
        Operator::Lt => CompareOp::Lt,
        Operator::LtEq => CompareOp::LtEq,
        Operator::Gt => CompareOp::Gt,
        Operator::GtEq => CompareOp::GtEq,
        _ => return None,
    })
}

fn column<'a>(expr: &'a Expr, schema: &Schema) -> Option<&'a str> {
    match expr {
        Expr::Column(c) if schema.field_with_name(&c.name).is_ok() => Some(&c.name),
        _ => None,
    }
}

/// The value of a constant expression: a literal, or a literal under casts (`date '1995-01-01'`).
fn constant(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(v, _) => Some(v.clone()),
        Expr::Alias(a) => constant(&a.expr),
        Expr::Cast(c) => {
            let inner = constant(&c.expr)?;
            let to = c.field.data_type();
            // Only casts that mean the same everywhere: text to a date or time type, in ISO form.
            let text = matches!(inner, ScalarValue::Utf8(Some(_)) | ScalarValue::Utf8View(Some(_)));
            let iso = matches!(to, DataType::Date32 | DataType::Timestamp(_, None));
            if inner.data_type() == *to {
                Some(inner)
            } else if text && iso {
                inner.cast_to(to).ok()
            } else {
                None
            }
        }
        Expr::Negative(e) => constant(e)?.arithmetic_negate().ok(),
        _ => None,
    }
}

fn compare(column: &str, op: CompareOp, value: &Expr, schema: &Schema) -> Option<Predicate> {
    let ty = schema.field_with_name(column).ok()?.data_type();
    match literal(&constant(value)?, ty)? {
        Literal::Null => None,
        value => Some(Predicate::Compare { column: column.into(), op, value }),
    }
}

/// `value` as a literal of a column of type `ty`; `None` where it would change on the way.
pub fn literal(value: &ScalarValue, ty: &DataType) -> Option<Literal> {
    use ScalarValue as S;
    if value.is_null() {
        return Some(Literal::Null);
    }
    let int = as_integer(value);
    Some(match ty {
        DataType::Boolean => match value {
            S::Boolean(Some(b)) => Literal::Bool(*b),
            _ => return None,
        },
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Literal::Int(i64::try_from(int?).ok()?),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            Literal::UInt(u64::try_from(int?).ok()?)
        }
        DataType::Float32 | DataType::Float64 => match value {
            S::Float64(Some(f)) if f.is_finite() && *ty == DataType::Float64 => Literal::Float(*f),
            S::Float32(Some(f)) if f.is_finite() => Literal::Float(f64::from(*f)),
            _ => return None,
        },
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            match value {
                S::Decimal128(Some(v), _, s) => Literal::Decimal { value: *v, scale: *s },
                _ => Literal::Decimal { value: int?, scale: 0 },
            }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => match value {
            S::Utf8(Some(t)) | S::LargeUtf8(Some(t)) | S::Utf8View(Some(t)) => Literal::Utf8(t.clone()),
            _ => return None,
        },
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => match value {
            S::Binary(Some(b)) | S::LargeBinary(Some(b)) | S::BinaryView(Some(b)) => Literal::Binary(b.clone()),
            _ => return None,
        },
        DataType::Date32 => match value {
            S::Date32(Some(d)) => Literal::Date(*d),
            _ => return None,
        },
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let (micros, has_zone) = match value {
                S::TimestampSecond(Some(v), z) => (v.checked_mul(1_000_000)?, z.is_some()),
                S::TimestampMillisecond(Some(v), z) => (v.checked_mul(1_000)?, z.is_some()),
                S::TimestampMicrosecond(Some(v), z) => (*v, z.is_some()),
                S::TimestampNanosecond(Some(v), z) if v % 1000 == 0 => (v / 1000, z.is_some()),
                S::Date32(Some(d)) if zone.is_none() => (i64::from(*d).checked_mul(86_400_000_000)?, false),
                _ => return None,
            };
            if has_zone != zone.is_some() {
                return None;
            }
            Literal::Timestamp { micros, utc: has_zone }
        }
        DataType::Time64(TimeUnit::Microsecond) => match value {
            S::Time64Microsecond(Some(v)) => Literal::Time(*v),
            S::Time64Nanosecond(Some(v)) if v % 1000 == 0 => Literal::Time(v / 1000),
            _ => return None,
        },
        _ => return None,
    })
}

fn as_integer(v: &ScalarValue) -> Option<i128> {
    use ScalarValue as S;
    Some(match v {
        S::Int8(Some(i)) => (*i).into(),
        S::Int16(Some(i)) => (*i).into(),
        S::Int32(Some(i)) => (*i).into(),
        S::Int64(Some(i)) => (*i).into(),
        S::UInt8(Some(i)) => (*i).into(),
        S::UInt16(Some(i)) => (*i).into(),
        S::UInt32(Some(i)) => (*i).into(),
        S::UInt64(Some(i)) => (*i).into(),
        S::Decimal128(Some(i), _, 0) => *i,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;
    use datafusion::prelude::{col, lit};

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("i", DataType::Int32, true),
            Field::new("d", DataType::Decimal128(15, 2), true),
            Field::new("t", DataType::Utf8, true),
            Field::new("day", DataType::Date32, true),
            Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        ])
    }

    #[test]
    fn shapes_that_mean_the_same_everywhere_convert() {
        let s = schema();
        let cmp = |c: &str, op, value| Some(Predicate::Compare { column: c.into(), op, value });
        assert_eq!(predicate(&lit(5i64).lt(col("i")), &s), cmp("i", CompareOp::Gt, Literal::Int(5)));
        let cents = lit(ScalarValue::Decimal128(Some(5), 2, 2));
        assert_eq!(
            predicate(&col("d").eq(cents), &s),
            cmp("d", CompareOp::Eq, Literal::Decimal { value: 5, scale: 2 })
        );
        assert_eq!(
            predicate(&col("t").like(lit("ab%")), &s),
            Some(Predicate::StartsWith { column: "t".into(), prefix: "ab".into(), negated: false })
        );
        let day = datafusion::logical_expr::cast(lit("1970-01-03"), DataType::Date32);
        assert_eq!(predicate(&col("day").gt_eq(day), &s), cmp("day", CompareOp::GtEq, Literal::Date(2)));
    }

    #[test]
    fn anything_that_could_change_a_value_stays() {
        let s = schema();
        for e in [
            col("i").gt(lit(2.5f64)),
            col("d").gt(lit(0.05f64)),
            col("t").eq(lit(5)),
            col("i").gt(lit(ScalarValue::Int32(None))),
            col("t").like(lit("a_c%")),
            col("i").gt(lit(7) / lit(2)),
            (col("i") + lit(1)).gt(lit(2)),
            col("ts").gt(lit("yesterday")),
        ] {
            assert_eq!(predicate(&e, &s), None, "{e}");
        }
    }
}
