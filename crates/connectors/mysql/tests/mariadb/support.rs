//! Opening connections, and a database that goes when its test ends.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::util::pretty::pretty_format_batches;
use std::path::Path;
use std::sync::Arc;
use xdb_connector_mysql::DEF;
use xdb_core::*;

pub(crate) type Map = serde_json::Map<String, serde_json::Value>;

pub(crate) fn open(map: &Map) -> Result<Arc<dyn Connector>> {
    let mut map = map.clone();
    map.remove("adapter");
    let params = Params::resolve("crm", DEF.params, &map, Path::new("/"))?;
    (DEF.validate)(&params)?.open()
}

pub(crate) struct Db {
    pub(crate) map: Map,
    pub(crate) c: Arc<dyn Connector>,
    pub(crate) name: String,
}
impl Db {
    /// `None`: the service isn't running, and this is no place where that is a failure.
    pub(crate) async fn new(test: &str, setup: &str) -> Option<Self> {
        let mut map = xdb_testkit::services::profile("mariadb")?;
        let name = format!("xdb_t_{test}");
        let root = open(&map).unwrap();
        root.execute().unwrap().run(&format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}")).await.unwrap();
        map.insert("database".into(), name.clone().into());
        let c = open(&map).unwrap();
        let db = Self { map, c, name };
        if !setup.is_empty() {
            db.run(setup).await;
        }
        Some(db)
    }
    pub(crate) fn with(&self, changes: serde_json::Value) -> Arc<dyn Connector> {
        let mut map = self.map.clone();
        for (k, v) in changes.as_object().unwrap() {
            map.insert(k.clone(), v.clone());
        }
        open(&map).unwrap()
    }
    pub(crate) async fn run(&self, sql: &str) -> Option<u64> {
        self.c.execute().unwrap().run(sql).await.unwrap()
    }
    pub(crate) async fn show(&self, sql: &str) -> String {
        query(&*self.c, sql, &[]).await.map(|b| show(&b)).unwrap_or_else(|e| e.message().to_string())
    }
    pub(crate) async fn scalar(&self, sql: &str) -> String {
        self.show(sql).await.lines().nth(3).map(|l| l.trim_matches(['|', ' ']).to_string()).unwrap_or_default()
    }
    /// Tables left by xdb itself.
    pub(crate) async fn leftovers(&self) -> String {
        self.scalar(&format!(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{}' AND table_name LIKE '\\_xdb%'",
            self.name
        ))
        .await
    }
    pub(crate) async fn done(self) {
        self.run(&format!("DROP DATABASE {}", self.name)).await;
    }
}

pub(crate) fn show(b: &RecordBatch) -> String {
    pretty_format_batches(std::slice::from_ref(b)).unwrap().to_string()
}
pub(crate) async fn gather(s: ArrowStream) -> Result<RecordBatch> {
    let schema = s.schema();
    let all = s.collect().await?;
    Ok(concat_batches(&schema, &all).unwrap())
}
pub(crate) async fn query(c: &dyn Connector, sql: &str, params: &[Literal]) -> Result<RecordBatch> {
    gather(c.execute().unwrap().query(sql, params, &ReadContext::default()).await?).await
}

/// All rows of a scan; each split goes through JSON, as to another machine.
pub(crate) async fn scan(c: &dyn Connector, name: &str, edit: impl FnOnce(&mut ScanRequest)) -> Result<RecordBatch> {
    let (schema, batches) = scan_splits(c, name, edit).await?;
    if schema.fields().is_empty() {
        let n = batches.iter().map(|b| b.num_rows()).sum();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(n));
        return Ok(RecordBatch::try_new_with_options(schema, vec![], &options).unwrap());
    }
    Ok(concat_batches(&schema, &batches).unwrap())
}
pub(crate) async fn scan_splits(
    c: &dyn Connector,
    name: &str,
    edit: impl FnOnce(&mut ScanRequest),
) -> Result<(arrow::datatypes::SchemaRef, Vec<RecordBatch>)> {
    let table = Arc::new(c.describe(&Relation::bare(name)).await?);
    let mut request = ScanRequest::all(table);
    edit(&mut request);
    let e = c.extract().unwrap();
    let plan = e.plan(&request).await?;
    assert_eq!(plan.schema, request.schema());
    let mut all = vec![];
    for split in &plan.splits {
        let split: Split = serde_json::from_str(&serde_json::to_string(split).unwrap()).unwrap();
        let s = e.read(&split, &ReadContext::default()).await?;
        assert_eq!(s.schema(), plan.schema);
        all.extend(s.collect().await?);
    }
    Ok((plan.schema, all))
}

pub(crate) async fn load(
    c: &dyn Connector,
    name: &str,
    batch: &RecordBatch,
    options: LoadOptions,
) -> Result<LoadReport> {
    let mut s = c.load().unwrap().begin(&Relation::bare(name), batch.schema(), &options).await?;
    s.write(batch.clone()).await?;
    s.commit().await
}
