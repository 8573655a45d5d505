//! The code path of buckets, on the in-memory object store.

use super::*;
use arrow::array::*;

fn rows(n: i64) -> RecordBatch {
    let t: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..n).map(|i| format!("text {i} {}", i.wrapping_mul(2_654_435_761)))));
    batch(vec![("id", Arc::new(Int64Array::from_iter_values(0..n))), ("t", t)])
}

#[tokio::test]
async fn objects_are_written_whole_or_not_at_all_and_read_back() {
    for (format, compression) in [("parquet", "zstd"), ("csv", "none"), ("csv", "gzip"), ("ndjson", "zstd")] {
        let f = in_memory(json!({"format": format, "compression": compression}));
        let b = rows(50_000);
        write(&f, "t", &b, json!({})).await.unwrap();
        assert_eq!(read(&f, "t").await.unwrap(), b);
        let mut s = f.load().unwrap().begin(&rel("t"), b.schema(), &LoadOptions::default()).await.unwrap();
        s.write(rows(3)).await.unwrap();
        s.abort().await.unwrap();
        let mut s = f.load().unwrap().begin(&rel("t"), b.schema(), &LoadOptions::default()).await.unwrap();
        s.write(rows(3)).await.unwrap();
        drop(s);
        assert_eq!(read(&f, "t").await.unwrap().num_rows(), 50_000);
        write_with(&f, "t", &rows(3), &options(WriteMode::Append, json!({}))).await.unwrap();
        assert_eq!(read(&f, "t").await.unwrap().num_rows(), 50_003);
        let all = f.list(&RelationPattern::default()).await.unwrap();
        assert_eq!(all.iter().map(|r| r.relation.to_string()).collect::<Vec<_>>(), ["main.t"]);
        f.check().await.unwrap();
    }
}

#[tokio::test]
async fn an_object_without_bytes_can_be_written() {
    let f = in_memory(json!({"format": "ndjson"}));
    let s = f.load().unwrap().begin(&rel("t"), rows(1).schema(), &LoadOptions::default()).await.unwrap();
    s.commit().await.unwrap();
    assert_eq!(f.list(&RelationPattern::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_local_location_is_refused() {
    let f = in_memory(json!({}));
    let e = write(&f, "t", &rows(1), json!({"location": "/tmp/x.csv"})).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Config, "{e:?}");
    write(&f, "t", &rows(1), json!({"location": "a/x.csv"})).await.unwrap();
    assert_eq!(read(&f, "a/x").await.unwrap().num_rows(), 1);
}
