//! From a column of a plan node down to the columns of scans it is read from, by position.
//!
//! The question: if every row of `node` whose column has none of some values will be thrown away, from which scans may the
//! same rows be left out at once? Only through nodes that are known to keep that right; any other ends the search.

use crate::RemoteScanExec;
use arrow::datatypes::DataType;
use datafusion::common::{JoinSide, JoinType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::utils::build_join_schema;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use std::sync::Arc;

/// A scan's column that was found. `scan` is the plan's own node: compare by pointer.
pub(crate) struct Found<'a> {
    pub(crate) scan: &'a Arc<dyn ExecutionPlan>,
    pub(crate) column: usize,
}

/// See the [module](self). `index` is a position in `node`'s output.
pub(crate) fn trace<'a>(node: &'a Arc<dyn ExecutionPlan>, index: usize, out: &mut Vec<Found<'a>>) {
    if node.is::<RemoteScanExec>() {
        out.push(Found { scan: node, column: index });
        return;
    }
    // Fewer rows below a limit are other rows above it.
    if node.fetch().is_some() {
        return;
    }
    let passes = node.is::<CooperativeExec>()
        || node.is::<RepartitionExec>()
        || node.is::<CoalescePartitionsExec>()
        || node.is::<SortExec>()
        || node.is::<SortPreservingMergeExec>()
        // The subqueries themselves, its other children, are not part of the rows.
        || node.is::<ScalarSubqueryExec>();
    if passes {
        if let Some(child) = node.children().first() {
            trace(child, index, out);
        }
    } else if let Some(p) = node.downcast_ref::<ProjectionExec>() {
        if let Some(e) = p.expr().get(index) {
            follow(p.input(), &e.expr, out);
        }
    } else if let Some(f) = node.downcast_ref::<FilterExec>() {
        if let Some(i) = unproject(f.projection().as_deref(), index) {
            trace(f.input(), i, out);
        }
    } else if node.is::<UnionExec>() || node.is::<InterleaveExec>() {
        node.children().into_iter().for_each(|c| trace(c, index, out));
    } else if let Some(a) = node.downcast_ref::<AggregateExec>() {
        // A group's key is that of all its rows, so that whole groups are left out.
        let group = a.group_expr();
        if group.is_single()
            && a.limit_options().is_none()
            && let Some((e, _)) = group.expr().get(index)
        {
            follow(a.input(), e, out);
        }
    } else if let Some(j) = node.downcast_ref::<HashJoinExec>() {
        let Some(i) = unproject(j.projection.as_deref(), index) else { return };
        let Some((side, column)) = side(&j.left, &j.right, &j.join_type, i) else { return };
        let (own, other) = if side == JoinSide::Left { (&j.left, &j.right) } else { (&j.right, &j.left) };
        trace(own, column, out);
        // Rows of the other side with another key match only what is left out.
        if j.null_aware {
            return;
        }
        for (l, r) in &j.on {
            let (mine, theirs) = if side == JoinSide::Left { (l, r) } else { (r, l) };
            if mine.downcast_ref::<Column>().is_some_and(|c| c.index() == column) {
                follow(other, theirs, out);
            }
        }
    } else if let Some(j) = node.downcast_ref::<NestedLoopJoinExec>() {
        let Some(i) = unproject(j.projection().as_deref(), index) else { return };
        match side(j.left(), j.right(), j.join_type(), i) {
            Some((JoinSide::Left, c)) => trace(j.left(), c, out),
            Some((_, c)) => trace(j.right(), c, out),
            None => {}
        }
    } else if let Some(j) = node.downcast_ref::<CrossJoinExec>() {
        let left = j.left().schema().fields().len();
        match index.checked_sub(left) {
            Some(i) => trace(j.right(), i, out),
            None => trace(j.left(), index, out),
        }
    }
}

/// [`trace`] for an expression over `input`: a column, perhaps under casts that change no value.
pub(crate) fn follow<'a>(input: &'a Arc<dyn ExecutionPlan>, expr: &Arc<dyn PhysicalExpr>, out: &mut Vec<Found<'a>>) {
    if let Some(c) = expr.downcast_ref::<Column>() {
        trace(input, c.index(), out);
    } else if let Some(cast) = expr.downcast_ref::<CastExpr>()
        && cast.expr().data_type(&input.schema()).is_ok_and(|from| keeps_values(&from, cast.cast_type()))
    {
        follow(input, cast.expr(), out);
    }
}

fn unproject(projection: Option<&[usize]>, index: usize) -> Option<usize> {
    match projection {
        Some(p) => p.get(index).copied(),
        None => Some(index),
    }
}

/// Which input column `index` of a join (before its projection) is, if rows of that input can be left out by it: the join
/// must not turn them into other rows.
fn side(
    left: &Arc<dyn ExecutionPlan>,
    right: &Arc<dyn ExecutionPlan>,
    join_type: &JoinType,
    index: usize,
) -> Option<(JoinSide, usize)> {
    use JoinType as J;
    let (_, columns) = build_join_schema(&left.schema(), &right.schema(), join_type);
    let c = columns.get(index)?;
    let ok = match c.side {
        JoinSide::Left => matches!(join_type, J::Inner | J::Left | J::LeftSemi | J::LeftAnti | J::LeftMark),
        JoinSide::Right => matches!(join_type, J::Inner | J::Right | J::RightSemi | J::RightAnti | J::RightMark),
        JoinSide::None => false,
    };
    ok.then_some((c.side, c.index))
}

/// Whether a cast gives each value another one that compares the same way, so that conditions on the result are conditions on
/// the source.
pub(crate) fn keeps_values(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    let text = |t: &D| matches!(t, D::Utf8 | D::LargeUtf8 | D::Utf8View);
    let signed = |t: &D| match t {
        D::Int8 => Some(8),
        D::Int16 => Some(16),
        D::Int32 => Some(32),
        D::Int64 => Some(64),
        _ => None,
    };
    let unsigned = |t: &D| match t {
        D::UInt8 => Some(8),
        D::UInt16 => Some(16),
        D::UInt32 => Some(32),
        D::UInt64 => Some(64),
        _ => None,
    };
    if from == to || (text(from) && text(to)) {
        return true;
    }
    match (signed(from), unsigned(from), signed(to), unsigned(to)) {
        (Some(a), _, Some(b), _) | (_, Some(a), _, Some(b)) => b >= a,
        (_, Some(a), Some(b), _) => b > a,
        _ => match (from, to) {
            (D::Decimal128(p1, s1), D::Decimal128(p2, s2)) => {
                s2 >= s1 && i32::from(*p2) - i32::from(*s2) >= i32::from(*p1) - i32::from(*s1)
            }
            _ => false,
        },
    }
}
