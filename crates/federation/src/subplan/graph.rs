//! Contiguous inner joins as a graph: relations, and conditions that all hold.
//!
//! The order in which a query names its tables hides what could be joined at one source. Inner joins may be taken in any
//! order; whatever else is met (an outer join, an aggregate, a computed column) ends the graph and is one of its relations.

use super::tree::{Builder, Node};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, NullEquality};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, Join, JoinConstraint, JoinType, LogicalPlan, Operator, Projection};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use xdb_core::{QueryExpr, QuerySource};

#[derive(Debug)]
pub(super) struct Graph {
    pub(super) relations: Vec<Node>,
    /// Over columns of the relations.
    pub(super) conditions: Vec<Condition>,
    /// For each output field of the whole, the relations' column that it is.
    outputs: Vec<Column>,
    owner: HashMap<Column, usize>,
    /// Semi and anti joins of the whole with something else, which filter its rows: after all inner joins.
    pub(super) semis: Vec<Semi>,
}

/// `WHERE [NOT] EXISTS`, over columns of the relations and of `right`.
#[derive(Clone, Debug)]
pub(super) struct Semi {
    pub(super) right: Node,
    on: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
    kind: JoinType,
}

impl Semi {
    /// `left` filtered.
    pub(super) fn over(&self, left: LogicalPlan, right: LogicalPlan) -> DfResult<LogicalPlan> {
        Ok(LogicalPlan::Join(Join::try_new(
            Arc::new(left),
            Arc::new(right),
            self.on.clone(),
            self.filter.clone(),
            self.kind,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )?))
    }
    fn columns(&self) -> impl Iterator<Item = &Column> {
        let on = self.on.iter().flat_map(|(a, _)| a.column_refs());
        on.chain(self.filter.iter().flat_map(Expr::column_refs))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) expr: Expr,
    /// Relations it reads.
    pub(super) reads: BTreeSet<usize>,
}

impl Condition {
    /// `a = b` of columns of two relations, also under casts: keys of two databases often differ in width.
    pub(super) fn sides(&self) -> Option<(&Column, &Column)> {
        match &self.expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if self.reads.len() == 2 => {
                Some((column_under_casts(left)?, column_under_casts(right)?))
            }
            _ => None,
        }
    }
}

fn column_under_casts(e: &Expr) -> Option<&Column> {
    match e {
        Expr::Column(c) => Some(c),
        Expr::Cast(c) => column_under_casts(&c.expr),
        _ => None,
    }
}

/// Whether `node` is an inner join whose order is free.
pub(super) fn is_free_join(node: &Node) -> bool {
    is_movable_join(node, &[JoinType::Inner])
}

/// A filter of its left side.
fn is_free_semi(node: &Node) -> bool {
    is_movable_join(node, &[JoinType::LeftSemi, JoinType::LeftAnti])
}

fn is_movable_join(node: &Node, kinds: &[JoinType]) -> bool {
    match &node.plan {
        LogicalPlan::Join(j) => {
            kinds.contains(&j.join_type)
                && j.null_equality == NullEquality::NullEqualsNothing
                && !j.null_aware
                && j.on.iter().flat_map(|(a, b)| [a, b]).chain(&j.filter).all(is_movable)
        }
        _ => false,
    }
}

fn is_movable(e: &Expr) -> bool {
    let subquery = |e: &Expr| {
        Ok(matches!(e, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)))
    };
    !e.is_volatile() && !e.exists(subquery).unwrap_or(true)
}

/// Passed through: what is below is part of the same graph.
fn is_transparent(node: &Node) -> bool {
    if node.optional {
        return false;
    }
    if is_free_join(node) {
        return true;
    }
    let passes = match &node.plan {
        LogicalPlan::Projection(p) => p.expr.iter().all(|e| plain_column(e).is_some()),
        LogicalPlan::Filter(f) => is_movable(&f.predicate),
        LogicalPlan::SubqueryAlias(_) => true,
        LogicalPlan::Join(_) => is_free_semi(node),
        _ => false,
    };
    passes && node.children.first().is_some_and(is_transparent)
}

pub(super) fn plain_column(e: &Expr) -> Option<&Column> {
    match e {
        Expr::Column(c) => Some(c),
        Expr::Alias(a) if a.metadata.is_none() => plain_column(&a.expr),
        _ => None,
    }
}

/// How many relations the graph that `node` is the top of would have.
pub(super) fn relations(node: &Node) -> usize {
    if !is_transparent(node) {
        return 1;
    }
    let sides = if is_free_join(node) { 2 } else { 1 };
    node.children.iter().take(sides).map(relations).sum()
}

impl Graph {
    /// The graph that `node` is the top of, where there are at least three relations to order. `None` also where columns
    /// of two relations couldn't be told apart.
    pub(super) fn of(builder: &Builder, node: &Node) -> Option<Self> {
        if !is_transparent(node) || relations(node) < 3 {
            return None;
        }
        let mut graph =
            Self { relations: vec![], conditions: vec![], outputs: vec![], owner: HashMap::new(), semis: vec![] };
        let mut raw = Vec::new();
        graph.outputs = graph.add(builder, node, &mut raw)?;
        for expr in raw {
            let reads = expr.column_refs().into_iter().map(|c| graph.owner.get(c).copied()).collect::<Option<_>>()?;
            graph.conditions.push(Condition { expr, reads });
        }
        // Names without a qualifier are ambiguous beside the same name with one.
        let mut names: HashMap<&str, (usize, bool)> = HashMap::new();
        for c in graph.owner.keys() {
            let n = names.entry(c.name.as_str()).or_default();
            n.0 += 1;
            n.1 |= c.relation.is_none();
        }
        let clear = names.values().all(|(n, bare)| *n == 1 || !bare);
        // Plans that nothing is sent of are left alone.
        let remote = graph.relations.iter().any(|r| r.block.is_some());
        (clear && remote).then_some(graph)
    }

    /// Adds what is below `node`; for each of its fields, the column that it is.
    fn add(&mut self, builder: &Builder, node: &Node, conditions: &mut Vec<Expr>) -> Option<Vec<Column>> {
        if !is_transparent(node) {
            let at = self.relations.len();
            let columns: Vec<Column> = node.plan.schema().columns();
            for c in &columns {
                if self.owner.insert(c.clone(), at).is_some() {
                    return None;
                }
            }
            self.relations.push(node.clone());
            return Some(columns);
        }
        match (&node.plan, node.children.as_slice()) {
            (LogicalPlan::Join(j), [left, right]) if j.join_type != JoinType::Inner => {
                let columns = self.add(builder, left, conditions)?;
                self.semi(builder, j, (left, &columns), right)?;
                Some(columns)
            }
            (LogicalPlan::Join(j), [left, right]) => {
                let l = self.add(builder, left, conditions)?;
                let r = self.add(builder, right, conditions)?;
                for (a, b) in &j.on {
                    let a = resolved(a, left.plan.schema(), &l)?;
                    let b = resolved(b, right.plan.schema(), &r)?;
                    conditions.push(a.eq(b));
                }
                let both: Vec<Column> = l.into_iter().chain(r).collect();
                if let Some(f) = &j.filter {
                    conditions.extend(split_conjunction_owned(resolved(f, &j.schema, &both)?));
                }
                Some(both)
            }
            (LogicalPlan::Filter(f), [input]) => {
                let columns = self.add(builder, input, conditions)?;
                conditions.extend(split_conjunction_owned(resolved(&f.predicate, input.plan.schema(), &columns)?));
                Some(columns)
            }
            (LogicalPlan::SubqueryAlias(_), [input]) => self.add(builder, input, conditions),
            (LogicalPlan::Projection(p), [input]) => {
                let columns = self.add(builder, input, conditions)?;
                let schema = input.plan.schema();
                p.expr.iter().map(|e| columns.get(schema.maybe_index_of_column(plain_column(e)?)?).cloned()).collect()
            }
            _ => None,
        }
    }

    /// A semi join filters the one relation it reads, where the source of that can do it; else the whole.
    fn semi(&mut self, builder: &Builder, j: &Join, left: (&Node, &[Column]), right: &Node) -> Option<()> {
        let schema = left.0.plan.schema();
        // The other side's names must not be any of ours.
        if right.plan.schema().columns().iter().any(|c| self.owner.contains_key(c)) {
            return None;
        }
        let mut on = Vec::new();
        for (a, b) in &j.on {
            on.push((resolved(a, schema, left.1)?, b.clone()));
        }
        let filter = match &j.filter {
            None => None,
            Some(f) => {
                let both = schema.join(right.plan.schema()).ok()?;
                let columns: Vec<Column> = left.1.iter().cloned().chain(right.plan.schema().columns()).collect();
                Some(resolved(f, &both, &columns)?)
            }
        };
        let semi = Semi { right: right.clone(), on, filter, kind: j.join_type };
        let reads: BTreeSet<usize> = semi.columns().filter_map(|c| self.owner.get(c).copied()).collect();
        if let (Some(at), 1) = (reads.first().copied(), reads.len()) {
            let relation = self.relations.get(at)?;
            if let Ok(plan) = semi.over(relation.plan.clone(), right.plan.clone()) {
                let filtered = builder.operator(&plan, vec![relation.clone(), right.clone()]).ok()?;
                if filtered.block.is_some() {
                    *self.relations.get_mut(at)? = filtered;
                    return Some(());
                }
            }
        }
        self.semis.push(semi);
        Some(())
    }

    /// Conditions that read nothing beyond `relations`.
    pub(super) fn within<'a>(&'a self, relations: &'a BTreeSet<usize>) -> impl Iterator<Item = &'a Condition> {
        self.conditions.iter().filter(|c| c.reads.is_subset(relations))
    }

    /// Columns of `relations` that anything outside them needs.
    pub(super) fn needed(&self, relations: &BTreeSet<usize>) -> BTreeSet<Column> {
        let outside = self.conditions.iter().filter(|c| !c.reads.is_subset(relations));
        let read = outside.flat_map(|c| c.expr.column_refs().into_iter().cloned());
        let mine = |c: &Column| self.owner.get(c).is_some_and(|o| relations.contains(o));
        let after = self.semis.iter().flat_map(Semi::columns).cloned();
        read.chain(after).chain(self.outputs.iter().cloned()).filter(mine).collect()
    }

    /// Pairs of columns that join a relation of `a` with one of `b`, the first of `a`.
    pub(super) fn edges(&self, a: &BTreeSet<usize>, b: &BTreeSet<usize>) -> Vec<(Column, Column)> {
        let side = |c: &Column, s: &BTreeSet<usize>| self.owner.get(c).is_some_and(|o| s.contains(o));
        self.conditions
            .iter()
            .filter_map(Condition::sides)
            .filter_map(|(x, y)| {
                if side(x, a) && side(y, b) {
                    Some((x.clone(), y.clone()))
                } else if side(y, a) && side(x, b) {
                    Some((y.clone(), x.clone()))
                } else {
                    None
                }
            })
            .collect()
    }

    /// `left ⋈ right` with every condition that reads both and nothing else.
    pub(super) fn join(
        &self,
        left: (LogicalPlan, &BTreeSet<usize>),
        right: (LogicalPlan, &BTreeSet<usize>),
    ) -> DfResult<LogicalPlan> {
        let both: BTreeSet<usize> = left.1.union(right.1).copied().collect();
        let mut on = Vec::new();
        let mut rest = Vec::new();
        for c in self.within(&both) {
            if c.reads.is_subset(left.1) || c.reads.is_subset(right.1) {
                continue;
            }
            // Not only of columns: a key of another type is under a cast, and a join without keys is a nested loop.
            let of = |e: &Expr, side: &BTreeSet<usize>| {
                let reads = e.column_refs();
                !reads.is_empty() && reads.iter().all(|c| self.owner.get(*c).is_some_and(|o| side.contains(o)))
            };
            match &c.expr {
                Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b }) => {
                    if of(a, left.1) && of(b, right.1) {
                        on.push((a.as_ref().clone(), b.as_ref().clone()));
                    } else if of(b, left.1) && of(a, right.1) {
                        on.push((b.as_ref().clone(), a.as_ref().clone()));
                    } else {
                        rest.push(c.expr.clone());
                    }
                }
                _ => rest.push(c.expr.clone()),
            }
        }
        Ok(LogicalPlan::Join(Join::try_new(
            Arc::new(left.0),
            Arc::new(right.0),
            on,
            conjunction(rest),
            JoinType::Inner,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )?))
    }

    /// Conditions of one relation alone, and of none: no join applies them.
    pub(super) fn alone(&self) -> Vec<Expr> {
        self.conditions.iter().filter(|c| c.reads.len() < 2).map(|c| c.expr.clone()).collect()
    }

    /// The columns of the whole, from a plan that has all of the relations' needed ones.
    pub(super) fn output(&self, plan: LogicalPlan, whole: &LogicalPlan) -> DfResult<LogicalPlan> {
        let schema = whole.schema();
        let exprs = self
            .outputs
            .iter()
            .zip(schema.iter())
            .map(|(c, (qualifier, field))| {
                let e = Expr::Column(c.clone());
                if c.relation.as_ref() == qualifier && c.name == *field.name() {
                    e
                } else {
                    e.alias_qualified(qualifier.cloned(), field.name())
                }
            })
            .collect();
        Ok(LogicalPlan::Projection(Projection::try_new_with_schema(exprs, Arc::new(plan), schema.clone())?))
    }
}

/// A node for `columns` of `node` only.
pub(super) fn narrowed(builder: &Builder, node: Node, columns: &BTreeSet<Column>) -> DfResult<Node> {
    let schema = node.plan.schema();
    let exprs: Vec<Expr> = schema.columns().into_iter().filter(|c| columns.contains(c)).map(Expr::Column).collect();
    if exprs.len() == schema.fields().len() {
        return Ok(node);
    }
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(node.plan.clone()))?);
    builder.operator(&plan, vec![node])
}

/// `e` over the relations' columns.
pub(super) fn resolved(e: &Expr, schema: &DFSchema, columns: &[Column]) -> Option<Expr> {
    let mut known = true;
    let out = e.clone().transform(|e| {
        Ok(match e {
            Expr::Column(c) => match schema.maybe_index_of_column(&c).and_then(|i| columns.get(i)) {
                Some(base) => Transformed::yes(Expr::Column(base.clone())),
                None => {
                    known = false;
                    Transformed::no(Expr::Column(c))
                }
            },
            e => Transformed::no(e),
        })
    });
    out.ok().map(|t| t.data).filter(|_| known)
}

/// Sets of columns whose values no two rows of `node` share, with the number of rows there were before filters.
pub(super) fn keys(node: &Node) -> Vec<(BTreeSet<Column>, f64)> {
    let Some(block) = &node.block else { return vec![] };
    let columns = node.plan.schema().columns();
    let (q, mut found) = (&block.query, BTreeSet::new());
    let base = match (&q.groups, &q.from) {
        (Some(groups), _) => {
            for g in groups {
                match q.items.iter().position(|i| i.expr == *g).and_then(|i| columns.get(i)) {
                    Some(c) => found.insert(c.clone()),
                    None => return vec![],
                };
            }
            super::guess::rows(q)
        }
        (None, QuerySource::Table { table, .. }) => {
            for k in &table.primary_key {
                let is_key = |e: &QueryExpr| matches!(e, QueryExpr::Column(c) if c.name == *k);
                match q.items.iter().position(|i| is_key(&i.expr)).and_then(|i| columns.get(i)) {
                    Some(c) => found.insert(c.clone()),
                    None => return vec![],
                };
            }
            super::guess::read(q)
        }
        _ => return vec![],
    };
    if found.is_empty() { vec![] } else { vec![(found, base)] }
}
