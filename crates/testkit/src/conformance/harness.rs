//! The connector under test and short ways to make, fill and read tables with it.

use super::Table;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use serde_json::{Map, Value};
use std::any::Any;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use xdb_core::{
    Connector, ConnectorDef, Execute, Extract, Literal, Load, LoadOptions, LoadReport, Params, ReadContext, Relation,
    Result, ScanRequest, TableInfo, WriteMode,
};

/// How to see the tables or files that xdb makes for itself, which `list` hides.
#[derive(Clone, Debug)]
pub enum Leftovers {
    /// A query with one text column: the names of all tables.
    Sql(&'static str),
    /// Everything in this folder, which only this harness uses, recursively.
    Folder(PathBuf),
}

/// A connector, and what the suite has to know about the place it is connected to.
pub struct Harness {
    pub connector: Arc<dyn Connector>,
    /// Where to look; nowhere: the cases about leftovers check less.
    pub leftovers: Vec<Leftovers>,
    /// Most growth of this process's memory, in bytes, while a large table goes through. Embedded databases keep caches
    /// in this process; clients of servers have no excuse.
    pub memory_slack: u64,
    /// Makes a table's `id` its key, where the system can only cut a table by a key; `{}` is the table.
    pub key_sql: Option<&'static str>,
    /// How long a case may take.
    pub timeout: Duration,
    /// Held until the end, e.g. a temp folder.
    keep: Vec<Box<dyn Any + Send + Sync>>,
}

/// Open the connector `def` from a mapping as in profiles.yml (`adapter` is left out of the check).
pub fn open(def: &'static ConnectorDef, name: &str, profile: &Map<String, Value>, base: &Path) -> Arc<dyn Connector> {
    let mut raw = profile.clone();
    raw.remove("adapter");
    let params = Params::resolve(name, def.params, &raw, base).expect("the profile fits the connector's parameters");
    (def.validate)(&params).expect("the profile is valid").open().expect("the connector opens")
}

/// Resident memory of this process. `None` where the system doesn't tell (not Linux).
pub fn rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kb| kb * 1024)
}

impl Harness {
    pub fn new(connector: Arc<dyn Connector>) -> Self {
        Self {
            connector,
            leftovers: vec![],
            memory_slack: 100 << 20,
            key_sql: None,
            timeout: Duration::from_secs(240),
            keep: vec![],
        }
    }
    pub fn leftovers(mut self, l: Leftovers) -> Self {
        self.leftovers.push(l);
        self
    }
    pub fn memory_slack(mut self, bytes: u64) -> Self {
        self.memory_slack = bytes;
        self
    }
    pub fn key_sql(mut self, sql: &'static str) -> Self {
        self.key_sql = Some(sql);
        self
    }
    pub fn keep(mut self, thing: impl Any + Send + Sync) -> Self {
        self.keep.push(Box::new(thing));
        self
    }

    /// Run a case, but not for ever.
    pub async fn within_time(&self, case: impl Future<Output = ()>) {
        if tokio::time::timeout(self.timeout, case).await.is_err() {
            panic!("the case did not end within {:?}", self.timeout);
        }
    }

    pub fn extract(&self) -> &dyn Extract {
        self.connector.extract().expect("a connector that can read")
    }
    pub fn load(&self) -> &dyn Load {
        self.connector.load().expect("a connector that can load")
    }
    pub fn execute(&self) -> &dyn Execute {
        self.connector.execute().expect("a connector that runs SQL")
    }

    /// A resolved name that no other test uses, with `hint` in it. Short enough for any system even with the prefix of a
    /// staging table.
    pub fn relation(&self, hint: &str) -> Relation {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
        let n = NEXT.fetch_add(1, Relaxed);
        let id = std::process::id();
        self.named(&format!("c{id:x}_{n}{:x}_{hint}", nanos >> 10))
    }
    /// `name` in the connector's own place.
    pub fn named(&self, name: &str) -> Relation {
        self.connector.resolve(&Relation::bare(name))
    }

    /// Load `batches` as one session.
    pub async fn write(
        &self,
        target: &Relation,
        schema: SchemaRef,
        batches: impl IntoIterator<Item = RecordBatch>,
        options: &LoadOptions,
    ) -> Result<LoadReport> {
        let mut session = self.load().begin(target, schema, options).await?;
        for batch in batches {
            session.write(batch).await?;
        }
        session.commit().await
    }
    /// Replace `target` by `table`.
    pub async fn put(&self, target: &Relation, table: &Table) -> LoadReport {
        let batch = table.batch().clone();
        self.write(target, batch.schema(), [batch], &LoadOptions::default())
            .await
            .unwrap_or_else(|e| panic!("cannot load {target}: {e:?}"))
    }
    pub async fn put_as(&self, target: &Relation, table: &Table, mode: WriteMode) -> Result<LoadReport> {
        let batch = table.batch().clone();
        self.write(target, batch.schema(), [batch], &LoadOptions { mode, ..Default::default() }).await
    }

    pub async fn describe(&self, rel: &Relation) -> Arc<TableInfo> {
        Arc::new(self.connector.describe(rel).await.unwrap_or_else(|e| panic!("cannot describe {rel}: {e:?}")))
    }
    /// Plan and read all splits, one after the other; each split goes through JSON first, as it would on its way to
    /// another machine. Checks what every read promises: the schema, the counters.
    pub async fn scan(&self, request: &ScanRequest) -> Result<Vec<RecordBatch>> {
        let plan = self.extract().plan(request).await?;
        assert_eq!(names_and_types(&plan.schema), names_and_types(&request.schema()), "the plan's schema");
        let ctx = ReadContext::default();
        let mut out = vec![];
        for split in &plan.splits {
            let text = serde_json::to_string(split).expect("a split is plain data");
            let split = serde_json::from_str(&text).expect("a split survives JSON");
            let mut stream = self.extract().read(&split, &ctx).await?;
            while let Some(batch) = stream.next().await {
                let batch = batch?;
                assert_eq!(names_and_types(&batch.schema()), names_and_types(&plan.schema), "a batch's schema");
                out.push(batch);
            }
        }
        let rows: usize = out.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(ctx.stats.rows(), rows as u64, "rows counted in IoStats");
        Ok(out)
    }
    /// The whole table in the order of its `id`.
    pub async fn get(&self, rel: &Relation) -> Table {
        self.try_get(rel).await.unwrap_or_else(|e| panic!("cannot read {rel}: {e:?}"))
    }
    pub async fn try_get(&self, rel: &Relation) -> Result<Table> {
        let table = Arc::new(self.connector.describe(rel).await?);
        let batches = self.scan(&ScanRequest::all(table.clone())).await?;
        Ok(Table::sorted(&table.schema, &batches))
    }
    /// Rows of native SQL.
    pub async fn query(&self, sql: &str, params: &[Literal]) -> Result<Vec<RecordBatch>> {
        self.execute().query(sql, params, &ReadContext::default()).await?.collect().await
    }

    /// Names of xdb's own tables or files for `target`, waiting up to ten seconds for a clean-up that runs after a drop.
    pub async fn leftovers_of(&self, target: &Relation) -> Vec<String> {
        let mut found = vec![];
        for _ in 0..100 {
            found.clear();
            for place in &self.leftovers {
                match place {
                    Leftovers::Folder(dir) => {
                        found.extend(files_below(dir).into_iter().filter(|n| n.contains("_xdb_")))
                    }
                    Leftovers::Sql(sql) => {
                        let batches = self.query(sql, &[]).await.unwrap_or_else(|e| panic!("{e:?}"));
                        let names = batches.iter().flat_map(|b| super::texts(b.column(0))).flatten();
                        // Other tests use the same server at the same time.
                        found.extend(names.filter(|n| n.contains("_xdb_") && n.contains(&target.name)));
                    }
                }
            }
            if found.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        found
    }
}

/// Metadata of fields may differ (the logical type's key is there or not); names and types may not.
fn names_and_types(schema: &SchemaRef) -> Vec<(String, arrow::datatypes::DataType)> {
    schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
}

fn files_below(dir: &Path) -> Vec<String> {
    let mut out = vec![];
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        out.push(entry.file_name().to_string_lossy().into_owned());
        if entry.path().is_dir() {
            out.extend(files_below(&entry.path()));
        }
    }
    out
}
