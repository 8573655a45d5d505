//! The physical scan of a remote relation: planned when first polled, one partition a split.
//!
//! Planning waits because by then the query may know more (see [`dynamic`](crate::dynamic)), and because it may open things
//! on the server, which are then held no longer than needed.

use crate::dynamic::{Known, RuntimeSource, Wait};
use crate::{RemoteRead, to_datafusion};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{Count, Metric, MetricValue, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, OwnedSemaphorePermit};
use xdb_core::engine::{ReadActual, RuntimeFilter, SourceRead};
use xdb_core::{
    ArrowStream, Error, Extract, IoStats, Predicate, Pushdown, Query, ReadContext, Result, ScanPlan, TableInput,
    TypePolicy,
};

#[derive(Debug)]
pub struct RemoteScanExec {
    shared: Arc<Shared>,
    /// One for each partition beyond the first; a partition's stream takes one and gives it back when it ends.
    permits: Arc<Mutex<Vec<OwnedSemaphorePermit>>>,
    properties: Arc<PlanProperties>,
}

/// What the partitions' streams have in common.
#[derive(Debug)]
struct Shared {
    input: TableInput,
    read: RemoteRead,
    schema: SchemaRef,
    partitions: usize,
    rows: Option<usize>,
    not_pushed: Vec<(String, String)>,
    /// The plan without runtime filters, where it was made already.
    early: Option<ScanPlan>,
    filters: Vec<RuntimeSource>,
    wait: Wait,
    planned: OnceCell<Planned>,
    stats: Arc<IoStats>,
    times: Times,
}

/// The read as it was sent.
#[derive(Debug)]
struct Planned {
    /// `None`: a filter said that no row is needed.
    plan: Option<ScanPlan>,
    waited: Duration,
    /// One for each filter.
    outcomes: Vec<(bool, String)>,
}

/// When the first split began and the last one ended.
#[derive(Debug, Default)]
struct Times {
    start: OnceLock<Instant>,
    end: Mutex<Option<Instant>>,
}

impl RemoteScanExec {
    /// A scan that is planned when its rows are first asked for. It has as many partitions as `read` is expected to have
    /// splits; one of `permits` is held by each partition beyond the first.
    pub fn new(
        input: TableInput,
        read: RemoteRead,
        partitions: usize,
        permits: Vec<OwnedSemaphorePermit>,
        rows: Option<usize>,
        not_pushed: Vec<(String, String)>,
    ) -> Self {
        Self::build(input, read, partitions, None, permits, rows, not_pushed)
    }

    /// A scan that is planned already.
    pub fn planned(
        input: TableInput,
        read: RemoteRead,
        plan: ScanPlan,
        permits: Vec<OwnedSemaphorePermit>,
        rows: Option<usize>,
        not_pushed: Vec<(String, String)>,
    ) -> Self {
        Self::build(input, read, plan.splits.len(), Some(plan), permits, rows, not_pushed)
    }

    /// The read of a query that is planned already. Its columns get the names of `schema`, which need not be unique.
    pub(crate) fn query(
        input: TableInput,
        query: Arc<Query>,
        plan: ScanPlan,
        schema: SchemaRef,
        permits: Vec<OwnedSemaphorePermit>,
        rows: Option<usize>,
    ) -> Self {
        Self::planned(input, RemoteRead::Query(query), plan, permits, rows, vec![]).named(schema)
    }

    fn build(
        input: TableInput,
        read: RemoteRead,
        partitions: usize,
        early: Option<ScanPlan>,
        mut permits: Vec<OwnedSemaphorePermit>,
        rows: Option<usize>,
        not_pushed: Vec<(String, String)>,
    ) -> Self {
        let partitions = partitions.max(1);
        permits.truncate(partitions - 1);
        let schema = match &early {
            Some(p) => p.schema.clone(),
            None => read.schema(),
        };
        let properties = properties(&schema, partitions);
        let stats = Arc::new(IoStats::part_of(input.stats.clone()));
        let shared = Shared {
            input,
            read,
            schema,
            partitions,
            rows,
            not_pushed,
            early,
            filters: vec![],
            wait: Wait::default(),
            planned: OnceCell::new(),
            stats,
            times: Times::default(),
        };
        Self { shared: Arc::new(shared), permits: Arc::new(Mutex::new(permits)), properties }
    }

    /// The same scan with the plan's own names for its columns, whose types are those of `read`. Not for a scan that has
    /// started.
    pub(crate) fn named(self, schema: SchemaRef) -> Self {
        let properties = properties(&schema, self.shared.partitions);
        let shared = Shared { schema, ..self.shared.again() };
        Self { shared: Arc::new(shared), permits: self.permits, properties }
    }

    /// Whether a filter on an output column could be added while the query runs.
    pub(crate) fn takes_runtime_filters(&self, column: usize) -> bool {
        let s = &self.shared;
        // Under `types: lossy` a source may filter by what it holds, not by what it is read as.
        s.input.pushdown.is_on() && s.input.types == TypePolicy::Exact && s.read.can_filter(column)
    }

    /// The same scan with filters that become known while the query runs. Not for a scan that has started.
    pub(crate) fn with_runtime_filters(&self, filters: Vec<RuntimeSource>) -> Self {
        let shared = Shared { filters, ..self.shared.again() };
        Self { shared: Arc::new(shared), permits: self.permits.clone(), properties: self.properties.clone() }
    }

    /// What `explain` shows of it: before running, what would be sent without runtime filters; after (`ran`), what was
    /// sent.
    pub async fn source_read(&self, ran: bool) -> Result<SourceRead> {
        let s = &self.shared;
        let done = s.planned.get();
        let plan = match (done, &s.early) {
            (Some(p), _) => p.plan.clone(),
            // Nobody asked for its rows: the other side of a join was empty, or a limit was reached.
            (None, _) if ran => None,
            (None, Some(p)) => Some(p.clone()),
            (None, None) => Some(s.read.plan(s.extract()?, &[]).await.map_err(|e| s.locate(e))?),
        };
        let sql: Vec<String> = plan.into_iter().flat_map(|p| p.splits).map(|s| s.sql).collect();
        let filter = |(i, f): (usize, &RuntimeSource)| {
            let outcome = done.and_then(|d| d.outcomes.get(i));
            RuntimeFilter {
                column: s.schema.fields().get(f.column).map(|f| f.name().clone()).unwrap_or_default(),
                from: f.from.clone(),
                outcome: match outcome {
                    Some((_, text)) => Some(text.clone()),
                    None => ran.then(|| "no rows were asked for".into()),
                },
                sent: outcome.is_some_and(|(sent, _)| *sent),
            }
        };
        Ok(SourceRead {
            connection: s.input.connection.clone(),
            relation: s.read.relation(),
            not_pushed: s.not_pushed.clone(),
            row_estimate: s.rows.map(|n| n as u64),
            dynamic: s.filters.iter().enumerate().map(filter).collect(),
            actual: ran.then(|| ReadActual {
                rows: s.stats.rows(),
                bytes: s.stats.bytes(),
                elapsed_ms: s.times.elapsed_ms(),
                waited_ms: done.map_or(0, |d| millis(d.waited)),
                splits: sql.len(),
            }),
            sql,
        })
    }
}

fn properties(schema: &SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema.clone()),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

impl Shared {
    /// The same, not started.
    fn again(&self) -> Self {
        Self {
            input: self.input.clone(),
            read: self.read.clone(),
            schema: self.schema.clone(),
            partitions: self.partitions,
            rows: self.rows,
            not_pushed: self.not_pushed.clone(),
            early: self.early.clone(),
            filters: self.filters.clone(),
            wait: self.wait,
            planned: OnceCell::new(),
            stats: self.stats.clone(),
            times: Times::default(),
        }
    }

    fn extract(&self) -> Result<&dyn Extract> {
        self.input.connector.extract().ok_or_else(|| {
            let title = self.input.connector.def().title;
            Error::unsupported(format!("{title} cannot be read from")).connection(&self.input.connection)
        })
    }

    fn locate(&self, e: Error) -> Error {
        match e.context().connection {
            Some(_) => e,
            None => e.connection(&self.input.connection),
        }
    }

    /// Waits for the filters and plans the read with them; once for all partitions.
    async fn planned(&self) -> Result<&Planned> {
        self.planned.get_or_try_init(|| self.plan_now()).await
    }

    async fn plan_now(&self) -> Result<Planned> {
        let extract = self.extract()?;
        let start = tokio::time::Instant::now();
        let deadline = start + self.wait.0;
        // What a predicate calls the columns.
        let source = self.read.schema();
        let mut more = Vec::new();
        let mut outcomes = Vec::new();
        let mut nothing = false;
        for f in &self.filters {
            let (sent, text) = match f.known(&source, deadline).await {
                Known::Nothing => {
                    nothing = true;
                    (true, "no row can match".into())
                }
                Known::No(why) => (false, why),
                Known::OneOf(all) => self.choose(extract, all, &mut more),
            };
            outcomes.push((sent, text));
        }
        let waited = start.elapsed();
        let plan = match (nothing, more.is_empty(), &self.early) {
            (true, ..) => None,
            (false, true, Some(p)) => Some(p.clone()),
            _ => Some(self.read.plan(extract, &more).await.map_err(|e| self.locate(e))?),
        };
        Ok(Planned { plan, waited, outcomes })
    }

    /// The first that the source takes.
    fn choose(
        &self,
        extract: &dyn Extract,
        all: Vec<(Predicate, String)>,
        more: &mut Vec<Predicate>,
    ) -> (bool, String) {
        let mut reason = None;
        for (p, text) in all {
            match self.read.accepts(extract, &p) {
                Pushdown::No(why) => reason = reason.or(Some(why)),
                Pushdown::Exact | Pushdown::Inexact => {
                    // Two filters may say the same.
                    if !more.contains(&p) {
                        more.push(p);
                    }
                    return (true, text);
                }
            }
        }
        (false, reason.unwrap_or_default())
    }

    /// The rows of one partition. Normally one split; where the plan has more splits than was expected, several in turn.
    async fn open(self: Arc<Self>, partition: usize, batch_rows: usize) -> Result<ArrowStream> {
        self.times.begin();
        let planned = self.planned().await?;
        let Some(plan) = &planned.plan else { return Ok(ArrowStream::empty(self.schema.clone())) };
        let ctx = ReadContext { stats: self.stats.clone(), batch_rows, ..ReadContext::default() };
        let mine: Vec<_> = plan.splits.iter().skip(partition).step_by(self.partitions).cloned().collect();
        if let [one] = &mine[..] {
            let rows = self.extract()?.read(one, &ctx).await.map_err(|e| self.locate(e))?;
            return Ok(self.rename(rows));
        }
        let this = self.clone();
        let rows = stream::iter(mine).then(move |split| {
            let (this, ctx) = (this.clone(), ctx.clone());
            async move { this.extract()?.read(&split, &ctx).await.map_err(|e| this.locate(e)) }
        });
        Ok(self.rename(ArrowStream::new(plan.schema.clone(), rows.try_flatten())))
    }

    /// Gives the columns the plan's names.
    fn rename(&self, rows: ArrowStream) -> ArrowStream {
        if rows.schema() == self.schema {
            return rows;
        }
        let schema = self.schema.clone();
        let rows = rows.map(move |batch| {
            let batch = batch?;
            // The number of rows is told for batches without columns.
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)?)
        });
        ArrowStream::new(self.schema.clone(), rows)
    }
}

impl Times {
    fn begin(&self) {
        self.start.get_or_init(Instant::now);
    }
    fn end(&self) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
    fn elapsed_ms(&self) -> u64 {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(Instant::now);
        self.start.get().map_or(0, |s| millis(end.duration_since(*s)))
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

/// What a partition's stream holds until it ends: its right to a connection.
struct Held {
    _permit: Option<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
}
impl Drop for Held {
    fn drop(&mut self) {
        self.shared.times.end();
    }
}

impl DisplayAs for RemoteScanExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.shared;
        write!(f, "RemoteScan: {}.{} partitions={}", s.input.connection, s.read.relation(), s.partitions)?;
        let columns = s.schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ");
        write!(f, " columns=[{columns}]")?;
        for r in &s.filters {
            let column = s.schema.fields().get(r.column).map(|f| f.name().as_str()).unwrap_or_default();
            write!(f, " {column}<-{}", r.from)?;
        }
        Ok(())
    }
}

impl ExecutionPlan for RemoteScanExec {
    fn name(&self) -> &str {
        "RemoteScan"
    }
    fn schema(&self) -> SchemaRef {
        self.shared.schema.clone()
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
        let permit = match partition {
            0 => None,
            _ => self.permits.lock().ok().and_then(|mut p| p.pop()),
        };
        let shared = self.shared.clone();
        let batch_rows = context.session_config().batch_size();
        let stream = stream::once(async move {
            let held = Held { _permit: permit, shared: shared.clone() };
            let rows = shared.open(partition, batch_rows).await.map_err(to_datafusion)?;
            Ok::<_, DataFusionError>(rows.map(move |b| {
                let _ = &held;
                b.map_err(to_datafusion)
            }))
        })
        .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream)))
    }
    fn metrics(&self) -> Option<MetricsSet> {
        let count = |n: u64| {
            let c = Count::new();
            c.add(usize::try_from(n).unwrap_or(usize::MAX));
            c
        };
        let s = &self.shared;
        let done = s.planned.get()?;
        let mut set = MetricsSet::new();
        let mut push = |value| set.push(Arc::new(Metric::new(value, None)));
        push(MetricValue::OutputRows(count(s.stats.rows())));
        push(MetricValue::Count { name: "bytes_read".into(), count: count(s.stats.bytes()) });
        push(MetricValue::Count { name: "elapsed_ms".into(), count: count(s.times.elapsed_ms()) });
        push(MetricValue::Count { name: "waited_ms".into(), count: count(millis(done.waited)) });
        let sent = done.outcomes.iter().filter(|(sent, _)| *sent).count() as u64;
        push(MetricValue::Count { name: "runtime_filters".into(), count: count(sent) });
        Some(set)
    }
    fn partition_statistics(&self, partition: Option<usize>) -> DfResult<Arc<Statistics>> {
        let mut s = Statistics::new_unknown(&self.shared.schema);
        if let Some(rows) = self.shared.rows {
            let rows = if partition.is_some() { rows / self.shared.partitions } else { rows };
            s.num_rows = Precision::Inexact(rows);
        }
        Ok(Arc::new(s))
    }
}
