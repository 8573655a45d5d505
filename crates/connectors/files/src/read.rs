//! Reading: predicates, splits, and the streams behind them.

use crate::connector::{Files, blocking};
use crate::decode::{self, Shape, TextJob};
use crate::filter;
use crate::format::{Compression, CsvStyle, FileName, Format};
use crate::input;
use crate::parquet::{self, Ranges};
use crate::prune;
use crate::store::FileEntry;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use async_trait::async_trait;
use futures::{Stream, StreamExt};
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use xdb_core::{
    ArrowStream, Connector, Error, Extract, Predicate, Pushdown, ReadContext, Result, ScanPlan, ScanRequest, Split,
    TableInfo, TypePolicy,
};

/// Batches decoded ahead of the consumer.
const AHEAD: usize = 2;

/// What one split reads. Plain data; whoever runs it needs the same connection, nothing else.
#[derive(Serialize, Deserialize)]
struct Work {
    format: Format,
    pieces: Vec<Piece>,
    /// Columns to decode, as an Arrow IPC stream without batches, in hexadecimal.
    needed: String,
    output: Vec<usize>,
    /// Every column of the table.
    known: Vec<String>,
    predicates: Vec<Predicate>,
    limit: Option<u64>,
    types: TypePolicy,
}

/// A file, or some row groups of one.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Piece {
    path: String,
    size: u64,
    etag: Option<String>,
    compression: Compression,
    style: CsvStyle,
    /// Parquet only.
    groups: Vec<usize>,
    /// Rows where they are known, else bytes: for sharing out.
    #[serde(skip)]
    weight: u64,
    #[serde(skip)]
    rows: Option<u64>,
    /// Which split it is in.
    #[serde(skip)]
    share: usize,
}
impl Piece {
    fn entry(&self) -> Result<FileEntry> {
        let path = Path::parse(&self.path).map_err(|e| Error::internal("a split with a bad path").cause(e))?;
        Ok(FileEntry { path, size: self.size, etag: self.etag.clone() })
    }
}

#[async_trait]
impl Extract for Files {
    fn pushdown(&self, table: &TableInfo, predicates: &[Predicate]) -> Vec<Pushdown> {
        let answer = |p| match filter::supported(&table.schema, p) {
            Ok(()) => Pushdown::Exact,
            Err(why) => Pushdown::No(why),
        };
        predicates.iter().map(answer).collect()
    }

    async fn plan(&self, request: &ScanRequest) -> Result<ScanPlan> {
        let relation = self.resolve(&request.table.relation);
        self.plan_inner(request).await.map_err(|e| self.context(e, &relation))
    }

    async fn read(&self, split: &Split, ctx: &ReadContext) -> Result<ArrowStream> {
        let name = self.config.connection.clone();
        let with_name = move |e: Error| e.connection(&name);
        let stream = self.read_inner(split, ctx).map_err(&with_name)?;
        let stats = ctx.stats.clone();
        Ok(stream.map_error(with_name).inspect(move |b| stats.add_rows(b.num_rows() as u64)))
    }
}

impl Files {
    async fn plan_inner(&self, request: &ScanRequest) -> Result<ScanPlan> {
        let table = &request.table;
        if let Some(p) = request.predicates.iter().find(|p| filter::supported(&table.schema, p).is_err()) {
            return Err(Error::internal(format!("predicate {p:?} was not accepted by pushdown")));
        }
        let set = self.find(&self.resolve(&table.relation)).await?;
        let schema = request.schema();
        let mut needed: Vec<usize> =
            request.projection.clone().unwrap_or_else(|| (0..table.schema.fields().len()).collect());
        needed
            .extend(request.predicates.iter().flat_map(|p| p.columns()).filter_map(|c| table.schema.index_of(c).ok()));
        needed.sort_unstable();
        needed.dedup();
        let position = |name: &str| needed.iter().position(|i| table.schema.field(*i).name() == name);
        let output = schema.fields().iter().filter_map(|f| position(f.name())).collect::<Vec<_>>();
        let needed = Arc::new(table.schema.project(&needed)?);

        let mut pieces = Vec::new();
        let mut total_groups = 0;
        if set.format == Format::Parquet {
            for (file, name) in &set.files {
                let footer = self.footer(file).await?;
                let shown = self.store.show(&file.path);
                for f in needed.fields() {
                    if footer.schema.field_with_name(f.name()).ok().map(|g| g.data_type()) != Some(f.data_type()) {
                        return Err(Error::new(
                            xdb_core::ErrorKind::Conflict,
                            format!("column `{}` of {shown} changed since the table was described", f.name()),
                        )
                        .hint("run it again"));
                    }
                }
                total_groups += footer.reader.metadata().num_row_groups();
                for g in prune::row_groups(&footer, &request.predicates) {
                    let rows = u64::try_from(footer.reader.metadata().row_group(g).num_rows()).unwrap_or(0);
                    pieces.push(self.piece(file, name, vec![g], rows, Some(rows)));
                }
            }
        } else {
            pieces.extend(set.files.iter().map(|(file, name)| self.piece(file, name, vec![], file.size, None)));
        }
        let kept_groups = pieces.len();
        let shares = share(pieces, request.parallelism.max(1));
        let needed_hex = pack_schema(&needed)?;
        let wanted = request.column_names().join(", ");
        let splits = shares
            .into_iter()
            .map(|pieces| {
                let row_estimate = pieces.iter().map(|p| p.rows).sum::<Option<u64>>();
                let mut text = format!("read {}", describe_pieces(&pieces));
                if set.format == Format::Parquet {
                    text.push_str(&format!(
                        " ({} of {total_groups} row groups, {kept_groups} after statistics)",
                        pieces.iter().map(|p| p.groups.len()).sum::<usize>()
                    ));
                }
                text.push_str(&format!(" columns ({wanted})"));
                let conditions: Vec<String> = request.predicates.iter().map(predicate_text).collect();
                if !conditions.is_empty() {
                    text.push_str(&format!(" where {}", conditions.join(" and ")));
                }
                if let Some(n) = request.limit {
                    text.push_str(&format!(" limit {n}"));
                }
                let work = Work {
                    format: set.format,
                    pieces,
                    needed: needed_hex.clone(),
                    output: output.clone(),
                    known: table.schema.fields().iter().map(|f| f.name().clone()).collect(),
                    predicates: request.predicates.clone(),
                    limit: request.limit,
                    types: request.types,
                };
                let payload =
                    serde_json::to_value(work).map_err(|e| Error::internal("a split cannot be written").cause(e))?;
                Ok(Split { payload, sql: text, row_estimate })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(ScanPlan { schema, splits, guard: None })
    }

    fn piece(&self, file: &FileEntry, name: &FileName, groups: Vec<usize>, weight: u64, rows: Option<u64>) -> Piece {
        Piece {
            path: file.path.to_string(),
            size: file.size,
            etag: file.etag.clone(),
            compression: name.compression,
            style: self.style(name),
            groups,
            weight,
            rows,
            share: 0,
        }
    }

    fn read_inner(&self, split: &Split, ctx: &ReadContext) -> Result<ArrowStream> {
        let work: Work = serde_json::from_value(split.payload.clone())
            .map_err(|e| Error::internal("a split of another connector or version").cause(e))?;
        let needed = unpack_schema(&work.needed)?;
        let schema = Arc::new(needed.project(&work.output)?);
        let shape = Arc::new(Shape {
            needed,
            output: work.output.clone(),
            schema: schema.clone(),
            predicates: work.predicates.clone(),
        });
        let (tx, rx) = mpsc::channel(AHEAD);
        let (this, ctx, limit) = (self.clone(), ctx.clone(), work.limit);
        let task = tokio::spawn(async move {
            let failed = match work.format {
                Format::Parquet => this.send_parquet(&work, shape, &ctx, &tx).await,
                _ => this.send_text(&work, &shape, &ctx, &tx).await,
            };
            if let Err(e) = failed {
                // Nobody listens any more: the read was cancelled.
                let _ = tx.send(Err(e)).await;
            }
        });
        let stream = ArrowStream::new(schema, Batches { rx, task, ended: false });
        Ok(match limit {
            Some(n) => stream.limit(n),
            None => stream,
        })
    }

    async fn send_parquet(&self, work: &Work, shape: Arc<Shape>, ctx: &ReadContext, tx: &Sender) -> Result<()> {
        for piece in &work.pieces {
            let file = piece.entry()?;
            let footer = self.footer(&file).await?;
            let ranges = Ranges {
                store: self.store.clone(),
                file,
                stats: Some(ctx.stats.clone()),
                metadata: Some(footer.reader.metadata().clone()),
            };
            let mut batches = parquet::read(ranges, &footer, piece.groups.clone(), shape.clone(), work.limit, ctx)?;
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                if batch.num_rows() > 0 && tx.send(Ok(batch)).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn send_text(&self, work: &Work, shape: &Arc<Shape>, ctx: &ReadContext, tx: &Sender) -> Result<()> {
        let known = Arc::new(work.known.clone());
        for piece in &work.pieces {
            let file = piece.entry()?;
            let input = input::open(&self.store, &file, piece.compression, Some(ctx.stats.clone())).await?;
            let job = TextJob {
                file: self.store.show(&file.path),
                format: work.format,
                style: piece.style.clone(),
                shape: shape.as_ref().clone(),
                known: known.clone(),
                types: work.types,
                batch_rows: ctx.batch_rows.max(1),
                batch_bytes: ctx.batch_bytes.max(1),
            };
            let tx = tx.clone();
            let gone = blocking(move || {
                let mut gone = false;
                decode::decode(&job, input, &mut |batch| {
                    gone = batch.num_rows() > 0 && tx.blocking_send(Ok(batch)).is_err();
                    !gone && !tx.is_closed()
                })?;
                Ok(gone)
            })
            .await?;
            if gone {
                return Ok(());
            }
        }
        Ok(())
    }
}

type Sender = mpsc::Sender<Result<RecordBatch>>;

/// The consumer's end. Dropping it stops the task, and with it the reading.
struct Batches {
    rx: mpsc::Receiver<Result<RecordBatch>>,
    task: JoinHandle<()>,
    ended: bool,
}
impl Stream for Batches {
    type Item = Result<RecordBatch>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(self.rx.poll_recv(cx));
        if next.is_some() || self.ended {
            return Poll::Ready(next);
        }
        // The end of the rows, or of a task that failed half-way: that must not pass for the end.
        let ended = std::task::ready!(Pin::new(&mut self.task).poll(cx));
        self.ended = true;
        Poll::Ready(ended.err().map(|e| Err(Error::internal("a file reader panicked").cause(e))))
    }
}
impl Drop for Batches {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Cuts the pieces, in order, into at most `n` shares of about the same weight; row groups of one file are put together.
fn share(pieces: Vec<Piece>, n: usize) -> Vec<Vec<Piece>> {
    let total: u64 = pieces.iter().map(|p| p.weight).sum();
    let mut shares: Vec<Vec<Piece>> = Vec::new();
    let mut done = 0u64;
    for piece in pieces {
        // The share that the middle of this piece falls into.
        let middle = done + piece.weight / 2;
        let at = usize::try_from(u128::from(middle) * n as u128 / u128::from(total.max(1))).unwrap_or(0).min(n - 1);
        done += piece.weight;
        // `at` never goes down; shares that nothing falls into are left out.
        let new = shares.last().is_none_or(|s| s.last().is_some_and(|p| p.share != at));
        let mut piece = piece;
        piece.share = at;
        if new {
            shares.push(vec![piece]);
        } else if let Some(last) = shares.last_mut() {
            match last.last_mut() {
                Some(p) if p.path == piece.path && !p.groups.is_empty() => {
                    p.groups.extend(piece.groups);
                    p.weight += piece.weight;
                    p.rows = p.rows.zip(piece.rows).map(|(a, b)| a + b);
                }
                _ => last.push(piece),
            }
        }
    }
    shares
}

fn describe_pieces(pieces: &[Piece]) -> String {
    let name = |p: &Piece| p.path.rsplit('/').next().unwrap_or_default().to_string();
    match pieces {
        [] => "nothing".into(),
        [one] => name(one),
        [first, .., last] => format!("{} files ({} … {})", pieces.len(), name(first), name(last)),
    }
}

fn predicate_text(p: &Predicate) -> String {
    xdb_sql::ANSI.predicate(p, &|c| xdb_sql::ANSI.ident(c)).unwrap_or_else(|| "(a condition)".into())
}

fn pack_schema(schema: &SchemaRef) -> Result<String> {
    let mut bytes = Vec::new();
    StreamWriter::try_new(&mut bytes, schema)?.finish()?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}
fn unpack_schema(hex: &str) -> Result<Arc<Schema>> {
    let bytes = (0..hex.len() / 2)
        .map(|i| hex.get(2 * i..2 * i + 2).and_then(|h| u8::from_str_radix(h, 16).ok()))
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(|| Error::internal("a split with a damaged schema"))?;
    Ok(StreamReader::try_new(bytes.as_slice(), None)?.schema())
}
