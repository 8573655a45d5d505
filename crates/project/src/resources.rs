//! The `.yml` files among the models: sources, and what is said about models.

use crate::config::{Layer, merge};
use crate::jinja::YamlJinja;
use crate::project_file::HOOK_KEYS;
use crate::yaml::{self, Kind, Node, Reader};
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use xdb_core::names::nearest;
use xdb_core::{Error, Result};

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
pub(crate) struct ResourceFile {
    pub(crate) sources: Vec<SourceDef>,
    pub(crate) models: Vec<ModelProps>,
    pub(crate) seeds: Vec<ModelProps>,
    pub(crate) snapshots: Vec<ModelProps>,
    /// As written.
    pub(crate) exposures: Vec<Value>,
}

const FILE_KEYS: &[&str] = &[
    "version",
    "sources",
    "models",
    "seeds",
    "snapshots",
    "exposures",
    "macros",
    "analyses",
    "tests",
    "data_tests",
    "unit_tests",
    "metrics",
    "semantic_models",
    "saved_queries",
    "groups",
    "docs",
    "functions",
    "anchors",
];
const SOURCE_KEYS: &[&str] = &[
    "name",
    "profile",
    "connection",
    "description",
    "database",
    "schema",
    "loader",
    "loaded_at_field",
    "loaded_at_query",
    "meta",
    "tags",
    "config",
    "overrides",
    "freshness",
    "quoting",
    "tables",
    "tests",
    "data_tests",
    "catalog",
    "docs",
    "unrendered_config",
];
const TABLE_KEYS: &[&str] = &[
    "name",
    "identifier",
    "schema",
    "database",
    "description",
    "columns",
    "external",
    "loaded_at_field",
    "loaded_at_query",
    "loader",
    "freshness",
    "quoting",
    "tags",
    "meta",
    "config",
    "tests",
    "data_tests",
    "docs",
];
const MODEL_KEYS: &[&str] = &[
    "name",
    "description",
    "columns",
    "tests",
    "data_tests",
    "config",
    "docs",
    "meta",
    "tags",
    "access",
    "group",
    "latest_version",
    "versions",
    "deprecation_date",
    "constraints",
    "time_spine",
    "enabled",
    "materialized",
    "unit_tests",
    "identifier",
    "quote_columns",
    "relation",
    "freshness",
];
const COLUMN_KEYS: &[&str] = &[
    "name",
    "description",
    "data_type",
    "meta",
    "tags",
    "tests",
    "data_tests",
    "quote",
    "constraints",
    "config",
    "docs",
    "policy_tags",
    "granularity",
    "entity",
    "dimension",
    "semantic_type",
];
/// Settings that dbt allows beside `config:`.
const BESIDE_CONFIG: &[&str] = &["meta", "docs", "tags", "access", "group", "enabled", "materialized"];

/// Parse one `.yml` among the models. Errors: not YAML, a typo in a key, a missing name; with file and line.
pub(crate) fn parse(text: &str, path: &Path, jinja: &YamlJinja) -> Result<ResourceFile> {
    let reader = Reader { path };
    let tree = yaml::parse(text, path)?;
    if !matches!(tree.kind, Kind::Map(_)) {
        return Err(reader
            .error(tree.line, format!("this file must be a mapping, not {}", tree.what()))
            .hint("for example `sources: [...]` or `models: [...]`"));
    }
    check_keys(&reader, &tree, "this file", FILE_KEYS)?;
    let mut out = ResourceFile::default();
    for node in named(&reader, &tree, "sources")? {
        // Descriptions may hold anything, and `doc()` calls.
        out.sources.push(source(&reader, &jinja.tree(node, path, HOOK_KEYS)?)?);
    }
    for (key, list) in [("models", &mut out.models), ("seeds", &mut out.seeds), ("snapshots", &mut out.snapshots)] {
        for node in named(&reader, &tree, key)? {
            list.push(model(&reader, node, key.trim_end_matches('s'), jinja)?);
        }
    }
    for node in named(&reader, &tree, "exposures")? {
        out.exposures.push(node.to_json());
    }
    Ok(out)
}

fn named<'n>(reader: &Reader<'_>, tree: &'n Node, key: &str) -> Result<&'n [Node]> {
    let Some(list) = tree.get(key) else { return Ok(&[]) };
    let items = reader.list(list, key)?;
    for item in items {
        if !matches!(item.kind, Kind::Map(_)) {
            return Err(reader
                .error(item.line, format!("an entry of `{key}` must be a mapping, not {}", item.what()))
                .hint("write `- name: …`"));
        }
    }
    Ok(items)
}

/// A key one letter off a known one is a typo; others are left to those who put them there.
fn check_keys(reader: &Reader<'_>, node: &Node, of: &str, known: &[&str]) -> Result<()> {
    for entry in node.entries() {
        let key = entry.key.as_str();
        if !known.contains(&key) && key.len() > 3 && nearest(key, known.iter().copied()).is_some() {
            return Err(reader.unknown_key(entry, of, known));
        }
    }
    Ok(())
}

fn tests(reader: &Reader<'_>, node: &Node) -> Result<Vec<Value>> {
    let mut out = Vec::new();
    for key in ["tests", "data_tests"] {
        if let Some(list) = node.get(key) {
            out.extend(reader.list(list, key)?.iter().map(Node::to_json));
        }
    }
    Ok(out)
}

/// `config:` and the settings beside it (which `config:` overrides), as one layer.
fn settings(reader: &Reader<'_>, node: &Node, of: &str) -> Result<Layer> {
    let mut layer = Layer { file: reader.path.into(), line: node.line, ..Layer::default() };
    for entry in node.entries().iter().filter(|e| BESIDE_CONFIG.contains(&e.key.as_str()) && !e.value.is_null()) {
        layer.lines.insert(entry.key.clone(), entry.line);
        layer.values.insert(entry.key.clone(), entry.value.to_json());
    }
    if let Some(config) = node.get("config") {
        let mut values = Map::new();
        for entry in reader.map(config, &format!("{of}: config"))? {
            let key = entry.key.trim_start_matches('+').to_string();
            layer.lines.insert(key.clone(), entry.line);
            values.insert(key, entry.value.to_json());
        }
        merge(&mut layer.values, &values);
    }
    Ok(layer)
}

fn columns(reader: &Reader<'_>, node: &Node, of: &str) -> Result<Vec<ColumnProps>> {
    named(reader, node, "columns")?
        .iter()
        .map(|c| {
            check_keys(reader, c, &format!("a column of {of}"), COLUMN_KEYS)?;
            let config = settings(reader, c, of)?;
            let meta = match config.values.get("meta") {
                Some(Value::Object(m)) => m.clone(),
                _ => Map::new(),
            };
            Ok(ColumnProps {
                name: reader.need_text(c, "name", &format!("a column of {of}"))?,
                description: reader.opt_text(c, "description")?,
                data_type: reader.opt_text(c, "data_type")?,
                meta,
                tags: c.get("tags").map(|t| reader.texts(t, "tags")).transpose()?.unwrap_or_default(),
                tests: tests(reader, c)?,
            })
        })
        .collect()
}

fn source(reader: &Reader<'_>, node: &Node) -> Result<SourceDef> {
    let name = reader.need_text(node, "name", "a source")?;
    let of = format!("source `{name}`");
    check_keys(reader, node, &of, SOURCE_KEYS)?;
    let connection = match (reader.opt_text(node, "profile")?, reader.opt_text(node, "connection")?) {
        (Some(a), Some(b)) if a != b => {
            return Err(reader.error(node.line, format!("{of} has both `profile: {a}` and `connection: {b}`")));
        }
        (a, b) => a.or(b),
    };
    let own = settings(reader, node, &of)?;
    let loaded_at_field = reader.opt_text(node, "loaded_at_field")?;
    let mut tables: Vec<SourceTable> = Vec::new();
    for t in named(reader, node, "tables")? {
        let table_name = reader.need_text(t, "name", &format!("a table of {of}"))?;
        let table_of = format!("table `{table_name}` of {of}");
        check_keys(reader, t, &table_of, TABLE_KEYS)?;
        if let Some(other) = tables.iter().find(|o| o.name == table_name) {
            return Err(
                reader.error(t.line, format!("{of} lists table `{table_name}` twice, first at line {}", other.line))
            );
        }
        let mut config = own.values.clone();
        merge(&mut config, &settings(reader, t, &table_of)?.values);
        let setting = |key: &str| config.get(key).cloned().filter(|v| !v.is_null());
        let texts = |v: Option<Value>| match v {
            Some(Value::Array(a)) => a.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), String::from)).collect(),
            Some(Value::String(s)) => vec![s],
            _ => Vec::new(),
        };
        let enabled = match setting("enabled") {
            None => true,
            Some(Value::Bool(b)) => b,
            Some(Value::String(s)) if yaml::bool_word(&s).is_some() => yaml::bool_word(&s).unwrap_or(true),
            Some(other) => {
                return Err(reader.error(t.line, format!("{table_of}: `enabled` must be true or false, not {other}")));
            }
        };
        tables.push(SourceTable {
            identifier: reader.opt_text(t, "identifier")?.unwrap_or_else(|| table_name.clone()),
            name: table_name,
            schema: reader.opt_text(t, "schema")?,
            database: reader.opt_text(t, "database")?,
            description: reader.opt_text(t, "description")?,
            columns: columns(reader, t, &table_of)?,
            tags: texts(setting("tags")),
            meta: setting("meta").and_then(|m| m.as_object().cloned()).unwrap_or_default(),
            enabled,
            // A table's explicit null switches the source's freshness off, as in dbt.
            freshness: match t.entries().iter().find(|e| e.key == "freshness") {
                Some(e) => Some(e.value.to_json()).filter(|v| !v.is_null()),
                None => setting("freshness").or_else(|| node.get("freshness").map(Node::to_json)),
            },
            loaded_at_field: reader.opt_text(t, "loaded_at_field")?.or_else(|| loaded_at_field.clone()),
            tests: tests(reader, t)?,
            config,
            line: t.line,
        });
    }
    Ok(SourceDef {
        name,
        connection,
        database: reader.opt_text(node, "database")?,
        schema: reader.opt_text(node, "schema")?,
        description: reader.opt_text(node, "description")?,
        tables,
        file: reader.path.into(),
        line: node.line,
    })
}

fn model(reader: &Reader<'_>, node: &Node, kind: &str, jinja: &YamlJinja) -> Result<ModelProps> {
    let name = reader.need_text(node, "name", &format!("a {kind}"))?;
    let of = format!("{kind} `{name}`");
    check_keys(reader, node, &of, MODEL_KEYS)?;
    // Only settings are rendered: tests may hold Jinja for the model's own rendering.
    let mut rendered = node.clone();
    if let Kind::Map(entries) = &mut rendered.kind {
        for e in entries.iter_mut().filter(|e| e.key == "config" || BESIDE_CONFIG.contains(&e.key.as_str())) {
            e.value = jinja.tree(&e.value, reader.path, HOOK_KEYS)?;
        }
    }
    Ok(ModelProps {
        description: reader.opt_text(node, "description")?,
        columns: columns(reader, node, &of)?,
        tests: tests(reader, node)?,
        config: settings(reader, &rendered, &of)?,
        file: reader.path.into(),
        line: node.line,
        name,
    })
}

/// Sources of all files, each table once. Errors: one table declared twice, naming both places.
pub(crate) fn merge_sources(all: Vec<SourceDef>) -> Result<Vec<SourceDef>> {
    let mut out: Vec<SourceDef> = Vec::new();
    for source in all {
        for other in out.iter().filter(|o| o.name == source.name) {
            for t in &source.tables {
                if let Some(same) = other.tables.iter().find(|o| o.name == t.name) {
                    return Err(Error::config(format!(
                        "source table `{}.{}` is declared twice: {}:{} and {}:{}",
                        source.name,
                        t.name,
                        other.file.display(),
                        same.line,
                        source.file.display(),
                        t.line
                    ))
                    .at(source.file.display(), t.line)
                    .hint("remove one of them"));
                }
            }
        }
        out.push(source);
    }
    Ok(out)
}
