//! The rewriting of a plan: which subplans become leaves.

use super::block::Block;
use super::choose::{Choice, Chooser};
use super::graph::Graph;
use super::leaf::{RemoteSubplan, SubplanPlanner};
use super::tree::{Builder, Node, operator_name};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, internal_err};
use datafusion::error::Result as DfResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex};
use xdb_core::{PushdownChoice, PushdownMode};

/// A plan in which some subplans are leaves that [`SubplanPlanner`](super::SubplanPlanner) plans.
#[derive(Debug)]
pub struct Federated {
    pub plan: LogicalPlan,
    pub choices: Vec<PushdownChoice>,
    /// See [`xdb_core::Explanation::not_pushed`].
    pub not_pushed: Vec<(String, String)>,
}

/// `optimized` with its largest subplans sent to their sources where that is allowed and worth it. Asks the sources for
/// estimates, reads no rows. Where anything goes wrong the plan is as before.
pub async fn federate(optimized: LogicalPlan) -> DfResult<Federated> {
    let federation = Federation::default();
    let plan = federation.plan(&optimized).await?;
    let Federation { choices, not_pushed, .. } = federation;
    Ok(Federated { plan, choices: unlock(choices), not_pushed: unlock(not_pushed) })
}

/// A plan to run, and what was decided on the way.
#[derive(Debug)]
pub struct Planned {
    pub plan: Arc<dyn ExecutionPlan>,
    pub choices: Vec<PushdownChoice>,
    /// See [`xdb_core::Explanation::not_pushed`].
    pub not_pushed: Vec<(String, String)>,
}

/// `logical` optimized, federated and planned.
pub async fn physical_plan(state: &SessionState, logical: &LogicalPlan) -> DfResult<Planned> {
    let optimized = state.optimize(logical)?;
    let f = match federate(optimized.clone()).await {
        Ok(f) => f,
        Err(e) => {
            tracing::warn!("nothing is pushed: {e}");
            Federated { plan: optimized, choices: vec![], not_pushed: vec![] }
        }
    };
    let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(SubplanPlanner)]);
    let plan = planner.create_physical_plan(&f.plan, state).await?;
    Ok(Planned { plan, choices: f.choices, not_pushed: f.not_pushed })
}

fn unlock<T: Default>(m: Mutex<T>) -> T {
    m.into_inner().unwrap_or_default()
}

#[derive(Default)]
pub(super) struct Federation {
    pub(super) builder: Builder,
    pub(super) chooser: Chooser,
    choices: Mutex<Vec<PushdownChoice>>,
    not_pushed: Mutex<Vec<(String, String)>>,
}

impl Federation {
    fn plan<'a>(&'a self, plan: &'a LogicalPlan) -> BoxFuture<'a, DfResult<LogicalPlan>> {
        async move {
            let node = self.builder.build(plan)?;
            self.decide(node, false).await
        }
        .boxed()
    }

    /// What runs in place of `node`. `weighed`: nearly the same was weighed and found too light.
    pub(super) fn decide(&self, node: Node, weighed: bool) -> BoxFuture<'_, DfResult<LogicalPlan>> {
        async move {
            if let Some((plan, _)) = node.done {
                return Ok(plan);
            }
            if let Some(block) = &node.block {
                if !block.work && !node.optional {
                    // A scan with what it does by itself, over several connections.
                    return Ok(node.plan);
                }
                if !weighed && let Some(leaf) = self.leaf(&node).await? {
                    return Ok(leaf);
                }
            }
            if let (Some(why), Ok(mut all)) = (&node.refused, self.not_pushed.lock()) {
                all.push((operator_name(&node.plan), why.clone()));
            }
            for way in &node.ways {
                if let (Some(of), Some(block)) = (&way.of, &way.required.block)
                    && block.input.pushdown != PushdownMode::Aggressive
                    && self.rows(&way.required).await > 0.5 * self.rows(of).await
                {
                    continue;
                }
                if let Some(leaf) = self.leaf(&way.required).await? {
                    let rows = self.rows(&way.required).await;
                    let mut whole = way.whole.as_ref().clone();
                    whole.fill(&leaf, rows);
                    return self.decide(whole, false).await;
                }
            }
            if let Some(graph) = Graph::of(&self.builder, &node) {
                match self.join_graph(&graph, &node.plan).await {
                    Ok(plan) => return Ok(plan),
                    Err(e) => tracing::debug!("the joins stay as they were: {e}"),
                }
            }
            let mut children = Vec::with_capacity(node.children.len());
            // These change no more than the number of rows that are sent, and that for the worse below them.
            use LogicalPlan as L;
            let light =
                matches!(&node.plan, L::Projection(_) | L::SubqueryAlias(_) | L::Sort(_) | L::Limit(_) | L::Filter(_));
            let weighed = light && node.block.is_some();
            for c in node.children {
                children.push(self.decide(c, weighed).await?);
            }
            if node.optional {
                return children.pop().map_or_else(|| internal_err!("nothing below an optional operator"), Ok);
            }
            self.subqueries(with_children(node.plan, children)?).await
        }
        .boxed()
    }

    /// What stands for `node` where its query is worth sending.
    pub(super) async fn leaf(&self, node: &Node) -> DfResult<Option<LogicalPlan>> {
        let Some(block) = node.block.as_ref().filter(|b| b.work) else { return Ok(None) };
        let choice = self.chooser.choose(block).await;
        let Choice { scan, rows, why } = choice;
        self.record(PushdownChoice {
            connection: block.input.connection.clone(),
            relations: relations(block),
            pushed: scan.is_some(),
            why,
        });
        let Some(scan) = scan else { return Ok(None) };
        let leaf = RemoteSubplan {
            schema: node.plan.schema().clone(),
            input: block.input.clone(),
            query: Arc::new(block.query.clone()),
            scan,
            rows: rows.map(|r| r.ceil() as usize),
        };
        leaf.into_plan().map(Some)
    }

    fn record(&self, choice: PushdownChoice) {
        if let Ok(mut all) = self.choices.lock() {
            all.push(choice);
        }
    }

    /// The plans of `plan`'s own scalar subqueries, federated like any other.
    async fn subqueries(&self, plan: LogicalPlan) -> DfResult<LogicalPlan> {
        let mut found = Vec::new();
        let plan = plan
            .map_uncorrelated_subqueries(|p| {
                found.push(p.clone());
                Ok(Transformed::no(p))
            })?
            .data;
        if found.is_empty() {
            return Ok(plan);
        }
        let mut done = Vec::with_capacity(found.len());
        for p in &found {
            done.push(self.plan(p).await?);
        }
        let mut done = done.into_iter();
        let plan = plan.map_uncorrelated_subqueries(|p| {
            let new = done.next().unwrap_or(p);
            Ok(Transformed::new(new, true, TreeNodeRecursion::Continue))
        })?;
        Ok(plan.data)
    }
}

/// `plan` over other inputs of the same schemas.
pub(super) fn with_children(plan: LogicalPlan, children: Vec<LogicalPlan>) -> DfResult<LogicalPlan> {
    if plan.inputs().len() != children.len() {
        return internal_err!("an operator with another number of inputs");
    }
    let mut next = children.into_iter();
    let missing = || DataFusionError::Internal("an operator with too few inputs".into());
    Ok(plan.map_children(|_| next.next().map(Transformed::yes).ok_or_else(missing))?.data)
}

/// The names of its relations, each once, as they come.
fn relations(block: &Block) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for t in block.query.tables() {
        let name = t.relation.to_string();
        if !out.contains(&name) {
            out.push(name);
        }
    }
    out
}
