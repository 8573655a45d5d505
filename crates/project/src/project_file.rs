//! xdb_project.yml (or dbt_project.yml): the project's own settings.

use crate::config::{KNOWN, Layer, is_mapping_key};
use crate::jinja::YamlJinja;
use crate::size::parse_size;
use crate::yaml::{self, Entry, Kind, Node, Reader};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use xdb_core::names::nearest;
use xdb_core::{Error, Result};

/// The names the file may have, the first wins.
pub const FILE_NAMES: [&str; 3] = ["xdb_project.yml", "dbt_project.yml", "project.example.yml"];

/// Settings of one engine under `compute:`.
#[derive(Clone, Debug, Default)]
pub struct EngineConfig {
    /// Bytes.
    pub memory_limit: Option<u64>,
    pub threads: Option<usize>,
    /// Every other key, for the engine itself.
    pub extra: Map<String, Value>,
    /// Where it stands, 1-based; 0 where the file says nothing about this engine.
    pub line: usize,
}

/// `compute:`. Which engines exist is for the caller to know.
#[derive(Clone, Debug)]
pub struct ComputeConfig {
    /// `auto` where nothing is said.
    pub default_engine: String,
    /// By engine's name.
    pub engines: BTreeMap<String, EngineConfig>,
    /// Where `default_engine` stands, 1-based; 0 where nothing is said.
    pub line: usize,
}
impl Default for ComputeConfig {
    fn default() -> Self {
        Self { default_engine: "auto".into(), engines: BTreeMap::new(), line: 0 }
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
    /// `target:`, the connection written to where nothing else is said.
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
    /// The trees of settings: `models`, `seeds`, `snapshots`, `sources`, `tests`.
    pub(crate) trees: BTreeMap<String, Node>,
    /// The file itself; as it is shown in errors.
    pub file: PathBuf,
    /// Things worth saying that are no errors.
    pub warnings: Vec<String>,
}

/// Keys of dbt's that xdb takes notice of, or needs no notice of.
const KEYS: &[&str] = &[
    "name",
    "version",
    "config-version",
    "profile",
    "target",
    "model-paths",
    "source-paths",
    "seed-paths",
    "data-paths",
    "test-paths",
    "analysis-paths",
    "macro-paths",
    "snapshot-paths",
    "docs-paths",
    "asset-paths",
    "function-paths",
    "target-path",
    "log-path",
    "packages-install-path",
    "modules-path",
    "clean-targets",
    "query-comment",
    "require-dbt-version",
    "require-xdb-version",
    "flags",
    "dispatch",
    "on-run-start",
    "on-run-end",
    "vars",
    "models",
    "seeds",
    "snapshots",
    "sources",
    "tests",
    "data_tests",
    "unit_tests",
    "exposures",
    "metrics",
    "semantic-models",
    "saved-queries",
    "functions",
    "analyses",
    "quoting",
    "restrict-access",
    "dbt-cloud",
    "compute",
];
/// Jinja in these is for later.
pub(crate) const HOOK_KEYS: &[&str] = &[
    "pre-hook",
    "post-hook",
    "pre_hook",
    "post_hook",
    "on-run-start",
    "on-run-end",
    "query-comment",
    "sql_header",
    "description",
];
const TREES: &[&str] = &["models", "seeds", "snapshots", "sources", "tests", "data_tests"];

impl ProjectFile {
    /// The project file in `root`, if there is one.
    pub fn find(root: &Path) -> Option<PathBuf> {
        FILE_NAMES.iter().map(|n| root.join(n)).find(|p| p.is_file())
    }

    /// Parse `text`; `shown` is its name in errors. Values may use `env_var()` and `var()` (of `cli_vars`). Errors: not
    /// YAML, no name, a typo in a key, a wrong type; with file and line.
    pub(crate) fn parse(text: &str, shown: &Path, jinja: &YamlJinja) -> Result<Self> {
        let reader = Reader { path: shown };
        let tree = yaml::parse(text, shown)?;
        if !matches!(tree.kind, Kind::Map(_)) {
            return Err(reader.error(tree.line, format!("the project file must be a mapping, not {}", tree.what())));
        }
        let mut out = Self { file: shown.into(), ..Self::default() };
        for entry in tree.entries() {
            if KEYS.contains(&entry.key.as_str()) {
                continue;
            }
            if nearest(&entry.key, KEYS.iter().copied()).is_some() {
                return Err(reader.unknown_key(entry, "the project file", KEYS));
            }
            out.warnings.push(format!("{}:{}: unknown key `{}` is ignored", shown.display(), entry.line, entry.key));
        }
        // The trees may use `target`, which is known only after this: they are rendered when they are asked.
        let plain =
            |key: &str| -> Result<Option<Node>> { tree.get(key).map(|n| jinja.tree(n, shown, HOOK_KEYS)).transpose() };
        let text = |key: &str| -> Result<Option<String>> { plain(key)?.map(|n| reader.text(&n, key)).transpose() };
        out.name = match text("name")? {
            Some(n) => n,
            None => {
                return Err(reader.error(1, "the project file needs a `name`").hint("for example `name: my_project`"));
            }
        };
        if out.name.is_empty() || !out.name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            let line = tree.get("name").map_or(0, |n| n.line);
            return Err(
                reader.error(line, format!("`name: {}` may only have letters, digits and underscores", out.name))
            );
        }
        out.version = text("version")?;
        out.profile = text("profile")?;
        out.target = text("target")?;
        let paths = |keys: &[&str], default: &[&str]| -> Result<Vec<PathBuf>> {
            for key in keys {
                if let Some(n) = plain(key)? {
                    return Ok(reader.texts(&n, key)?.into_iter().map(PathBuf::from).collect());
                }
            }
            Ok(default.iter().map(PathBuf::from).collect())
        };
        out.model_paths = paths(&["model-paths", "source-paths"], &["models"])?;
        out.seed_paths = paths(&["seed-paths", "data-paths"], &["seeds"])?;
        out.macro_paths = paths(&["macro-paths"], &["macros"])?;
        out.test_paths = paths(&["test-paths"], &["tests"])?;
        out.snapshot_paths = paths(&["snapshot-paths"], &["snapshots"])?;
        out.analysis_paths = paths(&["analysis-paths"], &["analyses"])?;
        out.target_path = text("target-path")?.unwrap_or_else(|| "target".into()).into();
        out.clean_targets = match tree.get("clean-targets") {
            Some(_) => paths(&["clean-targets"], &[])?,
            None => vec![out.target_path.clone()],
        };
        if let Some(vars) = plain("vars")? {
            reader.map(&vars, "vars")?;
            out.vars = vars.to_object();
        }
        for (key, list) in [("on-run-start", &mut out.on_run_start), ("on-run-end", &mut out.on_run_end)] {
            if let Some(n) = tree.get(key) {
                *list = reader.texts(n, key)?.into_iter().filter(|s| !s.trim().is_empty()).collect();
            }
        }
        if let Some(node) = plain("compute")? {
            out.compute = compute(&reader, &node)?;
        }
        for key in TREES {
            if let Some(node) = tree.get(key) {
                reader.map(node, key)?;
                let key = if *key == "data_tests" { "tests" } else { key };
                out.trees.insert(key.into(), node.clone());
            }
        }
        Ok(out)
    }

    /// Render the trees of settings, which may use `target`.
    pub(crate) fn render_trees(&mut self, jinja: &YamlJinja) -> Result<()> {
        for tree in self.trees.values_mut() {
            *tree = jinja.tree(tree, &self.file, HOOK_KEYS)?;
        }
        Ok(())
    }

    /// The layers of settings that the tree `kind` (`models` …) has for a node of this fqn, weakest first.
    pub(crate) fn layers(&self, kind: &str, fqn: &[String]) -> Vec<Layer> {
        let mut out = Vec::new();
        let mut at = self.trees.get(kind);
        let mut parts = fqn.iter();
        while let Some(node) = at {
            let next = parts.next();
            let mut layer = Layer { file: self.file.clone(), line: node.line, ..Layer::default() };
            at = None;
            for entry in node.entries() {
                if Some(&entry.key) == next && matches!(entry.value.kind, Kind::Map(_)) {
                    at = Some(&entry.value);
                } else if is_setting(entry) {
                    let key = entry.key.trim_start_matches('+').to_string();
                    layer.lines.insert(key.clone(), entry.line);
                    layer.values.insert(key, entry.value.to_json());
                }
            }
            if !layer.values.is_empty() {
                out.push(layer);
            }
        }
        out
    }

    /// Paths of the tree `kind` that lead to none of the `fqns`, with their lines.
    pub(crate) fn unused_paths(&self, kind: &str, fqns: &[&[String]]) -> Vec<(String, usize)> {
        let mut used: BTreeSet<Vec<&str>> = BTreeSet::new();
        for fqn in fqns {
            for n in 1..=fqn.len() {
                used.insert(fqn[..n].iter().map(String::as_str).collect());
            }
        }
        let mut out = Vec::new();
        let mut stack: Vec<(Vec<&str>, &Node)> = self.trees.get(kind).map(|n| (Vec::new(), n)).into_iter().collect();
        while let Some((path, node)) = stack.pop() {
            for entry in node.entries().iter().filter(|e| !is_setting(e)) {
                let mut here = path.clone();
                here.push(&entry.key);
                match used.contains(&here) {
                    true => stack.push((here, &entry.value)),
                    false => out.push((format!("{kind}.{}", here.join(".")), entry.line)),
                }
            }
        }
        out.sort_by_key(|(_, line)| *line);
        out
    }

    /// Vars after precedence: `cli` over those of this project over global ones.
    pub(crate) fn merged_vars(&self, cli: &Map<String, Value>) -> Map<String, Value> {
        let mut out = self.vars.clone();
        if let Some(Value::Object(own)) = out.remove(&self.name) {
            out.extend(own);
        } else if let Some(v) = self.vars.get(&self.name) {
            out.insert(self.name.clone(), v.clone());
        }
        out.extend(cli.clone());
        out
    }
}

/// A setting rather than a folder: `+key`, a plain value, or a mapping under a key whose value is one.
fn is_setting(entry: &Entry) -> bool {
    let is_map = matches!(entry.value.kind, Kind::Map(_));
    entry.key.starts_with('+')
        || (!is_map && !entry.value.is_null())
        || (is_map && is_mapping_key(&entry.key))
        || (entry.value.is_null() && KNOWN.contains(&entry.key.as_str()))
}

fn compute(reader: &Reader<'_>, node: &Node) -> Result<ComputeConfig> {
    let mut out = ComputeConfig::default();
    for entry in reader.map(node, "compute")? {
        if entry.key == "default_engine" || entry.key == "default" {
            out.default_engine = reader.text(&entry.value, &entry.key)?;
            out.line = entry.line;
            continue;
        }
        if !matches!(entry.value.kind, Kind::Map(_) | Kind::Null) {
            let near = nearest(&entry.key, ["default_engine"]);
            let e = reader.error(
                entry.line,
                format!(
                    "compute: `{}` must be a mapping of an engine's settings, not {}",
                    entry.key,
                    entry.value.what()
                ),
            );
            return Err(match near {
                Some(n) => e.hint(format!("did you mean `{n}`?")),
                None => e.hint("for example `datafusion: {memory_limit: 4GB, threads: 4}`"),
            });
        }
        let mut engine = EngineConfig { line: entry.line, ..EngineConfig::default() };
        for setting in entry.value.entries() {
            let (key, value) = (setting.key.as_str(), &setting.value);
            let wrong = |want: &str| -> Error {
                let got = value.scalar_text().unwrap_or_else(|| value.what().into());
                reader.error(value.line, format!("compute.{}.{key} must be {want}, not {got}", entry.key))
            };
            match key {
                _ if value.is_null() => {}
                "memory_limit" => {
                    let size = value.scalar_text().and_then(|t| parse_size(&t)).filter(|b| *b > 0);
                    engine.memory_limit = Some(size.ok_or_else(|| wrong("a size such as 4GB"))?);
                }
                "threads" => {
                    let n = value.scalar_text().and_then(|t| t.trim().parse::<usize>().ok()).filter(|n| *n > 0);
                    engine.threads = Some(n.ok_or_else(|| wrong("a whole number of at least 1"))?);
                }
                _ => {
                    engine.extra.insert(key.into(), value.to_json());
                }
            }
        }
        out.engines.insert(entry.key.clone(), engine);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> Result<ProjectFile> {
        let jinja = YamlJinja { vars: Some(Map::new()), ..YamlJinja::default() };
        ProjectFile::parse(text, Path::new("xdb_project.yml"), &jinja)
    }
    fn location(e: &Error) -> &str {
        e.context().location.as_deref().unwrap_or_default()
    }

    #[test]
    fn defaults() {
        let p = parse("name: shop\n").unwrap();
        assert_eq!(p.model_paths, [PathBuf::from("models")]);
        assert_eq!((p.target_path.as_path(), p.compute.default_engine.as_str()), (Path::new("target"), "auto"));
        assert_eq!(p.clean_targets, [PathBuf::from("target")]);
    }

    #[test]
    fn compute_settings() {
        let p = parse(
            "name: shop\ncompute:\n  default_engine: duckdb\n  datafusion: {memory_limit: 4GB, threads: 4}\n  spark: {remote: 'sc://h'}\n",
        )
        .unwrap();
        assert_eq!((p.compute.default_engine.as_str(), p.compute.line), ("duckdb", 3));
        let d = p.compute.engine("datafusion");
        assert_eq!((d.memory_limit, d.threads, d.line), (Some(4_000_000_000), Some(4), 4));
        assert_eq!(Value::Object(p.compute.engine("spark").extra), json!({"remote": "sc://h"}));
        let e = parse("name: s\ncompute:\n  duckdb:\n    memory_limit: lots\n").unwrap_err();
        assert_eq!(
            (e.message(), location(&e)),
            ("compute.duckdb.memory_limit must be a size such as 4GB, not lots", "xdb_project.yml:4")
        );
        let e = parse("name: s\ncompute: {defaultengine: x}\n").unwrap_err();
        assert_eq!(e.hint_text(), Some("did you mean `default_engine`?"), "{e:?}");
    }

    #[test]
    fn typos_are_errors_and_strange_keys_warnings() {
        let e = parse("name: shop\nmodel_paths: [m]\n").unwrap_err();
        assert_eq!(
            (e.message(), location(&e)),
            ("the project file has an unknown key `model_paths`", "xdb_project.yml:2")
        );
        assert_eq!(e.hint_text(), Some("did you mean `model-paths`?"));
        assert_eq!(
            parse("name: shop\nsomething_else: 1\n").unwrap().warnings,
            ["xdb_project.yml:2: unknown key `something_else` is ignored"]
        );
        let e = parse("version: 1\n").unwrap_err();
        assert_eq!(e.message(), "the project file needs a `name`");
        let e = parse("name: a b\n").unwrap_err();
        assert!(e.message().contains("letters, digits and underscores"), "{e:?}");
        let e = parse("name: a\nmodels: [x]\n").unwrap_err();
        assert_eq!((e.message(), location(&e)), ("`models` must be a mapping, not a list", "xdb_project.yml:2"));
    }

    #[test]
    fn vars_by_precedence() {
        let p = parse("name: shop\nvars:\n  a: global\n  b: global\n  c: global\n  shop: {b: project, c: project}\n")
            .unwrap();
        let cli = json!({"c": "cli", "d": 1}).as_object().unwrap().clone();
        assert_eq!(Value::Object(p.merged_vars(&cli)), json!({"a": "global", "b": "project", "c": "cli", "d": 1}));
    }

    #[test]
    fn unused_paths_are_found() {
        let p = parse(
            "name: shop\nmodels:\n  shop:\n    marts: {+tags: a}\n    mart: {+tags: b}\n  other: {x: {+tags: c}}\n",
        )
        .unwrap();
        let fqn: Vec<String> = ["shop", "marts", "orders"].map(String::from).to_vec();
        assert_eq!(p.unused_paths("models", &[&fqn]), [("models.shop.mart".into(), 5), ("models.other".into(), 6)]);
    }
}
