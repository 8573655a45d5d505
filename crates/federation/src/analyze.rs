//! What a query needs of each table, for an engine that isn't DataFusion.
//!
//! The SQL is planned with DataFusion's parser and only filters are moved down: no constant is folded and no expression
//! rewritten, so that a condition found on a table is one the user wrote, with the same meaning in any engine. Whatever
//! can't be planned (another dialect's syntax) yields no filters, never wrong ones.

use crate::{convert, table};
use arrow::datatypes::Schema;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};
use datafusion::prelude::{SessionConfig, SessionContext};
use std::collections::BTreeMap;
use std::sync::Arc;
use xdb_core::{Predicate, Result, TableInput};

/// Per table (by federated name): a condition that every row the query can use meets; `None` where nothing is known.
#[derive(Debug, Default)]
pub struct TableNeeds {
    pub filters: BTreeMap<[String; 3], Option<Predicate>>,
    /// The output schema as DataFusion sees it, where it could plan: carries the columns' logical types.
    pub schema: Option<Schema>,
    /// Why nothing could be found out.
    pub unplanned: Option<String>,
}

/// See the [module](self). Does no I/O.
pub async fn needs(sql: &str, inputs: &[TableInput]) -> Result<TableNeeds> {
    let ctx = planner(inputs)?;
    let plan = match ctx.state().create_logical_plan(sql).await {
        Ok(p) => p,
        Err(e) => return Ok(TableNeeds { unplanned: Some(e.strip_backtrace()), ..TableNeeds::default() }),
    };
    let schema = Schema::clone(plan.schema().as_arrow());
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![Arc::new(PushDownFilter::new())];
    let pushed = match Optimizer::with_rules(rules).optimize(plan, &OptimizerContext::new(), |_, _| {}) {
        Ok(p) => p,
        Err(e) => return Ok(TableNeeds { unplanned: Some(e.strip_backtrace()), ..TableNeeds::default() }),
    };
    let mut found: BTreeMap<[String; 3], Vec<Option<Predicate>>> = BTreeMap::new();
    let visited = pushed.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found.entry(scan_name(scan)).or_default().push(scan_condition(scan));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if let Err(e) = visited {
        return Ok(TableNeeds { unplanned: Some(e.strip_backtrace()), ..TableNeeds::default() });
    }
    let filters = found.into_iter().map(|(name, all)| (name, any_of(all))).collect();
    Ok(TableNeeds { filters, schema: Some(schema), unplanned: None })
}

/// A session that plans what DuckDB is to run.
pub(crate) fn planner(inputs: &[TableInput]) -> Result<SessionContext> {
    let mut config = SessionConfig::new();
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    config.options_mut().sql_parser.dialect = datafusion::config::Dialect::DuckDB;
    let ctx = SessionContext::new_with_config(config);
    for input in inputs {
        table::register(&ctx, input.clone())?;
    }
    Ok(ctx)
}

pub(crate) fn scan_name(scan: &TableScan) -> [String; 3] {
    [
        scan.table_name.catalog().unwrap_or_default().into(),
        scan.table_name.schema().unwrap_or_default().into(),
        scan.table_name.table().into(),
    ]
}

/// The filters of one scan that convert, all of which hold.
fn scan_condition(scan: &TableScan) -> Option<Predicate> {
    let schema = scan.source.schema();
    let all: Vec<Predicate> = scan.filters.iter().filter_map(|f| convert::predicate(f, &schema)).collect();
    match all.len() {
        0 => None,
        1 => all.into_iter().next(),
        _ => Some(Predicate::And(all)),
    }
}

/// A table read twice needs the rows of either place.
fn any_of(all: Vec<Option<Predicate>>) -> Option<Predicate> {
    let mut known = all.into_iter().collect::<Option<Vec<_>>>()?;
    known.dedup();
    match known.len() {
        0 => None,
        1 => known.pop(),
        _ => Some(Predicate::Or(known)),
    }
}
