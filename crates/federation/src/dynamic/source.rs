//! One runtime filter of one scan: waiting for it, and what it then is.

use super::domain::{self, Domain};
use crate::convert;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprRef};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use xdb_core::{CompareOp, Literal, Predicate};

/// More values than this are not written into SQL; their least and greatest are.
///
/// With 20,000 integers PostgreSQL 15 and MariaDB 10.11 scan 2 million rows of an unindexed column as fast as without (0.2 s,
/// 0.6 s), with 50,000 half as fast again as that; reading all the rows instead takes 2 s.
pub(crate) const MAX_VALUES: usize = 20_000;
/// Nor are values of more text than this, in bytes: servers limit the length of a statement (MySQL's `max_allowed_packet`).
const MAX_VALUES_BYTES: usize = 1 << 20;
/// How long a scan waits for its filters before it goes on without: see [`Wait`].
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Until when a scan waits. A join asks its probe side for rows only when its filter is ready, so that most scans never wait.
/// One that an exchange starts early could only fill the exchange's buffer before its rows are wanted, and then be read
/// whole: it waits, but not for ever, should a filter never be finished.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait(pub(crate) Duration);
impl Default for Wait {
    fn default() -> Self {
        Self(MAX_WAIT)
    }
}

/// A filter on one column of a scan whose constants are not known yet.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeSource {
    /// Position in the scan's output.
    pub(crate) column: usize,
    /// What it is made of, for people.
    pub(crate) from: String,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The `key`th of a hash join's probe keys must be among its build side's.
    Join { filter: Arc<DynamicFilterPhysicalExpr>, keys: Vec<PhysicalExprRef>, key: usize },
    /// `column op value`, where `value` is made of scalar subqueries, evaluated before the scan starts.
    Scalar { op: CompareOp, value: PhysicalExprRef },
}

/// What became of a [`RuntimeSource`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Known {
    /// No row passes.
    Nothing,
    /// Each alone is a condition that holds, best first: one of them is enough. With its wording for people.
    OneOf(Vec<(Predicate, String)>),
    /// Why there is none.
    No(String),
}

impl RuntimeSource {
    /// Waits, at most until `deadline`.
    pub(crate) async fn known(&self, schema: &Schema, deadline: Instant) -> Known {
        let Some(field) = schema.fields().get(self.column) else { return Known::No("no such column".into()) };
        let (name, ty) = (field.name(), field.data_type());
        match &self.what {
            What::Join { filter, keys, key } => {
                if tokio::time::timeout_at(deadline, filter.wait_complete()).await.is_err() {
                    return Known::No("the other side took too long".into());
                }
                match filter.current() {
                    Ok(e) => of_domain(name, ty, domain::of(e.as_ref(), keys, *key)),
                    Err(e) => Known::No(e.strip_backtrace()),
                }
            }
            What::Scalar { op, value } => of_scalar(name, ty, *op, value.as_ref()),
        }
    }
}

fn of_scalar(column: &str, ty: &DataType, op: CompareOp, value: &dyn PhysicalExpr) -> Known {
    // No columns in it: any batch will do. An error is the filter's to report.
    let evaluated = value
        .evaluate(&RecordBatch::new_empty(Arc::new(Schema::empty())))
        .and_then(|v| v.into_array(1))
        .and_then(|a| ScalarValue::try_from_array(&a, 0));
    match evaluated.map(|v| convert::literal(&v, ty)) {
        Ok(Some(Literal::Null)) => Known::Nothing,
        Ok(Some(value)) if is_one_of(&value, ty) => {
            let text = format!("{} {}", op.sql(), show(&value));
            Known::OneOf(vec![(Predicate::Compare { column: column.into(), op, value }, text)])
        }
        Ok(_) => Known::No("the value is not one of the column's type".into()),
        Err(_) => Known::No("the subquery has no value".into()),
    }
}

pub(crate) fn of_domain(column: &str, ty: &DataType, domain: Domain) -> Known {
    if domain.is_nothing() {
        return Known::Nothing;
    }
    let bound = |v: Option<ScalarValue>| {
        v.and_then(|v| convert::literal(&v, ty)).filter(|l| *l != Literal::Null && is_one_of(l, ty))
    };
    let (min, max) = (bound(domain.min), bound(domain.max));
    let mut all = Vec::new();
    let values = domain.values.and_then(|v| literals(&v, ty));
    if let Some(values) = values {
        match &values[..] {
            [] => return Known::Nothing,
            [one] => {
                let text = format!("= {}", show(one));
                let p = Predicate::Compare { column: column.into(), op: CompareOp::Eq, value: one.clone() };
                return Known::OneOf(vec![(p, text)]);
            }
            _ => {
                let bytes: usize = values.iter().map(size).sum();
                // Every integer of the range: the range says the same in fewer words.
                let dense = match (&min, &max) {
                    (Some(Literal::Int(a)), Some(Literal::Int(b))) => {
                        b.checked_sub(*a) == i64::try_from(values.len() - 1).ok()
                    }
                    _ => false,
                };
                if values.len() <= MAX_VALUES && bytes <= MAX_VALUES_BYTES && !dense {
                    let text = format!("{} values", values.len());
                    all.push((Predicate::In { column: column.into(), values, negated: false }, text));
                }
            }
        }
    }
    let compare = |op, value: &Literal| Predicate::Compare { column: column.into(), op, value: value.clone() };
    match (min, max) {
        (Some(a), Some(b)) => {
            let text = format!("{} to {}", show(&a), show(&b));
            all.push((Predicate::And(vec![compare(CompareOp::GtEq, &a), compare(CompareOp::LtEq, &b)]), text));
        }
        (Some(a), None) => all.push((compare(CompareOp::GtEq, &a), format!(">= {}", show(&a)))),
        (None, Some(b)) => all.push((compare(CompareOp::LtEq, &b), format!("<= {}", show(&b)))),
        (None, None) => {}
    }
    if all.is_empty() {
        Known::No("too many keys, and no order that both sides share".into())
    } else {
        Known::OneOf(all)
    }
}

/// The values as literals of the column's type. An integer that the type hasn't got equals none of the column's; any other
/// that doesn't convert might.
fn literals(values: &[ScalarValue], ty: &DataType) -> Option<Vec<Literal>> {
    let mut out = Vec::with_capacity(values.len());
    for v in values {
        match convert::literal(v, ty) {
            Some(l) if is_one_of(&l, ty) => out.push(l),
            Some(_) => {}
            None if ty.is_integer() && v.data_type().is_integer() => {}
            None => return None,
        }
    }
    Some(out)
}

/// Whether an integer is within its type.
fn is_one_of(l: &Literal, ty: &DataType) -> bool {
    let Literal::Int(i) = l else {
        return match (l, ty) {
            (Literal::UInt(u), DataType::UInt8) => u8::try_from(*u).is_ok(),
            (Literal::UInt(u), DataType::UInt16) => u16::try_from(*u).is_ok(),
            (Literal::UInt(u), DataType::UInt32) => u32::try_from(*u).is_ok(),
            _ => true,
        };
    };
    match ty {
        DataType::Int8 => i8::try_from(*i).is_ok(),
        DataType::Int16 => i16::try_from(*i).is_ok(),
        DataType::Int32 => i32::try_from(*i).is_ok(),
        _ => true,
    }
}

fn size(l: &Literal) -> usize {
    match l {
        Literal::Utf8(t) => t.len() + 2,
        Literal::Binary(b) => 2 * b.len() + 4,
        _ => 20,
    }
}

/// For people; long texts are cut.
fn show(l: &Literal) -> String {
    let mut text = match l {
        Literal::Utf8(t) => format!("'{t}'"),
        Literal::Binary(b) => format!("{} bytes", b.len()),
        Literal::Int(i) => i.to_string(),
        Literal::UInt(u) => u.to_string(),
        Literal::Float(f) => f.to_string(),
        Literal::Bool(b) => b.to_string(),
        Literal::Decimal { value, scale } => ScalarValue::Decimal128(Some(*value), 38, *scale).to_string(),
        Literal::Date(d) => ScalarValue::Date32(Some(*d)).to_string(),
        Literal::Time(t) => ScalarValue::Time64Microsecond(Some(*t)).to_string(),
        Literal::Timestamp { micros, .. } => ScalarValue::TimestampMicrosecond(Some(*micros), None).to_string(),
        Literal::Null => "NULL".into(),
    };
    if text.chars().count() > 40 {
        text = text.chars().take(39).chain(['…']).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;
    use datafusion::physical_expr::expressions::{BinaryExpr, Column, lit};

    fn join() -> (RuntimeSource, Arc<DynamicFilterPhysicalExpr>, PhysicalExprRef) {
        let key: PhysicalExprRef = Arc::new(Column::new("k", 3));
        let filter = Arc::new(DynamicFilterPhysicalExpr::new(vec![key.clone()], lit(true)));
        let what = What::Join { filter: filter.clone(), keys: vec![key.clone()], key: 0 };
        (RuntimeSource { column: 0, from: "keys".into(), what }, filter, key)
    }

    #[tokio::test]
    async fn a_filter_that_never_comes_is_done_without() {
        let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
        let (source, filter, key) = join();
        let soon = Instant::now() + Duration::from_millis(50);
        let Known::No(_) = source.known(&schema, soon).await else { panic!("known") };
        assert!(Instant::now() >= soon);

        let at_least = Arc::new(BinaryExpr::new(key, datafusion::logical_expr::Operator::GtEq, lit(5i64)));
        filter.update(at_least).unwrap_or_else(|e| panic!("{e}"));
        filter.mark_complete();
        let want = Predicate::Compare { column: "id".into(), op: CompareOp::GtEq, value: Literal::Int(5) };
        let known = source.known(&schema, Instant::now() + MAX_WAIT).await;
        assert_eq!(known, Known::OneOf(vec![(want, ">= 5".into())]));
    }
}
