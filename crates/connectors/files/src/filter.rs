//! Predicates on decoded batches, with SQL's three-valued logic: what makes every answer of `pushdown` exact.

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Int64Array, RecordBatch, Scalar,
    StringArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::kernels::{boolean, cmp};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, i256};
use std::sync::Arc;
use xdb_core::{CompareOp, Error, Literal, LogicalType, Predicate, Result};

/// `Err(reason)` where `p` cannot be decided here exactly as SQL means it.
pub(crate) fn supported(schema: &Schema, p: &Predicate) -> Result<(), String> {
    let field = |c: &str| schema.field_with_name(c).map_err(|_| format!("there is no column `{c}`"));
    let value = |c: &str, v: &Literal| {
        let f = field(c)?;
        scalar(f, v).map(|_| ()).ok_or_else(|| format!("`{c}` is {}, which is compared locally", f.data_type()))
    };
    match p {
        Predicate::Compare { column, value: v, op } => {
            let f = field(column)?;
            if LogicalType::of(f).is_some() && !matches!(op, CompareOp::Eq | CompareOp::NotEq) {
                return Err(format!("`{column}` has no order as text"));
            }
            value(column, v)
        }
        Predicate::In { column, values, .. } => values.iter().try_for_each(|v| value(column, v)),
        Predicate::IsNull { column, .. } => field(column).map(|_| ()),
        Predicate::StartsWith { column, .. } => match field(column)?.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 => Ok(()),
            _ => Err(format!("`{column}` is not text")),
        },
        Predicate::And(ps) | Predicate::Or(ps) => ps.iter().try_for_each(|p| supported(schema, p)),
        Predicate::Not(p) => supported(schema, p),
    }
}

/// `value` as one value of the field's type; `None` where that would not be exact, and for floats: engines differ on NaN
/// and negative zero.
pub(crate) fn scalar(field: &Field, value: &Literal) -> Option<Scalar<ArrayRef>> {
    let to = field.data_type();
    let array: ArrayRef = match (value, to) {
        (Literal::Bool(b), DataType::Boolean) => Arc::new(BooleanArray::from(vec![*b])),
        (Literal::Int(i), t) if t.is_integer() => Arc::new(Int64Array::from(vec![*i])),
        (Literal::UInt(u), t) if t.is_integer() => Arc::new(UInt64Array::from(vec![*u])),
        (l, DataType::Decimal128(p, s)) => {
            let v = unscaled(l, *s)?;
            Arc::new(Decimal128Array::from(vec![v]).with_precision_and_scale(*p, *s).ok()?)
        }
        (l, DataType::Decimal256(p, s)) => {
            let (v, from) = decimal_parts(l)?;
            let up = u32::try_from(i16::from(*s) - i16::from(from)).ok()?;
            let v = i256::from_i128(v).checked_mul(i256::from_i128(10).checked_pow(up)?)?;
            Arc::new(Decimal256Array::from(vec![v]).with_precision_and_scale(*p, *s).ok()?)
        }
        (Literal::Utf8(t), DataType::Utf8 | DataType::LargeUtf8) => Arc::new(StringArray::from(vec![t.as_str()])),
        (Literal::Binary(b), DataType::Binary | DataType::LargeBinary) => {
            Arc::new(arrow::array::BinaryArray::from(vec![b.as_slice()]))
        }
        (Literal::Date(d), DataType::Date32) => Arc::new(Date32Array::from(vec![*d])),
        (Literal::Time(us), DataType::Time64(_)) => Arc::new(Time64MicrosecondArray::from(vec![*us])),
        (Literal::Timestamp { micros, utc }, DataType::Timestamp(unit, zone)) if *utc == zone.is_some() => {
            // A coarser column can't hold the value: leave that comparison to the engine.
            let step = match unit {
                TimeUnit::Second => 1_000_000,
                TimeUnit::Millisecond => 1_000,
                TimeUnit::Microsecond | TimeUnit::Nanosecond => 1,
            };
            if micros % step != 0 || (*unit == TimeUnit::Nanosecond && micros.checked_mul(1000).is_none()) {
                return None;
            }
            Arc::new(TimestampMicrosecondArray::from(vec![*micros]).with_timezone_opt(zone.clone()))
        }
        _ => return None,
    };
    let exact = CastOptions { safe: false, ..Default::default() };
    let cast = if array.data_type() == to { array } else { cast_with_options(&array, to, &exact).ok()? };
    Some(Scalar::new(cast))
}

fn decimal_parts(l: &Literal) -> Option<(i128, i8)> {
    match l {
        Literal::Decimal { value, scale } => Some((*value, *scale)),
        Literal::Int(i) => Some(((*i).into(), 0)),
        Literal::UInt(u) => Some(((*u).into(), 0)),
        _ => None,
    }
}
fn unscaled(l: &Literal, scale: i8) -> Option<i128> {
    let (value, from) = decimal_parts(l)?;
    let by = i16::from(scale) - i16::from(from);
    let power = 10i128.checked_pow(by.unsigned_abs().into())?;
    if by >= 0 { value.checked_mul(power) } else { (value % power == 0).then(|| value / power) }
}

/// Which rows of `batch` pass; NULL is unknown.
pub(crate) fn evaluate(batch: &RecordBatch, p: &Predicate) -> Result<BooleanArray> {
    let column = |name: &str| {
        let i = batch.schema_ref().index_of(name)?;
        Ok::<_, Error>((batch.schema_ref().field(i).clone(), batch.column(i).clone()))
    };
    let constant = |f: &Field, v: &Literal| {
        scalar(f, v).ok_or_else(|| Error::internal(format!("predicate on `{}` was not checked", f.name())))
    };
    Ok(match p {
        Predicate::Compare { column: c, op, value } => {
            let (f, a) = column(c)?;
            let v = constant(&f, value)?;
            match op {
                CompareOp::Eq => cmp::eq(&a, &v)?,
                CompareOp::NotEq => cmp::neq(&a, &v)?,
                CompareOp::Lt => cmp::lt(&a, &v)?,
                CompareOp::LtEq => cmp::lt_eq(&a, &v)?,
                CompareOp::Gt => cmp::gt(&a, &v)?,
                CompareOp::GtEq => cmp::gt_eq(&a, &v)?,
            }
        }
        Predicate::In { column: c, values, negated } => {
            let (f, a) = column(c)?;
            let mut any: Option<BooleanArray> = None;
            for v in values {
                let hit = cmp::eq(&a, &constant(&f, v)?)?;
                any = Some(match any {
                    None => hit,
                    Some(x) => boolean::or_kleene(&x, &hit)?,
                });
            }
            let any = any.unwrap_or_else(|| BooleanArray::from(vec![false; batch.num_rows()]));
            if *negated { boolean::not(&any)? } else { any }
        }
        Predicate::IsNull { column: c, negated } => {
            let (_, a) = column(c)?;
            if *negated { boolean::is_not_null(&a)? } else { boolean::is_null(&a)? }
        }
        Predicate::StartsWith { column: c, prefix, negated } => {
            let (f, a) = column(c)?;
            let v = constant(&f, &Literal::Utf8(prefix.clone()))?;
            let hit = arrow::compute::starts_with(&a, &v)?;
            if *negated { boolean::not(&hit)? } else { hit }
        }
        Predicate::And(ps) => fold(batch, ps, true)?,
        Predicate::Or(ps) => fold(batch, ps, false)?,
        Predicate::Not(p) => boolean::not(&evaluate(batch, p)?)?,
    })
}

fn fold(batch: &RecordBatch, ps: &[Predicate], and: bool) -> Result<BooleanArray> {
    let mut all = BooleanArray::from(vec![and; batch.num_rows()]);
    for p in ps {
        let one = evaluate(batch, p)?;
        all = if and { boolean::and_kleene(&all, &one)? } else { boolean::or_kleene(&all, &one)? };
    }
    Ok(all)
}

/// The rows for which all of `ps` are true.
pub(crate) fn keep(batch: RecordBatch, ps: &[Predicate]) -> Result<RecordBatch> {
    if ps.is_empty() {
        return Ok(batch);
    }
    let mask = fold(&batch, ps, true)?;
    Ok(filter_record_batch(&batch, &mask)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Float64Array;

    fn batch() -> RecordBatch {
        let dec =
            Decimal128Array::from(vec![Some(150), Some(-5), None, Some(200)]).with_precision_and_scale(9, 2).unwrap();
        let cols: Vec<(&str, ArrayRef)> = vec![
            ("i", Arc::new(arrow::array::Int16Array::from(vec![Some(1), Some(2), None, Some(4)]))),
            ("t", Arc::new(StringArray::from(vec![Some("ab"), Some("b"), None, Some("")]))),
            ("d", Arc::new(dec)),
            ("f", Arc::new(Float64Array::from(vec![1.0, 2.0, f64::NAN, -0.0]))),
            ("ms", Arc::new(arrow::array::TimestampMillisecondArray::from(vec![0, 1, 2, 3]))),
        ];
        RecordBatch::try_from_iter_with_nullable(cols.into_iter().map(|(n, a)| (n, a, true))).unwrap()
    }
    fn cmp(c: &str, op: CompareOp, value: Literal) -> Predicate {
        Predicate::Compare { column: c.into(), op, value }
    }
    fn rows(p: Predicate) -> Vec<usize> {
        let b = batch();
        supported(b.schema_ref(), &p).unwrap();
        let m = evaluate(&b, &p).unwrap();
        (0..b.num_rows()).filter(|i| m.is_valid(*i) && m.value(*i)).collect()
    }

    #[test]
    fn three_valued_logic() {
        use CompareOp::*;
        let null_i = || Predicate::IsNull { column: "i".into(), negated: false };
        assert_eq!(rows(cmp("i", Gt, Literal::Int(1))), [1, 3]);
        assert_eq!(rows(Predicate::Not(Box::new(cmp("i", Gt, Literal::Int(1))))), [0]);
        assert_eq!(rows(Predicate::Or(vec![null_i(), cmp("i", Eq, Literal::UInt(4))])), [2, 3]);
        assert_eq!(rows(Predicate::And(vec![])), [0, 1, 2, 3]);
        let list =
            |negated| Predicate::In { column: "i".into(), values: vec![Literal::Int(1), Literal::Int(9)], negated };
        assert_eq!(rows(list(false)), [0]);
        assert_eq!(rows(list(true)), [1, 3]);
        let starts = |negated| Predicate::StartsWith { column: "t".into(), prefix: "a".into(), negated };
        assert_eq!(rows(starts(false)), [0]);
        assert_eq!(rows(starts(true)), [1, 3]);
    }
    #[test]
    fn constants_fit_the_column_or_are_refused() {
        use CompareOp::*;
        assert_eq!(rows(cmp("d", Eq, Literal::Decimal { value: 15, scale: 1 })), [0]);
        assert_eq!(rows(cmp("d", Lt, Literal::Int(0))), [1]);
        assert_eq!(rows(cmp("d", GtEq, Literal::Decimal { value: 15000, scale: 4 })), [0, 3]);
        assert_eq!(rows(cmp("ms", Gt, Literal::Timestamp { micros: 1000, utc: false })), [2, 3]);
        let b = batch();
        for no in [
            cmp("d", Eq, Literal::Decimal { value: 15001, scale: 4 }),
            cmp("i", Eq, Literal::Int(70_000)),
            cmp("f", Eq, Literal::Float(0.0)),
            cmp("ms", Gt, Literal::Timestamp { micros: 1, utc: false }),
            cmp("ms", Gt, Literal::Timestamp { micros: 0, utc: true }),
            cmp("t", Eq, Literal::Int(1)),
            cmp("zz", Eq, Literal::Int(1)),
        ] {
            assert!(supported(b.schema_ref(), &no).is_err(), "{no:?}");
        }
    }
}
