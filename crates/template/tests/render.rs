//! Templates as dbt users write them, through both phases.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of #[test] functions

use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use xdb_core::{Error, Result};
use xdb_template::*;

/// A database with a few relations and canned answers.
#[derive(Default)]
struct World {
    incremental: bool,
    queries: Mutex<Vec<String>>,
    logged: Mutex<Vec<String>>,
}
fn relation(schema: &str, name: &str) -> RelationValue {
    RelationValue {
        database: Some("db".into()),
        schema: Some(schema.into()),
        identifier: name.into(),
        rendered: format!("\"{schema}\".\"{name}\""),
        kind: Some("table".into()),
    }
}
impl RenderContext for World {
    fn source(&self, source: &str, table: &str) -> Result<RelationValue> {
        Ok(relation(source, table))
    }
    fn ref_(&self, _: Option<&str>, name: &str) -> Result<RelationValue> {
        match name {
            "gone" => Err(Error::not_found("ref('gone'): there is no such model").hint("did you mean `gown`?")),
            _ => Ok(relation("main", name)),
        }
    }
    fn this(&self) -> Option<RelationValue> {
        Some(relation("main", "me"))
    }
    fn target(&self) -> TargetValues {
        TargetValues {
            name: "prod".into(),
            adapter: "postgres".into(),
            schema: Some("public".into()),
            ..Default::default()
        }
    }
    fn is_incremental(&self) -> bool {
        self.incremental
    }
    fn run_query(&self, sql: &str) -> Result<QueryRows> {
        self.queries.lock().unwrap().push(sql.trim().to_string());
        Ok(QueryRows {
            columns: vec!["method".into(), "n".into()],
            rows: vec![vec![json!("card"), json!(2)], vec![json!("cash"), json!(1)]],
        })
    }
    fn log(&self, message: &str, info: bool) {
        self.logged.lock().unwrap().push(format!("{message}/{info}"));
    }
}

fn settings() -> Settings {
    Settings {
        project_name: "shop".into(),
        vars: json!({"start_date": "2024-01-01", "none_var": null, "methods": ["a", "b"]}).as_object().unwrap().clone(),
        target: TargetValues {
            name: "dev".into(),
            adapter: "sqlite".into(),
            schema: Some("main".into()),
            ..Default::default()
        },
        run_started_at_micros: 1_700_000_000_000_000,
        invocation_id: "id-1".into(),
        full_refresh: false,
        command: "run".into(),
    }
}
fn templates(macros: &[(&str, &str)]) -> Templates {
    let files: Vec<MacroFile> = macros.iter().map(|(p, t)| MacroFile { path: p.into(), text: t.to_string() }).collect();
    Templates::new(settings(), &files).unwrap()
}
fn model(text: &str) -> Template<'_> {
    Template { name: "m", path: Path::new("models/m.sql"), text }
}
fn render_with(macros: &[(&str, &str)], text: &str) -> Result<String> {
    templates(macros).render(model(text), &NodeInfo::default(), Arc::new(World::default()))
}
fn render(text: &str) -> String {
    render_with(&[], text).unwrap()
}
fn parse(text: &str) -> Recorded {
    templates(&[]).parse(model(text)).unwrap()
}
fn error(text: &str) -> Error {
    render_with(&[], text).unwrap_err()
}
fn at(e: &Error) -> &str {
    e.context().location.as_deref().unwrap_or("nowhere")
}

#[test]
fn relations_print_as_sql_and_have_parts() {
    assert_eq!(
        render("select * from {{ source('crm', 'customers') }} join {{ ref('orders') }} where {{ this }}"),
        r#"select * from "crm"."customers" join "main"."orders" where "main"."me""#
    );
    assert_eq!(
        render("{{ this.schema }} {{ this.identifier }} {{ this.name }} {{ this.database }} {{ ref('x').type }}"),
        "main me me db table"
    );
    assert_eq!(render("{{ ref('shop', 'x') }}{{ ref('x', version=2) }}"), r#""main"."x""main"."x""#);
    assert_eq!(render("{{ this.include(database=false, schema=false) }}"), r#""me""#);
    assert_eq!(render("{{ api.Relation.create(schema='s', identifier='t') }}"), r#""s"."t""#);
    assert_eq!(render("{{ 'x' ~ this }}"), r#"x"main"."me""#);
}

#[test]
fn parsing_records_references_in_every_branch_with_their_lines() {
    let r = parse(
        "{{ config(materialized='incremental', tags=['a']) }}\n\
         select * from {{ ref('orders') }}\n\
         join {{ source('crm', 'customers') }} using (id)\n\
         {% if is_incremental() %}\n\
         where t > (select max(t) from {{ this }}) and {{ ref('limits') }}\n\
         {% else %}join {{ ref('shop', 'seed') }}{% endif %}\n\
         -- {{ ref('orders') }} again",
    );
    let refs: Vec<_> = r.refs.iter().map(|r| (r.package.as_deref(), r.name.as_str(), r.line)).collect();
    assert_eq!(refs, [(None, "orders", 2), (Some("shop"), "seed", 6), (None, "limits", 5)]);
    assert_eq!(r.sources, [SourceCall { source: "crm".into(), table: "customers".into(), line: 3 }]);
    assert_eq!(Value::Object(r.config), json!({"materialized": "incremental", "tags": ["a"]}));
    assert_eq!((r.config_line, r.uses_this, r.uses_incremental), (1, true, true));
}

#[test]
fn config_calls_add_up_and_render_to_nothing() {
    let r = parse(
        "{{ config(tags='a', pre_hook=\"delete from {{ this }}\") }}{{ config({'tags': ['b'], 'unique_key': ['x', 'y']}) }}\
         {{- config(enabled=false, meta={'owner': {'team': 1}}) -}} select 1",
    );
    assert_eq!(
        Value::Object(r.config),
        json!({"tags": ["a", "b"], "pre_hook": "delete from {{ this }}", "unique_key": ["x", "y"], "enabled": false,
               "meta": {"owner": {"team": 1}}})
    );
    let node = NodeInfo { config: json!({"materialized": "table"}).as_object().unwrap().clone(), ..Default::default() };
    let out = templates(&[])
        .render(
            model("{{ config(materialized='x') }}{{ config.get('materialized') }} {{ config.get('no', 7) }} {{ config.get('no') }}"),
            &node,
            Arc::new(World::default()),
        )
        .unwrap();
    assert_eq!(out, "table 7 None");
}

#[test]
fn vars_take_the_given_value_then_the_default() {
    assert_eq!(render("{{ var('start_date') }} {{ var('x', 'd') }} {{ var('none_var', 'd') }}"), "2024-01-01 d None");
    assert_eq!(render("{% for m in var('methods') %}{{ m }}{% if not loop.last %},{% endif %}{% endfor %}"), "a,b");
    let e = error("select 1\nfrom {{ var('start_dat') }}");
    assert_eq!((e.message(), at(&e)), ("var 'start_dat' is not set and has no default", "models/m.sql:2"));
    assert_eq!(e.hint_text(), Some("did you mean `start_date`?"));
    assert_eq!(parse("{{ var('x', 1) }}").vars, ["x"]);
}

#[test]
fn env_vars_have_defaults_and_secrets_are_refused() {
    assert_eq!(render("{{ env_var('XDB_TEST_SURELY_UNSET', 'd') }}"), "d");
    let e = error("\n{{ env_var('XDB_TEST_SURELY_UNSET') }}");
    assert_eq!((e.message(), at(&e)), ("environment variable `XDB_TEST_SURELY_UNSET` is not set", "models/m.sql:2"));
    let e = error("{{ env_var('XDB_ENV_SECRET_X', 'd') }}");
    assert!(e.message().contains("only be read in profiles.yml"), "{e:?}");
}

#[test]
fn macros_know_each_other_across_files() {
    let macros = [
        (
            "macros/a.sql",
            "{% macro cents(column, digits=2) -%}\n  round({{ column }} / 100.0, {{ digits }})\n{%- endmacro %}",
        ),
        ("macros/b.sql", "{% macro both(x) %}{{ cents(x) }} + {{ shop.cents(x, digits=3) }}{% endmacro %}"),
    ];
    assert_eq!(
        render_with(&macros, "{{ both('amount') }}").unwrap(),
        "round(amount / 100.0, 2) + round(amount / 100.0, 3)"
    );
    let r = templates(&macros).parse(model("{{ both('x') }}")).unwrap();
    assert_eq!(r.macros, ["both", "cents"]);
}

#[test]
fn macros_see_the_model_they_are_called_from() {
    let macros = [("macros/a.sql", "{% macro m() %}{{ this }} {{ ref('o') }} {{ target.type }}{% endmacro %}")];
    assert_eq!(render_with(&macros, "{{ m() }}").unwrap(), r#""main"."me" "main"."o" postgres"#);
    let r = templates(&macros).parse(model("{{ m() }}")).unwrap();
    assert_eq!((r.refs[0].name.as_str(), r.refs[0].line), ("o", 0));
}

#[test]
fn return_gives_values_not_text() {
    let macros = [(
        "macros/a.sql",
        "{% macro methods() %}{{ return(['card', 'cash']) }}{% endmacro %}\n\
         {% macro outer() %}{% set m = methods() %}{% if m %}{% do return(m | length) %}{% endif %}unseen{% endmacro %}",
    )];
    assert_eq!(render_with(&macros, "{% for m in methods() %}[{{ m }}]{% endfor %}").unwrap(), "[card][cash]");
    assert_eq!(render_with(&macros, "{{ outer() + 1 }}").unwrap(), "3");
    assert_eq!(error("{{ return(1) }}").message(), "return() outside of a macro, in: {{ return(1) }}");
}

#[test]
fn varargs_kwargs_and_caller() {
    let macros = [(
        "macros/a.sql",
        "{% macro v(first) %}{{ first }}:{% for a in varargs %}{{ a }};{% endfor %}{% for k, x in kwargs.items() %}{{ k }}={{ x }}{% endfor %}{% endmacro %}\n\
         {% macro strict(a) %}{{ a }}{% endmacro %}\n\
         {% macro wrap(tag) %}<{{ tag }}>{{ caller() }}</{{ tag }}>{% endmacro %}",
    )];
    assert_eq!(render_with(&macros, "{{ v(1, 2, 3, x=4) }}").unwrap(), "1:2;3;x=4");
    assert_eq!(
        render_with(&macros, "{% set y = 5 %}{% call wrap('b') %}in {{ y }}{% endcall %}").unwrap(),
        "<b>in 5</b>"
    );
    let e = render_with(&macros, "\n{{ strict(1, 2) }}").unwrap_err();
    assert_eq!(at(&e), "models/m.sql:2");
    assert!(e.message().starts_with("too many arguments"), "{e:?}");
}

#[test]
fn macros_may_override_what_dbt_gives_and_reach_the_original() {
    let macros = [("macros/ref.sql", "{% macro ref(name) %}{% do return(builtins.ref(name ~ '_v2')) %}{% endmacro %}")];
    assert_eq!(render_with(&macros, "{{ ref('a') }}").unwrap(), r#""main"."a_v2""#);
}

#[test]
fn dispatch_prefers_the_adapter() {
    let macros = [(
        "macros/d.sql",
        "{% macro now() %}{{ adapter.dispatch('now')() }}{% endmacro %}\
         {% macro default__now() %}current_timestamp{% endmacro %}{% macro postgres__now() %}now(){% endmacro %}",
    )];
    assert_eq!(render_with(&macros, "{{ now() }}").unwrap(), "now()");
}

#[test]
fn a_recursion_without_end_is_an_error_and_no_crash() {
    let macros = [(
        "macros/r.sql",
        "{% macro r(n) %}{{ r(n + 1) }}{% endmacro %}\n{% macro down(n) %}{{ n }}{% if n > 0 %}{{ down(n - 1) }}{% endif %}{% endmacro %}",
    )];
    let e = render_with(&macros, "{{ r(0) }}").unwrap_err();
    assert!(e.message().contains("macro `r` calls itself without end"), "{e:?}");
    assert_eq!(render_with(&macros, "{{ down(9) }}").unwrap(), "9876543210");
}

#[test]
fn lists_and_mappings_can_be_changed_as_in_python() {
    assert_eq!(
        render(
            "{% set l = [] %}{% for i in range(3) %}{% do l.append(i * 2) %}{% endfor %}{{ l | join(',') }} {{ l | length }} {{ 4 in l }}"
        ),
        "0,2,4 3 True"
    );
    assert_eq!(
        render(
            "{% set d = {'a': 1} %}{% do d.update({'b': 2}) %}{% for k, v in d.items() %}{{ k }}{{ v }}{% endfor %}{{ d.b }}{{ d['a'] }}{{ d.get('z', 0) }}"
        ),
        "a1b2210"
    );
    assert_eq!(render("{% set l = [[1], {'k': []}] %}{% do l[1].k.append(5) %}{{ l }}"), "[[1], {'k': [5]}]");
    assert_eq!(
        render(
            "{% set l = [3, 1] %}{% do l.sort() %}{{ l[0] }}{{ l.pop() }}{{ l + [7] }}{% if l == [1] %}!{% endif %}"
        ),
        "13[1, 7]!"
    );
    assert_eq!(render("{% set l = [] %}{% if not l %}empty{% endif %}"), "empty");
    let e = error("\n{% do var('methods').append('c') %}");
    assert!(e.message().starts_with("append(): this") && at(&e) == "models/m.sql:2", "{e:?}");
}

#[test]
fn values_print_as_python_prints_them() {
    assert_eq!(
        render("{{ true }} {{ none }} {{ ['a', 1] }} {{ ('a', 'b') }} {{ {'k': 'v'} }} {{ 1.0 }}"),
        "True None ['a', 1] ('a', 'b') {'k': 'v'} 1.0"
    );
    assert_eq!(render("{{ ['it\\'s', 'b'] | tuple }}"), r#"("it's", 'b')"#);
}

#[test]
fn queries_run_only_when_executing() {
    let text = "{% set r = run_query('select 1') %}{% if execute %}{% for m in r.columns[0].values() %}{{ m }} {% endfor %}\
                {{ r.rows[0]['n'] }} {{ r.rows | length }} {{ r.column_names }} {% for row in r %}{{ row.method }}={{ row[1] }};{% endfor %}{% endif %}";
    let world = Arc::new(World::default());
    let out = templates(&[]).render(model(text), &NodeInfo::default(), world.clone()).unwrap();
    assert_eq!(out, "card cash 2 2 ['method', 'n'] card=2;cash=1;");
    assert_eq!(*world.queries.lock().unwrap(), ["select 1"]);
    assert!(parse(text).uses_query);
    let out = render(
        "{% call statement('s', fetch_result=True) %}select {{ 1 + 1 }}{% endcall %}{{ load_result('s').table.columns['method'].values() }}{{ load_result('s')['data'][1][0] }}",
    );
    assert_eq!(out, "['card', 'cash']cash");
}

#[test]
fn python_methods_filters_and_loop_controls() {
    assert_eq!(
        render("{{ 'A-b'.lower().replace('-', '_') }} {{ 'a,b'.split(',')[1] }} {{ ' x '.strip() }}"),
        "a_b b x"
    );
    assert_eq!(
        render(
            "{{ '5' | as_number + 1 }} {{ 'true' | as_bool }} {{ 5 | as_text }} {{ '[1]' | fromjson }} {{ fromjson('{\"a\": 1}').a }}"
        ),
        "6 True 5 [1] 1"
    );
    assert_eq!(render("{{ tojson({'a': [1, 'x']}) }}"), r#"{"a":[1,"x"]}"#);
    assert_eq!(
        render(
            "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}"
        ),
        "02"
    );
    assert_eq!(
        render("{{ ['b', 'a', 'b'] | unique | sort | join('+') }} {{ [{'n': 1}] | map(attribute='n') | list }}"),
        "a+b [1]"
    );
    assert_eq!(
        render("{{ 'x %s' | format(3) }} {{ set([1, 1, 2]) | length }} {{ zip([1, 2], ['a', 'b']) }}"),
        "x 3 2 [[1, 'a'], [2, 'b']]"
    );
    assert_eq!(
        render("{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}"),
        "3"
    );
}

#[test]
fn context_values() {
    assert_eq!(
        render(
            "{{ target.name }} {{ target.type }} {{ target.schema }} {{ target['name'] }} {{ schema }} {{ invocation_id }} {{ project_name }} {{ model.name }} {{ flags.FULL_REFRESH }}"
        ),
        "prod postgres public prod public id-1 shop m False"
    );
    assert_eq!(
        render(
            "{{ run_started_at.strftime('%Y-%m-%d') }} {{ modules.datetime.datetime.now().year }} {{ run_started_at.isoformat() }}"
        ),
        "2023-11-14 2023 2023-11-14T22:13:20.000000+00:00"
    );
    assert!(error("{{ run_started_at.strftime('%Q') }}").message().contains("not a valid format"));
    let world = Arc::new(World::default());
    let out = templates(&[])
        .render(
            model("{{ log('a') }}{{ log('b', info=true) }}{% do print('c') %}x"),
            &NodeInfo::default(),
            world.clone(),
        )
        .unwrap();
    assert_eq!(out, "x");
    assert_eq!(*world.logged.lock().unwrap(), ["a/false", "b/true", "c/true"]);
    assert_eq!(render("{{ adapter.quote('a\"b') }}"), "\"a\"\"b\"");
}

#[test]
fn whitespace_is_as_in_jinja2() {
    assert_eq!(render("a\n{% if true %}\nb\n{%- endif %}\nc\n"), "a\n\nb\nc");
    assert_eq!(render("a {#- x -#} b\n\n"), "ab\n");
    assert_eq!(render("{% raw %}{{ x }}{% endraw %}"), "{{ x }}");
}

#[test]
fn unknown_names_have_line_text_and_the_nearest() {
    let e = error("select 1\nfrom {{ sorce('a', 'b') }}");
    assert_eq!(e.message(), "`sorce` is not a function or macro, in: from {{ sorce('a', 'b') }}");
    assert_eq!((at(&e), e.hint_text()), ("models/m.sql:2", Some("did you mean `source`?")));

    let e = error("{% set customer = 1 %}\n\n{{ custmer }}");
    assert_eq!((e.message(), at(&e)), ("`custmer` is undefined, in: {{ custmer }}", "models/m.sql:3"));
    assert_eq!(e.hint_text(), Some("did you mean `customer`?"));

    let e = error("{{ target.shcema }}");
    assert_eq!(
        (e.message(), e.hint_text()),
        ("`target.shcema` is undefined, in: {{ target.shcema }}", Some("did you mean `schema`?"))
    );

    let e = error("{{ 'a' | uper }}");
    assert_eq!(e.hint_text(), Some("did you mean `upper`?"), "{e:?}");

    let e = error("{{ dbt_utils.star(ref('x')) }}");
    assert!(e.hint_text().unwrap_or_default().contains("does not install packages"), "{e:?}");
    assert_eq!(e.context().model.as_deref(), Some("m"));
}

#[test]
fn syntax_errors_have_the_line() {
    let e = error("select 1\n{% if x %}\nselect 2");
    assert!(e.message().starts_with("syntax error: "), "{e:?}");
    assert!(at(&e).starts_with("models/m.sql:"), "{e:?}");
    let e = Templates::new(
        settings(),
        &[MacroFile { path: "macros/x.sql".into(), text: "\n\n{% macro a() %}\n{{ 1 + }}{% endmacro %}".into() }],
    )
    .unwrap_err();
    assert_eq!(at(&e), "macros/x.sql:4");
    assert!(e.message().ends_with("in: {{ 1 + }}{% endmacro %}"), "{e:?}");
}

#[test]
fn errors_inside_macros_name_the_macro_file_and_the_model() {
    let macros = [(
        "macros/x.sql",
        "\n{% macro a() %}\n{{ nothing_here }}{% endmacro %}\n{% macro b() %}\n\n{{ ref('gone') }}{% endmacro %}",
    )];
    let e = render_with(&macros, "{{ a() }}").unwrap_err();
    assert_eq!((at(&e), e.context().model.as_deref()), ("macros/x.sql:3", Some("m")));
    let e = render_with(&macros, "{{ b() }}").unwrap_err();
    assert_eq!(
        (at(&e), e.message(), e.hint_text()),
        ("macros/x.sql:6", "ref('gone'): there is no such model", Some("did you mean `gown`?"))
    );
}

#[test]
fn errors_of_the_context_keep_their_kind_at_the_calls_line() {
    let e = error("select 1\nfrom {{ ref('gone') }}");
    assert_eq!((e.kind(), at(&e)), (xdb_core::ErrorKind::NotFound, "models/m.sql:2"));
    let e = error("{% if true %}\n{{ exceptions.raise_compiler_error('no ' ~ 1) }}\n{% endif %}");
    assert_eq!((e.message(), at(&e)), ("no 1", "models/m.sql:2"));
}

#[test]
fn two_macros_of_one_name_are_an_error_naming_both() {
    let file = |p: &str| MacroFile { path: p.into(), text: "\n{% macro a() %}{% endmacro %}".into() };
    let e = Templates::new(settings(), &[file("macros/x.sql"), file("macros/y.sql")]).unwrap_err();
    assert_eq!(e.message(), "two macros are named `a`: macros/x.sql:2 and macros/y.sql:2");
}

#[test]
fn macros_can_be_called_from_outside() {
    let t = templates(&[(
        "macros/s.sql",
        "{% macro generate_schema_name(custom_schema_name, node) -%}{{ target.schema }}_{{ custom_schema_name }}_{{ node.name }}{%- endmacro %}",
    )]);
    let node = NodeInfo::default();
    let out = t.call_macro(
        "generate_schema_name",
        &[json!("x")],
        &[("node", json!({"name": "m"}))],
        ("m", &node),
        Arc::new(World::default()),
    );
    assert_eq!(out.unwrap(), Some(json!("public_x_m")));
    assert_eq!(t.call_macro("nope", &[], &[], ("m", &node), Arc::new(World::default())).unwrap(), None);
}

#[test]
fn many_threads_render_at_once() {
    let t = templates(&[("macros/a.sql", "{% macro m(x) %}{{ x }}-{{ ref('o') }}{% endmacro %}")]);
    std::thread::scope(|s| {
        for i in 0..8 {
            let t = t.clone();
            s.spawn(move || {
                for j in 0..50 {
                    let text = format!("{{{{ m({i} * 100 + {j}) }}}}");
                    let out = t.render(model(&text), &NodeInfo::default(), Arc::new(World::default())).unwrap();
                    assert_eq!(out, format!("{}-\"main\".\"o\"", i * 100 + j));
                }
            });
        }
    });
}

#[test]
fn what_dbt_projects_commonly_do() {
    for (text, want) in [
        (
            "{%- set methods = [\n  'bank',\n  'coupon'\n] -%}\n{% for m in methods %}sum({{m}}){{ ',' if not loop.last }}{% endfor %}",
            "sum(bank),sum(coupon)",
        ),
        ("{{ '%.2f' | format(1.234) }} {{ '{:02d} {}'.format(3, 'a') }}", "1.23 03 a"),
        ("{{ [1,2,3][:-1] }} {{ 'abcdef'[1:3] }} {{ [3,1]|sort|first }} {{ [1,2]|sum }}", "[1, 2] bc 1 3"),
        ("{{ 'a' if x is not defined else 'b' }} {{ none is none }} {{ 'a' not in 'bc' }}", "a True True"),
        ("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ loop.index }}{{ k }}{{ v }}{% endfor %}", "1a12b2"),
        ("{% macro inl(x) %}<{{ x }}{{ y }}>{% endmacro %}{% set y = 2 %}{{ inl(1) }}", "<12>"),
        ("{{ range(1, 4) | list }} {{ 7 // 2 }} {{ 7 / 2 }} {{ 2 ** 3 }} {{ 'a' ~ 1 }}", "[1, 2, 3] 3 3.5 8 a1"),
        ("{% set q %}select 1{% endset %}{{ q }} {{ q | length }}", "select 1 8"),
        ("{% set a, b = [1], [2] %}{{ a }}{{ b }} {{ (1,2)[0] }}", "[1][2] 1"),
        (
            "{{ [[1,'a'],[2,'b']] | map(attribute=1) | list }} {{ [{'a': 1}, {'a': 2}] | selectattr('a', 'equalto', 2) | list }}",
            "['a', 'b'] [{'a': 2}]",
        ),
        ("{{ this | string | upper }} {{ this | replace('me', 'you') }}", r#""MAIN"."ME" "main"."you""#),
        ("{% set c = 'a,b'.split(',') %}{% do c.append('d') %}{{ c | join }}", "abd"),
        ("{% set c = run_query('q').columns[0].values() %}{% do c.append('x') %}{{ c }}", "['card', 'cash', 'x']"),
        (
            "{% set t = run_query('q') %}{{ t.columns[1].values() }}{% set ns = namespace(l=[]) %}{% set ns.l = ns.l + [1] %}{{ ns.l }}",
            "[2, 1][1]",
        ),
        (
            "{% set d = {} %}{% do d.update(dict(a=1)) %}{% do d.update({'z': [1]}) %}{% do d['z'].append(2) %}{{ d }}",
            "{'a': 1, 'z': [1, 2]}",
        ),
        ("{% set a = [] %}{% set b = a %}{% do b.append(1) %}{{ a }}{% set t = (1, 2) %}{{ t }}", "[1](1, 2)"),
        ("{% set x | replace('=', '-') %}a=b{% endset %}{{ x }}{% set y = 1 == 1 %}{{ y }}", "a-bTrue"),
        ("{% set x = var('nothing', none) %}{% if x is none %}none{% endif %}{% if y is defined %}{% endif %}", "none"),
    ] {
        assert_eq!(render_with(&[], text).map_err(|e| e.report()), Ok(want.to_string()), "{text}");
    }
}

#[test]
fn what_is_missing_says_so() {
    let e = error("{{ modules.re.match('a', 'b') }}");
    assert_eq!(
        e.hint_text(),
        Some("of dbt's `modules`, xdb has datetime: modules.datetime.datetime.now(), strftime, isoformat")
    );
    let e = error("{% set a = nope %}\n{{ a }}");
    assert!(e.message().starts_with("`a` is undefined") || e.message().starts_with("`nope` is undefined"), "{e:?}");
    let e = error("{{ adapter.create_schema(this) }}");
    assert_eq!(
        (e.kind(), e.message()),
        (xdb_core::ErrorKind::Unsupported, "adapter.create_schema() is not supported by xdb")
    );
}
