//! Turns a model into SQL for the engine that will run it.

use crate::connections::Connection;
use crate::events::{Event, EventSink};
use crate::inputs::InputRef;
use crate::workspace::{Model, Workspace, target_values};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::{Arc, Mutex};
use xdb_core::{ArrowStream, EngineDef, Error, ErrorKind, Naming, ReadContext, Relation, RelationPattern, Result};
use xdb_project::Materialized;
use xdb_template::{NodeInfo, QueryRows, RelationValue, RenderContext, TargetValues, Template};

/// A model (or an inline query) ready to run.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub sql: String,
    /// Every relation that the SQL names.
    pub inputs: Vec<InputRef>,
    pub engine: &'static EngineDef,
    /// The connection that runs native SQL.
    pub home: Option<Connection>,
}

/// What is being compiled.
pub(crate) struct Subject<'a> {
    pub name: &'a str,
    pub path: &'a Path,
    pub text: &'a str,
    pub model: Option<(&'a str, &'a Arc<Model>)>,
    /// It is built in its target; otherwise only its rows are asked for, which any engine may compute.
    pub built: bool,
}

/// The engine by the user's word, or by `auto`'s rule: one connection for everything -> that database; else DataFusion.
pub(crate) fn choose_engine(
    ws: &Workspace,
    model: Option<&Model>,
    inputs: &[InputRef],
    target: Option<&Connection>,
    built: bool,
) -> Result<(&'static EngineDef, Option<Connection>)> {
    let named = ws
        .options
        .compute
        .as_deref()
        .or(model.and_then(|m| m.config.compute.as_deref()))
        .unwrap_or(&ws.project.file.compute.default_engine);
    let registry = ws.connections.registry();
    let home = inputs.first().map(|i| i.connection.clone()).or_else(|| target.cloned());
    let is_view = match (model, target) {
        (Some(m), Some(t)) => ws.materialized(m, t)? == Materialized::View,
        _ => false,
    };
    // A view is its database's business; `show --compute` of one is a query like any other.
    if is_view && (built || ws.options.compute.is_none()) {
        let m = model.ok_or_else(|| Error::internal("view without a model"))?;
        let stranger = inputs
            .iter()
            .find(|i| target.is_none_or(|t| i.connection.connector.context_id() != t.connector.context_id()));
        if let Some(s) = stranger {
            let t = target.map(|t| t.name.as_str()).unwrap_or("?");
            return Err(Error::config(format!(
                "model `{}` is a view in `{t}` but reads {} from `{}`: a view cannot reach another connection",
                m.file.name, s.said, s.connection.name
            ))
            .at(m.file.path.display(), m.recorded.config_line)
            .hint("use materialized='table', or 'ephemeral' if only other models read it"));
        }
        return Ok((registry.engine("native")?, target.cloned()));
    }
    if named != "auto" {
        return Ok((registry.engine(named)?, home));
    }
    let one_place = home.as_ref().is_some_and(|h| {
        h.connector.execute().is_some()
            && inputs
                .iter()
                .map(|i| &i.connection)
                .chain(target)
                .all(|c| c.connector.context_id() == h.connector.context_id())
    });
    let name = if one_place { "native" } else { "datafusion" };
    Ok((registry.engine(name)?, home))
}

/// Render `subject`. `incremental`: the target exists and is to be added to. Blocks where a template asks the database.
pub(crate) fn compile(
    ws: &Arc<Workspace>,
    subject: &Subject<'_>,
    target: Option<&Connection>,
    incremental: bool,
    events: &EventSink,
) -> Result<Compiled> {
    let recorded = match subject.model {
        Some((_, m)) => m.recorded.clone(),
        None => ws.templates.parse(Template { name: subject.name, path: subject.path, text: subject.text })?,
    };
    let planned = ws.inputs_of(&recorded)?;
    let model = subject.model.map(|(_, m)| m.as_ref());
    let (engine, home) = choose_engine(ws, model, &planned, target, subject.built)?;
    let shared = Arc::new(Shared { used: Mutex::default(), ctes: Mutex::default() });
    let context = Arc::new(Context {
        ws: ws.clone(),
        model: subject.model.map(|(_, m)| m.clone()),
        target: target.cloned(),
        naming: engine.naming,
        incremental,
        shared: shared.clone(),
        events: events.clone(),
        depth: 0,
    });
    let body = context.render(subject.name, subject.path, subject.text, subject.model.map(|(id, _)| id))?;
    let ctes = lock(&shared.ctes).clone();
    let sql = with_ctes(&body, &ctes);
    let mut inputs = lock(&shared.used).clone();
    // `this` is only known to be read by having been asked for.
    if incremental
        && recorded.uses_this
        && let (Some(m), Some(t)) = (model, target)
    {
        let relation = ws.relation_of(m, t);
        if !inputs.iter().any(|i| i.connection.name == t.name && i.relation == relation) {
            inputs.push(InputRef { connection: t.clone(), relation, said: String::new() });
        }
    }
    Ok(Compiled { sql, inputs, engine, home })
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// `ctes` before `body`, joining a `with` that is there already. dbt's way of inlining ephemeral models.
fn with_ctes(body: &str, ctes: &[(String, String)]) -> String {
    if ctes.is_empty() {
        return body.to_string();
    }
    let list = ctes.iter().map(|(n, sql)| format!("{n} as (\n{}\n)", sql.trim())).collect::<Vec<_>>().join(",\n");
    let start = skip_blank(body);
    let rest = &body[start..];
    let word = |w: &str, s: &str| {
        s.len() > w.len()
            && s.is_char_boundary(w.len())
            && s[..w.len()].eq_ignore_ascii_case(w)
            && !s[w.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
    };
    if word("with", rest) {
        let after = &rest[4..];
        let inner = skip_blank(after);
        if word("recursive", &after[inner..]) {
            return format!("{}with recursive {list},{}", &body[..start], &after[inner + 9..]);
        }
        return format!("{}with {list},{after}", &body[..start]);
    }
    format!("{}with {list}\n{rest}", &body[..start])
}

/// Bytes of white space and comments at the start.
fn skip_blank(sql: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &sql[at..];
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        if trimmed.starts_with("--") {
            at += trimmed.find('\n').map(|i| i + 1).unwrap_or(trimmed.len());
        } else if trimmed.starts_with("/*") {
            at += trimmed.find("*/").map(|i| i + 2).unwrap_or(trimmed.len());
        } else {
            return at;
        }
    }
}

struct Shared {
    used: Mutex<Vec<InputRef>>,
    /// Name and SQL, dependencies first.
    ctes: Mutex<Vec<(String, String)>>,
}

struct Context {
    ws: Arc<Workspace>,
    model: Option<Arc<Model>>,
    target: Option<Connection>,
    naming: Naming,
    incremental: bool,
    shared: Arc<Shared>,
    events: EventSink,
    depth: usize,
}

impl Context {
    fn render(self: &Arc<Self>, name: &str, path: &Path, text: &str, id: Option<&str>) -> Result<String> {
        let info = match (&self.model, id) {
            (Some(m), Some(id)) => NodeInfo {
                unique_id: id.into(),
                fqn: m.file.fqn.clone(),
                config: m.config.raw.clone(),
                extra: Map::new(),
            },
            _ => NodeInfo::default(),
        };
        self.ws.templates.render(Template { name, path, text }, &info, self.clone() as Arc<dyn RenderContext>)
    }

    fn value(&self, input: &InputRef) -> RelationValue {
        RelationValue {
            database: input.relation.database.clone(),
            schema: input.relation.schema.clone(),
            identifier: input.relation.name.clone(),
            rendered: Workspace::relation_sql(self.naming, input),
            kind: None,
        }
    }

    fn used(&self, input: InputRef) -> RelationValue {
        let value = self.value(&input);
        let mut all = lock(&self.shared.used);
        if !all.iter().any(|i| i.connection.name == input.connection.name && i.relation == input.relation) {
            all.push(input);
        }
        value
    }

    fn target(&self) -> Result<&Connection> {
        self.target.as_ref().ok_or_else(|| Error::config("there is no target connection here"))
    }

    /// Wait for `future` from a rendering thread.
    fn wait<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
    }
}

impl RenderContext for Context {
    fn source(&self, source: &str, table: &str) -> Result<RelationValue> {
        Ok(self.used(self.ws.source_input(source, table)?))
    }

    fn ref_(&self, package: Option<&str>, name: &str) -> Result<RelationValue> {
        let node = self.ws.graph.find_ref(package, name, &self.ws.project.file.name)?;
        let m = self.ws.referable(&node.id)?.clone();
        if m.config.materialized != Materialized::Ephemeral {
            return Ok(self.used(self.ws.ref_input(&node.id)?));
        }
        let cte = format!("__dbt__cte__{}", m.file.name);
        if !lock(&self.shared.ctes).iter().any(|(n, _)| *n == cte) {
            if self.depth > 64 {
                return Err(Error::config("ephemeral models are nested too deep"));
            }
            let (path, text, file) = (m.file.path.clone(), m.file.text.clone(), m.file.name.clone());
            let inner = Arc::new(Context {
                ws: self.ws.clone(),
                model: Some(m),
                target: self.target.clone(),
                naming: self.naming,
                incremental: false,
                shared: self.shared.clone(),
                events: self.events.clone(),
                depth: self.depth + 1,
            });
            let sql = inner.render(&file, &path, &text, Some(&node.id))?;
            lock(&self.shared.ctes).push((cte.clone(), sql));
        }
        Ok(RelationValue {
            identifier: cte.clone(),
            rendered: cte,
            kind: Some("cte".into()),
            ..RelationValue::default()
        })
    }

    fn this(&self) -> Option<RelationValue> {
        let (m, t) = (self.model.as_ref()?, self.target.as_ref()?);
        let relation = self.ws.relation_of(m, t);
        Some(self.value(&InputRef { connection: t.clone(), relation, said: String::new() }))
    }

    fn target(&self) -> TargetValues {
        let Some(t) = &self.target else { return TargetValues::default() };
        match self.ws.connections.profiles().get(&t.name) {
            Ok(p) => target_values(&t.name, &t.adapter, &p.raw, self.ws.threads()),
            Err(_) => target_values(&t.name, &t.adapter, &Map::new(), self.ws.threads()),
        }
    }

    fn is_incremental(&self) -> bool {
        self.incremental
    }

    fn run_query(&self, sql: &str) -> Result<QueryRows> {
        let t = self.target()?.clone();
        let sql = sql.to_string();
        self.wait(async move {
            let exec = t.connector.execute().ok_or_else(|| {
                Error::unsupported(format!("run_query() needs a target that runs SQL, and `{}` does not", t.name))
            })?;
            rows_of(exec.query(&sql, &[], &ReadContext::default()).await?).await
        })
    }

    fn get_relation(&self, database: Option<&str>, schema: Option<&str>, name: &str) -> Result<Option<RelationValue>> {
        let t = self.target()?.clone();
        let relation = t.connector.resolve(&Relation::new(database, schema, name));
        let pattern = RelationPattern { schema: relation.schema.clone(), name: Some(relation.name.clone()) };
        let found = self.wait(async { t.connector.list(&pattern).await })?;
        let Some(info) = found.into_iter().next() else { return Ok(None) };
        let mut v = self.value(&InputRef { connection: t.clone(), relation, said: String::new() });
        v.kind = Some(info.kind.as_str().into());
        Ok(Some(v))
    }

    fn columns(&self, relation: &RelationValue) -> Result<Vec<(String, String)>> {
        let t = self.target()?.clone();
        let rel = Relation {
            database: relation.database.clone(),
            schema: relation.schema.clone(),
            name: relation.identifier.clone(),
        };
        let info = self.wait(async { t.connector.describe(&t.connector.resolve(&rel)).await })?;
        Ok(info.columns.into_iter().map(|c| (c.name, c.source_type)).collect())
    }

    fn quote(&self, identifier: &str) -> String {
        match (self.naming, &self.target) {
            (Naming::Native, Some(t)) => t.connector.relation_sql(&Relation::bare(identifier)),
            _ => format!("\"{}\"", identifier.replace('"', "\"\"")),
        }
    }

    fn log(&self, message: &str, info: bool) {
        if info {
            (self.events)(Event::Message { text: message.into(), warning: false });
        } else {
            tracing::info!("{message}");
        }
    }

    fn warn(&self, message: &str) {
        (self.events)(Event::Message { text: message.into(), warning: true });
    }
}

/// The world as a hook sees it: native names on the target.
pub(crate) fn hook_context(ws: &Arc<Workspace>, model: &Arc<Model>, target: &Connection) -> Arc<dyn RenderContext> {
    Arc::new(Context {
        ws: ws.clone(),
        model: Some(model.clone()),
        target: Some(target.clone()),
        naming: Naming::Native,
        incremental: false,
        shared: Arc::new(Shared { used: Mutex::default(), ctes: Mutex::default() }),
        events: crate::events::silent(),
        depth: 0,
    })
}

/// Few rows as JSON values, for templates. More than 100,000 rows is a mistake.
async fn rows_of(stream: ArrowStream) -> Result<QueryRows> {
    let columns = stream.schema().fields().iter().map(|f| f.name().clone()).collect();
    let mut rows = Vec::new();
    for batch in stream.limit(100_001).collect().await? {
        let options = FormatOptions::default();
        let formatters = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c.as_ref(), &options))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        for i in 0..batch.num_rows() {
            let row = batch
                .columns()
                .iter()
                .zip(&formatters)
                .map(|(c, f)| {
                    if c.is_null(i) {
                        return Value::Null;
                    }
                    let text = f.value(i).to_string();
                    let number = c.data_type().is_integer() || c.data_type().is_floating();
                    match (number, c.data_type()) {
                        (true, _) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
                        (_, arrow::datatypes::DataType::Boolean) => Value::Bool(text == "true"),
                        _ => Value::String(text),
                    }
                })
                .collect();
            rows.push(row);
        }
    }
    if rows.len() > 100_000 {
        return Err(Error::new(ErrorKind::Resource, "run_query() returned over 100,000 rows")
            .hint("it is for a few values; read tables with source() or ref()"));
    }
    Ok(QueryRows { columns, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ephemeral_ctes_join_a_with_that_is_there() {
        let ctes = [("a".to_string(), "select 1".to_string())];
        assert_eq!(with_ctes("select * from a", &ctes), "with a as (\nselect 1\n)\nselect * from a");
        assert_eq!(
            with_ctes("-- x\nWITH b as (select 2) select", &ctes),
            "-- x\nwith a as (\nselect 1\n), b as (select 2) select"
        );
        assert_eq!(
            with_ctes("with recursive r as (select 2) select", &ctes),
            "with recursive a as (\nselect 1\n), r as (select 2) select"
        );
        assert_eq!(with_ctes("/* with */ withdrawals", &ctes), "/* with */ with a as (\nselect 1\n)\nwithdrawals");
    }
}
