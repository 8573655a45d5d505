//! `xdb seed`, and models that read what it loads.
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of a test fail the test.

use xdb_testkit::cli::Project;
use xdb_testkit::snapshot;

fn project() -> Project {
    Project::new(env!("CARGO_BIN_EXE_xdb"))
        .filter(r"xdb=\d+\.\d+\.\d+", "xdb=[VERSION]")
        .filter(r"Concurrency: \d+ threads?", "Concurrency: [N] threads")
        .file("xdb_project.yml", "name: shop\ntarget: mart\nmodels:\n  +materialized: table\nseeds:\n  shop:\n    rates:\n      +target: lite\n")
        .file("profiles.yml", "mart: {adapter: duckdb, path: mart.duckdb}\nlite: {adapter: sqlite, path: lite.sqlite}\n")
        .file("seeds/countries.csv", "code,name\nDE,Germany\nFR,France\n")
        .file("seeds/rates.csv", "code,rate\nDE,2\nFR,3\n")
        .file("models/b.sql", "select c.name, r.rate from {{ ref('countries') }} c join {{ ref('rates') }} r using (code)\n")
        .file("models/a.sql", "select count(*) as n from {{ ref('countries') }}\n")
}

#[test]
fn a_model_reads_a_seed() {
    let p = project();
    snapshot!(p.run(&["run", "--threads", "1"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 2 models, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 2 START table model main.a [native] ............................. [RUN]
    [TIME]  1 of 2 ERROR creating table model main.a ............................. [ERROR in [DURATION]]
    [TIME]  2 of 2 START table model main.b [datafusion] ......................... [RUN]
    [TIME]  2 of 2 ERROR creating table model main.b ............................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 2 table models in [DURATION].
    [TIME]
    error: seed `countries`: there is no table or view `main.countries` in `mart`
      model: a
    hint: run `xdb seed` first: it loads the project's CSV files

    error: seed `countries`: there is no table or view `main.countries` in `mart`
      model: b
    hint: run `xdb seed` first: it loads the project's CSV files

    [TIME]  Done. PASS=0 WARN=0 ERROR=2 SKIP=0 TOTAL=2
    ");
    let seeded = p.run(&["seed", "--threads", "2"]).ok();
    assert!(seeded.stderr().contains("Done. PASS=2 WARN=0 ERROR=0 SKIP=0 TOTAL=2"), "{seeded}");
    let run = p.run(&["run"]).ok();
    // A run loads no seeds.
    assert!(run.stderr().contains("Done. PASS=2 WARN=0 ERROR=0 SKIP=0 TOTAL=2"), "{run}");
    assert_eq!(
        p.run(&["query", "select * from mart.b order by 1", "--output", "csv"]).ok().stdout(),
        "name,rate\nFrance,3\nGermany,2\n"
    );
    assert_eq!(p.run(&["query", "select n from mart.a", "--output", "csv"]).ok().stdout(), "n\n2\n");
    snapshot!(p.run(&["ls", "-s", "+b"]), @r"
    exit code: 0
    ----- stdout -----
    shop.countries
    shop.rates
    shop.b
    ----- stderr -----
    ");
    let node = p.run(&["ls", "-s", "b", "--output", "json"]).ok();
    let node: serde_json::Value = serde_json::from_str(&node.stdout()).unwrap();
    assert_eq!(node["depends_on"]["nodes"], serde_json::json!(["seed.shop.countries", "seed.shop.rates"]));
    snapshot!(p.run(&["compile", "-s", "b"]), @r#"
    exit code: 0
    ----- stdout -----
    select c.name, r.rate from "mart"."main"."countries" c join "lite"."main"."rates" r using (code)
    ----- stderr -----
    "#);
    // What reads a seed is chosen by it.
    let below = p.run(&["run", "-s", "rates+"]).ok();
    assert!(below.stderr().contains("TOTAL=1"), "{below}");
}

#[test]
fn seeds_load_side_by_side() {
    let p = project();
    for i in 0..6 {
        let rows: String = (0..500).map(|n| format!("{n},{i}\n")).collect();
        p.write(&format!("seeds/s{i}.csv"), &format!("n,i\n{rows}"));
    }
    for n in ["1", "4"] {
        let run = p.run(&["seed", "--threads", n]).ok();
        assert!(run.stderr().contains("Done. PASS=8 WARN=0 ERROR=0 SKIP=0 TOTAL=8"), "{run}");
        let sum = p.run(&["query", "select sum(i) as s from mart.s5", "--output", "csv"]).ok();
        assert_eq!(sum.stdout(), "s\n2500\n");
    }
    p.write("seeds/s3.csv", "n,n\n1,2\n");
    let failed = p.run(&["seed", "--threads", "4"]);
    assert!(failed.code() == Some(1) && failed.stderr().contains("PASS=7 WARN=0 ERROR=1"), "{failed}");
    assert_eq!(p.run(&["query", "select count(*) as c from mart.s3", "--output", "csv"]).ok().stdout(), "c\n500\n");
}
