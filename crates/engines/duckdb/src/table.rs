//! A table that is attached: what a query knows of it, what it reads of it, and its batches in the form DuckDB takes.

use crate::ahead;
use crate::input::{Plain, plain};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema};
use arrow::util::display::FormatOptions;
use futures::StreamExt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use xdb_core::engine::{ReadActual, RuntimeFilter, SourceRead};
use xdb_core::{Error, ErrorKind, IoStats, Predicate, Pushdown, ReadContext, Result, ScanRequest, Split, TableInput};

/// A table that is attached.
pub(crate) struct Table {
    pub(crate) input: TableInput,
    /// For each column, how to make it plain, or why DuckDB can't have it.
    pub(crate) columns: Vec<Result<Plain, String>>,
    /// Set before the query starts.
    query: Mutex<ForQuery>,
}

/// What one query knows of a table.
#[derive(Default)]
pub(crate) struct ForQuery {
    /// What every row the query can use meets.
    filter: Option<Predicate>,
    /// The same, of what was learnt from other tables. The source takes each of them.
    more: Vec<Predicate>,
    runtime: Vec<RuntimeFilter>,
    /// No row can be used.
    pub(crate) nothing: bool,
    pub(crate) kept: Option<Arc<Kept>>,
    reads: Vec<Arc<Read>>,
}

/// All rows of a table that the query can use, read before it started.
pub(crate) struct Kept {
    /// Positions in the table.
    pub(crate) columns: Vec<usize>,
    /// As DuckDB takes them.
    pub(crate) batches: Vec<RecordBatch>,
}

/// One read of a table, for `analyze`.
pub(crate) struct Read {
    sql: Vec<String>,
    pub(crate) stats: Arc<IoStats>,
    start: Instant,
    elapsed: OnceLock<Duration>,
}

impl Table {
    pub(crate) fn new(input: TableInput) -> Self {
        let columns = input.table.schema.fields().iter().map(|f| plain(f.data_type())).collect();
        Self { input, columns, query: Mutex::default() }
    }

    pub(crate) fn query(&self) -> MutexGuard<'_, ForQuery> {
        self.query.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the last query.
    pub(crate) fn set_filter(&self, filter: Option<Predicate>) {
        *self.query() = ForQuery { filter, ..ForQuery::default() };
    }

    /// Only rows that meet `more` are of use; with `nothing`, none is.
    pub(crate) fn limit_to(&self, more: Option<Predicate>, nothing: bool, told: RuntimeFilter) {
        let mut q = self.query();
        q.more.extend(more);
        q.nothing |= nothing;
        q.runtime.push(told);
    }

    /// The filter's parts that the source takes, and those it doesn't with the reason. DuckDB filters again either way.
    pub(crate) fn predicates(&self) -> (Vec<Predicate>, Vec<(String, String)>) {
        let mut parts = Vec::new();
        let more = {
            let q = self.query();
            if let Some(p) = q.filter.clone() {
                conjuncts(p, &mut parts);
            }
            q.more.clone()
        };
        let Some(extract) = self.input.connector.extract().filter(|_| self.input.pushdown.is_on()) else {
            return (vec![], parts.iter().map(|p| (describe(p), "pushdown is off".into())).collect());
        };
        let answers = extract.pushdown(&self.input.table, &parts);
        let (mut sent, mut kept) = (Vec::new(), Vec::new());
        for (p, answer) in parts.into_iter().zip(answers) {
            match answer {
                Pushdown::Exact | Pushdown::Inexact => sent.push(p),
                Pushdown::No(why) => kept.push((describe(&p), why)),
            }
        }
        sent.extend(more);
        (sent, kept)
    }

    /// Rows that the source itself expects of a read with the query's filters; `None` where it can't say.
    pub(crate) async fn server_estimate(&self) -> Option<u64> {
        let extract = self.extract().ok()?;
        let (sent, _) = self.predicates();
        let plan = extract.plan(&self.request(vec![], sent, 1)).await.ok()?;
        let estimate = extract.estimate(&plan).await.ok()??;
        Some(estimate.rows.ceil().max(0.0) as u64)
    }

    /// Reads `columns` of the rows that the query can use, and keeps them for it; `None` where they are too many after all.
    pub(crate) async fn read_ahead(&self, columns: Vec<usize>) -> Result<Option<Arc<Kept>>> {
        self.check_columns(&columns)?;
        let mut batches = Vec::new();
        if !self.query().nothing {
            let (sent, _) = self.predicates();
            let extract = self.extract()?;
            let plan = extract.plan(&self.request(columns.clone(), sent, 1)).await.map_err(|e| self.locate(e))?;
            let read = self.reading(&plan.splits);
            let ctx = ReadContext { stats: read.stats.clone(), ..ReadContext::default() };
            let (mut rows, mut bytes) = (0, 0);
            for split in &plan.splits {
                let place = |e: Error| self.locate(e.sql(&split.sql));
                let mut stream = extract.read(split, &ctx).await.map_err(place)?;
                while let Some(batch) = stream.next().await {
                    let batch = make_plain(batch.map_err(place)?, self, &columns)?;
                    rows += batch.num_rows();
                    bytes += batch.get_array_memory_size();
                    if rows > ahead::MOST_ROWS || bytes > ahead::MOST_BYTES {
                        read.end();
                        return Ok(None);
                    }
                    batches.push(batch);
                }
            }
            read.end();
        }
        let kept = Arc::new(Kept { columns, batches });
        self.query().kept = Some(kept.clone());
        Ok(Some(kept))
    }

    pub(crate) fn reading(&self, splits: &[Split]) -> Arc<Read> {
        let read = Arc::new(Read {
            sql: splits.iter().map(|s| s.sql.clone()).collect(),
            stats: Arc::new(IoStats::part_of(self.input.stats.clone())),
            start: Instant::now(),
            elapsed: OnceLock::new(),
        });
        self.query().reads.push(read.clone());
        read
    }

    /// What the query has read of this table: one for each read, or one without anything.
    pub(crate) fn reads(&self) -> Vec<SourceRead> {
        let (_, not_pushed) = self.predicates();
        let q = self.query();
        let one = |read: Option<&Arc<Read>>| SourceRead {
            connection: self.input.connection.clone(),
            relation: self.input.table.relation.to_string(),
            sql: read.map(|r| r.sql.clone()).unwrap_or_default(),
            not_pushed: not_pushed.clone(),
            row_estimate: self.input.table.row_estimate,
            dynamic: q.runtime.clone(),
            actual: Some(read.map(|r| r.actual()).unwrap_or_default()),
        };
        if q.reads.is_empty() { vec![one(None)] } else { q.reads.iter().map(|r| one(Some(r))).collect() }
    }

    /// An error where a column of `projection` is of a type that DuckDB can't have.
    pub(crate) fn check_columns(&self, projection: &[usize]) -> Result<()> {
        for i in projection {
            if let Some(Err(why)) = self.columns.get(*i) {
                let name = self.input.table.schema.field(*i).name();
                return Err(self.locate(Error::new(ErrorKind::Type, format!("column `{name}` {why}"))).hint(
                    "leave the column out, set `compute` to `datafusion`, or read the table through a view that casts it",
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn locate(&self, e: Error) -> Error {
        e.connection(&self.input.connection).relation(self.input.table.relation.to_string())
    }

    pub(crate) fn request(
        &self,
        projection: Vec<usize>,
        predicates: Vec<Predicate>,
        parallelism: usize,
    ) -> ScanRequest {
        ScanRequest {
            table: self.input.table.clone(),
            projection: Some(projection),
            predicates,
            // DuckDB stops asking when it has enough.
            limit: None,
            parallelism,
            types: self.input.types,
        }
    }

    /// For `explain`: what a scan of these columns would send on one connection.
    pub(crate) async fn source_read(&self, projection: Vec<usize>) -> Result<SourceRead> {
        let (sent, not_pushed) = self.predicates();
        let plan = self.extract()?.plan(&self.request(projection, sent, 1)).await.map_err(|e| self.locate(e))?;
        Ok(SourceRead {
            connection: self.input.connection.clone(),
            relation: self.input.table.relation.to_string(),
            sql: plan.splits.into_iter().map(|s| s.sql).collect(),
            not_pushed,
            row_estimate: self.input.table.row_estimate,
            ..Default::default()
        })
    }

    pub(crate) fn extract(&self) -> Result<&dyn xdb_core::Extract> {
        self.input.connector.extract().ok_or_else(|| {
            Error::unsupported(format!("{} cannot be read from", self.input.connector.def().title))
                .connection(&self.input.connection)
        })
    }
}

impl Kept {
    /// Where the columns of `projection` are, if all are there.
    pub(crate) fn positions(&self, projection: &[usize]) -> Option<Vec<usize>> {
        projection.iter().map(|c| self.columns.iter().position(|k| k == c)).collect()
    }
}

fn conjuncts(p: Predicate, out: &mut Vec<Predicate>) {
    match p {
        Predicate::And(ps) => ps.into_iter().for_each(|p| conjuncts(p, out)),
        other => out.push(other),
    }
}

/// For people: the columns are what they need to find the condition in their SQL.
fn describe(p: &Predicate) -> String {
    format!("a condition on {}", p.columns().join(", "))
}

impl Read {
    fn end(&self) {
        self.elapsed.get_or_init(|| self.start.elapsed());
    }

    fn actual(&self) -> ReadActual {
        let elapsed = self.elapsed.get().copied().unwrap_or_else(|| self.start.elapsed());
        ReadActual {
            rows: self.stats.rows(),
            bytes: self.stats.bytes(),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            waited_ms: 0,
            splits: self.sql.len(),
        }
    }
}

/// Ends it also where the reader is dropped.
pub(crate) struct EndRead(pub(crate) Arc<Read>);
impl Drop for EndRead {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Checks a batch against what was asked for, and casts the columns whose form the writer doesn't take.
pub(crate) fn make_plain(batch: RecordBatch, table: &Table, projection: &[usize]) -> Result<RecordBatch> {
    let schema = &table.input.table.schema;
    let arrived = batch.schema();
    let same = batch.num_columns() == projection.len()
        && projection.iter().zip(arrived.fields()).all(|(i, f)| schema.field(*i).data_type() == f.data_type());
    if !same {
        return Err(Error::internal(format!("the source sent other columns than it described: {arrived}")));
    }
    let target = |i: &usize| match table.columns.get(*i) {
        Some(Ok(Plain::Cast(t))) => Some(t),
        _ => None,
    };
    if projection.iter().all(|i| target(i).is_none()) {
        return Ok(batch);
    }
    let columns = projection.iter().zip(batch.columns());
    let columns = columns.map(|(i, c)| match target(i) {
        Some(t) => cast(c, t, schema.field(*i).name()),
        None => Ok(c.clone()),
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    let fields =
        arrived.fields().iter().zip(&columns).map(|(f, c)| f.as_ref().clone().with_data_type(c.data_type().clone()));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

fn cast(column: &ArrayRef, to: &DataType, name: &str) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    cast_with_options(column, to, &options).map_err(|e| {
        let why = format!("cannot be carried by DuckDB as {to}");
        Error::new(ErrorKind::Type, format!("column `{name}` {why}"))
            .cause(e.to_string())
            .hint("leave the column out, or read the table through a view that casts it")
    })
}
