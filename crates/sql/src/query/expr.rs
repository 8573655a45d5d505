//! Expressions. Every text made here stands for itself in any place: it is a name, a call, or in parentheses.

use super::bounds;
use super::render::{Key, Scope, Walker};
use super::rules::{Form, Refusal, TypeRules, Value};
use arrow::datatypes::DataType;
use xdb_core::{
    AggregateFunction, CompareOp, Literal, Predicate, QueryAggregate, QueryArithmetic, QueryColumn, QueryExpr,
};

/// What an expression is about.
#[derive(Clone, Copy)]
pub(super) enum Mode<'k, 'q> {
    /// Rows: no aggregates.
    Rows,
    /// Groups: aggregates, and what is grouped by.
    Groups(&'k [Key<'q>]),
}

fn truth<'q>(sql: String) -> Value<'q> {
    Value::computed(sql, DataType::Boolean)
}
fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

impl Walker<'_> {
    pub(super) fn rules(&self, v: &Value<'_>) -> TypeRules {
        self.dialect.rules(v)
    }

    pub(super) fn canonical<'q>(&self, v: &Value<'q>) -> Result<Value<'q>, Refusal> {
        if v.origin.is_none() {
            return Ok(v.clone());
        }
        Ok(Value::computed(self.rules(v).canonical.apply(&v.sql)?, v.ty.clone()).with_chars(v.chars))
    }

    pub(super) fn condition<'q>(
        &self,
        e: &'q QueryExpr,
        scope: &Scope<'q>,
        mode: Mode<'_, 'q>,
    ) -> Result<String, Refusal> {
        let v = self.expr(e, scope, mode)?;
        if v.ty != DataType::Boolean {
            return Err("a condition that is not a boolean".into());
        }
        self.rules(&v).truth.apply(&v.sql)
    }

    fn conditions<'q>(
        &self,
        es: &'q [QueryExpr],
        with: &str,
        empty: bool,
        scope: &Scope<'q>,
        mode: Mode<'_, 'q>,
    ) -> Result<Value<'q>, Refusal> {
        if es.is_empty() {
            return Ok(truth(self.dialect.literal(&Literal::Bool(empty), &DataType::Boolean)?));
        }
        let parts = es.iter().map(|e| self.condition(e, scope, mode)).collect::<Result<Vec<_>, _>>()?;
        Ok(truth(format!("({})", parts.join(with))))
    }

    pub(super) fn expr<'q>(
        &self,
        e: &'q QueryExpr,
        scope: &Scope<'q>,
        mode: Mode<'_, 'q>,
    ) -> Result<Value<'q>, Refusal> {
        if let Mode::Groups(keys) = mode
            && let Some(k) = keys.iter().find(|k| k.expr == e)
        {
            return Ok(k.value.clone());
        }
        match e {
            QueryExpr::Column(QueryColumn { source, name, field, .. }) => match mode {
                Mode::Rows => self.column(scope, source, name, field.data_type()),
                Mode::Groups(_) => Err(format!("`{source}`.`{name}` is not grouped by")),
            },
            QueryExpr::Literal { value, ty } => {
                let chars = match value {
                    Literal::Utf8(t) => u32::try_from(t.chars().count()).ok(),
                    Literal::Binary(b) => u32::try_from(b.len()).ok(),
                    _ => Some(0),
                };
                let sql = self.dialect.literal(value, ty)?;
                Ok(Value { sql, ty: ty.clone(), origin: None, literal: Some(value), chars })
            }
            QueryExpr::Compare { op, left, right } => self.compare(*op, left, right, scope, mode),
            QueryExpr::And(es) => self.conditions(es, " AND ", true, scope, mode),
            QueryExpr::Or(es) => self.conditions(es, " OR ", false, scope, mode),
            QueryExpr::Not(e) => Ok(truth(format!("(NOT {})", self.condition(e, scope, mode)?))),
            QueryExpr::IsNull { expr, negated } => {
                let v = self.expr(expr, scope, mode)?;
                if let Some(o) = &v.origin {
                    let p = Predicate::IsNull { column: o.name().into(), negated: *negated };
                    return Ok(truth(format!("({})", self.dialect.predicate(o, &v.sql, &p)?)));
                }
                Ok(truth(format!("({} IS {}NULL)", v.sql, not(*negated))))
            }
            QueryExpr::In { expr, list, negated } => self.among(expr, list, *negated, scope, mode),
            QueryExpr::Like { expr, pattern, negated } => {
                let v = self.expr(expr, scope, mode)?;
                self.like(&v, pattern, *negated)
            }
            QueryExpr::Arithmetic { op, left, right, ty } => {
                let (l, r) = (self.expr(left, scope, mode)?, self.expr(right, scope, mode)?);
                check_arithmetic(*op, e, &l.ty, &r.ty, ty)?;
                let (a, b) = (self.rules(&l).number.apply(&l.sql)?, self.rules(&r).number.apply(&r.sql)?);
                let sql = self.dialect.arithmetic(*op, (&a, &l.ty), (&b, &r.ty), ty)?;
                Ok(Value::computed(sql, ty.clone()))
            }
            QueryExpr::Cast { expr, ty } => {
                let v = self.expr(expr, scope, mode)?;
                if v.ty == *ty {
                    return Ok(v);
                }
                Ok(Value::computed(self.dialect.cast(&self.canonical(&v)?, ty)?, ty.clone()))
            }
            QueryExpr::Case { branches, otherwise, ty } => {
                let mut chars = Some(0);
                let mut value = |e| {
                    let v = self.expr(e, scope, mode)?;
                    if v.ty != *ty {
                        return Err("branches of CASE of different types".to_string());
                    }
                    chars = chars.zip(v.chars).map(|(a, b): (u32, u32)| a.max(b));
                    Ok(self.canonical(&v)?.sql)
                };
                let mut sql = String::from("CASE");
                for (c, v) in branches {
                    sql += &format!(" WHEN {} THEN {}", self.condition(c, scope, mode)?, value(v)?);
                }
                if let Some(o) = otherwise {
                    sql += &format!(" ELSE {}", value(o)?);
                }
                Ok(Value::computed(format!("({sql} END)"), ty.clone()).with_chars(chars))
            }
            QueryExpr::DatePart { part, expr, ty } => {
                let v = self.canonical(&self.expr(expr, scope, mode)?)?;
                if !matches!(v.ty, DataType::Date32 | DataType::Timestamp(_, None)) {
                    return Err("a calendar field of something else than a date or a timestamp without zone".into());
                }
                Ok(Value::computed(self.dialect.date_part(*part, &v, ty)?, ty.clone()))
            }
            QueryExpr::Substring { expr, start, length } => {
                let v = self.expr(expr, scope, mode)?;
                if *start == 0 || *length == Some(0) {
                    return Err("a substring that starts before the text, or is empty".into());
                }
                let text = self.rules(&v).text.apply(&v.sql)?;
                let chars = length.map_or(v.chars, |n| Some(v.chars.map_or(n, |c| c.min(n))));
                Ok(Value::computed(self.dialect.substring(&text, *start, *length)?, v.ty).with_chars(chars))
            }
            QueryExpr::Aggregate(a) => match mode {
                Mode::Groups(_) => self.aggregate(a, scope),
                Mode::Rows => Err("an aggregate outside of groups".into()),
            },
        }
    }

    /// Both in the form that `pick` gives: their own where they are of one class, else canonical.
    fn alike(&self, values: &[Value<'_>], pick: impl Fn(&TypeRules) -> Form) -> Result<Vec<String>, Refusal> {
        let rules: Vec<TypeRules> = values.iter().map(|v| self.rules(v)).collect();
        if rules.windows(2).all(|w| w[0].class == w[1].class) {
            return values.iter().zip(&rules).map(|(v, r)| pick(r).apply(&v.sql)).collect();
        }
        let one = |v: &Value<'_>| {
            let v = self.canonical(v)?;
            pick(&self.rules(&v)).apply(&v.sql)
        };
        values.iter().map(one).collect()
    }

    fn compare<'q>(
        &self,
        op: CompareOp,
        left: &'q QueryExpr,
        right: &'q QueryExpr,
        scope: &Scope<'q>,
        mode: Mode<'_, 'q>,
    ) -> Result<Value<'q>, Refusal> {
        if left.data_type() != right.data_type() {
            return Err("a comparison of different types".into());
        }
        let mut refused = None;
        for (column, constant, op) in [(left, right, op), (right, left, op.swap())] {
            let QueryExpr::Literal { value, .. } = constant else { continue };
            if *value == Literal::Null || matches!(column, QueryExpr::Literal { .. }) {
                continue;
            }
            let v = self.expr(column, scope, mode)?;
            let Some(o) = &v.origin else { continue };
            let p = Predicate::Compare { column: o.name().into(), op, value: value.clone() };
            match self.dialect.predicate(o, &v.sql, &p) {
                Ok(sql) => return Ok(truth(format!("({sql})"))),
                Err(why) => refused = Some(why),
            }
        }
        let general = || {
            let (l, r) = (self.expr(left, scope, mode)?, self.expr(right, scope, mode)?);
            let both = self.alike(&[l, r], |r| match op {
                CompareOp::Eq | CompareOp::NotEq => r.equality.clone(),
                _ => r.order.clone(),
            })?;
            Ok(truth(self.dialect.compare(op, &both[0], &both[1])))
        };
        general().map_err(|why: Refusal| refused.unwrap_or(why))
    }

    fn among<'q>(
        &self,
        expr: &'q QueryExpr,
        list: &'q [QueryExpr],
        negated: bool,
        scope: &Scope<'q>,
        mode: Mode<'_, 'q>,
    ) -> Result<Value<'q>, Refusal> {
        let v = self.expr(expr, scope, mode)?;
        if list.is_empty() || list.iter().any(|e| e.data_type() != v.ty) {
            return Err("IN over different types".into());
        }
        let constant = |e: &QueryExpr| match e {
            QueryExpr::Literal { value, .. } if *value != Literal::Null => Some(value.clone()),
            _ => None,
        };
        let mut refused = None;
        if let (Some(o), Some(values)) = (&v.origin, list.iter().map(constant).collect::<Option<Vec<_>>>()) {
            let p = Predicate::In { column: o.name().into(), values, negated };
            match self.dialect.predicate(o, &v.sql, &p) {
                Ok(sql) => return Ok(truth(format!("({sql})"))),
                Err(why) => refused = Some(why),
            }
        }
        let general = || {
            let mut all = vec![v.clone()];
            for e in list {
                all.push(self.expr(e, scope, mode)?);
            }
            let all = self.alike(&all, |r| r.equality.clone())?;
            Ok(truth(format!("({} {}IN ({}))", all[0], not(negated), all[1..].join(", "))))
        };
        general().map_err(|why: Refusal| refused.unwrap_or(why))
    }

    fn like<'q>(&self, v: &Value<'_>, pattern: &str, negated: bool) -> Result<Value<'q>, Refusal> {
        let escapes = pattern.bytes().rev().take_while(|b| *b == b'\\').count();
        if escapes % 2 == 1 {
            return Err("a LIKE pattern that ends in an escape".into());
        }
        if let (Some(o), Some(prefix)) = (&v.origin, pattern.strip_suffix('%'))
            && !prefix.is_empty()
            && !prefix.contains(['%', '_', '\\'])
        {
            let p = Predicate::StartsWith { column: o.name().into(), prefix: prefix.into(), negated };
            if let Ok(sql) = self.dialect.predicate(o, &v.sql, &p) {
                return Ok(truth(format!("({sql})")));
            }
        }
        let text = self.rules(v).text.apply(&v.sql)?;
        Ok(truth(format!("({})", self.dialect.like(&text, pattern, negated)?)))
    }

    fn aggregate<'q>(&self, a: &'q QueryAggregate, scope: &Scope<'q>) -> Result<Value<'q>, Refusal> {
        use AggregateFunction as F;
        let argument = a.argument.as_deref().map(|e| self.expr(e, scope, Mode::Rows)).transpose()?;
        let filter = a.filter.as_deref().map(|f| self.condition(f, scope, Mode::Rows)).transpose()?;
        let rules = argument.as_ref().map(|v| self.rules(v));
        let equal = || match (&argument, &rules) {
            (Some(v), Some(r)) => r.equality.apply(&v.sql),
            _ => Err("DISTINCT of all columns".into()),
        };
        let (name, value, form) = match (a.function, &argument, &rules) {
            (F::Count, None, _) if !a.distinct => ("count", None, Form::Same),
            (F::Count, Some(v), _) if !a.distinct => ("count", Some(v.sql.clone()), Form::Same),
            (F::Count, ..) => ("count", Some(equal()?), Form::Same),
            (F::Sum, Some(v), Some(r)) => {
                check_sum(&v.ty, &a.ty)?;
                if a.distinct {
                    equal()?;
                }
                ("sum", Some(r.number.apply(&v.sql)?), r.sum.clone())
            }
            (F::Min | F::Max, Some(v), Some(r)) => {
                if v.ty != a.ty {
                    return Err("an aggregate of another type than its argument".into());
                }
                (
                    if a.function == F::Min { "min" } else { "max" },
                    Some(r.extreme.apply(&v.sql)?),
                    r.extreme_result.clone(),
                )
            }
            _ => return Err("an aggregate without its argument".into()),
        };
        if a.function == F::Count && a.ty != DataType::Int64 {
            return Err("a count of another type than Int64".into());
        }
        let distinct = if a.distinct && !matches!(a.function, F::Min | F::Max) { "DISTINCT " } else { "" };
        let call = match filter {
            None => format!("{name}({distinct}{})", value.as_deref().unwrap_or("*")),
            Some(f) if self.dialect.syntax().filter_clause => {
                format!("{name}({distinct}{}) FILTER (WHERE {f})", value.as_deref().unwrap_or("*"))
            }
            Some(f) => format!("{name}({distinct}CASE WHEN {f} THEN {} END)", value.as_deref().unwrap_or("1")),
        };
        let chars = argument.filter(|_| matches!(a.function, F::Min | F::Max)).and_then(|v| v.chars);
        Ok(Value::computed(form.apply(&call)?, a.ty.clone()).with_chars(chars))
    }
}

/// The engine's own types for sums: wide enough for any number of rows, or an error.
fn check_sum(argument: &DataType, ty: &DataType) -> Result<(), Refusal> {
    use DataType as D;
    let right = match argument {
        D::Int8 | D::Int16 | D::Int32 | D::Int64 => D::Int64,
        D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => D::UInt64,
        D::Decimal128(p, s) => D::Decimal128((p + 10).min(38), *s),
        D::Decimal256(p, s) => D::Decimal256((p + 10).min(76), *s),
        D::Float16 | D::Float32 | D::Float64 => return Err("a sum of floats depends on the order of its rows".into()),
        _ => return Err("a sum of something else than numbers".into()),
    };
    if right == *ty { Ok(()) } else { Err("a sum of an unusual type".into()) }
}

fn check_arithmetic(
    op: QueryArithmetic,
    e: &QueryExpr,
    left: &DataType,
    right: &DataType,
    ty: &DataType,
) -> Result<(), Refusal> {
    use DataType as D;
    let scale = |t: &DataType| match t {
        D::Decimal128(_, s) | D::Decimal256(_, s) => Some(i32::from(*s)),
        _ => None,
    };
    if let (Some(l), Some(r), Some(s)) = (scale(left), scale(right), scale(ty)) {
        let exact = if op == QueryArithmetic::Multiply { l + r } else { l.max(r) };
        return if exact == s && l >= 0 && r >= 0 {
            Ok(())
        } else {
            Err("decimal arithmetic with another scale than the exact result's".into())
        };
    }
    if bounds::of_type(ty).is_some() && left == ty && right == ty {
        return match bounds::of(e) {
            Some(_) => Ok(()),
            None => Err("integer arithmetic that might overflow".into()),
        };
    }
    Err(match ty {
        D::Float16 | D::Float32 | D::Float64 => "float arithmetic",
        _ => "arithmetic of these types",
    }
    .into())
}
