//! Parquet files: footers, what their columns are to xdb, and reading row groups.

use crate::decode::Shape;
use crate::filter;
use crate::store::{FileEntry, Store};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use parquet::arrow::arrow_reader::{
    ArrowPredicate, ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, RowFilter,
};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ProjectionMask};
use parquet::basic::{ConvertedType, LogicalType as ParquetLogical};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use xdb_core::types::{LOGICAL_KEY, SOURCE_TYPE_KEY};
use xdb_core::{ArrowStream, Error, ErrorKind, IoStats, LogicalType, ReadContext, Result};

/// Most of a footer in one read; a longer one takes a second.
const FOOTER_GUESS: usize = 64 << 10;

/// A file's byte ranges, counted, and only of the file that was found.
#[derive(Clone)]
pub(crate) struct Ranges {
    pub(crate) store: Store,
    pub(crate) file: FileEntry,
    pub(crate) stats: Option<Arc<IoStats>>,
    pub(crate) metadata: Option<Arc<ParquetMetaData>>,
}
impl Ranges {
    async fn fetch(&self, range: Range<u64>) -> Result<Bytes> {
        let want = range.end - range.start;
        let got = self.store.get(&self.file, Some(range)).await?;
        let bytes = got.bytes().await.map_err(|e| self.store.error(e, &self.file.path))?;
        if let Some(s) = &self.stats {
            s.add_bytes(bytes.len() as u64);
        }
        if (bytes.len() as u64) < want {
            return Err(damaged(&self.store, &self.file, "the file ends too early"));
        }
        Ok(bytes)
    }
}
impl AsyncFileReader for Ranges {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move { self.fetch(range).await.map_err(|e| ParquetError::External(Box::new(e))) }.boxed()
    }
    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        // A request costs about as much as so many bytes more in an answer.
        let gap = if self.store.is_local() { 32 << 10 } else { object_store::OBJECT_STORE_COALESCE_DEFAULT };
        async move {
            let this = &*self;
            object_store::coalesce_ranges(&ranges, |r| this.fetch(r), gap)
                .await
                .map_err(|e: Error| ParquetError::External(Box::new(e)))
        }
        .boxed()
    }
    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            if let Some(m) = &self.metadata {
                return Ok(m.clone());
            }
            let size = self.file.size;
            let read =
                ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER_GUESS)).load_and_finish(&mut *self, size);
            let m = Arc::new(read.await?);
            self.metadata = Some(m.clone());
            Ok(m)
        }
        .boxed()
    }
}

fn damaged(store: &Store, file: &FileEntry, why: &str) -> Error {
    Error::new(ErrorKind::Io, format!("{} is not a whole Parquet file: {why}", store.show(&file.path)))
        .hint("it may be cut off or still being written: make it again, or take it out of the folder")
}

/// Our own errors come back whole; the reader's own say which file it was.
fn error(store: &Store, file: &FileEntry, e: ParquetError) -> Error {
    match e {
        ParquetError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => match other.downcast::<ArrowError>() {
                Ok(a) => Error::from(*a),
                Err(other) => damaged(store, file, &other.to_string()),
            },
        },
        other => {
            let text = other.to_string();
            damaged(store, file, text.trim_start_matches("Parquet error: ")).cause(other)
        }
    }
}

/// A footer, and what its columns are to xdb.
#[derive(Clone, Debug)]
pub(crate) struct Footer {
    pub(crate) reader: ArrowReaderMetadata,
    /// As the table shows them: see [`present`].
    pub(crate) schema: SchemaRef,
}
impl Footer {
    pub(crate) fn rows(&self) -> u64 {
        self.reader.metadata().row_groups().iter().map(|g| u64::try_from(g.num_rows()).unwrap_or(0)).sum()
    }
    /// The type's name in the file, for `inspect`.
    pub(crate) fn source_type(&self, i: usize) -> String {
        let t = &self.reader.parquet_schema().root_schema().get_fields()[i];
        if t.is_group() {
            return self.schema.field(i).data_type().to_string();
        }
        let physical = t.get_physical_type().to_string().to_lowercase();
        match t.get_basic_info().logical_type_ref() {
            Some(ParquetLogical::Decimal { precision, scale }) => format!("decimal({precision},{scale})"),
            Some(l) => {
                let name = format!("{l:?}");
                let end = name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len());
                format!("{physical} ({})", name[..end].to_lowercase())
            }
            None => physical,
        }
    }
}

pub(crate) async fn footer(store: &Store, file: &FileEntry, stats: Option<Arc<IoStats>>) -> Result<Footer> {
    let mut ranges = Ranges { store: store.clone(), file: file.clone(), stats, metadata: None };
    let fail = |e| error(store, file, e);
    if file.size < 12 {
        return Err(damaged(store, file, "it is shorter than the smallest Parquet file"));
    }
    let metadata = ranges.get_metadata(None).await.map_err(fail)?;
    let reader = match ArrowReaderMetadata::try_new(metadata.clone(), ArrowReaderOptions::new()) {
        Ok(r) => r,
        // An Arrow schema that some other writer embedded and that doesn't fit the file: the file's own counts.
        Err(_) => ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new().with_skip_arrow_metadata(true))
            .map_err(fail)?,
    };
    let own_schema = reader
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .is_some_and(|kv| kv.iter().any(|k| k.key == ARROW_SCHEMA_META_KEY));
    let roots = reader.parquet_schema().root_schema().get_fields();
    let mut fields = Vec::with_capacity(roots.len());
    for (f, root) in reader.schema().fields().iter().zip(roots) {
        if fields.iter().any(|o: &Field| o.name() == f.name()) {
            return Err(Error::new(ErrorKind::Type, format!("two columns are named `{}`", f.name()))
                .at(store.show(&file.path), 0));
        }
        if root.is_primitive() && root.get_basic_info().converted_type() == ConvertedType::INTERVAL && !own_schema {
            return Err(Error::unsupported(format!(
                "column `{}` is a Parquet INTERVAL, which Arrow reads without its months",
                f.name()
            ))
            .at(store.show(&file.path), 0)
            .hint("write the column as text or as a number of days or microseconds"));
        }
        let logical = if root.is_primitive() { root.get_basic_info().logical_type_ref() } else { None };
        fields.push(present(f, logical));
    }
    Ok(Footer { reader, schema: Arc::new(Schema::new(fields)) })
}

/// How a column of a file is shown: encodings that only save space (dictionaries, views) are undone, UUIDs become text as
/// everywhere in xdb, and of the metadata only xdb's own is kept.
fn present(f: &Field, logical: Option<&ParquetLogical>) -> Field {
    let mut metadata: HashMap<String, String> = f.metadata().clone();
    metadata.retain(|k, _| k == LOGICAL_KEY || k == SOURCE_TYPE_KEY);
    let data_type = plain(f.data_type());
    let shown = Field::new(f.name(), data_type.clone(), f.is_nullable()).with_metadata(metadata);
    match (logical, data_type) {
        (Some(ParquetLogical::Uuid), DataType::FixedSizeBinary(16)) => {
            LogicalType::Uuid.mark(shown.with_data_type(DataType::Utf8))
        }
        (Some(ParquetLogical::Json), DataType::Utf8) => LogicalType::Json.mark(shown),
        _ => shown,
    }
}
/// The type without encodings that only save space.
pub(crate) fn plain(t: &DataType) -> DataType {
    match t {
        DataType::Dictionary(_, v) => plain(v),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        other => other.clone(),
    }
}

/// A column as read, as it is shown.
fn adapt(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    if let (DataType::FixedSizeBinary(16), DataType::Utf8) = (array.data_type(), to) {
        let ids = array.as_fixed_size_binary();
        let mut out = StringBuilder::with_capacity(ids.len(), ids.len() * 36);
        for id in ids {
            out.append_option(id.map(uuid_text));
        }
        return Ok(Arc::new(out.finish()));
    }
    Ok(cast(array, to)?)
}
fn uuid_text(id: &[u8]) -> String {
    let mut out = String::with_capacity(36);
    for (i, b) in id.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push_str(&format!("{b:02x}"));
    }
    out
}

/// Brings a batch with some of a file's columns into the order and types of `wanted`.
fn arrange(batch: &RecordBatch, wanted: &Schema) -> Result<Vec<ArrayRef>> {
    let from = batch.schema_ref();
    wanted.fields().iter().map(|f| adapt(batch.column(from.index_of(f.name())?), f.data_type())).collect()
}

fn mask<'a>(footer: &Footer, names: impl Iterator<Item = &'a str>) -> Result<ProjectionMask> {
    let roots = names.map(|n| footer.schema.index_of(n)).collect::<Result<Vec<_>, _>>()?;
    Ok(ProjectionMask::roots(footer.reader.parquet_schema(), roots))
}

/// Rows of some row groups of one file.
pub(crate) fn read(
    ranges: Ranges,
    footer: &Footer,
    groups: Vec<usize>,
    shape: Arc<Shape>,
    limit: Option<u64>,
    ctx: &ReadContext,
) -> Result<ArrowStream> {
    let (store, file) = (ranges.store.clone(), ranges.file.clone());
    let metadata = footer.reader.metadata();
    let (mut rows, mut bytes) = (0u64, 0u64);
    for g in &groups {
        let g = metadata.row_group(*g);
        rows += u64::try_from(g.num_rows()).unwrap_or(0);
        bytes += u64::try_from(g.total_byte_size()).unwrap_or(0);
    }
    // Uncompressed pages are about as large as Arrow data; dictionaries make them smaller.
    let row_bytes = (bytes * 2 / rows.max(1)).max(1);
    let fit = usize::try_from(ctx.batch_bytes as u64 / row_bytes).unwrap_or(usize::MAX);
    let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(ranges, footer.reader.clone())
        .with_row_groups(groups)
        .with_batch_size(ctx.batch_rows.min(fit).max(64))
        .with_projection(mask(footer, shape.schema.fields().iter().map(|f| f.name().as_str()))?);
    if !shape.predicates.is_empty() {
        let mut filters: Vec<Box<dyn ArrowPredicate>> = Vec::with_capacity(shape.predicates.len());
        for p in &shape.predicates {
            let p = p.clone();
            let fields =
                p.columns().iter().map(|c| Ok(shape.needed.field_with_name(c)?.clone())).collect::<Result<Vec<_>>>()?;
            let wanted = Arc::new(Schema::new(fields));
            filters.push(Box::new(ArrowPredicateFn::new(
                mask(footer, p.columns().into_iter())?,
                move |batch: RecordBatch| {
                    let test = || {
                        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                        let columns = arrange(&batch, &wanted)?;
                        filter::evaluate(&RecordBatch::try_new_with_options(wanted.clone(), columns, &options)?, &p)
                    };
                    test().map_err(|e: Error| ArrowError::ExternalError(Box::new(e)))
                },
            )));
        }
        builder = builder.with_row_filter(RowFilter::new(filters));
    }
    if let Some(n) = limit {
        builder = builder.with_limit(usize::try_from(n).unwrap_or(usize::MAX));
    }
    let stream = builder.build().map_err(|e| error(&store, &file, e))?;
    let schema = shape.schema.clone();
    let out = stream.map(move |batch| {
        let batch = batch.map_err(|e| error(&store, &file, e))?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(shape.schema.clone(), arrange(&batch, &shape.schema)?, &options)?)
    });
    Ok(ArrowStream::new(schema, out))
}
