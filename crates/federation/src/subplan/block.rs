//! A [`Query`] as it grows by one operator after the other.
//!
//! `query.items` go with the fields of the plan's schema, one for one; names, qualifiers and duplicates are the plan's
//! business. A block is opened again by wrapping it into a derived table wherever SQL's clauses would otherwise be
//! evaluated in another order.

use super::expr::{Refusal, plain};
use arrow::datatypes::{DataType, Field};
use datafusion::common::DFSchema;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use xdb_core::{Query, QueryColumn, QueryExpr, QueryItem, QueryJoin, QueryOrder, QuerySource, TableInfo, TableInput};

/// Aliases, unique within one plan.
#[derive(Debug, Default)]
pub(super) struct Aliases(AtomicUsize);
impl Aliases {
    fn next(&self) -> String {
        format!("t{}", self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Block {
    /// One of its relations: all are of one connection.
    pub(super) input: TableInput,
    pub(super) query: Query,
    /// More than a scan does by itself: else the relation is better read with the scan's splits.
    pub(super) work: bool,
    /// With `work`: the scans that would be read instead.
    scans: Vec<Arc<Block>>,
}

impl Block {
    /// `columns` (indices into the relation's) of one relation.
    pub(super) fn scan(input: &TableInput, columns: &[usize], schema: &DFSchema, aliases: &Aliases) -> Self {
        let table: Arc<TableInfo> = input.table.clone();
        let alias = aliases.next();
        let exprs = columns
            .iter()
            .map(|i| {
                let field = Arc::new(table.schema.field(*i).clone());
                QueryExpr::Column(QueryColumn {
                    source: alias.clone(),
                    name: field.name().clone(),
                    info: table.column(field.name()).cloned().map(Arc::new),
                    field,
                })
            })
            .collect();
        let items = items(exprs, schema);
        Self {
            input: input.clone(),
            query: Query::over(QuerySource::Table { table, alias }, items),
            work: false,
            scans: vec![],
        }
    }

    /// What would be read were it not sent whole: the relations by themselves.
    pub(super) fn scans(&self) -> Vec<Arc<Self>> {
        if self.work { self.scans.clone() } else { vec![Arc::new(self.clone())] }
    }

    /// Before an operator that no scan does.
    pub(super) fn start_work(&mut self) {
        self.scans = self.scans();
        self.work = true;
    }

    pub(super) fn columns(&self) -> Vec<QueryExpr> {
        self.query.items.iter().map(|i| i.expr.clone()).collect()
    }

    /// The same rows as a derived table that knows nothing of how they came about.
    fn wrap(self, aliases: &Aliases) -> Self {
        let alias = aliases.next();
        let items = self
            .query
            .items
            .iter()
            .map(|i| {
                let info = match &i.expr {
                    QueryExpr::Column(c) => c.info.clone(),
                    _ => None,
                };
                let expr = QueryExpr::Column(QueryColumn {
                    source: alias.clone(),
                    name: i.field.name().clone(),
                    field: i.field.clone(),
                    info,
                });
                QueryItem { field: i.field.clone(), expr }
            })
            .collect();
        let scans = self.scans();
        let from = QuerySource::Query { query: Box::new(self.query), alias };
        Self { input: self.input, query: Query::over(from, items), work: self.work, scans }
    }

    /// Its rows can be grouped, joined and filtered further in the same block.
    fn open(self, aliases: &Aliases) -> Self {
        if self.query.groups.is_some() || self.query.limit.is_some() { self.wrap(aliases) } else { self }
    }

    /// Ready for [`Self::filter`]: what its columns are then may differ.
    pub(super) fn before_filter(self, aliases: &Aliases) -> Self {
        if self.query.limit.is_some() { self.wrap(aliases) } else { self }
    }

    pub(super) fn filter(&mut self, condition: QueryExpr) {
        let all = if self.query.groups.is_some() { &mut self.query.having } else { &mut self.query.filter };
        // The same condition arrives twice where a scan was given a filter that is checked again above it.
        if !all.contains(&condition) {
            all.push(condition);
        }
    }

    /// Other output columns; `schema` is the new plan's.
    pub(super) fn project(mut self, exprs: Vec<QueryExpr>, schema: &DFSchema) -> Self {
        self.query.items = items(exprs, schema);
        self
    }

    pub(super) fn before_aggregate(self, aliases: &Aliases) -> Self {
        self.open(aliases)
    }

    pub(super) fn aggregate(
        mut self,
        groups: Vec<QueryExpr>,
        aggregates: Vec<QueryExpr>,
        schema: &DFSchema,
    ) -> Result<Self, Refusal> {
        // A constant there means "the first column" to some servers.
        if groups.iter().any(|g| matches!(g, QueryExpr::Literal { .. })) {
            return Err("grouping by a constant".into());
        }
        self.start_work();
        let exprs = groups.iter().cloned().chain(aggregates).collect();
        self.query.groups = Some(groups);
        self.query.items = items(exprs, schema);
        Ok(self)
    }

    pub(super) fn before_limit(self, aliases: &Aliases) -> Self {
        if self.query.limit.is_some() { self.wrap(aliases) } else { self }
    }

    pub(super) fn limit(mut self, order: Vec<QueryOrder>, limit: u64) -> Self {
        // Without an order, a scan can do it by itself.
        if !order.is_empty() {
            self.start_work();
        }
        self.query.order = order;
        self.query.limit = Some(limit);
        self
    }

    /// Both sides made ready to be joined by `kind`; their columns are valid afterwards.
    pub(super) fn before_join(left: Self, right: Self, kind: QueryJoin, aliases: &Aliases) -> (Self, Self) {
        let (mut left, mut right) = (left.open(aliases), right.open(aliases));
        // A right side's EXISTS has no place in a FROM clause.
        if has_exists(&right.query.from) {
            right = right.wrap(aliases);
        }
        let plain = |b: &Self| b.query.items.iter().all(|i| matches!(i.expr, QueryExpr::Column(_)));
        match kind {
            QueryJoin::Inner | QueryJoin::Semi | QueryJoin::Anti => {}
            // An expression over a row that isn't there is not NULL by itself: `coalesce(x, 0)`.
            QueryJoin::Left if !plain(&right) => right = right.wrap(aliases),
            QueryJoin::Left => {}
            QueryJoin::Full => {
                if !plain(&left) || !left.query.filter.is_empty() || has_exists(&left.query.from) {
                    left = left.wrap(aliases);
                }
                if !plain(&right) || !right.query.filter.is_empty() {
                    right = right.wrap(aliases);
                }
            }
        }
        (left, right)
    }

    /// `on` over the columns that [`Self::before_join`] left; `schema` is the join's. With `turned`, the right side's
    /// columns come first in it.
    pub(super) fn join(
        left: Self,
        right: Self,
        kind: QueryJoin,
        turned: bool,
        mut on: Vec<QueryExpr>,
        schema: &DFSchema,
    ) -> Self {
        let scans = left.scans().into_iter().chain(right.scans()).collect();
        let mut exprs = left.columns();
        let left_columns = exprs.len();
        let (mut l, r) = (left.query, right.query);
        match kind {
            QueryJoin::Inner => l.filter.extend(r.filter),
            // A condition on the rows that may match, not on the joined ones: it belongs to the match. (`Full`: none.)
            QueryJoin::Left | QueryJoin::Full | QueryJoin::Semi | QueryJoin::Anti => on.extend(r.filter),
        }
        if !matches!(kind, QueryJoin::Semi | QueryJoin::Anti) {
            exprs.extend(r.items.into_iter().map(|i| i.expr));
            if turned {
                exprs.rotate_left(left_columns);
            }
        }
        let from = QuerySource::Join { left: Box::new(l.from), right: Box::new(r.from), kind, on };
        let query = Query { filter: l.filter, ..Query::over(from, items(exprs, schema)) };
        Self { input: left.input, query, work: true, scans }
    }

    /// `UNION ALL`; items of all have the types of `schema`.
    pub(super) fn union(blocks: Vec<Self>, schema: &DFSchema, aliases: &Aliases) -> Result<Self, Refusal> {
        let Some(input) = blocks.first().map(|b| b.input.clone()) else { return Err("an empty union".into()) };
        let alias = aliases.next();
        let scans = blocks.iter().flat_map(Self::scans).collect();
        let mut inputs = Vec::new();
        for b in blocks {
            let b = if b.query.limit.is_some() { b.wrap(aliases) } else { b };
            let exprs = b.columns();
            if exprs.iter().zip(schema.fields()).any(|(e, f)| e.data_type() != plain(f.data_type())) {
                return Err("a union of different types".into());
            }
            inputs.push(b.project(exprs, schema).query);
        }
        let Some(first) = inputs.first() else { return Err("an empty union".into()) };
        let items = first
            .items
            .iter()
            .map(|i| {
                let expr = QueryExpr::Column(QueryColumn {
                    source: alias.clone(),
                    name: i.field.name().clone(),
                    field: i.field.clone(),
                    info: None,
                });
                QueryItem { field: i.field.clone(), expr }
            })
            .collect();
        Ok(Self { input, query: Query::over(QuerySource::Union { inputs, alias }, items), work: true, scans })
    }
}

fn has_exists(s: &QuerySource) -> bool {
    match s {
        QuerySource::Table { .. } | QuerySource::Query { .. } | QuerySource::Union { .. } => false,
        QuerySource::Join { kind: QueryJoin::Semi | QueryJoin::Anti, .. } => true,
        QuerySource::Join { left, right, .. } => has_exists(left) || has_exists(right),
    }
}

/// Items for the fields of `schema`: a name is kept where every server takes it as it is, else made up. PostgreSQL cuts
/// names at 63 bytes, MySQL and SQLite compare them without case.
fn items(exprs: Vec<QueryExpr>, schema: &DFSchema) -> Vec<QueryItem> {
    let easy = |n: &str| {
        n.len() <= 40
            && n.starts_with(|c: char| c.is_ascii_alphabetic())
            && n.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let mut taken: HashSet<String> = HashSet::new();
    let mut named: Vec<Option<String>> = Vec::new();
    for f in schema.fields() {
        let keep = easy(f.name()) && taken.insert(f.name().clone());
        named.push(keep.then(|| f.name().clone()));
    }
    let mut n = 0;
    exprs
        .into_iter()
        .zip(schema.fields())
        .zip(named)
        .map(|((expr, field), name)| {
            let name = name.unwrap_or_else(|| {
                loop {
                    n += 1;
                    let made_up = format!("c{n}");
                    if taken.insert(made_up.clone()) {
                        return made_up;
                    }
                }
            });
            let field = Field::clone(field).with_name(name).with_data_type(plain(field.data_type()));
            QueryItem { field: Arc::new(field), expr }
        })
        .collect()
}

/// Whether each item has the type that its field says.
pub(super) fn typed(items: &[QueryItem]) -> bool {
    items.iter().all(|i| i.expr.data_type() == *i.field.data_type() && *i.field.data_type() != DataType::Null)
}
