//! Connection parameters: what a connector accepts (data), and what the user gave (checked).
//!
//! A connector lists [`ParamSpec`]s; [`Params::resolve`] turns the raw mapping of profiles.yml into typed values, with
//! defaults, and errors that name the nearest known key. Docs and example profiles are generated from the same list.

use crate::names::suggest;
use crate::{Error, Result, Secret};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// The mapping under a connection's name, after Jinja, without `adapter`.
pub type RawParams = Map<String, Value>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    String,
    Integer,
    Bool,
    /// `10s`, `500ms`, `2m`, `1h`, or a number of seconds.
    Duration,
    /// A file-system path; relative ones are relative to the folder of profiles.yml, `~` is the home.
    Path,
    Choice(&'static [&'static str]),
    /// A mapping of names to texts.
    Map,
}

#[derive(Clone, Copy, Debug)]
pub struct ParamSpec {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub kind: ParamKind,
    pub required: bool,
    /// In the spelling a user would write.
    pub default: Option<&'static str>,
    /// Masked wherever it is shown.
    pub secret: bool,
    /// One sentence, ends with a full stop.
    pub help: &'static str,
    pub example: &'static str,
}
impl ParamSpec {
    pub const fn new(name: &'static str, kind: ParamKind, help: &'static str) -> Self {
        Self { name, aliases: &[], kind, required: false, default: None, secret: false, help, example: "" }
    }
    pub const fn aliases(mut self, a: &'static [&'static str]) -> Self {
        self.aliases = a;
        self
    }
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }
    pub const fn default(mut self, d: &'static str) -> Self {
        self.default = Some(d);
        self
    }
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
    pub const fn example(mut self, e: &'static str) -> Self {
        self.example = e;
        self
    }
}

/// Parameters that every connector to a server has; a connector lists those it honours.
pub mod common {
    use super::{ParamKind, ParamSpec};
    pub const CONNECT_TIMEOUT: ParamSpec =
        ParamSpec::new("connect_timeout", ParamKind::Duration, "How long to wait for a connection.").default("10s");
    pub const QUERY_TIMEOUT: ParamSpec = ParamSpec::new(
        "query_timeout",
        ParamKind::Duration,
        "How long one statement may run on the server; 0 is no limit.",
    )
    .default("0s");
    pub const POOL_SIZE: ParamSpec = ParamSpec::new(
        "pool_size",
        ParamKind::Integer,
        "Most connections at once, over all models and splits of a run.",
    )
    .default("8");
    pub const TYPES: ParamSpec = ParamSpec::new(
        "types",
        ParamKind::Choice(&["exact", "lossy"]),
        "What happens to a value that cannot be carried exactly: an error, or the nearest value.",
    )
    .default("exact");
}

#[derive(Clone)]
enum Given {
    Text(String),
    Secret(Secret),
    Int(i64),
    Bool(bool),
    Duration(Duration),
    Map(BTreeMap<String, String>),
}

/// Checked parameters of one connection. `Debug` gives the names only: a mapping may hold secrets too.
#[derive(Clone)]
pub struct Params {
    /// The connection's name in profiles.yml.
    pub connection: String,
    /// The folder relative paths start from.
    pub base_dir: std::path::PathBuf,
    given: BTreeMap<&'static str, Given>,
}

/// `10s`, `1.5h`, `500ms`, `250us`, or seconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let t = text.trim();
    let split = t.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(t.len());
    let n: f64 = t[..split].parse().ok()?;
    let unit = match t[split..].trim() {
        "" | "s" | "sec" | "second" | "seconds" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "m" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(n * unit).ok()
}

impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.given.keys().copied().collect();
        f.debug_struct("Params").field("connection", &self.connection).field("given", &names).finish_non_exhaustive()
    }
}

impl Params {
    /// Check `raw` against `specs`. Errors name the connection and the key.
    pub fn resolve(
        connection: &str,
        specs: &'static [ParamSpec],
        raw: &RawParams,
        base_dir: &std::path::Path,
    ) -> Result<Self> {
        let bad = |m: String| Error::config(m).connection(connection);
        let mut given = BTreeMap::new();
        for (key, value) in raw {
            let Some(spec) = specs.iter().find(|s| s.name == key || s.aliases.contains(&key.as_str())) else {
                let e = bad(format!("connection `{connection}` has an unknown key `{key}`"));
                let near = suggest(key, specs.iter().map(|s| s.name));
                return Err(match near {
                    Some(n) => e.hint(n),
                    None => e,
                });
            };
            if value.is_null() {
                continue;
            }
            let v = Self::convert(spec, value)
                .ok_or_else(|| {
                    let shown = if spec.secret { crate::secret::MASK.to_string() } else { value.to_string() };
                    bad(format!("connection `{connection}`: `{key}` must be {}, not {shown}", kind_words(spec.kind)))
                })
                .map_err(|e| {
                    if spec.example.is_empty() { e } else { e.hint(format!("for example `{key}: {}`", spec.example)) }
                })?;
            if given.insert(spec.name, v).is_some() {
                return Err(bad(format!("connection `{connection}`: `{}` is given twice (as `{key}` too)", spec.name)));
            }
        }
        for spec in specs {
            if given.contains_key(spec.name) {
                continue;
            }
            if let Some(d) = spec.default {
                let v = Self::convert(spec, &Value::String(d.into()))
                    .ok_or_else(|| Error::internal(format!("bad default of `{}`", spec.name)))?;
                given.insert(spec.name, v);
            } else if spec.required {
                let e = bad(format!("connection `{connection}` needs `{}`: {}", spec.name, spec.help));
                return Err(if spec.example.is_empty() {
                    e
                } else {
                    e.hint(format!(
                        "add for example `{}: {}` under `{connection}` in profiles.yml",
                        spec.name, spec.example
                    ))
                });
            }
        }
        Ok(Self { connection: connection.into(), base_dir: base_dir.into(), given })
    }

    fn convert(spec: &ParamSpec, value: &Value) -> Option<Given> {
        let text = || match value {
            Value::String(s) => Some(s.clone()),
            Value::Number(n) => Some(n.to_string()),
            Value::Bool(b) => Some(b.to_string()),
            _ => None,
        };
        Some(match spec.kind {
            ParamKind::String | ParamKind::Path if spec.secret => Given::Secret(Secret::new(text()?)),
            ParamKind::String | ParamKind::Path => Given::Text(text()?),
            ParamKind::Integer => Given::Int(text()?.trim().parse().ok()?),
            ParamKind::Bool => Given::Bool(match text()?.trim().to_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => true,
                "false" | "no" | "off" | "0" => false,
                _ => return None,
            }),
            ParamKind::Duration => Given::Duration(parse_duration(&text()?)?),
            ParamKind::Choice(all) => {
                let t = text()?.to_lowercase();
                Given::Text(all.iter().find(|c| **c == t)?.to_string())
            }
            ParamKind::Map => match value {
                Value::Object(m) => Given::Map(
                    m.iter()
                        .map(|(k, v)| {
                            let v = match v {
                                Value::String(s) => s.clone(),
                                other => other.to_string(),
                            };
                            (k.clone(), v)
                        })
                        .collect(),
                ),
                _ => return None,
            },
        })
    }

    /// `None` where it was neither given nor has a default.
    pub fn str(&self, name: &str) -> Option<&str> {
        match self.given.get(name) {
            Some(Given::Text(t)) => Some(t),
            _ => None,
        }
    }
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        match self.given.get(name) {
            Some(Given::Secret(s)) => Some(s),
            _ => None,
        }
    }
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.given.get(name) {
            Some(Given::Int(i)) => Some(*i),
            _ => None,
        }
    }
    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.given.get(name) {
            Some(Given::Bool(b)) => Some(*b),
            _ => None,
        }
    }
    pub fn duration(&self, name: &str) -> Option<Duration> {
        match self.given.get(name) {
            Some(Given::Duration(d)) => Some(*d),
            _ => None,
        }
    }
    pub fn map(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        match self.given.get(name) {
            Some(Given::Map(m)) => Some(m),
            _ => None,
        }
    }
    /// A [`ParamKind::Path`], made absolute.
    pub fn path(&self, name: &str) -> Option<std::path::PathBuf> {
        let text = self.str(name)?;
        let expanded = match text.strip_prefix("~/") {
            Some(rest) => match std::env::var_os("HOME") {
                Some(h) => std::path::PathBuf::from(h).join(rest),
                None => text.into(),
            },
            None => text.into(),
        };
        Some(self.base_dir.join(expanded))
    }
    /// An integer within bounds, or an error that names the key.
    pub fn int_in(&self, name: &str, range: std::ops::RangeInclusive<i64>) -> Result<i64> {
        let v = self.int(name).unwrap_or(*range.start());
        if range.contains(&v) {
            return Ok(v);
        }
        let c = &self.connection;
        Err(Error::config(format!(
            "connection `{c}`: `{name}` must be from {} to {}, not {v}",
            range.start(),
            range.end()
        ))
        .connection(c))
    }
    /// The common `types` parameter.
    pub fn type_policy(&self) -> crate::TypePolicy {
        if self.str("types") == Some("lossy") { crate::TypePolicy::Lossy } else { crate::TypePolicy::Exact }
    }
}

fn kind_words(kind: ParamKind) -> String {
    match kind {
        ParamKind::String => "text".into(),
        ParamKind::Integer => "a whole number".into(),
        ParamKind::Bool => "true or false".into(),
        ParamKind::Duration => "a duration such as 10s or 5m".into(),
        ParamKind::Path => "a path".into(),
        ParamKind::Choice(all) => format!("one of {}", all.join(", ")),
        ParamKind::Map => "a mapping".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const SPECS: &[ParamSpec] = &[
        ParamSpec::new("host", ParamKind::String, "Where.").required().example("db.example.com"),
        ParamSpec::new("password", ParamKind::String, "Secret.").aliases(&["pass"]).secret(),
        ParamSpec::new("port", ParamKind::Integer, "Port.").default("5432"),
        common::CONNECT_TIMEOUT,
        ParamSpec::new("storage_options", ParamKind::Map, "Secrets.").secret(),
    ];

    fn resolve(v: serde_json::Value) -> Result<Params> {
        Params::resolve("crm", SPECS, v.as_object().unwrap(), Path::new("/p"))
    }

    #[test]
    fn defaults_aliases_and_types() {
        let p = resolve(serde_json::json!({"host": "h", "pass": 123, "connect_timeout": "2m"})).unwrap();
        assert_eq!(p.int("port"), Some(5432));
        assert_eq!(p.secret("password").unwrap().expose(), "123");
        assert_eq!(p.duration("connect_timeout"), Some(Duration::from_secs(120)));
        assert!(!format!("{p:?}").contains("123"));
        let p = resolve(serde_json::json!({"host": "h", "storage_options": {"key": "s3cret"}})).unwrap();
        assert_eq!(p.map("storage_options").unwrap()["key"], "s3cret");
        assert!(!format!("{p:?}").contains("s3cret"));
    }
    #[test]
    fn errors_name_the_key() {
        let e = resolve(serde_json::json!({"hots": "h"})).unwrap_err();
        assert!(e.message().contains("`hots`") && e.hint_text() == Some("did you mean `host`?"), "{e:?}");
        let e = resolve(serde_json::json!({})).unwrap_err();
        assert!(e.message().contains("needs `host`"), "{e:?}");
        let e = resolve(serde_json::json!({"host": "h", "port": "x"})).unwrap_err();
        assert!(e.message().contains("a whole number"), "{e:?}");
        let e = resolve(serde_json::json!({"host": "h", "password": ["s3cret"]})).unwrap_err();
        assert!(!e.report().contains("s3cret"), "{e:?}");
    }
    #[test]
    fn durations() {
        for (t, ms) in [("10s", 10_000), ("5", 5_000), ("500ms", 500), ("1.5m", 90_000), ("2h", 7_200_000)] {
            assert_eq!(parse_duration(t), Some(Duration::from_millis(ms)), "{t}");
        }
        assert_eq!(parse_duration("10 parsecs"), None);
    }
}
