//! The optimizer rule that ties joins and scalar subqueries to the scans their values can filter.

use super::source::{MAX_VALUES, RuntimeSource, What};
use super::trace::{self, Found};
use crate::RemoteScanExec;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, NullEquality};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, DynamicFilterPhysicalExpr, lit};
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprRef};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use std::collections::HashMap;
use std::sync::Arc;
use xdb_core::CompareOp;

/// The options of a session whose joins should tell remote scans their keys.
pub fn configure(o: &mut ConfigOptions) {
    o.optimizer.enable_join_dynamic_filter_pushdown = true;
    o.optimizer.hash_join_inlist_pushdown_max_distinct_values = MAX_VALUES;
    // Bytes of the build side's keys, duplicates and all, each of which becomes an expression.
    o.optimizer.hash_join_inlist_pushdown_max_size = 1 << 20;
}

/// DataFusion's rules, with ours in the place of its own propagation of dynamic filters.
pub fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let ours: Arc<dyn PhysicalOptimizerRule + Send + Sync> = Arc::new(RuntimeFilters);
    let mut rules = PhysicalOptimizer::new().rules;
    // It moves a filter below a join by the names of its columns, to the wrong side where both have one of that name. The
    // logical plan's filters are in their places already.
    rules.retain(|r| r.name() != "FilterPushdown");
    match rules.iter_mut().find(|r| r.name() == "FilterPushdown(Post)") {
        Some(slot) => *slot = ours,
        None => rules.push(ours),
    }
    rules
}

/// See the [module](self).
#[derive(Debug)]
struct RuntimeFilters;

impl PhysicalOptimizerRule for RuntimeFilters {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut ties = Ties::default();
        if config.optimizer.enable_join_dynamic_filter_pushdown {
            ties.collect(&plan);
        }
        // A node in two places of the plan would be filtered for both.
        ties.scans.retain(|id, _| ties.seen.get(id) == Some(&1));
        if ties.scans.is_empty() { Ok(plan) } else { ties.rebuild(&plan) }
    }
    fn name(&self) -> &str {
        "RuntimeFilters"
    }
    fn schema_check(&self) -> bool {
        true
    }
}

/// A node of the plan as it was given to the rule.
fn id(node: &Arc<dyn ExecutionPlan>) -> usize {
    Arc::as_ptr(node).cast::<()>() as usize
}

#[derive(Default)]
struct Ties {
    scans: HashMap<usize, Vec<RuntimeSource>>,
    joins: HashMap<usize, Arc<DynamicFilterPhysicalExpr>>,
    /// How often each scan is in the plan.
    seen: HashMap<usize, usize>,
}

impl Ties {
    fn collect(&mut self, node: &Arc<dyn ExecutionPlan>) {
        if node.is::<RemoteScanExec>() {
            *self.seen.entry(id(node)).or_default() += 1;
        }
        // Its parts are run again and again, each time with other keys.
        if node.is::<RecursiveQueryExec>() {
            return;
        }
        if let Some(j) = node.downcast_ref::<HashJoinExec>() {
            self.join(node, j);
        } else if let Some(f) = node.downcast_ref::<FilterExec>() {
            self.filter(f);
        }
        node.children().into_iter().for_each(|c| self.collect(c));
    }

    fn join(&mut self, node: &Arc<dyn ExecutionPlan>, j: &HashJoinExec) {
        use JoinType as J;
        // A probe row without a match must not matter. To NOT IN it does: one NULL, or any row at all, decides.
        let ok = matches!(j.join_type, J::Inner | J::Left | J::LeftSemi | J::RightSemi | J::LeftAnti | J::LeftMark)
            && !j.null_aware
            && j.null_equality == NullEquality::NullEqualsNothing;
        if !ok {
            return;
        }
        let keys: Vec<PhysicalExprRef> = j.on.iter().map(|(_, r)| r.clone()).collect();
        let filter = Arc::new(DynamicFilterPhysicalExpr::new(keys.clone(), lit(true)));
        for (key, (build, probe)) in j.on.iter().enumerate() {
            let mut found = Vec::new();
            trace::follow(&j.right, probe, &mut found);
            for f in found {
                let what = What::Join { filter: filter.clone(), keys: keys.clone(), key };
                if self.tie(&f, format!("keys {}", name(build.as_ref())), what) {
                    self.joins.insert(id(node), filter.clone());
                }
            }
        }
    }

    fn filter(&mut self, f: &FilterExec) {
        for conjunct in split_conjunction(f.predicate()) {
            let Some(b) = conjunct.downcast_ref::<BinaryExpr>() else { continue };
            let op = match b.op() {
                Operator::Eq => CompareOp::Eq,
                Operator::Lt => CompareOp::Lt,
                Operator::LtEq => CompareOp::LtEq,
                Operator::Gt => CompareOp::Gt,
                Operator::GtEq => CompareOp::GtEq,
                _ => continue,
            };
            for (column, op, value) in [(b.left(), op, b.right()), (b.right(), op.swap(), b.left())] {
                if !is_scalar(value) {
                    continue;
                }
                let mut found = Vec::new();
                trace::follow(f.input(), column, &mut found);
                for f in found {
                    self.tie(&f, "scalar subquery".into(), What::Scalar { op, value: value.clone() });
                }
            }
        }
    }

    fn tie(&mut self, found: &Found<'_>, from: String, what: What) -> bool {
        let takes = found.scan.downcast_ref::<RemoteScanExec>().is_some_and(|s| s.takes_runtime_filters(found.column));
        if takes {
            let source = RuntimeSource { column: found.column, from, what };
            self.scans.entry(id(found.scan)).or_default().push(source);
        }
        takes
    }

    fn rebuild(&self, node: &Arc<dyn ExecutionPlan>) -> DfResult<Arc<dyn ExecutionPlan>> {
        if let Some(scan) = node.downcast_ref::<RemoteScanExec>() {
            return Ok(match self.scans.get(&id(node)) {
                Some(sources) => Arc::new(scan.with_runtime_filters(sources.clone())),
                None => node.clone(),
            });
        }
        let old = node.children();
        let children = old.iter().map(|c| self.rebuild(c)).collect::<DfResult<Vec<_>>>()?;
        let same = old.iter().zip(&children).all(|(a, b)| Arc::ptr_eq(a, b));
        let new = if same { node.clone() } else { node.clone().with_new_children(children)? };
        match (self.joins.get(&id(node)), new.downcast_ref::<HashJoinExec>()) {
            (Some(filter), Some(j)) => Ok(Arc::new(j.builder().build()?.with_dynamic_filter_expr(filter.clone())?)),
            _ => Ok(new),
        }
    }
}

/// Made of scalar subqueries and constants, nothing else.
fn is_scalar(e: &PhysicalExprRef) -> bool {
    let (mut subquery, mut other) = (false, false);
    let _ = e.apply(|e| {
        subquery |= e.is::<ScalarSubqueryExpr>();
        other |= e.is::<Column>() || e.is_volatile_node();
        Ok(TreeNodeRecursion::Continue)
    });
    subquery && !other
}

fn name(e: &dyn PhysicalExpr) -> String {
    match e.downcast_ref::<Column>() {
        Some(c) => c.name().into(),
        None => e.to_string(),
    }
}
