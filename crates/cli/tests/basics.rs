//! The command line without a project: help, versions, usage errors, a new project.

use xdb_testkit::cli::Project;
use xdb_testkit::snapshot;

fn project() -> Project {
    Project::new(env!("CARGO_BIN_EXE_xdb")).filter(r"xdb=\d+\.\d+\.\d+", "xdb=[VERSION]")
}

#[test]
fn version() {
    snapshot!(project().run(&["--version"]), @r"
    exit code: 0
    ----- stdout -----
    xdb [VERSION]
    ----- stderr -----
    ");
}

#[test]
fn help_names_every_command() {
    snapshot!(project().run(&["--help"]), @r"
    exit code: 0
    ----- stdout -----
    SQL models over tables in different databases, the result written to any other

    Usage: xdb [OPTIONS] <COMMAND>

    Commands:
      init         Start a project in a new folder
      debug        Show what xdb finds: paths, versions, the project, each connection
      parse        Read the whole project and check it, connecting nowhere
      ls           List models and sources [alias: list]
      compile      Write each model's SQL, as it would run now, to target/compiled
      run          Build models
      seed         Load seeds/*.csv
      show         Print the rows a model would have
      query        Print the rows of SQL over connection.schema.table names
      explain      Show the plan: the engine, and what each connection is sent
      inspect      Look into connections: schemas, tables, columns
      profiles     List, show and test connections
      retry        Run again what did not succeed in the last run
      clean        Remove what was built in the project's folder (clean-targets)
      completions  Print a shell's completion script
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Global options:
          --project-dir <DIR>
              The folder with xdb_project.yml [default: the working folder, or the nearest above it]

              [env: XDB_PROJECT_DIR]

          --profiles-dir <DIR>
              The folder with profiles.yml [default: the project, then ~/.xdb]

              [env: XDB_PROFILES_DIR]

      -q, --quiet
              Print errors and data only

      -d, --debug
              Show what is sent where, on stderr

          --log-format <FORMAT>
              How events are written to stderr

              Possible values:
              - text
              - json: One JSON object a line

              [default: text]

          --no-color
              No colour; the variable NO_COLOR does the same
    ----- stderr -----
    ");
}

#[test]
fn wrong_usage_is_wrong_input() {
    snapshot!(project().run(&["run", "--selct", "x"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: unexpected argument '--selct' found

      tip: a similar argument exists: '--select'

    Usage: xdb run --select <SELECTOR>...

    For more information, try '--help'.
    ");
    snapshot!(project().run(&["rnu"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: unrecognized subcommand 'rnu'

    Usage: xdb [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    assert_eq!(project().run(&[]).code(), Some(1));
}

#[test]
fn no_project() {
    snapshot!(project().run(&["run"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: there is no project in [PROJECT] or above; looked for xdb_project.yml, dbt_project.yml, project.example.yml
    hint: make one with `xdb init`, or name its folder with --project-dir
    ");
    snapshot!(project().run(&["query", "select 1"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: there is no profiles.yml; looked for [PROJECT]/profiles.yml, [HOME]/.xdb/profiles.yml, [HOME]/.dbt/profiles.yml
    hint: make one with `xdb init`, or say where it is with --profiles-dir
    ");
}

#[test]
fn a_new_project_runs_as_it_is() {
    let p = project();
    snapshot!(p.run(&["init", "my-shop"]), @r"
    exit code: 0
    ----- stdout -----
    ----- stderr -----
    Made the project `my_shop` in my-shop. Next:

      cd my-shop
      xdb run
      xdb show example
    ");
    let again = p.run(&["init", "my-shop"]);
    assert_eq!(again.code(), Some(1), "{again}");
    p.run(&["run", "--project-dir", "my-shop"]).ok();
    snapshot!(p.run(&["--project-dir", "my-shop", "show", "example"]), @r"
    exit code: 0
    ----- stdout -----
    ╭────┬──────────╮
    │ id ┆ greeting │
    ╞════╪══════════╡
    │  1 ┆ hello    │
    ╰────┴──────────╯
    ----- stderr -----
    (1 row)
    ");
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
    // As JSON: the table is as wide as the temp folder's name is long.
    snapshot!(p.run(&["profiles", "list", "--output", "json"]), @r#"
    exit code: 0
    ----- stdout -----
    [
      {
        "name": "good",
        "adapter": "sqlite",
        "address": "[PROJECT]/x.sqlite",
        "error": null
      },
      {
        "name": "dark",
        "adapter": "postgres",
        "address": "127.0.0.1:[PORT]/d",
        "error": null
      },
      {
        "name": "plain",
        "adapter": "mysql",
        "address": "127.0.0.1:[PORT]/d",
        "error": null
      }
    ]
    ----- stderr -----
    "#);
    snapshot!(p.run(&["profiles", "show", "plain"]), @r#"
    exit code: 0
    ----- stdout -----
    plain:
      adapter: mysql
      database: d
      host: "127.0.0.1"
      port: 1
      user: u
      password: ********
    ----- stderr -----
    from [PROJECT]/profiles.yml:10
    "#);
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
