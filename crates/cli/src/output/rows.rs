//! Rows to stdout: table, CSV, JSON, NDJSON, Parquet, Arrow. All but the table stream batch by batch.

use super::cells::Cells;
use super::json;
use super::table::TableWriter;
use crate::args::RowFormat;
use crate::console::{self, Stdout};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use std::io::Write;
use xdb_core::{ArrowStream, Error, Result};

/// Write all of `stream` to stdout; the number of rows.
pub(crate) async fn print(mut stream: ArrowStream, format: RowFormat) -> Result<u64> {
    // A statement without rows has no columns either; nor has a file of none anything to say.
    let nothing = stream.schema().fields().is_empty();
    let mut writer = open(format, stream.schema())?;
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        if batch.num_rows() > 0 {
            writer.batch(&batch)?;
        }
    }
    drop(stream);
    writer.finish()?;
    if format == RowFormat::Table {
        match (nothing, rows) {
            (true, 0) => console::note("OK"),
            (_, 1) => console::note("(1 row)"),
            _ => console::note(&format!("({rows} rows)")),
        }
    }
    Ok(rows)
}

trait RowWriter: Send {
    fn batch(&mut self, batch: &RecordBatch) -> Result<()>;
    fn finish(&mut self) -> Result<()>;
}

fn open(format: RowFormat, schema: SchemaRef) -> Result<Box<dyn RowWriter>> {
    Ok(match format {
        RowFormat::Table => Box::new(Tables { table: TableWriter::new(&schema), out: Stdout::new() }),
        RowFormat::Csv => Box::new(Csv::new(Stdout::new(), &schema)?),
        RowFormat::Json => Box::new(Json::new(Stdout::new(), &schema, true)),
        RowFormat::Ndjson => Box::new(Json::new(Stdout::new(), &schema, false)),
        RowFormat::Parquet => {
            console::refuse_terminal("parquet")?;
            Box::new(Parquet(Some(
                parquet::arrow::ArrowWriter::try_new(Stdout::new(), schema, Some(parquet_properties()))
                    .map_err(parquet_error)?,
            )))
        }
        RowFormat::Arrow => {
            console::refuse_terminal("arrow")?;
            Box::new(Ipc(arrow::ipc::writer::StreamWriter::try_new(Stdout::new(), &schema)?))
        }
    })
}

struct Tables {
    table: TableWriter,
    out: Stdout,
}
impl RowWriter for Tables {
    fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        self.table.batch(batch)?;
        if let Some(text) = self.table.full() {
            self.out.write_all(text.as_bytes())?;
        }
        Ok(())
    }
    fn finish(&mut self) -> Result<()> {
        self.out.write_all(self.table.rest().as_bytes())?;
        Ok(self.out.flush()?)
    }
}

/// RFC 4180 with `\n`: NULL is an empty field, empty text is `""`.
struct Csv<W> {
    out: W,
    cell: String,
    line: String,
}
impl<W: Write> Csv<W> {
    fn new(mut out: W, schema: &SchemaRef) -> Result<Self> {
        let mut line = String::new();
        for (i, f) in schema.fields().iter().enumerate() {
            if i > 0 {
                line.push(',');
            }
            csv_field(f.name(), &mut line);
        }
        line.push('\n');
        if !schema.fields().is_empty() {
            out.write_all(line.as_bytes())?;
        }
        Ok(Self { out, cell: String::new(), line })
    }
}
impl<W: Write + Send> RowWriter for Csv<W> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        let cells = batch.columns().iter().map(Cells::new).collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            self.line.clear();
            for (i, c) in cells.iter().enumerate() {
                if i > 0 {
                    self.line.push(',');
                }
                if c.write(row, &mut self.cell)? {
                    csv_field(&self.cell, &mut self.line);
                }
            }
            self.line.push('\n');
            self.out.write_all(self.line.as_bytes())?;
        }
        Ok(self.out.flush()?)
    }
    fn finish(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }
}

fn csv_field(text: &str, line: &mut String) {
    let outer_space = text.starts_with([' ', '\t']) || text.ends_with([' ', '\t']);
    if !text.is_empty() && !outer_space && !text.contains(['"', ',', '\n', '\r']) {
        line.push_str(text);
        return;
    }
    line.push('"');
    line.push_str(&text.replace('"', "\"\""));
    line.push('"');
}

/// One object a row; as an array or one a line.
struct Json<W> {
    out: W,
    /// Column names as JSON text.
    names: Vec<String>,
    array: bool,
    first: bool,
    line: String,
}
impl<W: Write> Json<W> {
    fn new(out: W, schema: &SchemaRef, array: bool) -> Self {
        let name = |n: &str| {
            let mut s = String::new();
            json::quote(n, &mut s);
            s
        };
        let names = schema.fields().iter().map(|f| name(f.name())).collect();
        Self { out, names, array, first: true, line: String::new() }
    }
}
impl<W: Write + Send> RowWriter for Json<W> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        for row in 0..batch.num_rows() {
            self.line.clear();
            if self.array {
                self.line.push_str(if self.first { "[\n  " } else { ",\n  " });
            }
            self.first = false;
            self.line.push('{');
            for (i, (name, column)) in self.names.iter().zip(batch.columns()).enumerate() {
                if i > 0 {
                    self.line.push_str(", ");
                }
                self.line.push_str(name);
                self.line.push_str(": ");
                json::write_value(column, row, &mut self.line)?;
            }
            self.line.push('}');
            if !self.array {
                self.line.push('\n');
            }
            self.out.write_all(self.line.as_bytes())?;
        }
        Ok(self.out.flush()?)
    }
    fn finish(&mut self) -> Result<()> {
        if self.array {
            self.out.write_all(if self.first { b"[]\n" } else { b"\n]\n" })?;
        }
        Ok(self.out.flush()?)
    }
}

struct Ipc(arrow::ipc::writer::StreamWriter<Stdout>);
impl RowWriter for Ipc {
    fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.0.write(batch)?)
    }
    fn finish(&mut self) -> Result<()> {
        self.0.finish()?;
        Ok(self.0.get_mut().flush()?)
    }
}

struct Parquet(Option<parquet::arrow::ArrowWriter<Stdout>>);
impl RowWriter for Parquet {
    fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        self.0.as_mut().map(|w| w.write(batch)).transpose().map_err(parquet_error)?;
        Ok(())
    }
    fn finish(&mut self) -> Result<()> {
        self.0.take().map(|w| w.close()).transpose().map_err(parquet_error)?;
        Ok(())
    }
}
fn parquet_properties() -> parquet::file::properties::WriterProperties {
    parquet::file::properties::WriterProperties::builder()
        .set_compression(parquet::basic::Compression::ZSTD(parquet::basic::ZstdLevel::default()))
        .set_created_by(concat!("xdb ", env!("CARGO_PKG_VERSION")).into())
        .build()
}
fn parquet_error(e: parquet::errors::ParquetError) -> Error {
    Error::new(xdb_core::ErrorKind::Io, format!("cannot write Parquet: {e}")).cause(e)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::*;
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    fn sample() -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int32, true),
            Field::new("a \"b\"", DataType::Utf8, true),
            Field::new("ok", DataType::Boolean, true),
        ]);
        RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(Int32Array::from(vec![Some(1), None, Some(3), Some(4)])),
                Arc::new(StringArray::from(vec![Some("x,y"), Some(""), None, Some("two\n\"lines\"")])),
                Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, None])),
            ],
        )
        .unwrap()
    }

    #[test]
    fn csv_tells_null_from_empty_text() {
        let b = sample();
        let mut out = Vec::new();
        let mut w = Csv::new(&mut out, &b.schema()).unwrap();
        w.batch(&b).unwrap();
        w.finish().unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        id,"a ""b""",ok
        1,"x,y",true
        ,"",false
        3,,
        4,"two
        ""lines""",
        "#);
    }

    #[test]
    fn json_is_an_array_also_without_rows_and_over_batches() {
        let b = sample();
        for batches in [0usize, 1, 2] {
            let mut out = Vec::new();
            let mut w = Json::new(&mut out, &b.schema(), true);
            for _ in 0..batches {
                w.batch(&b).unwrap();
            }
            w.finish().unwrap();
            let v: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(v.as_array().unwrap().len(), batches * 4);
        }
    }

    #[test]
    fn ndjson_has_a_line_a_row() {
        let b = sample();
        let mut out = Vec::new();
        let mut w = Json::new(&mut out, &b.schema(), false);
        w.batch(&b).unwrap();
        w.finish().unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        {"id": 1, "a \"b\"": "x,y", "ok": true}
        {"id": null, "a \"b\"": "", "ok": false}
        {"id": 3, "a \"b\"": null, "ok": null}
        {"id": 4, "a \"b\"": "two\n\"lines\"", "ok": null}
        "#);
    }
}
