//! The logical leaf that stands where a subplan was, and the physical read of it.

use super::expr::plain;
use crate::RemoteScanExec;
use arrow::datatypes::Field;
use async_trait::async_trait;
use datafusion::common::{Column, DFSchema, DFSchemaRef, plan_err};
use datafusion::error::Result as DfResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, Projection, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use xdb_core::{Query, ScanPlan, TableInput};

/// A subplan that its connection answers as one query, already planned by the connector.
#[derive(Clone, Debug)]
pub(super) struct RemoteSubplan {
    /// The replaced plan's, with its qualifiers.
    pub(super) schema: DFSchemaRef,
    pub(super) input: TableInput,
    pub(super) query: Arc<Query>,
    pub(super) scan: ScanPlan,
    pub(super) rows: Option<usize>,
}

impl RemoteSubplan {
    /// The leaf as it stands in a plan. Where the plan wants another kind of text than sources give, it is made of theirs.
    pub(super) fn into_plan(mut self) -> DfResult<LogicalPlan> {
        let wanted = self.schema.clone();
        let same = wanted.fields().iter().all(|f| plain(f.data_type()) == *f.data_type());
        if same {
            return Ok(LogicalPlan::Extension(Extension { node: Arc::new(self) }));
        }
        let fields = wanted
            .iter()
            .map(|(q, f)| (q.cloned(), Arc::new(Field::clone(f).with_data_type(plain(f.data_type())))))
            .collect();
        self.schema = Arc::new(DFSchema::new_with_metadata(fields, wanted.metadata().clone())?);
        let exprs = wanted
            .iter()
            .map(|(q, f)| {
                let column = Expr::Column(Column::new(q.cloned(), f.name()));
                if plain(f.data_type()) == *f.data_type() {
                    return column;
                }
                Expr::Cast(Cast::new(Box::new(column), f.data_type().clone())).alias_qualified(q.cloned(), f.name())
            })
            .collect();
        let leaf = Arc::new(LogicalPlan::Extension(Extension { node: Arc::new(self) }));
        Ok(LogicalPlan::Projection(Projection::try_new_with_schema(exprs, leaf, wanted)?))
    }
    fn statements(&self) -> Vec<&str> {
        self.scan.splits.iter().map(|s| s.sql.as_str()).collect()
    }
}

impl PartialEq for RemoteSubplan {
    fn eq(&self, other: &Self) -> bool {
        self.input.connection == other.input.connection
            && self.schema == other.schema
            && self.statements() == other.statements()
    }
}
impl Eq for RemoteSubplan {}
impl Hash for RemoteSubplan {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.connection.hash(state);
        self.schema.hash(state);
        self.statements().hash(state);
    }
}
impl PartialOrd for RemoteSubplan {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let order = self.input.connection.cmp(&other.input.connection);
        let order = order.then_with(|| self.statements().cmp(&other.statements()));
        (order != Ordering::Equal || self == other).then_some(order)
    }
}

impl UserDefinedLogicalNodeCore for RemoteSubplan {
    fn name(&self) -> &str {
        "RemoteSubplan"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteSubplan: {} sql={}", self.input.connection, self.statements().join("; "))
    }
    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        if !exprs.is_empty() || !inputs.is_empty() {
            return plan_err!("a remote subplan has no inputs");
        }
        Ok(self.clone())
    }
}

/// Plans the leaves that [`federate`](super::federate) makes.
#[derive(Debug, Default)]
pub struct SubplanPlanner;

#[async_trait]
impl ExtensionPlanner for SubplanPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        _physical_inputs: &[Arc<dyn ExecutionPlan>],
        _state: &SessionState,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        Ok(node.as_any().downcast_ref::<RemoteSubplan>().map(|n| {
            let schema = n.schema.inner().clone();
            let (input, query, scan) = (n.input.clone(), n.query.clone(), n.scan.clone());
            let mut permits = Vec::new();
            while permits.len() + 1 < scan.splits.len() {
                match input.spare.clone().try_acquire_owned() {
                    Ok(p) => permits.push(p),
                    Err(_) => break,
                }
            }
            Arc::new(RemoteScanExec::query(input, query, scan, schema, permits, n.rows)) as _
        }))
    }
}
