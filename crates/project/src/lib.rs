//! Profiles, the project file, sources and properties, read and checked: from YAML text to validated types.
//!
//! Pure, beyond reading files: no connection, no SQL, and no Jinja but `env_var()` and `var()` in YAML values (models
//! are rendered by xdb-template). Every error names the file, the line, and the nearest known name.

pub mod config;
mod files;
mod jinja;
pub mod profiles;
pub mod project;
pub mod project_file;
pub mod resources;
mod size;
pub mod yaml;

pub use config::{Materialized, ModelConfig};
pub use jinja::Env;
pub use profiles::{ConnectionProfile, Profiles};
pub use project::{LoadOptions, ModelFile, ParsedModel, Project, TextFile};
pub use project_file::{ComputeConfig, EngineConfig, ProjectFile};
pub use resources::{ColumnProps, ModelProps, SourceDef, SourceTable};
pub use size::parse_size;
