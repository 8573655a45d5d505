//! What a person gets who made a mistake: these texts are part of the product. Exit code 1, and nothing is built.

use xdb_testkit::cli::Project;
use xdb_testkit::snapshot;

/// A small project on SQLite.
fn project() -> Project {
    Project::new(env!("CARGO_BIN_EXE_xdb"))
        .filter(r"xdb=\d+\.\d+\.\d+", "xdb=[VERSION]")
        .file("xdb_project.yml", "name: shop\ntarget: local\nmodels:\n  +materialized: table\n")
        .file("profiles.yml", "local: {adapter: sqlite, path: shop.sqlite}\n")
        .file("models/sources.yml", "sources:\n  - name: raw\n    profile: local\n    tables: [{name: orders}]\n")
        .file("models/a.sql", "select 1 as id\n")
}

#[test]
fn yaml() {
    snapshot!(project().file("xdb_project.yml", "name: shop\nmodels:\n  - [\n").run(&["parse"]), @"");
    snapshot!(project().file("models/x.yml", "sources:\n  - nmae: raw\n").run(&["parse"]), @"");
    snapshot!(project().file("xdb_project.yml", "name: shop\ntraget: local\n").run(&["parse"]), @"");
}

#[test]
fn jinja() {
    snapshot!(project().file("models/b.sql", "select 1\n{% if x %}\nselect 2\n").run(&["parse"]), @"");
    snapshot!(project().file("models/b.sql", "select {{ nope() }}\n").run(&["parse"]), @"");
    snapshot!(project().file("models/b.sql", "select '{{ env_var(\"NOT_SET\") }}'\n").run(&["parse"]), @"");
}

#[test]
fn references() {
    snapshot!(project().file("models/b.sql", "select *\nfrom {{ ref('aa') }}\n").run(&["parse"]), @"");
    snapshot!(project().file("models/b.sql", "select * from {{ source('raw', 'order') }}\n").run(&["parse"]), @"");
    let cycle = project()
        .file("models/b.sql", "select * from {{ ref('c') }}\n")
        .file("models/c.sql", "select * from {{ ref('b') }}\n");
    snapshot!(cycle.run(&["run"]), @"");
}

#[test]
fn settings() {
    snapshot!(project().file("models/b.sql", "{{ config(materialised='table') }}\nselect 1\n").run(&["parse"]), @"");
    snapshot!(project().file("models/b.sql", "{{ config(materialized='tabel') }}\nselect 1\n").run(&["parse"]), @"");
    snapshot!(project().run(&["run", "--compute", "dukdb"]), @"");
    snapshot!(project().run(&["run", "-t", "lcoal"]), @"");
    snapshot!(project().run(&["ls", "--resource-type", "modle"]), @"");
}

#[test]
fn connections() {
    let missing = "local: {adapter: sqlite, path: \"{{ env_var('SHOP_DB') }}\"}\n";
    snapshot!(project().file("profiles.yml", missing).run(&["run"]), @"");
    snapshot!(project().file("profiles.yml", "local: {adapter: sqlit, path: x}\n").run(&["run"]), @"");
    snapshot!(project().file("profiles.yml", "local: {adapter: sqlite, pth: x}\n").run(&["run"]), @"");
    snapshot!(project().file("profiles.yml", "other: {adapter: sqlite, path: x}\n").run(&["run"]), @"");
    let far = "local: {adapter: postgres, host: 127.0.0.1, port: 1, user: u, database: d, connect_timeout: 2s}\n";
    snapshot!(project().file("profiles.yml", far).run(&["run"]), @"");
}

#[test]
fn tables_and_columns() {
    let p = project().file("models/b.sql", "select * from {{ source('raw', 'orders') }}\n");
    p.run(&["run", "-s", "a"]).ok();
    snapshot!(p.run(&["run", "-s", "b"]), @"");
    snapshot!(p.run(&["query", "select idd from local.a", "--compute", "datafusion"]), @"");
    snapshot!(p.run(&["query", "select idd from local.a", "--compute", "duckdb"]), @"");
    snapshot!(p.run(&["query", "select id frm local.a"]), @"");
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
