//! What a template was seen to use while it was parsed.

use serde_json::{Map, Value};

/// One `ref()`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefCall {
    pub package: Option<String>,
    pub name: String,
    /// 1-based; 0 where the call stands in a macro or its name is computed.
    pub line: usize,
}

/// One `source()`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceCall {
    pub source: String,
    pub table: String,
    /// 1-based; 0 where the call stands in a macro or its name is computed.
    pub line: usize,
}

/// One `env_var()`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnvCall {
    pub name: String,
    pub line: usize,
}

/// What [`Templates::parse`](crate::Templates::parse) found. Each call is there once, in the order it was first met.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    pub refs: Vec<RefCall>,
    pub sources: Vec<SourceCall>,
    /// The arguments of all `config()` calls: later ones win, tags and hooks add up. Merge into the other layers with
    /// `Project::model_config`.
    pub config: Map<String, Value>,
    /// The line of the first `config(`; 0 where there is none.
    pub config_line: usize,
    /// Names of the vars that were asked for.
    pub vars: Vec<String>,
    pub env_vars: Vec<EnvCall>,
    /// Macros of the project that were called, by name.
    pub macros: Vec<String>,
    /// Whether `this` was used.
    pub uses_this: bool,
    /// Whether `is_incremental()` was asked.
    pub uses_incremental: bool,
    /// Whether `run_query()`, `statement()` or another look into the database was asked for (which needs `execute`).
    pub uses_query: bool,
}
