//! The connector as its users see it: through the traits, on real files.

mod loading;
mod parquet;
mod remote;
mod text;

use crate::config::{Config, DEF, Place};
use crate::connector::Files;
use crate::store::Store;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use xdb_core::*;

pub(super) fn open(dir: &Path, settings: Value) -> Files {
    let mut raw = settings.as_object().unwrap().clone();
    raw.insert("path".into(), json!(dir.to_str().unwrap()));
    let params = Params::resolve("lake", DEF.params, &raw, Path::new("/nowhere")).unwrap();
    Files::new(Config::new(&params).unwrap()).unwrap()
}
pub(super) fn in_memory(settings: Value) -> Files {
    let mut f = open(Path::new("/nowhere"), settings);
    f.config.place = Place::Memory(Store::memory());
    Files::new(f.config).unwrap()
}
pub(super) fn rel(name: &str) -> Relation {
    Relation::bare(name)
}
pub(super) async fn read_with(f: &Files, name: &str, change: impl FnOnce(&mut ScanRequest)) -> Result<RecordBatch> {
    let mut request = ScanRequest::all(Arc::new(f.describe(&rel(name)).await?));
    change(&mut request);
    read_plan(f, &request, &ReadContext::default()).await
}
pub(super) async fn read_plan(f: &Files, request: &ScanRequest, ctx: &ReadContext) -> Result<RecordBatch> {
    let extract = f.extract().unwrap();
    let plan = extract.plan(request).await?;
    assert!(plan.splits.len() <= request.parallelism);
    let mut all = vec![];
    for s in &plan.splits {
        // Splits must survive a trip to another machine.
        let s: Split = serde_json::from_str(&serde_json::to_string(s).unwrap()).unwrap();
        let stream = extract.read(&s, ctx).await?;
        assert_eq!(stream.schema(), plan.schema);
        all.extend(stream.collect().await?);
    }
    let rows = all.iter().map(RecordBatch::num_rows).sum();
    if plan.schema.fields().is_empty() {
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        return Ok(RecordBatch::try_new_with_options(plan.schema, vec![], &options)?);
    }
    Ok(concat_batches(&plan.schema, &all)?)
}
pub(super) async fn read(f: &Files, name: &str) -> Result<RecordBatch> {
    read_with(f, name, |_| {}).await
}
pub(super) fn options(mode: WriteMode, extra: Value) -> LoadOptions {
    LoadOptions { mode, extra: extra.as_object().unwrap().clone(), ..Default::default() }
}
pub(super) async fn write_with(f: &Files, name: &str, batch: &RecordBatch, o: &LoadOptions) -> Result<LoadReport> {
    let mut s = f.load().unwrap().begin(&rel(name), batch.schema(), o).await?;
    let half = batch.num_rows() / 2;
    s.write(batch.slice(0, half)).await?;
    s.write(batch.slice(half, batch.num_rows() - half)).await?;
    s.commit().await
}
pub(super) async fn write(f: &Files, name: &str, batch: &RecordBatch, extra: Value) -> Result<LoadReport> {
    write_with(f, name, batch, &options(WriteMode::Replace, extra)).await
}
pub(super) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap()
}
pub(super) fn types(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type())).collect()
}
pub(super) fn strings(b: &RecordBatch, column: &str) -> Vec<Option<String>> {
    b.column_by_name(column).unwrap().as_string::<i32>().iter().map(|v| v.map(String::from)).collect()
}
/// Values as text; NULL is `∅`.
pub(super) fn shown(b: &RecordBatch, column: &str) -> Vec<String> {
    let a = b.column_by_name(column).unwrap();
    let options = FormatOptions::new().with_null("∅");
    let f = ArrayFormatter::try_new(a.as_ref(), &options).unwrap();
    (0..a.len()).map(|i| f.value(i).to_string()).collect()
}
/// Names in a folder, sorted, hidden ones too.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let mut all: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}
pub(super) fn put(dir: &Path, name: &str, text: impl AsRef<[u8]>) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
