//! Runs a selection of models.

use crate::events::{Event, EventSink};
use crate::node::{NodeTask, config_json};
use crate::results::{NodeResult, RunResults, Status, write_json};
use crate::schedule::{self, NotRun, Plan};
use crate::workspace::Workspace;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use xdb_core::{Error, Result};
use xdb_project::Materialized;

impl Workspace {
    /// The nodes of `ids` that are built (ephemeral ones are not), and what each waits for, through ephemeral models.
    fn plan(&self, ids: &[String], threads: usize) -> Result<Plan> {
        let is_built = |id: &str| self.model(id).is_ok_and(|m| m.config.materialized != Materialized::Ephemeral);
        let order: Vec<String> = ids.iter().filter(|id| is_built(id)).cloned().collect();
        let mut parents: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for id in &order {
            let mut up = BTreeSet::new();
            // An unselected model between two selected ones carries the order too.
            let mut todo: Vec<String> = self.graph.parents(id).cloned().collect();
            let mut seen = BTreeSet::new();
            while let Some(p) = todo.pop() {
                if !seen.insert(p.clone()) {
                    continue;
                }
                if order.contains(&p) {
                    up.insert(p);
                } else {
                    todo.extend(self.graph.parents(&p).cloned());
                }
            }
            parents.insert(id.clone(), up);
        }
        Ok(Plan { order, parents, threads, fail_fast: self.options.fail_fast })
    }

    /// Build `ids` in dependency order. Never fails as a whole: each node has its own result. `args` goes into
    /// run_results.json, for `retry`.
    pub async fn run(
        self: &Arc<Self>,
        ids: &[String],
        args: &Value,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<RunResults> {
        let started = Instant::now();
        let threads = self.threads();
        let plan = self.plan(ids, threads)?;
        let total = plan.order.len();
        let path = self.target_path().join("run_results.json");
        self.write_manifest()?;
        events(Event::RunStart { total, threads });
        let results = Arc::new(Mutex::new(RunResults {
            invocation_id: self.invocation_id.clone(),
            command: self.options.command.clone(),
            generated_at: chrono::Utc::now().to_rfc3339(),
            results: vec![],
            elapsed: 0.0,
            interrupted: false,
        }));
        // Nodes that never got a result (their task died, or xdb was killed) still stand in the file as not done.
        let pending: Vec<String> = plan.order.clone();
        let save = |done: &RunResults| {
            let mut v = done.to_json(args);
            if let Some(all) = v["results"].as_array_mut() {
                for id in pending.iter().filter(|id| !done.results.iter().any(|r| r.unique_id == **id)) {
                    all.push(json!({"unique_id": id, "status": "pending", "message": null, "execution_time": 0.0}));
                }
            }
            write_json(&path, &v)
        };
        save(&lock(&results))?;
        let saved: Mutex<Option<Error>> = Mutex::new(None);
        let record = |index: usize, result: NodeResult| {
            let result = Arc::new(result);
            let mut all = lock(&results);
            all.results.push(result.clone());
            all.elapsed = started.elapsed().as_secs_f64();
            if let Err(e) = save(&all) {
                lock(&saved).get_or_insert(e);
            }
            drop(all);
            events(Event::NodeEnd { index, total, result });
        };
        let stop = cancel.child_token();
        let indices: Mutex<BTreeMap<String, usize>> = Mutex::default();
        schedule::run(
            plan,
            cancel,
            &stop,
            |index, id| {
                lock(&indices).insert(id.into(), index);
                let task = NodeTask {
                    ws: self.clone(),
                    id: id.into(),
                    index,
                    total,
                    events: events.clone(),
                    cancel: stop.clone(),
                    progress: Arc::default(),
                };
                task.announce().run()
            },
            |id, result| {
                let status = result.status;
                record(lock(&indices).get(id).copied().unwrap_or(0), result);
                status
            },
            |index, id, why| {
                let (status, because) = match why {
                    NotRun::Skipped(p) => (Status::Skipped, Some(p)),
                    NotRun::Cancelled => (Status::Cancelled, None),
                };
                record(index, self.not_run(id, status, because));
            },
        )
        .await;
        // A node whose task died has no result yet.
        let missing: Vec<String> = {
            let all = lock(&results);
            pending.iter().filter(|id| !all.results.iter().any(|r| r.unique_id == **id)).cloned().collect()
        };
        for id in missing {
            let mut r = self.not_run(&id, Status::Error, None);
            r.error = Some(Error::internal("the task that built this model died; this is a bug in xdb"));
            record(0, r);
        }
        if let Some(e) = lock(&saved).take() {
            events(Event::Message { text: e.report(), warning: true });
        }
        let mut all = lock(&results);
        all.interrupted = cancel.is_cancelled();
        all.elapsed = started.elapsed().as_secs_f64();
        save(&all)?;
        Ok(std::mem::replace(
            &mut *all,
            RunResults {
                invocation_id: String::new(),
                command: String::new(),
                generated_at: String::new(),
                results: vec![],
                elapsed: 0.0,
                interrupted: false,
            },
        ))
    }

    fn not_run(&self, id: &str, status: Status, because: Option<String>) -> NodeResult {
        let model = self.model(id).ok();
        let relation =
            model.and_then(|m| Some(self.relation_of(m, &self.target_of(m).ok()?).to_string())).unwrap_or_default();
        NodeResult {
            unique_id: id.into(),
            status,
            materialized: model.map(|m| m.config.materialized.as_str().to_string()).unwrap_or_default(),
            relation,
            engine: None,
            rows: None,
            reads: vec![],
            bytes_written: 0,
            seconds: 0.0,
            notes: vec![],
            error: None,
            skipped_because: because,
            compiled_path: None,
        }
    }

    /// `target/manifest.json`: models and sources with their edges, in the shape of dbt's as far as it goes.
    pub fn write_manifest(&self) -> Result<()> {
        let mut nodes = serde_json::Map::new();
        for (id, m) in self.models() {
            let depends: Vec<&String> = self.graph.parents(id).collect();
            nodes.insert(
                id.clone(),
                json!({
                    "unique_id": id, "resource_type": "model", "name": m.file.name, "fqn": m.file.fqn,
                    "original_file_path": m.file.path, "raw_code": m.file.text, "language": "sql",
                    "tags": m.config.tags, "config": config_json(m), "depends_on": {"nodes": depends},
                    "description": m.file.props.as_ref().and_then(|p| p.description.clone()).unwrap_or_default(),
                }),
            );
        }
        let mut sources = serde_json::Map::new();
        for s in &self.project.sources {
            for t in &s.tables {
                let id = xdb_graph::source_id(&self.project.file.name, &s.name, &t.name);
                sources.insert(
                    id.clone(),
                    json!({
                        "unique_id": id, "resource_type": "source", "source_name": s.name, "name": t.name,
                        "identifier": t.identifier, "connection": s.connection, "schema": s.schema_of(t),
                        "original_file_path": s.file, "description": t.description,
                    }),
                );
            }
        }
        let manifest = json!({
            "metadata": {
                "project_name": self.project.file.name, "invocation_id": self.invocation_id,
                "xdb_version": env!("CARGO_PKG_VERSION"), "generated_at": chrono::Utc::now().to_rfc3339(),
            },
            "nodes": nodes,
            "sources": sources,
        });
        write_json(&self.target_path().join("manifest.json"), &manifest)
    }
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
