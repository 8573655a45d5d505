//! profiles.yml: the connections.
//!
//! A top-level key is one connection: `{adapter | type, ...parameters}`. dbt's shape is read too: of
//! `shop: {target: dev, outputs: {dev: …, prod: …}}` the default output is the connection `shop` (and answers to
//! `shop.dev`), every other one is `shop.<output>`. The top-level key `config` (dbt's user settings) is no connection.

use crate::jinja::{Env, YamlJinja};
use crate::yaml::{self, Kind, Node, Reader};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use xdb_core::names::suggest;
use xdb_core::{Error, ErrorKind, Result};

/// The names the file may have, the first wins.
const FILE_NAMES: [&str; 2] = ["profiles.yml", "profiles.example.yml"];

/// One connection, after its `env_var()`s were looked up.
#[derive(Clone)]
pub struct ConnectionProfile {
    pub name: String,
    /// `adapter:` (or `type:`), e.g. `postgres`; not checked against what exists.
    pub adapter: String,
    /// The mapping without `adapter`/`type`, rendered. May hold secrets: never print it; `Debug` doesn't.
    pub raw: Map<String, Value>,
    /// The file it stands in; relative paths in `raw` start from its folder.
    pub file: PathBuf,
    /// 1-based.
    pub line: usize,
}
impl std::fmt::Debug for ConnectionProfile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<&String> = self.raw.keys().collect();
        let mut s = f.debug_struct("ConnectionProfile");
        s.field("name", &self.name).field("adapter", &self.adapter).field("keys", &keys).finish()
    }
}

#[derive(Clone)]
struct Slot {
    name: String,
    /// `profile.output` of a dbt-style default output.
    alias: Option<String>,
    node: Node,
    line: usize,
}

/// All connections of a profiles.yml, rendered one by one as they are asked for: a variable that is missing fails only
/// the connection that needs it.
#[derive(Clone, Default)]
pub struct Profiles {
    file: PathBuf,
    slots: Vec<Slot>,
    jinja: YamlJinja,
    secrets: Arc<Mutex<Vec<String>>>,
}
impl std::fmt::Debug for Profiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profiles").field("file", &self.file).field("names", &self.names()).finish()
    }
}

impl Profiles {
    /// Find and read profiles.yml: in `profiles_dir` (`--profiles-dir`) or `$XDB_PROFILES_DIR` where one is given, and
    /// only there; else in the project, `~/.xdb`, and dbt's own `~/.dbt`. Errors: none found (naming every place), or
    /// not readable.
    pub fn find(profiles_dir: Option<&Path>, project_dir: Option<&Path>) -> Result<Self> {
        Self::find_with(profiles_dir, project_dir, dirs::home_dir().as_deref(), Env::default())
    }

    /// [`find`](Self::find) with the home and the environment given.
    pub fn find_with(
        profiles_dir: Option<&Path>,
        project_dir: Option<&Path>,
        home: Option<&Path>,
        env: Env,
    ) -> Result<Self> {
        let given = profiles_dir.map(Path::to_path_buf).or_else(|| env.get("XDB_PROFILES_DIR").map(PathBuf::from));
        let places: Vec<PathBuf> = match given {
            Some(dir) => vec![dir],
            None => {
                let homes = home.into_iter().flat_map(|h| [h.join(".xdb"), h.join(".dbt")]);
                project_dir.map(Path::to_path_buf).into_iter().chain(homes).collect()
            }
        };
        for dir in &places {
            for name in FILE_NAMES {
                let file = dir.join(name);
                if file.is_file() {
                    return Self::read(&file, env);
                }
            }
        }
        let searched: Vec<String> = places.iter().map(|p| p.join(FILE_NAMES[0]).display().to_string()).collect();
        Err(Error::not_found(format!("there is no profiles.yml; looked for {}", searched.join(", ")))
            .hint("make one with `xdb init`, or say where it is with --profiles-dir"))
    }

    /// Read the file at `path`.
    pub fn read(path: &Path, env: Env) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::from(e).with_message(|m| format!("cannot read {}: {m}", path.display())))?;
        Self::parse(&text, path, env)
    }

    /// Parse `text`, which stands in `path`.
    pub fn parse(text: &str, path: &Path, env: Env) -> Result<Self> {
        let reader = Reader { path };
        // `password: 1.10` is not `1.1`.
        let tree = yaml::parse(text, path)?.spelled(text);
        if !matches!(tree.kind, Kind::Map(_)) {
            return Err(
                reader.error(tree.line, format!("profiles.yml must be a mapping of connections, not {}", tree.what()))
            );
        }
        let secrets: Arc<Mutex<Vec<String>>> = Arc::default();
        let jinja = YamlJinja { env, secrets: Some(secrets.clone()), ..YamlJinja::default() };
        let mut slots: Vec<Slot> = Vec::new();
        for entry in tree.entries() {
            let (name, node) = (&entry.key, &entry.value);
            let has_adapter = node.get("adapter").or(node.get("type")).is_some();
            if name == "config" && !has_adapter {
                continue;
            }
            if !matches!(node.kind, Kind::Map(_)) {
                return Err(reader
                    .error(entry.line, format!("connection `{name}` must be a mapping, not {}", node.what()))
                    .connection(name)
                    .hint(format!("for example `{name}: {{adapter: sqlite, path: my.db}}`")));
            }
            let Some(outputs) = node.get("outputs").filter(|_| !has_adapter) else {
                slots.push(Slot { name: name.clone(), alias: None, node: node.clone(), line: entry.line });
                continue;
            };
            let default = Self::default_output(&reader, &jinja, name, node, outputs)?;
            for output in reader.map(outputs, "outputs")? {
                let dotted = format!("{name}.{}", output.key);
                let own = Some(&output.key) == default.as_ref();
                slots.push(Slot {
                    name: if own { name.clone() } else { dotted.clone() },
                    alias: own.then_some(dotted),
                    node: output.value.clone(),
                    line: output.line,
                });
            }
        }
        for (i, slot) in slots.iter().enumerate() {
            let same = |o: &&Slot| o.name == slot.name || o.alias.as_ref() == Some(&slot.name);
            if let Some(other) = slots[..i].iter().find(same) {
                return Err(reader.error(
                    slot.line,
                    format!("two connections are named `{}`, the other at line {}", slot.name, other.line),
                ));
            }
        }
        Ok(Self { file: path.into(), slots, jinja, secrets })
    }

    fn default_output(
        reader: &Reader<'_>,
        jinja: &YamlJinja,
        profile: &str,
        node: &Node,
        outputs: &Node,
    ) -> Result<Option<String>> {
        let names: Vec<&str> = outputs.entries().iter().map(|e| e.key.as_str()).collect();
        match node.get("target") {
            Some(t) => {
                let rendered = jinja.tree(t, reader.path, &[]).map_err(|e| e.connection(profile))?;
                let target = reader.text(&rendered, "target")?;
                if names.contains(&target.as_str()) {
                    return Ok(Some(target));
                }
                let e = reader.error(t.line, format!("profile `{profile}`: target `{target}` is none of its outputs"));
                Err(match suggest(&target, names) {
                    Some(h) => e.hint(h),
                    None => e,
                })
            }
            // dbt: an output named `default`; a single one can only be meant.
            None => Ok(names.iter().find(|n| **n == "default" || names.len() == 1).map(|n| n.to_string())),
        }
    }

    /// The file that was read.
    pub fn file(&self) -> &Path {
        &self.file
    }
    /// Names of all connections, in the file's order.
    pub fn names(&self) -> Vec<&str> {
        self.slots.iter().map(|s| s.name.as_str()).collect()
    }
    pub fn contains(&self, name: &str) -> bool {
        self.slot(name).is_some()
    }
    fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|s| s.name == name || s.alias.as_deref() == Some(name))
    }
    /// The name a connection is listed under: `shop` for `shop.dev` if `dev` is the profile's default output.
    pub fn canonical(&self, name: &str) -> Option<&str> {
        self.slot(name).map(|s| s.name.as_str())
    }

    /// The connection `name`. Errors: there is none (with the nearest), it has no adapter, or an `env_var()` of it is
    /// missing (naming variable, line and connection).
    pub fn get(&self, name: &str) -> Result<ConnectionProfile> {
        let Some(slot) = self.slot(name) else {
            let e =
                Error::new(ErrorKind::NotFound, format!("there is no connection `{name}` in {}", self.file.display()))
                    .connection(name);
            return Err(match suggest(name, self.names()) {
                Some(h) => e.hint(h),
                None => e.hint("the file has no connections yet"),
            });
        };
        let reader = Reader { path: &self.file };
        let node = self
            .jinja
            .tree(&slot.node, &self.file, &[])
            .map_err(|e| e.with_message(|m| format!("connection `{}`: {m}", slot.name)).connection(&slot.name))?;
        let mut raw = node.to_object();
        let adapter = match (raw.remove("adapter"), raw.remove("type")) {
            (Some(Value::String(a)), other) => {
                if let Some(t) = other {
                    // A connector may have a parameter of that name.
                    raw.insert("type".into(), t);
                }
                a
            }
            (None, Some(Value::String(t))) => t,
            (None, None) => {
                return Err(reader
                    .error(slot.line, format!("connection `{}` needs an `adapter`", slot.name))
                    .connection(&slot.name)
                    .hint("for example `adapter: postgres`"));
            }
            _ => {
                return Err(reader
                    .error(slot.line, format!("connection `{}`: `adapter` must be text", slot.name))
                    .connection(&slot.name));
            }
        };
        Ok(ConnectionProfile { name: slot.name.clone(), adapter, raw, file: self.file.clone(), line: slot.line })
    }

    /// Values of `XDB_ENV_SECRET_…`/`DBT_ENV_SECRET_…` variables met so far, for scrubbing every output.
    pub fn secret_values(&self) -> Vec<String> {
        let mut all = self.secrets.lock().map(|s| s.clone()).unwrap_or_default();
        all.sort();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn env() -> Env {
        Env::new(|name| match name {
            "PW" => Some("s3cret".into()),
            "PORT" => Some("5433".into()),
            "XDB_ENV_SECRET_TOKEN" => Some("t0ken".into()),
            _ => None,
        })
    }
    fn profiles(text: &str) -> Result<Profiles> {
        Profiles::parse(text, Path::new("profiles.yml"), env())
    }
    fn location(e: &Error) -> &str {
        e.context().location.as_deref().unwrap_or_default()
    }

    const TEXT: &str = "\
config:
  send_anonymous_usage_stats: false
pg:
  adapter: postgres
  host: db
  port: \"{{ env_var('PORT') | as_number }}\"
  password: \"{{ env_var('PW') }}\"
  url: \"x://{{ env_var('PW') }}@h\"
my: {type: mysql, password: \"{{ env_var('NOPE') }}\"}
tok: {adapter: x, token: \"{{ env_var('XDB_ENV_SECRET_TOKEN') }}\"}
";

    #[test]
    fn values_are_rendered_when_asked_for() {
        let p = profiles(TEXT).unwrap();
        assert_eq!(p.names(), ["pg", "my", "tok"]);
        let pg = p.get("pg").unwrap();
        assert_eq!((pg.adapter.as_str(), pg.line), ("postgres", 3));
        assert_eq!(
            Value::Object(pg.raw.clone()),
            json!({"host": "db", "port": 5433, "password": "s3cret", "url": "x://s3cret@h"})
        );
        assert!(!format!("{pg:?} {p:?}").contains("s3cret"));
    }

    #[test]
    fn a_missing_variable_fails_its_own_connection_only() {
        let e = profiles(TEXT).unwrap().get("my").unwrap_err();
        assert_eq!(e.message(), "connection `my`: environment variable `NOPE` is not set");
        assert_eq!((location(&e), e.context().connection.as_deref()), ("profiles.yml:9", Some("my")));
        assert!(e.hint_text().unwrap().contains("export NOPE="), "{e:?}");
    }

    #[test]
    fn secret_variables_are_kept_for_scrubbing() {
        let p = profiles(TEXT).unwrap();
        assert!(p.secret_values().is_empty());
        p.get("tok").unwrap();
        assert_eq!(p.clone().secret_values(), ["t0ken"]);
    }

    #[test]
    fn dbt_profiles_become_connections() {
        let p = profiles(
            "shop:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: a.db}\n    prod: {type: postgres, host: h}\n\
             one:\n  outputs:\n    x: {type: sqlite}\n",
        )
        .unwrap();
        assert_eq!(p.names(), ["shop", "shop.prod", "one"]);
        assert_eq!(p.get("shop").unwrap().adapter, "duckdb");
        assert_eq!(p.get("shop.dev").unwrap().name, "shop");
        assert_eq!(p.canonical("one.x"), Some("one"));
        assert_eq!((p.get("shop.prod").unwrap().adapter.as_str(), p.get("shop.prod").unwrap().line), ("postgres", 5));
        let e = profiles("shop:\n  target: dve\n  outputs:\n    dev: {type: duckdb}\n").unwrap_err();
        assert_eq!((location(&e), e.hint_text()), ("profiles.yml:2", Some("did you mean `dev`?")));
    }

    #[test]
    fn errors_say_what_and_where() {
        let e = profiles(TEXT).unwrap().get("gp").unwrap_err();
        assert_eq!(e.message(), "there is no connection `gp` in profiles.yml");
        assert_eq!(e.hint_text(), Some("did you mean `pg`?"));
        let e = profiles("a: 1\n").unwrap_err();
        assert_eq!((e.message(), location(&e)), ("connection `a` must be a mapping, not a number", "profiles.yml:1"));
        let e = profiles("\na: {host: h}\n").unwrap().get("a").unwrap_err();
        assert_eq!((e.message(), location(&e)), ("connection `a` needs an `adapter`", "profiles.yml:2"));
        let e = profiles("a: {adapter: x, b: \"{{ envvar('X') }}\"}\n").unwrap().get("a").unwrap_err();
        assert_eq!(e.hint_text(), Some("did you mean `env_var`?"), "{e:?}");
        assert_eq!(
            profiles("- a\n").unwrap_err().message(),
            "profiles.yml must be a mapping of connections, not a list"
        );
    }

    #[test]
    fn the_file_is_looked_for_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let (project, home) = (dir.path().join("p"), dir.path().join("h"));
        let put = |d: &Path, name: &str| {
            std::fs::create_dir_all(d).unwrap();
            std::fs::write(d.join(name), "x: {adapter: a}\n").unwrap();
        };
        let find = |given: Option<&Path>, env: Env| Profiles::find_with(given, Some(&project), Some(&home), env);
        let e = find(None, env()).unwrap_err();
        for place in [project.join("profiles.yml"), home.join(".xdb/profiles.yml")] {
            assert!(e.message().contains(&place.display().to_string()), "{e:?}");
        }
        put(&home.join(".dbt"), "profiles.yml");
        assert_eq!(find(None, env()).unwrap().file(), home.join(".dbt/profiles.yml"));
        put(&home.join(".xdb"), "profiles.yml");
        assert_eq!(find(None, env()).unwrap().file(), home.join(".xdb/profiles.yml"));
        put(&project, "profiles.example.yml");
        assert_eq!(find(None, env()).unwrap().file(), project.join("profiles.example.yml"));
        put(&project, "profiles.yml");
        assert_eq!(find(None, env()).unwrap().file(), project.join("profiles.yml"));
        let e = find(Some(&dir.path().join("none")), env()).unwrap_err();
        assert!(!e.message().contains(".xdb") && e.message().contains("none"), "{e:?}");
        let other = dir.path().join("other");
        put(&other, "profiles.yml");
        let text = other.display().to_string();
        let from_env = Env::new(move |n| (n == "XDB_PROFILES_DIR").then(|| text.clone()));
        assert_eq!(find(None, from_env).unwrap().file(), other.join("profiles.yml"));
    }
}
