//! Which tables' keys limit which other tables' rows, for engines that do not plan with DataFusion.
//!
//! From the optimized logical plan: where `big` is joined to `small` on plain columns, and nothing between the scan of `big`
//! and the join, or in the join itself, needs a row of `big` without a partner, every row of `big` that the query can use has
//! one of `small`'s keys. Found by position in each node's output, never by name alone. Whatever is not recognised gives no
//! link.

use crate::analyze::{planner, scan_name};
use crate::dynamic::keeps_values;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{JoinSide, JoinType, NullEquality};
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, Join, LogicalPlan, TableScan};
use std::collections::{BTreeMap, BTreeSet};
use xdb_core::TableInput;

/// Rows of `large` matter only where `large.1` equals some value of `small.1` in a row that meets the conditions on `small`
/// (those of [`needs`](crate::needs)). Tables go by their federated names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLink {
    pub small: ([String; 3], String),
    pub large: ([String; 3], String),
    /// In how many places the query reads the large table; it holds for each of them.
    pub places: usize,
}

/// The links of a query; none where it can't be planned. Does no I/O.
pub async fn links(sql: &str, inputs: &[TableInput]) -> Vec<KeyLink> {
    match find(sql, inputs).await {
        Ok(found) => found,
        Err(e) => {
            tracing::debug!(error = %e.strip_backtrace(), "no runtime filters for this query");
            vec![]
        }
    }
}

async fn find(sql: &str, inputs: &[TableInput]) -> datafusion::error::Result<Vec<KeyLink>> {
    let ctx = planner(inputs).map_err(crate::to_datafusion)?;
    let state = ctx.state();
    let plan = state.optimize(&state.create_logical_plan(sql).await?)?;
    let mut places: BTreeMap<[String; 3], usize> = BTreeMap::new();
    let mut joins = Vec::new();
    let mut recursive = false;
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::TableScan(s) => *places.entry(scan_name(s)).or_default() += 1,
            LogicalPlan::Join(j) => joins.push(j.clone()),
            LogicalPlan::RecursiveQuery(_) => recursive = true,
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if recursive {
        return Ok(vec![]);
    }
    // For each pair of columns, the places of the large table for which it holds. A place that is shared by two parts of the
    // plan counts as one, and then not all are there.
    let mut holds: BTreeMap<_, BTreeSet<usize>> = BTreeMap::new();
    for j in joins.iter().filter(|j| needs_partner(j)) {
        for (limited, by) in [(JoinSide::Left, JoinSide::Right), (JoinSide::Right, JoinSide::Left)] {
            for (l, r) in &j.on {
                let pick = |side| if side == JoinSide::Left { (&*j.left, l) } else { (&*j.right, r) };
                let ((large_side, large_key), (small_side, small_key)) = (pick(limited), pick(by));
                let from = position(small_side, small_key).and_then(|at| origin(small_side, at));
                let Some((small, small_column)) = from else { continue };
                let mut found = Vec::new();
                if let Some(at) = position(large_side, large_key) {
                    reach(large_side, at, &mut found);
                }
                for (large, large_column) in found {
                    if let (Some((s, a)), Some((l, b))) = (column(small, small_column), column(large, large_column))
                        && alike(&a, &b)
                        && scan_name(small) != scan_name(large)
                    {
                        let pair = ((scan_name(small), s), (scan_name(large), l));
                        holds.entry(pair).or_default().insert(std::ptr::from_ref(large) as usize);
                    }
                }
            }
        }
    }
    let all = holds.into_iter().filter_map(|((small, large), at)| {
        let all = places.get(&large.0).copied()?;
        (at.len() == all).then_some(KeyLink { small, large, places: all })
    });
    Ok(all.collect())
}

/// Whether rows of either side of a join are of no use without a partner on the other.
///
/// Outer and anti joins are left out on purpose: a row of `small` that appears between the reading of its keys and the reading
/// of its rows would be there without its partners.
fn needs_partner(j: &Join) -> bool {
    j.null_equality == NullEquality::NullEqualsNothing
        && matches!(j.join_type, JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi)
}

/// A key that is a plain column, perhaps under casts that change no value: its position in the output of `node`.
fn position(node: &LogicalPlan, key: &Expr) -> Option<usize> {
    match key {
        Expr::Column(c) => node.schema().maybe_index_of_column(c),
        Expr::Cast(c) => {
            let from = c.expr.get_type(node.schema()).ok()?;
            keeps_values(&from, c.field.data_type()).then(|| position(node, &c.expr)).flatten()
        }
        Expr::Alias(a) => position(node, &a.expr),
        _ => None,
    }
}

/// The scan, and its column, that an output column takes all its values from; NULLs may be added, values left out.
fn origin(node: &LogicalPlan, at: usize) -> Option<(&TableScan, usize)> {
    match node {
        LogicalPlan::TableScan(s) => Some((s, at)),
        LogicalPlan::Projection(p) => origin(&p.input, position(&p.input, p.expr.get(at)?)?),
        LogicalPlan::Filter(f) => origin(&f.input, at),
        LogicalPlan::SubqueryAlias(a) => origin(&a.input, at),
        LogicalPlan::Sort(s) => origin(&s.input, at),
        LogicalPlan::Limit(l) => origin(&l.input, at),
        LogicalPlan::Repartition(r) => origin(&r.input, at),
        LogicalPlan::Distinct(Distinct::All(input)) => origin(input, at),
        LogicalPlan::Aggregate(a) => {
            let simple = !a.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_)));
            let key = a.group_expr.get(at).filter(|_| simple)?;
            origin(&a.input, position(&a.input, key)?)
        }
        LogicalPlan::Join(j) => {
            let (side, at) = side(j, at)?;
            origin(if side == JoinSide::Left { &j.left } else { &j.right }, at)
        }
        _ => None,
    }
}

/// The scans from which rows may be left out by what they have in an output column, when every such row of `node`'s output is
/// of no use.
fn reach<'a>(node: &'a LogicalPlan, at: usize, out: &mut Vec<(&'a TableScan, usize)>) {
    match node {
        LogicalPlan::TableScan(s) if s.fetch.is_none() => out.push((s, at)),
        LogicalPlan::Projection(p) => {
            if let Some(at) = p.expr.get(at).and_then(|e| position(&p.input, e)) {
                reach(&p.input, at, out);
            }
        }
        LogicalPlan::Filter(f) => reach(&f.input, at, out),
        LogicalPlan::SubqueryAlias(a) => reach(&a.input, at, out),
        LogicalPlan::Sort(s) if s.fetch.is_none() => reach(&s.input, at, out),
        LogicalPlan::Repartition(r) => reach(&r.input, at, out),
        LogicalPlan::Distinct(Distinct::All(input)) => reach(input, at, out),
        LogicalPlan::Aggregate(a) => {
            let simple = !a.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_)));
            if let Some(at) = a.group_expr.get(at).filter(|_| simple).and_then(|e| position(&a.input, e)) {
                reach(&a.input, at, out);
            }
        }
        LogicalPlan::Join(j) => {
            let Some((from, at)) = side(j, at) else { return };
            use JoinType as J;
            let ok = match from {
                JoinSide::Left => matches!(j.join_type, J::Inner | J::Left | J::LeftSemi | J::LeftAnti | J::LeftMark),
                JoinSide::Right => {
                    matches!(j.join_type, J::Inner | J::Right | J::RightSemi | J::RightAnti | J::RightMark)
                }
                JoinSide::None => false,
            };
            if !ok {
                return;
            }
            let (own, other) = if from == JoinSide::Left { (&j.left, &j.right) } else { (&j.right, &j.left) };
            reach(own, at, out);
            // Rows of the other side with another key match only what is left out.
            if !needs_partner(j) {
                return;
            }
            for (l, r) in &j.on {
                let (mine, theirs) = if from == JoinSide::Left { (l, r) } else { (r, l) };
                if matches!(mine, Expr::Column(_))
                    && position(own, mine) == Some(at)
                    && let Some(at) = position(other, theirs)
                {
                    reach(other, at, out);
                }
            }
        }
        _ => {}
    }
}

/// Which input's column an output column of a join is.
fn side(j: &Join, at: usize) -> Option<(JoinSide, usize)> {
    use JoinType as J;
    let left = j.left.schema().fields().len();
    match j.join_type {
        J::Inner | J::Left | J::Right | J::Full => match at.checked_sub(left) {
            None => Some((JoinSide::Left, at)),
            Some(at) => Some((JoinSide::Right, at)),
        },
        J::LeftSemi | J::LeftAnti => Some((JoinSide::Left, at)),
        J::RightSemi | J::RightAnti => Some((JoinSide::Right, at)),
        // One more column: whether there was a match.
        J::LeftMark => (at < left).then_some((JoinSide::Left, at)),
        J::RightMark => (at < j.right.schema().fields().len()).then_some((JoinSide::Right, at)),
    }
}

/// Name and type of what a scan gives at a position.
fn column(scan: &TableScan, at: usize) -> Option<(String, DataType)> {
    let f = scan.projected_schema.fields().get(at)?;
    Some((f.name().clone(), f.data_type().clone()))
}

/// Whether values of the two types are compared as they are, whichever engine it is.
fn alike(a: &DataType, b: &DataType) -> bool {
    use DataType as D;
    let text = |t: &D| matches!(t, D::Utf8 | D::LargeUtf8 | D::Utf8View);
    let exact = !matches!(a, D::Float16 | D::Float32 | D::Float64);
    (a == b && exact) || (a.is_integer() && b.is_integer()) || (text(a) && text(b))
}
