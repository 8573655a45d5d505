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
    snapshot!(p.run(&["run", "--threads", "1"]), @r"
    exit code: 0
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 7 models, 5 sources
    [TIME]  Concurrency: 1 thread
    [TIME]
    [TIME]  1 of 6 START incremental model main.order_totals [datafusion] ........ [RUN]
    [TIME]  1 of 6 OK created incremental model main.order_totals ................ [11 rows; read erp 19, lake 3 in [DURATION]]
    [TIME]  2 of 6 START table model main.product_sales [duckdb] ................. [RUN]
    [TIME]  2 of 6 OK created table model main.product_sales ..................... [8 rows; read lake 8, erp 31 in [DURATION]]
    [TIME]  3 of 6 START table model main.cross_db_analysis [datafusion] ......... [RUN]
    [TIME]  3 of 6 OK created table model main.cross_db_analysis ................. [13 rows; read shop 12, erp 19 in [DURATION]]
    [TIME]  4 of 6 START view model main.best_customers [native] ................. [RUN]
    [TIME]  4 of 6 OK created view model main.best_customers ..................... [OK in [DURATION]]
    [TIME]  5 of 6 START table model main.revenue_by_country [native] ............ [RUN]
    [TIME]  5 of 6 OK created table model main.revenue_by_country ................ [13 rows in [DURATION]]
    [TIME]  6 of 6 START file model main.revenue_report [datafusion] ............. [RUN]
    [TIME]  6 of 6 OK created file model main.revenue_report ..................... [8 rows; read mart 8 in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 file model, 1 incremental model, 3 table models, 1 view model in [DURATION].
    [TIME]
    [TIME]  Completed successfully
    [TIME]
    [TIME]  Done. PASS=6 WARN=0 ERROR=0 SKIP=0 TOTAL=6
    ");
    snapshot!(p.run(&["query", "select * from mart.main.cross_db_analysis order by revenue_eur desc, customer"]), @r"
    exit code: 0
    ----- stdout -----
    ╭──────────────────────┬─────────┬────────┬─────────────╮
    │ customer             ┆ country ┆ orders ┆ revenue_eur │
    ╞══════════════════════╪═════════╪════════╪═════════════╡
    │ Café Zoë ☕          ┆ BE      ┆      2 ┆      215.60 │
    │ Grace Hopper         ┆ US      ┆      2 ┆      159.90 │
    │ Fischer, Jürgen      ┆ DE      ┆      2 ┆      133.20 │
    │ Hiroshi 山田         ┆ JP      ┆      1 ┆      123.00 │
    │ Björk Guðmundsdóttir ┆ IS      ┆      1 ┆       25.50 │
    │ João Silva           ┆ PT      ┆      1 ┆       24.50 │
    │ Ada Lovelace         ┆ GB      ┆      1 ┆       22.20 │
    │ (unknown)            ┆ NULL    ┆      1 ┆        9.60 │
    │ Dmitri Petrov        ┆ LV      ┆      0 ┆        0.00 │
    │ Eve O'Brien          ┆ IE      ┆      0 ┆        0.00 │
    │ Inès Dubois          ┆ FR      ┆      0 ┆        0.00 │
    │ Kwame Mensah         ┆ GH      ┆      0 ┆        0.00 │
    │ Lena Nowak           ┆ PL      ┆      0 ┆        0.00 │
    ╰──────────────────────┴─────────┴────────┴─────────────╯
    ----- stderr -----
    (13 rows)
    ");
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
    snapshot!(show("table"), @r"
    exit code: 0
    ----- stdout -----
    ╭────────────┬─────────────┬──────────┬──────┬─────────────╮
    │ product_id ┆ product     ┆ origin   ┆ sold ┆ revenue_eur │
    ╞════════════╪═════════════╪══════════╪══════╪═════════════╡
    │        101 ┆ House Blend ┆ NULL     ┆   15 ┆      133.00 │
    │        102 ┆ Yirgacheffe ┆ Ethiopia ┆    8 ┆      105.00 │
    ╰────────────┴─────────────┴──────────┴──────┴─────────────╯
    ----- stderr -----
    (2 rows)
    ");
    snapshot!(show("csv"), @r"
    exit code: 0
    ----- stdout -----
    product_id,product,origin,sold,revenue_eur
    101,House Blend,,15,133.00
    102,Yirgacheffe,Ethiopia,8,105.00
    ----- stderr -----
    ");
    snapshot!(show("json"), @r#"
    exit code: 0
    ----- stdout -----
    [
      {"product_id": 101, "product": "House Blend", "origin": null, "sold": 15, "revenue_eur": 133.00},
      {"product_id": 102, "product": "Yirgacheffe", "origin": "Ethiopia", "sold": 8, "revenue_eur": 105.00}
    ]
    ----- stderr -----
    "#);
    snapshot!(show("ndjson"), @r#"
    exit code: 0
    ----- stdout -----
    {"product_id": 101, "product": "House Blend", "origin": null, "sold": 15, "revenue_eur": 133.00}
    {"product_id": 102, "product": "Yirgacheffe", "origin": "Ethiopia", "sold": 8, "revenue_eur": 105.00}
    ----- stderr -----
    "#);
    assert!(show("parquet").output.stdout.starts_with(b"PAR1"));
    let arrow = show("arrow").output.stdout;
    let batches = arrow::ipc::reader::StreamReader::try_new(&arrow[..], None).unwrap();
    assert_eq!(batches.map(|b| b.unwrap().num_rows()).sum::<usize>(), 2);
}

#[test]
fn listing_and_compiling() {
    let p = demo();
    snapshot!(p.run(&["ls"]), @r"
    exit code: 0
    ----- stdout -----
    coffee.customers
    coffee.exchange_rates
    coffee.order_items
    coffee.orders
    coffee.products
    source:coffee.erp.order_items
    source:coffee.erp.orders
    coffee.staging.sales
    source:coffee.lake.exchange_rates
    coffee.order_totals
    source:coffee.lake.products
    coffee.product_sales
    source:coffee.shop.customers
    coffee.cross_db_analysis
    coffee.best_customers
    coffee.revenue_by_country
    coffee.revenue_report
    ----- stderr -----
    ");
    snapshot!(p.run(&["ls", "-s", "sales+", "--output", "path"]), @r"
    exit code: 0
    ----- stdout -----
    models/staging/sales.sql
    models/order_totals.sql
    models/product_sales.sql
    models/cross_db_analysis.sql
    models/best_customers.sql
    models/revenue_by_country.sql
    models/revenue_report.sql
    ----- stderr -----
    ");
    snapshot!(p.run(&["compile", "-s", "revenue_report"]), @r#"
    exit code: 0
    ----- stdout -----
    -- A file in `lake` for the people who want a spreadsheet.

    select customer, country, orders, revenue_eur
    from "mart"."main"."cross_db_analysis"
    where orders > 0
    order by revenue_eur desc
    ----- stderr -----
    "#);
    snapshot!(p.run(&["compile", "--inline", "select {{ 1 + 1 }} as n from {{ source('erp', 'orders') }}"]), @r#"
    exit code: 0
    ----- stdout -----
    select 2 as n from "main"."orders"
    ----- stderr -----
    "#);
    let node: serde_json::Value =
        serde_json::from_str(&p.run(&["ls", "-s", "sales", "--output", "json"]).ok().stdout()).unwrap();
    assert_eq!(node["unique_id"], "model.coffee.sales");
}

#[test]
fn looking_into_connections() {
    let p = demo();
    snapshot!(p.run(&["inspect", "lake"]), @r"
    exit code: 0
    ----- stdout -----
    ╭────────┬────────────────┬──────┬─────────────╮
    │ schema ┆ name           ┆ kind ┆ rows (est.) │
    ╞════════╪════════════════╪══════╪═════════════╡
    │ main   ┆ exchange_rates ┆ file ┆             │
    │ main   ┆ products       ┆ file ┆             │
    ╰────────┴────────────────┴──────┴─────────────╯
    ----- stderr -----
    (2 relations)
    ");
    snapshot!(p.run(&["inspect", "lake.main.products"]), @r"
    exit code: 0
    ----- stdout -----
    ╭─────────────┬─────────────────────┬───────────────────┬──────┬─────╮
    │ column      ┆ type                ┆ Arrow type        ┆ null ┆ key │
    ╞═════════════╪═════════════════════╪═══════════════════╪══════╪═════╡
    │ product_id  ┆ int32               ┆ Int32             ┆ yes  ┆     │
    │ name        ┆ byte_array (string) ┆ Utf8              ┆ yes  ┆     │
    │ origin      ┆ byte_array (string) ┆ Utf8              ┆ yes  ┆     │
    │ roast       ┆ byte_array (string) ┆ Utf8              ┆ yes  ┆     │
    │ unit_price  ┆ decimal(10,2)       ┆ Decimal128(10, 2) ┆ yes  ┆     │
    │ currency    ┆ byte_array (string) ┆ Utf8              ┆ yes  ┆     │
    │ in_stock    ┆ boolean             ┆ Boolean           ┆ yes  ┆     │
    │ launched_on ┆ int32 (date)        ┆ Date32            ┆ yes  ┆     │
    ╰─────────────┴─────────────────────┴───────────────────┴──────┴─────╯
    ----- stderr -----
    file main.products, about 8 rows, 2.8kB
    ");
    snapshot!(p.run(&["inspect", "erp", "--sources"]), @r"
    exit code: 0
    ----- stdout -----
    version: 2

    sources:
      - name: erp
        profile: erp
        schema: main
        tables:
          - name: order_items
          - name: orders
    ----- stderr -----
    ");
    snapshot!(p.run(&["inspect", "shop.nope"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: `shop` has neither a schema nor a table `nope`
      relation: main.nope
    hint: there is: customers
    ");
}

#[test]
fn parameters_are_bound() {
    let p = demo();
    let sql = "select c.name from shop.customers c join erp.orders o using (customer_id) where o.status = $s and c.name <> $n order by 1";
    let args = ["query", sql, "--param", "s=cancelled", "--param", "n=x' or '1'='1", "--output", "csv"];
    assert_eq!(p.run(&args).ok().stdout().lines().count(), 2);
    let duck = [&args[..], &["--compute", "duckdb"]].concat();
    assert_eq!(p.run(&duck).ok().stdout(), p.run(&args).ok().stdout());
    let typed = "select name, $d + 0.25 as d from shop.customers where customer_id = $id and $b and $d < 0";
    let typed = ["query", typed, "--param", "d=-1.50", "--param", "b=true", "--param", "id=7", "--output", "csv"];
    for engine in ["duckdb", "datafusion"] {
        let out = p.run(&[&typed[..], &["--compute", engine]].concat()).ok();
        assert_eq!(out.stdout(), "name,d\nGrace Hopper,-1.25\n", "{engine}");
    }
    snapshot!(p.run(&["query", "select name from shop.customers where customer_id = $id", "--param", "id=7"]), @r"
    exit code: 0
    ----- stdout -----
    ╭──────────────╮
    │ name         │
    ╞══════════════╡
    │ Grace Hopper │
    ╰──────────────╯
    ----- stderr -----
    (1 row)
    ");
    snapshot!(
        p.run(&["query", "select name from customers where customer_id = $id", "--on", "shop", "--param", "id=7", "--output", "csv"]),
        @r"
        exit code: 0
        ----- stdout -----
        name
        Grace Hopper
        ----- stderr -----
        "
    );
    snapshot!(p.run(&["query", "select o.order_id from erp.orders o, shop.customers c where o.order_id = $x"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: the SQL uses $x, but it has no value
    hint: add --param x=…
    ");
}

#[test]
fn explain_shows_what_each_source_is_sent() {
    let p = demo();
    let text = p.run(&["explain", "cross_db_analysis"]).ok().stdout();
    assert!(text.contains(r#"send      SELECT "customer_id", "name", "country" FROM "main"."customers""#), "{text}");
    // Orders and their items are joined where they are.
    assert!(text.contains("read main.orders, main.order_items from `erp`"), "{text}");
    assert!(text.contains(r#""status" <> 'cancelled'"#) && text.contains(" JOIN "), "{text}");
    assert!(text.contains("sent whole: main.orders, main.order_items (`erp`)"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&p.run(&["explain", "cross_db_analysis", "--output", "json"]).ok().stdout()).unwrap();
    assert_eq!((json["engine"].as_str(), json["sources"].as_array().unwrap().len()), (Some("datafusion"), 2));
}

#[test]
fn the_rows_of_a_view_may_be_computed_anywhere() {
    let p = demo();
    p.run(&["run"]).ok();
    let engine = |args: &[&str]| p.run(args).ok().stdout().lines().next().unwrap().to_string();
    assert_eq!(engine(&["explain", "best_customers"]), "engine: native");
    assert_eq!(engine(&["explain", "best_customers", "--compute", "datafusion"]), "engine: datafusion");
    let show =
        |compute: &str| p.run(&["show", "best_customers", "--compute", compute, "--output", "csv"]).ok().stdout();
    assert_eq!(show("duckdb"), show("native"));
}

#[test]
fn a_model_is_shown_and_explained_with_its_own_pushdown() {
    let p = demo();
    let model = p.read("models/cross_db_analysis.sql");
    p.write("models/cross_db_analysis.sql", &format!("{{{{ config(pushdown='off') }}}}\n{model}"));
    let text = p.run(&["explain", "cross_db_analysis"]).ok().stdout();
    assert!(!text.contains("sent whole") && !text.contains("WHERE"), "{text}");
}

#[test]
fn explain_analyze_shows_what_each_source_did() {
    let p = demo();
    let text = p.run(&["explain", "cross_db_analysis", "--analyze"]).ok().stdout();
    assert!(text.starts_with("engine: datafusion\nanswer: "), "{text}");
    assert_eq!(text.matches("\n  came      ").count(), 2, "{text}");
    let run = p.run(&["explain", "cross_db_analysis", "--analyze", "--output", "json"]).ok().stdout();
    let json: serde_json::Value = serde_json::from_str(&run).unwrap();
    let rows = |s: &serde_json::Value| s["actual"]["rows"].as_u64().unwrap();
    assert!(json["sources"].as_array().unwrap().iter().all(|s| rows(s) > 0), "{json:#}");
    assert!(json["actual"]["rows"].as_u64().unwrap() > 0, "{json:#}");
    assert!(p.run(&["explain", "cross_db_analysis"]).ok().stdout().find("came").is_none(), "nothing is run without it");
}

#[test]
fn a_failure_skips_what_depends_on_it_and_retry_mends_it() {
    let p = demo();
    let good = p.read("models/cross_db_analysis.sql");
    p.write("models/cross_db_analysis.sql", &good.replace("c.country,\n    count", "c.cuontry,\n    count"));
    let failed = p.run(&["run", "--threads", "1", "-s", "cross_db_analysis+"]);
    snapshot!(failed, @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 7 models, 5 sources
    [TIME]  Concurrency: 1 thread
    [TIME]
    [TIME]  1 of 4 START table model main.cross_db_analysis [datafusion] ......... [RUN]
    [TIME]  1 of 4 ERROR creating table model main.cross_db_analysis ............. [ERROR in [DURATION]]
    [TIME]  2 of 4 SKIP view model main.best_customers ........................... [SKIP]
    [TIME]  3 of 4 SKIP table model main.revenue_by_country ...................... [SKIP]
    [TIME]  4 of 4 SKIP file model main.revenue_report ........................... [SKIP]
    [TIME]
    [TIME]  Finished running 1 file model, 2 table models, 1 view model in [DURATION].
    [TIME]
    error: datafusion: there is no column `c.cuontry`
      model: cross_db_analysis
    hint: did you mean `country`?

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=3 TOTAL=4
    ");
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
