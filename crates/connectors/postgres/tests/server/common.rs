//! A connector to the test server, and a schema of its own for each test.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use xdb_connector_postgres::DEF;
use xdb_core::{
    Connector, LoadOptions, LoadReport, Params, Predicate, ReadContext, Relation, Result, ScanPlan, ScanRequest,
    TableInfo, TypePolicy, WriteMode,
};

pub(crate) struct Db {
    pub(crate) c: Arc<dyn Connector>,
    pub(crate) schema: String,
    profile: Map<String, Value>,
}

/// The service's profile with `changes`, opened.
pub(crate) fn open(profile: &Map<String, Value>, changes: &Value) -> Result<Arc<dyn Connector>> {
    let mut raw = profile.clone();
    raw.remove("adapter");
    raw.extend(changes.as_object().unwrap().clone());
    raw.retain(|_, v| !v.is_null());
    (DEF.validate)(&Params::resolve("crm", DEF.params, &raw, Path::new("/"))?)?.open()
}

/// A folder of the running service, for its certificate.
pub(crate) fn service_dir() -> PathBuf {
    PathBuf::from(std::env::var_os("XDB_TEST_SERVICES").unwrap()).join("postgres")
}

impl Db {
    /// `None` where the service isn't running: the test is skipped, loudly.
    pub(crate) async fn new(test: &str) -> Option<Self> {
        Self::with(test, json!({})).await
    }

    pub(crate) async fn with(test: &str, mut changes: Value) -> Option<Self> {
        static N: AtomicU32 = AtomicU32::new(0);
        let profile = xdb_testkit::services::profile("postgres")?;
        let schema = format!("t_{test}_{}_{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed));
        changes["schema"] = json!(schema);
        let c = open(&profile, &changes).unwrap();
        let db = Self { c, schema, profile };
        db.sql(&format!("DROP SCHEMA IF EXISTS {0} CASCADE; CREATE SCHEMA {0}", db.schema)).await;
        Some(db)
    }

    /// Another connector to the same schema.
    pub(crate) fn other(&self, mut changes: Value) -> Arc<dyn Connector> {
        changes["schema"] = json!(self.schema);
        open(&self.profile, &changes).unwrap()
    }

    /// Statements over a connection of the test's own, with the schema as search_path.
    pub(crate) async fn sql(&self, sql: &str) {
        let mut c = self.session().await;
        c.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        c.close().await.unwrap();
    }

    pub(crate) async fn session(&self) -> PgConnection {
        let text = |k: &str| self.profile[k].as_str().unwrap().to_string();
        let o = sqlx::postgres::PgConnectOptions::new_without_pgpass()
            .host(&text("host"))
            .port(self.profile["port"].as_u64().unwrap() as u16)
            .username(&text("user"))
            .password(&text("password"))
            .database(&text("database"))
            .application_name("xdb test")
            .options([("search_path", format!("{},public", self.schema))]);
        PgConnection::connect_with(&o).await.unwrap()
    }

    /// One value as text.
    pub(crate) async fn value(&self, sql: &str) -> String {
        let mut c = self.session().await;
        let sql = format!("select ({sql})::text");
        sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(sql))
            .fetch_one(&mut c)
            .await
            .unwrap()
            .unwrap_or("NULL".into())
    }

    pub(crate) fn rel(&self, name: &str) -> Relation {
        Relation::new(None, Some(&self.schema), name)
    }

    pub(crate) async fn describe(&self, name: &str) -> Arc<TableInfo> {
        Arc::new(self.c.describe(&self.rel(name)).await.unwrap())
    }

    pub(crate) async fn read(&self, name: &str) -> RecordBatch {
        let table = self.describe(name).await;
        read(self.c.as_ref(), &ScanRequest::all(table)).await.unwrap()
    }

    pub(crate) async fn load(&self, name: &str, mode: WriteMode, batches: &[RecordBatch]) -> Result<LoadReport> {
        load(self.c.as_ref(), &self.rel(name), batches, LoadOptions { mode, ..LoadOptions::default() }).await
    }

    /// No table of xdb's own is left in the schema. A dropped session cleans up in the background.
    pub(crate) async fn no_staging(&self) {
        let count = format!(
            "select count(*) from pg_class where relname like '\\_xdb%' and relnamespace = '{}'::regnamespace",
            self.schema
        );
        for _ in 0..100 {
            if self.value(&count).await == "0" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("a staging table is left in {}", self.schema);
    }

    /// Drops the schema; not reached after a failure, so that one can look at it.
    pub(crate) async fn done(self) {
        self.sql(&format!("DROP SCHEMA {} CASCADE", self.schema)).await;
    }
}

pub(crate) async fn load(
    c: &dyn Connector,
    target: &Relation,
    batches: &[RecordBatch],
    options: LoadOptions,
) -> Result<LoadReport> {
    let mut s = c.load().unwrap().begin(target, batches[0].schema(), &options).await?;
    for b in batches {
        s.write(b.clone()).await?;
    }
    s.commit().await
}

pub(crate) async fn read_plan(c: &dyn Connector, plan: &ScanPlan) -> Result<RecordBatch> {
    let ctx = ReadContext { batch_rows: 1000, ..ReadContext::default() };
    let mut all = Vec::new();
    for s in &plan.splits {
        // As an executor elsewhere would get it.
        let s = serde_json::from_str(&serde_json::to_string(s).unwrap()).unwrap();
        let stream = c.extract().unwrap().read(&s, &ctx).await?;
        assert_eq!(stream.schema(), plan.schema);
        all.extend(stream.collect().await?);
    }
    let batch = concat_batches(&plan.schema, &all)?;
    assert_eq!(batch.num_rows() as u64, ctx.stats.rows());
    Ok(batch)
}

pub(crate) async fn read(c: &dyn Connector, request: &ScanRequest) -> Result<RecordBatch> {
    let plan = c.extract().unwrap().plan(request).await?;
    read_plan(c, &plan).await
}

/// Rows that pass `predicates`, all of which must be sent.
pub(crate) async fn filtered(
    db: &Db,
    table: &Arc<TableInfo>,
    predicates: Vec<Predicate>,
    types: TypePolicy,
) -> RecordBatch {
    for (p, a) in predicates.iter().zip(db.c.extract().unwrap().pushdown(table, &predicates)) {
        assert!(a.is_sent(), "{p:?}: {a:?}");
    }
    read(db.c.as_ref(), &ScanRequest { predicates, types, ..ScanRequest::all(table.clone()) }).await.unwrap()
}

/// All values of one column as text; NULL is `NULL`.
pub(crate) fn texts(a: &ArrayRef) -> Vec<String> {
    let f = ArrayFormatter::try_new(a.as_ref(), &FormatOptions::new().with_null("NULL")).unwrap();
    (0..a.len()).map(|i| f.value(i).to_string()).collect()
}

pub(crate) fn column(b: &RecordBatch, name: &str) -> Vec<String> {
    texts(b.column_by_name(name).unwrap())
}

pub(crate) fn ints(b: &RecordBatch, name: &str) -> Vec<i64> {
    let mut v: Vec<i64> = b.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec();
    v.sort();
    v
}

pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap()
}

pub(crate) fn with_schema(b: &RecordBatch, schema: SchemaRef) -> RecordBatch {
    RecordBatch::try_new(schema, b.columns().to_vec()).unwrap()
}
