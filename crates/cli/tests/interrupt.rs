//! Ctrl-C: exit code 2, nothing left behind, the old table as it was.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of a test fail the test.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use xdb_testkit::cli::Project;

fn project() -> Project {
    let p = Project::new(env!("CARGO_BIN_EXE_xdb"))
        .file("xdb_project.yml", "name: shop\ntarget: mart\nmodels:\n  +materialized: table\n")
        .file("profiles.yml", "mart: {adapter: sqlite, path: mart.sqlite}\n")
        .file("models/big.sql", "select 1 as id\n");
    p.run(&["run"]).ok();
    // Hours of rows.
    p.write(
        "models/big.sql",
        "{{ config(compute='datafusion') }}\nselect a.value as id from generate_series(1, 3000000) a, generate_series(1, 300000) b\n",
    );
    p
}

fn start(p: &Project, args: &[&str]) -> Child {
    let stderr = std::fs::File::create(p.path().join("stderr.txt")).unwrap();
    p.command(args).stdout(Stdio::null()).stderr(stderr).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let ok = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success();
    assert!(ok, "kill {name}");
}

/// Waits at most 20 seconds: a hang is a failure, not a stuck test.
fn end(mut child: Child) -> Option<i32> {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("still running after 20 s");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait().unwrap().code()
}

/// Until the model has started, and a little longer: rows are on their way then.
fn until_running(p: &Project) {
    let started = Instant::now();
    while !p.read("stderr.txt").contains("START") {
        assert!(started.elapsed() < Duration::from_secs(20), "no model has started");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(700));
}

#[test]
fn a_run_is_cancelled_and_leaves_nothing() {
    for name in ["-INT", "-TERM"] {
        let p = project();
        let child = start(&p, &["run"]);
        until_running(&p);
        signal(&child, name);
        let code = end(child);
        let text = p.read("stderr.txt");
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("interrupted: cancelling…"), "{text}");
        assert!(text.contains("CANCEL table model main.big"), "{text}");
        assert_eq!(p.run(&["query", "select * from mart.big", "--output", "csv"]).ok().stdout(), "id\n1\n");
        let tables = p.run(&["query", "select name from sqlite_master order by 1", "--on", "mart", "--output", "csv"]);
        assert_eq!(tables.ok().stdout(), "name\nbig\n");
        let left: Vec<String> = std::fs::read_dir(p.path())
            .unwrap()
            .flatten()
            .map(|f| f.file_name().to_string_lossy().into_owned())
            .filter(|f| f.contains("_xdb_"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        let results: serde_json::Value = serde_json::from_str(&p.read("target/run_results.json")).unwrap();
        assert_eq!(results["results"][0]["status"], "cancelled");
        assert_eq!(results["metadata"]["interrupted"], true);
    }
}

/// What cannot be cancelled, here an endless template, ends with the second Ctrl-C.
#[test]
fn the_second_time_it_ends_at_once() {
    let p = project();
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}select 1 as id\n";
    p.write("models/big.sql", endless);
    let mut child = start(&p, &["run"]);
    std::thread::sleep(Duration::from_millis(1000));
    signal(&child, "-INT");
    let started = Instant::now();
    while !p.read("stderr.txt").contains("interrupted: cancelling…") {
        assert!(started.elapsed() < Duration::from_secs(20), "the first Ctrl-C was not heard");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(700));
    assert!(child.try_wait().unwrap().is_none(), "the template ended by itself");
    signal(&child, "-INT");
    let started = Instant::now();
    assert_eq!(end(child), Some(2));
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(p.run(&["query", "select * from mart.big", "--output", "csv"]).ok().stdout(), "id\n1\n");
}

#[test]
fn a_query_is_cancelled() {
    let p = project();
    let child = start(&p, &["show", "big", "--limit", "0", "--output", "csv"]);
    std::thread::sleep(Duration::from_millis(1500));
    signal(&child, "-INT");
    assert_eq!(end(child), Some(2));
}
