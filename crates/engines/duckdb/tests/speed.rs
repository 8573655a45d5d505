//! How fast rows go in and out, on their own: `cargo test --release -p xdb-engine-duckdb --test speed -- --ignored
//! --nocapture`. Sixteen columns like those of TPC-H's lineitem.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use arrow::array::*;
use common::*;
use futures::StreamExt;
use std::sync::Arc;
use std::time::Instant;

fn lineitem(rows: i64) -> RecordBatch {
    let long = |f: fn(i64) -> i64| Arc::new(Int64Array::from_iter_values((0..rows).map(f))) as ArrayRef;
    let money = || {
        let v = Decimal128Array::from_iter_values((0..rows).map(|i| i128::from(i * 37 % 10_000_000)));
        Arc::new(v.with_precision_and_scale(15, 2).unwrap()) as ArrayRef
    };
    let day = || Arc::new(Date32Array::from_iter_values((0..rows).map(|i| 9000 + (i % 900) as i32))) as ArrayRef;
    let word = |n: usize| {
        let v = (0..rows).map(|i| format!("{:x<n$}", i % 977));
        Arc::new(StringArray::from_iter_values(v)) as ArrayRef
    };
    batch(vec![
        ("orderkey", long(|i| i)),
        ("partkey", long(|i| i * 3)),
        ("suppkey", long(|i| i * 5)),
        ("linenumber", long(|i| i % 7)),
        ("quantity", money()),
        ("extendedprice", money()),
        ("discount", money()),
        ("tax", money()),
        ("returnflag", word(1)),
        ("linestatus", word(1)),
        ("shipdate", day()),
        ("commitdate", day()),
        ("receiptdate", day()),
        ("shipinstruct", word(17)),
        ("shipmode", word(5)),
        ("comment", word(27)),
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn rows_a_second() {
    let b = lineitem(16_384);
    let n = 366;
    let f = fake(vec![b; n]);
    let total = (n * 16_384) as f64;
    let all = "max(orderkey) + max(partkey) + max(suppkey) + max(linenumber), sum(quantity) + sum(extendedprice) + sum(discount) \
               + sum(tax), max(shipdate), max(commitdate), max(receiptdate), sum(length(returnflag) + length(linestatus) + \
               length(shipinstruct) + length(shipmode) + length(comment))";
    for (what, sql) in [
        ("in, no column", "select count(*) from pg.public.t".to_string()),
        ("in, 16 columns", format!("select {all} from pg.public.t")),
        ("in and out, 16 columns", "select * from pg.public.t".to_string()),
    ] {
        for _ in 0..2 {
            let mut c = duck(vec![input("pg", "public", "t", &f)]).await;
            let start = Instant::now();
            let mut s = c.session.execute(&sql).await.unwrap();
            let mut rows = 0;
            while let Some(b) = s.next().await {
                rows += b.unwrap().num_rows();
            }
            let t = start.elapsed().as_secs_f64();
            eprintln!("{what}: {:.2} s, {:.2}M rows/s ({rows} rows out)", t, total / t / 1e6);
        }
    }
}
