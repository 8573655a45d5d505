//! What is sent for TPC-H when lineitem, orders and customer are in one database, the rest in another.

use crate::fake::*;
use arrow::array::new_empty_array;
use arrow::datatypes::DataType;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::path::Path;
use xdb_core::*;
use xdb_federation::{federate, register};

const SALES: [&str; 3] = ["lineitem", "orders", "customer"];
const SIZES: [(&str, u64); 8] = [
    ("lineitem", 6_001_215),
    ("orders", 1_500_000),
    ("customer", 150_000),
    ("part", 200_000),
    ("partsupp", 800_000),
    ("supplier", 10_000),
    ("nation", 25),
    ("region", 5),
];

/// Empty tables of the benchmark's schema that claim scale factor 1.
fn databases() -> [Fake; 2] {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev/bench/tpch.sql")).unwrap();
    let (mut sales, mut supply) = (Fake::new("sales"), Fake::new("supply"));
    for line in text.lines().filter(|l| l.starts_with("create table")) {
        let (head, body) = line.trim_end_matches([';', ')']).split_once('(').unwrap();
        let name = head.trim_start_matches("create table ").trim();
        let body = format!("{body})").replace("15,2", "15.2");
        let (columns, key) = body.split_once(", primary key (").unwrap_or((&body, ""));
        let mut keys: Vec<String> =
            key.split([',', ')']).map(|k| k.trim().to_string()).filter(|k| !k.is_empty()).collect();
        let mut out = Vec::new();
        for c in columns.split(", ") {
            let (column, ty) = c.split_once(' ').unwrap();
            if ty.contains("primary key") {
                keys.push(column.into());
            }
            let ty = match ty.split([' ', '(']).next().unwrap() {
                "int" => DataType::Int32,
                "bigint" => DataType::Int64,
                "decimal" => DataType::Decimal128(15, 2),
                "date" => DataType::Date32,
                _ => DataType::Utf8,
            };
            out.push((column, new_empty_array(&ty), false));
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let f = if SALES.contains(&name) { &mut sales } else { &mut supply };
        *f = f.clone().table(name, &keys, out);
        f.sizes = SIZES.iter().map(|(t, n)| (t.to_string(), *n)).collect();
    }
    [sales, supply]
}

fn query(number: u32) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/tpch/q{number:02}.sql"));
    let mut sql = std::fs::read_to_string(path).unwrap();
    while let Some(at) = sql.find("{{") {
        let end = sql[at..].find("}}").unwrap() + at + 2;
        let parts: Vec<String> = sql[at..end].split('\'').map(str::to_string).collect();
        sql.replace_range(at..end, &format!("{}.main.{}", parts[1], parts[3]));
    }
    sql
}

/// The plan after federation, as text.
async fn plan(number: u32, mode: PushdownMode) -> String {
    let mut config = SessionConfig::new();
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    let state = SessionStateBuilder::new().with_config(config).with_default_features().build();
    let ctx = SessionContext::new_with_state(state);
    for f in databases() {
        for (t, ..) in &f.tables {
            register(&ctx, f.input(t, mode)).unwrap();
        }
    }
    let state = ctx.state();
    let logical = state.create_logical_plan(&query(number)).await.unwrap();
    let f = federate(state.optimize(&logical).unwrap()).await.unwrap();
    let mut out = format!("{}\n", f.plan.display_indent());
    for c in f.choices {
        out += &format!("{} {} {:?}: {}\n", c.connection, c.pushed, c.relations, c.why);
    }
    for (op, why) in f.not_pushed {
        out += &format!("{op}: {why}\n");
    }
    out
}

/// The statements of a plan, each as the tables it names.
fn sent(plan: &str) -> Vec<Vec<&'static str>> {
    let leaves = plan.lines().filter(|l| l.contains("RemoteSubplan"));
    let tables = |l: &str| {
        let named = SIZES.iter().filter(|(t, _)| l.contains(&format!("\"{t}\" as")));
        named.map(|(t, _)| *t).collect()
    };
    leaves.map(tables).collect()
}

#[tokio::test]
async fn each_query_can_be_planned_in_each_mode() {
    for n in 1..=22 {
        let off = plan(n, PushdownMode::Off).await;
        assert!(sent(&off).is_empty() && !off.contains(" true "), "Q{n}\n{off}");
        plan(n, PushdownMode::Safe).await;
        let all = plan(n, PushdownMode::Aggressive).await;
        // Q14 has nothing but a join of two connections.
        assert!(!sent(&all).is_empty() || n == 14, "Q{n}\n{all}");
    }
}

#[tokio::test]
async fn joins_of_one_database_are_found_in_any_order_of_the_text() {
    // Customer and supplier are joined by nation in the text: that would multiply them.
    let q5 = plan(5, PushdownMode::Safe).await;
    assert!(sent(&q5).contains(&vec!["lineitem", "orders", "customer"]), "{q5}");
    assert!(sent(&q5).contains(&vec!["supplier", "nation", "region"]), "{q5}");
    // Whole queries of one database.
    for (n, tables) in [(2, 5), (13, 2), (16, 3), (18, 3)] {
        let p = plan(n, PushdownMode::Safe).await;
        assert_eq!(sent(&p).iter().map(Vec::len).collect::<Vec<_>>(), [tables], "Q{n}\n{p}");
    }
}

#[tokio::test]
async fn sums_of_many_decimals_stay_here() {
    // A server adds decimals digit by digit, and one connection would bring what two bring now.
    let q1 = plan(1, PushdownMode::Safe).await;
    assert!(sent(&q1).is_empty() && q1.contains(" false "), "{q1}");
    assert_eq!(sent(&plan(1, PushdownMode::Aggressive).await), [["lineitem"]]);
}
