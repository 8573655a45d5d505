//! How fast the connector is: `postgres_throughput read N` and `postgres_throughput load N` over table `lineitem`, on N connections, with the
//! server named by PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE. docs/decisions/0002-postgres-driver.md has figures.
#![allow(clippy::print_stdout, clippy::expect_used)] // A tool to measure with.

use arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;
use std::time::Instant;
use xdb_connector_postgres::DEF;
use xdb_core::{LoadOptions, Params, ReadContext, Relation, ScanRequest};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let parallelism: usize = args.get(2).and_then(|n| n.parse().ok()).unwrap_or(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let env = |k: &str, default: &str| std::env::var(k).unwrap_or_else(|_| default.into());
    let raw = serde_json::json!({
        "host": env("PGHOST", "127.0.0.1"), "port": env("PGPORT", "5432"), "user": env("PGUSER", "postgres"),
        "password": env("PGPASSWORD", ""), "database": env("PGDATABASE", "tpch"), "sslmode": env("PGSSLMODE", "disable"),
    });
    let raw = raw.as_object().expect("a mapping");
    let params = Params::resolve("bench", DEF.params, raw, std::path::Path::new("/")).expect("parameters");
    runtime.block_on(async {
        let c = (DEF.validate)(&params).expect("a configuration").open().expect("a connector");
        let table = Arc::new(c.describe(&Relation::bare("lineitem")).await.expect("lineitem"));
        let start = Instant::now();
        let request = ScanRequest { parallelism, ..ScanRequest::all(table.clone()) };
        let plan = c.extract().expect("reads").plan(&request).await.expect("a plan");
        let ctx = ReadContext::default();
        let read = plan.splits.iter().map(|s| {
            let (c, ctx) = (c.clone(), ctx.clone());
            let s = s.clone();
            tokio::spawn(async move { c.extract().expect("reads").read(&s, &ctx).await.expect("a stream") })
        });
        let mut streams = Vec::new();
        for r in futures::future::join_all(read).await {
            streams.push(r.expect("a task"));
        }
        let mut all = futures::stream::select_all(streams);
        if args.get(1).is_some_and(|a| a == "load") {
            let batches: Vec<RecordBatch> = all.try_collect().await.expect("rows");
            let start = Instant::now();
            let target = Relation::new(None, Some("bench_out"), "li_xdb");
            let options = LoadOptions { parallelism, ..LoadOptions::default() };
            let mut session =
                c.load().expect("loads").begin(&target, table.schema.clone(), &options).await.expect("a session");
            for b in batches {
                session.write(b).await.expect("a write");
            }
            let written = start.elapsed();
            let report = session.commit().await.expect("a commit");
            println!("{} rows written in {written:.3?}, committed in {:.3?}", report.rows, start.elapsed());
        } else {
            let mut rows = 0;
            while let Some(b) = all.next().await {
                rows += b.expect("a batch").num_rows();
            }
            println!("{rows} rows in {:.3?} ({} splits)", start.elapsed(), plan.splits.len());
        }
    });
}
