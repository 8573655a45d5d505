//! The DuckDB library is opened on first use: what a person gets who has the binary without it, and where it may be.
#![cfg(all(feature = "duckdb", feature = "engine-duckdb", not(feature = "duckdb-bundled")))]
#![allow(clippy::unwrap_used)] // Helpers of a test fail the test.

use std::path::{Path, PathBuf};
use xdb_testkit::cli::{Project, Run};
use xdb_testkit::snapshot;

const BUILT: &str = env!("CARGO_BIN_EXE_xdb");

fn library() -> String {
    format!("{}duckdb{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

/// The binary in `bin` of a folder of its own.
fn installed() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::Builder::new().prefix("xdb-alone-").tempdir().unwrap();
    let binary = dir.path().join("bin/xdb");
    place(Path::new(BUILT), &binary);
    (dir, binary)
}

/// A second name where that can be had: these are large files.
fn place(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    if std::fs::hard_link(from, to).is_err() {
        std::fs::copy(from, to).unwrap();
    }
}

fn project(binary: &Path) -> Project {
    Project::new(binary.to_str().unwrap())
        .filter(r"/\S*/xdb-alone-\w+", "[INSTALLED]")
        .filter(&regex_of(&library()), "[LIBRARY]")
        // What the system's loader says of a missing library.
        .filter(r"find it: .*", "find it: [WHY]")
        .file(
            "profiles.yml",
            "local: {adapter: sqlite, path: shop.sqlite}\nduck: {adapter: duckdb, path: ':memory:'}\n",
        )
}
fn regex_of(name: &str) -> String {
    name.replace('.', r"\.")
}

/// Cargo lets the loader look into its own folders: not here.
fn run(p: &Project, arguments: &[&str]) -> Run {
    let mut c = p.command(arguments);
    c.env_remove("LD_LIBRARY_PATH").env_remove("DYLD_LIBRARY_PATH").env_remove("DYLD_FALLBACK_LIBRARY_PATH");
    p.run_command(c)
}

#[test]
fn without_it_everything_but_duckdb_works() {
    let (_dir, binary) = installed();
    let p = project(&binary);
    snapshot!(run(&p, &["--version"]), @r"
    exit code: 0
    ----- stdout -----
    xdb [VERSION]
    ----- stderr -----
    ");
    run(&p, &["query", "--on", "local", "create table t (i integer)"]).ok();
    run(&p, &["query", "--compute", "datafusion", "select i from local.main.t"]).ok();
    // The engine, then the connector.
    snapshot!(run(&p, &["query", "--compute", "duckdb", "select i from local.main.t"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: cannot load DuckDB's library [LIBRARY]
      caused by: it is not in [INSTALLED]/bin, [INSTALLED], [INSTALLED]/lib, nor does the system's loader find it: [WHY]
    hint: put [LIBRARY] of DuckDB 1.5.6 beside the binary xdb; in a clone, `make libduckdb` and then a build do that
    ");
    snapshot!(run(&p, &["query", "--on", "duck", "select 42 as i"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: cannot load DuckDB's library [LIBRARY]
      connection: duck
      caused by: it is not in [INSTALLED]/bin, [INSTALLED], [INSTALLED]/lib, nor does the system's loader find it: [WHY]
      SQL sent: select 42 as i
    hint: put [LIBRARY] of DuckDB 1.5.6 beside the binary xdb; in a clone, `make libduckdb` and then a build do that
    ");
}

#[test]
fn it_may_be_in_lib_next_to_bin() {
    let (dir, binary) = installed();
    let p = project(&binary);
    let built = Path::new(BUILT).with_file_name(library());
    place(&built, &dir.path().join("lib").join(library()));
    run(&p, &["query", "--on", "duck", "select 42 as i"]).ok();
    run(&p, &["query", "--on", "local", "create table t as select 42 as i"]).ok();
    let out = run(&p, &["query", "--compute", "duckdb", "select i from local.main.t", "--output", "csv"]).ok();
    assert_eq!(out.stdout(), "i\n42\n");
}
