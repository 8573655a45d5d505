//! A connector whose tables are Arrow batches in this process: for tests of engines and of the runner, and to test the
//! conformance suite itself (with a [`Fault`], which the suite must find).

use crate::conformance::evaluate;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, new_empty_array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use xdb_core::names::suggest;
use xdb_core::*;

/// The name in `ConnectorDef`.
pub const NAME: &str = "memory";

pub static DEF: ConnectorDef = ConnectorDef {
    name: NAME,
    aliases: &[],
    title: "Memory",
    about: "Tables held by the test itself.",
    params: &[],
    capabilities: Capabilities {
        read: true,
        filter: true,
        limit: true,
        parallel_read: true,
        consistent_splits: true,
        load: true,
        append: true,
        merge: true,
        atomic_replace: true,
        execute: false,
        parameters: false,
        views: false,
        schemas: false,
        tls: false,
        unix_socket: false,
        cancel: true,
    },
    source_types: &[SourceType { name: "any", arrow: "the same", fidelity: Fidelity::Exact, note: "" }],
    target_type: |field| match field.data_type() {
        DataType::Null => Err(Error::new(ErrorKind::Type, format!("column `{}` has no type", field.name()))),
        t => Ok(TargetType::exact(t.to_string())),
    },
    validate: |params| Ok(Box::new(Config(params.connection.clone()))),
};

/// A way to be wrong, which the suite must notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// Compares text without regard to case, and says that is exact.
    IgnoresCase,
    /// NULL becomes the empty text.
    LosesNulls,
    /// A replaced table is away for a moment.
    TearsReplace,
    /// A dropped session leaves its rows in the target.
    CommitsOnDrop,
    /// The last of two rows with one key wins.
    AcceptsDuplicateKeys,
    /// Splits overlap by a row.
    OverlapsSplits,
    /// A limit is applied before the filter.
    LimitsFirst,
    /// Reads the whole table before the first batch.
    ReadsAhead,
}

#[derive(Debug)]
struct Config(String);
impl ConnectorConfig for Config {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(Memory::new(&self.0)))
    }
    fn address(&self) -> String {
        "memory".into()
    }
}

type Tables = Arc<Mutex<BTreeMap<Relation, RecordBatch>>>;

#[derive(Clone, Debug)]
pub struct Memory {
    connection: String,
    tables: Tables,
    fault: Fault,
}

fn lock(tables: &Tables) -> MutexGuard<'_, BTreeMap<Relation, RecordBatch>> {
    tables.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Memory {
    pub fn new(connection: &str) -> Self {
        Self { connection: connection.into(), tables: Tables::default(), fault: Fault::None }
    }
    pub fn with_fault(fault: Fault) -> Self {
        Self { fault, ..Self::new(NAME) }
    }
    /// Put a table there, under schema `main`.
    pub fn add(&self, name: &str, batch: RecordBatch) {
        lock(&self.tables).insert(self.resolve(&Relation::bare(name)), batch);
    }
    fn table(&self, rel: &Relation) -> Result<RecordBatch> {
        let tables = lock(&self.tables);
        let rel = self.resolve(rel);
        tables.get(&rel).cloned().ok_or_else(|| {
            let e = Error::not_found(format!("there is no table `{rel}`")).connection(&self.connection);
            match suggest(&rel.name, tables.keys().map(|k| k.name.as_str())) {
                Some(h) => e.hint(h),
                None => e,
            }
        })
    }
}

#[async_trait]
impl Connector for Memory {
    fn def(&self) -> &'static ConnectorDef {
        &DEF
    }
    fn context_id(&self) -> ContextId {
        ContextId(format!("memory {:p}", Arc::as_ptr(&self.tables)))
    }
    fn resolve(&self, rel: &Relation) -> Relation {
        Relation { schema: rel.schema.clone().or_else(|| Some("main".into())), ..rel.clone() }
    }
    fn relation_sql(&self, rel: &Relation) -> String {
        rel.to_string()
    }
    fn budget(&self) -> usize {
        8
    }
    async fn check(&self) -> Result<ServerInfo> {
        Ok(ServerInfo {
            product: "Memory".into(),
            version: "1".into(),
            tls: None,
            user: None,
            database: None,
            latency: Duration::ZERO,
            read_only: Some(false),
        })
    }
    async fn list(&self, pattern: &RelationPattern) -> Result<Vec<RelationInfo>> {
        let tables = lock(&self.tables);
        let found = tables.iter().filter(|(r, _)| pattern.matches(r.schema.as_deref(), &r.name));
        let info = |(r, b): (&Relation, &RecordBatch)| RelationInfo {
            relation: r.clone(),
            kind: RelationKind::Table,
            row_estimate: Some(b.num_rows() as u64),
        };
        Ok(found.map(info).collect())
    }
    async fn describe(&self, rel: &Relation) -> Result<TableInfo> {
        let batch = self.table(rel)?;
        let column = |f: &Arc<Field>| ColumnInfo {
            name: f.name().clone(),
            source_type: f.data_type().to_string(),
            nullable: f.is_nullable(),
            collation: None,
            binary_equality: true,
            comment: None,
        };
        Ok(TableInfo {
            relation: self.resolve(rel),
            kind: RelationKind::Table,
            columns: batch.schema().fields().iter().map(column).collect(),
            schema: batch.schema(),
            primary_key: vec![],
            row_estimate: Some(batch.num_rows() as u64),
            bytes_estimate: None,
        })
    }
    fn extract(&self) -> Option<&dyn Extract> {
        Some(self)
    }
    fn load(&self) -> Option<&dyn Load> {
        Some(self)
    }
}

/// Rows `from..to` of the table, as it was when planned (the plan's guard holds that).
#[derive(Serialize, Deserialize)]
struct Part {
    relation: Relation,
    rows: usize,
    from: usize,
    to: usize,
    projection: Option<Vec<usize>>,
    predicates: Vec<Predicate>,
    limit: Option<u64>,
}

#[async_trait]
impl Extract for Memory {
    fn pushdown(&self, _: &TableInfo, predicates: &[Predicate]) -> Vec<Pushdown> {
        predicates.iter().map(|_| Pushdown::Exact).collect()
    }
    async fn plan(&self, r: &ScanRequest) -> Result<ScanPlan> {
        let rows = self.table(&r.table.relation)?.num_rows();
        let parts = r.parallelism.min(rows / 1000).max(1);
        let size = rows.div_ceil(parts);
        let overlap = usize::from(self.fault == Fault::OverlapsSplits);
        let split = |i: usize| {
            let part = Part {
                relation: r.table.relation.clone(),
                rows,
                from: (i * size).saturating_sub(overlap),
                to: rows.min((i + 1) * size),
                projection: r.projection.clone(),
                predicates: r.predicates.clone(),
                limit: r.limit,
            };
            let payload = serde_json::to_value(&part).map_err(|e| Error::internal(e.to_string()))?;
            Ok(Split { payload, sql: String::new(), row_estimate: None })
        };
        Ok(ScanPlan { schema: r.schema(), splits: (0..parts).map(split).collect::<Result<_>>()?, guard: None })
    }
    async fn read(&self, split: &Split, ctx: &ReadContext) -> Result<ArrowStream> {
        let part: Part = serde_json::from_value(split.payload.clone()).map_err(|e| Error::internal(e.to_string()))?;
        // Appends only add rows behind, so the first `rows` are the planned ones.
        let batch = self.table(&part.relation)?.slice(part.from, part.to - part.from);
        let schema = match &part.projection {
            Some(p) => Arc::new(batch.schema().project(p)?),
            None => batch.schema(),
        };
        let stats = ctx.stats.clone();
        let step = ctx.batch_rows.max(1);
        if self.fault == Fault::ReadsAhead {
            stats.add_rows(batch.num_rows() as u64);
        }
        let fault = self.fault;
        let rows = part.limit.filter(|_| fault == Fault::LimitsFirst).map_or(batch.num_rows(), |l| l as usize);
        let rows = rows.min(batch.num_rows());
        let predicates = part.predicates;
        let projection = part.projection;
        let pieces = (0..rows).step_by(step).map(move |from| {
            let piece = batch.slice(from, step.min(rows - from));
            let seen = if fault == Fault::IgnoresCase { lower_case(&piece) } else { piece.clone() };
            let keep = |row| predicates.iter().all(|p| evaluate(p, &seen, row) == Some(true));
            let mask: BooleanArray = (0..piece.num_rows()).map(|row| Some(keep(row))).collect();
            let kept = filter_record_batch(&piece, &mask)?;
            Ok(match &projection {
                Some(p) => kept.project(p)?,
                None => kept,
            })
        });
        let stream = ArrowStream::new(schema, futures::stream::iter(pieces));
        let stream = match part.limit {
            Some(n) => stream.limit(n),
            None => stream,
        };
        Ok(stream.inspect(move |b| {
            if fault != Fault::ReadsAhead {
                stats.add_rows(b.num_rows() as u64);
            }
        }))
    }
}

fn lower_case(batch: &RecordBatch) -> RecordBatch {
    map_text(batch, |v| v.map(str::to_lowercase))
}

fn map_text(batch: &RecordBatch, f: impl Fn(Option<&str>) -> Option<String>) -> RecordBatch {
    let columns = batch.columns().iter().map(|c| match c.data_type() {
        DataType::Utf8 => Arc::new(c.as_string::<i32>().iter().map(&f).collect::<StringArray>()) as ArrayRef,
        _ => c.clone(),
    });
    RecordBatch::try_new(batch.schema(), columns.collect()).unwrap_or_else(|_| batch.clone())
}

#[async_trait]
impl Load for Memory {
    async fn begin(&self, target: &Relation, schema: SchemaRef, options: &LoadOptions) -> Result<Box<dyn LoadSession>> {
        let target = self.resolve(target);
        for f in schema.fields() {
            (DEF.target_type)(f)?;
        }
        if options.mode != WriteMode::Replace {
            self.table(&target)?;
        }
        if let WriteMode::Merge { unique_key } = &options.mode {
            for k in unique_key {
                schema.field_with_name(k).map_err(|_| Error::config(format!("the key `{k}` is not a column")))?;
            }
        }
        // All columns of a table in a database can be NULL.
        let fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let schema = Arc::new(Schema::new(fields));
        Ok(Box::new(Session { memory: self.clone(), target, schema, options: options.clone(), rows: vec![] }))
    }
}

struct Session {
    memory: Memory,
    target: Relation,
    schema: SchemaRef,
    options: LoadOptions,
    rows: Vec<RecordBatch>,
}

impl Session {
    fn put(&self, batch: RecordBatch) {
        lock(&self.memory.tables).insert(self.target.clone(), batch);
    }
}

/// Each row's key as text; `None` where a part of it is NULL.
fn keys(batch: &RecordBatch, columns: &[String]) -> Vec<Option<Vec<String>>> {
    let parts: Vec<Vec<Option<String>>> =
        columns.iter().map(|c| batch.column_by_name(c).map(crate::conformance::texts).unwrap_or_default()).collect();
    (0..batch.num_rows()).map(|row| parts.iter().map(|p| p[row].clone()).collect()).collect()
}

#[async_trait]
impl LoadSession for Session {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let batch = RecordBatch::try_new(self.schema.clone(), batch.columns().to_vec())?;
        let lossy = self.memory.fault == Fault::LosesNulls;
        self.rows.push(if lossy { map_text(&batch, |v| Some(v.unwrap_or("").into())) } else { batch });
        Ok(())
    }
    async fn commit(mut self: Box<Self>) -> Result<LoadReport> {
        let new = concat_batches(&self.schema, &std::mem::take(&mut self.rows))?;
        let report = LoadReport { rows: new.num_rows() as u64, notes: vec![] };
        let old = match self.options.mode {
            WriteMode::Replace => None,
            _ => Some(self.memory.table(&self.target)?),
        };
        let all = match (&self.options.mode, old) {
            (WriteMode::Merge { unique_key }, Some(old)) => {
                let incoming = keys(&new, unique_key);
                let mut seen = HashSet::new();
                for key in incoming.iter().flatten() {
                    if !seen.insert(key) && self.memory.fault != Fault::AcceptsDuplicateKeys {
                        let m = format!("two incoming rows have the key {} = {key:?}", unique_key.join(", "));
                        return Err(Error::new(ErrorKind::Sql, m).connection(&self.memory.connection));
                    }
                }
                let stays = |k: &Option<Vec<String>>| Some(k.as_ref().is_none_or(|k| !seen.contains(k)));
                let mask: BooleanArray = keys(&old, unique_key).iter().map(stays).collect();
                concat_batches(&self.schema, [&filter_record_batch(&old, &mask)?, &new])?
            }
            (_, Some(old)) => concat_batches(&self.schema, [&old, &new])?,
            (_, None) => new,
        };
        if self.memory.fault == Fault::TearsReplace {
            let none = self.schema.fields().iter().map(|f| new_empty_array(f.data_type())).collect();
            self.put(RecordBatch::try_new(self.schema.clone(), none)?);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.put(all);
        Ok(report)
    }
    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.rows.clear();
        Ok(())
    }
}
impl Drop for Session {
    fn drop(&mut self) {
        if self.memory.fault == Fault::CommitsOnDrop
            && !self.rows.is_empty()
            && let Ok(all) = concat_batches(&self.schema, &self.rows)
        {
            self.put(all);
        }
    }
}
