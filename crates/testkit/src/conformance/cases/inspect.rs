//! check, list, describe, and what is said of a relation that isn't there.

use super::{named_rows, plain_table};
use crate::conformance::Harness;
use xdb_core::{ErrorKind, LoadOptions, RelationKind, RelationPattern};

pub async fn capabilities_match_the_traits(h: &Harness) {
    let def = h.connector.def();
    let c = def.capabilities;
    assert_eq!(c.read, h.connector.extract().is_some(), "read and extract()");
    assert_eq!(c.load, h.connector.load().is_some(), "load and load()");
    assert_eq!(c.execute, h.connector.execute().is_some(), "execute and execute()");
    assert!(!c.filter || c.read, "filter without read");
    assert!(!(c.append || c.merge || c.atomic_replace) || c.load, "a way to write without load");
    assert!(!(c.parameters || c.views) || c.execute, "parameters or views without execute");
    assert!(h.connector.budget() >= 1, "a budget of no connections");
    assert!(!def.title.is_empty() && !def.about.is_empty(), "a title and a text for the docs page");
    for p in def.params {
        assert!(p.help.ends_with('.') && p.help.len() > 5, "`{}` needs a sentence of help, with a full stop", p.name);
    }
    assert!(!c.read || !def.source_types.is_empty(), "a reading table for the docs");
}

pub async fn check_describes_the_server(h: &Harness) {
    // An embedded database is made by the first load.
    h.put(&h.relation("check"), &plain_table(1)).await;
    let info = h.connector.check().await.unwrap_or_else(|e| panic!("{e:?}"));
    assert!(!info.product.is_empty() && !info.version.is_empty(), "{info:?}");
    assert!(info.read_only != Some(true), "the suite needs to write: {info:?}");
    assert!(info.latency.as_secs() < 5, "{info:?}");
}

pub async fn list_finds_and_hides(h: &Harness) {
    let rel = h.relation("listed");
    h.put(&rel, &plain_table(3)).await;
    let schema = plain_table(3).batch().schema();
    let open = h.load().begin(&rel, schema, &LoadOptions::default()).await.unwrap_or_else(|e| panic!("{e:?}"));
    let all = h.connector.list(&RelationPattern::default()).await.unwrap_or_else(|e| panic!("{e:?}"));
    open.abort().await.unwrap_or_else(|e| panic!("{e:?}"));

    let found = all.iter().find(|i| i.relation == rel).unwrap_or_else(|| panic!("{rel} is not in the list"));
    assert!(matches!(found.kind, RelationKind::Table | RelationKind::File), "{:?}", found.kind);
    let hidden: Vec<_> = all.iter().filter(|i| i.relation.name.contains("_xdb_")).collect();
    assert!(hidden.is_empty(), "staging tables are listed: {hidden:?}");
    let keys: Vec<_> = all.iter().map(|i| (i.relation.schema.clone(), i.relation.name.clone())).collect();
    assert!(keys.is_sorted(), "sorted by schema, then name: {keys:?}");

    let stem: String = rel.name.chars().take(rel.name.len() - 2).collect();
    for (name, expected) in [(rel.name.clone(), true), (format!("{stem}*"), true), (format!("{stem}_no_such*"), false)]
    {
        let pattern = RelationPattern { schema: rel.schema.clone(), name: Some(name.clone()) };
        let got = h.connector.list(&pattern).await.unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!(got.iter().any(|i| i.relation == rel), expected, "pattern {name}");
        assert!(got.iter().all(|i| pattern.matches(i.relation.schema.as_deref(), &i.relation.name)), "pattern {name}");
    }
}

pub async fn describe_tells_columns(h: &Harness) {
    let rel = h.relation("described");
    h.put(&rel, &plain_table(5)).await;
    let info = h.describe(&rel).await;
    assert_eq!(info.relation, h.connector.resolve(&rel), "the relation, fully resolved");
    let names: Vec<_> = info.schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["id", "name", "amount", "grp"]);
    assert_eq!(info.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), names, "columns and schema agree");
    assert!(info.columns.iter().all(|c| !c.source_type.is_empty()), "{:?}", info.columns);
    assert!(info.primary_key.is_empty(), "{:?}", info.primary_key);
}

pub async fn missing_relation_names_the_nearest(h: &Harness) {
    let rel = h.relation("customers");
    h.put(&rel, &named_rows(&[(Some(1), "a")])).await;
    let typo =
        h.connector.resolve(&xdb_core::Relation { name: rel.name.replace("customers", "custmers"), ..rel.clone() });
    let e = h.connector.describe(&typo).await.expect_err("there is no such relation");
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e:?}");
    assert!(e.context().connection.is_some(), "the error names the connection: {e:?}");
    assert!(e.report().contains(&typo.name), "the error names what is missing: {e:?}");
    assert!(e.hint_text().is_some_and(|t| t.contains(&rel.name)), "the hint names `{}`: {e:?}", rel.name);
}
