//! The two phases: parse, then render.

use crate::context::{NodeInfo, RenderContext, Settings};
use crate::convert::{to_json, to_value};
use crate::errors;
use crate::filters::environment;
use crate::record::Recorded;
use crate::run::{MacroInfo, MacroMap, Root, Run};
use crate::source::{line_at, literal_calls, prepare, split_macros};
use minijinja::Environment;
use minijinja::value::{Kwargs, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xdb_core::{Error, Result};

/// The version of dbt whose templates xdb follows; `{{ dbt_version }}`.
pub const DBT_VERSION: &str = "1.10.0";

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

/// The project's macros and settings, ready to render. Cheap to clone, shared by all threads.
#[derive(Clone, Debug)]
pub struct Templates {
    env: Arc<Environment<'static>>,
    macros: Arc<MacroMap>,
    settings: Arc<Settings>,
}

impl Templates {
    /// Load the macros. Errors: a syntax error in a macro file, two macros of one name.
    pub fn new(settings: Settings, files: &[MacroFile]) -> Result<Self> {
        let mut env = environment();
        let mut macros = MacroMap::new();
        for file in files {
            for m in split_macros(&file.text, &file.path)? {
                let template = format!("{}#{}", file.path.display(), m.name);
                if let Some(other) = macros.get(&m.name) {
                    return Err(Error::config(format!(
                        "two macros are named `{}`: {}:{} and {}:{}",
                        m.name,
                        other.path.display(),
                        other.line,
                        file.path.display(),
                        m.line
                    ))
                    .at(file.path.display(), m.line)
                    .hint("rename one of them"));
                }
                let info = MacroInfo {
                    template: template.clone(),
                    path: file.path.clone(),
                    line: m.line,
                    varargs: m.template.contains("varargs"),
                    kwargs: m.template.contains("kwargs"),
                };
                env.add_template_owned(template, m.template.clone())
                    .map_err(|e| errors::syntax(&e, &file.path, &file.text))?;
                macros.insert(m.name, info);
            }
        }
        Ok(Self { env: Arc::new(env), macros: Arc::new(macros), settings: Arc::new(settings) })
    }

    /// Names of the project's macros.
    pub fn macro_names(&self) -> Vec<&str> {
        self.macros.keys().map(String::as_str).collect()
    }

    /// The same macros with other settings: for another target, say.
    pub fn with_settings(&self, settings: Settings) -> Self {
        Self { settings: Arc::new(settings), ..self.clone() }
    }

    /// Find out what `template` uses, without a database: render it with `execute` false, once with `is_incremental()`
    /// false, and, where it asks for that, once more with true, for the references behind it. Errors: bad Jinja, an
    /// unknown name, a missing var; with file, line and the nearest name.
    pub fn parse(&self, template: Template<'_>) -> Result<Recorded> {
        let run = self.run(template, NodeInfo::default(), None, false);
        self.evaluate(template, &run)?;
        let mut found = std::mem::take(&mut *run.recorded());
        if found.uses_incremental {
            let second = self.run(template, NodeInfo::default(), None, true);
            // It may lean on what only a database can tell; the first rendering has spoken on errors.
            let _ = self.evaluate(template, &second);
            let more = std::mem::take(&mut *second.recorded());
            add(&mut found.refs, more.refs);
            add(&mut found.sources, more.sources);
            add(&mut found.vars, more.vars);
            add(&mut found.macros, more.macros);
            found.uses_this |= more.uses_this;
            found.uses_query |= more.uses_query;
        }
        locate(&mut found, template.text);
        Ok(found)
    }

    /// Render `template` for real. Errors: as [`parse`](Self::parse), and whatever `context` answers, at the line of
    /// the call that asked.
    pub fn render(&self, template: Template<'_>, node: &NodeInfo, context: Arc<dyn RenderContext>) -> Result<String> {
        self.evaluate(template, &self.run(template, node.clone(), Some(context), false))
    }

    /// Call the macro `name` with JSON arguments; `None` if the project has no such macro. For the macros that users
    /// override, such as `generate_schema_name`.
    pub fn call_macro(
        &self,
        name: &str,
        positional: &[serde_json::Value],
        named: &[(&str, serde_json::Value)],
        node: (&str, &NodeInfo),
        context: Arc<dyn RenderContext>,
    ) -> Result<Option<serde_json::Value>> {
        let Some(info) = self.macros.get(name) else { return Ok(None) };
        let template = Template { name: node.0, path: &info.path, text: "" };
        let run = self.run(template, node.1.clone(), Some(context), false);
        let mut args: Vec<Value> = positional.iter().map(to_value).collect();
        if !named.is_empty() {
            args.push(Value::from(named.iter().map(|(k, v)| (*k, to_value(v))).collect::<Kwargs>()));
        }
        let result = run.macro_value(name).call(&mut self.env.empty_state(), &args);
        result.map(|v| Some(to_json(&v))).map_err(|e| errors::convert(e, template, &run, &self.env))
    }

    fn run(
        &self,
        t: Template<'_>,
        node: NodeInfo,
        context: Option<Arc<dyn RenderContext>>,
        incremental: bool,
    ) -> Arc<Run> {
        let place = (t.name, t.path.to_path_buf());
        Run::new(self.macros.clone(), self.settings.clone(), place, node, context, incremental)
    }

    fn evaluate(&self, template: Template<'_>, run: &Arc<Run>) -> Result<String> {
        let root = Value::from_dyn_object(Root::new(run.clone()));
        let path = template.path.display().to_string();
        self.env
            .render_named_str(&path, &prepare(template.text), root)
            .map_err(|e| errors::convert(e, template, run, &self.env))
    }
}

fn add<T: PartialEq>(into: &mut Vec<T>, more: Vec<T>) {
    for item in more {
        if !into.contains(&item) {
            into.push(item);
        }
    }
}

/// Give the calls their lines, where they stand in the text with literal names.
fn locate(found: &mut Recorded, text: &str) {
    let refs = literal_calls(text, "ref");
    for r in &mut found.refs {
        let same = |a: &[String]| match (a, &r.package) {
            ([name], None) => *name == r.name,
            ([package, name], Some(p)) => package == p && *name == r.name,
            _ => false,
        };
        r.line = refs.iter().find(|(a, _)| same(a)).map_or(0, |(_, l)| *l);
    }
    let sources = literal_calls(text, "source");
    for s in &mut found.sources {
        let same = |a: &[String]| matches!(a, [source, table] if *source == s.source && *table == s.table);
        s.line = sources.iter().find(|(a, _)| same(a)).map_or(0, |(_, l)| *l);
    }
    let env = literal_calls(text, "env_var");
    for e in &mut found.env_vars {
        e.line = env.iter().find(|(a, _)| a.first() == Some(&e.name)).map_or(0, |(_, l)| *l);
    }
    found.config_line = match found.config.is_empty() {
        true => 0,
        false => literal_calls(text, "config").first().map_or_else(|| line_at(text, 0), |(_, l)| *l),
    };
}
