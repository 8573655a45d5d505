//! Batches to the bytes of a file: one encoder a format, over one kind of sink.

use crate::csv::push_field;
use crate::format::{Compression, CsvStyle, Format};
use crate::json;
use crate::staging::StagedFile;
use crate::text::{self, Style, Writer};
use crate::types;
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use xdb_core::{Error, IoStats, Result, TypePolicy};

/// A row group is closed when the encoder holds this much, in bytes: what bounds the memory of a Parquet target.
const ROW_GROUP_BYTES: usize = 16 << 20;
/// Rows handed to the Parquet encoder at once, so that wide rows are noticed in time.
const SLICE_ROWS: usize = 4096;
/// Text is passed on in pieces of about this size, in bytes.
const TEXT_CHUNK: usize = 256 << 10;

/// Where encoded bytes go.
pub(crate) enum To {
    Staged(StagedFile),
    /// Taken out by whoever uploads it.
    Buffer(Arc<Mutex<Vec<u8>>>),
    #[cfg(test)]
    Full,
}
pub(crate) struct Sink {
    pub(crate) to: To,
    pub(crate) stats: Arc<IoStats>,
}
impl Write for Sink {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = match &mut self.to {
            To::Staged(f) => f.write(buf)?,
            To::Buffer(b) => {
                b.lock().unwrap_or_else(|e| e.into_inner()).extend_from_slice(buf);
                buf.len()
            }
            #[cfg(test)]
            To::Full => return Err(io::ErrorKind::StorageFull.into()),
        };
        self.stats.add_bytes(n as u64);
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Staged(f) => f.flush(),
            _ => Ok(()),
        }
    }
}

/// What a new file looks like.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) format: Format,
    pub(crate) compression: Compression,
    pub(crate) csv: CsvStyle,
    pub(crate) types: TypePolicy,
}

pub(crate) trait Encoder: Send {
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;
    /// Bytes of an older file, unpacked, that the new rows follow. Text formats only.
    fn copy(&mut self, bytes: &[u8]) -> Result<()>;
    fn finish(self: Box<Self>) -> Result<Sink>;
}

/// `with_header` is off where rows follow those of an older file.
pub(crate) fn encoder(layout: &Layout, schema: &SchemaRef, sink: Sink, with_header: bool) -> Result<Box<dyn Encoder>> {
    if layout.format == Format::Parquet {
        return Ok(Box::new(ParquetEncoder::new(layout, schema, sink)?));
    }
    let out = match layout.compression {
        Compression::Gzip => Packer::Gzip(GzEncoder::new(sink, flate2::Compression::default())),
        Compression::Zstd => Packer::Zstd(zstd::stream::write::Encoder::new(sink, 3)?),
        Compression::None | Compression::Snappy => Packer::Plain(sink),
    };
    let mut text = TextEncoder { out, layout: layout.clone(), schema: schema.clone(), buffer: Vec::new() };
    if with_header {
        text.header();
    }
    Ok(Box::new(text))
}

/// The Parquet writer either ends with good errors or hands its sink back, not both: so the sink is shared with it.
#[derive(Clone)]
struct Shared(Arc<Mutex<Sink>>);
impl Write for Shared {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).flush()
    }
}

struct ParquetEncoder {
    writer: ArrowWriter<Shared>,
    sink: Shared,
    schema: SchemaRef,
    lossy: bool,
}
impl ParquetEncoder {
    fn new(layout: &Layout, schema: &SchemaRef, sink: Sink) -> Result<Self> {
        let fields = schema
            .fields()
            .iter()
            .map(|f| Ok(f.as_ref().clone().with_data_type(types::stored(f)?)))
            .collect::<Result<Vec<Field>>>()?;
        let schema = Arc::new(Schema::new(fields));
        let codec = match layout.compression {
            Compression::None | Compression::Gzip => Codec::UNCOMPRESSED,
            Compression::Snappy => Codec::SNAPPY,
            Compression::Zstd => Codec::ZSTD(ZstdLevel::default()),
        };
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_created_by(concat!("xdb version ", env!("CARGO_PKG_VERSION")).into())
            .build();
        let sink = Shared(Arc::new(Mutex::new(sink)));
        let writer = ArrowWriter::try_new(sink.clone(), schema.clone(), Some(properties)).map_err(parquet_error)?;
        Ok(Self { writer, sink, schema, lossy: layout.types == TypePolicy::Lossy })
    }
}
impl Encoder for ParquetEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut at = 0;
        while at < batch.num_rows() {
            let n = SLICE_ROWS.min(batch.num_rows() - at);
            let part = batch.slice(at, n);
            at += n;
            let columns = part
                .columns()
                .iter()
                .zip(self.schema.fields())
                .map(|(c, f)| types::convert(c, f.data_type(), f.name(), self.lossy))
                .collect::<Result<Vec<_>>>()?;
            let part = RecordBatch::try_new(self.schema.clone(), columns)?;
            self.writer.write(&part).map_err(parquet_error)?;
            if self.writer.memory_size() >= ROW_GROUP_BYTES {
                self.writer.flush().map_err(parquet_error)?;
            }
        }
        Ok(())
    }
    fn copy(&mut self, _: &[u8]) -> Result<()> {
        Err(Error::internal("Parquet files cannot be appended to as bytes"))
    }
    fn finish(self: Box<Self>) -> Result<Sink> {
        let Self { writer, sink, .. } = *self;
        writer.close().map_err(parquet_error)?;
        let sink = Arc::into_inner(sink.0).ok_or_else(|| Error::internal("a Parquet writer outlived its end"))?;
        Ok(sink.into_inner().unwrap_or_else(|e| e.into_inner()))
    }
}

/// A full disk must come out as one, not as "Parquet error".
fn parquet_error(e: ParquetError) -> Error {
    match e {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(io) => Error::from(*io),
            Err(other) => Error::internal("the Parquet encoder failed").cause(other),
        },
        other => Error::internal("the Parquet encoder failed").cause(other),
    }
}

enum Packer {
    Plain(Sink),
    Gzip(GzEncoder<Sink>),
    Zstd(zstd::stream::write::Encoder<'static, Sink>),
}
impl Packer {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(w) => w.write_all(bytes),
            Self::Gzip(w) => w.write_all(bytes),
            Self::Zstd(w) => w.write_all(bytes),
        }
    }
    fn finish(self) -> io::Result<Sink> {
        match self {
            Self::Plain(w) => Ok(w),
            Self::Gzip(w) => w.finish(),
            Self::Zstd(w) => w.finish(),
        }
    }
}

struct TextEncoder {
    out: Packer,
    layout: Layout,
    schema: SchemaRef,
    buffer: Vec<u8>,
}
impl TextEncoder {
    fn header(&mut self) {
        if self.layout.format != Format::Csv || !self.layout.csv.header {
            return;
        }
        for (i, f) in self.schema.fields().iter().enumerate() {
            if i > 0 {
                self.buffer.push(self.layout.csv.delimiter);
            }
            push_field(&mut self.buffer, f.name().as_bytes(), &self.layout.csv);
        }
        self.buffer.push(b'\n');
    }
    fn pass_on(&mut self, least: usize) -> Result<()> {
        if self.buffer.len() >= least {
            self.out.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}
impl Encoder for TextEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let json = self.layout.format == Format::Ndjson;
        let style = Style { json, lossy: self.layout.types == TypePolicy::Lossy };
        let schema = self.schema.clone();
        let writers = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(f, c)| text::writer(f, c.as_ref(), style))
            .collect::<Result<Vec<Writer<'_>>>>()?;
        let keys: Vec<String> = schema.fields().iter().map(|f| format!("{}:", json::quote(f.name()))).collect();
        let mut value = Vec::new();
        for row in 0..batch.num_rows() {
            for (i, write) in writers.iter().enumerate() {
                if json {
                    self.buffer.push(if i == 0 { b'{' } else { b',' });
                    self.buffer.extend_from_slice(keys[i].as_bytes());
                    if !write(row, &mut self.buffer)? {
                        self.buffer.extend_from_slice(b"null");
                    }
                    continue;
                }
                if i > 0 {
                    self.buffer.push(self.layout.csv.delimiter);
                }
                value.clear();
                if write(row, &mut value)? {
                    push_field(&mut self.buffer, &value, &self.layout.csv);
                } else {
                    self.buffer.extend_from_slice(self.layout.csv.null.as_bytes());
                }
            }
            self.buffer.extend_from_slice(if json { b"}\n" } else { b"\n" });
            self.pass_on(TEXT_CHUNK)?;
        }
        Ok(())
    }
    fn copy(&mut self, bytes: &[u8]) -> Result<()> {
        self.pass_on(0)?;
        Ok(self.out.write_all(bytes)?)
    }
    fn finish(mut self: Box<Self>) -> Result<Sink> {
        self.pass_on(0)?;
        Ok(self.out.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, StringArray};
    use xdb_core::ErrorKind;

    #[test]
    fn a_full_disk_says_so_in_every_format() {
        let rows: ArrayRef = Arc::new(StringArray::from(vec!["some text"; 3]));
        let batch = RecordBatch::try_from_iter([("t", rows)]).unwrap();
        for (format, compression) in [
            (Format::Parquet, Compression::Zstd),
            (Format::Csv, Compression::None),
            (Format::Csv, Compression::Gzip),
            (Format::Ndjson, Compression::Zstd),
        ] {
            let layout = Layout { format, compression, csv: CsvStyle::default(), types: TypePolicy::Exact };
            let sink = Sink { to: To::Full, stats: Arc::default() };
            let run = || {
                let mut e = encoder(&layout, &batch.schema(), sink, true)?;
                e.write(&batch)?;
                e.finish().map(|_| ())
            };
            let e = run().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Resource, "{format:?} {e:?}");
            assert!(e.hint_text().unwrap().contains("disk space"), "{e:?}");
        }
    }
}
