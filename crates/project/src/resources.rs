//! The `.yml` files among the models: sources, and what is said about models.

use crate::config::Layer;
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// One table of a source.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceTable {
    /// What `source('…', name)` says.
    pub name: String,
    /// The table's real name; `name` where it isn't given.
    pub identifier: String,
    /// Where set, overrides the source's.
    pub schema: Option<String>,
    /// Where set, overrides the source's.
    pub database: Option<String>,
    pub description: Option<String>,
    pub columns: Vec<ColumnProps>,
    pub tags: Vec<String>,
    pub meta: Map<String, Value>,
    /// Source's and table's `config:` merged.
    pub config: Map<String, Value>,
    pub enabled: bool,
    /// As written (`warn_after` …), for `source freshness`.
    pub freshness: Option<Value>,
    pub loaded_at_field: Option<String>,
    /// `tests` and `data_tests`, as written.
    pub tests: Vec<Value>,
    /// 1-based.
    pub line: usize,
}

/// One `sources:` entry.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceDef {
    pub name: String,
    /// `profile:` or `connection:`; `None` is the project's target.
    pub connection: Option<String>,
    pub database: Option<String>,
    /// `None` is the connection's default schema if `connection` is given; else, as in dbt, the source's name: see
    /// [`SourceDef::schema_of`].
    pub schema: Option<String>,
    pub description: Option<String>,
    pub tables: Vec<SourceTable>,
    /// Relative to the project's root.
    pub file: PathBuf,
    /// 1-based.
    pub line: usize,
}
impl SourceDef {
    /// The schema to look for `table` in. dbt takes a source's name for its schema where none is given; with an explicit
    /// connection xdb takes the connection's default instead, as CONVENTIONS' example needs.
    pub fn schema_of<'a>(&'a self, table: &'a SourceTable) -> Option<&'a str> {
        table.schema.as_deref().or(self.schema.as_deref()).or(match self.connection {
            Some(_) => None,
            None => Some(self.name.as_str()),
        })
    }
    /// The database to look for `table` in; `None` is the connection's.
    pub fn database_of<'a>(&'a self, table: &'a SourceTable) -> Option<&'a str> {
        table.database.as_deref().or(self.database.as_deref())
    }
}

/// One column as described.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ColumnProps {
    pub name: String,
    pub description: Option<String>,
    pub data_type: Option<String>,
    pub meta: Map<String, Value>,
    pub tags: Vec<String>,
    /// `tests` and `data_tests`, as written.
    pub tests: Vec<Value>,
}

/// What a `.yml` says about one model (or seed, or snapshot).
#[derive(Clone, Debug, Default)]
pub struct ModelProps {
    pub name: String,
    pub description: Option<String>,
    pub columns: Vec<ColumnProps>,
    /// `tests` and `data_tests`, as written.
    pub tests: Vec<Value>,
    /// `config:`, and the keys dbt allows beside it (`meta`, `docs`, `tags`).
    pub config: Layer,
    /// Relative to the project's root.
    pub file: PathBuf,
    /// 1-based.
    pub line: usize,
}

/// What one `.yml` file holds.
#[derive(Clone, Debug, Default)]
pub struct ResourceFile {
    pub sources: Vec<SourceDef>,
    pub models: Vec<ModelProps>,
    pub seeds: Vec<ModelProps>,
    pub snapshots: Vec<ModelProps>,
    /// As written.
    pub exposures: Vec<Value>,
}
