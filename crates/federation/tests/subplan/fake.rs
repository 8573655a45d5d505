//! A source that holds tables in memory, answers queries as far as it is told to, and remembers what it was sent.

use crate::sql;
use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use std::sync::{Arc, Mutex};
use xdb_core::*;
use xdb_federation::{Planned, configure, from_datafusion, physical_plan, physical_rules, register};

pub(crate) static FAKE: ConnectorDef = ConnectorDef {
    name: "fake",
    aliases: &[],
    title: "Fake",
    about: "",
    params: &[],
    capabilities: Capabilities {
        read: true,
        filter: true,
        limit: true,
        parallel_read: false,
        consistent_splits: true,
        load: false,
        append: false,
        merge: false,
        atomic_replace: false,
        execute: false,
        parameters: false,
        views: false,
        schemas: false,
        tls: false,
        unix_socket: false,
        cancel: true,
    },
    source_types: &[],
    target_type: |_| Err(Error::unsupported("write")),
    validate: |_| Err(Error::unsupported("configure")),
};

pub(crate) type Rule = Arc<dyn Fn(&Query) -> std::result::Result<(), String> + Send + Sync>;

pub(crate) type Estimates = Arc<dyn Fn(&str) -> ReadEstimate + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) name: String,
    pub(crate) tables: Vec<(String, RecordBatch, Vec<String>)>,
    /// What `accepts` answers.
    pub(crate) rule: Rule,
    /// Rows that a table is said to have, where that isn't what it has.
    pub(crate) sizes: Vec<(String, u64)>,
    /// Fails when a query is planned although it was accepted.
    pub(crate) refuses_plans: bool,
    /// Statements sent.
    pub(crate) sent: Arc<Mutex<Vec<String>>>,
    /// What `estimate` answers, by statement.
    pub(crate) estimates: Option<Estimates>,
}
impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Fake {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            tables: vec![],
            rule: Arc::new(|_| Ok(())),
            sizes: vec![],
            refuses_plans: false,
            sent: Arc::default(),
            estimates: None,
        }
    }
    pub(crate) fn table(mut self, name: &str, key: &[&str], columns: Vec<(&str, ArrayRef, bool)>) -> Self {
        let fields: Vec<Field> =
            columns.iter().map(|(n, a, nullable)| Field::new(*n, a.data_type().clone(), *nullable)).collect();
        let arrays = columns.into_iter().map(|(_, a, _)| a).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
        self.tables.push((name.into(), batch, key.iter().map(|k| k.to_string()).collect()));
        self
    }
    pub(crate) fn input(&self, table: &str, pushdown: PushdownMode) -> TableInput {
        let (name, batch, key) = self.tables.iter().find(|t| t.0 == table).unwrap();
        let column = |f: &Arc<Field>| ColumnInfo {
            name: f.name().clone(),
            source_type: f.data_type().to_string(),
            nullable: f.is_nullable(),
            collation: None,
            binary_equality: true,
            comment: None,
        };
        let said = self.sizes.iter().find(|s| s.0 == table).map(|s| s.1);
        let info = TableInfo {
            relation: Relation::new(None, Some("main"), name.clone()),
            kind: RelationKind::Table,
            columns: batch.schema().fields().iter().map(column).collect(),
            schema: batch.schema(),
            primary_key: key.clone(),
            row_estimate: Some(said.unwrap_or(batch.num_rows() as u64)),
            bytes_estimate: None,
        };
        TableInput {
            connection: self.name.clone(),
            connector: Arc::new(self.clone()),
            table: Arc::new(info),
            stats: Arc::default(),
            spare: Arc::new(tokio::sync::Semaphore::new(4)),
            parallelism: 2,
            types: TypePolicy::Exact,
            pushdown,
        }
    }
}

#[async_trait]
impl Connector for Fake {
    fn def(&self) -> &'static ConnectorDef {
        &FAKE
    }
    fn context_id(&self) -> ContextId {
        ContextId(self.name.clone())
    }
    fn resolve(&self, rel: &Relation) -> Relation {
        rel.clone()
    }
    fn relation_sql(&self, rel: &Relation) -> String {
        rel.to_string()
    }
    fn budget(&self) -> usize {
        4
    }
    async fn check(&self) -> Result<ServerInfo> {
        Err(Error::unsupported("check"))
    }
    async fn list(&self, _: &RelationPattern) -> Result<Vec<RelationInfo>> {
        Ok(vec![])
    }
    async fn describe(&self, _: &Relation) -> Result<TableInfo> {
        Err(Error::unsupported("describe"))
    }
    fn extract(&self) -> Option<&dyn Extract> {
        Some(self)
    }
}

/// Serialized with the split, as a real connector would.
fn encode(schema: &Schema) -> Vec<serde_json::Value> {
    let types = |f: &Arc<Field>| serde_json::json!([f.name(), format!("{:?}", f.data_type()), f.is_nullable()]);
    schema.fields().iter().map(types).collect()
}
fn decode(fields: &serde_json::Value) -> Arc<Schema> {
    let field = |v: &serde_json::Value| {
        let t: DataType = v[1].as_str().unwrap().parse().unwrap();
        Field::new(v[0].as_str().unwrap(), t, v[2].as_bool().unwrap())
    };
    Arc::new(Schema::new(fields.as_array().unwrap().iter().map(field).collect::<Vec<_>>()))
}
fn one_split(schema: arrow::datatypes::SchemaRef, sql: String) -> ScanPlan {
    let payload = serde_json::json!(encode(&schema));
    ScanPlan { schema, splits: vec![Split { payload, sql, row_estimate: None }], guard: None }
}

#[async_trait]
impl Extract for Fake {
    fn pushdown(&self, _: &TableInfo, predicates: &[Predicate]) -> Vec<Pushdown> {
        // All three answers occur.
        let answer = |p: &Predicate| match p.columns().as_slice() {
            c if c.contains(&"d") => Pushdown::no("no dates"),
            c if c.contains(&"s") => Pushdown::Inexact,
            _ => Pushdown::Exact,
        };
        predicates.iter().map(answer).collect()
    }
    async fn plan(&self, r: &ScanRequest) -> Result<ScanPlan> {
        let columns: Vec<String> = r.column_names().iter().map(|c| format!("\"{c}\"")).collect();
        let columns = if columns.is_empty() { "1 as c0".into() } else { columns.join(", ") };
        let mut sql = format!("select {columns} from \"{}\"", r.table.relation.name);
        if !r.predicates.is_empty() {
            let all: Vec<String> = r.predicates.iter().map(|p| sql::predicate(p, &r.table)).collect();
            sql += &format!(" where {}", all.join(" and "));
        }
        if let Some(n) = r.limit {
            sql += &format!(" limit {n}");
        }
        Ok(one_split(r.schema(), sql))
    }
    fn accepts(&self, query: &Query) -> std::result::Result<(), String> {
        (self.rule)(query)
    }
    async fn plan_query(&self, query: &Query) -> Result<ScanPlan> {
        if self.refuses_plans {
            return Err(Error::unsupported("changed my mind"));
        }
        let mut names: Vec<String> = query.items.iter().map(|i| i.field.name().to_lowercase()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), query.items.len(), "names are unique");
        Ok(one_split(query.schema(), sql::query(query)))
    }
    async fn estimate(&self, plan: &ScanPlan) -> Result<Option<ReadEstimate>> {
        Ok(self.estimates.as_ref().map(|e| e(&plan.splits[0].sql)))
    }
    async fn read(&self, s: &Split, ctx: &ReadContext) -> Result<ArrowStream> {
        self.sent.lock().unwrap().push(s.sql.clone());
        let df = |e| from_datafusion(e, "fake").sql(s.sql.clone());
        let mut config = datafusion::prelude::SessionConfig::new();
        config.options_mut().optimizer.enable_topk_aggregation = false;
        let session = SessionContext::new_with_config(config);
        for (name, batch, _) in &self.tables {
            session.register_batch(format!("\"{name}\""), batch.clone()).map_err(df)?;
        }
        let batches = session.sql(&s.sql).await.map_err(df)?.collect().await.map_err(df)?;
        let schema = decode(&s.payload);
        let mut out = Vec::new();
        for b in batches {
            ctx.stats.add_rows(b.num_rows() as u64);
            let columns = if schema.fields().is_empty() { vec![] } else { b.columns().to_vec() };
            let options = RecordBatchOptions::new().with_row_count(Some(b.num_rows()));
            out.push(RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|e| {
                Error::internal(format!("the fake's answer has other types or NULLs: {e}")).sql(s.sql.clone())
            })?);
        }
        Ok(ArrowStream::from_batches(schema, out))
    }
}

/// What came of one query.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Sorted.
    pub(crate) rows: Vec<String>,
    pub(crate) sent: Vec<String>,
    pub(crate) choices: Vec<PushdownChoice>,
    pub(crate) not_pushed: Vec<(String, String)>,
    /// DataFusion's plan.
    pub(crate) plan: String,
}

pub(crate) async fn run(fakes: &[Fake], mode: PushdownMode, sql: &str) -> Result<Outcome> {
    let df = |e| from_datafusion(e, "datafusion");
    let mut config = datafusion::prelude::SessionConfig::new().with_target_partitions(2);
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    configure(config.options_mut());
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_physical_optimizer_rules(physical_rules())
        .build();
    let ctx = SessionContext::new_with_state(state);
    for f in fakes {
        f.sent.lock().unwrap().clear();
        for (t, ..) in &f.tables {
            register(&ctx, f.input(t, mode))?;
        }
    }
    let state = ctx.state();
    let logical = state.create_logical_plan(sql).await.map_err(df)?;
    let Planned { plan, choices, not_pushed } = physical_plan(&state, &logical).await.map_err(df)?;
    let text = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
    let schema = plan.schema();
    assert_eq!(schema.fields().len(), logical.schema().fields().len());
    let batches = datafusion::physical_plan::collect(plan, ctx.task_ctx()).await.map_err(df)?;
    let mut rows = Vec::new();
    for b in &batches {
        let options = arrow::util::display::FormatOptions::default().with_null("NULL");
        let columns: Vec<_> = b
            .columns()
            .iter()
            .map(|c| arrow::util::display::ArrayFormatter::try_new(c.as_ref(), &options).unwrap())
            .collect();
        for r in 0..b.num_rows() {
            rows.push(columns.iter().map(|c| c.value(r).to_string()).collect::<Vec<_>>().join(" | "));
        }
    }
    rows.sort();
    let sent = fakes.iter().flat_map(|f| f.sent.lock().unwrap().clone()).collect();
    Ok(Outcome { rows, sent, choices, not_pushed, plan: text })
}

pub(crate) fn ints(v: &[Option<i32>]) -> ArrayRef {
    Arc::new(Int32Array::from(v.to_vec()))
}
pub(crate) fn longs(v: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(v.to_vec()))
}
pub(crate) fn texts(v: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(v.to_vec()))
}
pub(crate) fn dates(v: &[Option<i32>]) -> ArrayRef {
    Arc::new(Date32Array::from(v.to_vec()))
}
/// Cents.
pub(crate) fn money(v: &[Option<i128>]) -> ArrayRef {
    Arc::new(Decimal128Array::from(v.to_vec()).with_precision_and_scale(15, 2).unwrap())
}
