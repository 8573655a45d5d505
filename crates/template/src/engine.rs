//! The two phases.

use crate::context::{NodeInfo, RenderContext, Settings};
use crate::record::Recorded;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xdb_core::Result;

/// One file of `macro-paths`.
#[derive(Clone, Debug)]
pub struct MacroFile {
    /// Shown in errors; relative to the project's root.
    pub path: PathBuf,
    pub text: String,
}

/// A text to render: a model, a hook, an `--inline` query.
#[derive(Clone, Copy, Debug)]
pub struct Template<'a> {
    /// The model's name; in errors.
    pub name: &'a str,
    /// Shown in errors; relative to the project's root.
    pub path: &'a Path,
    pub text: &'a str,
}

/// The project's macros and settings, ready to render. Shared by all threads.
#[derive(Clone, Debug)]
pub struct Templates {
    #[allow(dead_code)]
    settings: Arc<Settings>,
}

impl Templates {
    /// Load the macros. Errors: a syntax error in a macro file, two macros of one name.
    pub fn new(settings: Settings, macros: &[MacroFile]) -> Result<Self> {
        let _ = macros;
        Ok(Self { settings: Arc::new(settings) })
    }

    /// Names of the project's macros.
    pub fn macro_names(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The same macros with other settings: for another target, say.
    pub fn with_settings(&self, settings: Settings) -> Self {
        Self { settings: Arc::new(settings) }
    }

    /// Find out what `template` uses, without a database.
    pub fn parse(&self, template: Template<'_>) -> Result<Recorded> {
        let _ = template;
        Ok(Recorded::default())
    }

    /// Render `template` for real.
    pub fn render(&self, template: Template<'_>, node: &NodeInfo, context: Arc<dyn RenderContext>) -> Result<String> {
        let _ = (node, context);
        Ok(template.text.to_string())
    }
}
