//! `xdb query`, `xdb show` and `xdb profiles test` where they meet their limits.
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of a test fail the test.

use serde_json::json;
use std::time::{Duration, Instant};
use xdb_testkit::cli::Project;
use xdb_testkit::{services, snapshot};

fn project() -> Project {
    Project::new(env!("CARGO_BIN_EXE_xdb"))
        .file("xdb_project.yml", "name: shop\ntarget: lite\n")
        .file(
            "profiles.yml",
            "lite: {adapter: sqlite, path: lite.sqlite}\nduck: {adapter: duckdb, path: duck.duckdb}\n",
        )
        .file("models/a.sql", "{{ config(materialized='table') }}\nselect 7 as n\n")
}

#[test]
fn several_statements_go_in_order_and_the_last_is_shown() {
    let p = project();
    for target in ["lite", "duck"] {
        p.run(&["run", "-t", target]).ok();
        let script =
            "create table t (x int); insert into t values (1), (2);\n-- done; now look\nselect sum(x) as s from t;";
        assert_eq!(p.run(&["query", script, "--on", target, "--output", "csv"]).ok().stdout(), "s\n3\n", "{target}");
        // In one session; and each once.
        let session = "create temp table u as select 5 as x; insert into t values (3); select u.x, count(*) as n from u, t group by 1";
        assert_eq!(p.run(&["query", session, "--on", target, "--output", "csv"]).ok().stdout(), "x,n\n5,3\n");
        let last = "select 1; insert into t values (4)";
        assert_eq!(p.run(&["query", last, "--on", target, "--output", "csv"]).ok().stdout(), "", "{target}");
        let rows = p.run(&["query", "select x from t order by x", "--on", target, "--output", "csv"]).ok();
        assert_eq!(rows.stdout(), "x\n1\n2\n3\n4\n", "{target}");
        let bound =
            ["query", "select 1; select x from t where x > $m", "--on", target, "--param", "m=3", "--output", "csv"];
        assert_eq!(p.run(&bound).ok().stdout(), "x\n4\n");
        // What follows an error isn't run.
        let wrong =
            p.run(&["query", "insert into t values (5); select nope from t; insert into t values (6)", "--on", target]);
        assert_eq!(wrong.code(), Some(1), "{wrong}");
        assert!(wrong.stderr().contains("SQL sent: select nope from t"), "{wrong}");
        let max = p.run(&["query", "select max(x) as m from t", "--on", target, "--output", "csv"]).ok();
        assert_eq!(max.stdout(), "m\n5\n", "{target}");
    }
    snapshot!(p.run(&["query", "select n from lite.a; select n from duck.a"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: there are 2 statements, and a query is one
    hint: several can be sent to one connection, as they are, with --on
    ");
    snapshot!(p.run(&["query", "select $m; select 1", "--on", "lite", "--param", "m=3"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: $m is used before the last statement
    hint: only the last of several statements can have parameters
    ");
}

#[test]
fn several_statements_on_servers() {
    for (service, many) in
        [("postgres", "select generate_series(1, 3) as x"), ("mariadb", "select 1 as x union select 2 union select 3")]
    {
        let Some(profile) = services::profile(service) else { continue };
        let p = Project::new(env!("CARGO_BIN_EXE_xdb"));
        p.write("profiles.yml", &json!({ "db": profile }).to_string());
        let script =
            format!("create temporary table tt as {many}; insert into tt values (10); select sum(x) as s from tt");
        assert_eq!(p.run(&["query", &script, "--on", "db", "--output", "csv"]).ok().stdout(), "s\n16\n", "{service}");
        let wrong = p.run(&["query", "select 1; select nope; select 2", "--on", "db"]);
        assert!(wrong.code() == Some(1) && wrong.stderr().contains("nope"), "{wrong}");
    }
    let Some(profile) = services::profile("postgres") else { return };
    let p = Project::new(env!("CARGO_BIN_EXE_xdb"));
    p.write("profiles.yml", &json!({ "db": profile }).to_string());
    // A body with semicolons is one statement.
    let body = "do $$ begin perform 1; perform 2; end $$; select 3 as n";
    assert_eq!(p.run(&["query", body, "--on", "db", "--output", "csv"]).ok().stdout(), "n\n3\n");
}

#[test]
fn a_statement_without_rows() {
    let p = project();
    p.run(&["run"]).ok();
    snapshot!(p.run(&["query", "create table t (x int)", "--on", "lite"]), @r"
    exit code: 0
    ----- stdout -----
    ----- stderr -----
    OK
    ");
    snapshot!(p.run(&["query", "insert into t values (1)", "--on", "lite", "--output", "csv"]), @r"
    exit code: 0
    ----- stdout -----
    ----- stderr -----
    ");
    snapshot!(p.run(&["query", "select x from t where x > 5", "--on", "lite"]), @r"
    exit code: 0
    ----- stdout -----
    ╭───╮
    │ x │
    ╞═══╡
    ╰───╯
    ----- stderr -----
    (0 rows)
    ");
}

#[test]
fn threads_are_for_queries_too() {
    let p = project();
    for n in ["1", "3"] {
        p.run(&["run"]).ok();
        let joined = [
            "query",
            "select a.n from lite.a a join lite.a b using (n)",
            "--threads",
            n,
            "--compute",
            "datafusion",
            "--output",
            "csv",
        ];
        assert_eq!(p.run(&joined).ok().stdout(), "n\n7\n");
        assert_eq!(p.run(&["show", "a", "--threads", n, "--output", "csv"]).ok().stdout(), "n\n7\n");
    }
    assert_eq!(p.run(&["query", "select 1", "--threads", "0"]).code(), Some(1));
}

/// A database that itself lets no more connections in than `pool_size`: two scans which could have eight each.
#[test]
fn a_query_stays_inside_pool_size() {
    let Some(profile) = services::profile("postgres") else { return };
    let p = project();
    let name = format!("cli_pool_{}", std::process::id());
    let small = |size: u32| {
        let mut small = profile.clone();
        small.insert("database".into(), name.clone().into());
        small.insert("pool_size".into(), size.into());
        p.write("profiles.yml", &json!({ "admin": profile, "db": small }).to_string());
    };
    small(2);
    let make = format!("create database {name} connection limit 2");
    p.run(&["query", "--on", "admin", &make]).ok();
    let rows = "create table t as select g as id, repeat('x', 200) as s from generate_series(1, 150000) g; \
                create table u as select * from t; analyze";
    p.run(&["query", "--on", "db", rows]).ok();
    let query = |engine: &str| {
        // The server takes a moment to see that the one before has gone.
        let open = format!("select count(*) as n from pg_stat_activity where datname = '{name}'");
        let open = ["query", "--on", "admin", &open, "--output", "csv"];
        let started = Instant::now();
        while p.run(&open).ok().stdout() != "n\n0\n" {
            assert!(started.elapsed() < Duration::from_secs(20), "connections stay open");
        }
        let sql = "select count(*) as n, max(length(t.s)) as s from db.t join db.u using (id)";
        p.run(&["query", sql, "--threads", "8", "--compute", engine, "--output", "csv"])
    };
    let runs = ["datafusion", "duckdb"].map(query);
    small(6);
    let too_many = query("datafusion");
    p.run(&["query", "--on", "admin", &format!("drop database {name} with (force)")]).ok();
    for run in runs {
        assert_eq!(run.ok().stdout(), "n,s\n150000,200\n");
    }
    // With more allowed than the server has, the server says so: the scans do take what they may have.
    assert!(too_many.code() == Some(1) && too_many.stderr().contains("lower `pool_size`"), "{too_many}");
}

#[test]
fn vars_that_are_no_yaml() {
    let p = project();
    snapshot!(p.run(&["parse", "--vars", "{a: [1"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: --vars is not valid YAML: unclosed bracket '['
    hint: for example --vars '{start_date: 2024-01-01}'
    ");
    snapshot!(p.run(&["parse", "--vars", "a"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: --vars must be a mapping, not text
    hint: for example --vars '{start_date: 2024-01-01}'
    ");
}

#[test]
fn a_file_that_a_run_would_make_is_no_failure() {
    let p = project();
    snapshot!(p.run(&["profiles", "test"]), @r"
    exit code: 0
    ----- stdout -----
    ok      lite  no file yet; a run creates it
    ok      duck  no file yet; a run creates it
    ----- stderr -----
    ");
    assert!(!p.path().join("lite.sqlite").exists() && !p.path().join("duck.duckdb").exists());
    p.run(&["run", "-t", "duck"]).ok();
    let run = p.run(&["profiles", "test", "duck"]).ok();
    assert!(run.stdout().contains("DuckDB 1."), "{run}");
    p.write(
        "profiles.yml",
        "far: {adapter: sqlite, path: no/such.sqlite}\n\
         far_duck: {adapter: duckdb, path: no/such.duckdb}\n\
         fixed: {adapter: sqlite, path: gone.sqlite, create: false}\n\
         reader: {adapter: duckdb, path: gone.duckdb, read_only: true}\n",
    );
    snapshot!(p.run(&["profiles", "test"]), @r"
    exit code: 1
    ----- stdout -----
    failed  far       cannot open `far` (sqlite at [PROJECT]/no/such.sqlite): its folder does not exist — check `path` under `far` in profiles.yml; a load makes the file, not its folder
    failed  far_duck  cannot open `far_duck` (duckdb at [PROJECT]/no/such.duckdb): its folder does not exist — check `path` under `far_duck` in profiles.yml; a load makes the file, not its folder
    failed  fixed     cannot open `fixed` (sqlite at [PROJECT]/gone.sqlite): there is no such file — check `path` under `fixed` in profiles.yml
    failed  reader    cannot open `reader` (duckdb at [PROJECT]/gone.duckdb): there is no such file — check `path` under `reader` in profiles.yml
    ----- stderr -----
    ");
    // A folder that nobody may write, not even root.
    p.write("profiles.yml", "kernel: {adapter: sqlite, path: /proc/xdb-test.sqlite}\n");
    if cfg!(target_os = "linux") {
        let run = p.run(&["profiles", "test"]);
        assert!(run.code() == Some(1) && run.stdout().starts_with("failed  kernel"), "{run}");
    }
}
