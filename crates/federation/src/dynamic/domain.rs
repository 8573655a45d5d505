//! What the expression of a finished hash join's filter says about one of its keys.
//!
//! The expression's shapes are those of DataFusion 54's `SharedBuildAccumulator`: bounds AND membership, or a CASE with one
//! such branch a partition, or a constant. Anything else says nothing.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, InListExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprRef, ScalarFunctionExpr};
use std::collections::HashSet;
use std::sync::Arc;

/// The values that a key may have. Each part alone is a condition that holds; all absent: anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Domain {
    /// Each once, no NULL (which equals nothing). Empty: no row can pass.
    pub(crate) values: Option<Vec<ScalarValue>>,
    pub(crate) min: Option<ScalarValue>,
    pub(crate) max: Option<ScalarValue>,
}

impl Domain {
    fn nothing() -> Self {
        Self { values: Some(vec![]), min: None, max: None }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.values.as_ref().is_some_and(Vec::is_empty)
    }

    /// Both hold. Either's part will do where both have one.
    fn and(self, other: Self) -> Self {
        if self.is_nothing() || other.is_nothing() {
            return Self::nothing();
        }
        Self { values: self.values.or(other.values), min: self.min.or(other.min), max: self.max.or(other.max) }
    }

    /// One of the two holds.
    fn or(self, other: Self) -> Self {
        if self.is_nothing() {
            return other;
        }
        if other.is_nothing() {
            return self;
        }
        let values = match (self.values, other.values) {
            (Some(mut a), Some(b)) => {
                a.extend(b);
                Some(distinct(a))
            }
            _ => None,
        };
        let pick = |a: Option<ScalarValue>, b: Option<ScalarValue>, wanted| {
            let (a, b) = (a?, b?);
            // Not comparable: no bound.
            let order = a.partial_cmp(&b)?;
            Some(if order == wanted { a } else { b })
        };
        Self {
            values,
            min: pick(self.min, other.min, std::cmp::Ordering::Less),
            max: pick(self.max, other.max, std::cmp::Ordering::Greater),
        }
    }
}

/// Each once, no NULL.
pub(crate) fn distinct(values: Vec<ScalarValue>) -> Vec<ScalarValue> {
    let mut seen = HashSet::new();
    values.into_iter().filter(|v| !v.is_null() && seen.insert(v.clone())).collect()
}

/// What `expr` (a filter over rows with `keys`) says about `keys[key]`.
pub(crate) fn of(expr: &dyn PhysicalExpr, keys: &[PhysicalExprRef], key: usize) -> Domain {
    if let Some(l) = expr.downcast_ref::<Literal>() {
        return match l.value() {
            ScalarValue::Boolean(Some(true)) => Domain::default(),
            ScalarValue::Boolean(_) => Domain::nothing(),
            _ => Domain::default(),
        };
    }
    if let Some(b) = expr.downcast_ref::<BinaryExpr>() {
        return match b.op() {
            Operator::And => of(b.left().as_ref(), keys, key).and(of(b.right().as_ref(), keys, key)),
            Operator::GtEq | Operator::LtEq if is_key(b.left(), keys, key) => bound(b),
            _ => Domain::default(),
        };
    }
    if let Some(l) = expr.downcast_ref::<InListExpr>() {
        return if l.negated() { Domain::default() } else { members(l, keys, key) };
    }
    if let Some(c) = expr.downcast_ref::<CaseExpr>() {
        // Every row takes one of the branches.
        let Some(otherwise) = c.else_expr() else { return Domain::default() };
        let start = of(otherwise.as_ref(), keys, key);
        return c.when_then_expr().iter().fold(start, |d, (_, then)| d.or(of(then.as_ref(), keys, key)));
    }
    Domain::default()
}

fn is_key(expr: &Arc<dyn PhysicalExpr>, keys: &[PhysicalExprRef], key: usize) -> bool {
    keys.get(key).is_some_and(|k| k.as_ref() == expr.as_ref())
}

fn bound(b: &BinaryExpr) -> Domain {
    let value = b.right().downcast_ref::<Literal>().map(|l| l.value().clone()).filter(|v| !v.is_null());
    match b.op() {
        Operator::GtEq => Domain { min: value, ..Domain::default() },
        _ => Domain { max: value, ..Domain::default() },
    }
}

/// `key IN (…)`, or `struct(keys) IN (…)` for several keys.
fn members(l: &InListExpr, keys: &[PhysicalExprRef], key: usize) -> Domain {
    let part = if is_key(l.expr(), keys, key) {
        None
    } else {
        let Some(f) = l.expr().downcast_ref::<ScalarFunctionExpr>() else { return Domain::default() };
        if f.name() != "struct" || f.args().len() != keys.len() {
            return Domain::default();
        }
        match f.args().iter().position(|a| is_key(a, keys, key)) {
            Some(i) => Some(i),
            None => return Domain::default(),
        }
    };
    let value = |e: &Arc<dyn PhysicalExpr>| {
        let v = e.downcast_ref::<Literal>()?.value();
        match (part, v) {
            (None, v) => Some(v.clone()),
            (Some(i), ScalarValue::Struct(s)) => ScalarValue::try_from_array(s.columns().get(i)?, 0).ok(),
            _ => None,
        }
    };
    match l.list().iter().map(value).collect::<Option<Vec<_>>>() {
        Some(all) => Domain { values: Some(distinct(all)), ..Domain::default() },
        None => Domain::default(),
    }
}
