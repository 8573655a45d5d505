//! Aggregates of which a source can do a part: the sums and counts of an average; groups by a join's key, before the join.

use super::finish;
use super::graph::{is_free_join, plain_column, relations, resolved};
use super::tree::{Builder, Node};
use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, NullEquality, ScalarValue};
use datafusion::error::Result as DfResult;
use datafusion::functions_aggregate::{count::count_udaf, min_max::max_udaf, min_max::min_udaf, sum::sum_udaf};
use datafusion::logical_expr::expr::{AggregateFunction, Cast};
use datafusion::logical_expr::{Aggregate, AggregateUDF, Expr, ExprSchemable, Join, JoinType, LogicalPlan, Projection};
use std::sync::Arc;

/// Another way to write an operator.
#[derive(Clone, Debug)]
pub(super) struct Instead {
    /// Only worth it where this is sent.
    pub(super) required: Box<Node>,
    /// Only worth it where `required` has far fewer rows than this.
    pub(super) of: Option<Box<Node>>,
    /// The operator rewritten, with [`Node::hole`] where `required` goes.
    pub(super) whole: Box<Node>,
}

/// Ways to run the aggregate `a` over `input` in part at a source, best first.
pub(super) fn ways(builder: &Builder, a: &Aggregate, input: &Node) -> Vec<Instead> {
    let found = [average(builder, a, input), before_join(builder, a, input)];
    found.into_iter().filter_map(|w| w.ok().flatten()).collect()
}

fn call(f: Arc<AggregateUDF>, arg: Expr, filter: Option<Box<Expr>>) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(f, vec![arg], false, filter, vec![], None))
}

/// Aggregate calls, each once.
#[derive(Default)]
struct Calls(Vec<Expr>);
impl Calls {
    fn add(&mut self, e: Expr) -> usize {
        match self.0.iter().position(|c| *c == e) {
            Some(i) => i,
            None => {
                self.0.push(e);
                self.0.len() - 1
            }
        }
    }
}

fn bare(e: &Expr) -> &Expr {
    match e {
        Expr::Alias(a) => bare(&a.expr),
        e => e,
    }
}

fn field(schema: &DFSchema, at: usize) -> Expr {
    Expr::Column(Column::from(schema.qualified_field(at)))
}

/// `exprs` under the names of `a`'s fields.
fn finished(exprs: Vec<Expr>, input: LogicalPlan, a: &Aggregate) -> DfResult<Option<LogicalPlan>> {
    let mut named = Vec::with_capacity(exprs.len());
    for (e, (q, f)) in exprs.into_iter().zip(a.schema.iter()) {
        let (ty, nullable) = (e.get_type(input.schema())?, e.nullable(input.schema())?);
        if nullable && !f.is_nullable() {
            return Ok(None);
        }
        let e = if ty == *f.data_type() { e } else { Expr::Cast(Cast::new(Box::new(e), f.data_type().clone())) };
        named.push(match &e {
            Expr::Column(c) if c.relation.as_ref() == q && c.name == *f.name() => e,
            _ => e.alias_qualified(q.cloned(), f.name()),
        });
    }
    let plan = Projection::try_new_with_schema(named, Arc::new(input), a.schema.clone())?;
    Ok(Some(LogicalPlan::Projection(plan)))
}

/// `avg(x)` as `sum(x) / count(x)`: the division stays here.
fn average(builder: &Builder, a: &Aggregate, input: &Node) -> DfResult<Option<Instead>> {
    if input.block.is_none() {
        return Ok(None);
    }
    let groups = a.group_expr.len();
    let mut calls = Calls::default();
    // For each aggregate, the call it is, or the sum and the count it is made of.
    let mut made: Vec<(usize, Option<usize>)> = Vec::new();
    for e in &a.aggr_expr {
        let Expr::AggregateFunction(f) = bare(e) else { return Ok(None) };
        if f.func.name() != "avg" {
            made.push((calls.add(bare(e).clone()), None));
            continue;
        }
        let [arg] = f.params.args.as_slice() else { return Ok(None) };
        if f.params.distinct || !f.params.order_by.is_empty() || f.params.null_treatment.is_some() {
            return Ok(None);
        }
        let schema = input.plan.schema();
        let arg = match (arg, arg.get_type(schema)?) {
            (arg, DataType::Decimal128(..)) => arg.clone(),
            // Sums of so few bits are exact, as floats too.
            (Expr::Cast(c), DataType::Float64)
                if matches!(c.expr.get_type(schema)?, DataType::Int8 | DataType::Int16 | DataType::Int32) =>
            {
                Expr::Cast(Cast::new(c.expr.clone(), DataType::Int64))
            }
            _ => return Ok(None),
        };
        let sum = calls.add(call(sum_udaf(), arg.clone(), f.params.filter.clone()));
        let count = calls.add(call(count_udaf(), arg, f.params.filter.clone()));
        made.push((sum, Some(count)));
    }
    if made.iter().all(|m| m.1.is_none()) {
        return Ok(None);
    }
    let parts = Aggregate::try_new(Arc::new(input.plan.clone()), a.group_expr.clone(), calls.0)?;
    let parts = LogicalPlan::Aggregate(parts);
    let schema = parts.schema().clone();
    let required = builder.operator(&parts, vec![input.clone()])?;
    if required.block.is_none() {
        return Ok(None);
    }
    let of = |i: usize| field(&schema, groups + i);
    let exprs = (0..groups).map(|i| field(&schema, i)).chain(made.into_iter().map(|(x, y)| match y {
        None => of(x),
        Some(count) => finish::average(of(x), of(count)),
    }));
    let Some(plan) = finished(exprs.collect(), parts, a)? else { return Ok(None) };
    let whole = Node::local(plan, vec![Node::hole(&required)]);
    Ok(Some(Instead { required: Box::new(required), of: None, whole: Box::new(whole) }))
}

/// A side's rows grouped by what the join and the groups read of them, before the join: fewer rows to send and to join.
///
/// Right for an inner join, and for the side of an outer join that isn't preserved, where each aggregate reads that side
/// only: a row of the other side then meets one row for each group instead of all its rows, whose sums, counts, minima
/// and maxima it adds up.
fn before_join(builder: &Builder, a: &Aggregate, input: &Node) -> DfResult<Option<Instead>> {
    // Through a projection that only picks columns.
    let (join_node, picked) = match (&input.plan, input.children.as_slice()) {
        (LogicalPlan::Projection(p), [below]) => {
            let columns: Option<Vec<Column>> = p.expr.iter().map(|e| plain_column(e).cloned()).collect();
            (below, columns)
        }
        _ => (input, Some(input.plan.schema().columns())),
    };
    let (LogicalPlan::Join(j), Some(picked), [left, right]) = (&join_node.plan, picked, join_node.children.as_slice())
    else {
        return Ok(None);
    };
    let sides: &[bool] = match j.join_type {
        // Where there is more to join, the order of the joins matters more.
        JoinType::Inner if is_free_join(join_node) && [left, right].iter().all(|n| is_one(n)) => &[false, true],
        JoinType::Left => &[true],
        JoinType::Right => &[false],
        _ => return Ok(None),
    };
    if j.null_equality != NullEquality::NullEqualsNothing || j.null_aware || j.on.is_empty() {
        return Ok(None);
    }
    let mut groups = Vec::new();
    for g in &a.group_expr {
        match resolved(g, input.plan.schema(), &picked) {
            Some(g) if !matches!(g, Expr::GroupingSet(_)) => groups.push(g),
            _ => return Ok(None),
        }
    }
    let calls: Option<Vec<Expr>> =
        a.aggr_expr.iter().map(|e| resolved(bare(e), input.plan.schema(), &picked)).collect();
    let Some(calls) = calls else { return Ok(None) };
    for &right_side in sides {
        let (side, other) = if right_side { (right, left) } else { (left, right) };
        let shape = Shape { j, side, other, right_side };
        if let Some(found) = shape.grouped_first(builder, a, &groups, &calls)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn is_one(node: &Node) -> bool {
    node.block.is_some() || relations(node) == 1
}

struct Shape<'a> {
    j: &'a Join,
    side: &'a Node,
    other: &'a Node,
    right_side: bool,
}

impl Shape<'_> {
    fn of_side(&self, c: &Column) -> bool {
        self.side.plan.schema().maybe_index_of_column(c).is_some()
            && self.other.plan.schema().maybe_index_of_column(c).is_none()
    }

    fn grouped_first(
        &self,
        builder: &Builder,
        a: &Aggregate,
        groups: &[Expr],
        calls: &[Expr],
    ) -> DfResult<Option<Instead>> {
        let j = self.j;
        if self.side.block.is_none() {
            return Ok(None);
        }
        // What the rest reads of the side: the key, and columns of groups and of the join's filter.
        let mut keys: Vec<Column> = Vec::new();
        let side_of = |(l, r): &(Expr, Expr)| if self.right_side { r.clone() } else { l.clone() };
        for on in &j.on {
            let Expr::Column(c) = side_of(on) else { return Ok(None) };
            keys.push(c);
        }
        for e in groups.iter().chain(&j.filter) {
            keys.extend(e.column_refs().into_iter().filter(|c| self.of_side(c)).cloned());
        }
        keys.sort();
        keys.dedup();
        let outer = j.join_type != JoinType::Inner;
        let mut parts = Calls::default();
        let mut made = Vec::new();
        for e in calls {
            let Expr::AggregateFunction(f) = e else { return Ok(None) };
            let p = &f.params;
            let plain = !p.distinct && p.filter.is_none() && p.order_by.is_empty() && p.null_treatment.is_none();
            let ([arg], true) = (p.args.as_slice(), plain) else { return Ok(None) };
            if !arg.column_refs().into_iter().all(|c| self.of_side(c)) {
                return Ok(None);
            }
            let constant = arg.column_refs().is_empty();
            let (name, all_rows) = (f.func.name(), matches!(arg, Expr::Literal(v, _) if !v.is_null()));
            let finish = match name {
                "count" if all_rows => Combine::Rows,
                // A constant of the side would be computed for rows that aren't there, too.
                _ if constant => return Ok(None),
                "count" => Combine::Count,
                "sum" => Combine::Sum,
                "min" => Combine::Min,
                "max" => Combine::Max,
                _ => return Ok(None),
            };
            let part = match finish {
                Combine::Rows => call(count_udaf(), Expr::Literal(ScalarValue::Int64(Some(1)), None), None),
                _ => e.clone(),
            };
            made.push((parts.add(part), finish));
        }
        let key_exprs: Vec<Expr> = keys.iter().cloned().map(Expr::Column).collect();
        let grouped = Aggregate::try_new(Arc::new(self.side.plan.clone()), key_exprs, parts.0)?;
        let grouped = LogicalPlan::Aggregate(grouped);
        let required = builder.operator(&grouped, vec![self.side.clone()])?;
        if required.block.is_none() {
            return Ok(None);
        }
        let part_of = |i: usize| field(grouped.schema(), keys.len() + i);
        let (l, r) = if self.right_side { (&self.other.plan, &grouped) } else { (&grouped, &self.other.plan) };
        let joined = LogicalPlan::Join(Join::try_new(
            Arc::new(l.clone()),
            Arc::new(r.clone()),
            j.on.clone(),
            j.filter.clone(),
            j.join_type,
            j.join_constraint,
            j.null_equality,
            false,
        )?);
        let mut totals = Calls::default();
        let mut totalled = Vec::new();
        for (at, finish) in made {
            let part = part_of(at);
            let (f, arg) = match finish {
                Combine::Rows if outer => (sum_udaf(), finish::rows(part)),
                Combine::Rows | Combine::Count | Combine::Sum => (sum_udaf(), part),
                Combine::Min => (min_udaf(), part),
                Combine::Max => (max_udaf(), part),
            };
            totalled.push((totals.add(call(f, arg, None)), finish));
        }
        let total = Aggregate::try_new(Arc::new(joined.clone()), groups.to_vec(), totals.0)?;
        let total = LogicalPlan::Aggregate(total);
        let exprs = (0..groups.len())
            .map(|i| field(total.schema(), i))
            .chain(totalled.iter().map(|(at, finish)| {
                let e = field(total.schema(), groups.len() + at);
                match finish {
                    Combine::Rows | Combine::Count => finish::count(e),
                    _ => e,
                }
            }))
            .collect();
        let Some(plan) = finished(exprs, total.clone(), a)? else { return Ok(None) };
        let hole = Node::hole(&required);
        let children = if self.right_side { vec![self.other.clone(), hole] } else { vec![hole, self.other.clone()] };
        let join = Node::local(joined, children);
        let whole = Node::local(plan, vec![Node::local(total, vec![join])]);
        let of = Some(Box::new(self.side.clone()));
        Ok(Some(Instead { required: Box::new(required), of, whole: Box::new(whole) }))
    }
}

/// How a part becomes the whole.
#[derive(Clone, Copy, PartialEq)]
enum Combine {
    /// `count(*)`.
    Rows,
    Count,
    Sum,
    Min,
    Max,
}
