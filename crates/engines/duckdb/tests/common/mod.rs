//! A source that the tests can look into: what it was asked, what is open, and when to fail.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use xdb_core::*;

pub static FAKE: ConnectorDef = ConnectorDef {
    name: "fake",
    aliases: &[],
    title: "Fake",
    about: "",
    params: &[],
    capabilities: Capabilities {
        read: true,
        filter: true,
        limit: false,
        parallel_read: true,
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

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Ending {
    #[default]
    End,
    /// The batches again and again.
    Never,
    /// An error after the batches.
    Fail,
    /// Nothing more, and no end.
    Hang,
}

#[derive(Debug, Default)]
pub struct Seen {
    pub requests: Mutex<Vec<ScanRequest>>,
    pub open: AtomicI64,
    pub most_open: AtomicI64,
    pub batches: AtomicU64,
}

#[derive(Clone, Debug)]
pub struct Fake {
    pub batches: Vec<RecordBatch>,
    pub ending: Ending,
    pub splits: usize,
    pub pause: Duration,
    pub seen: Arc<Seen>,
}

struct Open(Arc<Seen>);
impl Open {
    fn new(seen: &Arc<Seen>) -> Self {
        let now = seen.open.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most_open.fetch_max(now, Ordering::SeqCst);
        Self(seen.clone())
    }
}
impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Connector for Fake {
    fn def(&self) -> &'static ConnectorDef {
        &FAKE
    }
    fn context_id(&self) -> ContextId {
        ContextId("fake".into())
    }
    fn resolve(&self, rel: &Relation) -> Relation {
        rel.clone()
    }
    fn relation_sql(&self, rel: &Relation) -> String {
        rel.to_string()
    }
    fn budget(&self) -> usize {
        8
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

#[async_trait]
impl Extract for Fake {
    fn pushdown(&self, _: &TableInfo, predicates: &[Predicate]) -> Vec<Pushdown> {
        let answer = |p: &Predicate| match p.columns().contains(&"keep_local") {
            true => Pushdown::no("this column is never filtered"),
            false => Pushdown::Inexact,
        };
        predicates.iter().map(answer).collect()
    }
    async fn plan(&self, r: &ScanRequest) -> Result<ScanPlan> {
        self.seen.requests.lock().unwrap().push(r.clone());
        let n = self.splits.min(r.parallelism);
        let columns = r.projection.clone().unwrap();
        let split = |i| Split {
            payload: serde_json::json!({"split": i, "of": n, "columns": columns}),
            sql: format!("read {} part {i} of {n}", r.column_names().join(",")),
            row_estimate: None,
        };
        Ok(ScanPlan { schema: r.schema(), splits: (0..n).map(split).collect(), guard: None })
    }
    async fn read(&self, s: &Split, ctx: &ReadContext) -> Result<ArrowStream> {
        let n = |k: &str| s.payload[k].as_u64().unwrap() as usize;
        let columns: Vec<usize> =
            s.payload["columns"].as_array().unwrap().iter().map(|c| c.as_u64().unwrap() as usize).collect();
        let mine: Vec<RecordBatch> = self.batches.iter().skip(n("split")).step_by(n("of")).cloned().collect();
        let schema = self.batches[0].schema().project(&columns).unwrap();
        let schema = Arc::new(schema);
        let state = (0usize, Open::new(&self.seen), self.clone(), mine, ctx.stats.clone(), columns);
        let s = stream::unfold(state, |(i, open, me, mine, stats, columns)| async move {
            if !me.pause.is_zero() {
                tokio::time::sleep(me.pause).await;
            }
            let item = if mine.is_empty() {
                return None;
            } else if i < mine.len() || me.ending == Ending::Never {
                let b = &mine[i % mine.len()];
                stats.add_rows(b.num_rows() as u64);
                me.seen.batches.fetch_add(1, Ordering::SeqCst);
                Ok(b.project(&columns).unwrap())
            } else if me.ending == Ending::Fail && i == mine.len() {
                Err(Error::new(ErrorKind::Connect, "the line went dead").code("57P01").hint("dial again"))
            } else if me.ending == Ending::Hang {
                futures::future::pending().await
            } else {
                return None;
            };
            Some((item, (i + 1, open, me, mine, stats, columns)))
        });
        Ok(ArrowStream::new(schema, s.boxed()))
    }
}

pub fn fake(batches: Vec<RecordBatch>) -> Fake {
    Fake { batches, ending: Ending::End, splits: 1, pause: Duration::ZERO, seen: Arc::default() }
}

pub fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
    let rows = columns[0].1.len();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let arrays = columns.into_iter().map(|(_, a)| a).collect();
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).unwrap()
}

pub fn table_info(schema: &str, name: &str, fields: SchemaRef) -> TableInfo {
    let column = |f: &Arc<Field>| ColumnInfo {
        name: f.name().clone(),
        source_type: f.data_type().to_string(),
        nullable: true,
        collation: None,
        binary_equality: true,
        comment: None,
    };
    TableInfo {
        relation: Relation::new(None, Some(schema), name),
        kind: RelationKind::Table,
        columns: fields.fields().iter().map(column).collect(),
        schema: fields,
        primary_key: vec![],
        row_estimate: None,
        bytes_estimate: None,
    }
}

pub fn input(connection: &str, schema: &str, name: &str, f: &Fake) -> TableInput {
    TableInput {
        connection: connection.into(),
        connector: Arc::new(f.clone()),
        table: Arc::new(table_info(schema, name, f.batches[0].schema())),
        stats: Arc::default(),
        spare: Arc::new(tokio::sync::Semaphore::new(8)),
        parallelism: 4,
        types: TypePolicy::Exact,
        pushdown: PushdownMode::Safe,
    }
}

pub struct Ctx {
    pub session: Box<dyn EngineSession>,
    _dir: tempfile::TempDir,
}

pub async fn open(def: &'static EngineDef, memory: Option<u64>, inputs: Vec<TableInput>) -> Ctx {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions {
        memory_limit: memory,
        threads: 2,
        temp_dir: dir.path().to_path_buf(),
        types: TypePolicy::Exact,
        home: None,
        extra: Default::default(),
    };
    let mut session = (def.new)().session(&options).await.unwrap();
    for i in inputs {
        session.attach(EngineInput::Table(i)).await.unwrap();
    }
    Ctx { session, _dir: dir }
}

pub async fn duck(inputs: Vec<TableInput>) -> Ctx {
    open(&xdb_engine_duckdb::DEF, None, inputs).await
}

impl Ctx {
    pub async fn rows(&mut self, sql: &str) -> Result<Vec<RecordBatch>> {
        self.session.execute(sql).await?.collect().await
    }
    pub async fn one(&mut self, sql: &str) -> RecordBatch {
        let s = self.session.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {}", e.report()));
        let schema = s.schema();
        let all = s.collect().await.unwrap_or_else(|e| panic!("{sql}: {}", e.report()));
        arrow::compute::concat_batches(&schema, &all).unwrap()
    }
    pub async fn text(&mut self, sql: &str) -> String {
        pretty_format_batches(&[self.one(sql).await]).unwrap().to_string()
    }
    pub async fn error(&mut self, sql: &str) -> Error {
        match self.rows(sql).await {
            Ok(b) => panic!("{sql}: no error but\n{}", pretty_format_batches(&b).unwrap()),
            Err(e) => e,
        }
    }
}

pub fn types(b: &RecordBatch) -> Vec<DataType> {
    b.schema().fields().iter().map(|f| f.data_type().clone()).collect()
}

/// Until `f` holds; panics after two seconds.
pub async fn soon(what: &str, f: impl Fn() -> bool) {
    for _ in 0..400 {
        if f() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not within two seconds: {what}");
}
