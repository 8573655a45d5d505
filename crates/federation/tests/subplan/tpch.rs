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

#[tokio::test]
async fn shapes() {
    for n in 1..=22 {
        println!("Q{n}\n{}", plan(n, PushdownMode::Safe).await);
    }
}
