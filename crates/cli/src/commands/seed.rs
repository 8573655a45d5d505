//! `xdb seed`: loads `seeds/*.csv`, each into its target, with the types that `column_types` gives.
//!
//! A seed is read by the files connector and written as any model is: staged, then swapped in.

use super::run::code;
use crate::app::App;
use crate::args::Seed;
use crate::output::events;
use crate::output::run::{Reporter, finish};
use crate::output::text::plural;
use arrow::array::RecordBatch;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use futures::StreamExt;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;
use xdb_core::names::suggest;
use xdb_core::{
    ArrowStream, Error, ErrorKind, LoadOptions, LogicalType, ReadContext, Relation, Result, ScanRequest, TableInfo,
};
use xdb_project::ModelFile;
use xdb_runner::{
    Event, EventSink, Model, NodeResult, NodeStart, Options, Progress, Read, RunResults, Status, Workspace,
};

pub(crate) async fn run(app: &App, args: Seed) -> Result<u8> {
    let stored = json!({
        "which": "seed", "select": args.selection.select, "exclude": args.selection.exclude,
        "target": args.project.target, "vars": args.project.vars, "target_path": args.project.target_path,
        "threads": args.threads.threads, "fail_fast": args.fail_fast,
    });
    let options = Options {
        threads: args.threads.threads.map(usize::from).unwrap_or(0),
        fail_fast: args.fail_fast,
        ..app.options(&args.project, "seed")?
    };
    let ws = app.workspace(options)?;
    let (select, exclude) = (words(&args.selection.select), words(&args.selection.exclude));
    let names: Vec<&str> = ws.project.seeds.iter().map(|s| s.name.as_str()).collect();
    for word in select.iter().chain(&exclude) {
        if !names.contains(&word.as_str()) {
            let e = Error::config(format!("there is no seed `{word}`"));
            return Err(suggest(word, names.iter().copied()).into_iter().fold(e, Error::hint));
        }
    }
    let package = ws.project.file.name.clone();
    let is = |list: &[String], id: &str| list.iter().any(|n| seed_id(&package, n) == id);
    let chosen = |id: &str| (select.is_empty() || is(&select, id)) && !is(&exclude, id);
    load(app, &ws, chosen, &stored).await
}

/// Each argument may hold several names.
fn words(given: &[String]) -> Vec<String> {
    given.iter().flat_map(|g| g.split_whitespace()).map(String::from).collect()
}

fn seed_id(package: &str, name: &str) -> String {
    format!("seed.{package}.{name}")
}

/// Load the seeds whose id `chosen` accepts, as many at once as there are threads; the exit code.
pub(crate) async fn load(app: &App, ws: &Arc<Workspace>, chosen: impl Fn(&str) -> bool, stored: &Value) -> Result<u8> {
    let started = Instant::now();
    let seeds: Vec<(String, Arc<Model>)> =
        ws.seeds().filter(|(id, s)| s.config.enabled && chosen(id)).map(|(id, s)| (id.clone(), s.clone())).collect();
    if seeds.is_empty() {
        events::warn("nothing to do: no seed is selected");
        return Ok(0);
    }
    events::info(&format!("Running with xdb={}", env!("CARGO_PKG_VERSION")));
    events::info(&format!("Found {}", plural(ws.project.seeds.len(), "seed")));
    events::info("");
    let reporter = Reporter::new();
    let sink = reporter.sink();
    let total = seeds.len();
    let mut results = RunResults {
        invocation_id: ws.invocation_id.clone(),
        command: "seed".into(),
        generated_at: chrono::Utc::now().to_rfc3339(),
        results: vec![],
        elapsed: 0.0,
        interrupted: false,
    };
    let halted = AtomicBool::new(false);
    let jobs = seeds.into_iter().enumerate().map(|(i, (id, model))| {
        let (halted, sink) = (&halted, &sink);
        async move {
            let index = i + 1;
            if halted.load(Relaxed) || app.cancel.is_cancelled() {
                return (index, not_run(id, &model.file));
            }
            let result = one(app, ws, Job { id, index, total, model }, sink).await;
            if ws.options.fail_fast && result.status != Status::Success {
                halted.store(true, Relaxed);
            }
            (index, result)
        }
    });
    // What is CPU work (parsing the CSV) is a task of its own in each.
    let mut jobs = futures::stream::iter(jobs).buffer_unordered(ws.threads());
    while let Some((index, result)) = jobs.next().await {
        let result = Arc::new(result);
        results.results.push(result.clone());
        results.elapsed = started.elapsed().as_secs_f64();
        results.interrupted = app.cancel.is_cancelled();
        let json = format!("{:#}\n", results.to_json(stored));
        xdb_runner::write_text(&ws.target_path().join("run_results.json"), &json)?;
        sink(Event::NodeEnd { index, total, result });
    }
    drop(jobs);
    drop((sink, reporter));
    finish(&results);
    Ok(code(&results))
}

struct Job {
    id: String,
    index: usize,
    total: usize,
    model: Arc<Model>,
}

fn not_run(id: String, file: &ModelFile) -> NodeResult {
    NodeResult {
        unique_id: id,
        status: Status::Cancelled,
        materialized: "seed".into(),
        relation: file.name.clone(),
        engine: None,
        rows: None,
        reads: vec![],
        bytes_written: 0,
        seconds: 0.0,
        notes: vec![],
        error: None,
        skipped_because: None,
        compiled_path: None,
    }
}

async fn one(app: &App, ws: &Arc<Workspace>, job: Job, sink: &EventSink) -> NodeResult {
    let started = Instant::now();
    let progress = Arc::new(Progress::default());
    let mut result = not_run(job.id.clone(), &job.model.file);
    let outcome = write(app, ws, &job, &progress, sink, &mut result).await;
    result.seconds = started.elapsed().as_secs_f64();
    result.reads =
        progress.read_so_far().into_iter().map(|(connection, rows, bytes)| Read { connection, rows, bytes }).collect();
    result.status = match outcome {
        Ok(()) => Status::Success,
        Err(e) => {
            let cancelled = e.kind() == ErrorKind::Cancelled && app.cancel.is_cancelled();
            result.error =
                Some(if e.context().location.is_some() { e } else { e.at(job.model.file.path.display(), 0) });
            if cancelled { Status::Cancelled } else { Status::Error }
        }
    };
    result
}

async fn write(
    app: &App,
    ws: &Arc<Workspace>,
    job: &Job,
    progress: &Arc<Progress>,
    sink: &EventSink,
    result: &mut NodeResult,
) -> Result<()> {
    let config = &job.model.config;
    let target = ws.target_of(&job.model)?;
    let relation = ws.relation_of(&job.model, &target);
    result.relation = relation.to_string();
    sink(Event::NodeStart(NodeStart {
        index: job.index,
        total: job.total,
        unique_id: job.id.clone(),
        materialized: "seed".into(),
        relation: result.relation.clone(),
        engine: None,
        progress: progress.clone(),
    }));
    // Inside the target's `pool_size`, however many threads there are.
    let permit = app.stoppable(async { Ok(target.budget.clone().acquire_owned().await) }).await?;
    let stream = app.stoppable(read(app, ws, job, progress)).await?;
    let options = LoadOptions {
        types: config.types.unwrap_or(target.types),
        stats: progress.written.clone(),
        extra: config.extra.clone(),
        ..LoadOptions::default()
    };
    let report = xdb_runner::transfer(stream, target.connector.clone(), &relation, &options, &app.cancel)
        .await
        .map_err(|e| e.connection(&target.name))?;
    drop(permit);
    result.rows = Some(report.rows);
    result.notes = report.notes;
    Ok(())
}

/// The seed's rows with their final types.
async fn read(app: &App, ws: &Workspace, job: &Job, progress: &Progress) -> Result<ArrowStream> {
    let path = ws.project.root.join(&job.model.file.path);
    let dir = path.parent().unwrap_or(&ws.project.root);
    // Types are inferred from every row, not from a sample.
    let mut raw = json!({"path": dir.to_string_lossy(), "sample_rows": 0});
    if let (Some(d), Some(raw)) = (job.model.config.extra.get("delimiter"), raw.as_object_mut()) {
        raw.insert("delimiter".into(), d.clone());
    }
    let raw = raw.as_object().cloned().unwrap_or_default();
    let connector = app.registry.validate("seeds", "files", &raw, &ws.project.root)?.open()?;
    let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut table = connector.describe(&connector.resolve(&Relation::bare(file))).await?;
    let wanted = column_types(&job.model.config.extra, &table)?;
    // The connector parses text as what the table says it is: exact also where inference would have guessed otherwise.
    table.schema = parse_schema(&table.schema, &wanted);
    let extract = connector.extract().ok_or_else(|| Error::internal("the files connector cannot read"))?;
    let plan = extract.plan(&ScanRequest::all(Arc::new(table))).await?;
    let context = ReadContext { stats: progress.reads_of("seeds"), ..ReadContext::default() };
    let mut parts = Vec::new();
    for split in &plan.splits {
        parts.push(extract.read(split, &context).await?);
    }
    let all = futures::stream::iter(parts).flatten();
    let schema: SchemaRef = Arc::new(Schema::new(wanted));
    let to = schema.clone();
    // The connector must live as long as what it reads.
    let stream = all.map(move |b| {
        let _ = &connector;
        b.and_then(|b| convert(&b, &to))
    });
    Ok(ArrowStream::new(schema, stream))
}

fn convert(batch: &RecordBatch, to: &SchemaRef) -> Result<RecordBatch> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch.columns().iter().zip(to.fields()).map(|(c, f)| {
        cast_with_options(c, f.data_type(), &options)
            .map_err(|e| Error::from(e).with_message(|m| format!("column `{}`: {m}", f.name())))
    });
    Ok(RecordBatch::try_new(to.clone(), columns.collect::<Result<_>>()?)?)
}

/// The fields as they are to be written.
fn column_types(extra: &Map<String, Value>, table: &TableInfo) -> Result<Vec<Field>> {
    let empty = Map::new();
    let types = extra.get("column_types").and_then(Value::as_object).unwrap_or(&empty);
    let names: Vec<&str> = table.schema.fields().iter().map(|f| f.name().as_str()).collect();
    if let Some(stranger) = types.keys().find(|k| !names.contains(&k.as_str())) {
        let e = Error::config(format!("column_types names `{stranger}`, which the file has no column for"));
        return Err(suggest(stranger, names.iter().copied()).into_iter().fold(e, Error::hint));
    }
    table
        .schema
        .fields()
        .iter()
        .map(|f| match types.get(f.name()) {
            None => Ok(f.as_ref().clone()),
            Some(Value::String(t)) => sql_type(f.name(), t),
            Some(other) => {
                Err(Error::config(format!("column_types: `{}` must be a type's name, not {other}", f.name())))
            }
        })
        .collect()
}

/// What the connector is to read each column as, before the cast to `wanted`.
fn parse_schema(inferred: &SchemaRef, wanted: &[Field]) -> SchemaRef {
    let fields = inferred.fields().iter().zip(wanted).map(|(i, w)| {
        let read_as = match w.data_type() {
            DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Int64,
            DataType::Float32 | DataType::Float64 => DataType::Float64,
            DataType::Utf8 => DataType::Utf8,
            t @ (DataType::Boolean | DataType::Decimal128(..) | DataType::Date32) => t.clone(),
            t @ (DataType::Timestamp(TimeUnit::Microsecond, _) | DataType::Time64(TimeUnit::Microsecond)) => t.clone(),
            _ => i.data_type().clone(),
        };
        Field::new(i.name(), read_as, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A type as SQL spells it, in any of the usual spellings.
fn sql_type(column: &str, text: &str) -> Result<Field> {
    let lower = text.trim().to_lowercase();
    let (name, args) = match lower.split_once('(') {
        Some((n, rest)) => (n.trim().to_string(), rest.split(')').next().unwrap_or("").to_string()),
        None => (lower.clone(), String::new()),
    };
    let numbers: Vec<i64> = args.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let time = |zone: bool| DataType::Timestamp(TimeUnit::Microsecond, zone.then(|| "UTC".into()));
    let mut logical = None;
    let data_type = match name.as_str() {
        "smallint" | "int2" | "int16" => DataType::Int16,
        "int" | "integer" | "int4" | "int32" => DataType::Int32,
        "bigint" | "int8" | "int64" | "long" => DataType::Int64,
        "real" | "float4" | "float32" => DataType::Float32,
        "float" | "double" | "double precision" | "float8" | "float64" => DataType::Float64,
        "decimal" | "numeric" | "number" => {
            let (p, s) = match numbers[..] {
                [p, s] => (p, s),
                [p] => (p, 0),
                _ => (38, 9),
            };
            match (u8::try_from(p), i8::try_from(s)) {
                (Ok(p @ 1..=38), Ok(scale)) if (0..=p.cast_signed()).contains(&scale) => DataType::Decimal128(p, scale),
                _ => {
                    return Err(Error::config(format!(
                        "column_types: `{text}` of `{column}` is not a decimal(1..38, scale)"
                    )));
                }
            }
        }
        "text" | "string" | "varchar" | "char" | "character varying" | "character" | "nvarchar" => DataType::Utf8,
        "uuid" | "json" | "jsonb" => {
            logical = Some(if name == "uuid" { LogicalType::Uuid } else { LogicalType::Json });
            DataType::Utf8
        }
        "bool" | "boolean" => DataType::Boolean,
        "date" => DataType::Date32,
        "time" | "time without time zone" => DataType::Time64(TimeUnit::Microsecond),
        "timestamptz" | "timestamp with time zone" => time(true),
        "timestamp" | "datetime" | "timestamp without time zone" | "timestamp_ntz" => time(false),
        _ => {
            let known = [
                "smallint",
                "integer",
                "bigint",
                "real",
                "double",
                "decimal",
                "text",
                "varchar",
                "uuid",
                "json",
                "boolean",
                "date",
                "time",
                "timestamp",
                "timestamptz",
            ];
            let e = Error::config(format!("column_types: unknown type `{text}` of column `{column}`"));
            return Err(suggest(&name, known).into_iter().fold(e, Error::hint));
        }
    };
    let field = Field::new(column, data_type, true);
    Ok(match logical {
        Some(l) => l.mark(field),
        None => field,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_in_their_usual_spellings() {
        for (text, want) in [
            ("integer", DataType::Int32),
            ("DECIMAL(12, 2)", DataType::Decimal128(12, 2)),
            ("numeric(5)", DataType::Decimal128(5, 0)),
            ("varchar(20)", DataType::Utf8),
            ("timestamp with time zone", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ] {
            assert_eq!(sql_type("c", text).unwrap().data_type(), &want, "{text}");
        }
        for bad in ["decimal(39,2)", "decimal(5,6)", "intger"] {
            assert!(sql_type("c", bad).is_err(), "{bad}");
        }
        assert_eq!(sql_type("c", "intger").unwrap_err().hint_text(), Some("did you mean `integer`?"));
    }

    #[test]
    fn codes_keep_their_zeros_and_money_its_scale() {
        let table = parse_schema(
            &Arc::new(Schema::new(vec![
                Field::new("code", DataType::Int64, true),
                Field::new("price", DataType::Float64, true),
            ])),
            &[sql_type("code", "text").unwrap(), sql_type("price", "decimal(12,2)").unwrap()],
        );
        let types: Vec<_> = table.fields().iter().map(|f| f.data_type().clone()).collect();
        assert_eq!(types, [DataType::Utf8, DataType::Decimal128(12, 2)]);
    }
}
