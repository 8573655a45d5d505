//! What the graph is told about a model, a source or a seed. No SQL and no values: only names and where they stand.

use serde_json::{Map, Value};
use std::fmt;
use std::path::PathBuf;

/// A node's name in the whole project: `model.shop.orders`, `source.shop.crm.customers`. The same text as dbt's `unique_id`.
pub type NodeId = String;

/// What sort of thing a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceType {
    Model,
    Source,
    Seed,
    Snapshot,
    Test,
    Exposure,
}
impl ResourceType {
    /// Every resource type, for messages and completions.
    pub const ALL: [Self; 6] = [Self::Model, Self::Source, Self::Seed, Self::Snapshot, Self::Test, Self::Exposure];

    /// The name used in ids, in `resource_type:` and in `--resource-type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Source => "source",
            Self::Seed => "seed",
            Self::Snapshot => "snapshot",
            Self::Test => "test",
            Self::Exposure => "exposure",
        }
    }
    /// The type so named; plurals are accepted.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        Self::ALL.into_iter().find(|t| t.as_str() == name || name.strip_suffix('s') == Some(t.as_str()))
    }
}
impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One `ref()` as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefEdge {
    /// The first argument of a `ref` with two.
    pub package: Option<String>,
    pub name: String,
    /// 1-based; 0 where it isn't known (a name computed in a macro).
    pub line: usize,
}

/// One `source()` as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceEdge {
    pub source: String,
    pub table: String,
    /// 1-based; 0 where it isn't known.
    pub line: usize,
}

/// One node before it is linked to the others.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: NodeId,
    /// The last part of the id: the model's or the source table's name.
    pub name: String,
    pub resource_type: ResourceType,
    /// The project the node belongs to.
    pub package: String,
    /// Relative to the project's root.
    pub path: PathBuf,
    /// Project, folders, name; what `fqn:` and the project file's `models:` tree match.
    pub fqn: Vec<String>,
    pub tags: Vec<String>,
    /// The merged config, for `config.x:y`.
    pub config: Map<String, Value>,
    /// The `name:` of the source a source table belongs to.
    pub source_name: Option<String>,
    /// Other paths that count for `path:` and `file:`, e.g. the `.yml` that describes the node.
    pub patch_path: Option<PathBuf>,
    /// A disabled node is not in the graph; a reference to it is an error that says so.
    pub enabled: bool,
    pub refs: Vec<RefEdge>,
    pub sources: Vec<SourceEdge>,
}
impl Node {
    /// A model, seed, snapshot, test or exposure: id `<type>.<package>.<name>`, fqn `[package, folders…, name]` where
    /// the folders are given by `folders`.
    pub fn new(kind: ResourceType, package: &str, folders: &[&str], name: &str, path: impl Into<PathBuf>) -> Self {
        let mut fqn = vec![package.to_string()];
        fqn.extend(folders.iter().map(|f| f.to_string()));
        fqn.push(name.to_string());
        Self {
            id: format!("{kind}.{package}.{name}"),
            name: name.into(),
            resource_type: kind,
            package: package.into(),
            path: path.into(),
            fqn,
            tags: Vec::new(),
            config: Map::new(),
            source_name: None,
            patch_path: None,
            enabled: true,
            refs: Vec::new(),
            sources: Vec::new(),
        }
    }
    /// A source's table: id `source.<package>.<source>.<table>`.
    pub fn source(package: &str, source: &str, table: &str, path: impl Into<PathBuf>) -> Self {
        let mut node = Self::new(ResourceType::Source, package, &[source], table, path);
        node.id = source_id(package, source, table);
        node.source_name = Some(source.into());
        node
    }
}

/// The id of a source's table.
pub fn source_id(package: &str, source: &str, table: &str) -> NodeId {
    format!("source.{package}.{source}.{table}")
}
/// The id of a model.
pub fn model_id(package: &str, name: &str) -> NodeId {
    format!("model.{package}.{name}")
}
