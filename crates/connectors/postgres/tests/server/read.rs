//! Reading: projection, filters, limits, splits in one snapshot, back-pressure and cancelling.

use crate::common::{Db, column, filtered, ints, read, read_plan};
use futures::StreamExt;
use std::time::Duration;
use xdb_core::{
    CompareOp, ErrorKind, Literal, Predicate, Pushdown, ReadContext, RelationKind, ScanRequest, TypePolicy,
};

fn cmp(column: &str, op: CompareOp, value: Literal) -> Predicate {
    Predicate::Compare { column: column.into(), op, value }
}

#[tokio::test]
async fn projection_limit_and_no_columns() {
    let Some(db) = Db::new("proj").await else { return };
    db.sql(r#"create table t ("select" bigint, "a ""b" text, c int); insert into t select n, 't' || n, n from generate_series(1, 2500) n"#).await;
    let table = db.describe("t").await;
    let all = ScanRequest::all(table);
    let b = read(db.c.as_ref(), &ScanRequest { projection: Some(vec![1, 0]), limit: Some(3), ..all.clone() })
        .await
        .unwrap();
    assert_eq!((b.num_rows(), b.schema().field(0).name().as_str()), (3, "a \"b"));
    let b = read(db.c.as_ref(), &ScanRequest { projection: Some(vec![]), ..all.clone() }).await.unwrap();
    assert_eq!((b.num_rows(), b.num_columns()), (2500, 0));
    let b = read(db.c.as_ref(), &ScanRequest { limit: Some(0), ..all }).await.unwrap();
    assert_eq!(b.num_rows(), 0);
    db.done().await;
}

/// What is sent as exact gives what Arrow's own comparison gives, over values chosen to differ.
#[tokio::test]
async fn filters_mean_what_arrow_means() {
    let Some(db) = Db::new("filter").await else { return };
    db.sql(
        "create type mood as enum ('z', 'a');
         create collation nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         create table t (id bigint, t text, de text collate \"und-x-icu\", ci text collate nocase, c char(4), e mood, f float8, d date,
                         n numeric, v varchar(10), by bytea, u uuid);
         insert into t values
         (1, 'a', 'a', 'a', 'a', 'a', 1.5, '2020-01-01', 1.10, 'x', '\\x01', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
         (2, 'B', 'B', 'A', 'a  ', 'z', 'NaN', '2020-01-02', 1.1, 'x ', '\\x', 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
         (3, 'ä', 'ä', 'b', 'B', null, '-0', null, 0.001, '', null, null),
         (4, null, '', '🦀', null, 'z', 0, '2021-01-01', null, null, '\\xff', null),
         (5, 'a%b_c\\', 'a b', 'B', '%', 'a', '-infinity', '0001-01-01', -5, 'X', '\\x0100', null)",
    )
    .await;
    let table = db.describe("t").await;
    let t = |s: &str| Literal::Utf8(s.into());
    use CompareOp::*;
    let starts = |c: &str, p: &str, negated| Predicate::StartsWith { column: c.into(), prefix: p.into(), negated };
    for (p, want) in [
        (cmp("t", Lt, t("a")), vec![2]),
        (cmp("de", Lt, t("a")), vec![2, 4]),
        (cmp("de", GtEq, t("a")), vec![1, 3, 5]),
        (cmp("ci", Gt, t("B")), vec![1, 3, 4]),
        (cmp("c", Eq, t("a")), vec![1, 2]),
        (cmp("c", GtEq, t("a")), vec![1, 2]),
        (cmp("e", Lt, t("m")), vec![1, 5]),
        (cmp("e", Eq, t("nothing")), vec![]),
        (cmp("f", Gt, Literal::Float(1.0)), vec![1, 2]),
        (cmp("f", LtEq, Literal::Float(1.5)), vec![1, 3, 4, 5]),
        (cmp("d", Gt, Literal::Date(18262)), vec![2, 4]),
        (cmp("n", Eq, Literal::Decimal { value: 110, scale: 2 }), vec![1, 2]),
        (cmp("v", Eq, t("x")), vec![1]),
        (cmp("v", Eq, t("")), vec![3]),
        (cmp("by", Gt, Literal::Binary(vec![1])), vec![4, 5]),
        (cmp("u", Gt, t("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")), vec![2]),
        (starts("t", "a%b_c\\", false), vec![5]),
        (starts("t", "a", true), vec![2, 3]),
        (starts("c", "a", false), vec![1, 2]),
        (starts("ci", "a", false), vec![1]),
        (Predicate::IsNull { column: "t".into(), negated: false }, vec![4]),
        (Predicate::In { column: "t".into(), values: vec![t("a"), t("ä")], negated: true }, vec![2, 5]),
        (
            Predicate::Not(Box::new(Predicate::Or(vec![cmp("t", Eq, t("a")), cmp("id", Eq, Literal::Int(2))]))),
            vec![3, 5],
        ),
    ] {
        assert_eq!(db.c.extract().unwrap().pushdown(&table, std::slice::from_ref(&p)), [Pushdown::Exact], "{p:?}");
        let b = filtered(&db, &table, vec![p.clone()], TypePolicy::Exact).await;
        assert_eq!(ints(&b, "id"), want, "{p:?}");
    }
    // A superset, to be filtered again.
    let p = cmp("ci", Eq, t("a"));
    assert_eq!(db.c.extract().unwrap().pushdown(&table, std::slice::from_ref(&p)), [Pushdown::Inexact]);
    assert_eq!(ints(&filtered(&db, &table, vec![p], TypePolicy::Exact).await, "id"), [1, 2]);
    db.done().await;
}

#[tokio::test]
async fn lossy_nulls_are_filtered_as_nulls() {
    let Some(db) = Db::new("lossyfilter").await else { return };
    db.sql("create table t (id bigint, d date, n numeric); insert into t values (1, 'infinity', 'NaN'), (2, '2020-01-01', 1), (3, null, null)").await;
    let table = db.describe("t").await;
    let is_null = |c: &str, negated| Predicate::IsNull { column: c.into(), negated };
    for (p, want) in [
        (is_null("d", false), vec![1, 3]),
        (is_null("d", true), vec![2]),
        (cmp("d", CompareOp::Gt, Literal::Date(0)), vec![2]),
        (Predicate::Not(Box::new(cmp("d", CompareOp::Gt, Literal::Date(0)))), vec![]),
        (is_null("n", false), vec![1, 3]),
        (cmp("n", CompareOp::GtEq, Literal::Int(1)), vec![2]),
    ] {
        assert_eq!(ints(&filtered(&db, &table, vec![p.clone()], TypePolicy::Lossy).await, "id"), want, "{p:?}");
    }
    db.done().await;
}

/// 400 bytes a row: some 2,900 pages.
const BIG: &str = "create table big (id bigint, pad text); alter table big alter pad set storage plain;
    insert into big select n, repeat('x', 400) from generate_series(1, 50000) n; analyze big";

#[tokio::test]
async fn splits_see_one_moment_whatever_a_writer_does() {
    let Some(db) = Db::new("splits").await else { return };
    db.sql(BIG).await;
    let table = db.describe("big").await;
    let request = ScanRequest { parallelism: 4, projection: Some(vec![0]), ..ScanRequest::all(table) };
    let plan = db.c.extract().unwrap().plan(&request).await.unwrap();
    assert_eq!(plan.splits.len(), 2, "one for each 1024 pages: {plan:?}");
    assert!(plan.guard.is_some() && plan.splits[0].sql.contains("ctid"));
    // Moves every row, adds some, removes some.
    db.sql("update big set id = id + 1000000 where id % 2 = 0; delete from big where id % 5 = 0; insert into big select n, '' from generate_series(-10, 0) n").await;
    db.sql("vacuum big").await;
    let b = read_plan(db.c.as_ref(), &plan).await.unwrap();
    assert_eq!(ints(&b, "id"), (1..=50_000).collect::<Vec<i64>>());
    drop(plan);
    db.done().await;
}

#[tokio::test]
async fn partitions_and_children_are_read_once() {
    let Some(db) = Db::new("parts").await else { return };
    db.sql(
        "create table p (id bigint, pad text) partition by range (id);
         create table p1 partition of p for values from (0) to (30000);
         create table p2 (pad text, gone int, id bigint); alter table p2 drop gone; alter table p attach partition p2 for values from (30000) to (90000);
         create table p3 partition of p default partition by list (id); create table p4 partition of p3 default;
         insert into p select n, repeat('x', 400) from generate_series(1, 60000) n; insert into p values (-1, 'd');
         create table top (id bigint, pad text); create table sub (extra int) inherits (top);
         insert into top select n, repeat('x', 400) from generate_series(1, 30000) n;
         insert into sub select n, repeat('x', 400), 1 from generate_series(30001, 60000) n;
         create view v as select * from top; create materialized view m as select * from top; analyze",
    )
    .await;
    for (name, rows, kind, parallel) in [
        ("p", 60_001, RelationKind::Table, true),
        ("top", 60_000, RelationKind::Table, true),
        ("p2", 30_001, RelationKind::Table, false),
        ("v", 60_000, RelationKind::View, false),
        ("m", 60_000, RelationKind::MaterializedView, true),
    ] {
        let table = db.describe(name).await;
        assert_eq!(table.kind, kind);
        for parallelism in [1, 2, 8] {
            let request = ScanRequest {
                parallelism,
                projection: Some(vec![table.schema.index_of("id").unwrap()]),
                ..ScanRequest::all(table.clone())
            };
            let plan = db.c.extract().unwrap().plan(&request).await.unwrap();
            assert_eq!(plan.splits.len() > 1, parallel && parallelism > 1, "{name} {parallelism}");
            let b = read_plan(db.c.as_ref(), &plan).await.unwrap();
            let mut ids = ints(&b, "id");
            assert_eq!(ids.len(), rows, "{name} {parallelism}");
            ids.dedup();
            assert_eq!(ids.len(), rows, "{name} {parallelism}");
        }
        if name == "p" {
            assert_eq!(table.row_estimate, Some(60_001));
        }
    }
    db.done().await;
}

async fn running(db: &Db, mark: &str) -> bool {
    db.value(&format!("select count(*) > 0 from pg_stat_activity where state = 'active' and query like '%{mark}%' and pid <> pg_backend_pid()")).await
        == "true"
}

async fn stops(db: &Db, mark: &str) {
    for _ in 0..100 {
        if !running(db, mark).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the query {mark} is still running");
}

#[tokio::test]
async fn a_dropped_stream_stops_the_query() {
    let Some(db) = Db::new("cancel").await else { return };
    db.sql("create view endless_view as select a.n as endless_mark from generate_series(1, 10000000) a(n), generate_series(1, 1000000) b").await;
    let table = db.describe("endless_view").await;
    let ctx = ReadContext::default();
    let plan = db.c.extract().unwrap().plan(&ScanRequest::all(table)).await.unwrap();
    let mut stream = db.c.extract().unwrap().read(&plan.splits[0], &ctx).await.unwrap();
    assert!(stream.next().await.unwrap().unwrap().num_rows() > 0);
    assert!(running(&db, "endless_mark").await);
    // Back-pressure: with nobody reading, no more than what is buffered is decoded.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = ctx.stats.rows();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(ctx.stats.rows() == before && before <= 5 * ctx.batch_rows as u64, "{before} rows are read ahead");
    drop(stream);
    stops(&db, "endless_mark").await;
    // A query that has no first row yet: the call itself is dropped.
    let sql = format!("select count(*) as slow_mark from {}.endless_view", db.schema);
    let slow = db.c.execute().unwrap().query(&sql, &[], &ctx);
    assert!(tokio::time::timeout(Duration::from_millis(500), slow).await.is_err());
    stops(&db, "slow_mark").await;
    // ... and a statement without rows.
    let sql = format!("create table {0}.slow_table as select * from {0}.endless_view", db.schema);
    let slow = db.c.execute().unwrap().run(&sql);
    assert!(tokio::time::timeout(Duration::from_millis(500), slow).await.is_err());
    stops(&db, "slow_table").await;
    db.done().await;
}

#[tokio::test]
async fn a_failing_query_says_where_and_leaves_the_pool_sound() {
    let Some(db) = Db::with("failing", serde_json::json!({"query_timeout": "500ms"})).await else { return };
    db.sql("create view bad as select 1 / (n - 2500) as x from generate_series(1, 5000) n; create view slow as select pg_sleep(30)::text as s").await;
    let table = db.describe("bad").await;
    let e = read(db.c.as_ref(), &ScanRequest::all(table)).await.unwrap_err();
    assert_eq!((e.kind(), e.context().code.as_deref()), (ErrorKind::Sql, Some("22012")), "{e:?}");
    assert!(e.context().relation.as_ref().unwrap().contains("bad") && e.context().sql.is_some(), "{e:?}");
    let table = db.describe("slow").await;
    let e = read(db.c.as_ref(), &ScanRequest::all(table)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout, "{e:?}");
    assert!(e.hint_text().unwrap().contains("query_timeout"));
    assert!(db.c.check().await.is_ok());
    db.done().await;
}

#[tokio::test]
async fn behind_pgbouncer_nothing_outlives_its_transaction() {
    // PgBouncer itself isn't here: this shows that the mode works, and sets nothing.
    let Some(db) = Db::with("bouncer", serde_json::json!({"pgbouncer": true, "query_timeout": "1ms"})).await else {
        return;
    };
    db.sql("create table t as select n::bigint as id, host('10.0.0.1')::inet as ip from generate_series(1, 10) n")
        .await;
    let b = db.read("t").await;
    assert_eq!(b.num_rows(), 10);
    let s = db
        .c
        .execute()
        .unwrap()
        .query(&format!("select ip from {}.t where id = $1", db.schema), &[Literal::Int(3)], &ReadContext::default())
        .await
        .unwrap();
    assert_eq!(column(&s.collect().await.unwrap()[0], "ip"), ["10.0.0.1/32"]);
    db.done().await;
}
