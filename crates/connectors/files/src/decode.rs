//! Text files to Arrow: inference, and reading by the types that were inferred. Runs on a blocking thread.

use crate::csv::{Fault, Record, Scanner};
use crate::filter;
use crate::format::{CsvStyle, Format};
use crate::infer::{Cell, Guess, TextType};
use crate::input::Input;
use crate::json;
use crate::values;
use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, RecordBatch,
    RecordBatchOptions, StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
    TimestampNanosecondBuilder,
};
use arrow::datatypes::{DataType, SchemaRef};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::sync::Arc;
use xdb_core::{Error, ErrorKind, Predicate, Result, TypePolicy};

/// Which columns a reader decodes, tests and gives out.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Columns to decode: those wanted and those that predicates read.
    pub(crate) needed: SchemaRef,
    /// Where the wanted ones are in `needed`.
    pub(crate) output: Vec<usize>,
    pub(crate) schema: SchemaRef,
    pub(crate) predicates: Vec<Predicate>,
}
impl Shape {
    /// Filter a batch of the needed columns and give out the wanted ones.
    pub(crate) fn finish(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.needed.clone(), columns, &options)?;
        self.project(&filter::keep(batch, &self.predicates)?)
    }
    pub(crate) fn project(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = self.output.iter().map(|i| batch.column(*i).clone()).collect();
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

/// One text file to read.
#[derive(Clone, Debug)]
pub(crate) struct TextJob {
    /// For errors.
    pub(crate) file: String,
    pub(crate) format: Format,
    pub(crate) style: CsvStyle,
    pub(crate) shape: Shape,
    /// All columns of the table, for files whose rows may only hold those.
    pub(crate) known: Arc<Vec<String>>,
    pub(crate) types: TypePolicy,
    pub(crate) batch_rows: usize,
    pub(crate) batch_bytes: usize,
}

/// The columns of text files, as seen so far.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    pub(crate) names: Vec<String>,
    pub(crate) guesses: Vec<Guess>,
    index: HashMap<String, usize>,
    /// Every row of every file was looked at.
    pub(crate) complete: bool,
    pub(crate) rows: u64,
}
impl Columns {
    pub(crate) fn new() -> Self {
        Self { complete: true, ..Self::default() }
    }
    fn add(&mut self, name: &str) -> usize {
        if let Some(i) = self.index.get(name) {
            return *i;
        }
        self.index.insert(name.into(), self.names.len());
        self.names.push(name.into());
        self.guesses.push(Guess::default());
        self.names.len() - 1
    }

    /// Look at up to `most` rows of one more file. Files of one table must have the same columns.
    pub(crate) fn sample(
        &mut self,
        file: &str,
        format: Format,
        style: &CsvStyle,
        input: Input,
        most: u64,
    ) -> Result<()> {
        let mut seen = 0;
        if format == Format::Ndjson {
            let mut lines = Lines::new(input, file);
            while let Some((line, text)) = lines.next()? {
                if seen == most {
                    self.complete = false;
                    break;
                }
                seen += 1;
                json::object(text, |key, value| {
                    let i = self.add(&key);
                    if let Some((cell, t)) = value {
                        self.guesses[i].see(cell, t.as_bytes());
                    }
                    Ok(())
                })
                .map_err(|what| bad_json(file, line, &what))?;
            }
            self.rows += seen;
            return Ok(());
        }
        let first_file = self.names.is_empty();
        let mut csv = CsvFile::open(file, style, input)?;
        let mut at = Vec::with_capacity(csv.names.len());
        for name in &csv.names {
            if first_file {
                at.push(self.add(name));
            } else {
                at.push(*self.index.get(name).ok_or_else(|| extra_column(file, name))?);
            }
        }
        if let Some(missing) = self.names.iter().find(|n| !csv.names.contains(n)) {
            return Err(missing_column(file, missing));
        }
        while csv.next()? {
            if seen == most {
                self.complete = false;
                break;
            }
            seen += 1;
            for (i, to) in at.iter().enumerate() {
                if let Some(v) = csv.record.value(i, &style.null) {
                    self.guesses[*to].see(Cell::Plain, v);
                }
            }
        }
        self.rows += seen;
        Ok(())
    }
}

pub(crate) fn missing_column(file: &str, column: &str) -> Error {
    Error::new(ErrorKind::Type, format!("{file} has no column `{column}`, which other files of the same table have"))
        .hint("files of one table must have the same columns; name fewer files in the glob, or mend the file")
}
pub(crate) fn extra_column(file: &str, column: &str) -> Error {
    Error::new(ErrorKind::Type, format!("{file} has a column `{column}`, which other files of the same table lack"))
        .hint("files of one table must have the same columns; name fewer files in the glob, or mend the file")
}
fn bad_json(file: &str, line: u64, what: &str) -> Error {
    Error::new(ErrorKind::Type, format!("not a JSON object: {what}"))
        .at(file, usize::try_from(line).unwrap_or(0))
        .hint("NDJSON has one whole object on each line; `jq -c '.[]'` turns an array into that")
}

/// A CSV file with its header read.
struct CsvFile<'a> {
    file: &'a str,
    scanner: Scanner<Input>,
    record: Record,
    names: Vec<String>,
    /// Without a header the first record is data, and is given out first.
    held: bool,
}
impl<'a> CsvFile<'a> {
    fn open(file: &'a str, style: &CsvStyle, input: Input) -> Result<Self> {
        let mut scanner = Scanner::new(input, style);
        let mut record = Record::default();
        if !scanner.next(&mut record).map_err(|f| f.at(file))? {
            return Err(Error::new(ErrorKind::Type, format!("{file} is empty: its columns are unknown"))
                .hint("a CSV file needs at least its header line"));
        }
        let mut names: Vec<String> = Vec::with_capacity(record.len());
        for i in 0..record.len() {
            let text =
                if style.header { std::str::from_utf8(record.get(i)).map_err(|_| not_utf8(file, 1))? } else { "" };
            let name = if text.is_empty() { format!("column_{}", i + 1) } else { text.into() };
            if names.contains(&name) {
                return Err(Error::new(ErrorKind::Type, format!("two columns are named `{name}`"))
                    .at(file, 1)
                    .hint("rename one of them in the file's header"));
            }
            names.push(name);
        }
        scanner.keep_blank_lines(names.len() == 1);
        Ok(Self { file, scanner, record, names, held: !style.header })
    }
    /// Moves to the next record, which has as many fields as there are columns.
    fn next(&mut self) -> Result<bool> {
        if self.held {
            self.held = false;
            return Ok(true);
        }
        if !self.scanner.next(&mut self.record).map_err(|f| f.at(self.file))? {
            return Ok(false);
        }
        let (got, want) = (self.record.len(), self.names.len());
        if got != want {
            let what =
                format!("this row has {got} field{}, but there are {want} columns", if got == 1 { "" } else { "s" });
            let hint = "a field that holds the delimiter must be quoted; see `delimiter` of the connection";
            return Err(Fault::Bad { line: self.record.line, what, hint }.at(self.file));
        }
        Ok(true)
    }
}

fn not_utf8(file: &str, line: u64) -> Error {
    Error::new(ErrorKind::Type, "the text is not UTF-8")
        .at(file, usize::try_from(line).unwrap_or(0))
        .hint("convert the file, e.g. `iconv -f latin1 -t utf-8`")
}

/// Lines of a text file, without blank ones.
struct Lines<'a> {
    file: &'a str,
    input: BufReader<Input>,
    buffer: Vec<u8>,
    line: u64,
}
impl<'a> Lines<'a> {
    fn new(input: Input, file: &'a str) -> Self {
        Self { file, input: BufReader::with_capacity(256 << 10, input), buffer: vec![], line: 0 }
    }
    fn next(&mut self) -> Result<Option<(u64, &str)>> {
        loop {
            self.buffer.clear();
            if self.input.read_until(b'\n', &mut self.buffer).map_err(|e| Fault::Io(e).at(self.file))? == 0 {
                return Ok(None);
            }
            self.line += 1;
            if !self.buffer.iter().all(u8::is_ascii_whitespace) {
                break;
            }
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(t) => Ok(Some((self.line, t))),
            Err(_) => Err(not_utf8(self.file, self.line)),
        }
    }
}

enum Values {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Float(Float64Builder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Micros(TimestampMicrosecondBuilder, bool),
    Nanos(TimestampNanosecondBuilder, bool),
    Text(StringBuilder, bool),
}
impl Values {
    fn new(t: TextType, data_type: &DataType) -> Self {
        match t {
            TextType::Bool => Self::Bool(BooleanBuilder::new()),
            TextType::Int => Self::Int(Int64Builder::new()),
            TextType::Decimal { precision, scale } => {
                Self::Decimal(Decimal128Builder::new().with_data_type(data_type.clone()), precision, scale)
            }
            TextType::Float => Self::Float(Float64Builder::new()),
            TextType::Date => Self::Date(Date32Builder::new()),
            TextType::Time => Self::Time(Time64MicrosecondBuilder::new()),
            TextType::Timestamp { nanos: false, zoned } => {
                Self::Micros(TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()), zoned)
            }
            TextType::Timestamp { nanos: true, zoned } => {
                Self::Nanos(TimestampNanosecondBuilder::new().with_data_type(data_type.clone()), zoned)
            }
            TextType::Text => Self::Text(StringBuilder::new(), false),
            TextType::Json => Self::Text(StringBuilder::new(), true),
        }
    }
    fn null(&mut self) {
        match self {
            Self::Bool(b) => b.append_null(),
            Self::Int(b) => b.append_null(),
            Self::Decimal(b, ..) => b.append_null(),
            Self::Float(b) => b.append_null(),
            Self::Date(b) => b.append_null(),
            Self::Time(b) => b.append_null(),
            Self::Micros(b, _) => b.append_null(),
            Self::Nanos(b, _) => b.append_null(),
            Self::Text(b, _) => b.append_null(),
        }
    }
    /// `None` where the value doesn't fit.
    fn push(&mut self, cell: Cell, t: &str, lossy: bool) -> Option<()> {
        let bytes = t.as_bytes();
        // What JSON says about a value counts: a string is no number, whatever it looks like.
        let is = |want: Cell| cell == Cell::Plain || cell == want;
        match self {
            Self::Bool(b) if is(Cell::JsonBool) => b.append_value(values::boolean(bytes)?),
            Self::Int(b) if is(Cell::JsonNumber) => b.append_value(values::int(bytes)?),
            Self::Decimal(b, p, s) if is(Cell::JsonNumber) => b.append_value(values::decimal(bytes, *p, *s)?),
            Self::Float(b) if is(Cell::JsonNumber) => {
                let f = values::float(bytes)?;
                if !lossy && !values::survives_float(bytes) {
                    return None;
                }
                b.append_value(f);
            }
            Self::Date(b) if is(Cell::JsonText) => b.append_value(values::date(bytes)?),
            Self::Time(b) if is(Cell::JsonText) => b.append_value(values::time(bytes)?),
            Self::Micros(b, zoned) if is(Cell::JsonText) => {
                let i = values::timestamp(bytes).filter(|i| i.zoned == *zoned)?;
                if i.nanos % 1000 != 0 && !lossy {
                    return None;
                }
                b.append_value(i64::try_from(i.nanos.div_euclid(1000)).ok()?);
            }
            Self::Nanos(b, zoned) if is(Cell::JsonText) => {
                let i = values::timestamp(bytes).filter(|i| i.zoned == *zoned)?;
                b.append_value(i64::try_from(i.nanos).ok()?);
            }
            Self::Text(b, false) if is(Cell::JsonText) => b.append_value(t),
            Self::Text(b, true) if cell != Cell::Plain => b.append_value(json::raw_text(cell, t)),
            _ => return None,
        }
        Some(())
    }
    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Int(b) => Arc::new(b.finish()),
            Self::Decimal(b, ..) => Arc::new(b.finish()),
            Self::Float(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Time(b) => Arc::new(b.finish()),
            Self::Micros(b, _) => Arc::new(b.finish()),
            Self::Nanos(b, _) => Arc::new(b.finish()),
            Self::Text(b, _) => Arc::new(b.finish()),
        }
    }
}

/// Builds batches; knows when one is full.
struct Batcher<'a> {
    job: &'a TextJob,
    types: Vec<TextType>,
    columns: Vec<Values>,
    rows: usize,
    bytes: usize,
}
impl<'a> Batcher<'a> {
    fn new(job: &'a TextJob) -> Result<Self> {
        let fields = job.shape.needed.fields();
        let types = fields
            .iter()
            .map(|f| {
                TextType::of(f).ok_or_else(|| Error::internal(format!("text files have no type {}", f.data_type())))
            })
            .collect::<Result<Vec<_>>>()?;
        let columns = types.iter().zip(fields).map(|(t, f)| Values::new(*t, f.data_type())).collect();
        Ok(Self { job, types, columns, rows: 0, bytes: 0 })
    }
    fn push(&mut self, i: usize, cell: Cell, t: &str, line: u64) -> Result<()> {
        self.bytes += t.len().max(8);
        let lossy = self.job.types == TypePolicy::Lossy;
        if self.columns[i].push(cell, t, lossy).is_some() {
            return Ok(());
        }
        let shown: String = t.chars().take(60).collect();
        let name = self.job.shape.needed.field(i).name();
        Err(Error::new(
            ErrorKind::Type,
            format!("column `{name}`: value {shown:?} is not a {}, as the rows before it are", self.types[i].name()),
        )
        .at(&self.job.file, usize::try_from(line).unwrap_or(0))
        .hint("types are inferred from the first rows: set `sample_rows: 0` on the connection to use all of them"))
    }
    fn end_row(&mut self) {
        self.rows += 1;
    }
    fn is_full(&self) -> bool {
        self.rows >= self.job.batch_rows || self.bytes >= self.job.batch_bytes
    }
    fn finish(&mut self) -> Result<RecordBatch> {
        let columns = self.columns.iter_mut().map(Values::finish).collect();
        let batch = self.job.shape.finish(columns, self.rows)?;
        self.rows = 0;
        self.bytes = 0;
        Ok(batch)
    }
}

/// Decode a whole file. `emit` answers whether more is wanted.
pub(crate) fn decode(job: &TextJob, input: Input, emit: &mut dyn FnMut(RecordBatch) -> bool) -> Result<()> {
    let mut out = Batcher::new(job)?;
    let more = match job.format {
        Format::Ndjson => decode_json(job, input, &mut out, emit)?,
        _ => decode_csv(job, input, &mut out, emit)?,
    };
    if more && out.rows > 0 {
        emit(out.finish()?);
    }
    Ok(())
}

/// `true` where the file was read to its end.
fn decode_csv(
    job: &TextJob,
    input: Input,
    out: &mut Batcher,
    emit: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<bool> {
    let mut csv = CsvFile::open(&job.file, &job.style, input)?;
    let changed =
        || Error::new(ErrorKind::Conflict, format!("the columns of {} changed", job.file)).hint("run it again");
    if csv.names.len() != job.known.len() {
        return Err(changed());
    }
    let mut at = Vec::with_capacity(out.columns.len());
    for field in job.shape.needed.fields() {
        at.push(csv.names.iter().position(|n| n == field.name()).ok_or_else(changed)?);
    }
    while csv.next()? {
        let line = csv.record.line;
        for (i, from) in at.iter().enumerate() {
            match csv.record.value(*from, &job.style.null) {
                None => out.columns[i].null(),
                Some(v) => {
                    let t = std::str::from_utf8(v).map_err(|_| not_utf8(&job.file, line))?;
                    out.push(i, Cell::Plain, t, line)?;
                }
            }
        }
        out.end_row();
        if out.is_full() && !emit(out.finish()?) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn decode_json(
    job: &TextJob,
    input: Input,
    out: &mut Batcher,
    emit: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<bool> {
    let mut lines = Lines::new(input, &job.file);
    let wanted: HashMap<&str, usize> =
        job.shape.needed.fields().iter().enumerate().map(|(i, f)| (f.name().as_str(), i)).collect();
    let mut seen = vec![0u64; wanted.len()];
    while let Some((line, text)) = lines.next()? {
        let mut fault: Option<Error> = None;
        json::object(text, |key, value| {
            let Some(i) = wanted.get(key.as_ref()).copied() else {
                if !job.known.iter().any(|k| *k == key) {
                    fault = Some(
                        Error::new(ErrorKind::Type, format!("the key `{key}` is not among the table's columns"))
                            .at(&job.file, usize::try_from(line).unwrap_or(0))
                            .hint("columns are found in the first rows: set `sample_rows: 0` to look at all of them"),
                    );
                    return Err(String::new());
                }
                return Ok(());
            };
            if seen[i] == line {
                return Err(format!("the key `{key}` comes twice"));
            }
            seen[i] = line;
            match value {
                None => out.columns[i].null(),
                Some((cell, t)) => out.push(i, cell, &t, line).map_err(|e| {
                    fault = Some(e);
                    String::new()
                })?,
            }
            Ok(())
        })
        .map_err(|what| fault.take().unwrap_or_else(|| bad_json(&job.file, line, &what)))?;
        for (i, at) in seen.iter().enumerate() {
            if *at != line {
                out.columns[i].null();
            }
        }
        out.end_row();
        if out.is_full() && !emit(out.finish()?) {
            return Ok(false);
        }
    }
    Ok(true)
}
