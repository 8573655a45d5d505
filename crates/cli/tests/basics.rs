//! The command line without a project: help, versions, usage errors, a new project.

use xdb_testkit::cli::Project;
use xdb_testkit::snapshot;

fn project() -> Project {
    Project::new(env!("CARGO_BIN_EXE_xdb")).filter(r"xdb=\d+\.\d+\.\d+", "xdb=[VERSION]")
}

#[test]
fn version() {
    snapshot!(project().run(&["--version"]), @"");
}

#[test]
fn help_names_every_command() {
    snapshot!(project().run(&["--help"]), @"");
}

#[test]
fn wrong_usage_is_wrong_input() {
    snapshot!(project().run(&["run", "--selct", "x"]), @"");
    snapshot!(project().run(&["rnu"]), @"");
    assert_eq!(project().run(&[]).code(), Some(1));
}

#[test]
fn no_project() {
    snapshot!(project().run(&["run"]), @"");
    snapshot!(project().run(&["query", "select 1"]), @"");
}

#[test]
fn a_new_project_runs_as_it_is() {
    let p = project();
    snapshot!(p.run(&["init", "my-shop"]), @"");
    let again = p.run(&["init", "my-shop"]);
    assert_eq!(again.code(), Some(1), "{again}");
    p.run(&["run", "--project-dir", "my-shop"]).ok();
    snapshot!(p.run(&["--project-dir", "my-shop", "show", "example"]), @"");
    assert!(p.path().join("my-shop/logs/xdb.log").exists());
}

#[test]
fn completions_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(project().run(&["completions", shell]).ok().stdout().contains("profiles"), "{shell}");
    }
}

#[test]
fn profiles_are_listed_shown_masked_and_tested() {
    let p = project()
        .env("XDB_ENV_SECRET_PW", "hunter2-very-secret")
        .file(
            "profiles.yml",
            "good: {adapter: sqlite, path: x.sqlite}\n\
             dark:\n  adapter: postgres\n  host: 127.0.0.1\n  port: 1\n  user: u\n  password: \"{{ env_var('XDB_ENV_SECRET_PW') }}\"\n  database: d\n  connect_timeout: 2s\n\
             plain: {adapter: mysql, host: 127.0.0.1, port: 1, user: u, password: swordfish, database: d}\n",
        );
    snapshot!(p.run(&["profiles", "list"]), @"");
    snapshot!(p.run(&["profiles", "show", "plain"]), @"");
    // The file isn't there: SQLite has nothing to open.
    let test = p.run(&["profiles", "test", "--all", "--debug"]);
    assert_eq!(test.code(), Some(1), "{test}");
    let debug = p.run(&["debug"]);
    assert!(debug.stderr().contains("`plain` has its `password` in plain text"), "{debug}");
    for run in [&test, &debug] {
        let all = format!("{}{}", run.stdout(), run.stderr());
        assert!(!all.contains("hunter2") && !all.contains("swordfish"), "{run}");
        assert!(all.contains("failed  dark"), "{run}");
    }
}
