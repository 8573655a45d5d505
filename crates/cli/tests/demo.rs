//! The example project, end to end, on each engine.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Stdio;
use xdb_testkit::cli::Project;
use xdb_testkit::snapshot;

fn demo() -> Project {
    let p = Project::new(env!("CARGO_BIN_EXE_xdb")).filter(r"xdb=\d+\.\d+\.\d+", "xdb=[VERSION]");
    p.run(&["init", "--demo"]).ok();
    p
}

#[test]
fn a_run_reads_like_dbts() {
    let p = demo();
    // One thread: a steady order of lines.
    snapshot!(p.run(&["run", "--threads", "1"]), @"");
    snapshot!(p.run(&["query", "select * from mart.main.cross_db_analysis order by revenue_eur desc, customer"]), @"");
    let results: serde_json::Value = serde_json::from_str(&p.read("target/demo/run_results.json")).unwrap();
    assert_eq!(results["results"].as_array().unwrap().len(), 6);
    assert_eq!(p.read("target/demo/lake/revenue_report.csv").lines().count(), 9);
    // The incremental model finds nothing new.
    let again = p.run(&["run", "-s", "order_totals"]).ok();
    assert!(again.stderr().contains("[0 rows; read"), "{again}");
    let all = p.run(&["run", "-s", "order_totals", "--full-refresh"]).ok();
    assert!(all.stderr().contains("[11 rows; read"), "{all}");
}

#[test]
fn every_engine_gives_the_same_rows() {
    let p = demo();
    p.run(&["run"]).ok();
    for (model, engines) in [
        ("cross_db_analysis", &["datafusion", "duckdb"][..]),
        ("order_totals", &["datafusion", "duckdb"]),
        ("revenue_by_country", &["datafusion", "duckdb", "native"]),
    ] {
        let rows = |engine: &str| {
            let csv = p.run(&["show", model, "--limit", "0", "--output", "csv", "--compute", engine]).ok().stdout();
            let mut lines: Vec<String> = csv.lines().map(String::from).collect();
            lines[1..].sort();
            lines
        };
        let first = rows(engines[0]);
        assert!(first.len() > 5, "{first:?}");
        for other in &engines[1..] {
            assert_eq!(rows(other), first, "{model} on {other}");
        }
    }
}

#[test]
fn the_answers_are_those_of_the_seeds_readme() {
    let p = demo();
    p.run(&["run"]).ok();
    let csv = p.run(&["query", "select * from mart.main.cross_db_analysis", "--output", "csv"]).ok().stdout();
    let revenue: BTreeMap<String, String> = csv
        .lines()
        .skip(1)
        .map(|l| {
            let (rest, revenue) = l.rsplit_once(',').unwrap();
            (rest.split(",").next().unwrap().trim_matches('"').to_string(), revenue.to_string())
        })
        .collect();
    assert_eq!(revenue["Café Zoë ☕"], "215.60");
    assert_eq!(revenue["(unknown)"], "9.60");
    assert_eq!(revenue["Dmitri Petrov"], "0.00");
    let cents: i64 = revenue.values().map(|r| r.replace('.', "").parse::<i64>().unwrap()).sum();
    assert_eq!(cents, 71_350);
}

#[test]
fn rows_in_each_format() {
    let p = demo();
    let show = |format: &str| p.run(&["show", "product_sales", "--limit", "2", "--output", format]).ok();
    snapshot!(show("table"), @"");
    snapshot!(show("csv"), @"");
    snapshot!(show("json"), @"");
    snapshot!(show("ndjson"), @"");
    assert!(show("parquet").output.stdout.starts_with(b"PAR1"));
    let arrow = show("arrow").output.stdout;
    let batches = arrow::ipc::reader::StreamReader::try_new(&arrow[..], None).unwrap();
    assert_eq!(batches.map(|b| b.unwrap().num_rows()).sum::<usize>(), 2);
}

#[test]
fn listing_and_compiling() {
    let p = demo();
    snapshot!(p.run(&["ls"]), @"");
    snapshot!(p.run(&["ls", "-s", "sales+", "--output", "path"]), @"");
    snapshot!(p.run(&["compile", "-s", "revenue_report"]), @"");
    snapshot!(p.run(&["compile", "--inline", "select {{ 1 + 1 }} as n from {{ source('erp', 'orders') }}"]), @"");
    let node: serde_json::Value =
        serde_json::from_str(&p.run(&["ls", "-s", "sales", "--output", "json"]).ok().stdout()).unwrap();
    assert_eq!(node["unique_id"], "model.coffee.sales");
}

#[test]
fn looking_into_connections() {
    let p = demo();
    snapshot!(p.run(&["inspect", "lake"]), @"");
    snapshot!(p.run(&["inspect", "lake.main.products"]), @"");
    snapshot!(p.run(&["inspect", "erp", "--sources"]), @"");
    snapshot!(p.run(&["inspect", "shop.nope"]), @"");
}

#[test]
fn parameters_are_bound() {
    let p = demo();
    let sql = "select c.name from shop.customers c join erp.orders o using (customer_id) where o.status = $s and c.name <> $n order by 1";
    for engine in ["datafusion", "duckdb"] {
        let args = [
            "query",
            sql,
            "--param",
            "s=cancelled",
            "--param",
            "n=x' or '1'='1",
            "--compute",
            engine,
            "--output",
            "csv",
        ];
        assert_eq!(p.run(&args).ok().stdout().lines().count(), 2, "{engine}");
    }
    snapshot!(p.run(&["query", "select name from shop.customers where customer_id = $id", "--param", "id=7"]), @"");
    snapshot!(
        p.run(&["query", "select name from customers where customer_id = $id", "--on", "shop", "--param", "id=7", "--output", "csv"]),
        @""
    );
    snapshot!(p.run(&["query", "select o.order_id from erp.orders o, shop.customers c where o.order_id = $x"]), @"");
}

#[test]
fn explain_shows_what_each_source_is_sent() {
    let p = demo();
    let text = p.run(&["explain", "cross_db_analysis"]).ok().stdout();
    assert!(text.contains(r#"send      SELECT "customer_id", "name", "country" FROM "main"."customers""#), "{text}");
    assert!(text.contains(r#"WHERE "status" <> 'cancelled'"#), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&p.run(&["explain", "cross_db_analysis", "--output", "json"]).ok().stdout()).unwrap();
    assert_eq!((json["engine"].as_str(), json["sources"].as_array().unwrap().len()), (Some("datafusion"), 3));
}

#[test]
fn a_failure_skips_what_depends_on_it_and_retry_mends_it() {
    let p = demo();
    let good = p.read("models/cross_db_analysis.sql");
    p.write("models/cross_db_analysis.sql", &good.replace("c.country,\n    count", "c.cuontry,\n    count"));
    let failed = p.run(&["run", "--threads", "1", "-s", "cross_db_analysis+"]);
    snapshot!(failed, @"");
    p.write("models/cross_db_analysis.sql", &good);
    let retried = p.run(&["retry"]).ok();
    assert!(retried.stderr().contains("Done. PASS=4 WARN=0 ERROR=0 SKIP=0 TOTAL=4"), "{retried}");
    let nothing = p.run(&["retry"]).ok();
    assert!(nothing.stderr().contains("nothing to retry"), "{nothing}");
}

#[test]
fn events_as_json() {
    let p = demo();
    let run = p.run(&["--log-format", "json", "run", "-s", "product_sales"]).ok();
    let events: Vec<serde_json::Value> = run.stderr().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let end = events.iter().find(|e| e["event"] == "node_end").unwrap();
    assert_eq!((end["status"].as_str(), end["rows"].as_u64()), (Some("success"), Some(8)));
    assert_eq!(events.last().unwrap()["event"], "run_end");
    let bad = p.run(&["--log-format", "json", "show", "nope"]);
    let error: serde_json::Value = serde_json::from_str(bad.stderr().lines().last().unwrap()).unwrap();
    assert_eq!((bad.code(), error["level"].as_str()), (Some(1), Some("error")));
}

#[test]
fn quiet_leaves_data_and_errors() {
    let p = demo();
    assert_eq!(p.run(&["-q", "run", "-s", "product_sales"]).ok().stderr(), "");
    let show = p.run(&["show", "product_sales", "-q"]).ok();
    assert!(show.stderr().is_empty() && show.stdout().contains("House Blend"), "{show}");
    assert!(p.run(&["-q", "show", "nope"]).stderr().starts_with("error: "));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let p = demo();
    let sql =
        "select a.order_id from erp.orders a, erp.orders b, erp.orders c, erp.orders d, erp.orders e, erp.orders f";
    let mut child =
        p.command(&["query", sql, "--output", "csv"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 8];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!((out.status.code(), String::from_utf8_lossy(&out.stderr).as_ref()), (Some(0), ""));
    assert_eq!(&first, b"order_id");
}

#[test]
fn clean_removes_what_was_built() {
    let p = demo();
    p.run(&["clean"]).ok();
    assert!(!p.path().join("target/demo").exists() && p.path().join("models").exists());
}
