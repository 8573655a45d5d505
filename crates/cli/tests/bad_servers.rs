//! What a person gets when a server says no: wrong passwords, no answer, no right to write, a locked table. Exit code 1
//! within a bounded time, and the old table with its rows.
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of a test fail the test.

use serde_json::{Map, Value};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use xdb_testkit::cli::{Project, Run};
use xdb_testkit::{services, snapshot};

/// The longest that any of these may take: a timeout of a second, and a slow machine.
const BOUND: Duration = Duration::from_secs(20);

/// A schema of the server for one test, gone with it. Its name is of one length, so that lines are too.
struct Place {
    p: Project,
    profile: Map<String, Value>,
    schema: String,
}

fn place(service: &str) -> Option<Place> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let profile = services::profile(service)?;
    let schema = format!("cli_{:08x}_{:02}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    let p = Project::new(env!("CARGO_BIN_EXE_xdb"))
        .filter(&schema, "[SCHEMA]")
        .filter(r"xdb=\d+\.\d+\.\d+", "xdb=[VERSION]")
        .filter(r"Concurrency: \d+ threads?", "Concurrency: [N] threads")
        .filter(r"_xdb_(new|old)_[0-9a-f]+_", "_xdb_${1}_[ID]_")
        .filter(r"held by process \d+", "held by process [N]")
        .filter(r"os error \d+", "os error [N]")
        .file("xdb_project.yml", "name: shop\ntarget: crm\nmodels:\n  +materialized: table\n")
        .file("models/a.sql", "select 7 as n\n");
    let place = Place { p, profile, schema };
    place.connect("crm", &[]);
    place.admin(&format!("create schema {}", place.schema));
    Some(place)
}

impl Place {
    fn is_postgres(&self) -> bool {
        self.profile["adapter"] == "postgres"
    }
    /// profiles.yml: `admin` as the service has it, and `name` with `changes`.
    fn connect(&self, name: &str, changes: &[(&str, Value)]) {
        let mut changed = self.profile.clone();
        let key = if self.is_postgres() { "schema" } else { "database" };
        changed.insert(key.into(), self.schema.clone().into());
        changed.insert("lock_timeout".into(), "1s".into());
        for (key, value) in changes {
            changed.insert((*key).into(), value.clone());
        }
        let both = serde_json::json!({"admin": self.profile, name: changed});
        self.p.write("profiles.yml", &both.to_string());
    }
    fn admin(&self, sql: &str) -> String {
        self.p.run(&["query", "--on", "admin", sql, "--output", "csv"]).ok().stdout()
    }
    fn bounded(&self, args: &[&str]) -> Run {
        let started = Instant::now();
        let run = self.p.run(args);
        assert!(started.elapsed() < BOUND, "{run}");
        run
    }
    /// The table is as the first run left it, and nothing else is there.
    fn unchanged(&self) {
        let rows = format!("select n from {}.a", self.schema);
        assert_eq!(self.admin(&rows), "n\n7\n");
        let all =
            format!("select table_name as t from information_schema.tables where table_schema = '{}'", self.schema);
        assert_eq!(self.admin(&all), "t\na\n");
    }
}
impl Drop for Place {
    fn drop(&mut self) {
        let cascade = if self.is_postgres() { " cascade" } else { "" };
        let sql = format!("drop schema if exists {}{cascade}", self.schema);
        // Beside a failure there is nobody to tell.
        let _ = self.p.command(&["query", "--on", "admin", &sql]).output();
    }
}

/// Somebody else's session; ended with the value.
struct Holder(Child);
impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let started = Instant::now();
        // Ctrl-C, which also ends the statement on the server.
        let _ = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        while matches!(self.0.try_wait(), Ok(None)) && started.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn postgres_wrong_password() {
    let Some(t) = place("postgres") else { return };
    t.p.run(&["run"]).ok();
    t.connect("crm", &[("password", "swordfish".into())]);
    snapshot!(t.bounded(&["run"]), @r#"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model [SCHEMA].a [native] .................. [RUN]
    [TIME]  1 of 1 ERROR creating table model [SCHEMA].a .................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: cannot log in to `crm` (postgres at 127.0.0.1:[PORT]) as user `xdb`
      model: a
      caused by: password authentication failed for user "xdb"
      server code: 28P01
    hint: check `user` and `password` under `crm` in profiles.yml, then run `xdb profiles test crm`

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    "#);
    snapshot!(t.bounded(&["run", "--compute", "datafusion"]), @r#"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model [SCHEMA].a [datafusion] .............. [RUN]
    [TIME]  1 of 1 ERROR creating table model [SCHEMA].a .................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: cannot log in to `crm` (postgres at 127.0.0.1:[PORT]) as user `xdb`
      model: a
      relation: "[SCHEMA]"."a"
      caused by: password authentication failed for user "xdb"
      server code: 28P01
    hint: check `user` and `password` under `crm` in profiles.yml, then run `xdb profiles test crm`

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    "#);
    snapshot!(t.bounded(&["profiles", "test", "crm"]), @r#"
    exit code: 1
    ----- stdout -----
    failed  crm  cannot log in to `crm` (postgres at 127.0.0.1:[PORT]) as user `xdb`: password authentication failed for user "xdb" — check `user` and `password` under `crm` in profiles.yml, then run `xdb profiles test crm`
    ----- stderr -----
    "#);
    t.unchanged();
}

#[test]
fn mariadb_wrong_password() {
    let Some(t) = place("mariadb") else { return };
    t.p.run(&["run"]).ok();
    t.connect("crm", &[("password", "swordfish".into())]);
    snapshot!(t.bounded(&["run"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model [SCHEMA].a [native] .................. [RUN]
    [TIME]  1 of 1 ERROR creating table model [SCHEMA].a .................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: cannot connect to `crm` (mysql at 127.0.0.1:[PORT])
      model: a
      relation: [SCHEMA].a
      caused by: Access denied for user 'xdb'@'127.0.0.1' (using password: YES)
      server code: 1045 (28000)
    hint: check `user` and `password` under `crm` in profiles.yml, then run `xdb profiles test crm`

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    ");
    snapshot!(t.bounded(&["profiles", "test", "crm"]), @r"
    exit code: 1
    ----- stdout -----
    failed  crm  cannot connect to `crm` (mysql at 127.0.0.1:[PORT]): Access denied for user 'xdb'@'127.0.0.1' (using password: YES) — check `user` and `password` under `crm` in profiles.yml, then run `xdb profiles test crm`
    ----- stderr -----
    ");
    t.unchanged();
}

/// A host that takes connections and never says a word, as behind a firewall; and one that does not exist.
#[test]
fn nobody_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let p = Project::new(env!("CARGO_BIN_EXE_xdb"))
        // Resolvers have their own words.
        .filter(r"(failed to lookup address information|lookup|resolve)[^\n—]*", "[LOOKUP]")
        .filter(r"os error \d+", "os error [N]");
    let profile = |adapter: &str, host: &str| {
        format!(
            "{{adapter: {adapter}, host: {host}, port: {port}, user: u, password: p, database: d, connect_timeout: 1s}}"
        )
    };
    p.write(
        "profiles.yml",
        &format!(
            "pg: {}\nmy: {}\npg_lost: {}\nmy_lost: {}\n",
            profile("postgres", "127.0.0.1"),
            profile("mysql", "127.0.0.1"),
            profile("postgres", "db.invalid"),
            profile("mysql", "db.invalid"),
        ),
    );
    let started = Instant::now();
    for (name, host) in [("pg", "127.0.0.1"), ("my", "127.0.0.1"), ("pg_lost", "db.invalid"), ("my_lost", "db.invalid")]
    {
        let run = p.run(&["profiles", "test", name]);
        assert_eq!(run.code(), Some(1), "{run}");
        assert!(run.stdout().contains(&format!("cannot connect to `{name}`")) && run.stdout().contains(host), "{run}");
        assert!(run.stdout().contains(&format!("check `host` and `port` under `{name}` in profiles.yml")), "{run}");
    }
    assert!(started.elapsed() < BOUND);
    snapshot!(p.run(&["profiles", "test", "pg"]), @r"
    exit code: 1
    ----- stdout -----
    failed  pg  cannot connect to `pg` (postgres at 127.0.0.1:[PORT]): connection timed out after [DURATION] — check `host` and `port` under `pg` in profiles.yml, then run `xdb profiles test pg`
    ----- stderr -----
    ");
    snapshot!(p.run(&["query", "select * from my.d.t"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: cannot connect to `my` (mysql at 127.0.0.1:[PORT])
      caused by: the server did not answer in time
    hint: check `host` and `port` under `my` in profiles.yml, then run `xdb profiles test my`
    ");
}

#[test]
fn postgres_without_the_right_to_write() {
    let Some(t) = place("postgres") else { return };
    t.p.run(&["run"]).ok();
    t.connect("crm", &[("user", "xdb_reader".into())]);
    t.p.write("models/b.sql", "select 8 as n\n");
    snapshot!(t.bounded(&["run", "--threads", "1"]), @r#"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 2 models, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 2 START table model [SCHEMA].a [native] .................. [RUN]
    [TIME]  1 of 2 ERROR creating table model [SCHEMA].a .................. [ERROR in [DURATION]]
    [TIME]  2 of 2 START table model [SCHEMA].b [native] .................. [RUN]
    [TIME]  2 of 2 ERROR creating table model [SCHEMA].b .................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 2 table models in [DURATION].
    [TIME]
    error: "[SCHEMA]"."a" belongs to another role, so it cannot be replaced
      model: a
      connection: crm
    hint: make this connection's user (or `role`) a member of its owner

    error: permission denied for schema [SCHEMA]
      model: b
      connection: crm
      relation: "[SCHEMA]"."b"
      server code: 42501
      SQL sent: CREATE TABLE "[SCHEMA]"."_xdb_new_[ID]_b" AS select 8 as n
    hint: ask an owner to grant `xdb_reader` the right

    [TIME]  Done. PASS=0 WARN=0 ERROR=2 SKIP=0 TOTAL=2
    "#);
    let loaded = t.bounded(&["run", "-s", "a", "--compute", "datafusion"]);
    assert!(loaded.code() == Some(1) && loaded.stderr().contains("hint: "), "{loaded}");
    t.unchanged();
}

#[test]
fn postgres_read_only_database() {
    let Some(t) = place("postgres") else { return };
    let name = &t.schema;
    t.admin(&format!("create database {name}"));
    let database = [("database", Value::from(name.as_str())), ("schema", "public".into())];
    t.connect("crm", &database);
    t.p.run(&["run"]).ok();
    t.admin(&format!("alter database {name} set default_transaction_read_only = on"));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for compute in ["native", "datafusion"] {
            let run = t.bounded(&["run", "--compute", compute]);
            assert_eq!(run.code(), Some(1), "{run}");
            assert!(run.stderr().contains("read-only"), "{run}");
        }
        snapshot!(t.bounded(&["run"]), @r#"
        exit code: 1
        ----- stdout -----
        ----- stderr -----
        [TIME]  Running with xdb=[VERSION]
        [TIME]  Found 1 model, 0 sources
        [TIME]  Concurrency: [N] threads
        [TIME]
        [TIME]  1 of 1 START table model public.a [native] ........................... [RUN]
        [TIME]  1 of 1 ERROR creating table model public.a ........................... [ERROR in [DURATION]]
        [TIME]
        [TIME]  Finished running 1 table model in [DURATION].
        [TIME]
        error: cannot execute CREATE TABLE AS in a read-only transaction
          model: a
          connection: crm
          relation: "public"."a"
          server code: 25006
          SQL sent: CREATE TABLE "public"."_xdb_new_[ID]_a" AS select 7 as n
        hint: the server or the role is read-only (a standby, or default_transaction_read_only): write to its primary

        [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
        "#);
        snapshot!(t.bounded(&["profiles", "test", "crm"]).stdout().contains("read-only"), @"true");
        let tables = "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'";
        let tables = t.p.run(&["query", "--on", "crm", tables, "--output", "csv"]).ok();
        assert_eq!(tables.stdout(), "relname\na\n");
        assert_eq!(t.p.run(&["query", "select n from crm.a", "--output", "csv"]).ok().stdout(), "n\n7\n");
    }));
    t.connect("crm", &[]);
    t.admin(&format!("drop database {name}"));
    if let Err(e) = outcome {
        std::panic::resume_unwind(e);
    }
}

#[test]
fn mariadb_without_the_right_to_write() {
    let Some(t) = place("mariadb") else { return };
    t.p.run(&["run"]).ok();
    t.connect("crm", &[("user", "xdb_reader".into()), ("password", "reader-Pa55".into())]);
    snapshot!(t.bounded(&["run"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model [SCHEMA].a [native] .................. [RUN]
    [TIME]  1 of 1 ERROR creating table model [SCHEMA].a .................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: INSERT, CREATE command denied to user 'xdb_reader'@'127.0.0.1' for table `[SCHEMA]`.`_xdb_new_[ID]_a`
      model: a
      connection: crm
      relation: [SCHEMA].a
      server code: 1142 (42000)
      SQL sent: CREATE TABLE `[SCHEMA]`.`_xdb_new_[ID]_a` DEFAULT CHARACTER SET utf8mb4 AS select 7 as n
    hint: ask for the right that is missing (GRANT)

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    ");
    snapshot!(t.bounded(&["run", "--compute", "datafusion"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model [SCHEMA].a [datafusion] .............. [RUN]
    [TIME]  1 of 1 ERROR creating table model [SCHEMA].a .................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: CREATE command denied to user 'xdb_reader'@'127.0.0.1' for table `[SCHEMA]`.`_xdb_new_[ID]_a`
      model: a
      connection: crm
      relation: [SCHEMA].a
      server code: 1142 (42000)
      SQL sent: CREATE TABLE `[SCHEMA]`.`_xdb_new_[ID]_a` (`n` bigint) DEFAULT CHARACTER SET utf8mb4
    hint: ask for the right that is missing (GRANT)

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    ");
    t.unchanged();
}

#[test]
fn postgres_locked_table() {
    let Some(t) = place("postgres") else { return };
    t.p.run(&["run"]).ok();
    t.p.write("models/a.sql", "select 8 as n\n");
    let hold = format!("do $$ begin lock table {}.a in access exclusive mode; perform pg_sleep(60); end $$", t.schema);
    let holder = t.p.command(&["query", "--on", "admin", &hold]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let holder = Holder(holder.unwrap());
    let locks = format!(
        "select count(*) as n from pg_locks where relation = '{}.a'::regclass and mode = 'AccessExclusiveLock' and granted",
        t.schema
    );
    let started = Instant::now();
    while t.admin(&locks) != "n\n1\n" {
        assert!(started.elapsed() < BOUND, "the lock was never taken");
    }
    snapshot!(t.bounded(&["run"]), @r#"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model [SCHEMA].a [native] .................. [RUN]
    [TIME]  1 of 1 ERROR creating table model [SCHEMA].a .................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: "[SCHEMA]"."a" is locked by another session: canceling statement due to lock timeout
      model: a
      connection: crm
      caused by: held by process [N] of xdb (xdb, active)
      server code: 55P03
      SQL sent: LOCK TABLE "[SCHEMA]"."a" IN ACCESS EXCLUSIVE MODE
    hint: another session holds a lock on it: wait for that session or end it, then run `xdb retry`; `lock_timeout` says how long to wait

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    "#);
    snapshot!(t.bounded(&["run", "--compute", "datafusion"]), @r#"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model [SCHEMA].a [datafusion] .............. [RUN]
    [TIME]  1 of 1 ERROR creating table model [SCHEMA].a .................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: "[SCHEMA]"."a" is locked by another session: canceling statement due to lock timeout
      model: a
      connection: crm
      caused by: held by process [N] of xdb (xdb, active)
      server code: 55P03
      SQL sent: LOCK TABLE "[SCHEMA]"."a" IN ACCESS EXCLUSIVE MODE
    hint: another session holds a lock on it: wait for that session or end it, then run `xdb retry`; `lock_timeout` says how long to wait

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    "#);
    drop(holder);
    t.unchanged();
    t.p.run(&["run"]).ok();
    assert_eq!(t.admin(&format!("select n from {}.a", t.schema)), "n\n8\n");
}

#[test]
fn mariadb_locked_table() {
    let Some(t) = place("mariadb") else { return };
    t.p.run(&["run"]).ok();
    t.p.write("models/a.sql", "select 8 as n\n");
    let text = |key: &str| t.profile[key].as_str().map(String::from).unwrap_or_else(|| t.profile[key].to_string());
    let client =
        t.p.wrapped("mariadb", &["--no-defaults", "--unbuffered", "--skip-column-names", "--batch"])
            .args(["-h", &text("host"), "-P", &text("port"), "-u", &text("user"), &format!("-p{}", text("password"))])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
    let Ok(mut client) = client else {
        services::skip("the `mariadb` client isn't installed, so nobody can lock the table");
        return;
    };
    let ask = format!("LOCK TABLES {}.a WRITE; SELECT 'locked';\n", t.schema);
    client.stdin.as_mut().unwrap().write_all(ask.as_bytes()).unwrap();
    client.stdin.as_mut().unwrap().flush().unwrap();
    let mut said = String::new();
    BufReader::new(client.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let holder = Holder(client);
    assert_eq!(said.trim(), "locked");
    snapshot!(t.bounded(&["run"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model [SCHEMA].a [native] .................. [RUN]
    [TIME]  1 of 1 ERROR creating table model [SCHEMA].a .................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: [SCHEMA].a is locked by another session
      model: a
      connection: crm
      caused by: Lock wait timeout exceeded; try restarting transaction
      server code: 1205 (HY000)
      SQL sent: RENAME TABLE `[SCHEMA]`.`a` TO `[SCHEMA]`.`_xdb_old_[ID]_a`, `[SCHEMA]`.`_xdb_new_[ID]_a` TO `[SCHEMA]`.`a`
    hint: nothing was changed; see SHOW PROCESSLIST for who holds it, raise `lock_timeout`, or run `xdb retry`

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    ");
    snapshot!(t.bounded(&["run", "--compute", "datafusion"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 0 sources
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model [SCHEMA].a [datafusion] .............. [RUN]
    [TIME]  1 of 1 ERROR creating table model [SCHEMA].a .................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: [SCHEMA].a is locked by another session
      model: a
      connection: crm
      caused by: Lock wait timeout exceeded; try restarting transaction
      server code: 1205 (HY000)
      SQL sent: RENAME TABLE `[SCHEMA]`.`a` TO `[SCHEMA]`.`_xdb_old_[ID]_a`, `[SCHEMA]`.`_xdb_new_[ID]_a` TO `[SCHEMA]`.`a`
    hint: nothing was changed; see SHOW PROCESSLIST for who holds it, raise `lock_timeout`, or run `xdb retry`

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    ");
    drop(holder);
    t.unchanged();
    t.p.run(&["run"]).ok();
    assert_eq!(t.admin(&format!("select n from {}.a", t.schema)), "n\n8\n");
}
