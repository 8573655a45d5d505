//! The same SQL over the same tables gives the same rows as the `datafusion` engine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use arrow::array::*;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use common::*;
use std::sync::Arc;
use xdb_core::TableInput;

/// Orders of customers, with NULLs, ties and names that need care.
fn tables() -> Vec<TableInput> {
    let n = 20_000i64;
    let customers = batch(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..500)) as ArrayRef),
        (
            "name",
            Arc::new(StringArray::from_iter((0..500).map(|i| (i % 17 != 0).then(|| format!("customer {}", i % 250))))),
        ),
        (
            "Segment",
            Arc::new(StringArray::from_iter_values((0..500).map(|i| ["BUILDING", "AUTO", "it's \"x\""][i % 3]))),
        ),
        ("vip", Arc::new(BooleanArray::from_iter((0..500).map(|i| (i % 4 != 0).then_some(i % 2 == 0))))),
    ]);
    let orders = batch(vec![
        ("id", Arc::new(Int32Array::from_iter_values(0..n as i32)) as ArrayRef),
        ("customer_id", Arc::new(Int64Array::from_iter((0..n).map(|i| (i % 23 != 0).then_some(i * 7 % 600))))),
        ("day", Arc::new(Date32Array::from_iter((0..n as i32).map(|i| (i % 31 != 0).then_some(9000 + i % 900))))),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from_iter((0..n).map(|i| (i % 29 != 0).then_some(i * 1_234_567_891)))),
        ),
        (
            "price",
            Arc::new(
                Decimal128Array::from_iter((0..n).map(|i| (i % 13 != 0).then_some(i128::from(i * 37 % 100_000))))
                    .with_precision_and_scale(15, 2)
                    .unwrap(),
            ),
        ),
        ("weight", Arc::new(Float64Array::from_iter((0..n).map(|i| (i % 19 != 0).then_some(i as f64 / 8.0))))),
        ("quantity", Arc::new(Int16Array::from_iter((0..n).map(|i| (i % 11 != 0).then_some((i % 50) as i16))))),
    ]);
    let cut =
        |b: &RecordBatch, k: usize| (0..b.num_rows()).step_by(k).map(|i| b.slice(i, k.min(b.num_rows() - i))).collect();
    let c = fake(cut(&customers, 120));
    let o = Fake { splits: 3, ..fake(cut(&orders, 3001)) };
    vec![input("my", "shop", "customers", &c), input("pg", "public", "orders", &o)]
}

/// Rows as text, sorted. A number is written alike whatever its width.
fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let o = FormatOptions::default().with_null("NULL");
    let mut out = Vec::new();
    for b in batches {
        let columns: Vec<ArrayFormatter<'_>> =
            b.columns().iter().map(|c| ArrayFormatter::try_new(c, &o).unwrap()).collect();
        let number = |t: &DataType| t.is_numeric();
        for i in 0..b.num_rows() {
            let cells = columns.iter().zip(b.columns()).map(|(f, c)| match f.value(i).to_string() {
                v if number(c.data_type()) && v.contains('.') => v.trim_end_matches('0').trim_end_matches('.').into(),
                v => v,
            });
            out.push(cells.collect::<Vec<String>>().join(" | "));
        }
    }
    out.sort();
    out
}

const QUERIES: &[&str] = &[
    "select count(*) as n from pg.public.orders",
    "select * from my.shop.customers",
    "select * from pg.public.orders where id < 100",
    "select id, price from pg.public.orders where price >= 100.50 and price < 200",
    "select count(*) from pg.public.orders where day >= date '1995-01-01' and day < date '1995-06-01'",
    "select count(*), count(day), count(customer_id), count(distinct customer_id) from pg.public.orders",
    "select customer_id, count(*) as n from pg.public.orders group by customer_id",
    "select sum(price) as s, min(price) as lo, max(price) as hi from pg.public.orders",
    "select sum(quantity) as s, sum(id) as t from pg.public.orders",
    "select min(\"at\"), max(\"at\"), min(day), max(day) from pg.public.orders",
    "select c.id, c.name, count(o.id) as n from my.shop.customers c left join pg.public.orders o on c.id = o.customer_id group by c.id, c.name",
    "select count(*) from my.shop.customers c join pg.public.orders o on c.id = o.customer_id where c.vip",
    "select count(*) from my.shop.customers c left join pg.public.orders o on c.id = o.customer_id and o.quantity > 40 where o.id is null",
    "select count(*) from pg.public.orders o full join my.shop.customers c on c.id = o.customer_id where coalesce(o.id, 1) > 0",
    "select c.id from my.shop.customers c where not exists (select 1 from pg.public.orders o where o.customer_id = c.id and o.price > 990)",
    "select c.id from my.shop.customers c where c.id in (select customer_id from pg.public.orders where price > 990)",
    "select c.id from my.shop.customers c where c.id not in (select customer_id from pg.public.orders where customer_id is not null and price > 950)",
    "select a.id, b.id from pg.public.orders a join pg.public.orders b on a.id = b.id + 19990",
    "with big as (select * from pg.public.orders where price > 900) select x.id, y.id from big x join big y on x.id = y.id + 1",
    "select name, count(*) from my.shop.customers where name like 'customer 1%' group by name having count(*) > 1",
    "select \"Segment\", count(*) from my.shop.customers group by \"Segment\"",
    "select count(*) from my.shop.customers where \"Segment\" = 'it''s \"x\"'",
    "select count(*) from my.shop.customers where name is null or vip is null",
    "select id from pg.public.orders where quantity in (1, 7, 49) and id between 500 and 900",
    "select count(*) from pg.public.orders where not (quantity > 10 or day is null)",
    "select id, row_number() over (partition by customer_id order by id) as r from pg.public.orders where id < 2000",
    "select id, sum(quantity) over (partition by customer_id order by id) as r from pg.public.orders where id < 2000",
    "select id, price from pg.public.orders where price is not null order by price desc, id limit 25",
    "select id from pg.public.orders order by id limit 10 offset 15000",
    "select distinct vip, \"Segment\" from my.shop.customers",
    "select id from my.shop.customers union all select customer_id from pg.public.orders where id < 50",
    "select id from my.shop.customers except select customer_id from pg.public.orders where quantity > 48",
    "select id from my.shop.customers intersect select customer_id from pg.public.orders",
    "select case when vip then 'yes' when vip is null then 'unknown' else 'no' end as v, count(*) from my.shop.customers group by 1",
    "select upper(name) as u, length(name) as l, substr(name, 3, 4) as s from my.shop.customers",
    "select extract(year from day) as y, count(*) from pg.public.orders group by 1",
    "select weight * 2 as w, price * 2 as p, quantity + 1 as q from pg.public.orders where id < 300",
    "select count(*) from pg.public.orders where weight > 100 and weight <= 2000",
    "select cast(price as varchar) as t, cast(id as varchar) as i from pg.public.orders where id < 50",
    "select c.name, x.total from my.shop.customers c join (select customer_id, sum(price) as total from pg.public.orders group by customer_id) x on x.customer_id = c.id where x.total > 10000",
];

#[tokio::test]
async fn both_engines_give_the_same_rows() {
    let mut d = duck(tables()).await;
    let mut f = open(&xdb_engine_datafusion::DEF, None, tables()).await;
    let mut other_types = Vec::new();
    for sql in QUERIES {
        let (a, b) = (d.one(sql).await, f.one(sql).await);
        let (ra, rb) = (rows(std::slice::from_ref(&a)), rows(std::slice::from_ref(&b)));
        assert_eq!(ra.len(), rb.len(), "{sql}");
        for (x, y) in ra.iter().zip(&rb) {
            assert_eq!(x, y, "{sql}");
        }
        assert!(!ra.is_empty(), "{sql} finds nothing");
        if types(&a) != types(&b) {
            let pairs = types(&a).into_iter().zip(types(&b)).filter(|(x, y)| x != y);
            other_types.push(pairs.map(|(x, y)| format!("{x} for {y}")).collect::<Vec<_>>().join(", "));
        }
    }
    // Where the dialects' own typing rules differ; anything else is a mistake in the mapping.
    other_types.sort();
    other_types.dedup();
    let known = [
        "Decimal128(38, 0) for Int64",
        "Decimal128(38, 0) for Int64, Decimal128(38, 0) for Int64",
        "Decimal128(38, 2) for Decimal128(25, 2)",
        "Decimal128(18, 2) for Decimal128(36, 2), Int16 for Int64",
        // Lengths and years; `substr` of DataFusion's gives views.
        "Int64 for Int32, Utf8 for Utf8View",
        "Int64 for Int32",
        // row_number()
        "Int64 for UInt64",
    ];
    let unknown: Vec<_> = other_types.iter().filter(|t| !known.contains(&t.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[tokio::test]
async fn pushing_filters_down_changes_nothing() {
    let mut with = duck(tables()).await;
    let mut without =
        duck(tables().into_iter().map(|t| TableInput { pushdown: xdb_core::PushdownMode::Off, ..t }).collect()).await;
    for sql in QUERIES {
        assert_eq!(rows(&[with.one(sql).await]), rows(&[without.one(sql).await]), "{sql}");
    }
}
