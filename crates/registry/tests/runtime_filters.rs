//! What one database holds few of is sent to another as a filter: the same answers as without, of fewer rows read.

#![cfg(all(feature = "postgres", feature = "mysql", feature = "sqlite", feature = "engine-datafusion"))]
#![cfg(feature = "engine-duckdb")]
#![allow(clippy::expect_used)] // Helpers of tests fail the test.

use arrow::array::{
    ArrayRef, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::util::pretty::pretty_format_batches;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use xdb_core::engine::federated_sql;
use xdb_core::{
    Connector, EngineInput, EngineOptions, Explanation, IoStats, LoadOptions, PushdownMode, Relation, TableInput,
    TypePolicy,
};

const BIG: i64 = 60_000;

/// 60,000 rows: ids, a group of 0 to 299, a text that case and blanks make different, money, a time.
fn big() -> RecordBatch {
    let n = 0..BIG;
    let text = |i: i64| match i % 4 {
        0 => format!("key {}", i / 4),
        1 => format!("KEY {}", i / 4),
        2 => format!("key {} ", i / 4),
        _ => format!("kéy {}", i / 4),
    };
    let price = n.clone().map(|i| Some(i128::from(i) * 101)).collect::<Decimal128Array>();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("id", Arc::new(n.clone().collect::<Int64Array>()), false),
        ("grp", Arc::new(n.clone().map(|i| (i % 11 != 0).then_some((i % 300) as i32)).collect::<Int32Array>()), true),
        ("name", Arc::new(n.clone().map(|i| Some(text(i))).collect::<StringArray>()), true),
        ("price", Arc::new(price.with_precision_and_scale(12, 2).expect("decimals")), true),
        ("moment", Arc::new(n.map(|i| Some(i * 60_000_000)).collect::<TimestampMicrosecondArray>()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
}

/// 40 rows: ids of `big` (as the narrower type), one of them NULL, one beyond it; texts; a price and a time of `big`.
fn small() -> RecordBatch {
    let n = 0..40i64;
    let id = |i: i64| match i {
        7 => None,
        8 => Some(-5),
        _ => Some(i as i32 * 1300),
    };
    let price = n.clone().map(|i| Some(i128::from(i) * 10_100)).collect::<Decimal128Array>();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("n", Arc::new(n.clone().collect::<Int64Array>()), false),
        ("big_id", Arc::new(n.clone().map(id).collect::<Int32Array>()), true),
        ("name", Arc::new(n.clone().map(|i| Some(format!("key {}", i * 7))).collect::<StringArray>()), true),
        ("price", Arc::new(price.with_precision_and_scale(10, 2).expect("decimals")), true),
        ("moment", Arc::new(n.map(|i| Some(i * 600_000_000)).collect::<TimestampMicrosecondArray>()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
}

struct Place {
    name: &'static str,
    connector: Arc<dyn Connector>,
    _dir: Option<tempfile::TempDir>,
}

fn server(name: &'static str, service: &str, adapter: &str) -> Option<Place> {
    let profile = xdb_testkit::services::profile(service)?;
    let registry = xdb_registry::registry();
    let def = registry.connector(adapter).expect("a connector of this build");
    let connector = xdb_testkit::conformance::open(def, name, &profile, std::path::Path::new("."));
    Some(Place { name, connector, _dir: None })
}

fn sqlite() -> Place {
    let dir = tempfile::tempdir().expect("a temp folder");
    let registry = xdb_registry::registry();
    let def = registry.connector("sqlite").expect("a connector of this build");
    let serde_json::Value::Object(profile) = serde_json::json!({"path": "t.db"}) else { unreachable!("a mapping") };
    let connector = xdb_testkit::conformance::open(def, "lite", &profile, dir.path());
    Place { name: "lite", connector, _dir: Some(dir) }
}

async fn load(place: &Place, test: &str, table: &str, rows: RecordBatch) -> Relation {
    let name = format!("runtime_filters_{}_{test}_{table}", std::process::id());
    let target = place.connector.resolve(&Relation::bare(name));
    let load = place.connector.load().expect("a target");
    let mut session = load.begin(&target, rows.schema(), &LoadOptions::default()).await.expect("a new table");
    session.write(rows).await.expect("rows");
    session.commit().await.expect("rows in a table");
    target
}

/// The sorted rows, rows read of `big`, and the analysis.
async fn run(
    engine: &str,
    pushdown: PushdownMode,
    places: [(&Place, &Relation); 2],
    sql: &str,
) -> (String, u64, Explanation) {
    let temp = tempfile::tempdir().expect("a temp folder");
    let options = EngineOptions {
        memory_limit: None,
        threads: 2,
        temp_dir: temp.path().to_path_buf(),
        types: TypePolicy::Exact,
        home: None,
        extra: Default::default(),
    };
    let registry = xdb_registry::registry();
    let engine = (registry.engine(engine).expect("an engine").new)();
    let mut session = engine.session(&options).await.expect("a session");
    let stats = [Arc::<IoStats>::default(), Arc::default()];
    for ((place, relation), stats) in places.iter().zip(&stats) {
        let table = place.connector.describe(relation).await.expect("a table");
        let input = TableInput {
            connection: place.name.into(),
            connector: place.connector.clone(),
            table: Arc::new(table),
            stats: stats.clone(),
            spare: Arc::new(Semaphore::new(2)),
            parallelism: 2,
            types: TypePolicy::Exact,
            pushdown,
        };
        session.attach(EngineInput::Table(input)).await.expect("attached");
    }
    let name = |at: usize| {
        let (place, relation): (&Place, &Relation) = places[at];
        federated_sql(place.name, relation)
    };
    let sql = sql.replace("BIG", &name(0)).replace("SMALL", &name(1));
    let rows = session.execute(&sql).await.expect(&sql).collect().await.expect(&sql);
    let text = pretty_format_batches(&rows).expect("text").to_string();
    let mut lines: Vec<&str> = text.lines().filter(|l| l.starts_with('|')).collect();
    lines.sort_unstable();
    let read = stats[0].rows();
    let analysis = session.analyze(&sql).await.unwrap_or_default();
    (lines.join("\n"), read, analysis)
}

const ALL: u64 = BIG as u64;

/// SQL, and how many rows of `big` may be read at most: by the datafusion engine, by the duckdb engine.
const QUERIES: &[(&str, u64, u64)] = &[
    ("select b.id, b.name, s.n from BIG b join SMALL s on b.id = s.big_id", 39, 39),
    ("select b.id from BIG b where b.id in (select big_id from SMALL)", 39, 39),
    ("select s.n, b.id from SMALL s left join BIG b on b.id = s.big_id", 39, ALL),
    ("select s.n from SMALL s where not exists (select 1 from BIG b where b.id = s.big_id)", 39, ALL),
    // A case-insensitive source sends more, which are then not used.
    ("select b.id, b.name, s.n from BIG b join SMALL s on b.name = s.name", 200, 200),
    ("select b.id, s.n from BIG b join SMALL s on b.price = s.price", 40, ALL),
    ("select b.id, s.n from BIG b join SMALL s on b.moment = s.moment", 40, 40),
    ("select b.id, s.n from BIG b join SMALL s on b.grp = s.big_id", 200, 200),
    ("select b.id, b.price from BIG b where b.moment > (select max(moment) + interval '1' day from SMALL)", ALL, ALL),
    ("select b.id, b.price from BIG b where b.id < (select max(n) from SMALL)", 39, ALL),
    ("select b.id, b.price from BIG b where b.price = (select max(price) from SMALL)", 1, ALL),
    ("select b.id, b.price from BIG b where b.id > (select max(n) from SMALL where n > 1000)", 0, ALL),
    ("select b.id from BIG b join SMALL s on b.id = s.big_id where s.n > 1000", 0, 0),
    ("select s.n, b.c from SMALL s join (select grp, count(*) c from BIG group by grp) b on b.grp = s.n", 8000, 8000),
    ("select b.id, s.n from BIG b join SMALL s on b.id = s.big_id + 1", 39, ALL),
    ("select b.id from BIG b join SMALL s on b.id = s.big_id join SMALL t on t.n = s.n where t.n < 9", 39, 39),
    // These need all of it.
    ("select count(*) from BIG b where b.id not in (select big_id from SMALL where big_id is not null)", ALL, ALL),
    ("select count(*), count(s.n) from BIG b left join SMALL s on b.id = s.big_id", ALL, ALL),
    ("select count(*), count(s.n) from BIG b full join SMALL s on b.id = s.big_id", ALL, ALL),
    ("select b.id, s.n from BIG b left join BIG c on c.id = b.grp join SMALL s on s.n = c.id", 2 * ALL, 2 * ALL),
];

async fn check(test: &str, engine: &str, one: Place, other: Place) {
    let (large, few) = (load(&one, test, "big", big()).await, load(&other, test, "small", small()).await);
    let places = [(&one, &large), (&other, &few)];
    // A table without statistics is not known to be small.
    for (place, relation) in places {
        let name = place.connector.relation_sql(relation);
        let analyze = if place.name == "my" { format!("ANALYZE TABLE {name}") } else { format!("ANALYZE {name}") };
        place.connector.execute().expect("SQL").run(&analyze).await.expect("statistics");
    }
    let mut failed = vec![];
    for (sql, datafusion, duckdb) in QUERIES {
        let most = if engine == "duckdb" { duckdb } else { datafusion };
        let both = async {
            let off = run(engine, PushdownMode::Off, places, sql).await;
            (off, run(engine, PushdownMode::Safe, places, sql).await)
        };
        let ((want, all, _), (got, read, analysis)) =
            tokio::time::timeout(Duration::from_secs(120), both).await.expect("an answer in time");
        if got != want {
            failed.push(format!("another answer: {sql}\n{got}\ninstead of\n{want}"));
        }
        // SQLite compares no decimals and no times as Arrow does.
        let loose = one.name == "lite" && (sql.contains("price =") || sql.contains("moment ="));
        if read > *most && !loose {
            failed.push(format!("{read} rows read, more than {most} (of {all}): {sql}\n{analysis:#?}"));
        }
    }
    for (place, relation) in places {
        place.connector.execute().expect("SQL").drop_relation(relation).await.expect("dropped");
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

macro_rules! placed {
    ($($name:ident: $engine:literal $big:expr, $small:expr;)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            if let (Some(big), Some(small)) = ($big, $small) {
                check(stringify!($name), $engine, big, small).await;
            }
        }
    )+};
}

fn pg() -> Option<Place> {
    server("pg", "postgres", "postgres")
}
fn my() -> Option<Place> {
    server("my", "mariadb", "mysql")
}

placed! {
    datafusion_postgres_by_mariadb: "datafusion" pg(), my();
    datafusion_mariadb_by_postgres: "datafusion" my(), pg();
    datafusion_sqlite_by_postgres: "datafusion" Some(sqlite()), pg();
    duckdb_postgres_by_mariadb: "duckdb" pg(), my();
    duckdb_mariadb_by_postgres: "duckdb" my(), pg();
    duckdb_sqlite_by_postgres: "duckdb" Some(sqlite()), pg();
}
