//! Builds one model: from its template to committed rows.

use crate::compile::{Compiled, Subject, compile};
use crate::connections::{Connection, reserve, wanted};
use crate::events::{Event, EventSink, NodeStart, Progress};
use crate::inputs::{InputRef, ReadOptions};
use crate::results::{NodeResult, Read, Status, write_text};
use crate::transfer::transfer;
use crate::workspace::{Model, Workspace, shown};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use xdb_core::{Error, ErrorKind, LoadOptions, LoadReport, Naming, Relation, Result, WriteMode};
use xdb_project::Materialized;
use xdb_template::{NodeInfo, Template};

/// Everything one node's task needs.
pub(crate) struct NodeTask {
    pub ws: Arc<Workspace>,
    pub id: String,
    pub index: usize,
    pub total: usize,
    pub events: EventSink,
    /// Fired by Ctrl-C and by fail-fast.
    pub cancel: CancellationToken,
    pub progress: Arc<Progress>,
}

/// What is found out on the way, for the result even of a failure.
#[derive(Default)]
struct Trace {
    relation: String,
    materialized: String,
    engine: Option<String>,
    compiled_path: Option<PathBuf>,
}

impl NodeTask {
    /// Tell that the node starts. Called in the order of the indices, before the task runs; what can't be told yet (the
    /// node will fail over it) is left out.
    pub(crate) fn announce(self) -> Self {
        let ws = &self.ws;
        let mut start = NodeStart {
            index: self.index,
            total: self.total,
            unique_id: self.id.clone(),
            materialized: String::new(),
            relation: String::new(),
            engine: None,
            progress: self.progress.clone(),
        };
        if let Ok(model) = ws.model(&self.id) {
            start.materialized = model.config.materialized.as_str().into();
            start.relation = model.file.name.clone();
            if let Ok(target) = ws.target_of(model) {
                start.relation = ws.relation_of(model, &target).to_string();
                if let Ok(m) = ws.materialized(model, &target) {
                    start.materialized = m.as_str().into();
                }
                start.engine = self.engine_guess(model, &target);
            }
        }
        (self.events)(Event::NodeStart(start));
        self
    }

    pub(crate) async fn run(self) -> NodeResult {
        let started = Instant::now();
        let progress = self.progress.clone();
        let mut trace = Trace::default();
        let model = self.ws.model(&self.id).cloned();
        let outcome = match model {
            Ok(m) => {
                // Until more is known; a node may fail before it is.
                trace.relation = m.file.name.clone();
                trace.materialized = m.config.materialized.as_str().into();
                let built = self.build(&m, &progress, &mut trace).await;
                built.map_err(|e| explain_engine(e, &trace).model(&m.file.name))
            }
            Err(e) => Err(e),
        };
        let reads = progress
            .read_so_far()
            .into_iter()
            .map(|(connection, rows, bytes)| Read { connection, rows, bytes })
            .collect();
        let mut result = NodeResult {
            unique_id: self.id.clone(),
            status: Status::Success,
            materialized: trace.materialized,
            relation: trace.relation,
            engine: trace.engine,
            rows: None,
            reads,
            bytes_written: progress.written.bytes(),
            seconds: started.elapsed().as_secs_f64(),
            notes: vec![],
            error: None,
            skipped_because: None,
            compiled_path: trace.compiled_path,
        };
        match outcome {
            Ok((rows, notes)) => {
                result.rows = rows;
                result.notes = notes;
            }
            Err(e) => {
                result.status = match e.kind() {
                    ErrorKind::Cancelled if self.cancel.is_cancelled() => Status::Cancelled,
                    _ => Status::Error,
                };
                result.error = Some(e);
            }
        }
        result
    }

    async fn build(
        &self,
        model: &Arc<Model>,
        progress: &Arc<Progress>,
        trace: &mut Trace,
    ) -> Result<(Option<u64>, Vec<String>)> {
        let ws = &self.ws;
        let config = &model.config;
        let target = ws.target_of(model)?;
        let relation = ws.relation_of(model, &target);
        trace.relation = relation.to_string();
        let materialized = ws.materialized(model, &target)?;
        trace.materialized = materialized.as_str().into();
        if let Materialized::Other(name) = &materialized {
            return Err(Error::unsupported(format!("materialized='{name}' is not built by xdb"))
                .at(shown(&model.file.path), model.recorded.config_line)
                .hint("use table, view, incremental, ephemeral or file"));
        }
        let mode = self.cancellable(write_mode(ws, model, &target, &relation)).await?;
        let incremental = mode != WriteMode::Replace;
        let subject = Subject {
            name: &model.file.name,
            path: &model.file.path,
            text: &model.file.text,
            built: true,
            model: Some((&self.id, model)),
        };
        let compiled = tokio::task::block_in_place(|| compile(ws, &subject, Some(&target), incremental, &self.events))?;
        trace.engine = Some(compiled.engine.name.into());
        let path = ws.target_path().join("compiled").join(&ws.project.file.name).join(&model.file.path);
        write_text(&path, &format!("{}\n", compiled.sql.trim_end()))?;
        trace.compiled_path = Some(path);
        if compiled.sql.trim().is_empty() {
            return Err(Error::config(format!("model `{}` is empty", model.file.name)).at(shown(&model.file.path), 0));
        }
        check_own_target(model, &target, &relation, &compiled.inputs, incremental)?;

        // So many that the node can be sure not to wait for itself.
        let _permits =
            self.cancellable(reserve(&wanted(compiled.inputs.iter().map(|i| &i.connection).chain([&target])))).await?;
        let options = LoadOptions {
            mode,
            types: config.types.unwrap_or(target.types),
            parallelism: ws.threads().clamp(1, 4).min(target.size),
            stats: progress.written.clone(),
            extra: config.extra.clone(),
        };
        for hook in &config.pre_hook {
            self.hook(model, &target, hook).await?;
        }
        let report = self.materialize(model, &materialized, &compiled, &target, &relation, &options, progress).await?;
        for hook in &config.post_hook {
            self.hook(model, &target, hook).await?;
        }
        Ok(report)
    }

    /// The engine as far as it can be told before rendering, for the START line.
    fn engine_guess(&self, model: &Arc<Model>, target: &Connection) -> Option<String> {
        let inputs = self.ws.inputs_of(&model.recorded).ok()?;
        crate::compile::choose_engine(&self.ws, Some(model), &inputs, Some(target), true)
            .ok()
            .map(|(e, _)| e.name.into())
    }

    #[allow(clippy::too_many_arguments)] // One call, each a different thing.
    async fn materialize(
        &self,
        model: &Arc<Model>,
        materialized: &Materialized,
        compiled: &Compiled,
        target: &Connection,
        relation: &Relation,
        options: &LoadOptions,
        progress: &Arc<Progress>,
    ) -> Result<(Option<u64>, Vec<String>)> {
        let ws = &self.ws;
        let native = compiled.engine.naming == Naming::Native;
        let home = compiled.home.as_ref();
        let at_home = native && home.is_some_and(|h| h.connector.context_id() == target.connector.context_id());
        let named = |e: Error| e.connection(&target.name);
        if at_home && let Some(exec) = target.connector.execute() {
            if *materialized == Materialized::View {
                let made = self.cancellable(exec.create_view_as(relation, &compiled.sql)).await;
                return match made {
                    Ok(()) => Ok((None, vec![])),
                    Err(e) => Err(named(missing_input(e, &compiled.inputs).await)),
                };
            }
            let made = self.cancellable(exec.create_table_as(relation, &compiled.sql, options)).await;
            return match made {
                Ok(LoadReport { rows, notes }) => Ok((Some(rows), notes)),
                Err(e) => Err(named(missing_input(e, &compiled.inputs).await)),
            };
        }
        let read = ReadOptions {
            parallelism: ws.threads(),
            types: model.config.types,
            pushdown: model.config.pushdown.unwrap_or_default(),
        };
        let (stream, _scratch) = self.cancellable(ws.setup().open(compiled, progress, read, vec![])).await?;
        let target_name = target.name.clone();
        let report = transfer(stream, target.connector.clone(), relation, options, &self.cancel)
            .await
            .map_err(|e| e.connection(target_name))?;
        Ok((Some(report.rows), report.notes))
    }

    /// Render and send one hook.
    async fn hook(&self, model: &Arc<Model>, target: &Connection, hook: &str) -> Result<()> {
        let subject = Subject { name: &model.file.name, path: &model.file.path, text: hook, model: None, built: true };
        let sql = tokio::task::block_in_place(|| render_hook(&self.ws, &self.id, model, target, &subject))?;
        if sql.trim().is_empty() {
            return Ok(());
        }
        let exec = target.connector.execute().ok_or_else(|| {
            Error::unsupported(format!("hooks need a target that runs SQL, and `{}` does not", target.name))
        })?;
        self.cancellable(exec.run(&sql)).await.map_err(|e| e.connection(&target.name).sql(&sql)).map(|_| ())
    }

    /// `future`, unless the run is stopped first; dropping it then cancels what it was doing.
    async fn cancellable<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            _ = self.cancel.cancelled() => Err(Error::cancelled()),
            out = future => out,
        }
    }
}

fn render_hook(
    ws: &Arc<Workspace>,
    id: &str,
    model: &Arc<Model>,
    target: &Connection,
    subject: &Subject<'_>,
) -> Result<String> {
    let context = crate::compile::hook_context(ws, model, target);
    let info = NodeInfo {
        unique_id: id.into(),
        fqn: model.file.fqn.clone(),
        config: model.config.raw.clone(),
        ..NodeInfo::default()
    };
    ws.templates.render(Template { name: subject.name, path: subject.path, text: subject.text }, &info, context)
}

/// The database's own "no such table" knows nothing of the project: where an input isn't there, say which it is.
async fn missing_input(e: Error, inputs: &[InputRef]) -> Error {
    if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Sql) {
        return e;
    }
    for input in inputs {
        match input.connection.connector.describe(&input.relation).await {
            Err(missing) if missing.kind() == ErrorKind::NotFound && !input.said.is_empty() => {
                return input.missing(missing);
            }
            _ => {}
        }
    }
    e
}

/// Replace, or how to add where the model is incremental and its table is there.
async fn write_mode(ws: &Workspace, model: &Model, target: &Connection, relation: &Relation) -> Result<WriteMode> {
    let c = &model.config;
    if c.materialized != Materialized::Incremental || c.full_refresh.unwrap_or(ws.options.full_refresh) {
        return Ok(WriteMode::Replace);
    }
    match target.connector.describe(relation).await {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(WriteMode::Replace),
        Err(e) => return Err(e.connection(&target.name)),
        Ok(_) => {}
    }
    let place = |e: Error| e.at(shown(&model.file.path), model.recorded.config_line);
    match c.incremental_strategy.as_deref() {
        Some("append") => Ok(WriteMode::Append),
        None | Some("default") if c.unique_key.is_empty() => Ok(WriteMode::Append),
        None | Some("default" | "merge" | "delete+insert") if !c.unique_key.is_empty() => {
            Ok(WriteMode::Merge { unique_key: c.unique_key.clone() })
        }
        Some(s @ ("merge" | "delete+insert")) => {
            Err(place(Error::config(format!("incremental_strategy `{s}` needs a `unique_key`"))))
        }
        Some(other) => Err(place(
            Error::unsupported(format!("incremental_strategy `{other}` is not supported yet"))
                .hint("use `append` or `merge`"),
        )),
        None => Ok(WriteMode::Append),
    }
}

/// A model that replaces a table it reads would read what it is about to drop; only incremental models may name `this`.
fn check_own_target(
    model: &Model,
    target: &Connection,
    relation: &Relation,
    inputs: &[InputRef],
    incremental: bool,
) -> Result<()> {
    let own =
        |i: &&InputRef| i.relation == *relation && i.connection.connector.context_id() == target.connector.context_id();
    match inputs.iter().find(own) {
        Some(i) if !incremental && !i.said.is_empty() => Err(Error::config(format!(
            "model `{}` would write to {} in `{}`, which it also reads ({})",
            model.file.name, relation, target.name, i.said
        ))
        .at(shown(&model.file.path), 0)
        .hint("give the model another name, `alias`, `schema` or `target`")),
        _ => Ok(()),
    }
}

/// Errors of the SQL say which engine's dialect it was read in, and where to look.
fn explain_engine(e: Error, trace: &Trace) -> Error {
    if e.kind() != ErrorKind::Sql {
        return e;
    }
    match (&trace.engine, &trace.compiled_path) {
        (Some(engine), Some(path)) => {
            e.hint(format!("the SQL ran on `{engine}` and must be in its dialect; see {}", path.display()))
        }
        _ => e,
    }
}

/// The model's config as JSON, for the manifest.
pub(crate) fn config_json(model: &Model) -> Value {
    serde_json::to_value(&model.config).unwrap_or(Value::Null)
}
