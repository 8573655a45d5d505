//! What the caller gives to a rendering: the project's settings, and the world seen from one model.

use serde_json::{Map, Value};
use std::sync::Arc;
use xdb_core::{Error, Result};

/// `{{ target }}`: the connection a model is written to. Values that are secret do not belong in here.
#[derive(Clone, Debug, Default)]
pub struct TargetValues {
    /// The connection's name; `target.name` and `target.profile_name`.
    pub name: String,
    /// The adapter, e.g. `postgres`; `target.type`.
    pub adapter: String,
    pub database: Option<String>,
    pub schema: Option<String>,
    pub threads: usize,
    /// Further attributes (`host`, `user` …).
    pub extra: Map<String, Value>,
}

/// What is the same for every rendering of one invocation.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `{{ project_name }}`; macros may be called as `project_name.macro()` too.
    pub project_name: String,
    /// Vars after precedence (command line over project): see `Project::vars` of xdb-project.
    pub vars: Map<String, Value>,
    /// `{{ target }}` while parsing; [`RenderContext::target`] gives it while rendering.
    pub target: TargetValues,
    /// Unix time in microseconds; `{{ run_started_at }}`.
    pub run_started_at_micros: i64,
    /// `{{ invocation_id }}`.
    pub invocation_id: String,
    /// `{{ flags.FULL_REFRESH }}`.
    pub full_refresh: bool,
    /// The command, e.g. `run`; `{{ flags.WHICH }}`.
    pub command: String,
}

/// A relation as templates see it: prints as SQL, has `.database`, `.schema`, `.identifier` (and `.name`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelationValue {
    pub database: Option<String>,
    pub schema: Option<String>,
    pub identifier: String,
    /// The SQL text, quoted for whatever runs it.
    pub rendered: String,
    /// `table`, `view`, `cte` …, where known; `.type`, `.is_view`, `.is_table`.
    pub kind: Option<String>,
}

/// What a query gave; `run_query(...)` in templates offers `.columns[i].values()`, `.rows`, `.column_names`, `.table`.
#[derive(Clone, Debug, Default)]
pub struct QueryRows {
    pub columns: Vec<String>,
    /// One entry a row, in column order.
    pub rows: Vec<Vec<Value>>,
}

/// What a template may look up about the model it belongs to; `{{ model.name }}` and friends.
#[derive(Clone, Debug, Default)]
pub struct NodeInfo {
    pub unique_id: String,
    pub fqn: Vec<String>,
    /// The merged config; `config.get()` reads it while rendering.
    pub config: Map<String, Value>,
    /// Anything else, e.g. `description`, `tags`.
    pub extra: Map<String, Value>,
}

/// The world seen from one model while it is rendered for real. Errors are reported at the template's line.
///
/// All calls are synchronous and come from the thread that renders; one that waits for a server must be run where
/// blocking is allowed.
pub trait RenderContext: Send + Sync {
    /// What `source(source, table)` prints.
    fn source(&self, source: &str, table: &str) -> Result<RelationValue>;
    /// What `ref(name)` or `ref(package, name)` prints.
    fn ref_(&self, package: Option<&str>, name: &str) -> Result<RelationValue>;
    /// The relation being built; `None` where there is none (`--inline`).
    fn this(&self) -> Option<RelationValue>;
    /// The connection being written to.
    fn target(&self) -> TargetValues;
    /// Whether this run adds to a table that exists.
    fn is_incremental(&self) -> bool;
    /// `execute` in templates: `false` while only compiling without a connection.
    fn execute(&self) -> bool {
        true
    }
    /// Send `sql` (already rendered) to the target connection.
    fn run_query(&self, sql: &str) -> Result<QueryRows> {
        let _ = sql;
        Err(Error::unsupported("run_query() is not available here"))
    }
    /// `adapter.get_relation(...)` and `load_relation(...)`: the relation if the database has it.
    fn get_relation(&self, database: Option<&str>, schema: Option<&str>, name: &str) -> Result<Option<RelationValue>> {
        let _ = (database, schema, name);
        Ok(None)
    }
    /// `adapter.get_columns_in_relation(...)`: name and type of each column.
    fn columns(&self, relation: &RelationValue) -> Result<Vec<(String, String)>> {
        let _ = relation;
        Err(Error::unsupported("adapter.get_columns_in_relation() is not available here"))
    }
    /// `adapter.quote(name)`.
    fn quote(&self, identifier: &str) -> String {
        format!("\"{}\"", identifier.replace('"', "\"\""))
    }
    /// `log(message, info)`; `info` asks for the terminal too. `print(message)` is the same with `info`.
    fn log(&self, message: &str, info: bool) {
        let _ = (message, info);
    }
    /// `exceptions.warn(message)`.
    fn warn(&self, message: &str) {
        self.log(message, true);
    }
}

pub(crate) type SharedContext = Arc<dyn RenderContext>;
