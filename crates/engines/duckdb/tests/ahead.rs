//! Small tables are read first, once, and the large ones' sources are told their keys.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use common::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use xdb_core::*;

/// `big`: ids 0 to 19,999. `small`: keys 0, 7, 14, … as the narrower type, the last of them NULL.
struct World {
    big: Fake,
    small: Fake,
}

fn world(keys: i32) -> World {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..20_000));
    let rest: ArrayRef = Arc::new(Int64Array::from_iter_values((0..20_000).map(|i| i % 10)));
    let big: RecordBatch = batch(vec![("id", ids), ("grp", rest)]);
    let keys: ArrayRef = Arc::new(Int32Array::from_iter((0..keys).map(|i| (i + 1 < keys).then_some(i * 7))));
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values((0..keys.len() as i64).map(|i| i % 4)));
    World { big: fake(vec![big]), small: fake(vec![batch(vec![("big_id", keys), ("n", n)])]) }
}

impl World {
    fn inputs(&self, small: Option<u64>, big: Option<u64>) -> Vec<TableInput> {
        let with = |mut i: TableInput, rows: Option<u64>| {
            i.table = Arc::new(TableInfo { row_estimate: rows, ..TableInfo::clone(&i.table) });
            i
        };
        vec![with(input("pg", "s", "big", &self.big), big), with(input("my", "s", "small", &self.small), small)]
    }
    fn asked(&self) -> Vec<ScanRequest> {
        self.big.seen.requests.lock().unwrap().clone()
    }
}

const JOIN: &str = "select count(*), sum(b.id), max(s.n) from pg.s.big b join my.s.small s on b.id = s.big_id";

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_sent_and_the_small_table_is_read_once() {
    let w = world(10);
    let mut c = duck(w.inputs(Some(10), Some(20_000))).await;
    let text = c.text(JOIN).await;
    assert!(text.contains("| 9 ") && text.contains("| 252 "), "{text}");
    let values = (0..9).map(|i| Literal::Int(i * 7)).collect();
    let keys = Predicate::In { column: "id".into(), values, negated: false };
    assert_eq!(w.asked().len(), 1);
    assert_eq!(w.asked()[0].predicates, [keys]);
    assert_eq!(w.small.seen.requests.lock().unwrap().len(), 1);
    assert_eq!(w.small.seen.batches.load(Ordering::SeqCst), 1);

    // The next query of the session knows nothing of it.
    c.text("select count(*) from pg.s.big").await;
    assert!(w.asked()[1].predicates.is_empty());
    let x = c.session.explain(JOIN).await.unwrap();
    let big = x.sources.iter().find(|s| s.relation == "s.big").unwrap();
    assert_eq!((big.dynamic.len(), big.dynamic[0].outcome.as_deref(), big.actual.is_none()), (1, None, true));
    let x = c.session.analyze(JOIN).await.unwrap();
    let big = x.sources.iter().find(|s| s.relation == "s.big").unwrap();
    assert_eq!((big.dynamic[0].outcome.as_deref(), big.dynamic[0].sent), (Some("9 values"), true));
    let small = x.sources.iter().find(|s| s.relation == "s.small").unwrap();
    assert_eq!((small.actual.unwrap().rows, x.actual.unwrap().rows), (10, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_nothing_is_read() {
    let w = world(1);
    let mut c = duck(w.inputs(Some(1), Some(20_000))).await;
    let text = c.text(JOIN).await;
    assert!(text.contains("| 0 "), "{text}");
    assert!(w.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_to_be_small_is_read_as_ever() {
    for (small, big) in [(None, Some(20_000)), (Some(10), Some(30)), (Some(1_000_000), Some(20_000))] {
        let w = world(10);
        let text = duck(w.inputs(small, big)).await.text(JOIN).await;
        assert!(text.contains("| 252 "), "{text}");
        assert!(w.asked()[0].predicates.is_empty());
    }
}

/// An estimate was wrong: what was read ahead is thrown away.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_rows_after_all() {
    let w = world(60_000);
    let text = duck(w.inputs(Some(10), None)).await.text(JOIN).await;
    assert!(text.contains("| 2858 "), "{text}");
    assert!(w.asked()[0].predicates.is_empty());
    assert_eq!(w.small.seen.requests.lock().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_or_hangs_ahead_ends_the_query() {
    let mut w = world(10);
    w.small.ending = Ending::Fail;
    let mut c = duck(w.inputs(Some(10), Some(20_000))).await;
    let e = c.error(JOIN).await;
    assert!(e.message().contains("the line went dead"), "{e}");
    assert_eq!(e.context().connection.as_deref(), Some("my"));

    let mut w = world(10);
    w.small.ending = Ending::Hang;
    let mut c = duck(w.inputs(Some(10), Some(20_000))).await;
    let query = tokio::time::timeout(Duration::from_millis(100), c.session.execute(JOIN)).await;
    assert!(query.is_err(), "it hangs");
    let seen = w.small.seen.clone();
    soon("nothing is open", || seen.open.load(Ordering::SeqCst) == 0).await;
    // The session is as good as new.
    let text = c.text("select count(*) from pg.s.big").await;
    assert!(text.contains("20000"), "{text}");
}
