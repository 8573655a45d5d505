//! Customers in PostgreSQL, orders in MariaDB, joined into a third database by every engine: equal to what a person with
//! the two CSV files and patience would find. Nothing here knows SQL but the models.

use crate::data::{Data, source};
use crate::rows::{Table, Value, exact};
use serde_json::json;
use std::collections::HashMap;
use xdb_testkit::cli::Project;

/// Each customer with more than 1000.50 on the account, with what they ordered since a day; also those who did not.
const CUSTOMER_ORDERS: &str = "
select
    c.c_custkey, c.c_name, c.c_phone, c.c_acctbal,
    count(o.o_orderkey) as orders, sum(o.o_totalprice) as total,
    min(o.o_orderdate) as first_order, max(o.o_orderdate) as last_order, max(o.o_clerk) as last_clerk
from CUSTOMER c
left join ORDERS o on o.o_custkey = c.c_custkey and o.o_orderdate >= date '1995-03-15' and o.o_orderstatus <> 'P'
where c.c_acctbal > 1000.50
group by c.c_custkey, c.c_name, c.c_phone, c.c_acctbal";

/// The large orders of one trade, without an aggregate.
const LARGE_ORDERS: &str = "
select o.o_orderkey, o.o_orderdate, o.o_totalprice, o.o_orderpriority, o.o_comment, c.c_name, c.c_address, c.c_acctbal
from ORDERS o
join CUSTOMER c on c.c_custkey = o.o_custkey
where c.c_mktsegment = 'BUILDING' and o.o_totalprice >= 150000.00 and o.o_orderdate < date '1997-01-01'";

/// Of [`LARGE_ORDERS`], in cents.
const LARGE: i64 = 15_000_000;

const MODELS: [(&str, &str); 2] = [("customer_orders", CUSTOMER_ORDERS), ("large_orders", LARGE_ORDERS)];

fn model(config: &str, sql: &str, customer: &str, orders: &str) -> String {
    let sql = sql.replace("CUSTOMER", customer).replace("ORDERS", orders);
    format!("{{{{ config(materialized='table', {config}) }}}}{sql}\n")
}

fn project(data: &Data) -> Project {
    let lite = json!({"adapter": "sqlite", "path": "out.sqlite"});
    let duck = json!({"adapter": "duckdb", "path": "out.duckdb"});
    let sources = [source("crm", "pg", &["customer"]), source("erp", "my", &["orders"])];
    data.project("pg", &[("lite_out", lite), ("duck_out", duck)])
        .file("models/sources.yml", &json!({"sources": sources}).to_string())
}

const CUSTOMER: &str = "{{ source('crm', 'customer') }}";
const ORDERS: &str = "{{ source('erp', 'orders') }}";

/// Both models into each of the three databases, by `engine`.
fn federated(engine: &str) {
    let Some(data) = Data::loaded() else { return };
    let p = project(&data);
    let schema = format!("tpch_by_hand_{engine}");
    let targets = [("pg", format!("{schema}.")), ("lite_out", String::new()), ("duck_out", String::new())];
    for (target, _) in &targets {
        for (name, sql) in MODELS {
            let schema = if *target == "pg" { format!("schema='{schema}', ") } else { String::new() };
            let config = format!("{schema}target='{target}', alias='{name}', compute='{engine}'");
            p.write(&format!("models/{target}_{name}.sql"), &model(&config, sql, CUSTOMER, ORDERS));
        }
    }
    let run = p.run(&["run"]).ok().stderr();
    assert_eq!(run.matches(&format!("[{engine}]")).count(), 6, "{run}");
    for (target, prefix) in &targets {
        check(&data, &p, target, prefix);
    }
}

/// The tables that `target` now holds, as it answers itself, against those of [`Csv`].
fn check(data: &Data, p: &Project, target: &str, prefix: &str) {
    let csv = Csv::read(data);
    for (name, want) in
        [("customer_orders", csv.customer_orders("1995-03-15")), ("large_orders", csv.large_orders(LARGE))]
    {
        let sql = format!("select * from {prefix}{name}");
        let run = p.run(&["query", "--on", target, &sql, "--output", "arrow"]).ok();
        let got = Table::from_arrow(&run.output.stdout);
        assert_eq!(got.difference(&want, &[], &[]), None, "{name} in {target}");
        assert!(want.rows.len() > 500, "{name}: {} rows", want.rows.len());
        // A filter that is off by a day, or by a cent, is seen.
        let near = match name {
            "customer_orders" => csv.customer_orders("1995-03-16"),
            _ => {
                let prices = csv.large(LARGE).into_iter().map(|(o, _)| cents(&o["o_totalprice"]));
                csv.large_orders(prices.min().expect("orders") + 1)
            }
        };
        assert!(got.difference(&near, &[], &[]).is_some(), "{name} in {target}");
    }
}

#[test]
fn datafusion() {
    federated("datafusion");
}
#[test]
fn duckdb() {
    federated("duckdb");
}

/// A database can't join what another holds: xdb copies the orders to where the customers are, and the database joins.
#[test]
fn native() {
    let Some(data) = Data::loaded() else { return };
    let p = project(&data);
    let config = "target='pg', schema='tpch_by_hand_native'";
    p.write("models/orders_here.sql", &model(config, "select * from ORDERS", CUSTOMER, ORDERS));
    for (name, sql) in MODELS {
        let config = format!("{config}, compute='native'");
        p.write(&format!("models/{name}.sql"), &model(&config, sql, CUSTOMER, "{{ ref('orders_here') }}"));
    }
    let run = p.run(&["run"]).ok().stderr();
    assert_eq!((run.matches("[datafusion]").count(), run.matches("[native]").count()), (1, 2), "{run}");
    check(&data, &p, "pg", "tpch_by_hand_native.");
}

type Line = HashMap<String, String>;

/// The two files, a map of column to text for each line. Money is in cents, days are texts that sort as days do.
struct Csv {
    customers: Vec<Line>,
    orders: Vec<Line>,
}

impl Csv {
    fn read(data: &Data) -> Self {
        Self { customers: lines(&data.csv("customer")), orders: lines(&data.csv("orders")) }
    }

    fn customer_orders(&self, since: &str) -> Table {
        #[derive(Default)]
        struct Sum<'a> {
            count: u32,
            cents: i64,
            first: Option<&'a str>,
            last: Option<&'a str>,
            clerk: Option<&'a str>,
        }
        let mut sums: HashMap<&str, Sum<'_>> = HashMap::new();
        for o in &self.orders {
            let day = o["o_orderdate"].as_str();
            if day < since || o["o_orderstatus"] == "P" {
                continue;
            }
            let sum = sums.entry(&o["o_custkey"]).or_default();
            sum.count += 1;
            sum.cents += cents(&o["o_totalprice"]);
            sum.first = Some(sum.first.map_or(day, |d| d.min(day)));
            sum.last = sum.last.max(Some(day));
            sum.clerk = sum.clerk.max(Some(&o["o_clerk"]));
        }
        let day = |d: Option<&str>| d.map_or(Value::Null, |d| Value::Date(d.into()));
        let none = Sum::default();
        let rows = self.customers.iter().filter(|c| cents(&c["c_acctbal"]) > 100_050).map(|c| {
            let sum = sums.get(c["c_custkey"].as_str()).unwrap_or(&none);
            vec![
                exact(&c["c_custkey"]),
                text(&c["c_name"]),
                text(&c["c_phone"]),
                money(cents(&c["c_acctbal"])),
                exact(&sum.count.to_string()),
                if sum.count == 0 { Value::Null } else { money(sum.cents) },
                day(sum.first),
                day(sum.last),
                sum.clerk.map_or(Value::Null, text),
            ]
        });
        let columns = [
            "c_custkey",
            "c_name",
            "c_phone",
            "c_acctbal",
            "orders",
            "total",
            "first_order",
            "last_order",
            "last_clerk",
        ];
        Table { columns: columns.map(Into::into).to_vec(), rows: rows.collect() }
    }

    /// Orders with a price of `least` or more, and their customers.
    fn large(&self, least: i64) -> Vec<(&Line, &Line)> {
        let customers: HashMap<&str, &Line> = self.customers.iter().map(|c| (c["c_custkey"].as_str(), c)).collect();
        let large = self.orders.iter().filter(|o| cents(&o["o_totalprice"]) >= least);
        let early = large.filter(|o| o["o_orderdate"].as_str() < "1997-01-01");
        let with_customer = early.map(|o| (o, customers[o["o_custkey"].as_str()]));
        with_customer.filter(|(_, c)| c["c_mktsegment"] == "BUILDING").collect()
    }

    fn large_orders(&self, least: i64) -> Table {
        let rows = self.large(least).into_iter();
        let rows = rows.map(|(o, c)| {
            vec![
                exact(&o["o_orderkey"]),
                Value::Date(o["o_orderdate"].clone()),
                money(cents(&o["o_totalprice"])),
                text(&o["o_orderpriority"]),
                text(&o["o_comment"]),
                text(&c["c_name"]),
                text(&c["c_address"]),
                money(cents(&c["c_acctbal"])),
            ]
        });
        let columns = [
            "o_orderkey",
            "o_orderdate",
            "o_totalprice",
            "o_orderpriority",
            "o_comment",
            "c_name",
            "c_address",
            "c_acctbal",
        ];
        Table { columns: columns.map(Into::into).to_vec(), rows: rows.collect() }
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

/// `-12.34` is -1234.
fn cents(money: &str) -> i64 {
    let (whole, part) = money.split_once('.').expect("two decimals");
    assert_eq!(part.len(), 2, "{money}");
    format!("{whole}{part}").parse().expect("digits")
}

fn money(cents: i64) -> Value {
    let sign = if cents < 0 { "-" } else { "" };
    exact(&format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100))
}

/// CSV whose fields hold no line breaks.
fn lines(csv: &str) -> Vec<Line> {
    let mut lines = csv.lines().map(fields);
    let head = lines.next().expect("a head");
    lines.map(|l| head.iter().cloned().zip(l).collect()).collect()
}

fn fields(line: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(String::new()),
            c => out.last_mut().expect("a field").push(c),
        }
    }
    out
}

#[test]
fn csv_and_cents_are_read_as_they_are_written() {
    assert_eq!(fields(r#"1,"a, b",-0.50,"#), ["1", "a, b", "-0.50", ""]);
    assert_eq!((cents("-0.50"), cents("12.34")), (-50, 1234));
    assert_eq!((money(-50), money(1230)), (exact("-0.5"), exact("12.3")));
}
