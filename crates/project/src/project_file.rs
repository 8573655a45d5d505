//! xdb_project.yml (or dbt_project.yml): the project's own settings.

use crate::yaml::Node;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Settings of one engine under `compute:`.
#[derive(Clone, Debug, Default)]
pub struct EngineConfig {
    /// Bytes.
    pub memory_limit: Option<u64>,
    pub threads: Option<usize>,
    /// Every other key, for the engine itself.
    pub extra: Map<String, Value>,
}

/// `compute:`.
#[derive(Clone, Debug)]
pub struct ComputeConfig {
    /// `auto` where nothing is said.
    pub default_engine: String,
    /// By engine's name.
    pub engines: BTreeMap<String, EngineConfig>,
}
impl Default for ComputeConfig {
    fn default() -> Self {
        Self { default_engine: "auto".into(), engines: BTreeMap::new() }
    }
}
impl ComputeConfig {
    /// Settings of `engine`; defaults where the file says nothing.
    pub fn engine(&self, engine: &str) -> EngineConfig {
        self.engines.get(engine).cloned().unwrap_or_default()
    }
}

/// The project file, checked.
#[derive(Clone, Debug, Default)]
pub struct ProjectFile {
    pub name: String,
    pub version: Option<String>,
    /// dbt's `profile:`.
    pub profile: Option<String>,
    /// The connection written to where nothing else is said (`target:`, else dbt's `profile:`).
    pub target: Option<String>,
    /// Folders, relative to the root.
    pub model_paths: Vec<PathBuf>,
    pub seed_paths: Vec<PathBuf>,
    pub macro_paths: Vec<PathBuf>,
    pub test_paths: Vec<PathBuf>,
    pub snapshot_paths: Vec<PathBuf>,
    pub analysis_paths: Vec<PathBuf>,
    /// Relative to the root.
    pub target_path: PathBuf,
    pub clean_targets: Vec<PathBuf>,
    /// `vars:` as written, with per-project mappings in it.
    pub vars: Map<String, Value>,
    pub compute: ComputeConfig,
    /// `on-run-start`, `on-run-end`: Jinja, not yet rendered.
    pub on_run_start: Vec<String>,
    pub on_run_end: Vec<String>,
    /// The trees of settings with lines: `models`, `seeds`, `snapshots`, `sources`, `tests`.
    pub(crate) trees: BTreeMap<String, Node>,
    /// The file itself.
    pub file: PathBuf,
    /// Things worth saying that are no errors.
    pub warnings: Vec<String>,
}
