//! From an optimized plan to a tree that knows, for each operator, the query that would answer everything below it.
//!
//! Nothing is sent and nothing decided here: this is what *could* run at the sources. Deciding is `choose`'s business.

use super::block::{Aliases, Block, typed};
use super::expr::{Refusal, Scope, compare};
use super::partial::{self, Instead};
use crate::RemoteTable;
use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::{DFSchema, NullEquality, TableReference};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Aggregate, Expr, FetchType, Filter, Join, JoinType, Limit, LogicalPlan, Projection, SkipType, Sort, TableScan,
};
use std::sync::Arc;
use xdb_core::{CompareOp, QueryExpr, QueryJoin, QueryOrder, TypePolicy};

/// One operator of the plan.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The operator over its inputs as they were: what runs locally where nothing is pushed.
    pub(super) plan: LogicalPlan,
    pub(super) children: Vec<Node>,
    /// The query that means `plan`, where one connection accepts it.
    pub(super) block: Option<Block>,
    /// Why there is none although there is one for an input.
    pub(super) refused: Option<Refusal>,
    /// Only of use as a whole: where `block` isn't sent, the operator above does the work and this one is left out.
    pub(super) optional: bool,
    /// Ways of which a part can be sent, where the whole can't.
    pub(super) ways: Vec<Instead>,
    /// Stands for a part of one of these.
    pub(super) is_hole: bool,
    /// What runs in its place, decided already, and the rows expected of it.
    pub(super) done: Option<(LogicalPlan, f64)>,
}

impl Node {
    pub(super) fn local(plan: LogicalPlan, children: Vec<Node>) -> Self {
        Self { plan, children, block: None, refused: None, optional: false, ways: vec![], is_hole: false, done: None }
    }
    pub(super) fn remote(plan: LogicalPlan, children: Vec<Node>, block: Block) -> Self {
        Self { block: Some(block), ..Self::local(plan, children) }
    }
}

impl Node {
    /// Where `node` will go.
    pub(super) fn hole(node: &Self) -> Self {
        Self { is_hole: true, ..Self::local(node.plan.clone(), vec![]) }
    }

    /// Puts `plan` into the hole.
    pub(super) fn fill(&mut self, plan: &LogicalPlan, rows: f64) {
        if self.is_hole {
            self.done = Some((plan.clone(), rows));
        }
        self.children.iter_mut().for_each(|c| c.fill(plan, rows));
    }
}

#[derive(Debug, Default)]
pub(super) struct Builder {
    pub(super) aliases: Aliases,
}

impl Builder {
    pub(super) fn build(&self, plan: &LogicalPlan) -> DfResult<Node> {
        let children = plan.inputs().into_iter().map(|p| self.build(p)).collect::<DfResult<Vec<_>>>()?;
        self.operator(plan, children)
    }

    /// `plan` over the already built nodes of its inputs.
    pub(super) fn operator(&self, plan: &LogicalPlan, mut children: Vec<Node>) -> DfResult<Node> {
        let converted = match (plan, children.as_slice()) {
            (LogicalPlan::Filter(f), [input]) if input.block.is_some() => {
                let input = children.remove(0);
                return self.filter(f, input);
            }
            (LogicalPlan::Sort(s), [input]) if s.fetch.is_some() && input.block.is_some() => {
                let top = self.top(s, input).and_then(accepted);
                return Ok(with_whole(plan, children, top));
            }
            (LogicalPlan::Limit(l), [input]) if input.block.is_some() => {
                let limited = self.limit(l, input).and_then(|(b, all)| Ok((accepted(b)?, all)));
                return Ok(match limited {
                    Ok((b, true)) => Node::remote(plan.clone(), children, b),
                    // The rows to skip are read and skipped locally: the source returns them in any order.
                    Ok((b, false)) => with_whole(plan, children, Ok(b)),
                    Err(e) => with_whole(plan, children, Err(e)),
                });
            }
            (LogicalPlan::TableScan(s), []) => match self.scan(s) {
                Some(b) => b.and_then(accepted),
                None => return Ok(Node::local(plan.clone(), children)),
            },
            (LogicalPlan::SubqueryAlias(_), [input]) => match &input.block {
                Some(b) => Ok(b.clone().project(b.columns(), plan.schema())),
                None => return Ok(Node::local(plan.clone(), children)),
            },
            (LogicalPlan::Projection(p), [input]) => self.project(p, input).and_then(accepted),
            (LogicalPlan::Aggregate(a), [input]) => match self.aggregate(a, input).and_then(accepted) {
                Ok(block) => Ok(block),
                Err(why) => {
                    let ways = partial::ways(self, a, input);
                    return Ok(Node { ways, ..refused(plan, children, why) });
                }
            },
            (LogicalPlan::Join(j), [left, right]) => self.join(j, left, right).and_then(accepted),
            (LogicalPlan::Union(_), inputs) => self.union(inputs, plan.schema()).and_then(accepted),
            _ => Err(format!("{} runs locally", operator_name(plan))),
        };
        Ok(match converted {
            Ok(block) => Node::remote(plan.clone(), children, block),
            Err(why) => refused(plan, children, why),
        })
    }

    /// `None`: not a table of ours, or one that nothing may be pushed to.
    fn scan(&self, scan: &TableScan) -> Option<Result<Block, Refusal>> {
        let provider = source_as_provider(&scan.source).ok()?;
        let any: &dyn std::any::Any = provider.as_ref();
        let remote = any.downcast_ref::<RemoteTable>()?;
        let input = remote.input();
        // Where values may change on the way, an operator there and the same one here give different rows.
        if !input.pushdown.is_on() || input.types != TypePolicy::Exact || input.connector.extract().is_none() {
            return None;
        }
        Some(self.scan_block(scan, remote))
    }

    fn scan_block(&self, scan: &TableScan, remote: &RemoteTable) -> Result<Block, Refusal> {
        let input = remote.input();
        let table = &input.table;
        let all = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &table.schema)
            .map_err(|e| e.strip_backtrace())?;
        let indices: Vec<usize> = (0..table.schema.fields().len()).collect();
        let mut block = Block::scan(input, &indices, &all, &self.aliases);
        let columns = block.columns();
        let scope = Scope { schema: &all, columns: &columns };
        for f in &scan.filters {
            match (remote.is_exact(f), scope.convert(f)) {
                (_, Ok(f)) => block.filter(f),
                // It is checked again above the scan.
                (false, Err(_)) => {}
                (true, Err(why)) => return Err(why),
            }
        }
        let indices = scan.projection.clone().unwrap_or(indices);
        let kept = indices.iter().filter_map(|i| columns.get(*i).cloned()).collect();
        let mut block = block.project(kept, &scan.projected_schema);
        if let (Err(_), true) = (accepted_ref(&block), !scan.filters.is_empty()) {
            // Perhaps only for a filter that is checked again anyway.
            block.query.filter.clear();
            for f in scan.filters.iter().filter(|f| remote.is_exact(f)) {
                block.filter(scope.convert(f)?);
            }
        }
        Ok(block)
    }

    fn filter(&self, filter: &Filter, input: Node) -> DfResult<Node> {
        let Some(below) = input.block.clone() else {
            return Ok(Node::local(LogicalPlan::Filter(filter.clone()), vec![input]));
        };
        let mut block = below.before_filter(&self.aliases);
        let columns = block.columns();
        let scope = Scope { schema: input.plan.schema(), columns: &columns };
        let (mut sent, mut kept, mut why) = (Vec::new(), Vec::new(), Vec::new());
        let mut conjuncts = scope.conjuncts(&filter.predicate);
        // What a scan filters by itself comes first: it does so with several connections.
        conjuncts.sort_by_key(|(c, _)| !scan_sends(&input.plan, c));
        for (conjunct, converted) in conjuncts {
            let tried = converted.and_then(|c| {
                let mut with = block.clone();
                if !scan_sends(&input.plan, conjunct) {
                    with.start_work();
                }
                with.filter(c);
                accepted(with)
            });
            match tried {
                Ok(with) => {
                    block = with;
                    sent.push(conjunct.clone());
                }
                Err(e) => {
                    kept.push(conjunct.clone());
                    why.push(format!("{conjunct}: {e}"));
                }
            }
        }
        let plan = LogicalPlan::Filter(filter.clone());
        let (Some(sent), kept) = (conjunction(sent), conjunction(kept)) else {
            return Ok(refused(&plan, vec![input], why.join("; ")));
        };
        let Some(kept) = kept else { return Ok(Node::remote(plan, vec![input], block)) };
        let inner = LogicalPlan::Filter(Filter::try_new(sent, Arc::new(input.plan.clone()))?);
        let outer = LogicalPlan::Filter(Filter::try_new(kept, Arc::new(inner.clone()))?);
        Ok(refused(&outer, vec![Node::remote(inner, vec![input], block)], why.join("; ")))
    }

    fn project(&self, p: &Projection, input: &Node) -> Result<Block, Refusal> {
        let block = block_of(input)?;
        let columns = block.columns();
        let scope = Scope { schema: input.plan.schema(), columns: &columns };
        let exprs = p.expr.iter().map(|e| scope.convert(e)).collect::<Result<Vec<_>, _>>()?;
        Ok(block.project(exprs, &p.schema))
    }

    fn aggregate(&self, a: &Aggregate, input: &Node) -> Result<Block, Refusal> {
        let block = block_of(input)?.before_aggregate(&self.aliases);
        let columns = block.columns();
        let scope = Scope { schema: input.plan.schema(), columns: &columns };
        let groups = a.group_expr.iter().map(|e| scope.convert(e)).collect::<Result<Vec<_>, _>>()?;
        let calls = a.aggr_expr.iter().map(|e| scope.aggregate(e)).collect::<Result<Vec<_>, _>>()?;
        block.aggregate(groups, calls, &a.schema)
    }

    fn top(&self, s: &Sort, input: &Node) -> Result<Block, Refusal> {
        let Some(fetch) = s.fetch else { return Err("a sort without a limit runs locally".into()) };
        let block = block_of(input)?.before_limit(&self.aliases);
        let columns = block.columns();
        let scope = Scope { schema: input.plan.schema(), columns: &columns };
        let order = s
            .expr
            .iter()
            .map(|o| {
                let expr = scope.convert(&o.expr)?;
                Ok(QueryOrder { expr, descending: !o.asc, nulls_first: o.nulls_first })
            })
            .collect::<Result<Vec<_>, Refusal>>()?;
        Ok(block.limit(order, fetch as u64))
    }

    /// Also whether the block is all that `l` does.
    fn limit(&self, l: &Limit, input: &Node) -> Result<(Block, bool), Refusal> {
        let why = || Refusal::from("the limit is not a constant");
        let (Ok(FetchType::Literal(Some(fetch))), Ok(SkipType::Literal(skip))) =
            (l.get_fetch_type(), l.get_skip_type())
        else {
            return Err(why());
        };
        let rows = fetch.checked_add(skip).ok_or_else(why)?;
        let block = block_of(input)?.before_limit(&self.aliases);
        Ok((block.limit(vec![], rows as u64), skip == 0))
    }

    fn join(&self, j: &Join, left: &Node, right: &Node) -> Result<Block, Refusal> {
        let (l, r) = (block_of(left)?, block_of(right)?);
        same_context(&l, &r)?;
        if j.null_equality != NullEquality::NullEqualsNothing || j.null_aware {
            return Err("a join that treats NULL in its own way runs locally".into());
        }
        if j.on.is_empty() {
            return Err("a join without an equality runs locally".into());
        }
        let (kind, turned) = match j.join_type {
            JoinType::Inner => (QueryJoin::Inner, false),
            JoinType::Left => (QueryJoin::Left, false),
            JoinType::Right => (QueryJoin::Left, true),
            JoinType::Full => (QueryJoin::Full, false),
            JoinType::LeftSemi => (QueryJoin::Semi, false),
            JoinType::RightSemi => (QueryJoin::Semi, true),
            JoinType::LeftAnti => (QueryJoin::Anti, false),
            JoinType::RightAnti => (QueryJoin::Anti, true),
            JoinType::LeftMark | JoinType::RightMark => return Err("a mark join runs locally".into()),
        };
        let (l, r) = if turned { (r, l) } else { (l, r) };
        let (l, r) = Block::before_join(l, r, kind, &self.aliases);
        let (lc, rc) = if turned { (r.columns(), l.columns()) } else { (l.columns(), r.columns()) };
        let ls = Scope { schema: left.plan.schema(), columns: &lc };
        let rs = Scope { schema: right.plan.schema(), columns: &rc };
        let mut on =
            j.on.iter()
                .map(|(a, b)| compare(CompareOp::Eq, ls.convert(a)?, rs.convert(b)?))
                .collect::<Result<Vec<_>, _>>()?;
        if let Some(f) = &j.filter {
            let both = left.plan.schema().join(right.plan.schema()).map_err(|e| e.strip_backtrace())?;
            let columns: Vec<QueryExpr> = lc.iter().chain(&rc).cloned().collect();
            let scope = Scope { schema: &both, columns: &columns };
            for (_, c) in scope.conjuncts(f) {
                on.push(c?);
            }
        }
        Ok(Block::join(l, r, kind, turned, on, &j.schema))
    }

    fn union(&self, inputs: &[Node], schema: &DFSchema) -> Result<Block, Refusal> {
        let blocks = inputs.iter().map(block_of).collect::<Result<Vec<_>, _>>()?;
        for pair in blocks.windows(2) {
            if let [a, b] = pair {
                same_context(a, b)?;
            }
        }
        Block::union(blocks, schema, &self.aliases)
    }
}

/// `plan` kept on top of `whole`, which may do most of its work.
fn with_whole(plan: &LogicalPlan, children: Vec<Node>, whole: Result<Block, Refusal>) -> Node {
    match whole {
        Ok(block) => {
            let inner = Node { optional: true, ..Node::remote(plan.clone(), children, block) };
            Node::local(plan.clone(), vec![inner])
        }
        Err(why) => refused(plan, children, why),
    }
}

fn refused(plan: &LogicalPlan, children: Vec<Node>, why: Refusal) -> Node {
    let worth_telling = children.iter().any(|c| c.block.is_some());
    Node { refused: worth_telling.then_some(why), ..Node::local(plan.clone(), children) }
}

fn block_of(node: &Node) -> Result<Block, Refusal> {
    node.block.clone().ok_or_else(|| "an input is not read from one connection".into())
}

fn same_context(a: &Block, b: &Block) -> Result<(), Refusal> {
    if a.input.connector.context_id() == b.input.connector.context_id() {
        return Ok(());
    }
    Err(format!("tables of two connections: {} and {}", a.input.connection, b.input.connection))
}

fn accepted_ref(block: &Block) -> Result<(), Refusal> {
    if !typed(&block.query.items) {
        return Err("a column of another type than the plan's".into());
    }
    // One row over everything, of which nothing is read: SQL has no words for it.
    let q = &block.query;
    if q.groups.as_ref().is_some_and(Vec::is_empty) && !q.items.iter().any(|i| has_aggregate(&i.expr)) {
        return Err("an aggregate without groups of which nothing is read".into());
    }
    match block.input.connector.extract() {
        Some(e) => e.accepts(&block.query),
        None => Err("not readable".into()),
    }
}

fn has_aggregate(e: &QueryExpr) -> bool {
    match e {
        QueryExpr::Aggregate(_) => true,
        QueryExpr::Column(_) | QueryExpr::Literal { .. } => false,
        QueryExpr::Compare { left, right, .. } | QueryExpr::Arithmetic { left, right, .. } => {
            has_aggregate(left) || has_aggregate(right)
        }
        QueryExpr::And(all) | QueryExpr::Or(all) => all.iter().any(has_aggregate),
        QueryExpr::Not(e)
        | QueryExpr::IsNull { expr: e, .. }
        | QueryExpr::Like { expr: e, .. }
        | QueryExpr::Cast { expr: e, .. }
        | QueryExpr::DatePart { expr: e, .. }
        | QueryExpr::Substring { expr: e, .. } => has_aggregate(e),
        QueryExpr::In { expr, list, .. } => has_aggregate(expr) || list.iter().any(has_aggregate),
        QueryExpr::Case { branches, otherwise, .. } => {
            branches.iter().any(|(c, v)| has_aggregate(c) || has_aggregate(v))
                || otherwise.as_deref().is_some_and(has_aggregate)
        }
    }
}

/// The connector's word on `block`.
pub(super) fn accepted(block: Block) -> Result<Block, Refusal> {
    accepted_ref(&block).map(|()| block)
}

/// Whether a scan filters by `conjunct` without being told a query.
fn scan_sends(plan: &LogicalPlan, conjunct: &Expr) -> bool {
    let LogicalPlan::TableScan(scan) = plan else { return false };
    let Ok(provider) = source_as_provider(&scan.source) else { return false };
    let any: &dyn std::any::Any = provider.as_ref();
    any.downcast_ref::<RemoteTable>().is_some_and(|t| scan.filters.contains(conjunct) && t.sends(conjunct))
}

/// What people call it.
pub(super) fn operator_name(plan: &LogicalPlan) -> String {
    match plan {
        LogicalPlan::Join(j) => format!("{} join", j.join_type).to_lowercase(),
        LogicalPlan::TableScan(s) => match &s.table_name {
            TableReference::Full { table, .. } => format!("scan of {table}"),
            other => format!("scan of {other}"),
        },
        LogicalPlan::Projection(_) => "projection".into(),
        LogicalPlan::Filter(_) => "filter".into(),
        LogicalPlan::Aggregate(_) => "aggregate".into(),
        LogicalPlan::Sort(_) => "sort".into(),
        LogicalPlan::Limit(_) => "limit".into(),
        LogicalPlan::Union(_) => "union".into(),
        LogicalPlan::Window(_) => "window function".into(),
        LogicalPlan::Distinct(_) => "distinct".into(),
        LogicalPlan::SubqueryAlias(a) => format!("subquery {}", a.alias),
        _ => "this operator".into(),
    }
}
