//! Each operator: what is sent, what stays, and that the answer doesn't depend on it.

use crate::fake::*;
use std::sync::Arc;
use xdb_core::PushdownMode::{Aggressive, Off, Safe};
use xdb_core::*;

/// `pg`: orders and lines, `my`: customers and nations.
fn shop() -> [Fake; 2] {
    let pg = Fake::new("pg")
        .table(
            "orders",
            &["o_id"],
            vec![
                ("o_id", longs(&[Some(1), Some(2), Some(3), Some(4), Some(5)]), false),
                ("o_cust", ints(&[Some(1), Some(1), Some(2), None, Some(9)]), true),
                ("total", money(&[Some(1050), Some(2000), None, Some(75), Some(-100)]), true),
                ("s", texts(&[Some("open"), Some("done"), Some("Open"), None, Some("")]), true),
                ("d", dates(&[Some(9000), Some(9100), Some(9131), Some(9131), None]), true),
            ],
        )
        .table(
            "lines",
            &["l_order", "l_no"],
            vec![
                ("l_order", longs(&[Some(1), Some(1), Some(2), Some(3), Some(7)]), false),
                ("l_no", ints(&[Some(1), Some(2), Some(1), Some(1), Some(1)]), false),
                ("qty", ints(&[Some(3), Some(4), None, Some(4), Some(1)]), true),
                ("d", dates(&[Some(9001), Some(8000), Some(9200), None, Some(9000)]), true),
            ],
        );
    let my = Fake::new("my")
        .table(
            "cust",
            &["c_id"],
            vec![
                ("c_id", ints(&[Some(1), Some(2), Some(3)]), false),
                ("name", texts(&[Some("Ann"), Some("Bob"), None]), true),
                ("nation", ints(&[Some(10), Some(20), None]), true),
            ],
        )
        .table(
            "nation",
            &["n_id"],
            vec![
                ("n_id", ints(&[Some(10), Some(20), Some(30)]), false),
                ("s", texts(&[Some("CH"), Some("FR"), Some("IT")]), false),
            ],
        );
    [pg, my]
}

/// The outcome in aggressive mode, after the others gave the same rows.
async fn same(sql: &str) -> Outcome {
    same_in(&shop(), sql).await
}
async fn same_in(fakes: &[Fake], sql: &str) -> Outcome {
    let off = run(fakes, Off, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    assert!(off.sent.iter().all(|s| !s.contains("join") && !s.contains("group by")), "{:#?}", off.sent);
    for mode in [Safe, Aggressive] {
        let on = run(fakes, mode, sql).await.unwrap_or_else(|e| panic!("{mode:?} {sql}: {e} {:?}", e.causes()));
        assert_eq!(on.rows, off.rows, "{mode:?} {sql} {:#?}", on.sent);
    }
    run(fakes, Aggressive, sql).await.unwrap()
}

#[tokio::test]
async fn a_join_within_one_connection_is_one_statement() {
    let o = same("select o_id, qty from pg.main.orders join pg.main.lines on o_id = l_order where qty > 3").await;
    assert_eq!(o.sent.len(), 1, "{:#?}", o.sent);
    assert!(o.sent[0].contains(" join ") && o.sent[0].contains(" > "), "{}", o.sent[0]);
    assert!(o.choices[0].pushed);
    assert_eq!(o.choices[0].relations, ["main.orders", "main.lines"]);
}

#[tokio::test]
async fn a_join_of_two_connections_stays_and_says_why() {
    let o = same("select o_id, name from pg.main.orders join my.main.cust on o_cust = c_id").await;
    assert_eq!(o.sent.len(), 2, "{:#?}", o.sent);
    assert!(o.sent.iter().all(|s| !s.contains("join")));
    assert!(o.not_pushed.iter().any(|(op, why)| op == "inner join" && why.contains("two connections")), "{o:?}");
}

#[tokio::test]
async fn one_relation_keeps_its_scan() {
    for sql in ["select o_id from pg.main.orders where o_cust = 1", "select s from pg.main.orders limit 2"] {
        let o = run(&shop(), Aggressive, sql).await.unwrap();
        assert!(o.choices.is_empty(), "{o:?}");
        assert!(o.sent[0].starts_with("select \""), "{:?}", o.sent);
    }
}

#[tokio::test]
async fn conditions_beyond_column_and_constant_are_sent() {
    for (sql, part) in [
        ("select o_id from pg.main.orders where s like '%pe%'", "like '%pe%'"),
        ("select l_no from pg.main.lines where qty < l_no or qty in (4, 5)", " or "),
        ("select o_id from pg.main.orders where case when o_cust = 1 then total else 3 end > 2", "case when"),
        ("select o_id from pg.main.orders where extract(month from d) = 12", "date_part('Month'"),
        ("select o_id from pg.main.orders where substr(s, 1, 2) = 'op'", "substr("),
        ("select o_id from pg.main.orders where total * 2 + 1 > o_cust", " * "),
        ("select o_id from pg.main.orders where coalesce(o_cust, 7) = 7", "case when"),
        ("select o_id from pg.main.orders where o_cust * 2 not between 4 and 8", " * "),
        ("select o_id from pg.main.orders where s not in ('open', 'done', 'x') and d is not null", "<>"),
    ] {
        let o = same(sql).await;
        assert!(o.sent[0].contains(part), "{sql}: {:#?}", o.sent);
    }
}

#[tokio::test]
async fn what_cannot_be_converted_is_filtered_here() {
    let o = same("select o_id from pg.main.orders where s like '%pe%' and upper(s) = 'OPEN'").await;
    assert!(o.sent[0].contains("like '%pe%'") && !o.sent[0].contains("upper"), "{:#?}", o.sent);
    assert!(o.not_pushed.iter().any(|(op, why)| op == "filter" && why.contains("upper")), "{o:?}");
}

#[tokio::test]
async fn aggregates_and_distinct() {
    let o = same(
        "select o_cust, count(*), count(total), sum(total), min(s), max(d) from pg.main.orders group by o_cust
         having count(*) > 0 and sum(total) is not null",
    )
    .await;
    assert!(o.sent[0].contains("group by") && o.sent[0].contains("having"), "{:#?}", o.sent);
    assert!(same("select distinct s, o_cust from pg.main.orders").await.sent[0].contains("group by"));
    assert!(same("select count(distinct o_cust) from pg.main.orders").await.sent[0].contains("count("));
    let o = same("select count(*), sum(qty) from pg.main.lines where l_no > 5").await;
    assert_eq!(o.rows, ["0 | NULL"]);
    assert!(o.sent[0].contains("sum("));
    let o = same("select sum(total) filter (where o_cust = 1) from pg.main.orders").await;
    assert!(o.sent[0].contains("filter (where"), "{:#?}", o.sent);
    // A function that returns views of text.
    let o = same("select substr(s, 1, 2) as x, count(*) from pg.main.orders group by substr(s, 1, 2)").await;
    assert!(o.sent[0].contains("substr(") && o.sent[0].contains("group by"), "{:#?}", o.sent);
    // A sum of floats is another one in another order.
    let o = same("select sum(o_cust * 0.5::double) from pg.main.orders").await;
    assert!(!o.sent[0].contains("sum("), "{:#?}", o.sent);
    // Grouped again, and filtered in between.
    let o = same(
        "select n, count(*) from (select o_cust, count(*) as n from pg.main.orders group by o_cust) x
         where n < 5 group by n",
    )
    .await;
    assert_eq!(o.sent.len(), 1);
    assert_eq!(o.sent[0].matches("group by").count(), 2, "{:#?}", o.sent);
}

#[tokio::test]
async fn an_aggregate_over_a_join_is_one_statement() {
    let o = same(
        "select o_cust, sum(qty * 2) as q from pg.main.orders o join pg.main.lines l on o.o_id = l.l_order
         where o.d < date '1995-01-02' group by o_cust order by q desc limit 1",
    )
    .await;
    assert_eq!(o.sent.len(), 1);
    assert!(o.sent[0].contains("order by") && o.sent[0].contains("limit 1"), "{:#?}", o.sent);
}

#[tokio::test]
async fn outer_joins_keep_their_preserved_side() {
    for sql in [
        // A filter on the right side belongs to the match; on the left, to the rows.
        "select o_id, l_no from pg.main.orders left join (select * from pg.main.lines where qty > 3) l on o_id = l_order",
        "select o_id, l_no from pg.main.orders left join pg.main.lines on o_id = l_order and qty > 3 and o_cust = 1",
        "select o_id, l_no from (select * from pg.main.orders where o_cust = 1) o left join pg.main.lines on o_id = l_order",
        "select o_id, l_no from pg.main.orders left join pg.main.lines on o_id = l_order where l_no is null",
        // What a missing row computes is NULL, not its expression.
        "select o_id, x from pg.main.orders left join (select l_order, coalesce(qty, 0) as x, 5 as y from pg.main.lines) l
         on o_id = l_order",
        "select o_id, y from pg.main.orders left join (select l_order, qty, 5 as y from pg.main.lines) l on o_id = l_order",
        "select o_id, l_no from pg.main.lines right join pg.main.orders on o_id = l_order and qty = 4",
        "select o_id, l_no, l_order, s from pg.main.orders full join pg.main.lines on o_id = l_order",
        "select o_id, l_no from (select * from pg.main.orders where o_cust = 1) o
         full join (select * from pg.main.lines where qty > 3) l on o_id = l_order",
        "select a.o_id, b.l_no, c.l_no from pg.main.orders a left join
         (pg.main.lines b join pg.main.lines c on b.l_order = c.l_order and b.l_no < c.l_no) on a.o_id = b.l_order",
    ] {
        let o = same(sql).await;
        assert_eq!(o.sent.len(), 1, "{sql} {:#?}", o.sent);
    }
}

#[tokio::test]
async fn semi_and_anti_joins() {
    for (sql, part) in [
        ("select o_id from pg.main.orders where o_id in (select l_order from pg.main.lines where qty > 3)", "exists"),
        (
            "select o_id from pg.main.orders o where not exists (select 1 from pg.main.lines where l_order = o_id and qty = 4)",
            "not exists",
        ),
        (
            "select o_id from pg.main.orders o where exists (select 1 from pg.main.lines l where l_order = o_id and l.d > o.d)",
            "exists",
        ),
        (
            "select count(*) from pg.main.orders o where exists (select 1 from pg.main.lines where l_order = o_id)
          and not exists (select 1 from pg.main.lines where l_order = o_id and qty = 3)",
            "count(",
        ),
        (
            "select a.o_id, b.o_id from pg.main.orders a join (select * from pg.main.orders where o_id in
          (select l_order from pg.main.lines)) b on a.o_cust = b.o_cust",
            "exists",
        ),
        (
            "select a.o_id, b.o_id from pg.main.orders a left join (select * from pg.main.orders where o_id in
          (select l_order from pg.main.lines)) b on a.o_cust = b.o_cust",
            "exists",
        ),
    ] {
        let o = same(sql).await;
        assert_eq!(o.sent.len(), 1, "{sql} {:#?}", o.sent);
        assert!(o.sent[0].contains(part), "{:#?}", o.sent);
    }
    // NOT IN with NULLs has a meaning of its own and stays.
    let o = same("select o_id from pg.main.orders where o_cust not in (select qty from pg.main.lines)").await;
    assert!(o.sent.iter().all(|s| !s.contains("exists")), "{:#?}", o.sent);
}

#[tokio::test]
async fn self_joins_and_equal_names() {
    let o = same("select a.o_id, b.o_id, a.s, b.s from pg.main.orders a join pg.main.orders b on a.o_cust = b.o_cust")
        .await;
    assert_eq!(o.sent.len(), 1);
    let o = same("select * from pg.main.orders o join pg.main.lines l on o.d = l.d").await;
    assert_eq!(o.sent.len(), 1);
    let o = same(
        "select x.s, n.s, x.n from (select s, count(*) as n from pg.main.orders group by s) x
                  left join my.main.nation n on x.s = n.s",
    )
    .await;
    assert_eq!(o.sent.len(), 2);
}

#[tokio::test]
async fn unions_limits_and_orders() {
    let o = same(
        "select s, count(*) from (select s from pg.main.orders union all select s from pg.main.orders where o_id > 2)
                  u group by s",
    )
    .await;
    assert_eq!(o.sent.len(), 1, "{:#?}", o.sent);
    let o = same("select o_id from pg.main.orders union select l_order from pg.main.lines").await;
    assert_eq!(o.sent.len(), 1, "{:#?}", o.sent);
    let o = same("select o_id, total from pg.main.orders order by total desc nulls last, o_id limit 2 offset 1").await;
    assert!(o.sent[0].contains("limit 3"), "{:#?}", o.sent);
    let o = same("select count(*) from (select o_id from pg.main.orders order by o_id limit 2) x").await;
    assert_eq!(o.rows, ["2"]);
    let o = same("select s from pg.main.orders union all select s from my.main.nation").await;
    assert_eq!(o.sent.len(), 2);
}

#[tokio::test]
async fn subqueries_are_federated_too() {
    let o =
        same("select o_id from pg.main.orders where total > (select min(total) from pg.main.orders where o_cust = 1)")
            .await;
    assert!(o.sent.iter().any(|s| s.contains("min(")), "{:#?}", o.sent);
    let o = same(
        "with x as (select o_cust, count(*) as n from pg.main.orders group by o_cust)
                  select a.n, b.n from x a join x b on a.o_cust = b.o_cust",
    )
    .await;
    assert_eq!(o.sent.len(), 1, "{:#?}", o.sent);
    let o = same("select name, (select max(n_id) from my.main.nation) from my.main.cust").await;
    assert!(o.sent.iter().any(|s| s.contains("max(")), "{:#?}", o.sent);
}

#[tokio::test]
async fn a_refusal_costs_nothing() {
    let sql = "select o_cust, sum(qty) from pg.main.orders join pg.main.lines on o_id = l_order group by o_cust";
    let [mut pg, my] = shop();
    pg.refuses_plans = true;
    let o = same_in(&[pg.clone(), my.clone()], sql).await;
    assert!(o.choices.iter().all(|c| !c.pushed && c.why.contains("changed my mind")), "{o:?}");
    pg.refuses_plans = false;
    pg.rule = Arc::new(|q| match q.groups {
        Some(_) => Err("no groups today".into()),
        None => Ok(()),
    });
    let o = same_in(&[pg.clone(), my.clone()], sql).await;
    assert!(o.sent.len() == 1 && o.sent[0].contains("join"), "{o:?}");
    assert!(o.not_pushed.contains(&("aggregate".into(), "no groups today".into())), "{o:?}");
    pg.rule = Arc::new(|_| Err("nothing today".into()));
    let o = same_in(&[pg, my], sql).await;
    assert!(o.choices.is_empty() && o.sent.len() == 2, "{o:?}");
}

#[tokio::test]
async fn lossy_types_keep_every_operator_here() {
    let [pg, _] = shop();
    let ctx = datafusion::prelude::SessionContext::new();
    for t in ["orders", "lines"] {
        let input = TableInput { types: TypePolicy::Lossy, ..pg.input(t, Aggressive) };
        xdb_federation::register(&ctx, input).unwrap();
    }
    let state = ctx.state();
    let sql = "select count(*) from pg.main.orders join pg.main.lines on o_id = l_order";
    let plan = state.optimize(&state.create_logical_plan(sql).await.unwrap()).unwrap();
    let f = xdb_federation::federate(plan).await.unwrap();
    assert!(f.choices.is_empty());
}

#[tokio::test]
async fn safe_mode_weighs_what_the_source_expects() {
    let sql = "select o_id, l_no from pg.main.orders join pg.main.lines on o_cust = qty";
    let [mut pg, my] = shop();
    for (join_rows, join_cost, pushed) in [(10.0, 10.0, true), (1e7, 10.0, false), (10.0, 1e7, false)] {
        pg.estimates = Some(Arc::new(move |sql: &str| match sql.contains("join") {
            true => ReadEstimate { rows: join_rows, row_bytes: None, cost: Some(join_cost) },
            false => ReadEstimate { rows: 5.0, row_bytes: None, cost: Some(5.0) },
        }));
        let o = run(&[pg.clone(), my.clone()], Safe, sql).await.unwrap();
        assert_eq!(o.choices[0].pushed, pushed, "{:#?}", o.choices);
        assert!(o.choices[0].why.contains("rows"));
        let o = run(&[pg.clone(), my.clone()], Aggressive, sql).await.unwrap();
        assert!(o.choices[0].pushed);
    }
}

/// `pg` has orders and lines, `my` customers, nations and regions: the text joins them alternately.
fn chain() -> [Fake; 2] {
    let n = 40;
    let all = |f: &dyn Fn(i32) -> i32| (0..n).map(|i| Some(f(i))).collect::<Vec<_>>();
    let pg = Fake::new("pg")
        .table(
            "orders",
            &["o_id"],
            vec![("o_id", ints(&all(&|i| i)), false), ("o_cust", ints(&all(&|i| i % 7)), false)],
        )
        .table(
            "lines",
            &["l_id"],
            vec![
                ("l_id", ints(&all(&|i| i)), false),
                ("l_order", ints(&all(&|i| i / 2)), false),
                ("l_supp", ints(&all(&|i| i % 3)), false),
            ],
        );
    let my = Fake::new("my")
        .table(
            "cust",
            &["c_id"],
            vec![("c_id", ints(&all(&|i| i)), false), ("c_nation", ints(&all(&|i| i % 4)), false)],
        )
        .table(
            "supp",
            &["s_id"],
            vec![("s_id", ints(&all(&|i| i)), false), ("s_nation", ints(&all(&|i| i % 4)), false)],
        )
        .table(
            "nation",
            &["n_id"],
            vec![("n_id", ints(&all(&|i| i)), false), ("n_region", ints(&all(&|i| i % 2)), false)],
        )
        .table("region", &["r_id"], vec![("r_id", ints(&all(&|i| i)), false), ("r_size", ints(&all(&|i| i)), false)]);
    [pg, my]
}

#[tokio::test]
async fn joins_are_grouped_by_source_whatever_their_order_in_the_text() {
    let sql = "select c_id, o_id, l_id from my.main.cust join pg.main.orders on c_id = o_cust
               join pg.main.lines on o_id = l_order where c_nation < 3";
    let o = same_in(&chain(), sql).await;
    assert_eq!(o.sent.len(), 2, "{:#?}", o.sent);
    assert!(o.sent.iter().any(|s| s.contains("\"orders\"") && s.contains("\"lines\"")), "{:#?}", o.sent);
    // What only the join reads isn't sent.
    let joined = o.sent.iter().find(|s| s.contains(" join ")).unwrap();
    assert!(!joined.contains("as \"l_order\""), "{joined}");
}

#[tokio::test]
async fn a_join_that_multiplies_rows_is_not_sent() {
    // TPC-H Q5's shape: customers and suppliers of one nation must not be joined to each other first.
    let sql = "select r_size, count(*) from my.main.cust join pg.main.orders on c_id = o_cust
               join pg.main.lines on o_id = l_order
               join my.main.supp on l_supp = s_id and c_nation = s_nation
               join my.main.nation on s_nation = n_id join my.main.region on n_region = r_id
               where r_size < 2 group by r_size";
    let fakes = chain();
    let off = run(&fakes, Off, sql).await.unwrap();
    let on = run(&fakes, Safe, sql).await.unwrap();
    assert_eq!(on.rows, off.rows);
    assert!(!on.rows.is_empty());
    assert!(!on.sent.iter().any(|s| s.contains("\"cust\"") && s.contains("\"supp\"")), "{:#?}", on.sent);
    assert!(on.sent.iter().any(|s| s.contains("\"supp\"") && s.contains("\"region\"")), "{:#?}", on.sent);
    same_in(&fakes, sql).await;
}

#[tokio::test]
async fn joins_across_subqueries_and_aliases_are_one_graph() {
    let sql = "select x.a, y.s_id, n2.n_id from
               (select c_id as a, o_id as b, c_nation as c from my.main.cust join pg.main.orders on c_id = o_cust) x
               join (select l_order, s_id, s_nation from pg.main.lines join my.main.supp on l_supp = s_id) y on x.b = y.l_order
               join my.main.nation n1 on n1.n_id = x.c join my.main.nation n2 on n2.n_id = y.s_nation
               where n1.n_region <> n2.n_region or n1.n_id = 1";
    let o = same_in(&chain(), sql).await;
    assert!(o.sent.iter().any(|s| s.contains("\"orders\"") && s.contains("\"lines\"")), "{:#?}", o.sent);
}

#[tokio::test]
async fn an_average_is_a_sum_and_a_count_there() {
    for sql in [
        "select o_cust, avg(total), sum(total), count(*) from pg.main.orders group by o_cust",
        "select avg(total), avg(o_cust), min(total) from pg.main.orders",
        "select avg(total), avg(o_cust) from pg.main.orders where o_id > 100",
        "select avg(total + 1) filter (where o_cust = 1), avg(qty) from pg.main.orders join pg.main.lines on o_id = l_order",
    ] {
        let o = same(sql).await;
        assert_eq!(o.sent.len(), 1, "{:#?}", o.sent);
        assert!(o.sent[0].contains("sum(") && o.sent[0].contains("count("), "{:#?}", o.sent);
    }
    // Of floats and wide integers a sum is another one in another order.
    let o = same("select avg(o_id), avg(distinct o_cust) from pg.main.orders").await;
    assert!(!o.sent[0].contains("sum("), "{:#?}", o.sent);
}

#[tokio::test]
async fn groups_by_a_joins_key_are_made_before_the_join() {
    for sql in [
        "select c_id, name, count(o_id) from my.main.cust left join pg.main.orders on c_id = o_cust group by c_id, name",
        "select nation, count(*), count(total), sum(total), min(s), max(d) from my.main.cust
         left join pg.main.orders on c_id = o_cust group by nation",
        "select nation, count(*), sum(total), min(o_id) from pg.main.orders join my.main.cust on c_id = o_cust group by nation",
        "select count(*), sum(total), count(o_id) from pg.main.orders join my.main.cust on c_id = o_cust",
        "select count(*), sum(total), count(o_id) from pg.main.orders join my.main.cust on c_id = o_cust where c_id = 77",
        "select name, s, count(total) from pg.main.orders right join my.main.cust on c_id = o_cust group by name, s",
        "select name, sum(total) from my.main.cust left join pg.main.orders on c_id = o_cust and o_id > nation group by name",
        "select o_cust, sum(qty) from (select * from pg.main.orders join pg.main.lines on o_id = l_order) o
         join my.main.cust on c_id = o_cust group by o_cust",
    ] {
        let o = same(sql).await;
        assert!(o.sent.iter().any(|s| s.contains("group by")), "{sql} {:#?}", o.sent);
    }
    for sql in [
        // The preserved side's rows, a value of both sides, distinct values, a constant of a row that isn't there.
        "select o_cust, count(c_id), sum(total) from pg.main.orders left join my.main.cust on c_id = o_cust group by o_cust",
        "select nation, sum(total * nation) from pg.main.orders join my.main.cust on c_id = o_cust group by nation",
        "select nation, count(distinct total), sum(nation) from pg.main.orders join my.main.cust on c_id = o_cust group by nation",
        "select name, sum(1), max(x) from my.main.cust left join (select o_cust, 5 as x from pg.main.orders) o on c_id = o_cust
         group by name",
    ] {
        same(sql).await;
    }
}

#[tokio::test]
async fn a_semi_join_goes_to_the_relation_it_filters() {
    let from = "from my.main.cust join pg.main.orders on c_id = o_cust join my.main.nation on c_nation = n_id";
    // TPC-H Q18's shape: orders with many lines.
    let o = same_in(
        &chain(),
        &format!("select c_id, o_id {from} where o_id in (select l_order from pg.main.lines group by l_order having count(*) > 1)"),
    )
    .await;
    assert!(o.sent.iter().any(|s| s.contains("exists") && s.contains("\"orders\"")), "{:#?}", o.sent);
    for sql in [
        // Of another source, and of two relations: here.
        format!("select c_id, o_id {from} where o_id in (select s_id from my.main.supp where s_nation < 3)"),
        format!(
            "select c_id, o_id {from} where not exists (select 1 from pg.main.lines where l_order = o_id and l_supp = c_nation)"
        ),
        format!(
            "select c_id, o_id {from} where not exists (select 1 from my.main.supp where s_id = c_id and s_nation > 1) and n_id >= 0"
        ),
    ] {
        let o = same_in(&chain(), &sql).await;
        assert!(!o.rows.is_empty(), "{sql}");
    }
}

#[tokio::test]
async fn keys_of_another_width_connect_relations() {
    let keys = |n: i64| longs(&(0..n).map(Some).collect::<Vec<_>>());
    let ids = |n: i32| ints(&(0..n).map(Some).collect::<Vec<_>>());
    let a = Fake::new("a").table("facts", &[], vec![("k1", keys(50), false), ("k2", keys(50), false)]);
    let b = Fake::new("b")
        .table("one", &["id1"], vec![("id1", ids(20), false)])
        .table("two", &["id2"], vec![("id2", ids(20), false)])
        .table("three", &["id1", "id2"], vec![("id1", ids(40), false), ("id2", ids(40), false)]);
    let sql = "select k1, k2 from b.main.one, b.main.two, a.main.facts, b.main.three
               where k1 = one.id1 and k2 = two.id2 and k1 = three.id1 and k2 = three.id2";
    let o = same_in(&[a, b], sql).await;
    assert_eq!(o.rows.len(), 20);
    assert!(!o.plan.contains("CrossJoin"), "{}", o.plan);
}
