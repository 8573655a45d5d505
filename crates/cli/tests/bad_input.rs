//! What a person gets who made a mistake: these texts are part of the product. Exit code 1, and nothing is built.

use xdb_testkit::cli::Project;
use xdb_testkit::snapshot;

/// A small project on SQLite.
fn project() -> Project {
    Project::new(env!("CARGO_BIN_EXE_xdb"))
        .filter(r"xdb=\d+\.\d+\.\d+", "xdb=[VERSION]")
        .filter(r"Concurrency: \d+ threads?", "Concurrency: [N] threads")
        .filter(r"os error \d+", "os error [N]")
        .file("xdb_project.yml", "name: shop\ntarget: local\nmodels:\n  +materialized: table\n")
        .file("profiles.yml", "local: {adapter: sqlite, path: shop.sqlite}\n")
        .file("models/sources.yml", "sources:\n  - name: raw\n    profile: local\n    tables: [{name: orders}]\n")
        .file("models/a.sql", "select 1 as id\n")
}

#[test]
fn yaml() {
    snapshot!(project().file("xdb_project.yml", "name: shop\nmodels:\n  - [\n").run(&["parse"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: xdb_project.yml is not valid YAML: unclosed bracket '['
      at: xdb_project.yml:3
    hint: look at `- [` and the line before it
    ");
    snapshot!(project().file("models/x.yml", "sources:\n  - nmae: raw\n").run(&["parse"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: a source needs a `name`
      at: models/x.yml:2
    ");
    snapshot!(project().file("xdb_project.yml", "name: shop\ntraget: local\n").run(&["parse"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: the project file has an unknown key `traget`
      at: xdb_project.yml:2
    hint: did you mean `target`?
    ");
}

#[test]
fn jinja() {
    snapshot!(project().file("models/b.sql", "select 1\n{% if x %}\nselect 2\n").run(&["parse"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: syntax error: unexpected end of input, expected end of block, in: {% if x %}
      at: models/b.sql:2
      model: b
    ");
    snapshot!(project().file("models/b.sql", "select {{ nope() }}\n").run(&["parse"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: `nope` is not a function or macro, in: select {{ nope() }}
      at: models/b.sql:1
      model: b
    hint: macros come from the .sql files under `macro-paths`
    ");
    snapshot!(project().file("models/b.sql", "select '{{ env_var(\"NOT_SET\") }}'\n").run(&["parse"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: environment variable `NOT_SET` is not set
      at: models/b.sql:1
      model: b
    hint: set it, or give a default: env_var('NOT_SET', '…')
    ");
}

#[test]
fn references() {
    snapshot!(project().file("models/b.sql", "select *\nfrom {{ ref('aa') }}\n").run(&["parse"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: ref('aa'): there is no model, seed or snapshot of that name
      at: models/b.sql:2
      model: b
    hint: did you mean `a`?
    ");
    snapshot!(project().file("models/b.sql", "select * from {{ source('raw', 'order') }}\n").run(&["parse"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: source('raw', 'order'): source `raw` has no table `order`
      at: models/b.sql:1
      model: b
    hint: did you mean `orders`?
    ");
    let cycle = project()
        .file("models/b.sql", "select * from {{ ref('c') }}\n")
        .file("models/c.sql", "select * from {{ ref('b') }}\n");
    snapshot!(cycle.run(&["run"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: the models form a cycle: b -> c -> b
      at: models/c.sql:1
    hint: a -> b means that b reads a; remove one of these references
    ");
}

#[test]
fn settings() {
    snapshot!(project().file("models/b.sql", "{{ config(materialised='table') }}\nselect 1\n").run(&["parse"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: model `b` has an unknown config key `materialised`
      at: models/b.sql:1
    hint: did you mean `materialized`? A value of your own goes under `meta`
    ");
    snapshot!(project().file("models/b.sql", "{{ config(materialized='tabel') }}\nselect 1\n").run(&["parse"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: model `b`: unknown materialized `tabel`
      at: models/b.sql:1
    hint: did you mean `table`?
    ");
    snapshot!(project().run(&["run", "--compute", "dukdb"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: there is no engine `dukdb`
    hint: did you mean `duckdb`?
    ");
    snapshot!(project().run(&["run", "-t", "lcoal"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: --target: there is no connection `lcoal` in [PROJECT]/profiles.yml
    hint: did you mean `local`?
    ");
    snapshot!(project().run(&["ls", "--resource-type", "modle"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: there is no resource type `modle`
    hint: did you mean `model`?
    ");
}

#[test]
fn connections() {
    let missing = "local: {adapter: sqlite, path: \"{{ env_var('SHOP_DB') }}\"}\n";
    snapshot!(project().file("profiles.yml", missing).run(&["run"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 1 source
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model a ........................................... [RUN]
    [TIME]  1 of 1 ERROR creating table model a .................................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: connection `local`: environment variable `SHOP_DB` is not set
      at: [PROJECT]/profiles.yml:1
      model: a
    hint: set it (export SHOP_DB=…), or give a default: env_var('SHOP_DB', '…')

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    ");
    snapshot!(project().file("profiles.yml", "local: {adapter: sqlit, path: x}\n").run(&["run"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 1 source
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model a ........................................... [RUN]
    [TIME]  1 of 1 ERROR creating table model a .................................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: there is no adapter `sqlit`
      at: [PROJECT]/profiles.yml:1
      model: a
      connection: local
    hint: did you mean `sqlite`?

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    ");
    snapshot!(project().file("profiles.yml", "local: {adapter: sqlite, pth: x}\n").run(&["run"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 1 source
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model a ........................................... [RUN]
    [TIME]  1 of 1 ERROR creating table model a .................................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: connection `local` has an unknown key `pth`
      at: [PROJECT]/profiles.yml:1
      model: a
    hint: did you mean `path`?

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    ");
    snapshot!(project().file("profiles.yml", "other: {adapter: sqlite, path: x}\n").run(&["run"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: the project's target: there is no connection `local` in [PROJECT]/profiles.yml
      at: xdb_project.yml
    hint: there is: other
    ");
    let far = "local: {adapter: postgres, host: 127.0.0.1, port: 1, user: u, database: d, connect_timeout: 2s}\n";
    snapshot!(project().file("profiles.yml", far).run(&["run"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 1 model, 1 source
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model public.a [native] ........................... [RUN]
    [TIME]  1 of 1 ERROR creating table model public.a ........................... [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: cannot connect to `local` (postgres at 127.0.0.1:[PORT])
      model: a
      caused by: Connection refused (os error [N])
    hint: check `host` and `port` under `local` in profiles.yml, then run `xdb profiles test local`

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    ");
}

#[test]
fn tables_and_columns() {
    let p = project().file("models/b.sql", "select * from {{ source('raw', 'orders') }}\n");
    p.run(&["run", "-s", "a"]).ok();
    snapshot!(p.run(&["run", "-s", "b"]), @r#"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    [TIME]  Running with xdb=[VERSION]
    [TIME]  Found 2 models, 1 source
    [TIME]  Concurrency: [N] threads
    [TIME]
    [TIME]  1 of 1 START table model main.b [native] ............................. [RUN]
    [TIME]  1 of 1 ERROR creating table model main.b ............................. [ERROR in [DURATION]]
    [TIME]
    [TIME]  Finished running 1 table model in [DURATION].
    [TIME]
    error: source `raw.orders`: there is no table or view `orders` in `local`
      model: b
      relation: main.orders
    hint: there is: a

    [TIME]  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1
    "#);
    snapshot!(p.run(&["query", "select idd from local.a", "--compute", "datafusion"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: datafusion: there is no column `idd`
    hint: did you mean `id`?
    ");
    snapshot!(p.run(&["query", "select idd from local.a", "--compute", "duckdb"]), @r#"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: duckdb: Referenced column "idd" not found in FROM clause!
      caused by: LINE 1: select idd from "local"."main"."a"
    hint: Candidate bindings: "id"
    "#);
    snapshot!(p.run(&["query", "select id frm local.a"]), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: datafusion cannot parse the SQL: Expected: end of statement, found: local at Line: 1, Column: 15
    ");
}

#[test]
fn a_failed_model_leaves_its_old_table() {
    let p = project().file("models/b.sql", "select 7 as n\n");
    p.run(&["run"]).ok();
    p.write("models/b.sql", "{{ config(compute='datafusion') }}\nselect cast('x' || 'y' as int) as n\n");
    let failed = p.run(&["run", "-s", "b"]);
    assert_eq!(failed.code(), Some(1), "{failed}");
    assert_eq!(p.run(&["query", "select n from local.b", "--output", "csv"]).ok().stdout(), "n\n7\n");
}
