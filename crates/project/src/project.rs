//! A whole project read from its folder.

use crate::config::{Layer, ModelConfig};
use crate::profiles::Profiles;
use crate::project_file::ProjectFile;
use crate::resources::{ModelProps, SourceDef, SourceTable};
use serde_json::{Map, Value};
use std::path::PathBuf;
use xdb_core::Result;

/// Where to look.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// `--project-dir`, else `XDB_PROJECT_DIR`, else the working folder or the nearest above it with a project file.
    pub project_dir: Option<PathBuf>,
    /// `--profiles-dir`.
    pub profiles_dir: Option<PathBuf>,
    /// `--vars`, as parsed by [`parse_cli_vars`](Project::parse_cli_vars); over the project's.
    pub vars: Map<String, Value>,
}

/// A text file of the project.
#[derive(Clone, Debug)]
pub struct TextFile {
    /// Relative to the root.
    pub path: PathBuf,
    pub text: String,
}

/// One model's file, with what the `.yml`s say about it.
#[derive(Clone, Debug)]
pub struct ModelFile {
    pub name: String,
    /// Relative to the root.
    pub path: PathBuf,
    pub text: String,
    /// Project, folders below the model path, name.
    pub fqn: Vec<String>,
    pub props: Option<ModelProps>,
}

/// A model with all that is known before connecting.
#[derive(Clone, Debug)]
pub struct ParsedModel<R> {
    pub file: ModelFile,
    pub config: ModelConfig,
    /// What the parser recorded.
    pub recorded: R,
}

/// A project: its file, its connections, and its resources, read and checked.
#[derive(Clone, Debug)]
pub struct Project {
    /// Absolute.
    pub root: PathBuf,
    pub file: ProjectFile,
    pub profiles: Profiles,
    /// By path.
    pub models: Vec<ModelFile>,
    pub sources: Vec<SourceDef>,
    /// `macros/**/*.sql`.
    pub macros: Vec<TextFile>,
    /// `tests/**/*.sql`.
    pub tests: Vec<TextFile>,
    /// `seeds/**/*.csv`, relative to the root.
    pub seeds: Vec<PathBuf>,
    /// `analyses/**/*.sql`.
    pub analyses: Vec<TextFile>,
    /// Exposures as written.
    pub exposures: Vec<Value>,
    /// Vars after precedence: `--vars`, the project's own mapping, the global ones.
    pub vars: Map<String, Value>,
    /// Things worth saying that are no errors.
    pub warnings: Vec<String>,
}

impl Project {
    /// Read the project. Models are read, not rendered.
    pub fn load(options: &LoadOptions) -> Result<Self> {
        let _ = options;
        Err(xdb_core::Error::unsupported("not yet"))
    }

    /// `--vars`: a YAML or JSON mapping.
    pub fn parse_cli_vars(text: &str) -> Result<Map<String, Value>> {
        let _ = text;
        Ok(Map::new())
    }

    /// Merge a model's settings: the project tree by folder, the `.yml`, then `in_file`: what its `config()` said.
    pub fn model_config(&self, model: &ModelFile, in_file: &Map<String, Value>, line: usize) -> Result<ModelConfig> {
        crate::config::resolve(
            &model.name,
            &[Layer { values: in_file.clone(), file: model.path.clone(), line, ..Layer::default() }],
        )
    }

    /// Parse every model with `parse` (which gives what `config()` said, its line, and whatever it recorded) and merge
    /// its settings.
    pub fn parse_models<R>(
        &self,
        parse: impl Fn(&ModelFile) -> Result<(Map<String, Value>, usize, R)>,
    ) -> Result<Vec<ParsedModel<R>>> {
        self.models
            .iter()
            .map(|m| {
                let (values, line, recorded) = parse(m)?;
                Ok(ParsedModel { config: self.model_config(m, &values, line)?, file: m.clone(), recorded })
            })
            .collect()
    }

    /// The source's table that `source(source, table)` means. Errors name the nearest.
    pub fn source(&self, source: &str, table: &str) -> Result<(&SourceDef, &SourceTable)> {
        let _ = (source, table);
        Err(xdb_core::Error::not_found("not yet"))
    }
}
