//! Large tables: memory, back-pressure, and what a dropped stream leaves behind.

use super::not_claimed;
use crate::conformance::{Harness, rss_bytes};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::StreamExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use xdb_core::{LoadOptions, ReadContext, Relation, ScanRequest};

const BATCH: i64 = 16_384;

fn wide_schema() -> SchemaRef {
    let text = |n: &str| Field::new(n, DataType::Utf8, true);
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), text("a"), text("b"), text("c")]))
}

/// Rows `from..from+n` of about 250 bytes each that don't compress to nothing.
pub(super) fn wide_batch(from: i64, n: i64) -> RecordBatch {
    let text = |salt: i64| -> ArrayRef {
        let mut out = String::new();
        let values = (from..from + n).map(|i| {
            use std::fmt::Write;
            out.clear();
            let mut x = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ salt as u64);
            for _ in 0..5 {
                x ^= x >> 29;
                x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
                write!(out, "{x:016x}").expect("writing to a string");
            }
            Some(out.clone())
        });
        Arc::new(values.collect::<StringArray>())
    };
    let id: ArrayRef = Arc::new((from..from + n).collect::<Int64Array>());
    RecordBatch::try_new(wide_schema(), vec![id, text(1), text(2), text(3)]).expect("columns of one length")
}

/// Load `rows` wide rows, batch by batch; returns the most that this process grew meanwhile, in bytes.
pub(super) async fn load_wide(h: &Harness, rel: &Relation, rows: i64) -> u64 {
    let before = rss_bytes().unwrap_or(0);
    let mut most = 0;
    let options = LoadOptions::default();
    let mut session = h.load().begin(rel, wide_schema(), &options).await.unwrap_or_else(|e| panic!("{e:?}"));
    for from in (0..rows).step_by(BATCH as usize) {
        let batch = wide_batch(from, BATCH.min(rows - from));
        session.write(batch).await.unwrap_or_else(|e| panic!("{e:?}"));
        most = most.max(rss_bytes().unwrap_or(0).saturating_sub(before));
    }
    let report = session.commit().await.unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(report.rows as i64, rows);
    most.max(rss_bytes().unwrap_or(0).saturating_sub(before))
}

fn within(h: &Harness, what: &str, grown: u64) {
    assert!(grown <= h.memory_slack, "{what} took {} MB of memory, {} allowed", grown >> 20, h.memory_slack >> 20);
}

pub async fn writing_and_reading_have_bounded_memory(h: &Harness) {
    const ROWS: i64 = 1_000_000;
    let rel = h.relation("million");
    within(h, "writing 250 MB", load_wide(h, &rel, ROWS).await);

    let before = rss_bytes().unwrap_or(0);
    let info = h.describe(&rel).await;
    let plan = h.extract().plan(&ScanRequest::all(info)).await.unwrap_or_else(|e| panic!("{e:?}"));
    let ctx = ReadContext::default();
    let (mut rows, mut sum, mut most) = (0i64, 0i64, 0);
    for split in &plan.splits {
        let mut stream = h.extract().read(split, &ctx).await.unwrap_or_else(|e| panic!("{e:?}"));
        while let Some(batch) = stream.next().await {
            let batch = batch.unwrap_or_else(|e| panic!("{e:?}"));
            rows += batch.num_rows() as i64;
            sum += crate::conformance::compare::ids(batch.column(0)).into_iter().flatten().sum::<i64>();
            most = most.max(rss_bytes().unwrap_or(0).saturating_sub(before));
            if ctx.stats.rows() % 10 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await; // slower than the source
            }
        }
    }
    assert_eq!((rows, sum), (ROWS, ROWS * (ROWS - 1) / 2));
    within(h, "reading 250 MB", most);
    if let Some(x) = h.connector.execute() {
        x.drop_relation(&rel).await.unwrap_or_else(|e| panic!("{e:?}"));
    }
}

pub async fn a_slow_consumer_holds_the_source_back(h: &Harness) {
    const ROWS: i64 = 600_000;
    let rel = h.relation("slow");
    load_wide(h, &rel, ROWS).await;
    let info = h.describe(&rel).await;
    let plan = h.extract().plan(&ScanRequest::all(info)).await.unwrap_or_else(|e| panic!("{e:?}"));
    let before = rss_bytes().unwrap_or(0);
    let ctx = ReadContext::default();
    let mut rows = 0;
    for (i, split) in plan.splits.iter().enumerate() {
        let mut stream = h.extract().read(split, &ctx).await.unwrap_or_else(|e| panic!("{e:?}"));
        let first = stream.next().await.expect("a batch").unwrap_or_else(|e| panic!("{e:?}"));
        rows += first.num_rows() as i64;
        if i == 0 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let ahead = ctx.stats.rows() as i64 - rows;
            // 60 MB of 150: room for the operating system's and the driver's buffers, none for the whole.
            assert!(ahead < ROWS * 2 / 5, "{ahead} rows were read ahead of a consumer that took {rows}");
            within(h, "a stream that nobody reads", rss_bytes().unwrap_or(0).saturating_sub(before));
        }
        while let Some(batch) = stream.next().await {
            rows += batch.unwrap_or_else(|e| panic!("after a pause: {e:?}")).num_rows() as i64;
        }
    }
    assert_eq!(rows, ROWS, "no row is lost by waiting");
    if let Some(x) = h.connector.execute() {
        x.drop_relation(&rel).await.unwrap_or_else(|e| panic!("{e:?}"));
    }
}

pub async fn dropped_streams_free_their_connections(h: &Harness) {
    if !h.connector.def().capabilities.read {
        not_claimed!("no reading");
    }
    let rel = h.relation("dropped");
    load_wide(h, &rel, 200_000).await;
    let info = h.describe(&rel).await;
    let times = h.connector.budget() * 2 + 2;
    for i in 0..times {
        let one = async {
            let plan = h.extract().plan(&ScanRequest::all(info.clone())).await?;
            let mut stream = h.extract().read(&plan.splits[0], &ReadContext::default()).await?;
            if i % 3 > 0 {
                stream.next().await.transpose()?;
            }
            if i % 3 > 1 {
                stream.next().await.transpose()?;
            }
            Ok::<_, xdb_core::Error>(())
        };
        match tokio::time::timeout(Duration::from_secs(20), one).await {
            Ok(r) => r.unwrap_or_else(|e| panic!("stream {i}: {e:?}")),
            Err(_) => panic!("stream {i} of {times} waits: dropped streams keep their connections"),
        }
    }
    let start = Instant::now();
    h.connector.check().await.unwrap_or_else(|e| panic!("{e:?}"));
    assert!(start.elapsed() < Duration::from_secs(5), "a check after dropped streams took {:?}", start.elapsed());
    // And the table can be replaced: nothing holds a lock on it.
    h.put(&rel, &super::named_rows(&[(Some(1), "a")])).await;
}
