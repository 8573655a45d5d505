//! The queries of tests/slt on every engine: over tables that another connection holds, and natively in databases.

#![allow(clippy::expect_used)] // Helpers of tests fail the test.

use std::sync::Arc;
use tokio::sync::Semaphore;
use xdb_core::engine::federated_sql;
use xdb_core::{Connector, EngineInput, EngineOptions, IoStats, LoadOptions, Relation, Result, TableInput, TypePolicy};
use xdb_testkit::slt::{Case, cases, difference, rename, tables};

/// What the tables are in, and how the engine's SQL calls them.
struct Place {
    connector: Arc<dyn Connector>,
    engine: &'static str,
}

fn options(place: &Place, temp: &tempfile::TempDir) -> EngineOptions {
    EngineOptions {
        memory_limit: None,
        threads: 2,
        temp_dir: temp.path().to_path_buf(),
        types: TypePolicy::Exact,
        home: (place.engine == "native").then(|| ("db".to_string(), place.connector.clone())),
        extra: Default::default(),
    }
}

async fn run(place: &Place, case: &Case, prefix: &str) -> Result<Option<String>> {
    let temp = tempfile::tempdir()?;
    let registry = xdb_registry::registry();
    let engine = (registry.engine(place.engine)?.new)();
    let mut session = engine.session(&options(place, &temp)).await?;
    let relation = |table: &str| place.connector.resolve(&Relation::bare(format!("{prefix}{table}")));
    let mut names = std::collections::BTreeSet::new();
    let sql = rename(&case.sql, |table| {
        names.insert(table.to_string());
        match place.engine {
            "native" => place.connector.relation_sql(&relation(table)),
            _ => federated_sql("db", &relation(table)),
        }
    });
    for table in &names {
        let table = Arc::new(place.connector.describe(&relation(table)).await?);
        let input = TableInput {
            connection: "db".into(),
            connector: place.connector.clone(),
            table,
            stats: Arc::<IoStats>::default(),
            spare: Arc::new(Semaphore::new(2)),
            parallelism: 2,
            types: TypePolicy::Exact,
            pushdown: xdb_core::PushdownMode::Safe,
        };
        session.attach(EngineInput::Table(input)).await?;
    }
    let batches = session.execute(&sql).await?.collect().await?;
    Ok(difference(case, &batches))
}

/// Load the tables, then run every case of the file; fails with all that differ.
async fn file(place: Place, file: &str) {
    let prefix = format!("slt{}_{}_{file}_", std::process::id(), place.engine);
    for (name, batch) in tables() {
        let load = place.connector.load().expect("a target");
        let target = place.connector.resolve(&Relation::bare(format!("{prefix}{name}")));
        let mut session = load.begin(&target, batch.schema(), &LoadOptions::default()).await.expect("a new table");
        session.write(batch).await.expect("rows");
        session.commit().await.expect("rows in a table");
    }
    let all = cases(file);
    let mut failed = vec![];
    for case in &all {
        match run(&place, case, &prefix).await {
            Ok(difference) => failed.extend(difference),
            Err(e) => failed.push(format!("{} ({})\n{}\n-- {e:?}\n", case.place, case.title, case.sql)),
        }
    }
    assert!(failed.is_empty(), "{} of {} cases failed:\n\n{}", failed.len(), all.len(), failed.join("\n"));
}

/// One test a file, in a module of the place's name. A new file needs its name here; `every_file_has_a_test` sees to it.
macro_rules! on {
    ($($place:ident: $open:expr;)+) => {
        $(mod $place {
            use super::*;
            on!(@files $open; aggregates dates decimals joins nulls numbers sets strings windows);
        })+
    };
    (@files $open:expr; $($file:ident)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $file() {
            let open: Option<(Place, Option<tempfile::TempDir>)> = $open;
            if let Some((place, _dir)) = open {
                super::file(place, stringify!($file)).await;
            }
        })+
        #[test]
        fn every_file_has_a_test() {
            assert_eq!(xdb_testkit::slt::files(), [$(stringify!($file)),+]);
        }
    };
}

/// An engine over tables that are in this process.
#[cfg(any(feature = "engine-datafusion", feature = "engine-duckdb"))]
fn over_memory(engine: &'static str) -> Option<(Place, Option<tempfile::TempDir>)> {
    let connector = Arc::new(xdb_testkit::memory::Memory::new("db"));
    Some((Place { connector, engine }, None))
}

/// An engine over a file, or the file's own.
#[cfg(any(feature = "sqlite", feature = "duckdb"))]
fn in_file(adapter: &str, engine: &'static str) -> Option<(Place, Option<tempfile::TempDir>)> {
    let dir = tempfile::tempdir().expect("a temp folder");
    let registry = xdb_registry::registry();
    let def = registry.connector(adapter).expect("a connector of this build");
    let serde_json::Value::Object(profile) = serde_json::json!({"path": "slt.db"}) else { unreachable!("a mapping") };
    let connector = xdb_testkit::conformance::open(def, "db", &profile, dir.path());
    Some((Place { connector, engine }, Some(dir)))
}

/// A server's own.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn in_server(service: &str, adapter: &str, engine: &'static str) -> Option<(Place, Option<tempfile::TempDir>)> {
    let profile = xdb_testkit::services::profile(service)?;
    let registry = xdb_registry::registry();
    let def = registry.connector(adapter).expect("a connector of this build");
    let connector = xdb_testkit::conformance::open(def, "db", &profile, std::path::Path::new("."));
    Some((Place { connector, engine }, None))
}

#[cfg(feature = "engine-datafusion")]
on! { datafusion: over_memory("datafusion"); }
#[cfg(feature = "engine-duckdb")]
on! { duckdb: over_memory("duckdb"); }
#[cfg(all(feature = "engine-datafusion", feature = "sqlite"))]
on! { datafusion_over_sqlite: in_file("sqlite", "datafusion"); }
#[cfg(all(feature = "engine-datafusion", feature = "postgres"))]
on! { datafusion_over_postgres: in_server("postgres", "postgres", "datafusion"); }
#[cfg(all(feature = "engine-duckdb", feature = "mysql"))]
on! { duckdb_over_mariadb: in_server("mariadb", "mysql", "duckdb"); }
#[cfg(feature = "duckdb")]
on! { native_duckdb: in_file("duckdb", "native"); }
#[cfg(feature = "postgres")]
on! { native_postgres: in_server("postgres", "postgres", "native"); }
