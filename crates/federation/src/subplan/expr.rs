//! DataFusion expression -> [`QueryExpr`], only where both mean the same; whether a server means the same is the
//! connector's answer, not asked here.

use crate::convert;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::expr::{self, InList, Like};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use xdb_core::{AggregateFunction, CompareOp, Literal, QueryAggregate, QueryArithmetic, QueryDatePart, QueryExpr};

/// Why something could not be converted, in few words for `explain`.
pub(super) type Refusal = String;

/// The type that a source is asked for. DataFusion's text functions return views of text, which no source knows apart.
pub(super) fn plain(ty: &DataType) -> DataType {
    match ty {
        DataType::Utf8View => DataType::Utf8,
        ty => ty.clone(),
    }
}

/// What column names mean: for each field of `schema`, its expression over the query's sources.
pub(super) struct Scope<'a> {
    pub(super) schema: &'a DFSchema,
    pub(super) columns: &'a [QueryExpr],
}

impl Scope<'_> {
    fn column(&self, c: &Column) -> Result<QueryExpr, Refusal> {
        let at = self.schema.maybe_index_of_column(c).ok_or_else(|| format!("{c} is not a column here"))?;
        self.columns.get(at).cloned().ok_or_else(|| format!("{c} is not a column here"))
    }

    fn boxed(&self, e: &Expr) -> Result<Box<QueryExpr>, Refusal> {
        Ok(Box::new(self.convert(e)?))
    }

    fn ty(&self, e: &Expr) -> Result<DataType, Refusal> {
        e.get_type(self.schema).map(|t| plain(&t)).map_err(|_| format!("the type of {e} is not known"))
    }

    /// Each conjunct of `e` by itself.
    pub(super) fn conjuncts<'e>(&self, e: &'e Expr) -> Vec<(&'e Expr, Result<QueryExpr, Refusal>)> {
        split_conjunction(e).into_iter().map(|c| (c, self.convert(c))).collect()
    }

    pub(super) fn convert(&self, e: &Expr) -> Result<QueryExpr, Refusal> {
        Ok(match e {
            Expr::Alias(a) => self.convert(&a.expr)?,
            Expr::Column(c) => self.column(c)?,
            Expr::Literal(v, _) => literal(v)?,
            Expr::BinaryExpr(b) => self.binary(b, e)?,
            Expr::Not(inner) => QueryExpr::Not(self.boxed(inner)?),
            Expr::IsNull(inner) => QueryExpr::IsNull { expr: self.boxed(inner)?, negated: false },
            Expr::IsNotNull(inner) => QueryExpr::IsNull { expr: self.boxed(inner)?, negated: true },
            Expr::Between(b) => {
                let value = self.convert(&b.expr)?;
                let low = compare(CompareOp::GtEq, value.clone(), self.convert(&b.low)?)?;
                let high = compare(CompareOp::LtEq, value, self.convert(&b.high)?)?;
                let both = QueryExpr::And(vec![low, high]);
                if b.negated { QueryExpr::Not(Box::new(both)) } else { both }
            }
            Expr::InList(InList { expr, list, negated }) => {
                let value = self.convert(expr)?;
                let list = list.iter().map(|v| self.convert(v)).collect::<Result<Vec<_>, _>>()?;
                let ty = value.data_type();
                if list.is_empty() || list.iter().any(|v| v.data_type() != ty) {
                    return Err(format!("{e}: values of other types than the column's"));
                }
                QueryExpr::In { expr: Box::new(value), list, negated: *negated }
            }
            Expr::Like(Like { negated, expr, pattern, escape_char: None | Some('\\'), case_insensitive: false }) => {
                let Expr::Literal(v, _) = pattern.as_ref() else {
                    return Err(format!("{e}: the pattern is not a constant"));
                };
                let Literal::Utf8(pattern) = constant(v)? else {
                    return Err(format!("{e}: the pattern is not a text"));
                };
                let value = self.convert(expr)?;
                if !is_text(&value.data_type()) {
                    return Err(format!("{e}: LIKE on something that is not text"));
                }
                QueryExpr::Like { expr: Box::new(value), pattern, negated: *negated }
            }
            Expr::Case(c) => self.case(c, e)?,
            Expr::Cast(c) => {
                let inner = self.convert(&c.expr)?;
                let ty = plain(c.field.data_type());
                if inner.data_type() == ty { inner } else { QueryExpr::Cast { expr: Box::new(inner), ty } }
            }
            Expr::ScalarFunction(f) => self.function(f, e)?,
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => {
                return Err("a subquery in an expression runs locally".into());
            }
            _ => return Err(format!("{e}: no source is sent this kind of expression")),
        })
    }

    fn binary(&self, b: &BinaryExpr, whole: &Expr) -> Result<QueryExpr, Refusal> {
        let (left, right) = (&b.left, &b.right);
        match b.op {
            Operator::And | Operator::Or => {
                let mut parts = Vec::new();
                self.chain(left, b.op, &mut parts)?;
                self.chain(right, b.op, &mut parts)?;
                if parts.iter().any(|p| p.data_type() != DataType::Boolean) {
                    return Err(format!("{whole}: not a truth value"));
                }
                return Ok(if b.op == Operator::And { QueryExpr::And(parts) } else { QueryExpr::Or(parts) });
            }
            Operator::Plus | Operator::Minus | Operator::Multiply => {
                let op = match b.op {
                    Operator::Plus => QueryArithmetic::Add,
                    Operator::Minus => QueryArithmetic::Subtract,
                    _ => QueryArithmetic::Multiply,
                };
                let (l, r, ty) = (self.convert(left)?, self.convert(right)?, self.ty(whole)?);
                if ![&l.data_type(), &r.data_type(), &ty].into_iter().all(DataType::is_numeric) {
                    return Err(format!("{whole}: arithmetic on something that is not a number"));
                }
                return Ok(QueryExpr::Arithmetic { op, left: Box::new(l), right: Box::new(r), ty });
            }
            _ => {}
        }
        match convert::compare_op(b.op) {
            Some(op) => compare(op, self.convert(left)?, self.convert(right)?).map_err(|e| format!("{whole}: {e}")),
            None => Err(format!("{whole}: no source is sent `{}`", b.op)),
        }
    }

    /// `a AND (b AND c)` as one list.
    fn chain(&self, e: &Expr, op: Operator, out: &mut Vec<QueryExpr>) -> Result<(), Refusal> {
        match e {
            Expr::BinaryExpr(b) if b.op == op => {
                self.chain(&b.left, op, out)?;
                self.chain(&b.right, op, out)
            }
            other => {
                out.push(self.convert(other)?);
                Ok(())
            }
        }
    }

    fn case(&self, c: &expr::Case, whole: &Expr) -> Result<QueryExpr, Refusal> {
        let ty = self.ty(whole)?;
        let base = c.expr.as_ref().map(|e| self.convert(e)).transpose()?;
        let value = |e: &Expr| -> Result<QueryExpr, Refusal> {
            let v = match e {
                // An untyped NULL takes the type of the whole.
                Expr::Literal(v, _) if v.is_null() => QueryExpr::Literal { value: Literal::Null, ty: ty.clone() },
                e => self.convert(e)?,
            };
            if v.data_type() == ty { Ok(v) } else { Err(format!("{whole}: branches of different types")) }
        };
        let mut branches = Vec::new();
        for (when, then) in &c.when_then_expr {
            let when = self.convert(when)?;
            let condition = match &base {
                Some(b) => compare(CompareOp::Eq, b.clone(), when)?,
                None if when.data_type() == DataType::Boolean => when,
                None => return Err(format!("{whole}: not a truth value")),
            };
            branches.push((condition, value(then)?));
        }
        let otherwise = c.else_expr.as_ref().map(|e| value(e).map(Box::new)).transpose()?;
        Ok(QueryExpr::Case { branches, otherwise, ty })
    }

    fn function(&self, f: &expr::ScalarFunction, whole: &Expr) -> Result<QueryExpr, Refusal> {
        let no = || format!("{whole}: no source is sent this function");
        match (f.name(), f.args.as_slice()) {
            ("date_part", [Expr::Literal(part, _), from]) => {
                let part = match part.try_as_str().flatten().map(str::to_ascii_lowercase).as_deref() {
                    Some("year") => QueryDatePart::Year,
                    Some("month") => QueryDatePart::Month,
                    Some("day") => QueryDatePart::Day,
                    _ => return Err(no()),
                };
                let from = self.convert(from)?;
                if !matches!(from.data_type(), DataType::Date32 | DataType::Timestamp(_, None)) {
                    return Err(no());
                }
                Ok(QueryExpr::DatePart { part, expr: Box::new(from), ty: self.ty(whole)? })
            }
            ("substr" | "substring", [text, start, rest @ ..]) if rest.len() < 2 => {
                let text = self.convert(text)?;
                if !is_text(&text.data_type()) || self.ty(whole)? != text.data_type() {
                    return Err(no());
                }
                let position = |e: &Expr| match e {
                    Expr::Literal(v, _) => match constant(v) {
                        Ok(Literal::Int(n)) if n > 0 => u32::try_from(n).map_err(|_| no()),
                        _ => Err(no()),
                    },
                    _ => Err(no()),
                };
                let length = rest.first().map(position).transpose()?;
                Ok(QueryExpr::Substring { expr: Box::new(text), start: position(start)?, length })
            }
            ("coalesce", [all @ .., last]) if !all.is_empty() => {
                let ty = self.ty(whole)?;
                let mut branches = Vec::new();
                for a in all {
                    let v = self.convert(a)?;
                    branches.push((QueryExpr::IsNull { expr: Box::new(v.clone()), negated: true }, v));
                }
                let last = self.convert(last)?;
                if last.data_type() != ty || branches.iter().any(|(_, v)| v.data_type() != ty) {
                    return Err(no());
                }
                Ok(QueryExpr::Case { branches, otherwise: Some(Box::new(last)), ty })
            }
            _ => Err(no()),
        }
    }

    /// An aggregate call of an `Aggregate` node.
    pub(super) fn aggregate(&self, e: &Expr) -> Result<QueryExpr, Refusal> {
        let call = match e {
            Expr::Alias(a) => return self.aggregate(&a.expr),
            Expr::AggregateFunction(call) => call,
            _ => return Err(format!("{e}: not an aggregate")),
        };
        let p = &call.params;
        let function = match call.func.name() {
            "count" => AggregateFunction::Count,
            "sum" => AggregateFunction::Sum,
            "min" => AggregateFunction::Min,
            "max" => AggregateFunction::Max,
            _ => return Err(format!("{e}: no source is sent this aggregate")),
        };
        let [argument] = p.args.as_slice() else { return Err(format!("{e}: not one argument")) };
        if !p.order_by.is_empty() || p.null_treatment.is_some() {
            return Err(format!("{e}: an order or NULL treatment within an aggregate"));
        }
        let argument = match argument {
            // `count(*)` arrives as `count(1)`.
            Expr::Literal(v, _) if function == AggregateFunction::Count && !v.is_null() && !p.distinct => None,
            a => Some(self.boxed(a)?),
        };
        let ty = self.ty(e)?;
        if function == AggregateFunction::Sum && ty.is_floating() {
            return Err(format!("{e}: a sum of floats depends on their order"));
        }
        let filter = p.filter.as_ref().map(|f| self.boxed(f)).transpose()?;
        let distinct = p.distinct && matches!(function, AggregateFunction::Count | AggregateFunction::Sum);
        Ok(QueryExpr::Aggregate(QueryAggregate { function, argument, distinct, filter, ty }))
    }
}

pub(super) fn compare(op: CompareOp, left: QueryExpr, right: QueryExpr) -> Result<QueryExpr, Refusal> {
    if left.data_type() != right.data_type() {
        return Err("sides of different types".into());
    }
    Ok(QueryExpr::Compare { op, left: Box::new(left), right: Box::new(right) })
}

fn is_text(ty: &DataType) -> bool {
    matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn constant(v: &ScalarValue) -> Result<Literal, Refusal> {
    convert::literal(v, &v.data_type()).ok_or_else(|| format!("no source is sent a constant of type {}", v.data_type()))
}

fn literal(v: &ScalarValue) -> Result<QueryExpr, Refusal> {
    let ty = plain(&v.data_type());
    if ty == DataType::Null {
        return Err("a NULL without a type".into());
    }
    Ok(QueryExpr::Literal { value: constant(v)?, ty })
}
