//! Writing: where a table's new file goes, the session that fills it, and what appending keeps.
//!
//! A local file is staged beside its place and renamed; an object appears when its multipart upload is completed. A
//! folder of part files grows by one more part; a single file is written anew with its old rows first.

use crate::config::{absolute, check_compression};
use crate::connector::{Files, blocking};
use crate::csv::{Record, Scanner};
use crate::decode::Shape as ReadShape;
use crate::format::{Compression, FileName, Format, one_char};
use crate::input;
use crate::parquet::{self, Ranges};
use crate::relations::{self, FileSet, Shape};
use crate::staging::{StagedFile, run_id};
use crate::store::FileEntry;
use crate::types;
use crate::upload::Upload;
use crate::write::{Encoder, Layout, Sink, To, encoder};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use futures::StreamExt;
use object_store::path::Path;
use serde_json::Value;
use std::collections::HashSet;
use std::io::Read;
use std::sync::{Arc, Mutex};
use xdb_core::load::unsupported_mode;
use xdb_core::{
    Connector, Error, ErrorKind, IoStats, Load, LoadOptions, LoadReport, LoadSession, ReadContext, Relation, Result,
    TypePolicy, WriteMode,
};

/// Bytes of an older file copied at once.
const COPY_CHUNK: u64 = 1 << 20;

#[async_trait]
impl Load for Files {
    async fn begin(&self, target: &Relation, schema: SchemaRef, options: &LoadOptions) -> Result<Box<dyn LoadSession>> {
        let relation = self.resolve(target);
        let session = self.begin_inner(&relation, schema, options).await.map_err(|e| self.context(e, &relation))?;
        Ok(Box::new(session))
    }
}

/// Where the rows go, and how.
struct Plan {
    path: Path,
    layout: Layout,
    /// The rows of this file come first.
    keep: Option<(FileEntry, FileName)>,
    /// A file whose columns the new rows must match.
    model: Option<(FileEntry, FileName)>,
}

fn setting<'a>(options: &'a LoadOptions, key: &str) -> Result<Option<&'a str>> {
    match options.extra.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(s)) => Ok(Some(s)),
        Some(other) => Err(Error::config(format!("`{key}` must be text, not {other}"))),
    }
}

impl Files {
    /// Format and spelling of a new file. `name` is what its path says, where it has an extension.
    fn layout(&self, options: &LoadOptions, name: Option<&FileName>) -> Result<Layout> {
        let format = match setting(options, "format")? {
            Some(f) => Format::parse(f).ok_or_else(|| {
                Error::config(format!("`format: {f}` is not known")).hint("use parquet, csv or ndjson")
            })?,
            None => name.map_or(self.config.format, |n| n.format),
        };
        if let Some(n) = name.filter(|n| n.format != format) {
            return Err(Error::config(format!(
                "`format: {}` does not go with a name that ends like {}",
                format.as_str(),
                n.format.as_str()
            ))
            .hint("leave out `format`, or change the extension"));
        }
        let asked = setting(options, "compression")?
            .map(|c| {
                Compression::parse(c).ok_or_else(|| {
                    Error::config(format!("`compression: {c}` is not known")).hint("use none, gzip, zstd or snappy")
                })
            })
            .transpose()?;
        if let Some(c) = asked {
            check_compression(format, c)?;
        }
        // The connection's codec counts where it goes with the format.
        let usual = self.config.compression.filter(|c| check_compression(format, *c).is_ok());
        let compression = match (format, name) {
            (Format::Parquet, _) => asked.or(usual).unwrap_or(Compression::Zstd),
            (_, Some(n)) => n.compression,
            (_, None) => asked.or(usual).unwrap_or(Compression::None),
        };
        let mut csv = name.map_or_else(|| self.config.csv.clone(), |n| self.style(n));
        if let Some(d) = setting(options, "delimiter")? {
            csv.delimiter = one_char("delimiter", d)?;
        }
        if let Some(q) = setting(options, "quote")? {
            csv.quote = one_char("quote", q)?;
        }
        if let Some(n) = setting(options, "null_value")? {
            csv.null = n.into();
        }
        match options.extra.get("header") {
            None | Some(Value::Null) => {}
            Some(Value::Bool(b)) => csv.header = *b,
            Some(other) => return Err(Error::config(format!("`header` must be true or false, not {other}"))),
        }
        let types = if self.config.types == TypePolicy::Lossy { TypePolicy::Lossy } else { options.types };
        Ok(Layout { format, compression, csv: csv.check()?, types })
    }

    /// `location`: an absolute local path, or one relative to the connection's folder.
    fn location(&self, text: &str) -> Result<Path> {
        let path = std::path::Path::new(text);
        if !path.is_absolute() {
            return self.store.below(self.store.root(), text);
        }
        if !self.store.is_local() {
            return Err(Error::config(format!("`location: {text}` is a local path, but the connection is a bucket"))
                .hint("give a path relative to the connection's `path`"));
        }
        let plain = absolute(path)?;
        Path::from_absolute_path(&plain)
            .map_err(|e| Error::config(format!("`location: {text}` is not usable")).cause(e))
    }

    async fn plan_load(&self, rel: &Relation, options: &LoadOptions) -> Result<Plan> {
        if let WriteMode::Merge { .. } = &options.mode {
            return Err(unsupported_mode("files", &options.mode)
                .hint("use `incremental_strategy: append`, or a target that is a database"));
        }
        let append = options.mode == WriteMode::Append;
        if relations::is_glob(&rel.name) && !options.extra.contains_key("location") {
            return Err(Error::unsupported(format!(
                "`{}` is a pattern, which may name several files: it cannot be written",
                rel.name
            ))
            .hint("give the target a name without `*`, `?` and `[`, or the folder's"));
        }
        let (path, name, existing) = match setting(options, "location")? {
            Some(text) => {
                let path = self.location(text)?;
                let name = FileName::parse(path.filename().unwrap_or_default());
                let old = self.store.head(&path).await?.zip(name.clone());
                let set = old.map(|(f, n)| FileSet { shape: Shape::File, format: n.format, files: vec![(f, n)] });
                (path, name, set)
            }
            None => {
                let path = self.store.below(&relations::folder(&self.store, rel)?, &rel.name)?;
                let name = FileName::parse(path.filename().unwrap_or_default());
                (path, name, relations::find(&self.store, rel).await?)
            }
        };
        let show = |p: &Path| self.store.show(p);
        match (existing, append) {
            (None, true) => Err(relations::not_found(&self.store, rel).await),
            (Some(set), false) if set.shape == Shape::Folder => Err(Error::unsupported(format!(
                "{} is a folder of {} files, which cannot be replaced in one step",
                show(&path),
                set.files.len()
            ))
            .hint("write to another name, or remove the folder first; appending to it works")),
            (Some(mut set), true) if set.shape == Shape::Folder => {
                let Some((file, model)) = set.files.pop() else {
                    return Err(Error::internal("a folder without files"));
                };
                let part = FileName { stem: format!("part-{}", run_id()), ..model.clone() };
                let layout = self.layout(options, Some(&part))?;
                let path = self.store.below(&path, &FileName::make(&part.stem, part.format, part.compression))?;
                Ok(Plan { path, layout, keep: None, model: Some((file, model)) })
            }
            (Some(mut set), true) => {
                let Some(old) = set.files.pop() else { return Err(Error::internal("a table without files")) };
                let layout = self.layout(options, Some(&old.1))?;
                Ok(Plan { path: old.0.path.clone(), layout, keep: Some(old.clone()), model: Some(old) })
            }
            (existing, false) => {
                let layout = self.layout(options, name.as_ref())?;
                let path = match &name {
                    Some(_) => path,
                    None => {
                        let stem = path.filename().unwrap_or_default();
                        let file = FileName::make(stem, layout.format, layout.compression);
                        self.store.below(&path.parent().unwrap_or_default(), &file)?
                    }
                };
                if let Some((other, n)) = existing.and_then(|mut s| s.files.pop()).filter(|(f, _)| f.path != path) {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!("{} would stand beside {}, and `{rel}` would be both", show(&path), show(&other.path)),
                    )
                    .hint(format!("remove the old file, or set `format: {}`", n.format.as_str())));
                }
                Ok(Plan { path, layout, keep: None, model: None })
            }
        }
    }

    async fn begin_inner(&self, rel: &Relation, schema: SchemaRef, options: &LoadOptions) -> Result<Session> {
        if schema.fields().is_empty() {
            return Err(Error::unsupported("a file needs at least one column"));
        }
        let mut names = HashSet::new();
        if let Some(twice) = schema.fields().iter().find(|f| !names.insert(f.name().as_str())) {
            return Err(Error::new(ErrorKind::Type, format!("two columns are named `{}`", twice.name()))
                .hint("give one of them another name with AS"));
        }
        let plan = self.plan_load(rel, options).await?;
        if plan.layout.format == Format::Csv && names.contains("") {
            return Err(Error::unsupported("a column of a CSV file needs a name").hint("give it one with AS"));
        }
        // Fails before anything is written where a column has no form in the file.
        if plan.layout.format == Format::Parquet {
            schema.fields().iter().try_for_each(|f| types::stored(f).map(|_| ()))?;
        }
        let fitting = match &plan.model {
            Some(model) => Some(self.fitting(&schema, model, &plan.layout).await?),
            None => None,
        };
        let file_schema = fitting.as_ref().map_or(schema.clone(), |f| f.schema.clone());

        let shown = self.store.show(&plan.path);
        let stats = options.stats.clone();
        let (to, upload) = match self.store.local_path(&plan.path) {
            Some(path) => {
                let staged = blocking(move || StagedFile::create(&path).map_err(bad_name)).await;
                (To::Staged(staged.map_err(|e| cannot_write(e, &shown))?), None)
            }
            None => {
                let buffer = Arc::new(Mutex::new(Vec::new()));
                let upload = Upload::begin(&self.store, &plan.path, buffer.clone()).await?;
                (To::Buffer(buffer), Some(upload))
            }
        };
        let copy_text = plan.keep.is_some() && plan.layout.format != Format::Parquet;
        let encoder = encoder(&plan.layout, &file_schema, Sink { to, stats: stats.clone() }, !copy_text)?;
        let mut session = Session {
            encoder: Some(encoder),
            upload,
            fitting,
            rows: 0,
            stats,
            shown,
            connection: self.config.connection.clone(),
        };
        if let Some((file, name)) = &plan.keep {
            if copy_text {
                session.copy_text(self, file, name).await?;
            } else {
                session.copy_rows(self, file, &file_schema).await?;
            }
        }
        Ok(session)
    }

    /// How rows of `schema` become rows of the file `model`.
    async fn fitting(
        &self,
        schema: &SchemaRef,
        (file, name): &(FileEntry, FileName),
        layout: &Layout,
    ) -> Result<Fitting> {
        let shown = self.store.show(&file.path);
        let theirs: Vec<String> = match layout.format {
            Format::Parquet => self.footer(file).await?.schema.fields().iter().map(|f| f.name().clone()).collect(),
            Format::Csv if layout.csv.header && file.size > 0 => {
                let input = input::open(&self.store, file, name.compression, None).await?;
                let (style, at) = (layout.csv.clone(), shown.clone());
                blocking(move || {
                    let mut record = Record::default();
                    Scanner::new(input, &style).next(&mut record).map_err(|f| f.at(&at))?;
                    Ok((0..record.len()).map(|i| String::from_utf8_lossy(record.get(i)).into_owned()).collect())
                })
                .await?
            }
            // No names to go by: position counts.
            _ => schema.fields().iter().map(|f| f.name().clone()).collect(),
        };
        let differ = |what: String| {
            Error::new(ErrorKind::Type, what)
                .hint("select the columns of the existing file, or run with --full-refresh")
        };
        if let Some(f) = schema.fields().iter().find(|f| !theirs.contains(f.name())) {
            return Err(differ(format!("{shown} has no column `{}`", f.name())));
        }
        let mut order = Vec::with_capacity(theirs.len());
        for n in &theirs {
            order.push(
                schema.index_of(n).map_err(|_| differ(format!("{shown} has a column `{n}` that the new rows lack")))?,
            );
        }
        let schema = if layout.format == Format::Parquet {
            let old = self.footer(file).await?.schema.clone();
            for (f, i) in old.fields().iter().zip(&order) {
                let from = schema.field(*i).data_type();
                if !types::fits(&parquet::plain(from), f.data_type()) {
                    return Err(differ(format!(
                        "column `{}` of {shown} is {}, which cannot hold {from} exactly",
                        f.name(),
                        f.data_type()
                    )));
                }
            }
            let nullable = old.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
            Arc::new(Schema::new(nullable))
        } else {
            Arc::new(schema.project(&order)?)
        };
        Ok(Fitting { order, schema, cast: layout.format == Format::Parquet, lossy: layout.types == TypePolicy::Lossy })
    }
}

/// A name that the file system refuses is the user's to change.
fn bad_name(e: std::io::Error) -> Error {
    match e.kind() {
        std::io::ErrorKind::InvalidFilename | std::io::ErrorKind::InvalidInput => {
            Error::config("the file system refuses this name").cause(e).hint("use a shorter or plainer table name")
        }
        _ => e.into(),
    }
}

fn cannot_write(e: Error, path: &str) -> Error {
    let e = e.with_message(|m| format!("cannot write {path}: {m}"));
    match e.kind() {
        ErrorKind::Permission => {
            e.hint("give xdb the right to write to that folder, or choose another `path` or `location`")
        }
        _ => e,
    }
}

/// Incoming columns into the order and types of an existing file.
#[derive(Clone)]
struct Fitting {
    order: Vec<usize>,
    schema: SchemaRef,
    cast: bool,
    lossy: bool,
}
impl Fitting {
    fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self
            .order
            .iter()
            .zip(self.schema.fields())
            .map(|(i, f)| {
                let c = batch.column(*i);
                if self.cast { types::convert(c, f.data_type(), f.name(), self.lossy) } else { Ok(c.clone()) }
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

struct Session {
    /// Away while a blocking thread has it. It owns the staged file: where a write is cancelled, both go.
    encoder: Option<Box<dyn Encoder>>,
    upload: Option<Upload>,
    fitting: Option<Fitting>,
    rows: u64,
    stats: Arc<IoStats>,
    shown: String,
    connection: String,
}
impl Session {
    /// `f` on a thread that may block, then sends what came out.
    async fn with_encoder<T: Send + 'static>(
        &mut self,
        f: impl FnOnce(&mut dyn Encoder) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Some(mut e) = self.encoder.take() else {
            return Err(Error::internal("the load has already failed or ended"));
        };
        let (e, out) = blocking(move || {
            let out = f(e.as_mut())?;
            Ok((e, out))
        })
        .await?;
        self.encoder = Some(e);
        if let Some(u) = &mut self.upload {
            u.drain().await?;
        }
        Ok(out)
    }

    async fn copy_text(&mut self, files: &Files, file: &FileEntry, name: &FileName) -> Result<()> {
        let mut input = input::open(&files.store, file, name.compression, None).await?;
        let mut last = b'\n';
        loop {
            let (rest, n, end) = self
                .with_encoder(move |e| {
                    let mut chunk = Vec::new();
                    (&mut input).take(COPY_CHUNK).read_to_end(&mut chunk)?;
                    e.copy(&chunk)?;
                    Ok((input, chunk.len(), chunk.last().copied()))
                })
                .await?;
            last = end.unwrap_or(last);
            if n == 0 {
                break;
            }
            input = rest;
        }
        if last != b'\n' {
            self.with_encoder(|e| e.copy(b"\n")).await?;
        }
        Ok(())
    }

    async fn copy_rows(&mut self, files: &Files, file: &FileEntry, schema: &SchemaRef) -> Result<()> {
        let footer = files.footer(file).await?;
        let ranges = Ranges {
            store: files.store.clone(),
            file: file.clone(),
            stats: None,
            metadata: Some(footer.reader.metadata().clone()),
        };
        let shape = Arc::new(ReadShape {
            needed: schema.clone(),
            output: (0..schema.fields().len()).collect(),
            schema: schema.clone(),
            predicates: vec![],
        });
        let groups = (0..footer.reader.metadata().num_row_groups()).collect();
        let mut batches = parquet::read(ranges, &footer, groups, shape, None, &ReadContext::default())?;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            self.with_encoder(move |e| e.write(&batch)).await?;
        }
        Ok(())
    }

    fn context(&self, e: Error) -> Error {
        let e = match e.kind() {
            ErrorKind::Resource | ErrorKind::Permission | ErrorKind::Io => cannot_write(e, &self.shown),
            _ => e,
        };
        e.connection(&self.connection)
    }
}

#[async_trait]
impl LoadSession for Session {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let rows = batch.num_rows() as u64;
        let fitting = self.fitting.clone();
        let done = self
            .with_encoder(move |e| match fitting {
                Some(f) => e.write(&f.apply(&batch)?),
                None => e.write(&batch),
            })
            .await;
        done.map_err(|e| self.context(e))?;
        self.rows += rows;
        self.stats.add_rows(rows);
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<LoadReport> {
        let Some(encoder) = self.encoder.take() else {
            return Err(Error::internal("the load has already failed").connection(&self.connection));
        };
        let upload = self.upload.take();
        let end = async {
            blocking(move || {
                match encoder.finish()?.to {
                    To::Staged(file) => file.commit()?,
                    To::Buffer(_) => {}
                    #[cfg(test)]
                    To::Full => {}
                }
                Ok(())
            })
            .await?;
            match upload {
                Some(u) => u.commit().await,
                None => Ok(()),
            }
        };
        end.await.map_err(|e| self.context(e))?;
        Ok(LoadReport { rows: self.rows, notes: vec![] })
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        let encoder = self.encoder.take();
        blocking(move || {
            drop(encoder);
            Ok(())
        })
        .await?;
        match self.upload.take() {
            Some(u) => u.abort().await,
            None => Ok(()),
        }
    }
}
