//! Loads: staging, replace, append, what is refused.

use super::*;
use arrow::array::*;
use arrow::datatypes::{Field, Schema};

fn rows(ids: &[i64], text: &str) -> RecordBatch {
    let t: ArrayRef = Arc::new(StringArray::from(vec![text; ids.len()]));
    batch(vec![("id", Arc::new(Int64Array::from(ids.to_vec()))), ("t", t)])
}
const FORMATS: [&str; 3] = ["parquet", "csv", "ndjson"];

#[tokio::test]
async fn an_unfinished_load_leaves_the_old_table_and_nothing_else() {
    for format in FORMATS {
        let dir = tempfile::tempdir().unwrap();
        let f = open(dir.path(), json!({"format": format}));
        write(&f, "t", &rows(&[1], "old"), json!({})).await.unwrap();
        let before = names(dir.path());
        assert_eq!(before.len(), 1);
        let new = rows(&[2, 3], "new");
        for abort in [true, false] {
            let mut s = f.load().unwrap().begin(&rel("t"), new.schema(), &LoadOptions::default()).await.unwrap();
            s.write(new.clone()).await.unwrap();
            assert_eq!(names(dir.path()).len(), 2, "staged beside the target");
            assert_eq!(f.list(&RelationPattern::default()).await.unwrap().len(), 1, "the staging file is no table");
            assert_eq!(shown(&read(&f, "t").await.unwrap(), "t"), ["old"]);
            if abort {
                s.abort().await.unwrap()
            } else {
                drop(s)
            }
            assert_eq!(names(dir.path()), before);
            assert_eq!(shown(&read(&f, "t").await.unwrap(), "t"), ["old"]);
        }
        let stats = Arc::new(IoStats::default());
        let o = LoadOptions { stats: stats.clone(), ..Default::default() };
        assert_eq!(write_with(&f, "t", &new, &o).await.unwrap().rows, 2);
        assert_eq!(shown(&read(&f, "t").await.unwrap(), "t"), ["new", "new"]);
        assert_eq!(names(dir.path()), before);
        assert_eq!((stats.rows(), stats.bytes()), (2, std::fs::metadata(dir.path().join(&before[0])).unwrap().len()));
    }
}

#[tokio::test]
async fn tables_without_rows_keep_their_columns() {
    let dir = tempfile::tempdir().unwrap();
    for format in ["parquet", "csv"] {
        let f = open(dir.path(), json!({"format": format}));
        let b = rows(&[], "");
        let s = f.load().unwrap().begin(&rel(format), b.schema(), &LoadOptions::default()).await.unwrap();
        assert_eq!(s.commit().await.unwrap().rows, 0);
        let back = read(&f, format).await.unwrap();
        assert_eq!((back.num_rows(), back.num_columns()), (0, 2));
    }
}

#[tokio::test]
async fn appending_keeps_old_rows_first() {
    for format in FORMATS {
        for compression in if format == "parquet" { ["none", "zstd"] } else { ["none", "gzip"] } {
            let dir = tempfile::tempdir().unwrap();
            let f = open(dir.path(), json!({"format": format, "compression": compression}));
            write(&f, "t", &rows(&[1, 2], "a"), json!({})).await.unwrap();
            // By name, whatever the order.
            let b = rows(&[3], "b").project(&[1, 0]).unwrap();
            let report = write_with(&f, "t", &b, &options(WriteMode::Append, json!({}))).await.unwrap();
            assert_eq!(report.rows, 1);
            let back = read(&f, "t").await.unwrap();
            assert_eq!(shown(&back, "id"), ["1", "2", "3"], "{format} {compression}");
            assert_eq!(shown(&back, "t"), ["a", "a", "b"]);
            assert_eq!(names(dir.path()).len(), 1);
            if format != "ndjson" {
                let other = batch(vec![("id", Arc::new(Int64Array::from(vec![1])))]);
                let e = write_with(&f, "t", &other, &options(WriteMode::Append, json!({}))).await.unwrap_err();
                assert!(e.message().contains("`t`"), "{e:?}");
            }
        }
    }
}

#[tokio::test]
async fn appending_to_a_file_whose_last_line_is_open() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "t.csv", "id,t\n1,a");
    let f = open(dir.path(), json!({}));
    write_with(&f, "t", &rows(&[2], "b"), &options(WriteMode::Append, json!({}))).await.unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("t.csv")).unwrap(), "id,t\n1,a\n2,b\n");
}

#[tokio::test]
async fn appending_to_a_folder_adds_a_part() {
    let dir = tempfile::tempdir().unwrap();
    let f = open(dir.path(), json!({}));
    write(&f, "sales/part-0.parquet", &rows(&[1], "a"), json!({})).await.unwrap();
    let narrow =
        batch(vec![("id", Arc::new(Int32Array::from(vec![2]))), ("t", Arc::new(StringArray::from(vec!["b"])))]);
    write_with(&f, "sales", &narrow, &options(WriteMode::Append, json!({}))).await.unwrap();
    assert_eq!(names(&dir.path().join("sales")).len(), 2);
    let back = read(&f, "sales").await.unwrap();
    assert_eq!(shown(&back, "id"), ["1", "2"]);
    // What the column can't hold exactly is refused before anything is written.
    let wide =
        batch(vec![("id", Arc::new(Float64Array::from(vec![2.5]))), ("t", Arc::new(StringArray::from(vec!["b"])))]);
    let e = write_with(&f, "sales", &wide, &options(WriteMode::Append, json!({}))).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Type && e.message().contains("`id`"), "{e:?}");
    let e = write(&f, "sales", &narrow, json!({})).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e:?}");
    assert_eq!(names(&dir.path().join("sales")).len(), 2);
}

#[tokio::test]
async fn what_cannot_be_done_says_what_can() {
    let dir = tempfile::tempdir().unwrap();
    let f = open(dir.path(), json!({}));
    put(dir.path(), "t.csv", "id,t\n1,a\n");
    let b = rows(&[1], "x");
    let try_write = |name: &'static str, mode: WriteMode, extra: Value| {
        let (f, b) = (f.clone(), b.clone());
        async move { write_with(&f, name, &b, &options(mode, extra)).await.unwrap_err() }
    };
    let e = try_write("t", WriteMode::Replace, json!({})).await;
    assert!(
        e.kind() == ErrorKind::Conflict
            && e.message().contains("t.csv")
            && e.hint_text().unwrap().contains("format: csv"),
        "{e:?}"
    );
    let e = try_write("t", WriteMode::Merge { unique_key: vec!["id".into()] }, json!({})).await;
    assert!(e.kind() == ErrorKind::Unsupported && e.hint_text().is_some(), "{e:?}");
    let e = try_write("nowhere", WriteMode::Append, json!({})).await;
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e:?}");
    let e = try_write("*.csv", WriteMode::Append, json!({})).await;
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e:?}");
    for extra in [
        json!({"format": "xlsx"}),
        json!({"compression": "lzo"}),
        json!({"delimiter": "ab", "format": "csv"}),
        json!({"format": 1}),
    ] {
        assert_eq!(try_write("x", WriteMode::Replace, extra).await.kind(), ErrorKind::Config);
    }
    let e = try_write("../out", WriteMode::Replace, json!({})).await;
    assert_eq!(e.kind(), ErrorKind::Config, "{e:?}");
    let twice = Arc::new(Schema::new(vec![Field::new("a", arrow::datatypes::DataType::Int64, true); 2]));
    let e = f.load().unwrap().begin(&rel("x"), twice, &LoadOptions::default()).await.err().unwrap();
    assert!(e.message().contains("`a`"), "{e:?}");
    assert_eq!(names(dir.path()), ["t.csv"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("t.csv")).unwrap(), "id,t\n1,a\n");
    write(&f, "t", &b, json!({"format": "csv"})).await.unwrap();
    assert_eq!(shown(&read(&f, "t").await.unwrap(), "t"), ["x"]);
}

#[tokio::test]
async fn settings_of_a_model_decide_place_and_spelling() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let f = open(&dir.path().join("made/on/demand"), json!({}));
    let b = rows(&[1], "a;b");
    write(&f, "t", &b, json!({"format": "csv", "delimiter": ";", "header": false})).await.unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("made/on/demand/t.csv")).unwrap(), "1;\"a;b\"\n");
    write(&f, "t", &b, json!({"location": "out/x.ndjson.gz"})).await.unwrap();
    assert_eq!(shown(&read(&f, "out/x").await.unwrap(), "t"), ["a;b"]);
    let at = elsewhere.path().join("report.csv");
    write(&f, "t", &b, json!({"location": at.to_str().unwrap()})).await.unwrap();
    assert_eq!(std::fs::read_to_string(at).unwrap(), "id,t\n1,a;b\n");
    let schema = Relation::new(None, Some("marts"), "u");
    let s = f.load().unwrap().begin(&schema, b.schema(), &LoadOptions::default()).await.unwrap();
    s.commit().await.unwrap();
    assert!(dir.path().join("made/on/demand/marts/u.parquet").exists());
}

#[tokio::test]
async fn a_folder_that_may_not_be_written_is_a_permission_error() {
    // Even root may not make files here; elsewhere than on Linux there is no such folder.
    let folder = Path::new("/sys/kernel");
    if !folder.exists() {
        eprintln!("SKIPPED: no /sys on this system");
        return;
    }
    let f = open(folder, json!({}));
    let b = rows(&[1], "a");
    let e = f.load().unwrap().begin(&rel("t"), b.schema(), &LoadOptions::default()).await.err().unwrap();
    assert!(e.kind() == ErrorKind::Permission && e.hint_text().is_some(), "{e:?}");
    assert!(e.message().contains("/sys/kernel/t.parquet"), "{e:?}");
}

#[tokio::test]
async fn listing_names_what_reading_finds() {
    let dir = tempfile::tempdir().unwrap();
    let f = open(dir.path(), json!({}));
    for (name, text) in [
        ("a.csv", "x\n1\n"),
        ("b.ndjson", "{\"x\":1}\n"),
        ("both.csv", "x\n1\n"),
        ("both.tsv", "x\n1\n"),
        (".hidden.csv", "x\n"),
        ("._xdb_new_1_a.csv", "x\n"),
        ("readme.txt", ""),
        ("marts/c.csv", "x\n1\n"),
        ("marts/deep/d.csv", "x\n1\n"),
        ("sales/part-1.csv", "x\n1\n"),
        ("sales/part-2.csv", "x\n2\n"),
        ("_tmp/e.csv", "x\n1\n"),
    ] {
        put(dir.path(), name, text);
    }
    let all = f.list(&RelationPattern::default()).await.unwrap();
    let got: Vec<_> = all.iter().map(|r| r.relation.to_string()).collect();
    assert_eq!(got, ["main.a", "main.b", "main.both.csv", "main.both.tsv", "main.sales", "marts.c", "marts/deep.d"]);
    for r in &all {
        let info = f.describe(&r.relation).await.unwrap();
        assert_eq!((&info.relation, types(&info.schema)), (&r.relation, vec!["x: Int64".to_string()]));
    }
    let some = f.list(&RelationPattern { schema: Some("ma*".into()), name: Some("c".into()) }).await.unwrap();
    assert_eq!(some.len(), 1);
    let e = read(&f, "both").await.unwrap_err();
    assert!(e.message().contains("both.csv") && e.message().contains("both.tsv"), "{e:?}");
    put(dir.path(), "customers.csv", "x\n1\n");
    let e = read(&f, "custmers").await.unwrap_err();
    assert_eq!((e.kind(), e.hint_text()), (ErrorKind::NotFound, Some("did you mean `customers`?")), "{e:?}");
    let info = f.check().await.unwrap();
    assert_eq!(info.product, "local files");
    let e = open(&dir.path().join("nope"), json!({})).check().await.unwrap_err();
    assert!(e.kind() == ErrorKind::NotFound && e.hint_text().is_some(), "{e:?}");
    let e = open(&dir.path().join("a.csv"), json!({})).check().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Config, "{e:?}");
}

#[tokio::test]
async fn row_groups_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let f = open(dir.path(), json!({}));
    // 60 MB that neither dictionaries nor the codec make small.
    let mut state = 1u64;
    let mut noise = || {
        (0..125)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.to_le_bytes()
            })
            .collect::<Vec<_>>()
            .concat()
    };
    let schema = batch(vec![("b", Arc::new(BinaryArray::from(vec![b"".as_slice()])))]).schema();
    let mut s = f.load().unwrap().begin(&rel("t"), schema.clone(), &LoadOptions::default()).await.unwrap();
    for _ in 0..12 {
        let values: Vec<Vec<u8>> = (0..5_000).map(|_| noise()).collect();
        let a: ArrayRef = Arc::new(BinaryArray::from_iter_values(values));
        s.write(RecordBatch::try_new(schema.clone(), vec![a]).unwrap()).await.unwrap();
    }
    assert_eq!(s.commit().await.unwrap().rows, 60_000);
    let footer = f.footer(&f.find(&rel("t")).await.unwrap().files[0].0).await.unwrap();
    let sizes: Vec<_> = footer.reader.metadata().row_groups().iter().map(|g| g.compressed_size()).collect();
    assert!(sizes.len() >= 2 && sizes.iter().all(|s| *s < 24 << 20), "{sizes:?}");
}
