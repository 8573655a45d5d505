//! Projection, bounds of batches, limit, splits.

use super::{assert_tables, not_claimed, plain_table};
use crate::conformance::{Harness, Table, evaluate};
use arrow::array::RecordBatch;
use futures::StreamExt;
use std::sync::Arc;
use xdb_core::{
    CompareOp, ErrorKind, Literal, LoadOptions, Predicate, Pushdown, ReadContext, Relation, ScanRequest, TableInfo,
    WriteMode,
};

async fn filled(h: &Harness, rows: i64) -> (Arc<TableInfo>, Table) {
    let rel = h.relation("read");
    let table = plain_table(rows);
    h.put(&rel, &table).await;
    (h.describe(&rel).await, table)
}

pub async fn projection_subset_and_order(h: &Harness) {
    let (info, want) = filled(h, 500).await;
    for projection in [vec![3, 0], vec![0], vec![2, 1, 0, 3], vec![1, 0]] {
        let mut request = ScanRequest::all(info.clone());
        request.projection = Some(projection.clone());
        let batches = h.scan(&request).await.unwrap_or_else(|e| panic!("{projection:?}: {e:?}"));
        let got = Table::sorted(&request.schema(), &batches);
        let part = want.batch().project(&projection).expect("columns by index");
        assert_tables(&format!("{projection:?}"), &Table::sorted(&part.schema(), std::slice::from_ref(&part)), &got);
    }
}

pub async fn empty_projection_counts(h: &Harness) {
    let (info, _) = filled(h, 1234).await;
    let mut request = ScanRequest::all(info.clone());
    request.projection = Some(vec![]);
    let count = |batches: Vec<RecordBatch>| {
        assert!(batches.iter().all(|b| b.num_columns() == 0));
        batches.iter().map(RecordBatch::num_rows).sum::<usize>()
    };
    assert_eq!(count(h.scan(&request).await.unwrap_or_else(|e| panic!("{e:?}"))), 1234);
    let p = Predicate::Compare { column: "grp".into(), op: CompareOp::Lt, value: Literal::Int(3) };
    if h.extract().pushdown(&info, std::slice::from_ref(&p))[0] == Pushdown::Exact {
        request.predicates = vec![p];
        // 124 each of 0 to 3, 123 of the others: 1234 = 123 * 10 + 4.
        assert_eq!(count(h.scan(&request).await.unwrap_or_else(|e| panic!("{e:?}"))), 3 * 124);
    }
}

pub async fn batches_stay_within_bounds(h: &Harness) {
    let (info, _) = filled(h, 5000).await;
    let plan = h.extract().plan(&ScanRequest::all(info)).await.unwrap_or_else(|e| panic!("{e:?}"));
    let ctx = ReadContext { batch_rows: 700, ..Default::default() };
    let mut total = 0;
    for split in &plan.splits {
        let mut stream = h.extract().read(split, &ctx).await.unwrap_or_else(|e| panic!("{e:?}"));
        while let Some(batch) = stream.next().await {
            let n = batch.unwrap_or_else(|e| panic!("{e:?}")).num_rows();
            assert!(n <= 700, "a batch of {n} rows, where 700 were asked for");
            total += n;
        }
    }
    assert_eq!(total, 5000);
}

pub async fn limit_is_honoured(h: &Harness) {
    let (info, table) = filled(h, 3000).await;
    for limit in [0u64, 1, 999, 3000, 4000] {
        let mut request = ScanRequest::all(info.clone());
        request.limit = Some(limit);
        let plan = h.extract().plan(&request).await.unwrap_or_else(|e| panic!("{e:?}"));
        let got =
            Table::sorted(&info.schema, &h.scan(&request).await.unwrap_or_else(|e| panic!("limit {limit}: {e:?}")));
        let rows = got.rows() as u64;
        assert!(rows >= limit.min(3000), "limit {limit}: {rows} rows");
        if h.connector.def().capabilities.limit && plan.splits.len() == 1 {
            assert_eq!(rows, limit.min(3000), "limit {limit} was sent");
        }
        let mut ids = got.ids();
        ids.dedup();
        assert_eq!(ids.len() as u64, rows, "limit {limit}: a row came twice");
    }
    let p = Predicate::Compare { column: "grp".into(), op: CompareOp::Eq, value: Literal::Int(7) };
    if h.extract().pushdown(&info, std::slice::from_ref(&p))[0] == Pushdown::Exact {
        let mut request = ScanRequest::all(info.clone());
        request.predicates = vec![p.clone()];
        request.limit = Some(50);
        let got = Table::sorted(&info.schema, &h.scan(&request).await.unwrap_or_else(|e| panic!("{e:?}")));
        assert!(got.rows() >= 50, "a limit cuts after the filter, not before: {} rows", got.rows());
        for id in got.ids() {
            assert_eq!(evaluate(&p, table.batch(), id as usize), Some(true), "row {id}");
        }
    }
}

/// Of the wide rows: 75 MB, enough to be cut by pages, by row groups or by files.
const MANY: i64 = 300_000;

/// A large table that the system can cut.
async fn large(h: &Harness, hint: &str) -> (Relation, Arc<TableInfo>) {
    let rel = h.relation(hint);
    super::stream::load_wide(h, &rel, MANY).await;
    if let Some(sql) = h.key_sql {
        let sql = sql.replace("{}", &h.connector.relation_sql(&rel));
        h.execute().run(&sql).await.unwrap_or_else(|e| panic!("{e:?}"));
    }
    let info = h.describe(&rel).await;
    (rel, info)
}

pub async fn parallel_splits_return_each_row_once(h: &Harness) {
    if !h.connector.def().capabilities.parallel_read {
        not_claimed!("one connection reads a table");
    }
    let (_, info) = large(h, "parallel").await;
    for parallelism in [2, 4] {
        let request = ScanRequest { parallelism, projection: Some(vec![0]), ..ScanRequest::all(info.clone()) };
        let plan = h.extract().plan(&request).await.unwrap_or_else(|e| panic!("{e:?}"));
        assert!(plan.splits.len() <= parallelism, "{} splits, {parallelism} allowed", plan.splits.len());
        assert!(plan.splits.len() > 1, "claims parallel_read, but cuts {MANY} rows into one split");
        // Together, as an engine reads them, not one after the other.
        let reads = plan.splits.iter().map(|split| async {
            let stream = h.extract().read(split, &ReadContext::default()).await?;
            stream.collect().await
        });
        let batches: Vec<RecordBatch> = futures::future::try_join_all(reads)
            .await
            .unwrap_or_else(|e| panic!("{e:?}"))
            .into_iter()
            .flatten()
            .collect();
        let got = Table::sorted(&request.schema(), &batches);
        assert_eq!(got.rows() as i64, MANY, "rows of all splits");
        assert!(got.ids().into_iter().eq(0..MANY), "each row once");
    }
}

pub async fn splits_see_one_moment(h: &Harness) {
    let c = h.connector.def().capabilities;
    if !(c.parallel_read && c.consistent_splits && c.append) {
        not_claimed!("one split, or splits that need not see one moment");
    }
    let (rel, info) = large(h, "moment").await;
    let request = ScanRequest { parallelism: 4, projection: Some(vec![0]), ..ScanRequest::all(info) };
    let plan = h.extract().plan(&request).await.unwrap_or_else(|e| panic!("{e:?}"));
    assert!(plan.splits.len() > 1, "claims consistent_splits, but makes one split");

    let append = LoadOptions { mode: WriteMode::Append, ..Default::default() };
    let mut rows = 0;
    for (i, split) in plan.splits.iter().enumerate() {
        if i < 2 {
            let more = super::stream::wide_batch(MANY + 1000 * i as i64, 1000);
            let written = h.write(&rel, more.schema(), [more], &append).await;
            written.unwrap_or_else(|e| panic!("an append while a plan is open: {e:?}"));
        }
        let read = async { h.extract().read(split, &ReadContext::default()).await?.collect().await };
        match read.await {
            Ok(batches) => rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>(),
            // A system that keeps no old version may say so; it may not mix.
            Err(e) if e.kind() == ErrorKind::Conflict && e.is_retryable() => return,
            Err(e) => panic!("{e:?}"),
        }
    }
    assert_eq!(rows as i64, MANY, "rows as of the plan, though others were added while reading");
}
