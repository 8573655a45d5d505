//! The physical scan: one partition a split, each opened when first polled.

use crate::to_datafusion;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::Result as DfResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt};
use std::fmt;
use std::sync::{Arc, Mutex};
use tokio::sync::OwnedSemaphorePermit;
use xdb_core::engine::SourceRead;
use xdb_core::{ReadContext, ScanPlan, TableInput};

#[derive(Debug)]
pub struct RemoteScanExec {
    input: TableInput,
    plan: ScanPlan,
    /// One for each split beyond the first; a partition's stream takes one and gives it back when it ends.
    permits: Mutex<Vec<OwnedSemaphorePermit>>,
    rows: Option<usize>,
    not_pushed: Vec<(String, String)>,
    properties: Arc<PlanProperties>,
}

impl RemoteScanExec {
    pub fn new(
        input: TableInput,
        plan: ScanPlan,
        permits: Vec<OwnedSemaphorePermit>,
        rows: Option<usize>,
        not_pushed: Vec<(String, String)>,
    ) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(plan.schema.clone()),
            Partitioning::UnknownPartitioning(plan.splits.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Self { input, plan, permits: Mutex::new(permits), rows, not_pushed, properties }
    }

    /// What `explain` shows of it.
    pub fn source_read(&self) -> SourceRead {
        SourceRead {
            connection: self.input.connection.clone(),
            relation: self.input.table.relation.to_string(),
            sql: self.plan.splits.iter().map(|s| s.sql.clone()).collect(),
            not_pushed: self.not_pushed.clone(),
            row_estimate: self.rows.map(|n| n as u64),
        }
    }
}

impl DisplayAs for RemoteScanExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.plan.splits.first().map(|s| s.sql.as_str()).unwrap_or("nothing");
        write!(f, "RemoteScan: {} splits={} sql={first}", self.input.connection, self.plan.splits.len())
    }
}

impl ExecutionPlan for RemoteScanExec {
    fn name(&self) -> &str {
        "RemoteScan"
    }
    fn schema(&self) -> SchemaRef {
        self.plan.schema.clone()
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }
    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }
    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let Some(split) = self.plan.splits.get(partition).cloned() else {
            return internal_err!("no split {partition}");
        };
        let permit = match partition {
            0 => None,
            _ => self.permits.lock().ok().and_then(|mut p| p.pop()),
        };
        let input = self.input.clone();
        let guard = self.plan.guard.clone();
        let ctx = ReadContext {
            stats: input.stats.clone(),
            batch_rows: context.session_config().batch_size(),
            ..ReadContext::default()
        };
        let stream = futures::stream::once(async move {
            let Some(extract) = input.connector.extract() else {
                return Err(to_datafusion(xdb_core::Error::internal("not readable")));
            };
            let stream = extract.read(&split, &ctx).await.map_err(to_datafusion)?;
            let held = (permit, guard);
            Ok(stream.map(move |b| {
                let _ = &held;
                b.map_err(to_datafusion)
            }))
        })
        .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.plan.schema.clone(), stream)))
    }
    fn partition_statistics(&self, partition: Option<usize>) -> DfResult<Arc<Statistics>> {
        let mut s = Statistics::new_unknown(&self.plan.schema);
        if let Some(rows) = self.rows {
            let rows = if partition.is_some() { rows / self.plan.splits.len().max(1) } else { rows };
            s.num_rows = Precision::Inexact(rows);
        }
        Ok(Arc::new(s))
    }
}
