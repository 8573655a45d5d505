//! Times the two hot paths against a real server, for docs/decisions/0003-mysql-driver.md.
//!
//! `mysql_throughput PROFILE_JSON read DATABASE.TABLE [PARALLELISM]` reads a table and throws the batches away;
//! `mysql_throughput PROFILE_JSON copy DATABASE.TABLE DATABASE.TARGET [PARALLELISM]` reads it into memory, then times the load.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)] // A tool for people at a terminal.

use futures::StreamExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use xdb_connector_mysql::DEF;
use xdb_core::*;

fn relation(text: &str) -> Relation {
    let (schema, name) = text.split_once('.').expect("DATABASE.TABLE");
    Relation::new(None, Some(schema), name)
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let raw = serde_json::from_str(&args[1]).expect("a JSON object of parameters");
    let params = Params::resolve("bench", DEF.params, &raw, Path::new("/")).unwrap();
    let c = (DEF.validate)(&params).unwrap().open().unwrap();
    let copy = args[2] == "copy";
    let parallelism: usize = args.get(if copy { 5 } else { 4 }).map_or(1, |p| p.parse().unwrap());
    let start = Instant::now();
    let table = Arc::new(c.describe(&relation(&args[3])).await.unwrap());
    let mut request = ScanRequest::all(table);
    request.parallelism = if copy { 1 } else { parallelism };
    let plan = c.extract().unwrap().plan(&request).await.unwrap();
    let ctx = ReadContext::default();
    let mut kept = vec![];
    let streams = plan.splits.iter().map(|s| {
        let (c, ctx) = (c.clone(), ctx.clone());
        async move {
            let mut s = c.extract().unwrap().read(s, &ctx).await.unwrap();
            let mut batches = vec![];
            while let Some(b) = s.next().await {
                let b = b.unwrap();
                if copy {
                    batches.push(b);
                }
            }
            batches
        }
    });
    for b in futures::future::join_all(streams).await {
        kept.extend(b);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "read {} rows, {} MB in {} splits: {seconds:.2} s",
        ctx.stats.rows(),
        ctx.stats.bytes() >> 20,
        plan.splits.len()
    );
    if copy {
        let options = LoadOptions { parallelism, ..LoadOptions::default() };
        let start = Instant::now();
        let mut s = c.load().unwrap().begin(&relation(&args[4]), plan.schema.clone(), &options).await.unwrap();
        for b in kept {
            s.write(b).await.unwrap();
        }
        let report = s.commit().await.unwrap();
        println!(
            "loaded {} rows, {} MB: {:.2} s",
            report.rows,
            options.stats.bytes() >> 20,
            start.elapsed().as_secs_f64()
        );
    }
}
