//! Queries that build nothing: `show`, `query`, `explain`.

use crate::compile::{Compiled, Subject, compile};
use crate::connections::{Connections, reserve, wanted};
use crate::events::{EventSink, Progress};
use crate::inputs::{InputRef, ReadOptions};
use crate::setup::{Scratch, Setup};
use crate::sqlnames;
use crate::workspace::Workspace;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use xdb_core::{ArrowStream, EngineDef, Error, Explanation, Literal, Naming, PushdownMode, ReadContext, Result};

/// A running query. Keep it whole while its stream is read.
pub struct Query {
    pub stream: ArrowStream,
    pub progress: Arc<Progress>,
    /// The engine's name, or `None` for SQL sent as it was typed (`--on`).
    pub engine: Option<&'static str>,
    _scratch: Option<Scratch>,
    /// Server connections that the query may use, given back with it.
    _permits: Vec<OwnedSemaphorePermit>,
}

/// Federated SQL over `connection.schema.table` names; needs profiles, no project.
#[derive(Debug)]
pub struct AdHoc {
    pub connections: Connections,
    pub setup: Setup,
}

/// What the command line says about one query.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    /// The engine, over `auto`.
    pub compute: Option<String>,
    /// `$name` -> value.
    pub params: Vec<(String, Literal)>,
    /// Rows at most.
    pub limit: Option<u64>,
    /// `None`: safe.
    pub pushdown: Option<PushdownMode>,
    /// For `explain`: run the query too, and say what it did.
    pub analyze: bool,
}

impl AdHoc {
    pub async fn query(&self, sql: &str, options: &QueryOptions) -> Result<Query> {
        let count = sqlnames::statements(sql).len();
        if count > 1 {
            return Err(Error::config(format!("there are {count} statements, and a query is one"))
                .hint("several can be sent to one connection, as they are, with --on"));
        }
        let compiled = self.compile(sql, options.compute.as_deref())?;
        let progress = Arc::new(Progress::default());
        // Without parameters native text goes through untouched: `$1` may mean something to the server.
        let native = compiled.engine.naming == Naming::Native;
        let params = if native && options.params.is_empty() { vec![] } else { used_params(sql, &options.params)? };
        let read = self.read_options(options);
        if native && !params.is_empty() {
            let home = compiled.home.as_ref().ok_or_else(|| Error::internal("no home"))?;
            return self.on_with(&home.name, &compiled.sql, options, Some(compiled.engine.name)).await;
        }
        start(&self.setup, compiled, progress, read, params, options.limit).await
    }

    /// Send `sql` to one connection as it is, but for its `$name` parameters.
    pub async fn on(&self, connection: &str, sql: &str, options: &QueryOptions) -> Result<Query> {
        self.on_with(connection, sql, options, None).await
    }

    async fn on_with(
        &self,
        connection: &str,
        sql: &str,
        options: &QueryOptions,
        engine: Option<&'static str>,
    ) -> Result<Query> {
        let c = self.connections.get(connection)?;
        let exec = c.connector.execute().ok_or_else(|| {
            Error::unsupported(format!("{} cannot run SQL itself", c.connector.def().title))
                .connection(connection)
                .hint("leave --on away, and name its tables as connection.schema.table")
        })?;
        // As in psql: all in order in one session, and the last one's rows are shown.
        let mut before = sqlnames::statements(sql);
        let last = before.pop().unwrap_or_default();
        // Without parameters the text goes through untouched: `$1` may mean something to the server.
        let (sql, params) = if options.params.is_empty() {
            (last, vec![])
        } else {
            for statement in &before {
                if let Some(n) = sqlnames::positional(statement, |_| "?".into())?.1.first() {
                    return Err(Error::config(format!("${n} is used before the last statement"))
                        .hint("only the last of several statements can have parameters"));
                }
            }
            let (sql, names) = sqlnames::positional(&last, |n| exec.placeholder(n))?;
            let params = names.iter().map(|n| param(n, &options.params)).collect::<Result<Vec<_>>>()?;
            (sql, params)
        };
        let progress = Arc::new(Progress::default());
        let read = ReadContext { stats: progress.reads_of(connection), ..ReadContext::default() };
        let stream =
            exec.query_after(&before, &sql, &params, &read).await.map_err(|e| e.connection(connection).sql(&sql))?;
        Ok(Query { stream: limited(stream, options.limit), progress, engine, _scratch: None, _permits: vec![] })
    }

    pub async fn explain(&self, sql: &str, options: &QueryOptions) -> Result<(Explanation, &'static EngineDef)> {
        let compiled = self.compile(sql, options.compute.as_deref())?;
        let progress = Arc::new(Progress::default());
        let params = match compiled.engine.naming {
            Naming::Federated => used_params(sql, &options.params)?,
            Naming::Native => vec![],
        };
        let explanation =
            explain(&self.setup, &compiled, &progress, self.read_options(options), params, options).await?;
        Ok((explanation, compiled.engine))
    }

    fn read_options(&self, options: &QueryOptions) -> ReadOptions {
        ReadOptions { parallelism: self.setup.threads, types: None, pushdown: options.pushdown.unwrap_or_default() }
    }

    fn compile(&self, sql: &str, compute: Option<&str>) -> Result<Compiled> {
        let known = self.connections.profiles().names();
        let names = sqlnames::relations(sql, &known)?;
        let mut inputs: Vec<InputRef> = Vec::new();
        let mut refs = Vec::new();
        for n in &names {
            let connection = self.connections.get(&n.connection)?;
            let relation = connection.connector.resolve(&n.relation);
            let input = InputRef { connection, relation, said: String::new() };
            refs.push(input.clone());
            if !inputs.iter().any(|i| i.connection.name == input.connection.name && i.relation == input.relation) {
                inputs.push(input);
            }
        }
        let registry = self.connections.registry();
        let engine = match compute.unwrap_or(&self.setup.compute.default_engine) {
            "auto" => {
                let first = inputs.first().map(|i| &i.connection.connector);
                let one = first.is_some_and(|f| {
                    f.execute().is_some()
                        && inputs.iter().all(|i| i.connection.connector.context_id() == f.context_id())
                });
                registry.engine(if one { "native" } else { "datafusion" })?
            }
            name => registry.engine(name)?,
        };
        let mut at = refs.iter();
        let texts: Vec<String> =
            names.iter().filter_map(|_| at.next()).map(|i| Workspace::relation_sql(engine.naming, i)).collect();
        let position = |n: &sqlnames::Name| names.iter().position(|m| m.span == n.span).unwrap_or(0);
        let sql = sqlnames::replace(sql, &names, |n| texts[position(n)].clone());
        let home = inputs.first().map(|i| i.connection.clone());
        Ok(Compiled { sql: trim_semicolon(&sql), inputs, engine, home })
    }
}

/// Start a compiled query. As in a run, each scan has a server connection set aside before any takes a spare one, so that
/// all of them together stay inside `pool_size`.
async fn start(
    setup: &Setup,
    compiled: Compiled,
    progress: Arc<Progress>,
    read: ReadOptions,
    params: Vec<(String, Literal)>,
    limit: Option<u64>,
) -> Result<Query> {
    let permits = reserve(&wanted(compiled.inputs.iter().map(|i| &i.connection))).await?;
    let (stream, scratch) = setup.open(&compiled, &progress, read, params).await?;
    Ok(Query {
        stream: limited(stream, limit),
        progress,
        engine: Some(compiled.engine.name),
        _scratch: Some(scratch),
        _permits: permits,
    })
}

async fn explain(
    setup: &Setup,
    compiled: &Compiled,
    progress: &Arc<Progress>,
    read: ReadOptions,
    params: Vec<(String, Literal)>,
    options: &QueryOptions,
) -> Result<Explanation> {
    let _permits = match options.analyze {
        true => reserve(&wanted(compiled.inputs.iter().map(|i| &i.connection))).await?,
        false => vec![],
    };
    let (mut session, _scratch) = setup.session(compiled, progress, read).await?;
    if !params.is_empty() {
        session.bind(params)?;
    }
    if options.analyze { session.analyze(&compiled.sql).await } else { session.explain(&compiled.sql).await }
}

fn trim_semicolon(sql: &str) -> String {
    sql.trim_end().trim_end_matches(';').to_string()
}

fn limited(stream: ArrowStream, limit: Option<u64>) -> ArrowStream {
    match limit {
        Some(n) => stream.limit(n),
        None => stream,
    }
}

/// The parameters that `sql` names; one that is named but not given is an error.
fn used_params(sql: &str, given: &[(String, Literal)]) -> Result<Vec<(String, Literal)>> {
    let (_, mut names) = sqlnames::positional(sql, |_| "?".into())?;
    names.sort();
    names.dedup();
    names.into_iter().map(|n| Ok((n.clone(), param(&n, given)?))).collect()
}

fn param(name: &str, given: &[(String, Literal)]) -> Result<Literal> {
    given.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).ok_or_else(|| {
        Error::config(format!("the SQL uses ${name}, but it has no value")).hint(format!("add --param {name}=…"))
    })
}

impl Workspace {
    pub fn setup(&self) -> Setup {
        Setup { compute: self.project.file.compute.clone(), threads: self.threads() }
    }

    /// The SQL of a model (by name) or of an inline query, as it would run now.
    pub async fn compile_one(self: &Arc<Self>, what: &What<'_>, events: &EventSink) -> Result<Compiled> {
        let ws = self.clone();
        match what {
            What::Inline(text) => {
                let subject = Subject { name: "inline", path: Path::new("--inline"), text, model: None, built: false };
                tokio::task::block_in_place(|| compile(&ws, &subject, None, false, events))
            }
            What::Model(name) => {
                let (id, m) = self.model_named(name)?;
                let target = self.target_of(m)?;
                let subject = Subject {
                    name: &m.file.name,
                    path: &m.file.path,
                    text: &m.file.text,
                    model: Some((id, m)),
                    built: false,
                };
                tokio::task::block_in_place(|| compile(&ws, &subject, Some(&target), false, events))
            }
        }
        .map(|c| Compiled { sql: trim_semicolon(&c.sql), ..c })
    }

    /// The rows a model would have, without building it.
    pub async fn show(self: &Arc<Self>, what: &What<'_>, options: &QueryOptions, events: &EventSink) -> Result<Query> {
        let compiled = self.compile_one(what, events).await?;
        let progress = Arc::new(Progress::default());
        let read = self.read_options(what, options)?;
        start(&self.setup(), compiled, progress, read, options.params.clone(), options.limit).await
    }

    pub async fn explain(
        self: &Arc<Self>,
        what: &What<'_>,
        options: &QueryOptions,
        events: &EventSink,
    ) -> Result<(Explanation, Compiled)> {
        let compiled = self.compile_one(what, events).await?;
        let progress = Arc::new(Progress::default());
        let read = self.read_options(what, options)?;
        let explanation = explain(&self.setup(), &compiled, &progress, read, vec![], options).await?;
        Ok((explanation, compiled))
    }

    /// A model is read as its config says, unless the command line says otherwise.
    fn read_options(&self, what: &What<'_>, options: &QueryOptions) -> Result<ReadOptions> {
        let (types, pushdown) = match what {
            What::Inline(_) => (None, None),
            What::Model(name) => {
                let config = &self.model_named(name)?.1.config;
                (config.types, config.pushdown)
            }
        };
        let pushdown = options.pushdown.or(pushdown).unwrap_or_default();
        Ok(ReadOptions { parallelism: self.threads(), types, pushdown })
    }
}

/// What `show`, `compile` and `explain` are about.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// A model's name.
    Model(&'a str),
    /// SQL with Jinja.
    Inline(&'a str),
}
