//! A project ready to work with: parsed models, their graph, the connections, the templates.

use crate::connections::{Connection, Connections};
use crate::inputs::{InputRef, SEED};
use crate::results::PreviousRun;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xdb_core::engine::federated_sql;
use xdb_core::names::suggest;
use xdb_core::{Error, Naming, Registry, Relation, Result};
use xdb_graph::{Graph, Node, RefEdge, ResourceType, SelectContext, SourceEdge};
use xdb_project::{LoadOptions, Materialized, ParsedModel, Project};
use xdb_template::{
    MacroFile, NodeInfo, Recorded, RelationValue, RenderContext, Settings, TargetValues, Template, Templates,
};

/// What the command line says, resolved once.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub load: LoadOptions,
    /// `-t/--target`: the default connection written to, over the project's.
    pub target: Option<String>,
    /// `--target-path`, over the project's.
    pub target_path: Option<PathBuf>,
    /// `--compute`: the engine for every model.
    pub compute: Option<String>,
    /// Models at once; 0 is the number of processors.
    pub threads: usize,
    pub full_refresh: bool,
    pub fail_fast: bool,
    /// e.g. `run`.
    pub command: String,
}

pub type Model = ParsedModel<Recorded>;

#[derive(Debug)]
pub struct Workspace {
    pub options: Options,
    pub project: Project,
    pub connections: Connections,
    pub graph: Graph,
    pub templates: Templates,
    pub invocation_id: String,
    /// By id.
    models: BTreeMap<String, Arc<Model>>,
    /// By id: to the runner a seed is a model without SQL.
    seeds: BTreeMap<String, Arc<Model>>,
    /// By model name: what the project's `generate_schema_name` macro says.
    schemas: BTreeMap<String, String>,
    default_target: Option<String>,
}

impl Workspace {
    /// Reads and parses the whole project; connects nowhere.
    pub fn load(registry: Arc<Registry>, options: Options) -> Result<Self> {
        let mut options = options;
        if options.load.target.is_none() {
            options.load.target = options.target.clone();
        }
        let project = Project::load(&options.load)?;
        let compute = &project.file.compute;
        for (named, place) in
            [(options.compute.as_deref(), None), (Some(compute.default_engine.as_str()), Some(&project.file.file))]
        {
            // A wrong engine is one error now, not one for each model later.
            if let Some(name) = named.filter(|n| *n != "auto") {
                registry.engine(name).map_err(|e| match place {
                    Some(file) => e.at(file.display(), compute.line),
                    None => e,
                })?;
            }
        }
        let profiles = Arc::new(project.profiles.clone());
        let default_target = project.target.clone();
        let invocation_id = uuid::Uuid::new_v4().to_string();
        let settings = Settings {
            project_name: project.file.name.clone(),
            vars: project.vars.clone(),
            target: parse_target(&profiles, default_target.as_deref(), options.threads),
            run_started_at_micros: chrono::Utc::now().timestamp_micros(),
            invocation_id: invocation_id.clone(),
            full_refresh: options.full_refresh,
            command: options.command.clone(),
        };
        let macros: Vec<MacroFile> =
            project.macros.iter().map(|m| MacroFile { path: m.path.clone(), text: m.text.clone() }).collect();
        let templates = Templates::new(settings, &macros)?;
        let parsed = project.parse_models(|m| {
            let r = templates.parse(Template { name: &m.name, path: &m.path, text: &m.text })?;
            Ok((r.config.clone(), r.config_line, r))
        })?;
        let seeds = project
            .seeds
            .iter()
            .map(|s| Ok(Model { file: s.clone(), config: project.seed_config(s)?, recorded: Recorded::default() }))
            .collect::<Result<Vec<_>>>()?;
        let graph = Graph::build(nodes(&project, &parsed, &seeds))?;
        let package = project.file.name.clone();
        let schemas = custom_schemas(&templates, &project, &parsed, default_target.as_deref(), options.threads)?;
        let models = parsed.into_iter().map(|m| (xdb_graph::model_id(&package, &m.file.name), Arc::new(m))).collect();
        let seeds = seeds.into_iter().map(|s| (seed_id(&package, &s.file.name), Arc::new(s))).collect();
        let connections = Connections::new(registry, profiles);
        Ok(Self {
            seeds,
            options,
            project,
            connections,
            graph,
            templates,
            invocation_id,
            models,
            schemas,
            default_target,
        })
    }

    pub fn target_path(&self) -> PathBuf {
        self.project.root.join(self.options.target_path.as_ref().unwrap_or(&self.project.file.target_path))
    }
    pub fn threads(&self) -> usize {
        match self.options.threads {
            0 => std::thread::available_parallelism().map(|n| n.get()).unwrap_or(4),
            n => n,
        }
    }
    pub fn models(&self) -> impl Iterator<Item = (&String, &Arc<Model>)> {
        self.models.iter()
    }
    /// By id, disabled ones too.
    pub fn seeds(&self) -> impl Iterator<Item = (&String, &Arc<Model>)> {
        self.seeds.iter()
    }
    /// A model or a seed: what `ref` may name.
    pub(crate) fn referable(&self, id: &str) -> Result<&Arc<Model>> {
        self.models.get(id).or_else(|| self.seeds.get(id)).ok_or_else(|| Error::internal(format!("no model `{id}`")))
    }
    pub fn model(&self, id: &str) -> Result<&Arc<Model>> {
        self.models.get(id).ok_or_else(|| Error::internal(format!("no model `{id}`")))
    }
    /// By its name alone, as people say it.
    pub fn model_named(&self, name: &str) -> Result<(&String, &Arc<Model>)> {
        self.models.iter().find(|(_, m)| m.file.name == name).ok_or_else(|| {
            let e = Error::config(format!("there is no model `{name}`"));
            match suggest(name, self.models.values().map(|m| m.file.name.as_str())) {
                Some(h) => e.hint(h),
                None => e,
            }
        })
    }

    /// The connection that a model is written to.
    pub fn target_of(&self, model: &Model) -> Result<Connection> {
        let name = match (&model.config.target, &self.default_target) {
            (Some(t), _) => t.clone(),
            (None, Some(t)) => t.clone(),
            (None, None) => {
                let mut known: Vec<&str> = self.connections.profiles().names();
                if let [only] = known[..] {
                    only.to_string()
                } else {
                    known.truncate(12);
                    return Err(Error::config("it isn't said which connection to write to")
                        .model(&model.file.name)
                        .at(model.file.path.display(), 0)
                        .hint(format!(
                            "set `target:` in xdb_project.yml, `config(target=…)` in the model, or pass --target; there is: {}",
                            known.join(", ")
                        )));
                }
            }
        };
        let place = |e: Error| match &model.config.target {
            Some(_) => e.at(model.file.path.display(), model.recorded.config_line).model(&model.file.name),
            None => e,
        };
        let c = self.connections.get(&name).map_err(place)?;
        if model.config.materialized == Materialized::File && c.adapter != "files" {
            return self.connections.project_files(&self.project.root);
        }
        Ok(c)
    }

    /// What becomes of a model's rows. Where nothing is said: a view (dbt's default) if one connection holds everything the
    /// model reads and writes, else a table.
    pub fn materialized(&self, model: &Model, target: &Connection) -> Result<Materialized> {
        if model.config.materialized_given {
            return Ok(model.config.materialized.clone());
        }
        let id = target.connector.context_id();
        let views = target.connector.def().capabilities.views;
        let here = views && self.inputs_of(&model.recorded)?.iter().all(|i| i.connection.connector.context_id() == id);
        Ok(if here { Materialized::View } else { Materialized::Table })
    }

    /// Where a model's rows live.
    pub fn relation_of(&self, model: &Model, target: &Connection) -> Relation {
        let c = &model.config;
        let name = c.alias.clone().unwrap_or_else(|| model.file.name.clone());
        let schema = match (&c.schema, self.schemas.get(&model.file.name)) {
            (_, Some(generated)) => Some(generated.clone()),
            // dbt's own rule, for dbt's own projects: `<default>_<custom>`.
            (Some(custom), None) if self.project.file.file.ends_with("dbt_project.yml") => {
                let default = target.connector.resolve(&Relation::bare("x")).schema;
                Some(default.map_or_else(|| custom.clone(), |d| format!("{d}_{}", custom.trim())))
            }
            (custom, None) => custom.clone(),
        };
        target.connector.resolve(&Relation { database: c.database.clone(), schema, name })
    }

    /// What a `ref` reads, if the model is built at all.
    pub fn ref_input(&self, id: &str) -> Result<InputRef> {
        let m = self.referable(id)?;
        let connection = self.target_of(m)?;
        let relation = self.relation_of(m, &connection);
        let what = if self.seeds.contains_key(id) { SEED } else { "model" };
        Ok(InputRef { connection, relation, said: format!("{what} `{}`", m.file.name) })
    }

    pub fn source_input(&self, source: &str, table: &str) -> Result<InputRef> {
        let (def, tab) = self.project.source(source, table)?;
        let name = match (&def.connection, &self.default_target) {
            (Some(c), _) => c.clone(),
            (None, Some(t)) => t.clone(),
            (None, None) => {
                return Err(Error::config(format!("source `{source}` doesn't say which connection it is on"))
                    .at(def.file.display(), def.line)
                    .hint("add `profile: <connection>` to it"));
            }
        };
        let connection = self.connections.get(&name).map_err(|e| match &def.connection {
            Some(_) => e.at(def.file.display(), def.line),
            None => e,
        })?;
        let rel = Relation {
            database: def.database_of(tab).map(Into::into),
            schema: def.schema_of(tab).map(Into::into),
            name: tab.identifier.clone(),
        };
        let relation = connection.connector.resolve(&rel);
        Ok(InputRef { connection, relation, said: format!("source `{source}.{table}`") })
    }

    /// Everything a model reads, through ephemeral models down to real relations; each once.
    pub fn inputs_of(&self, recorded: &Recorded) -> Result<Vec<InputRef>> {
        let mut out: Vec<InputRef> = Vec::new();
        let mut add = |i: InputRef| {
            if !out.iter().any(|o| o.connection.name == i.connection.name && o.relation == i.relation) {
                out.push(i);
            }
        };
        let mut todo: Vec<&Recorded> = vec![recorded];
        let mut seen: BTreeSet<String> = BTreeSet::new();
        while let Some(r) = todo.pop() {
            for s in &r.sources {
                add(self.source_input(&s.source, &s.table)?);
            }
            for call in &r.refs {
                let node = self.graph.find_ref(call.package.as_deref(), &call.name, &self.project.file.name)?;
                let m = self.referable(&node.id)?;
                if m.config.materialized == Materialized::Ephemeral {
                    if seen.insert(node.id.clone()) {
                        todo.push(&m.recorded);
                    }
                } else {
                    add(self.ref_input(&node.id)?);
                }
            }
        }
        Ok(out)
    }

    /// The ids that `--select`/`--exclude` mean, in dependency order. Only models that are built.
    pub fn select(&self, select: &[String], exclude: &[String]) -> Result<Vec<String>> {
        let results = PreviousRun::load(&self.target_path().join("run_results.json"))
            .map(|p| p.statuses.into_iter().collect())
            .ok();
        let context = SelectContext { results, ..SelectContext::default() };
        let chosen = self.graph.select(select, exclude, &context)?;
        Ok(self
            .graph
            .topological()
            .iter()
            .filter(|id| chosen.contains(*id) && self.models.contains_key(*id))
            .cloned()
            .collect())
    }

    /// `relation` as the engine's SQL names it.
    pub fn relation_sql(naming: Naming, input: &InputRef) -> String {
        match naming {
            Naming::Federated => federated_sql(&input.connection.name, &input.relation),
            Naming::Native => input.connection.connector.relation_sql(&input.relation),
        }
    }
}

/// The schemas that the project's own `generate_schema_name(custom_schema_name, node)` gives, where it has that macro.
fn custom_schemas(
    templates: &Templates,
    project: &Project,
    models: &[Model],
    default_target: Option<&str>,
    threads: usize,
) -> Result<BTreeMap<String, String>> {
    const MACRO: &str = "generate_schema_name";
    let mut out = BTreeMap::new();
    if !templates.macro_names().contains(&MACRO) {
        return Ok(out);
    }
    for m in models {
        let target = m.config.target.as_deref().or(default_target);
        let context = Arc::new(SchemaContext(parse_target(&project.profiles, target, threads)));
        let info = NodeInfo { fqn: m.file.fqn.clone(), config: m.config.raw.clone(), ..NodeInfo::default() };
        let custom = m.config.schema.clone().map_or(Value::Null, Value::String);
        let node = serde_json::json!({"name": m.file.name, "fqn": m.file.fqn, "config": m.config.raw});
        let said = templates.call_macro(MACRO, &[custom, node], &[], (&m.file.name, &info), context)?;
        if let Some(text) = said.as_ref().and_then(Value::as_str).map(str::trim).filter(|t| !t.is_empty()) {
            out.insert(m.file.name.clone(), text.into());
        }
    }
    Ok(out)
}

/// What a macro that makes up a name may ask for: only the target.
struct SchemaContext(TargetValues);
impl RenderContext for SchemaContext {
    fn source(&self, source: &str, table: &str) -> Result<RelationValue> {
        Err(Error::config(format!("source('{source}', '{table}') cannot be used where a schema's name is made")))
    }
    fn ref_(&self, _: Option<&str>, name: &str) -> Result<RelationValue> {
        Err(Error::config(format!("ref('{name}') cannot be used where a schema's name is made")))
    }
    fn this(&self) -> Option<RelationValue> {
        None
    }
    fn target(&self) -> TargetValues {
        self.0.clone()
    }
    fn is_incremental(&self) -> bool {
        false
    }
    fn execute(&self) -> bool {
        false
    }
}

/// `target` as templates see it while parsing: no connection is opened, and a broken profile isn't an error yet.
fn parse_target(profiles: &xdb_project::Profiles, name: Option<&str>, threads: usize) -> TargetValues {
    let Some(name) = name else { return TargetValues::default() };
    match profiles.get(name) {
        Ok(p) => target_values(&p.name, &p.adapter, &p.raw, threads),
        Err(_) => TargetValues { name: name.into(), ..TargetValues::default() },
    }
}

pub(crate) fn target_values(
    name: &str,
    adapter: &str,
    raw: &serde_json::Map<String, Value>,
    threads: usize,
) -> TargetValues {
    let text = |keys: &[&str]| keys.iter().find_map(|k| raw.get(*k)).and_then(|v| v.as_str()).map(String::from);
    let mut extra = serde_json::Map::new();
    for key in ["host", "port", "user", "username"] {
        if let Some(v) = raw.get(key) {
            extra.insert(key.into(), v.clone());
        }
    }
    TargetValues {
        name: name.into(),
        adapter: adapter.into(),
        database: text(&["database", "dbname", "path"]),
        schema: text(&["schema"]),
        threads,
        extra,
    }
}

/// As in the graph.
fn seed_id(package: &str, name: &str) -> String {
    format!("{}.{package}.{name}", ResourceType::Seed)
}

fn nodes(project: &Project, models: &[Model], seeds: &[Model]) -> Vec<Node> {
    let package = &project.file.name;
    let mut out = Vec::new();
    for s in &project.sources {
        for t in &s.tables {
            let mut n = Node::source(package, &s.name, &t.name, &s.file);
            n.tags = t.tags.clone();
            n.enabled = t.enabled;
            n.config = t.config.clone();
            out.push(n);
        }
    }
    let all = models.iter().map(|m| (ResourceType::Model, m)).chain(seeds.iter().map(|s| (ResourceType::Seed, s)));
    for (kind, m) in all {
        let folders: Vec<&str> = match m.file.fqn.len() {
            0..=2 => vec![],
            n => m.file.fqn[1..n - 1].iter().map(String::as_str).collect(),
        };
        let mut n = Node::new(kind, package, &folders, &m.file.name, &m.file.path);
        n.tags = m.config.tags.clone();
        n.enabled = m.config.enabled;
        n.config = m.config.raw.clone();
        let materialized = if kind == ResourceType::Seed { SEED } else { m.config.materialized.as_str() };
        n.config.insert("materialized".into(), materialized.into());
        n.patch_path = m.file.props.as_ref().map(|p| p.file.clone());
        let r = &m.recorded;
        n.refs =
            r.refs.iter().map(|c| RefEdge { package: c.package.clone(), name: c.name.clone(), line: c.line }).collect();
        n.sources = r
            .sources
            .iter()
            .map(|c| SourceEdge { source: c.source.clone(), table: c.table.clone(), line: c.line })
            .collect();
        out.push(n);
    }
    out
}

/// `path` below the project's root as people write it.
pub(crate) fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
