//! One `SessionContext` a query, with a memory limit, a spill folder and the sources as lazy tables.

use async_trait::async_trait;
use datafusion::common::ScalarValue;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool, UnboundedMemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;
use xdb_core::engine::{QueryActual, SourceRead};
use xdb_core::{
    ArrowStream, Engine, EngineDef, EngineInput, EngineOptions, EngineSession, Error, ErrorKind, Explanation, Literal,
    Naming, Result,
};
use xdb_federation::{Planned, RemoteScanExec, configure, from_datafusion, physical_plan, physical_rules, register};

const NAME: &str = "datafusion";

pub static DEF: EngineDef = EngineDef {
    name: NAME,
    about: "Apache DataFusion, in the xdb process. SQL close to PostgreSQL's; unquoted names are folded to lower case.",
    naming: Naming::Federated,
    new: || Arc::new(DataFusionEngine),
};

struct DataFusionEngine;

#[async_trait]
impl Engine for DataFusionEngine {
    fn def(&self) -> &'static EngineDef {
        &DEF
    }
    async fn session(&self, options: &EngineOptions) -> Result<Box<dyn EngineSession>> {
        let mut config = SessionConfig::new().with_target_partitions(options.threads.max(1)).with_batch_size(8192);
        let o = config.options_mut();
        // 0.06 + 0.01 is 0.07: constants with a point are exact decimals, as in PostgreSQL and DuckDB.
        o.sql_parser.parse_float_as_decimal = true;
        // Sources give Utf8; keeping it avoids a copy into views on every text column.
        o.sql_parser.map_string_types_to_utf8view = false;
        o.sql_parser.dialect = datafusion::config::Dialect::PostgreSQL;
        o.catalog.information_schema = false;
        // Seen to give other rows than sorting all groups does, in a random test (docs/decisions/0009-subplans.md).
        o.optimizer.enable_topk_aggregation = false;
        configure(o);
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![options.temp_dir.clone()]))
            // The folder's own free space is the limit.
            .with_max_temp_directory_size(u64::MAX);
        let runtime = RuntimeEnvBuilder::new().with_disk_manager_builder(disk);
        let top = NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN);
        let runtime = match options.memory_limit {
            Some(bytes) => {
                let pool = FairSpillPool::new(usize::try_from(bytes).unwrap_or(usize::MAX));
                runtime.with_memory_pool(Arc::new(TrackConsumersPool::new(pool, top)))
            }
            None => runtime.with_memory_pool(Arc::new(UnboundedMemoryPool::default())),
        };
        let runtime = runtime.build_arc().map_err(|e| from_datafusion(e, NAME))?;
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .with_physical_optimizer_rules(physical_rules())
            .build();
        Ok(Box::new(Session { ctx: SessionContext::new_with_state(state), params: vec![] }))
    }
}

struct Session {
    ctx: SessionContext,
    params: Vec<(String, Literal)>,
}

impl Session {
    async fn physical(&self, sql: &str) -> Result<Planned> {
        let df = |e| from_datafusion(e, NAME);
        let state = self.ctx.state();
        let logical = state.create_logical_plan(sql).await.map_err(df)?;
        use datafusion::logical_expr::LogicalPlan as L;
        if matches!(logical, L::Ddl(_) | L::Dml(_) | L::Copy(_) | L::Statement(_)) {
            return Err(Error::new(ErrorKind::Sql, "a model must be one SELECT statement")
                .hint("xdb creates the target table itself; put other statements into `pre_hook` or `post_hook`"));
        }
        let logical = if self.params.is_empty() {
            logical
        } else {
            let values = self.params.iter().map(|(n, v)| Ok((n.clone(), scalar(v)?))).collect::<Result<Vec<_>>>()?;
            logical.with_param_values(values).map_err(df)?
        };
        physical_plan(&state, &logical).await.map_err(df)
    }
}

fn scalar(v: &Literal) -> Result<ScalarValue> {
    Ok(match v {
        Literal::Null => ScalarValue::Null,
        Literal::Bool(b) => ScalarValue::from(*b),
        Literal::Int(i) => ScalarValue::from(*i),
        Literal::UInt(u) => ScalarValue::from(*u),
        Literal::Float(f) => ScalarValue::from(*f),
        Literal::Decimal { value, scale } => {
            ScalarValue::try_new_decimal128(*value, 38, *scale).map_err(|e| from_datafusion(e, NAME))?
        }
        Literal::Utf8(t) => ScalarValue::from(t.as_str()),
        Literal::Binary(b) => ScalarValue::Binary(Some(b.clone())),
        Literal::Date(d) => ScalarValue::Date32(Some(*d)),
        Literal::Time(t) => ScalarValue::Time64Microsecond(Some(*t)),
        Literal::Timestamp { micros, utc } => {
            ScalarValue::TimestampMicrosecond(Some(*micros), utc.then(|| "UTC".into()))
        }
    })
}

#[async_trait]
impl EngineSession for Session {
    async fn attach(&mut self, input: EngineInput) -> Result<()> {
        match input {
            EngineInput::Table(t) => register(&self.ctx, t),
        }
    }

    fn bind(&mut self, params: Vec<(String, Literal)>) -> Result<()> {
        self.params = params;
        Ok(())
    }

    async fn execute(&mut self, sql: &str) -> Result<ArrowStream> {
        let plan = self.physical(sql).await?.plan;
        let schema = plan.schema();
        let stream = execute_stream(plan, self.ctx.task_ctx()).map_err(|e| from_datafusion(e, NAME))?;
        Ok(ArrowStream::new(schema, stream.map(|b| b.map_err(|e| from_datafusion(e, NAME)))))
    }

    async fn explain(&mut self, sql: &str) -> Result<Explanation> {
        let Planned { plan, choices, not_pushed } = self.physical(sql).await?;
        let text = displayable(plan.as_ref()).indent(false).to_string();
        Ok(Explanation { plan: text, sources: sources(plan, false).await?, choices, not_pushed, actual: None })
    }

    async fn analyze(&mut self, sql: &str) -> Result<Explanation> {
        let df = |e| from_datafusion(e, NAME);
        let start = Instant::now();
        let Planned { plan, choices, not_pushed } = self.physical(sql).await?;
        let mut actual = QueryActual::default();
        let mut rows = execute_stream(plan.clone(), self.ctx.task_ctx()).map_err(df)?;
        while let Some(batch) = rows.next().await {
            actual.rows += batch.map_err(df)?.num_rows() as u64;
        }
        drop(rows);
        actual.elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let text = DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(false).to_string();
        Ok(Explanation { plan: text, sources: sources(plan, true).await?, choices, not_pushed, actual: Some(actual) })
    }
}

/// What each scan of `plan` sends, or has sent.
async fn sources(plan: Arc<dyn ExecutionPlan>, ran: bool) -> Result<Vec<SourceRead>> {
    let mut out = vec![];
    let mut todo = vec![plan];
    while let Some(node) = todo.pop() {
        if let Some(scan) = node.downcast_ref::<RemoteScanExec>() {
            out.push(scan.source_read(ran).await?);
        }
        todo.extend(node.children().into_iter().rev().cloned());
    }
    Ok(out)
}
