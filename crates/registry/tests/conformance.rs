//! The conformance suite on every connector: one named test for each connector and case.

use serde_json::{Map, Value, json};
use xdb_testkit::conformance::{Harness, Leftovers, open};
#[cfg(any(feature = "postgres", feature = "mysql"))]
use xdb_testkit::services;

/// The connector `adapter`, with `profile` as under a connection's name in profiles.yml; relative paths start in a temp
/// folder that goes when the harness does.
fn harness(adapter: &str, profile: Map<String, Value>) -> (Harness, std::path::PathBuf) {
    let registry = xdb_registry::registry();
    let def = registry.connector(adapter).expect("a connector of this build");
    let dir = tempfile::tempdir().expect("a temp folder");
    let path = dir.path().to_path_buf();
    (Harness::new(open(def, adapter, &profile, &path)).keep(dir), path)
}

fn embedded(adapter: &str, profile: Value) -> (Harness, std::path::PathBuf) {
    let Value::Object(profile) = profile else { unreachable!("a mapping") };
    harness(adapter, profile)
}

#[cfg(any(feature = "postgres", feature = "mysql", feature = "duckdb"))]
const TABLES: &str = "select table_name from information_schema.tables";

#[cfg(feature = "postgres")]
async fn postgres() -> Option<Harness> {
    let (h, _) = harness("postgres", services::profile("postgres")?);
    Some(h.leftovers(Leftovers::Sql(TABLES)))
}
#[cfg(feature = "postgres")]
xdb_testkit::conformance!(on_postgres, postgres);

#[cfg(feature = "mysql")]
async fn mariadb() -> Option<Harness> {
    let (h, _) = harness("mysql", services::profile("mariadb")?);
    let h = h.key_sql("alter table {} modify id bigint not null, add primary key (id)");
    Some(h.leftovers(Leftovers::Sql(TABLES)))
}
#[cfg(feature = "mysql")]
xdb_testkit::conformance!(on_mariadb, mariadb);

#[cfg(feature = "sqlite")]
async fn sqlite() -> Option<Harness> {
    let (h, dir) = embedded("sqlite", json!({"path": "test.db"}));
    let tables = Leftovers::Sql("select name from sqlite_master");
    Some(h.leftovers(tables).leftovers(Leftovers::Folder(dir)))
}
#[cfg(feature = "sqlite")]
xdb_testkit::conformance!(on_sqlite, sqlite);

#[cfg(feature = "duckdb")]
async fn duckdb() -> Option<Harness> {
    let (h, dir) = embedded("duckdb", json!({"path": "test.duckdb"}));
    // DuckDB keeps pages in this process, up to its own memory limit.
    let h = h.memory_slack(600 << 20);
    Some(h.leftovers(Leftovers::Sql(TABLES)).leftovers(Leftovers::Folder(dir)))
}
#[cfg(feature = "duckdb")]
xdb_testkit::conformance!(on_duckdb, duckdb);

#[cfg(feature = "files")]
async fn parquet() -> Option<Harness> {
    let (h, dir) = embedded("files", json!({"path": "."}));
    Some(h.leftovers(Leftovers::Folder(dir)))
}
#[cfg(feature = "files")]
xdb_testkit::conformance!(on_parquet, parquet);
