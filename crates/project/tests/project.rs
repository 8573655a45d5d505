//! Whole projects read from disk: xdb's own shape and dbt's.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of #[test] functions

use serde_json::{Map, Value, json};
use std::path::Path;
use xdb_core::{Error, Result};
use xdb_project::*;

const PROFILES: &str =
    "pg: {adapter: postgres, host: h, schema: public}\nmy: {adapter: mysql, host: \"{{ env_var('NOPE') }}\"}\n";

fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}
fn load_with(files: &[(&str, &str)], change: impl FnOnce(&mut LoadOptions)) -> Result<Project> {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), files);
    if !files.iter().any(|(n, _)| n.starts_with("profiles")) {
        write(dir.path(), &[("profiles.yml", PROFILES)]);
    }
    let mut options = LoadOptions {
        project_dir: Some(dir.path().to_path_buf()),
        env: Env::new(|n| (n == "STAGE").then(|| "prod".to_string())),
        ..LoadOptions::default()
    };
    change(&mut options);
    Project::load(&options)
}
fn load(files: &[(&str, &str)]) -> Result<Project> {
    load_with(files, |_| ())
}
fn config(p: &Project, model: &str, in_file: Value) -> Result<ModelConfig> {
    let m = p.models.iter().find(|m| m.name == model).unwrap();
    p.model_config(m, in_file.as_object().unwrap(), 2)
}
fn at(e: &Error) -> &str {
    e.context().location.as_deref().unwrap_or("nowhere")
}

#[test]
fn a_project_as_the_conventions_show_it() {
    let p = load(&[
        ("xdb_project.yml", "name: shop\nversion: '1.0.0'\ntarget: pg\ncompute:\n  default_engine: auto\n  duckdb: {memory_limit: 4GB, threads: 4}\n"),
        ("models/sources.yml", "sources:\n  - name: postgres_source\n    profile: pg\n    tables: [{name: customers}]\n  - name: mysql_source\n    connection: my\n    schema: shop\n    tables:\n      - name: orders\n        identifier: t_orders\n        description: all of them\n        columns: [{name: id, data_tests: [unique, not_null]}]\n"),
        ("models/marts/cross.sql", "select 1"),
        ("macros/sub/m.sql", "{% macro a() %}{% endmacro %}"),
        ("seeds/countries.csv", "a,b\n"),
        ("tests/t.sql", "select 1"),
        ("target/compiled/models/ignored.sql", "x"),
    ])
    .unwrap();
    assert_eq!(p.models[0].fqn, ["shop", "marts", "cross"]);
    assert_eq!(p.models[0].path, Path::new("models/marts/cross.sql"));
    assert_eq!(p.target.as_deref(), Some("pg"));
    assert_eq!((p.macros.len(), p.tests.len(), p.seeds[0].name.as_str()), (1, 1, "countries"));
    let (source, table) = p.source("mysql_source", "orders").unwrap();
    assert_eq!((source.connection.as_deref(), table.identifier.as_str()), (Some("my"), "t_orders"));
    assert_eq!((source.schema_of(table), table.columns[0].tests.len(), table.line), (Some("shop"), 2, 9));
    let (source, table) = p.source("postgres_source", "customers").unwrap();
    assert_eq!(source.schema_of(table), None);
    assert!(p.warnings.is_empty(), "{:?}", p.warnings);
}

/// Laid out as dbt's own jaffle shop is.
fn jaffle() -> Vec<(&'static str, &'static str)> {
    vec![
        (
            "dbt_project.yml",
            "name: 'jaffle_shop'\n\nconfig-version: 2\nversion: '0.1'\n\nprofile: 'jaffle_shop'\n\nmodel-paths: [\"models\"]\nseed-paths: [\"seeds\"]\ntest-paths: [\"tests\"]\nanalysis-paths: [\"analysis\"]\nmacro-paths: [\"macros\"]\n\ntarget-path: \"target\"\nclean-targets:\n    - \"target\"\n    - \"dbt_modules\"\n    - \"logs\"\n\nrequire-dbt-version: [\">=1.0.0\", \"<2.0.0\"]\n\nmodels:\n  jaffle_shop:\n      materialized: table\n      staging:\n        materialized: view\n",
        ),
        (
            "profiles.yml",
            "jaffle_shop:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      path: 'jaffle.duckdb'\n      schema: main\n    prod: {type: postgres, host: h, schema: prod}\n",
        ),
        ("models/customers.sql", "with c as (select * from {{ ref('stg_customers') }}) select * from c"),
        ("models/staging/stg_customers.sql", "select * from {{ ref('raw_customers') }}"),
        (
            "models/schema.yml",
            "version: 2\n\nmodels:\n  - name: customers\n    description: This table has basic information\n    columns:\n      - name: customer_id\n        description: This is a unique identifier\n        tests:\n          - unique\n          - not_null\n          - relationships:\n              to: ref('stg_customers')\n              field: customer_id\n",
        ),
        (
            "models/staging/schema.yml",
            "version: 2\nmodels:\n  - name: stg_customers\n    config:\n      tags: [nightly]\n    columns:\n      - name: payment_method\n        tests:\n          - accepted_values:\n              values: ['credit_card', 'coupon']\n",
        ),
        ("models/overview.md", "{% docs __overview__ %}\n# Jaffle\n{% enddocs %}"),
        ("seeds/raw_customers.csv", "id,first_name\n1,Michael\n"),
        ("seeds/.gitkeep", ""),
    ]
}

#[test]
fn a_dbt_project_is_read_as_it_is() {
    let p = load(&jaffle()).unwrap();
    assert_eq!(p.file.file, Path::new("dbt_project.yml"));
    assert_eq!(p.target.as_deref(), Some("jaffle_shop"));
    assert_eq!(p.profiles.names(), ["jaffle_shop", "jaffle_shop.prod"]);
    assert_eq!(config(&p, "customers", json!({})).unwrap().materialized, Materialized::Table);
    let staging = config(&p, "stg_customers", json!({})).unwrap();
    assert_eq!((staging.materialized, staging.tags), (Materialized::View, vec!["nightly".to_string()]));
    let props = p.models[0].props.as_ref().unwrap();
    assert_eq!((props.columns[0].name.as_str(), props.columns[0].tests.len()), ("customer_id", 3));
    assert!(p.warnings.is_empty(), "{:?}", p.warnings);
    let prod = load_with(&jaffle(), |o| o.target = Some("prod".into())).unwrap();
    assert_eq!(prod.target.as_deref(), Some("jaffle_shop.prod"));
    let e = load_with(&jaffle(), |o| o.target = Some("prdo".into())).unwrap_err();
    assert_eq!(e.message(), format!("--target: there is no connection `prdo` in {}", prod_path(&e)));
}
fn prod_path(e: &Error) -> String {
    e.message().rsplit(" in ").next().unwrap().to_string()
}

#[test]
fn settings_go_from_the_root_to_the_file() {
    let p = load(&[
        (
            "xdb_project.yml",
            "name: shop\ntarget: pg\nvars: {owner: ann}\nmodels:\n  +materialized: view\n  +tags: root\n  +meta: {who: \"{{ var('owner') }}\"}\n  shop:\n    +tags: [project]\n    +pre-hook: \"set a = {{ this }}\"\n    marts:\n      +materialized: table\n      +schema: \"{{ target.schema }}_marts\"\n      +enabled: \"{{ env_var('STAGE') == 'prod' }}\"\n      big:\n        +materialized: incremental\n        +compute: duckdb\n",
        ),
        ("models/a.sql", ""),
        ("models/marts/b.sql", ""),
        ("models/marts/big/c.sql", ""),
        ("models/marts/big/d.sql", ""),
        ("models/x.yml", "models:\n  - name: d\n    meta: {level: 1}\n    config: {materialized: table, tags: [yml], meta: {who: bob}}\n"),
    ])
    .unwrap();
    let of = |m: &str, v: Value| config(&p, m, v).unwrap();
    assert_eq!(of("a", json!({})).materialized, Materialized::View);
    let b = of("b", json!({}));
    assert_eq!((b.materialized, b.schema.as_deref(), b.enabled), (Materialized::Table, Some("public_marts"), true));
    assert_eq!(
        (b.tags, b.pre_hook),
        (vec!["root".to_string(), "project".into()], vec!["set a = {{ this }}".to_string()])
    );
    let c = of("c", json!({}));
    assert_eq!((c.materialized, c.compute.as_deref()), (Materialized::Incremental, Some("duckdb")));
    let d = of("d", json!({"tags": ["file"], "compute": "native"}));
    assert_eq!((d.materialized, d.compute.as_deref()), (Materialized::Table, Some("native")));
    assert_eq!(
        (d.tags.join(","), Value::Object(d.meta)),
        ("root,project,yml,file".into(), json!({"who": "bob", "level": 1}))
    );
    assert_eq!(of("d", json!({"materialized": "ephemeral"})).materialized, Materialized::Ephemeral);
}

#[test]
fn vars_of_the_command_line_win() {
    let cli = Project::parse_cli_vars("{start: 2024-01-01, n: 2}").unwrap();
    assert_eq!(Value::Object(cli.clone()), json!({"start": "2024-01-01", "n": 2}));
    let files = [
        ("xdb_project.yml", "name: shop\ntarget: pg\nvars:\n  n: 1\n  m: 1\n  shop: {m: 2}\n"),
        ("models/s.yml", "sources: [{name: a, profile: pg, schema: \"s{{ var('n') }}\", tables: [{name: t}]}]\n"),
    ];
    let p = load_with(&files, |o| o.vars = cli).unwrap();
    assert_eq!((&p.vars["n"], &p.vars["m"]), (&json!(2), &json!(2)));
    assert_eq!(p.sources[0].schema.as_deref(), Some("s2"));
    let e = Project::parse_cli_vars("a b").unwrap_err();
    assert_eq!(e.message(), "--vars must be a mapping, not text");
    assert!(Project::parse_cli_vars("{a: [}").unwrap_err().message().starts_with("--vars is not valid YAML: "));
}

#[test]
fn wrong_files_are_errors_with_file_and_line() {
    const OK: (&str, &str) = ("xdb_project.yml", "name: shop\ntarget: pg\n");
    for (files, place, message, hint) in [
        (
            vec![OK, ("models/a/x.sql", ""), ("models/b/x.sql", "")],
            "models/b/x.sql",
            "two models are named `x`: models/a/x.sql and models/b/x.sql",
            None,
        ),
        (
            vec![OK, ("models/s.yml", "sources:\n  - name: a\n    profile: gp\n    tables: []\n")],
            "models/s.yml:2",
            "source `a`: there is no connection `gp` in",
            Some("did you mean `pg`?"),
        ),
        (
            vec![
                OK,
                (
                    "models/s.yml",
                    "sources:\n  - name: a\n    tables:\n      - name: t\n      - name: u\n      - name: t\n",
                ),
            ],
            "models/s.yml:6",
            "source `a` lists table `t` twice, first at line 4",
            None,
        ),
        (
            vec![
                OK,
                ("models/s.yml", "sources: [{name: a, tables: [{name: t}]}]\n"),
                ("models/t.yml", "\nsources: [{name: a, tables: [{name: t}]}]\n"),
            ],
            "models/t.yml:2",
            "source table `a.t` is declared twice: models/s.yml:1 and models/t.yml:2",
            None,
        ),
        (vec![OK, ("models/s.yml", "sources:\n  - nmae: a\n")], "models/s.yml:2", "a source needs a `name`", None),
        (
            vec![OK, ("models/s.yml", "sources:\n  - name: a\n    tabels: []\n")],
            "models/s.yml:3",
            "source `a` has an unknown key `tabels`",
            Some("did you mean `tables`?"),
        ),
        (
            vec![OK, ("models/s.yml", "\nsource: []\n")],
            "models/s.yml:2",
            "this file has an unknown key `source`",
            Some("did you mean `sources`?"),
        ),
        (
            vec![OK, ("models/s.yml", "models:\n  - orders\n")],
            "models/s.yml:2",
            "an entry of `models` must be a mapping, not text",
            Some("write `- name: …`"),
        ),
        (
            vec![OK, ("models/s.yml", "sources:\n  - name: a\n   tables: []\n")],
            "models/s.yml:3",
            "models/s.yml is not valid YAML: ",
            None,
        ),
        (
            vec![
                OK,
                ("models/o.sql", ""),
                ("models/s.yml", "models: [{name: o}]\n"),
                ("models/t.yml", "models: [{name: o}]\n"),
            ],
            "models/t.yml:1",
            "model `o` is described twice: models/s.yml:1 and models/t.yml:1",
            None,
        ),
        (
            vec![OK, ("models/s.yml", "sources:\n  - name: a\n    schema: \"{{ vra('x') }}\"\n    tables: []\n")],
            "models/s.yml:3",
            "vra is unknown, in: {{ vra('x') }}",
            Some("did you mean `var`?"),
        ),
        (
            vec![
                OK,
                (
                    "models/s.yml",
                    "sources:\n  - name: a\n    schema: \"{{ env_var('XDB_ENV_SECRET_X') }}\"\n    tables: []\n",
                ),
            ],
            "models/s.yml:3",
            "env_var('XDB_ENV_SECRET_X'): secrets may only be read in profiles.yml",
            None,
        ),
        (
            vec![("xdb_project.yml", "name: shop\ntarget: gp\n")],
            "xdb_project.yml",
            "the project's target: there is no connection `gp` in",
            Some("did you mean `pg`?"),
        ),
    ] {
        let e = load(&files).unwrap_err();
        assert_eq!(at(&e), place, "{e:?}");
        assert!(e.message().starts_with(message), "{e:?}");
        if hint.is_some() {
            assert_eq!(e.hint_text(), hint, "{e:?}");
        }
    }
}

#[test]
fn wrong_settings_are_reported_where_they_stand() {
    let p = load(&[
        ("xdb_project.yml", "name: shop\ntarget: pg\nmodels:\n  shop:\n    a: {+materialised: table}\n    b:\n      +enabled: maybe\n    c: {+target: gp}\n    d: {+tags: x}\n"),
        ("models/a/m1.sql", ""),
        ("models/b/m2.sql", ""),
        ("models/c/m3.sql", ""),
        ("models/m4.sql", ""),
    ])
    .unwrap();
    let e = config(&p, "m1", json!({})).unwrap_err();
    assert_eq!((at(&e), e.message()), ("xdb_project.yml:5", "model `m1` has an unknown config key `materialised`"));
    let e = config(&p, "m2", json!({})).unwrap_err();
    assert_eq!(
        (at(&e), e.message()),
        ("xdb_project.yml:7", "model `m2`: `enabled` must be true or false, not \"maybe\"")
    );
    let e = config(&p, "m3", json!({})).unwrap_err();
    assert_eq!((at(&e), e.hint_text()), ("xdb_project.yml:8", Some("did you mean `pg`?")));
    let e = config(&p, "m4", json!({"materialized": "tabel"})).unwrap_err();
    assert_eq!((at(&e), e.hint_text()), ("models/m4.sql:2", Some("did you mean `table`?")));
    assert_eq!(p.warnings, ["xdb_project.yml:9: `models.shop.d` applies to no model"]);
}

#[test]
fn descriptions_of_nothing_are_warnings() {
    let p = load(&[
        ("xdb_project.yml", "name: shop\ntarget: pg\n"),
        ("models/orders.sql", ""),
        ("models/s.yml", "models: [{name: ordres}]\n"),
    ])
    .unwrap();
    assert_eq!(p.warnings, ["models/s.yml:1: there is no model `ordres`; did you mean `orders`?"]);
}

#[test]
fn unknown_sources_name_the_nearest() {
    let p = load(&[
        ("xdb_project.yml", "name: shop\ntarget: pg\n"),
        ("models/s.yml", "sources: [{name: crm, tables: [{name: customers}]}]\n"),
    ])
    .unwrap();
    let e = p.source("cmr", "customers").unwrap_err();
    assert_eq!(
        (e.message(), e.hint_text()),
        ("source('cmr', 'customers'): there is no source `cmr`", Some("did you mean `crm`?"))
    );
    let e = p.source("crm", "custmers").unwrap_err();
    assert_eq!(
        (e.message(), e.hint_text()),
        ("source('crm', 'custmers'): source `crm` has no table `custmers`", Some("did you mean `customers`?"))
    );
    // As in dbt, a source without connection and schema lies in the schema of its own name.
    let (s, t) = p.source("crm", "customers").unwrap();
    assert_eq!(s.schema_of(t), Some("crm"));
}

#[test]
fn no_project_says_where_it_was_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    let e = Project::load(&LoadOptions { project_dir: Some(dir.path().into()), ..LoadOptions::default() }).unwrap_err();
    assert_eq!(
        e.message(),
        format!(
            "there is no project in {}; looked for xdb_project.yml, dbt_project.yml, project.example.yml",
            dir.path().display()
        )
    );
}

#[test]
fn example_files_are_taken_where_there_are_no_others() {
    let p = load(&[
        ("project.example.yml", "name: example\n"),
        ("profiles.example.yml", "only: {adapter: sqlite}\n"),
        ("models/a.sql", ""),
    ])
    .unwrap();
    assert_eq!((p.file.name.as_str(), p.target.as_deref()), ("example", Some("only")));
}

#[test]
fn models_are_parsed_and_their_settings_merged() {
    let p = load(&[
        ("xdb_project.yml", "name: shop\ntarget: pg\nmodels: {shop: {off: {+enabled: false}}}\n"),
        ("models/a.sql", "A"),
        ("models/off/b.sql", "{{ broken"),
    ])
    .unwrap();
    let parsed = p
        .parse_models(|m| {
            assert_eq!(m.name, "a");
            Ok((json!({"materialized": "table"}).as_object().unwrap().clone(), 1, m.text.len()))
        })
        .unwrap();
    assert_eq!((&parsed[0].config.materialized, parsed[0].recorded), (&Materialized::Table, 1));
    assert!(!parsed[1].config.enabled);
    let e = p.parse_models(|_| -> Result<(Map<String, Value>, usize, ())> { Err(Error::config("x")) }).unwrap_err();
    assert_eq!(e.message(), "x");
}

#[test]
fn text_that_is_not_utf8_is_an_error_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("xdb_project.yml", "name: shop\n"), ("profiles.yml", PROFILES), ("models/x.sql", "")]);
    std::fs::write(dir.path().join("models/x.sql"), b"select 1\nselect '\xe9'").unwrap();
    let e = Project::load(&LoadOptions { project_dir: Some(dir.path().into()), ..LoadOptions::default() }).unwrap_err();
    assert_eq!((at(&e), e.message()), ("models/x.sql:2", "models/x.sql is not UTF-8 text"));
}
