//! Building, walking and selecting.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of #[test] functions

use serde_json::json;
use std::collections::BTreeSet;
use xdb_core::{Error, Result};
use xdb_graph::*;

fn model(folders: &[&str], name: &str, refs: &[&str]) -> Node {
    let path = format!("models/{}{name}.sql", folders.iter().map(|f| format!("{f}/")).collect::<String>());
    let mut n = Node::new(ResourceType::Model, "shop", folders, name, path);
    n.refs =
        refs.iter().enumerate().map(|(i, r)| RefEdge { package: None, name: r.to_string(), line: i + 1 }).collect();
    n
}
fn source(name: &str, table: &str) -> Node {
    Node::source("shop", name, table, "models/sources.yml")
}
fn reads(mut n: Node, source: &str, table: &str) -> Node {
    n.sources.push(SourceEdge { source: source.into(), table: table.into(), line: 7 });
    n
}

/// crm.customers -> stg_customers -> customers -> report; crm.orders -> stg_orders -> customers, orders; orders -> report
fn shop() -> Graph {
    let mut report = model(&["marts", "finance"], "report", &["customers", "orders"]);
    report.tags = vec!["nightly".into(), "finance".into()];
    report.config = json!({"materialized": "incremental", "meta": {"owner": "ann"}, "unique_key": ["a", "b"], "full_refresh": false}).as_object().unwrap().clone();
    let mut orders = model(&["marts"], "orders", &["stg_orders"]);
    orders.tags = vec!["nightly".into()];
    let mut test = Node::new(ResourceType::Test, "shop", &[], "orders_positive", "tests/orders_positive.sql");
    test.refs = vec![RefEdge { package: None, name: "orders".into(), line: 1 }];
    Graph::build(vec![
        source("crm", "customers"),
        source("crm", "orders"),
        reads(model(&["staging"], "stg_customers", &[]), "crm", "customers"),
        reads(model(&["staging"], "stg_orders", &[]), "crm", "orders"),
        model(&["marts"], "customers", &["stg_customers", "stg_orders"]),
        orders,
        report,
        model(&[], "lonely", &[]),
        Node::new(ResourceType::Seed, "shop", &[], "countries", "seeds/countries.csv"),
        test,
    ])
    .unwrap()
}

fn names(graph: &Graph, ids: &BTreeSet<NodeId>) -> String {
    let mut out: Vec<String> = ids
        .iter()
        .filter_map(|id| graph.node(id))
        .map(|n| n.source_name.as_ref().map_or_else(|| n.name.clone(), |s| format!("{s}.{}", n.name)))
        .collect();
    out.sort();
    out.join(" ")
}
fn select(select: &[&str], exclude: &[&str]) -> Result<String> {
    let g = shop();
    let own = |l: &[&str]| l.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    let context = SelectContext {
        results: Some(
            [("model.shop.orders".to_string(), "error".to_string()), ("model.shop.report".into(), "skipped".into())]
                .into(),
        ),
        state: Some(StateChanges {
            new: ["model.shop.lonely".to_string()].into(),
            modified: ["model.shop.orders".to_string()].into(),
        }),
    };
    g.select(&own(select), &own(exclude), &context).map(|ids| names(&g, &ids))
}
fn at(e: &Error) -> &str {
    e.context().location.as_deref().unwrap_or("nowhere")
}

#[test]
fn selections() {
    for (selection, want) in [
        ("lonely", "lonely"),
        ("stg_*", "stg_customers stg_orders"),
        ("customers", "customers"),
        ("+customers", "crm.customers crm.orders customers stg_customers stg_orders"),
        ("1+customers", "customers stg_customers stg_orders"),
        ("customers+", "customers report"),
        ("stg_customers+1", "customers stg_customers"),
        ("1+customers+1", "customers report stg_customers stg_orders"),
        ("+stg_customers+", "crm.customers customers report stg_customers"),
        ("0+customers", "customers"),
        ("@stg_customers", "crm.customers crm.orders customers orders orders_positive report stg_customers stg_orders"),
        ("tag:finance", "report"),
        ("tag:night*", "orders orders_positive report"),
        ("lonely countries", "countries lonely"),
        ("tag:nightly,tag:finance", "report"),
        ("tag:nightly,tag:nope lonely", "lonely"),
        ("marts", "customers orders orders_positive report"),
        ("marts.finance", "report"),
        ("shop.marts.finance.report", "report"),
        ("shop.marts.*", "customers orders orders_positive report"),
        ("marts.f*.rep*", "report"),
        ("path:models/staging", "stg_customers stg_orders"),
        ("models/marts/finance", "report"),
        ("models/*/orders.sql", "orders orders_positive"),
        ("models/marts/finance/report.sql", "report"),
        ("report.sql", "report"),
        ("file:rep*", "report"),
        ("file:countries.csv", "countries"),
        ("source:crm", "crm.customers crm.orders"),
        ("source:crm.orders", "crm.orders"),
        ("source:shop.crm.cust*", "crm.customers"),
        ("source:crm.customers+", "crm.customers customers report stg_customers"),
        ("source:other", ""),
        ("config.materialized:incremental", "report"),
        ("config.meta.owner:ann", "report"),
        ("config.unique_key:b", "report"),
        ("config.full_refresh:false", "report"),
        ("config.materialized:table", ""),
        ("resource_type:source", "crm.customers crm.orders"),
        ("resource_type:seeds", "countries"),
        ("package:shop,resource_type:seed", "countries"),
        ("result:error", "orders orders_positive"),
        ("result:error+", "orders orders_positive report"),
        ("state:new", "lonely"),
        ("state:modified", "lonely orders orders_positive"),
        ("fqn:*customers", "customers stg_customers"),
    ] {
        assert_eq!(select(&[selection], &[]).unwrap(), want, "{selection}");
    }
}

#[test]
fn no_selection_is_everything_and_exclude_takes_away() {
    let all = select(&[], &[]).unwrap();
    assert_eq!(all.split(' ').count(), 10);
    assert_eq!(select(&["+report"], &["source:*", "+customers"]).unwrap(), "orders orders_positive report");
    assert_eq!(select(&["lonely", "countries"], &["resource_type:seed"]).unwrap(), "lonely");
    assert_eq!(select(&["tag:nightly"], &["orders"]).unwrap(), "report");
    assert_eq!(select(&[""], &["*", "source:*"]).unwrap(), "");
}

#[test]
fn bad_selections_say_what_is_wrong() {
    for (selection, message, hint) in [
        ("tga:x", "unknown selection method `tga` in `tga:x`", Some("did you mean `tag`?")),
        ("+", "cannot understand the selection `+`: it names nothing", None),
        ("tag:", "cannot understand the selection `tag:`: it names nothing", None),
        ("a,,b", "cannot understand the selection ``: it names nothing", None),
        ("@a+", "cannot understand the selection `@a+`: `@` and `+` don't go together", None),
        (
            "99999999999999999999999+a",
            "cannot understand the selection `99999999999999999999999+a`: the number of steps is too large",
            None,
        ),
        ("result:eror", "unknown status `eror` in a selection", Some("did you mean `error`?")),
        ("resource_type:modle", "unknown resource type `modle` in a selection", Some("did you mean `model`?")),
        ("state:old2", "unknown state `old2` in a selection", Some("did you mean `old`?")),
        ("config:x", "the selection `config:x` names no key", None),
        ("source:a.b.c.d", "cannot understand the selection `source:a.b.c.d`", None),
    ] {
        let e = select(&[selection], &[]).unwrap_err();
        assert_eq!(e.message(), message);
        if hint.is_some() {
            assert_eq!(e.hint_text(), hint);
        }
    }
    let e = shop().select(&["result:error".into()], &[], &SelectContext::default()).unwrap_err();
    assert_eq!(e.message(), "`result:error` needs the results of an earlier run");
    let e = shop().select(&["state:new".into()], &[], &SelectContext::default()).unwrap_err();
    assert_eq!(e.message(), "`state:new` needs an earlier manifest to compare with");
}

#[test]
fn definitions_that_match_nothing_are_told() {
    let select = ["lonely nope".to_string(), "tag:nightly,lonely".to_string()];
    assert_eq!(shop().unmatched(&select, &SelectContext::default()).unwrap(), ["nope", "tag:nightly,lonely"]);
}

#[test]
fn walks_and_order() {
    let g = shop();
    let order = g.topological();
    assert_eq!(order.len(), g.len());
    let position = |id: &str| order.iter().position(|o| o == id).unwrap();
    for node in g.nodes() {
        for parent in g.parents(&node.id) {
            assert!(position(parent) < position(&node.id), "{parent} {}", node.id);
        }
    }
    assert_eq!(names(&g, &g.ancestors("model.shop.report", Some(1))), "customers orders");
    assert_eq!(
        names(&g, &g.descendants("source.shop.crm.orders", None)),
        "customers orders orders_positive report stg_orders"
    );
    assert_eq!(g.children("model.shop.orders").collect::<Vec<_>>(), ["model.shop.report", "test.shop.orders_positive"]);
}

#[test]
fn cycles_are_printed_as_a_path() {
    let e = Graph::build(vec![
        model(&[], "a", &["c"]),
        model(&[], "b", &["x", "a"]),
        model(&[], "c", &["b"]),
        model(&[], "x", &[]),
        model(&[], "below", &["c"]),
    ])
    .unwrap_err();
    assert_eq!(e.message(), "the models form a cycle: a -> b -> c -> a");
    assert_eq!(at(&e), "models/b.sql:2");
    let e = Graph::build(vec![model(&[], "me", &["me"])]).unwrap_err();
    assert_eq!((e.message(), at(&e)), ("the models form a cycle: me -> me", "models/me.sql:1"));
}

#[test]
fn a_long_chain_does_not_overflow() {
    let n = 20_000;
    let nodes = (0..n).map(|i| {
        let before = format!("m{}", i - 1);
        model(
            &[],
            &format!("m{i}"),
            if i == 0 { &[] } else { std::slice::from_ref(&before) }
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .as_slice(),
        )
    });
    let g = Graph::build(nodes.collect()).unwrap();
    assert_eq!(g.descendants("model.shop.m0", None).len(), n as usize - 1);
}

#[test]
fn unknown_references_have_place_and_nearest() {
    let e = Graph::build(vec![model(&[], "orders", &[]), model(&["x"], "b", &["orders", "ordres"])]).unwrap_err();
    assert_eq!(e.message(), "ref('ordres'): there is no model, seed or snapshot of that name");
    assert_eq!(
        (at(&e), e.hint_text(), e.context().model.as_deref()),
        ("models/x/b.sql:2", Some("did you mean `orders`?"), Some("b"))
    );

    let e = Graph::build(vec![source("crm", "customers"), reads(model(&[], "b", &[]), "crm", "custmers")]).unwrap_err();
    assert_eq!(
        (e.message(), at(&e)),
        ("source('crm', 'custmers'): source `crm` has no table `custmers`", "models/b.sql:7")
    );
    assert_eq!(e.hint_text(), Some("did you mean `customers`?"));

    let e =
        Graph::build(vec![source("crm", "customers"), reads(model(&[], "b", &[]), "cmr", "customers")]).unwrap_err();
    assert_eq!(
        (e.message(), e.hint_text()),
        ("source('cmr', 'customers'): there is no source `cmr`", Some("did you mean `crm`?"))
    );

    let e = Graph::build(vec![reads(model(&[], "b", &[]), "crm", "t")]).unwrap_err();
    assert_eq!(e.hint_text(), Some("declare it under `sources:` in a .yml file among the models"));

    let mut far = model(&[], "b", &[]);
    far.refs = vec![RefEdge { package: Some("shpo".into()), name: "b".into(), line: 3 }];
    let e = Graph::build(vec![far]).unwrap_err();
    assert_eq!(
        (e.message(), e.hint_text()),
        ("ref('shpo', 'b'): there is no package `shpo`", Some("did you mean `shop`?"))
    );
}

#[test]
fn disabled_nodes_are_out_and_references_to_them_say_so() {
    let mut off = model(&[], "off", &["nothing_checked_here"]);
    off.enabled = false;
    let g = Graph::build(vec![off.clone(), model(&[], "a", &[])]).unwrap();
    assert_eq!((g.len(), g.disabled().count()), (1, 1));
    let e = Graph::build(vec![off, model(&[], "a", &["off"])]).unwrap_err();
    assert_eq!((e.message(), at(&e)), ("ref('off'): this model is disabled", "models/a.sql:1"));
}

#[test]
fn two_nodes_of_one_id_are_an_error_naming_both_files() {
    let e = Graph::build(vec![model(&["x"], "a", &[]), model(&["y"], "a", &[])]).unwrap_err();
    assert_eq!(e.message(), "two models are named `a`: models/x/a.sql and models/y/a.sql");
}

#[test]
fn seeds_and_packages_resolve() {
    let mut far = model(&[], "far", &[]);
    far.refs = vec![RefEdge { package: Some("shop".into()), name: "countries".into(), line: 1 }];
    let g = Graph::build(vec![far, Node::new(ResourceType::Seed, "shop", &[], "countries", "seeds/countries.csv")])
        .unwrap();
    assert_eq!(g.parents("model.shop.far").collect::<Vec<_>>(), ["seed.shop.countries"]);
    assert!(g.find_ref(None, "countries", "shop").is_ok());
}
