//! The little Jinja that YAML values may hold: `env_var()`, `var()`, `target`. Models are rendered by xdb-template.

use crate::yaml::{Kind, Node};
use minijinja::value::{Kwargs, Serde, Value, from_args};
use minijinja::{Environment, Error as JinjaError, ErrorKind as JinjaKind, UndefinedBehavior};
use serde_json::{Map, Value as Json};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use xdb_core::names::suggest;
use xdb_core::{Error, Result};

/// Environment variables whose values are secret.
pub(crate) const SECRET_PREFIXES: [&str; 2] = ["XDB_ENV_SECRET_", "DBT_ENV_SECRET_"];

/// Where environment variables come from: the process, or a test.
#[derive(Clone)]
pub struct Env(Arc<Lookup>);
type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;
impl Env {
    pub fn new(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }
}
impl Default for Env {
    fn default() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }
}
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
}

/// What the values of one file may use.
#[derive(Clone, Debug, Default)]
pub(crate) struct YamlJinja {
    pub(crate) env: Env,
    /// `None`: `var()` is not available (profiles.yml).
    pub(crate) vars: Option<Map<String, Json>>,
    /// `None`: `target` is not available.
    pub(crate) target: Option<Map<String, Json>>,
    /// Secret variables may be read, and go in here; `None` refuses them.
    pub(crate) secrets: Option<Arc<Mutex<Vec<String>>>>,
}

#[derive(Debug)]
struct Failure {
    message: String,
    hint: Option<String>,
}
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Failure {}

fn fail(message: String, hint: Option<String>) -> JinjaError {
    JinjaError::new(JinjaKind::InvalidOperation, message.clone()).with_source(Failure { message, hint })
}

impl YamlJinja {
    /// A tree with every text rendered; texts below a key in `skip` stay as they are (hooks are rendered later, with
    /// the model).
    pub(crate) fn tree(&self, node: &Node, path: &Path, skip: &[&str]) -> Result<Node> {
        let kind = match &node.kind {
            Kind::Text(t) => self.text(t, path, node.line)?,
            Kind::List(items) => Kind::List(items.iter().map(|n| self.tree(n, path, skip)).collect::<Result<_>>()?),
            Kind::Map(entries) => Kind::Map(
                entries
                    .iter()
                    .map(|e| {
                        let mut out = e.clone();
                        if !skip.contains(&e.key.trim_start_matches('+')) {
                            out.value = self.tree(&e.value, path, skip)?;
                        }
                        Ok(out)
                    })
                    .collect::<Result<_>>()?,
            ),
            other => other.clone(),
        };
        Ok(Node::new(kind, node.line))
    }

    /// A text that is one expression keeps the type it evaluates to (`| as_number`, a comparison); any other is text.
    pub(crate) fn text(&self, text: &str, path: &Path, line: usize) -> Result<Kind> {
        if !text.contains("{{") && !text.contains("{%") {
            return Ok(Kind::Text(text.into()));
        }
        let env = self.environment();
        let whole = text.trim().strip_prefix("{{").and_then(|t| t.strip_suffix("}}")).filter(|t| !t.contains("{{"));
        let result = match whole {
            Some(expression) => env.compile_expression(expression.trim_matches('-').trim()).and_then(|e| e.eval(())),
            None => env.render_str(text, ()).map(Value::from),
        };
        let value = result.and_then(|v| match v.is_undefined() {
            true => Err(JinjaError::new(JinjaKind::UndefinedError, "a value is undefined")),
            false => Ok(v),
        });
        match value {
            Ok(v) => Ok(match serde_json::to_value(&v).unwrap_or(Json::Null) {
                Json::Null => Kind::Null,
                Json::Bool(b) => Kind::Bool(b),
                Json::Number(n) => Kind::Number(n),
                Json::String(s) => Kind::Text(s),
                other => Kind::Text(other.to_string()),
            }),
            Err(e) => Err(self.error(&e, text, path, line)),
        }
    }

    fn error(&self, e: &JinjaError, text: &str, path: &Path, line: usize) -> Error {
        let ours = std::error::Error::source(e).and_then(|s| s.downcast_ref::<Failure>());
        let (message, hint) = match ours {
            Some(f) => (f.message.clone(), f.hint.clone()),
            None => {
                let detail = e.detail().map_or_else(|| e.kind().to_string(), String::from);
                let mut known = vec!["env_var"];
                known.extend(self.vars.as_ref().map(|_| "var"));
                known.extend(self.target.as_ref().map(|_| "target"));
                let name = detail.split('`').nth(1).or(detail.strip_suffix(" is unknown"));
                let hint = name.and_then(|n| suggest(n, known.iter().copied()));
                (format!("{detail}, in: {}", text.trim()), hint)
            }
        };
        let e = Error::config(message).at(path.display(), line);
        match hint {
            Some(h) => e.hint(h),
            None => e,
        }
    }

    fn environment(&self) -> Environment<'_> {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        let (lookup, secrets) = (self.env.clone(), self.secrets.clone());
        env.add_function("env_var", move |name: String, default: Option<Value>| {
            let secret = SECRET_PREFIXES.iter().any(|p| name.starts_with(p));
            if secret && secrets.is_none() {
                return Err(fail(
                    format!("env_var('{name}'): secrets may only be read in profiles.yml"),
                    Some("name the variable without the secret prefix if it holds no secret".into()),
                ));
            }
            match (lookup.get(&name), default) {
                (Some(v), _) => {
                    if let (true, Some(Ok(mut list))) = (secret && !v.is_empty(), secrets.as_ref().map(|s| s.lock())) {
                        list.push(v.clone());
                    }
                    Ok(Value::from(v))
                }
                (None, Some(default)) if !default.is_undefined() => Ok(default),
                (None, _) => Err(fail(
                    format!("environment variable `{name}` is not set"),
                    Some(format!("set it (export {name}=…), or give a default: env_var('{name}', '…')")),
                )),
            }
        });
        if let Some(vars) = self.vars.clone() {
            env.add_function("var", move |args: &[Value]| {
                let (name, default, kwargs) = from_args::<(String, Option<Value>, Kwargs)>(args)?;
                let default = default.or_else(|| kwargs.get("default").ok());
                match (vars.get(&name), default) {
                    (Some(v), _) => Ok(Value::from(Serde(v))),
                    (None, Some(d)) if !d.is_undefined() => Ok(d),
                    (None, _) => Err(fail(
                        format!("var '{name}' is not set and has no default"),
                        suggest(&name, vars.keys().map(String::as_str)),
                    )),
                }
            });
        }
        if let Some(target) = &self.target {
            env.add_global("target", Value::from(Serde(target)));
        }
        env.add_filter("as_text", |v: &Value| v.to_string());
        env.add_filter("as_native", |v: Value| v);
        env.add_filter("as_bool", |v: &Value| match crate::yaml::bool_word(v.to_string().trim()) {
            Some(b) => Ok(b),
            None => Err(fail(format!("as_bool: `{v}` is neither true nor false"), None)),
        });
        env.add_filter("as_number", |v: &Value| {
            let text = v.to_string();
            let t = text.trim();
            t.parse::<i64>()
                .map(Value::from)
                .or_else(|_| t.parse::<f64>().map(Value::from))
                .map_err(|_| fail(format!("as_number: `{text}` is not a number"), None))
        });
        // dbt's docs blocks are text of documentation only.
        env.add_function("doc", |_: &[Value]| Value::from(""));
        env
    }
}
