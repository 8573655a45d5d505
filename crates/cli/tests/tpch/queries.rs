//! The 22 queries of tests/tpch: the tables of source `sales` in one database, those of `supply` in another, by each
//! engine. The answers they must equal are those of one PostgreSQL that holds all eight tables and runs the query itself.

use crate::data::{Data, SALES, SUPPLY, source};
use crate::rows::{Table, Value, exact};
use serde_json::json;
use std::path::Path;
use xdb_testkit::cli::Project;

/// avg() and quotients, whose digits after the sixth decimal are each engine's own. All other columns are exact.
const APPROXIMATE: [(&str, &[&str]); 4] = [
    ("q01", &["avg_qty", "avg_price", "avg_disc"]),
    ("q08", &["mkt_share"]),
    ("q14", &["promo_revenue"]),
    ("q17", &["avg_yearly"]),
];

/// A query, what the variant is called, and which texts of it are replaced.
type Variant = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// The validation parameters find nothing in so little data for two queries: those run with other parameters too.
const OTHER_PARAMETERS: [Variant; 2] = [
    ("q08", "q08_united_states", &[("'BRAZIL'", "'UNITED STATES'")]),
    ("q17", "q17_wrap_can", &[("'Brand#23'", "'Brand#44'"), ("'MED BOX'", "'WRAP CAN'")]),
];

/// Name and SQL, with Jinja, of each.
pub(crate) fn all() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tpch");
    let read = |number: u32| {
        let name = format!("q{number:02}");
        let path = folder.join(format!("{name}.sql"));
        let sql = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (name, sql)
    };
    let mut all: Vec<(String, String)> = (1..=22).map(read).collect();
    for (query, name, values) in OTHER_PARAMETERS {
        let sql = all.iter().find(|(n, _)| n == query).expect("a query").1.clone();
        let replace = |sql: String, (from, to): &(&str, &str)| {
            assert!(sql.contains(from), "{query} has no {from}");
            sql.replace(from, to)
        };
        all.push((name.into(), values.iter().fold(sql, replace)));
    }
    all
}

/// The columns of the outermost `order by`, which stands at the start of its line.
fn keys(sql: &str) -> Vec<String> {
    let by = sql.lines().find_map(|l| l.strip_prefix("order by "));
    by.map_or(vec![], |by| by.split(", ").map(|k| k.trim_end_matches(" desc").to_string()).collect())
}

fn approximate(query: &str) -> &'static [&'static str] {
    APPROXIMATE.iter().find(|(q, _)| query.starts_with(q)).map_or(&[], |(_, columns)| columns)
}

fn project(data: &Data, sales: &str, supply: &str, out: &Path) -> Project {
    let one = {
        let mut pg = data.profiles()["pg"].clone();
        // avg() of numeric has as many digits as it takes, which is more than decimal(38, 18) holds.
        pg["types"] = json!("lossy");
        pg
    };
    let p = data.project("out", &[("one", one), ("out", json!({"adapter": "files", "path": out}))]);
    std::fs::create_dir_all(out).expect("a folder");
    let sources = json!({"sources": [source("sales", sales, &SALES), source("supply", supply, &SUPPLY)]});
    p.write("models/sources.yml", &sources.to_string());
    for (name, sql) in all() {
        p.write(&format!("models/{name}.sql"), &format!("{{{{ config(materialized='file') }}}}\n{sql}"));
    }
    p
}

/// Ask the one database, and keep the answers beside the data.
pub(crate) fn answer(data: &Data) {
    let folder = data.file("answers");
    let p = project(data, "one", "one", &folder);
    let ask = |name: &str| {
        let run = p.run(&["show", name, "--compute", "native", "--limit", "0", "--output", "arrow"]).ok();
        std::fs::write(folder.join(format!("{name}.arrow")), &run.output.stdout).expect("an answer");
    };
    let queries = all();
    std::thread::scope(|scope| {
        for half in queries.chunks(queries.len().div_ceil(2)) {
            scope.spawn(|| half.iter().for_each(|(name, _)| ask(name)));
        }
    });
}

fn answer_of(data: &Data, query: &str) -> Table {
    Table::from_arrow(&std::fs::read(data.file(&format!("answers/{query}.arrow"))).expect("an answer"))
}

fn split(engine: &str, sales: &str, supply: &str) {
    let Some(data) = Data::loaded() else { return };
    let out = tempfile::tempdir().expect("a temp folder");
    let p = project(&data, sales, supply, out.path());
    let run = p.run(&["run", "--compute", engine]).ok().stderr();
    let queries = all();
    // By this engine, from both databases.
    assert_eq!(run.matches(&format!("[{engine}]")).count(), queries.len(), "{run}");
    for connection in [sales, supply] {
        assert!(run.contains(&format!("read {connection} ")), "{run}");
    }
    let differs = |(name, sql): &(String, String)| {
        let got = Table::from_parquet(&out.path().join(format!("{name}.parquet")));
        let difference = got.difference(&answer_of(&data, name), &keys(sql), approximate(name));
        difference.map(|d| format!("{name}: {d}"))
    };
    let wrong: Vec<String> = queries.iter().filter_map(differs).collect();
    assert!(wrong.is_empty(), "{} of {} answers differ:\n{}", wrong.len(), queries.len(), wrong.join("\n"));
}

macro_rules! splits {
    ($($name:ident: $sales:literal $supply:literal;)+) => {$(
        mod $name {
            #[test]
            fn datafusion() {
                super::split("datafusion", $sales, $supply);
            }
            #[test]
            fn duckdb() {
                super::split("duckdb", $sales, $supply);
            }
        }
    )+};
}
splits! {
    sales_in_postgres_supply_in_mariadb: "pg" "my";
    sales_in_mariadb_supply_in_postgres: "my" "pg";
    sales_in_sqlite_supply_in_mariadb: "lite" "my";
    sales_in_postgres_supply_in_sqlite: "pg" "lite";
    sales_in_duckdb_supply_in_postgres: "duck" "pg";
    sales_in_mariadb_supply_in_duckdb: "my" "duck";
}

/// No query is a test of nothing: each has rows, and but for the two that other parameters stand in for, with values.
#[test]
fn answers_say_something() {
    let Some(data) = Data::loaded() else { return };
    for (name, sql) in all() {
        let answer = answer_of(&data, &name);
        assert!(!answer.rows.is_empty(), "{name}");
        // Every order's is 0.
        let values = |row: &Vec<Value>| -> Vec<Value> {
            let named = row.iter().zip(&answer.columns).filter(|(_, c)| *c != "o_shippriority");
            named.map(|(v, _)| v.clone()).collect()
        };
        let something = |row: &Vec<Value>| !values(row).iter().any(|v| *v == Value::Null || *v == exact("0"));
        let stood_in_for = OTHER_PARAMETERS.iter().any(|(query, ..)| *query == name);
        assert!(stood_in_for || answer.rows.iter().any(something), "{name}: {answer:?}");
        // The order's columns are there to be compared.
        assert!(keys(&sql).iter().all(|k| answer.columns.contains(k)), "{name}: {answer:?}");
    }
    // Other parameters are another answer, and that is seen.
    for (query, variant, _) in OTHER_PARAMETERS {
        assert!(answer_of(&data, variant).difference(&answer_of(&data, query), &[], approximate(query)).is_some());
    }
    // Q1's four groups, as published: the same at every scale factor.
    let q01 = answer_of(&data, "q01");
    let flags: Vec<&[Value]> = q01.rows.iter().map(|r| &r[..2]).collect();
    let text = |t: &str| Value::Text(t.into());
    assert_eq!(flags, [["A", "F"], ["N", "F"], ["N", "O"], ["R", "F"]].map(|[a, b]| [text(a), text(b)]));
}
