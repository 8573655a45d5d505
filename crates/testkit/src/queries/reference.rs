//! What a query means: Arrow's own kernels over whole tables, with joins as loops. Slow, and nothing else.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Decimal256Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, UInt32Array, UInt64Array, new_null_array,
};
use arrow::compute::kernels::{cmp, numeric};
use arrow::compute::{self, CastOptions, DatePart, SortColumn, SortOptions};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Decimal256Type, Int64Type, UInt64Type, i256};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use std::collections::HashMap;
use std::sync::Arc;
use xdb_core::{
    AggregateFunction, CompareOp, Literal, Query, QueryAggregate, QueryArithmetic, QueryDatePart, QueryExpr, QueryJoin,
    QuerySource, Relation,
};

pub(super) type Tables = HashMap<Relation, RecordBatch>;
type Result<T> = std::result::Result<T, ArrowError>;

/// Rows with columns named by source.
#[derive(Clone)]
struct Frame {
    names: Vec<(String, String)>,
    columns: Vec<ArrayRef>,
    rows: usize,
}

/// What an expression is evaluated over.
struct Context<'a> {
    frame: &'a Frame,
    /// Keys' expressions and values, and each group's rows.
    groups: Option<(&'a [QueryExpr], Vec<ArrayRef>, Vec<Frame>)>,
}
impl Context<'_> {
    fn rows(&self) -> usize {
        self.groups.as_ref().map_or(self.frame.rows, |g| g.2.len())
    }
}

fn no<T>(why: impl Into<String>) -> Result<T> {
    Err(ArrowError::NotYetImplemented(why.into()))
}

impl Frame {
    fn take(&self, indices: &UInt32Array) -> Result<Self> {
        let columns = self.columns.iter().map(|c| compute::take(c, indices, None)).collect::<Result<_>>()?;
        Ok(Self { names: self.names.clone(), columns, rows: indices.len() })
    }
    fn keep(&self, mask: &BooleanArray) -> Result<Self> {
        let indices: UInt32Array =
            (0..self.rows as u32).filter(|i| mask.is_valid(*i as usize) && mask.value(*i as usize)).collect();
        self.take(&indices)
    }
    fn beside(mut self, other: Self) -> Self {
        self.names.extend(other.names);
        self.columns.extend(other.columns);
        self
    }
}

pub(super) fn run(q: &Query, tables: &Tables) -> Result<RecordBatch> {
    let mut frame = source(&q.from, tables)?;
    let context = Context { frame: &frame, groups: None };
    let mask = all(&q.filter, &context)?;
    frame = frame.keep(&mask)?;
    let mut context = Context { frame: &frame, groups: None };
    if let Some(keys) = &q.groups {
        let values = keys.iter().map(|k| eval(k, &context)).collect::<Result<Vec<_>>>()?;
        let mut order: Vec<Vec<u32>> = Vec::new();
        if keys.is_empty() {
            order.push((0..frame.rows as u32).collect());
        } else {
            let fields = values.iter().map(|v| SortField::new(v.data_type().clone())).collect();
            let rows = RowConverter::new(fields)?.convert_columns(&values)?;
            let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
            for i in 0..frame.rows {
                let at = *seen.entry(rows.row(i).as_ref().to_vec()).or_insert_with(|| {
                    order.push(vec![]);
                    order.len() - 1
                });
                order[at].push(i as u32);
            }
        }
        let first: UInt32Array = order.iter().filter_map(|g| g.first().copied()).collect();
        let values = values.iter().map(|v| compute::take(v, &first, None)).collect::<Result<Vec<_>>>()?;
        let groups = order.into_iter().map(|g| frame.take(&UInt32Array::from(g))).collect::<Result<Vec<_>>>()?;
        context.groups = Some((keys, values, groups));
    }
    let mut columns = q.items.iter().map(|i| eval(&i.expr, &context)).collect::<Result<Vec<_>>>()?;
    let having = all(&q.having, &context)?;
    let mut keep: UInt32Array =
        (0..context.rows() as u32).filter(|i| having.is_valid(*i as usize) && having.value(*i as usize)).collect();
    if let Some(limit) = q.limit {
        if !q.order.is_empty() {
            let key = |o: &xdb_core::QueryOrder| {
                let values = compute::take(&eval(&o.expr, &context)?, &keep, None)?;
                let options = SortOptions { descending: o.descending, nulls_first: o.nulls_first };
                Ok(SortColumn { values, options: Some(options) })
            };
            let keys = q.order.iter().map(key).collect::<Result<Vec<_>>>()?;
            let order = compute::lexsort_to_indices(&keys, None)?;
            keep = compute::take(&keep, &order, None)?.as_primitive().clone();
        }
        keep = keep.slice(0, keep.len().min(limit as usize));
    }
    for c in &mut columns {
        *c = compute::take(c, &keep, None)?;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(keep.len()));
    RecordBatch::try_new_with_options(q.schema(), columns, &options)
}

fn source(s: &QuerySource, tables: &Tables) -> Result<Frame> {
    let frame = |alias: &str, b: RecordBatch| Frame {
        names: b.schema().fields().iter().map(|f| (alias.to_string(), f.name().clone())).collect(),
        columns: b.columns().to_vec(),
        rows: b.num_rows(),
    };
    match s {
        QuerySource::Table { table, alias } => match tables.get(&table.relation) {
            Some(b) => Ok(frame(alias, b.clone())),
            None => no("an unknown table"),
        },
        QuerySource::Query { query, alias } => Ok(frame(alias, run(query, tables)?)),
        QuerySource::Union { inputs, alias } => {
            let all = inputs.iter().map(|q| run(q, tables)).collect::<Result<Vec<_>>>()?;
            Ok(frame(alias, compute::concat_batches(&inputs[0].schema(), &all)?))
        }
        QuerySource::Join { left, right, kind, on } => {
            let (l, r) = (source(left, tables)?, source(right, tables)?);
            let pairs = (0..l.rows as u32).flat_map(|i| (0..r.rows as u32).map(move |j| (i, j)));
            let (li, ri): (Vec<u32>, Vec<u32>) = pairs.unzip();
            let both = l.take(&li.clone().into())?.beside(r.take(&ri.clone().into())?);
            let mask = all(on, &Context { frame: &both, groups: None })?;
            let hit = |i: usize| mask.is_valid(i) && mask.value(i);
            let hits: Vec<(Option<u32>, Option<u32>)> =
                (0..both.rows).filter(|i| hit(*i)).map(|i| (Some(li[i]), Some(ri[i]))).collect();
            let has_left = |i: u32| hits.iter().any(|h| h.0 == Some(i));
            let has_right = |j: u32| hits.iter().any(|h| h.1 == Some(j));
            let mut out = hits.clone();
            match kind {
                QueryJoin::Semi | QueryJoin::Anti => {
                    let keep: UInt32Array =
                        (0..l.rows as u32).filter(|i| has_left(*i) == (*kind == QueryJoin::Semi)).collect();
                    return l.take(&keep);
                }
                QueryJoin::Inner => {}
                QueryJoin::Left | QueryJoin::Full => {
                    out.extend((0..l.rows as u32).filter(|i| !has_left(*i)).map(|i| (Some(i), None)));
                    if *kind == QueryJoin::Full {
                        out.extend((0..r.rows as u32).filter(|j| !has_right(*j)).map(|j| (None, Some(j))));
                    }
                }
            }
            let (li, ri): (Vec<Option<u32>>, Vec<Option<u32>>) = out.into_iter().unzip();
            Ok(l.take(&li.into())?.beside(r.take(&ri.into())?))
        }
    }
}

fn all(es: &[QueryExpr], c: &Context<'_>) -> Result<BooleanArray> {
    let mut out = BooleanArray::from(vec![true; c.rows()]);
    for e in es {
        out = compute::and_kleene(&out, eval(e, c)?.as_boolean())?;
    }
    Ok(out)
}

fn strict() -> CastOptions<'static> {
    CastOptions { safe: false, ..Default::default() }
}

/// A constant, `n` times.
fn constant(l: &Literal, ty: &DataType, n: usize) -> Result<ArrayRef> {
    use arrow::array::{BinaryArray, Date32Array, Float64Array, Time64MicrosecondArray, TimestampMicrosecondArray};
    let one: ArrayRef = match l {
        Literal::Null => return Ok(new_null_array(ty, n)),
        Literal::Bool(b) => Arc::new(BooleanArray::from(vec![*b])),
        Literal::Int(i) => Arc::new(Int64Array::from(vec![*i])),
        Literal::UInt(u) => Arc::new(UInt64Array::from(vec![*u])),
        Literal::Float(f) => Arc::new(Float64Array::from(vec![*f])),
        Literal::Decimal { value, scale } => {
            Arc::new(Decimal128Array::from(vec![*value]).with_precision_and_scale(38, *scale)?)
        }
        Literal::Utf8(s) => Arc::new(StringArray::from(vec![s.as_str()])),
        Literal::Binary(b) => Arc::new(BinaryArray::from(vec![b.as_slice()])),
        Literal::Date(d) => Arc::new(Date32Array::from(vec![*d])),
        Literal::Time(t) => Arc::new(Time64MicrosecondArray::from(vec![*t])),
        Literal::Timestamp { micros, utc } => {
            let a = TimestampMicrosecondArray::from(vec![*micros]);
            Arc::new(if *utc { a.with_timezone("UTC") } else { a })
        }
    };
    let one = compute::cast_with_options(&one, ty, &strict())?;
    compute::take(&one, &UInt32Array::from(vec![0; n]), None)
}

fn eval(e: &QueryExpr, c: &Context<'_>) -> Result<ArrayRef> {
    if let Some((keys, values, _)) = &c.groups
        && let Some(i) = keys.iter().position(|k| k == e)
    {
        return Ok(values[i].clone());
    }
    let negate = |m: BooleanArray, n: bool| if n { compute::not(&m) } else { Ok(m) };
    Ok(match e {
        QueryExpr::Column(q) => {
            let at = c.frame.names.iter().position(|(s, n)| *s == q.source && *n == q.name);
            match at {
                Some(i) if c.groups.is_none() => c.frame.columns[i].clone(),
                _ => return no(format!("column {}.{}", q.source, q.name)),
            }
        }
        QueryExpr::Literal { value, ty } => constant(value, ty, c.rows())?,
        QueryExpr::Compare { op, left, right } => Arc::new(compare(*op, &eval(left, c)?, &eval(right, c)?)?),
        QueryExpr::And(es) => Arc::new(all(es, c)?),
        QueryExpr::Or(es) => {
            let mut out = BooleanArray::from(vec![false; c.rows()]);
            for e in es {
                out = compute::or_kleene(&out, eval(e, c)?.as_boolean())?;
            }
            Arc::new(out)
        }
        QueryExpr::Not(e) => Arc::new(compute::not(eval(e, c)?.as_boolean())?),
        QueryExpr::IsNull { expr, negated } => Arc::new(negate(compute::is_null(&eval(expr, c)?)?, *negated)?),
        QueryExpr::In { expr, list, negated } => {
            let x = eval(expr, c)?;
            let mut out = BooleanArray::from(vec![false; c.rows()]);
            for l in list {
                out = compute::or_kleene(&out, &compare(CompareOp::Eq, &x, &eval(l, c)?)?)?;
            }
            Arc::new(negate(out, *negated)?)
        }
        QueryExpr::Like { expr, pattern, negated } => {
            let pattern = arrow::array::Scalar::new(StringArray::from(vec![pattern.as_str()]));
            Arc::new(negate(compute::kernels::comparison::like(&eval(expr, c)?, &pattern)?, *negated)?)
        }
        QueryExpr::Arithmetic { op, left, right, ty } => {
            let (l, r) = (eval(left, c)?, eval(right, c)?);
            let out = match op {
                QueryArithmetic::Add => numeric::add(&l, &r)?,
                QueryArithmetic::Subtract => numeric::sub(&l, &r)?,
                QueryArithmetic::Multiply => numeric::mul(&l, &r)?,
            };
            compute::cast_with_options(&out, ty, &strict())?
        }
        QueryExpr::Cast { expr, ty } => {
            let x = eval(expr, c)?;
            if let (DataType::Date32, DataType::Timestamp(..)) = (x.data_type(), ty) {
                // The kernel doesn't check.
                let micros = |d: i32| i64::from(d).checked_mul(86_400_000_000);
                if x.as_primitive::<Date32Type>().iter().flatten().any(|d| micros(d).is_none()) {
                    return Err(ArrowError::ArithmeticOverflow("a date as a timestamp".into()));
                }
            }
            compute::cast_with_options(&x, ty, &strict())?
        }
        QueryExpr::Case { branches, otherwise, ty } => {
            let mut out = match otherwise {
                Some(e) => eval(e, c)?,
                None => new_null_array(ty, c.rows()),
            };
            for (when, then) in branches.iter().rev() {
                let when = eval(when, c)?;
                let when: BooleanArray = when.as_boolean().iter().map(|b| Some(b == Some(true))).collect();
                out = compute::kernels::zip::zip(&when, &eval(then, c)?, &out)?;
            }
            out
        }
        QueryExpr::DatePart { part, expr, ty } => {
            let part = match part {
                QueryDatePart::Year => DatePart::Year,
                QueryDatePart::Month => DatePart::Month,
                QueryDatePart::Day => DatePart::Day,
            };
            compute::cast(&compute::date_part(&eval(expr, c)?, part)?, ty)?
        }
        QueryExpr::Substring { expr, start, length } => {
            let texts = eval(expr, c)?;
            let length = length.map_or(usize::MAX, |n| n as usize);
            let cut = |t: Option<&str>| t.map(|t| t.chars().skip(*start as usize - 1).take(length).collect::<String>());
            Arc::new(texts.as_string::<i32>().iter().map(cut).collect::<StringArray>())
        }
        QueryExpr::Aggregate(a) => {
            let Some((_, _, groups)) = &c.groups else { return no("an aggregate over rows") };
            let each = groups.iter().map(|g| aggregate(a, g)).collect::<Result<Vec<_>>>()?;
            if each.is_empty() {
                return Ok(new_null_array(&a.ty, 0));
            }
            compute::concat(&each.iter().map(|a| a.as_ref()).collect::<Vec<_>>())?
        }
    })
}

fn compare(op: CompareOp, l: &ArrayRef, r: &ArrayRef) -> Result<BooleanArray> {
    match op {
        CompareOp::Eq => cmp::eq(l, r),
        CompareOp::NotEq => cmp::neq(l, r),
        CompareOp::Lt => cmp::lt(l, r),
        CompareOp::LtEq => cmp::lt_eq(l, r),
        CompareOp::Gt => cmp::gt(l, r),
        CompareOp::GtEq => cmp::gt_eq(l, r),
    }
}

/// One value.
fn aggregate(a: &QueryAggregate, group: &Frame) -> Result<ArrayRef> {
    let mut rows = group.clone();
    if let Some(f) = &a.filter {
        let mask = eval(f, &Context { frame: group, groups: None })?;
        rows = group.keep(mask.as_boolean())?;
    }
    let Some(e) = &a.argument else { return Ok(Arc::new(Int64Array::from(vec![rows.rows as i64]))) };
    let x = eval(e, &Context { frame: &rows, groups: None })?;
    let x = compute::filter(&x, &compute::is_not_null(&x)?)?;
    let sorted = || {
        let rows = RowConverter::new(vec![SortField::new(x.data_type().clone())])?
            .convert_columns(std::slice::from_ref(&x))?;
        let mut order: Vec<u32> = (0..x.len() as u32).collect();
        order.sort_by(|i, j| rows.row(*i as usize).cmp(&rows.row(*j as usize)));
        if a.distinct {
            order.dedup_by(|i, j| rows.row(*i as usize) == rows.row(*j as usize));
        }
        compute::take(&x, &UInt32Array::from(order), None)
    };
    let x =
        if a.distinct || matches!(a.function, AggregateFunction::Min | AggregateFunction::Max) { sorted()? } else { x };
    Ok(match a.function {
        AggregateFunction::Count => Arc::new(Int64Array::from(vec![x.len() as i64])),
        _ if x.is_empty() => new_null_array(&a.ty, 1),
        AggregateFunction::Min => x.slice(0, 1),
        AggregateFunction::Max => x.slice(x.len() - 1, 1),
        AggregateFunction::Sum => sum(&x, &a.ty)?,
    })
}

fn sum(x: &ArrayRef, ty: &DataType) -> Result<ArrayRef> {
    let overflow = || ArrowError::ArithmeticOverflow("sum".into());
    Ok(match ty {
        DataType::Int64 => {
            let x = compute::cast(x, ty)?;
            let total: i128 = x.as_primitive::<Int64Type>().iter().flatten().map(i128::from).sum();
            Arc::new(Int64Array::from(vec![i64::try_from(total).map_err(|_| overflow())?]))
        }
        DataType::UInt64 => {
            let x = compute::cast(x, ty)?;
            let total: u128 = x.as_primitive::<UInt64Type>().iter().flatten().map(u128::from).sum();
            Arc::new(UInt64Array::from(vec![u64::try_from(total).map_err(|_| overflow())?]))
        }
        DataType::Decimal128(p, s) => {
            let mut total = 0i128;
            for v in x.as_primitive::<Decimal128Type>().iter().flatten() {
                total = total.checked_add(v).ok_or_else(overflow)?;
            }
            let out = Decimal128Array::from(vec![total]).with_precision_and_scale(*p, *s)?;
            out.validate_decimal_precision(*p)?;
            Arc::new(out)
        }
        DataType::Decimal256(p, s) => {
            let mut total = i256::ZERO;
            for v in x.as_primitive::<Decimal256Type>().iter().flatten() {
                total = total.checked_add(v).ok_or_else(overflow)?;
            }
            Arc::new(Decimal256Array::from(vec![total]).with_precision_and_scale(*p, *s)?)
        }
        t => return no(format!("a sum as {t}")),
    })
}
