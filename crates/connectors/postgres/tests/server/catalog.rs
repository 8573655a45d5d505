//! check, list and describe.

use crate::common::{Db, service_dir};
use serde_json::json;
use xdb_core::{ErrorKind, Relation, RelationKind, RelationPattern};

#[tokio::test]
async fn check_says_what_it_reached() {
    let Some(db) = Db::new("check").await else { return };
    let info = db.c.check().await.unwrap();
    assert_eq!(
        (info.product.as_str(), info.database.as_deref(), info.user.as_deref()),
        ("PostgreSQL", Some("xdb"), Some("xdb"))
    );
    assert!(info.version.starts_with(|c: char| c.is_ascii_digit()), "{info:?}");
    assert_eq!(info.read_only, Some(false));
    assert!(info.tls.as_deref().is_some_and(|t| t.starts_with("TLS")), "sslmode is `prefer`: {info:?}");
    let reader = db.other(json!({"user": "xdb_reader"})).check().await.unwrap();
    assert_eq!(reader.read_only, Some(true), "a role without the right to create: {reader:?}");
    let plain = db.other(json!({"sslmode": "disable"})).check().await.unwrap();
    assert_eq!(plain.tls, None);
    let ca = service_dir().join("server.crt");
    let verified =
        db.other(json!({"sslmode": "verify-full", "sslrootcert": ca, "host": "localhost"})).check().await.unwrap();
    assert!(verified.tls.is_some());
    let socket = std::fs::read_to_string(service_dir().join("socket")).unwrap();
    let local = db.other(json!({"host": socket.trim(), "password": null})).check().await.unwrap();
    assert_eq!(local.tls, None);
    db.done().await;
}

#[tokio::test]
async fn list_has_every_kind_and_no_staging() {
    let Some(db) = Db::new("list").await else { return };
    db.sql(
        "create table b (id int); create table \"A\" (id int); create view v as select 1 as x; create materialized view m as select 1 as x;
         create table p (id int) partition by list (id); create table p1 partition of p default;
         create table _xdb_new_12345678_b (id int); create sequence s; insert into b select 1 from generate_series(1, 42); analyze b",
    )
    .await;
    let pattern = |name: Option<&str>| RelationPattern { schema: Some(db.schema.clone()), name: name.map(Into::into) };
    let all = db.c.list(&pattern(None)).await.unwrap();
    let got: Vec<_> = all.iter().map(|r| (r.relation.name.as_str(), r.kind)).collect();
    use RelationKind::*;
    assert_eq!(got, [("A", Table), ("b", Table), ("m", MaterializedView), ("p", Table), ("v", View)]);
    assert_eq!(all[1].row_estimate, Some(42));
    assert_eq!(all[4].row_estimate, None);
    let some = db.c.list(&pattern(Some("*"))).await.unwrap();
    assert_eq!(some.len(), 5);
    assert_eq!(db.c.list(&pattern(Some("b"))).await.unwrap().len(), 1);
    let system = db.c.list(&RelationPattern { schema: Some("pg_catalog".into()), name: None }).await.unwrap();
    assert!(system.is_empty());
    db.done().await;
}

#[tokio::test]
async fn describe_has_keys_comments_collations_and_estimates() {
    let Some(db) = Db::new("describe").await else { return };
    db.sql(
        "create collation nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         create table t (b int, gone int, a text not null, ci text collate nocase, n numeric(12,3), primary key (a, b));
         alter table t drop gone; comment on column t.n is 'How much''s left'; insert into t select n, n::text from generate_series(1, 1000) n",
    )
    .await;
    let t = db.describe("t").await;
    assert_eq!(t.primary_key, ["a", "b"]);
    assert_eq!(t.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["b", "a", "ci", "n"]);
    assert_eq!(t.column("n").unwrap().comment.as_deref(), Some("How much's left"));
    assert_eq!(t.column("n").unwrap().source_type, "numeric(12,3)");
    assert_eq!(t.column("ci").unwrap().collation.as_deref(), Some("nocase"));
    assert!(t.column("a").unwrap().binary_equality && !t.column("ci").unwrap().binary_equality);
    assert!(!t.column("a").unwrap().nullable && t.column("n").unwrap().nullable);
    assert_eq!(t.row_estimate, None, "never analysed");
    assert!(t.bytes_estimate.unwrap() >= 8192);
    db.sql("analyze t").await;
    assert_eq!(db.describe("t").await.row_estimate, Some(1000));
    // An empty one is known to be empty.
    db.sql("create table e (id int)").await;
    assert_eq!(db.describe("e").await.row_estimate, Some(0));
    db.done().await;
}

#[tokio::test]
async fn a_missing_relation_is_near_another() {
    let Some(db) = Db::new("missing").await else { return };
    db.sql("create table customers (id int)").await;
    let e = db.c.describe(&Relation::bare("custmers")).await.unwrap_err();
    assert_eq!((e.kind(), e.hint_text()), (ErrorKind::NotFound, Some("did you mean `customers`?")), "{e:?}");
    let e = db.c.describe(&Relation::new(None, Some("nowhere_at_all_xyz"), "customers")).await.unwrap_err();
    assert!(e.hint_text().unwrap().contains(".customers"), "{e:?}");
    let e = db.c.describe(&Relation::new(Some("otherdb"), Some("s"), "t")).await.unwrap_err();
    assert!(e.message().contains("another") && e.kind() == ErrorKind::NotFound, "{e:?}");
    // Naming its own database is no other.
    assert!(db.c.describe(&Relation::new(Some("xdb"), Some(&db.schema), "customers")).await.is_ok());
    let e = db.c.describe(&Relation::bare("'; drop table customers; --\0")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(db.c.describe(&Relation::bare("customers")).await.is_ok());
    db.done().await;
}
