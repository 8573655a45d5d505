//! What a person gets when a target on this machine says no: a full disk, a read-only file, a file that another program
//! has locked. Exit code 1 within a bounded time, the old table with its rows, nothing left beside it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of a test fail the test.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use xdb_testkit::cli::{Project, Run};
use xdb_testkit::{services, snapshot};

fn project() -> Project {
    let p = Project::new(env!("CARGO_BIN_EXE_xdb"))
        .filter(r"xdb=\d+\.\d+\.\d+", "xdb=[VERSION]")
        .filter(r"Concurrency: \d+ threads?", "Concurrency: [N] threads")
        .filter(r"_xdb_(new|old)_[0-9a-f]+_", "_xdb_${1}_[ID]_")
        .filter(r"held in \S+ \(PID \d+", "held in [PROGRAM] (PID [N]")
        .filter(r"os error \d+", "os error [N]")
        .file("xdb_project.yml", "name: shop\ntarget: lite\nmodels:\n  +materialized: table\n")
        .file("models/a.sql", "select 7 as n\n");
    std::fs::create_dir(p.path().join("disk")).unwrap();
    connections(&p, "");
    p
}

/// Everything in the folder `disk`. `more` goes into the databases' settings.
fn connections(p: &Project, more: &str) {
    p.write(
        "profiles.yml",
        &format!(
            "lite: {{adapter: sqlite, path: disk/lite.sqlite{more}}}\n\
             duck: {{adapter: duckdb, path: disk/duck.duckdb{more}}}\n\
             lake: {{adapter: files, path: disk/lake, format: csv}}\n"
        ),
    );
}

fn rows(p: &Project, target: &str) -> String {
    p.run(&["query", &format!("select n from {target}.a"), "--output", "csv"]).ok().stdout()
}

/// Names of the files in the folder of the databases.
fn files(p: &Project) -> Vec<String> {
    let all = std::fs::read_dir(p.path().join("disk")).unwrap().flatten();
    let mut all: Vec<String> = all.map(|f| f.file_name().to_string_lossy().into_owned()).collect();
    all.sort();
    all
}

/// `script` with a file system of 2 MB mounted on `disk`, which nobody else sees and which goes with the script. `None`
/// where this user may not mount.
fn on_a_small_disk(p: &Project, script: &str) -> Option<Run> {
    let script = format!("mount -t tmpfs -o size=2m,mode=777 none disk 2>/dev/null || exit 77\n{script}");
    let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
    let flags: &[&str] = if root { &["-m"] } else { &["-r", "-m"] };
    let arguments = [flags, &["sh", "-c", &script]].concat();
    let run = p.wrapped("unshare", &arguments);
    if Command::new("unshare").arg("--version").output().is_err() {
        services::skip("there is no `unshare` to mount a small disk with");
        return None;
    }
    let run = p.run_command(run);
    if run.code() == Some(77) || run.stderr().contains("unshare failed") {
        services::skip("a small disk cannot be mounted here");
        return None;
    }
    Some(run)
}

/// About 16 MB.
const BIG: &str = "{{ config(compute='datafusion') }}\n\
    select value as n, 'some text ' || cast(value * 7919 % 1000003 as varchar) || cast(value * 104729 % 999983 as varchar) as s\n\
    from generate_series(1, 400000) t(value)\n";

fn full(target: &str, hidden: &str) -> Option<Run> {
    let p = project();
    p.write("big.sql", BIG);
    let script = format!(
        "$XDB -q run -t {target} || exit 1\n\
         cp big.sql models/a.sql\n\
         $XDB run -t {target}\n\
         echo exit code $?\n\
         $XDB -q query 'select n from {target}.a' --output csv --compute datafusion\n\
         ls -A disk {hidden}\n"
    );
    on_a_small_disk(&p, &script)
}

#[test]
fn full_disk_sqlite() {
    let Some(run) = full("lite", "") else { return };
    snapshot!(run, @r"
    exit code: 0
    ----- stdout -----
    exit code 1
    n
    7
    lite.sqlite
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model main.a [datafusion] ......................... [RUN]
    [TIME]  1 of 1 ERROR creating table model main.a ............................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: database or disk is full
      model: a
      connection: lite
      relation: main.a
      server code: 13
    hint: free some disk space (a load needs about twice the size of its table), then run `xdb retry`

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    ");
}

#[test]
fn full_disk_duckdb() {
    let Some(run) = full("duck", "") else { return };
    snapshot!(run, @r#"
    exit code: 0
    ----- stdout -----
    exit code 1
    n
    7
    duck.duckdb
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model main.a [datafusion] ......................... [RUN]
    [TIME]  1 of 1 ERROR creating table model main.a ............................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: TransactionContext Error: Failed to commit: Could not write file "[PROJECT]/disk/duck.duckdb": No space left on device
      model: a
      connection: duck
      relation: main.a
      SQL sent: COMMIT
    hint: free some disk space, then run `xdb retry`

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    "#);
}

#[test]
fn full_disk_files() {
    let Some(run) = full("lake", "disk/lake") else { return };
    snapshot!(run, @r"
    exit code: 0
    ----- stdout -----
    exit code 1
    n
    7
    disk:
    lake

    disk/lake:
    a.csv
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model main.a [datafusion] ......................... [RUN]
    [TIME]  1 of 1 ERROR creating table model main.a ............................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: cannot write [PROJECT]/disk/lake/a.csv: No space left on device (os error [N])
      model: a
      connection: lake
    hint: free some disk space, then run `xdb retry`

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    ");
}

#[test]
fn read_only_connection() {
    let p = project();
    for target in ["lite", "duck"] {
        p.run(&["run", "-t", target]).ok();
    }
    let before = files(&p);
    connections(&p, ", read_only: true");
    p.write("models/a.sql", "select 8 as n\n");
    snapshot!(p.run(&["run", "-t", "lite"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model main.a [native] ............................. [RUN]
    [TIME]  1 of 1 ERROR creating table model main.a ............................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: connection `lite` is read-only
      model: a
    hint: remove `read_only` from `lite` in profiles.yml, or write to another connection

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    ");
    snapshot!(p.run(&["run", "-t", "duck"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model main.a [native] ............................. [RUN]
    [TIME]  1 of 1 ERROR creating table model main.a ............................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: connection `duck` is read-only
      model: a
    hint: remove `read_only` from `duck` in profiles.yml, or write to another connection

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    ");
    for target in ["lite", "duck"] {
        let loaded = p.run(&["run", "-t", target, "--compute", "datafusion"]);
        assert!(loaded.code() == Some(1) && loaded.stderr().contains("read_only"), "{loaded}");
        assert_eq!(rows(&p, target), "n\n7\n");
    }
    assert_eq!(files(&p), before);
}

/// A file system mounted read-only, as a person finds it: the rights of the files say nothing of it.
#[test]
fn read_only_disk() {
    let p = project();
    let script = "for t in lite duck lake; do $XDB -q run -t $t || exit 1; done\n\
         echo 'select 8 as n' >models/a.sql\n\
         mount -o remount,ro disk || exit 77\n\
         for t in lite duck lake; do\n\
           for e in datafusion native; do\n\
             [ $t$e = lakenative ] || { $XDB run -t $t --compute $e 2>&1 | grep -A9 ^error: ; }\n\
           done\n\
         done\n\
         sed -i 's/duck.duckdb/&, read_only: true/' profiles.yml\n\
         for t in lite duck lake; do $XDB -q query \"select n from $t.a\" --output csv --compute datafusion; done\n\
         ls -A disk disk/lake\n";
    let Some(run) = on_a_small_disk(&p, script) else { return };
    snapshot!(run, @r#"
    exit code: 0
    ----- stdout -----
    error: cannot write to `lite` (sqlite at [PROJECT]/disk/lite.sqlite): Read-only file system (os error [N])
      model: a
      relation: main.a
    hint: SQLite keeps its journal beside the database: this user must be able to write the folder

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    error: cannot write to `lite` (sqlite at [PROJECT]/disk/lite.sqlite): Read-only file system (os error [N])
      model: a
    hint: SQLite keeps its journal beside the database: this user must be able to write the folder

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    error: cannot open `duck` (duckdb at [PROJECT]/disk/duck.duckdb)
      model: a
      relation: main.a
      caused by: IO Error: Cannot open file "[PROJECT]/disk/duck.duckdb": Read-only file system
    hint: check `read_only` of this connection, and that this user may write the file and its folder

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    error: cannot open `duck` (duckdb at [PROJECT]/disk/duck.duckdb)
      model: a
      caused by: IO Error: Cannot open file "[PROJECT]/disk/duck.duckdb": Read-only file system
    hint: check `read_only` of this connection, and that this user may write the file and its folder

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    error: cannot write [PROJECT]/disk/lake/a.csv: Read-only file system (os error [N])
      model: a
      connection: lake
      relation: main.a
    hint: give xdb the right to write to that folder, or choose another `path` or `location`

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    n
    7
    n
    7
    n
    7
    disk:
    duck.duckdb
    lake
    lite.sqlite

    disk/lake:
    a.csv
    ----- stderr -----
    "#);
}

/// Somebody else's program; ended with the value.
struct Holder(Child);
impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn locked_sqlite() {
    let p = project();
    connections(&p, ", busy_timeout: 1s");
    p.write("profiles.yml", &p.read("profiles.yml").replace("duckdb, busy_timeout: 1s", "duckdb"));
    p.run(&["run"]).ok();
    let other = rusqlite::Connection::open(p.path().join("disk/lite.sqlite")).unwrap();
    other.execute_batch("begin exclusive").unwrap();
    p.write("models/a.sql", "select 8 as n\n");
    let started = Instant::now();
    snapshot!(p.run(&["run", "--compute", "native"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model main.a [native] ............................. [RUN]
    [TIME]  1 of 1 ERROR creating table model main.a ............................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: cannot open `lite` (sqlite at [PROJECT]/disk/lite.sqlite)
      model: a
      caused by: database is locked
      server code: 5
    hint: another connection or program is using the database file; wait for it, close it, or raise `busy_timeout`

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    ");
    snapshot!(p.run(&["run", "--compute", "datafusion"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model main.a [datafusion] ......................... [RUN]
    [TIME]  1 of 1 ERROR creating table model main.a ............................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: cannot open `lite` (sqlite at [PROJECT]/disk/lite.sqlite)
      model: a
      relation: main.a
      caused by: database is locked
      server code: 5
    hint: another connection or program is using the database file; wait for it, close it, or raise `busy_timeout`

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    ");
    assert!(started.elapsed() < Duration::from_secs(20));
    other.execute_batch("rollback").unwrap();
    assert_eq!(rows(&p, "lite"), "n\n7\n");
    assert_eq!(files(&p), ["lite.sqlite"]);
    p.run(&["run"]).ok();
    assert_eq!(rows(&p, "lite"), "n\n8\n");
}

#[test]
fn locked_duckdb() {
    let p = project();
    p.run(&["run", "-t", "duck"]).ok();
    // Another program that has the file open for writing, says so, and waits for a pipe that nobody writes to.
    let ready = p.path().join("ready.csv");
    let pipe = p.path().join("pipe.csv");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let sql = format!(
        "copy (select 1) to '{}'; create table z as select * from read_csv('{}')",
        ready.display(),
        pipe.display()
    );
    let holder = p.command(&["query", "--on", "duck", &sql]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let holder = Holder(holder.unwrap());
    p.write("models/a.sql", "select 8 as n\n");
    let started = Instant::now();
    while !ready.exists() {
        assert!(started.elapsed() < Duration::from_secs(20), "the file was never locked");
        std::thread::sleep(Duration::from_millis(20));
    }
    let started = Instant::now();
    snapshot!(p.run(&["run", "-t", "duck", "--compute", "native"]), @r#"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model main.a [native] ............................. [RUN]
    [TIME]  1 of 1 ERROR creating table model main.a ............................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: cannot open `duck` (duckdb at [PROJECT]/disk/duck.duckdb)
      model: a
      caused by: IO Error: Could not set lock on file "[PROJECT]/disk/duck.duckdb": Conflicting lock is held in [PROGRAM] (PID [N]). See also https://duckdb.org/docs/stable/connect/concurrency
    hint: another program has the file open; DuckDB lets one program at a time write a file (or many read it: `read_only: true`)

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    "#);
    snapshot!(p.run(&["run", "-t", "duck", "--compute", "datafusion"]), @r#"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model main.a [datafusion] ......................... [RUN]
    [TIME]  1 of 1 ERROR creating table model main.a ............................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: cannot open `duck` (duckdb at [PROJECT]/disk/duck.duckdb)
      model: a
      relation: main.a
      caused by: IO Error: Could not set lock on file "[PROJECT]/disk/duck.duckdb": Conflicting lock is held in [PROGRAM] (PID [N]). See also https://duckdb.org/docs/stable/connect/concurrency
    hint: another program has the file open; DuckDB lets one program at a time write a file (or many read it: `read_only: true`)

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    "#);
    assert!(started.elapsed() < Duration::from_secs(20));
    drop(holder);
    assert_eq!(rows(&p, "duck"), "n\n7\n");
    p.run(&["run", "-t", "duck"]).ok();
    assert_eq!(rows(&p, "duck"), "n\n8\n");
}
