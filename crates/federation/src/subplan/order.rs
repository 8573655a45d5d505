//! What of a [`Graph`] runs at which source, and in which order the rest is joined here.

use super::graph::{Graph, keys, narrowed};
use super::rule::Federation;
use super::tree::Node;
use datafusion::common::Column;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Filter, LogicalPlan};
use std::collections::BTreeSet;
use std::sync::Arc;
use xdb_core::PushdownMode;

/// Some of the graph's relations, joined.
#[derive(Clone)]
struct Part {
    relations: BTreeSet<usize>,
    rows: f64,
    /// Columns that tell its rows apart, and how many rows there would be without its filters.
    keys: Vec<(BTreeSet<Column>, f64)>,
}

impl Part {
    /// What the join with `other` will be like.
    fn joined(&self, other: &Self, edges: &[(Column, Column)]) -> Joined {
        let mine: BTreeSet<&Column> = edges.iter().map(|e| &e.0).collect();
        let theirs: BTreeSet<&Column> = edges.iter().map(|e| &e.1).collect();
        let covers = |keys: &[(BTreeSet<Column>, f64)], used: &BTreeSet<&Column>| {
            keys.iter().find(|(k, _)| k.iter().all(|c| used.contains(c))).map(|(_, base)| base.max(1.0))
        };
        if let Some(base) = covers(&other.keys, &theirs) {
            let rows = self.rows * (other.rows / base).min(1.0);
            return Joined { rows, keys: self.keys.clone(), multiplies: false };
        }
        if let Some(base) = covers(&self.keys, &mine) {
            let rows = other.rows * (self.rows / base).min(1.0);
            return Joined { rows, keys: other.keys.clone(), multiplies: false };
        }
        let distinct = match edges.is_empty() {
            true => 1.0,
            false => self.rows.min(other.rows).max(1.0).sqrt(),
        };
        Joined { rows: self.rows * other.rows / distinct, keys: vec![], multiplies: true }
    }
}

struct Joined {
    rows: f64,
    keys: Vec<(BTreeSet<Column>, f64)>,
    /// Neither side is joined by its key: rows of both are multiplied.
    multiplies: bool,
}

#[derive(Clone)]
struct Unit {
    part: Part,
    node: Node,
}

/// A group after it was joined with one more.
struct Grown {
    group: Unit,
    added: Unit,
}

impl Federation {
    /// The plan of `whole`, whose graph is `graph`.
    pub(super) async fn join_graph(&self, graph: &Graph, whole: &LogicalPlan) -> DfResult<LogicalPlan> {
        let mut single: Vec<Unit> = Vec::new();
        for (i, node) in graph.relations.iter().enumerate() {
            let part = Part { relations: BTreeSet::from([i]), rows: self.rows(node).await, keys: keys(node) };
            single.push(Unit { part, node: node.clone() });
        }
        let plans = self.group(graph, single).await?;
        let plan = self.in_order(graph, plans)?;
        let mut plan = match conjunction(graph.alone()) {
            Some(p) => LogicalPlan::Filter(Filter::try_new(p, Arc::new(plan))?),
            None => plan,
        };
        for semi in &graph.semis {
            plan = semi.over(plan, self.decide(semi.right.clone(), false).await?)?;
        }
        graph.output(plan, whole)
    }

    /// Expected rows of `node`.
    pub(super) async fn rows(&self, node: &Node) -> f64 {
        if let Some((_, rows)) = &node.done {
            return *rows;
        }
        match &node.block {
            Some(b) => self.chooser.rows(b).await,
            None => {
                let mut most: f64 = 0.0;
                for c in &node.children {
                    most = most.max(Box::pin(self.rows(c)).await);
                }
                match &node.plan {
                    LogicalPlan::Aggregate(a) if a.group_expr.is_empty() => 1.0,
                    LogicalPlan::Aggregate(_) => most.powf(0.8),
                    LogicalPlan::Filter(_) => most * 0.3,
                    LogicalPlan::Join(_) | LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => most,
                    _ if node.children.is_empty() => 1000.0,
                    _ => most,
                }
            }
        }
    }

    /// The relations, some of them joined at their source where that is better.
    async fn group(&self, graph: &Graph, single: Vec<Unit>) -> DfResult<Vec<(Part, LogicalPlan)>> {
        let mut left = single;
        left.sort_by(|a, b| a.part.rows.total_cmp(&b.part.rows));
        let mut out = Vec::new();
        'next: while !left.is_empty() {
            let first = left.remove(0);
            let mut grown = self.grow(graph, first, &mut left)?;
            while let Some(last) = grown.pop() {
                if grown.is_empty() {
                    out.push((last.added.part, self.decide(last.added.node, false).await?));
                    continue 'next;
                }
                // Only what is read of it outside; the source needn't send the columns it was joined by.
                let needed = graph.needed(&last.group.part.relations);
                let node = narrowed(&self.builder, last.group.node, &needed)?;
                if let Some(leaf) = self.leaf(&node).await? {
                    out.push((last.group.part, leaf));
                    continue 'next;
                }
                // Perhaps without the relation that came last.
                left.push(last.added);
            }
        }
        Ok(out)
    }

    /// `first`, then joined with one more after the other of `left` that its source can join it with.
    fn grow(&self, graph: &Graph, first: Unit, left: &mut Vec<Unit>) -> DfResult<Vec<Grown>> {
        let mut steps = vec![Grown { group: first.clone(), added: first }];
        loop {
            let Some(group) = steps.last().map(|s| s.group.clone()) else { return Ok(steps) };
            let Some(block) = &group.node.block else { return Ok(steps) };
            let context = block.input.connector.context_id();
            let aggressive = block.input.pushdown == PushdownMode::Aggressive;
            let mut candidates: Vec<(f64, usize)> = Vec::new();
            for (i, u) in left.iter().enumerate() {
                let same = u.node.block.as_ref().is_some_and(|b| b.input.connector.context_id() == context);
                let edges = graph.edges(&group.part.relations, &u.part.relations);
                if !same || edges.is_empty() {
                    continue;
                }
                let joined = group.part.joined(&u.part, &edges);
                if aggressive || !joined.multiplies {
                    candidates.push((joined.rows, i));
                }
            }
            candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut found = None;
            for (_, i) in candidates {
                let Some(u) = left.get(i) else { continue };
                let plan = graph
                    .join((group.node.plan.clone(), &group.part.relations), (u.node.plan.clone(), &u.part.relations))?;
                let node = self.builder.operator(&plan, vec![group.node.clone(), u.node.clone()])?;
                if node.block.is_some() {
                    found = Some((i, node));
                    break;
                }
            }
            let Some((i, node)) = found else { return Ok(steps) };
            let added = left.remove(i);
            let edges = graph.edges(&group.part.relations, &added.part.relations);
            let Joined { rows, keys, .. } = group.part.joined(&added.part, &edges);
            let relations = group.part.relations.union(&added.part.relations).copied().collect();
            steps.push(Grown { group: Unit { node, part: Part { relations, rows, keys } }, added });
        }
    }

    /// All joined: always with what is connected and makes the fewest rows.
    fn in_order(&self, graph: &Graph, plans: Vec<(Part, LogicalPlan)>) -> DfResult<LogicalPlan> {
        let mut left = plans;
        while left.len() > 1 {
            let mut best: Option<((bool, f64), usize, usize)> = None;
            for a in 0..left.len() {
                for b in a + 1..left.len() {
                    let (Some((pa, _)), Some((pb, _))) = (left.get(a), left.get(b)) else { continue };
                    let edges = graph.edges(&pa.relations, &pb.relations);
                    let score = (edges.is_empty(), pa.joined(pb, &edges).rows);
                    let better = best.as_ref().is_none_or(|(s, ..)| score < *s);
                    if better {
                        best = Some((score, a, b));
                    }
                }
            }
            let Some((_, a, b)) = best else { break };
            let (pb, plan_b) = left.remove(b);
            let (pa, plan_a) = left.remove(a);
            let edges = graph.edges(&pa.relations, &pb.relations);
            let Joined { rows, keys, .. } = pa.joined(&pb, &edges);
            // The left side is the one that is held in memory.
            let ((pl, l), (pr, r)) =
                if pa.rows <= pb.rows { ((pa, plan_a), (pb, plan_b)) } else { ((pb, plan_b), (pa, plan_a)) };
            let plan = graph.join((l, &pl.relations), (r, &pr.relations))?;
            let relations = pl.relations.union(&pr.relations).copied().collect();
            left.push((Part { relations, rows, keys }, plan));
        }
        match left.pop() {
            Some((_, plan)) => Ok(plan),
            None => datafusion::common::internal_err!("a join graph without relations"),
        }
    }
}
