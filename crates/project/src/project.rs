//! A whole project read from its folder.

use crate::config::{self, Layer, ModelConfig};
use crate::files;
use crate::jinja::{Env, YamlJinja};
use crate::profiles::Profiles;
use crate::project_file::{FILE_NAMES, ProjectFile};
use crate::resources::{self, ModelProps, SourceDef, SourceTable};
use crate::yaml::{self, Kind};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use xdb_core::names::suggest;
use xdb_core::{Error, Result};

/// Where to look.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// `--project-dir`, else `XDB_PROJECT_DIR`, else the working folder or the nearest above it with a project file.
    pub project_dir: Option<PathBuf>,
    /// `--profiles-dir`.
    pub profiles_dir: Option<PathBuf>,
    /// `--target`: the connection (or, of a dbt-style profile, the output) to write to; over the project's.
    pub target: Option<String>,
    /// `--vars`, as parsed by [`parse_cli_vars`](Project::parse_cli_vars); over the project's.
    pub vars: Map<String, Value>,
    /// Where environment variables come from.
    pub env: Env,
}

/// A text file of the project.
#[derive(Clone, Debug)]
pub struct TextFile {
    /// Relative to the root.
    pub path: PathBuf,
    pub text: String,
}

/// One model's file, with what the `.yml`s say about it.
#[derive(Clone, Debug, Default)]
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
    /// The connection written to where a model says nothing: `--target`, the project's `target:`, dbt's `profile:`, or
    /// the only connection there is. It exists.
    pub target: Option<String>,
    /// By path.
    pub models: Vec<ModelFile>,
    pub sources: Vec<SourceDef>,
    /// `macros/**/*.sql`.
    pub macros: Vec<TextFile>,
    /// `tests/**/*.sql`, without `tests/generic`, whose files are among the macros.
    pub tests: Vec<TextFile>,
    /// `seeds/**/*.csv`: `path` and `props` as for models, no text.
    pub seeds: Vec<ModelFile>,
    /// `snapshots/**/*.sql`.
    pub snapshots: Vec<TextFile>,
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
    /// The folder of the project: where `options` say, else the working folder or the nearest above it that has a
    /// project file. Errors: none has, naming the places.
    pub fn find_root(options: &LoadOptions) -> Result<PathBuf> {
        let absolute = |p: &Path| {
            std::path::absolute(p)
                .map_err(|e| Error::from(e).with_message(|m| format!("cannot use {}: {m}", p.display())))
        };
        let names = FILE_NAMES.join(", ");
        let given = options.project_dir.clone().or_else(|| options.env.get("XDB_PROJECT_DIR").map(PathBuf::from));
        if let Some(dir) = given {
            let dir = absolute(&dir)?;
            return match ProjectFile::find(&dir) {
                Some(_) => Ok(dir),
                None => Err(Error::not_found(format!("there is no project in {}; looked for {names}", dir.display()))
                    .hint("make one with `xdb init`, or name its folder with --project-dir")),
            };
        }
        let here = absolute(Path::new("."))?;
        match here.ancestors().find(|d| ProjectFile::find(d).is_some()) {
            Some(dir) => Ok(dir.to_path_buf()),
            None => {
                Err(Error::not_found(format!("there is no project in {} or above; looked for {names}", here.display()))
                    .hint("make one with `xdb init`, or name its folder with --project-dir"))
            }
        }
    }

    /// Read the project. Models are read, not rendered. Errors: whatever is wrong in its files, with file and line.
    pub fn load(options: &LoadOptions) -> Result<Self> {
        let root = Self::find_root(options)?;
        let file_path = ProjectFile::find(&root).unwrap_or_default();
        let shown = PathBuf::from(file_path.file_name().unwrap_or_default());
        let text = files::read(&root, &shown)?;
        let mut jinja =
            YamlJinja { env: options.env.clone(), vars: Some(options.vars.clone()), ..YamlJinja::default() };
        let mut file = ProjectFile::parse(&text, &shown, &jinja)?;
        let vars = file.merged_vars(&options.vars);
        jinja.vars = Some(vars.clone());

        let home = dirs::home_dir();
        let profiles =
            Profiles::find_with(options.profiles_dir.as_deref(), Some(&root), home.as_deref(), options.env.clone())?;
        let target = default_target(options.target.as_deref(), &file, &profiles)?;
        jinja.target = Some(target_values(target.as_deref(), &profiles));
        file.render_trees(&jinja)?;

        let mut out = Self {
            warnings: file.warnings.clone(),
            root,
            file,
            profiles,
            target,
            models: Vec::new(),
            sources: Vec::new(),
            macros: Vec::new(),
            tests: Vec::new(),
            seeds: Vec::new(),
            snapshots: Vec::new(),
            analyses: Vec::new(),
            exposures: Vec::new(),
            vars,
        };
        out.read_files()?;
        out.read_resources(&jinja)?;
        Ok(out)
    }

    fn read_files(&mut self) -> Result<()> {
        let root = &self.root;
        let skip = [self.file.target_path.clone(), PathBuf::from("dbt_packages"), PathBuf::from("logs")];
        let texts = |dirs: &[PathBuf], extension: &str| -> Result<Vec<TextFile>> {
            let mut out = Vec::new();
            for dir in dirs {
                for path in files::find(root, dir, &[extension], &skip)? {
                    out.push(TextFile { text: files::read(root, &path)?, path });
                }
            }
            Ok(out)
        };
        let f = &self.file;
        let mut models = Vec::new();
        for dir in &f.model_paths {
            for path in files::find(root, dir, &["sql"], &skip)? {
                let text = files::read(root, &path)?;
                models.push(self.node_file(dir, path, text));
            }
            for path in files::find(root, dir, &["py"], &skip)? {
                self.warnings.push(format!("{}: Python models are not supported; the file is ignored", path.display()));
            }
        }
        let mut seeds = Vec::new();
        for dir in &f.seed_paths {
            for path in files::find(root, dir, &["csv"], &skip)? {
                seeds.push(self.node_file(dir, path, String::new()));
            }
        }
        let mut seen: BTreeMap<&str, &Path> = BTreeMap::new();
        for node in models.iter().chain(&seeds) {
            if let Some(other) = seen.insert(&node.name, &node.path) {
                return Err(Error::config(format!(
                    "two models are named `{}`: {} and {}",
                    node.name,
                    other.display(),
                    node.path.display()
                ))
                .at(node.path.display(), 0)
                .hint("rename one of the files: a model's name is its file's; `alias` sets its table's name"));
            }
        }
        let (macros, tests) = (texts(&f.macro_paths, "sql")?, texts(&f.test_paths, "sql")?);
        let generic = |t: &TextFile| f.test_paths.iter().any(|p| t.path.starts_with(p.join("generic")));
        let (generic_tests, tests): (Vec<_>, Vec<_>) = tests.into_iter().partition(generic);
        let (snapshots, analyses) = (texts(&f.snapshot_paths, "sql")?, texts(&f.analysis_paths, "sql")?);
        self.macros = macros.into_iter().chain(generic_tests).collect();
        (self.models, self.seeds, self.tests, self.snapshots, self.analyses) =
            (models, seeds, tests, snapshots, analyses);
        Ok(())
    }

    fn node_file(&self, dir: &Path, path: PathBuf, text: String) -> ModelFile {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let below = path.strip_prefix(dir).unwrap_or(&path);
        let mut fqn = vec![self.file.name.clone()];
        fqn.extend(
            below.parent().into_iter().flat_map(Path::components).map(|c| c.as_os_str().to_string_lossy().into_owned()),
        );
        fqn.push(name.clone());
        ModelFile { name, path, text, fqn, props: None }
    }

    fn read_resources(&mut self, jinja: &YamlJinja) -> Result<()> {
        let skip = [self.file.target_path.clone(), PathBuf::from("dbt_packages"), PathBuf::from("logs")];
        let f = &self.file;
        let mut paths = Vec::new();
        for dir in [&f.model_paths, &f.seed_paths, &f.snapshot_paths].into_iter().flatten() {
            for path in files::find(&self.root, dir, &["yml", "yaml"], &skip)? {
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
        }
        let (mut sources, mut models, mut seeds) = (Vec::new(), Vec::new(), Vec::new());
        for path in paths {
            let mut found = resources::parse(&files::read(&self.root, &path)?, &path, jinja)?;
            sources.append(&mut found.sources);
            models.append(&mut found.models);
            seeds.append(&mut found.seeds);
            self.exposures.append(&mut found.exposures);
        }
        self.sources = resources::merge_sources(sources)?;
        patch(&mut self.models, models, "model", &mut self.warnings)?;
        patch(&mut self.seeds, seeds, "seed", &mut self.warnings)?;
        for (kind, nodes) in [("models", &self.models), ("seeds", &self.seeds)] {
            let fqns: Vec<&[String]> = nodes.iter().map(|m| m.fqn.as_slice()).collect();
            for (unused, line) in self.file.unused_paths(kind, &fqns) {
                let shown = self.file.file.display();
                self.warnings.push(format!("{shown}:{line}: `{unused}` applies to no {}", kind.trim_end_matches('s')));
            }
        }
        // A connection that isn't there is found now, not when the first query runs.
        for source in &self.sources {
            if let Some(c) = &source.connection
                && !self.profiles.contains(c)
            {
                let e = Error::config(format!(
                    "source `{}`: there is no connection `{c}` in {}",
                    source.name,
                    self.profiles.file().display()
                ))
                .at(source.file.display(), source.line);
                return Err(match suggest(c, self.profiles.names()) {
                    Some(h) => e.hint(h),
                    None => e,
                });
            }
        }
        Ok(())
    }

    /// `--vars`: a YAML or JSON mapping, e.g. `{start: 2024-01-01}`.
    pub fn parse_cli_vars(text: &str) -> Result<Map<String, Value>> {
        let bad = |why: String| Error::config(why).hint("for example --vars '{start_date: 2024-01-01}'");
        // The message names its "file", which is --vars.
        let tree = yaml::parse(text, Path::new("--vars")).map_err(|e| bad(e.message().to_string()))?;
        match tree.kind {
            Kind::Map(_) => Ok(tree.to_object()),
            _ => Err(bad(format!("--vars must be a mapping, not {}", tree.what()))),
        }
    }

    /// Merge a model's settings: the project's tree by folder, the `.yml`, then `in_file`: what its `config()` said, at
    /// `line`. Errors: an unknown value or a wrong type, at the file and line of the layer that said it.
    pub fn model_config(&self, model: &ModelFile, in_file: &Map<String, Value>, line: usize) -> Result<ModelConfig> {
        self.node_config("models", model, in_file, line)
    }

    /// A seed's settings: the `seeds:` tree, then its `.yml`.
    pub fn seed_config(&self, seed: &ModelFile) -> Result<ModelConfig> {
        self.node_config("seeds", seed, &Map::new(), 0)
    }

    fn node_config(
        &self,
        tree: &str,
        node: &ModelFile,
        in_file: &Map<String, Value>,
        line: usize,
    ) -> Result<ModelConfig> {
        let mut layers = self.file.layers(tree, &node.fqn);
        layers.extend(node.props.iter().map(|p| p.config.clone()));
        if !in_file.is_empty() {
            layers.push(Layer { values: in_file.clone(), file: node.path.clone(), line, ..Layer::default() });
        }
        let config = config::resolve(&node.name, &layers)?;
        if let Some(target) = &config.target
            && !self.profiles.contains(target)
        {
            let place = layers.iter().rev().find(|l| l.values.contains_key("target"));
            let (file, line) = place.map_or((node.path.as_path(), 0), |l| {
                (l.file.as_path(), l.lines.get("target").copied().unwrap_or(l.line))
            });
            let e = Error::config(format!(
                "model `{}`: there is no connection `{target}` in {}",
                node.name,
                self.profiles.file().display()
            ))
            .at(file.display(), line)
            .model(node.name.clone());
            return Err(match suggest(target, self.profiles.names()) {
                Some(h) => e.hint(h),
                None => e,
            });
        }
        Ok(config)
    }

    /// Parse every model with `parse` (which gives what `config()` said, its line, and whatever it recorded) and merge
    /// its settings. Models with `enabled: false` in the project file or a `.yml` are not parsed: their `recorded` is
    /// the default.
    pub fn parse_models<R: Default>(
        &self,
        parse: impl Fn(&ModelFile) -> Result<(Map<String, Value>, usize, R)>,
    ) -> Result<Vec<ParsedModel<R>>> {
        self.models
            .iter()
            .map(|m| {
                let outside = self.model_config(m, &Map::new(), 0)?;
                if !outside.enabled && !m.text.contains("enabled") {
                    return Ok(ParsedModel { config: outside, file: m.clone(), recorded: R::default() });
                }
                let (values, line, recorded) = parse(m)?;
                Ok(ParsedModel { config: self.model_config(m, &values, line)?, file: m.clone(), recorded })
            })
            .collect()
    }

    /// The source's table that `source(source, table)` means. Errors name the nearest.
    pub fn source(&self, source: &str, table: &str) -> Result<(&SourceDef, &SourceTable)> {
        let named = || self.sources.iter().filter(|s| s.name == source);
        let found = named().find_map(|s| s.tables.iter().find(|t| t.name == table).map(|t| (s, t)));
        if let Some(found) = found {
            return Ok(found);
        }
        let (message, hint) = if named().next().is_none() {
            let names = self.sources.iter().map(|s| s.name.as_str());
            (format!("source('{source}', '{table}'): there is no source `{source}`"), suggest(source, names))
        } else {
            let names = named().flat_map(|s| &s.tables).map(|t| t.name.as_str());
            (format!("source('{source}', '{table}'): source `{source}` has no table `{table}`"), suggest(table, names))
        };
        let e = Error::config(message);
        Err(match hint {
            Some(h) => e.hint(h),
            None => e.hint("declare it under `sources:` in a .yml file among the models"),
        })
    }
}

/// Give each node what the `.yml`s say about it. Errors: two entries for one node.
fn patch(nodes: &mut [ModelFile], props: Vec<ModelProps>, kind: &str, warnings: &mut Vec<String>) -> Result<()> {
    for p in props {
        let place = format!("{}:{}", p.file.display(), p.line);
        match nodes.iter_mut().find(|m| m.name == p.name) {
            Some(node) => {
                if let Some(other) = &node.props {
                    return Err(Error::config(format!(
                        "{kind} `{}` is described twice: {}:{} and {place}",
                        p.name,
                        other.file.display(),
                        other.line
                    ))
                    .at(p.file.display(), p.line)
                    .hint("put both into one entry"));
                }
                node.props = Some(p);
            }
            None => {
                let near = suggest(&p.name, nodes.iter().map(|m| m.name.as_str())).filter(|s| s.starts_with("did"));
                let near = near.map(|n| format!("; {n}")).unwrap_or_default();
                warnings.push(format!("{place}: there is no {kind} `{}`{near}", p.name));
            }
        }
    }
    Ok(())
}

fn default_target(given: Option<&str>, file: &ProjectFile, profiles: &Profiles) -> Result<Option<String>> {
    let wanted = match given {
        // dbt's --target names an output of the project's profile.
        Some(t) => {
            let of_profile = file.profile.as_ref().map(|p| format!("{p}.{t}")).filter(|n| profiles.contains(n));
            Some(of_profile.unwrap_or_else(|| t.to_string()))
        }
        None => file.target.clone().or_else(|| file.profile.clone()),
    };
    let Some(wanted) = wanted else {
        return Ok(match profiles.names().as_slice() {
            [only] => Some(only.to_string()),
            _ => None,
        });
    };
    if let Some(name) = profiles.canonical(&wanted) {
        return Ok(Some(name.to_string()));
    }
    let what = if given.is_some() { "--target" } else { "the project's target" };
    let mut e = Error::config(format!("{what}: there is no connection `{wanted}` in {}", profiles.file().display()));
    if given.is_none() {
        e = e.at(file.file.display(), 0);
    }
    Err(match suggest(&wanted, profiles.names()) {
        Some(h) => e.hint(h),
        None => e,
    })
}

/// `target` in YAML: what of the default connection is no secret. Where its variables are missing, only its name.
fn target_values(target: Option<&str>, profiles: &Profiles) -> Map<String, Value> {
    const SHOWN: &[&str] =
        &["host", "port", "user", "username", "schema", "database", "dbname", "path", "threads", "role", "warehouse"];
    let mut out = Map::new();
    let Some(name) = target else { return out };
    for key in ["name", "profile_name", "target_name"] {
        out.insert(key.into(), name.into());
    }
    if let Ok(profile) = profiles.get(name) {
        out.insert("type".into(), profile.adapter.into());
        out.extend(profile.raw.into_iter().filter(|(k, _)| SHOWN.contains(&k.as_str())));
    }
    out
}
