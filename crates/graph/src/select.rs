//! The selection language, dbt's: which nodes `--select` and `--exclude` mean.
//!
//! A definition is `[@ | n+][method:]value[+n]`; a comma intersects definitions, a space unites them. Without a method
//! a value with a `/` is a path, one that ends like a file a file, any other a name.

use crate::build::Graph;
use crate::glob::{is_pattern, matches, path_matches};
use crate::node::{Node, NodeId, ResourceType};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use xdb_core::names::suggest;
use xdb_core::{Error, Result};

/// What is known beside the graph, for `result:` and `state:`.
#[derive(Clone, Debug, Default)]
pub struct SelectContext {
    /// Status of each node in an earlier run (`success`, `error`, `skipped`, `fail`, `warn`, `pass`), for `result:`.
    pub results: Option<BTreeMap<NodeId, String>>,
    /// What differs from an earlier manifest, for `state:`.
    pub state: Option<StateChanges>,
}

/// The difference to an earlier manifest.
#[derive(Clone, Debug, Default)]
pub struct StateChanges {
    /// Nodes that were not there.
    pub new: BTreeSet<NodeId>,
    /// Nodes that were there and have changed (without the new ones).
    pub modified: BTreeSet<NodeId>,
}

const METHODS: [&str; 13] = [
    "access",
    "config",
    "exposure",
    "file",
    "fqn",
    "group",
    "package",
    "path",
    "resource_type",
    "result",
    "source",
    "state",
    "tag",
];
const STATUSES: [&str; 6] = ["error", "fail", "pass", "skipped", "success", "warn"];

/// One definition, taken apart.
#[derive(Debug, PartialEq)]
struct Definition<'a> {
    /// `@`: descendants, and all that they need.
    at: bool,
    /// `Some(None)`: all ancestors; `Some(Some(n))`: at most n steps.
    parents: Option<Option<usize>>,
    children: Option<Option<usize>>,
    method: &'a str,
    /// After the method's dot: `materialized` of `config.materialized`.
    argument: &'a str,
    value: &'a str,
}

impl<'a> Definition<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        let bad = |why: &str| {
            Error::config(format!("cannot understand the selection `{text}`: {why}"))
                .hint("for example `+orders`, `tag:nightly`, `path:models/marts`, `@orders`")
        };
        let depth = |digits: &str| match digits {
            "" => Ok(None),
            d => d.parse().map(Some).map_err(|_| bad("the number of steps is too large")),
        };
        let mut rest = text;
        let at = rest.strip_prefix('@').map(|r| rest = r).is_some();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let mut parents = None;
        if rest[digits..].starts_with('+') {
            parents = Some(depth(&rest[..digits])?);
            rest = &rest[digits + 1..];
        }
        let mut children = None;
        let kept = rest.trim_end_matches(|c: char| c.is_ascii_digit());
        if let Some(before) = kept.strip_suffix('+') {
            children = Some(depth(&rest[kept.len()..])?);
            rest = before;
        }
        if at && (parents.is_some() || children.is_some()) {
            return Err(bad("`@` and `+` don't go together"));
        }
        // A method is a word; what else stands before a colon (a drive's letter) isn't one.
        let word = |m: &str| m.len() > 1 && m.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
        let (method, value) = match rest.split_once(':').filter(|(m, _)| word(m)) {
            Some((m, v)) => (m, v),
            None if rest.contains(['/', '\\']) => ("path", rest),
            None if [".sql", ".csv", ".yml", ".yaml"].iter().any(|e| rest.to_lowercase().ends_with(e)) => {
                ("file", rest)
            }
            None => ("fqn", rest),
        };
        if value.is_empty() {
            return Err(bad("it names nothing"));
        }
        let (method, argument) = method.split_once('.').unwrap_or((method, ""));
        if !METHODS.contains(&method) {
            let e = Error::config(format!("unknown selection method `{method}` in `{text}`"));
            return Err(match suggest(method, METHODS) {
                Some(h) => e.hint(h),
                None => e,
            });
        }
        Ok(Self { at, parents, children, method, argument, value })
    }
}

impl Graph {
    /// The nodes that `select` means without those that `exclude` means. Each entry may hold several definitions
    /// divided by spaces (union), each of them several divided by commas (intersection). No `select` at all is
    /// everything. Tests of the selected nodes are selected with them, unless excluded. Errors: a definition that can't
    /// be understood, an unknown method, or one that needs what `context` hasn't got. A definition that matches nothing
    /// is no error: see [`Graph::unmatched`].
    pub fn select(&self, select: &[String], exclude: &[String], context: &SelectContext) -> Result<BTreeSet<NodeId>> {
        let mut chosen = if select.iter().all(|s| s.trim().is_empty()) {
            self.nodes().map(|n| n.id.clone()).collect()
        } else {
            self.union(select, context)?
        };
        for out in self.union(exclude, context)? {
            chosen.remove(&out);
        }
        Ok(chosen)
    }

    /// The definitions in `select` that match nothing, for a warning.
    pub fn unmatched(&self, select: &[String], context: &SelectContext) -> Result<Vec<String>> {
        let mut out = Vec::new();
        for part in select.iter().flat_map(|s| s.split_whitespace()) {
            if self.intersection(part, context)?.is_empty() {
                out.push(part.to_string());
            }
        }
        Ok(out)
    }

    fn union(&self, parts: &[String], context: &SelectContext) -> Result<BTreeSet<NodeId>> {
        let mut out = BTreeSet::new();
        for part in parts.iter().flat_map(|s| s.split_whitespace()) {
            out.extend(self.intersection(part, context)?);
        }
        // As dbt's eager indirect selection.
        let tests: Vec<NodeId> = self
            .nodes()
            .filter(|n| n.resource_type == ResourceType::Test && self.parents(&n.id).any(|p| out.contains(p)))
            .map(|n| n.id.clone())
            .collect();
        out.extend(tests);
        Ok(out)
    }

    fn intersection(&self, part: &str, context: &SelectContext) -> Result<BTreeSet<NodeId>> {
        let mut out: Option<BTreeSet<NodeId>> = None;
        for text in part.split(',') {
            let found = self.definition(&Definition::parse(text)?, context)?;
            out = Some(match out {
                None => found,
                Some(old) => old.intersection(&found).cloned().collect(),
            });
        }
        Ok(out.unwrap_or_default())
    }

    fn definition(&self, d: &Definition<'_>, context: &SelectContext) -> Result<BTreeSet<NodeId>> {
        let mut direct = BTreeSet::new();
        for node in self.nodes() {
            if self.is_match(node, d, context)? {
                direct.insert(node.id.clone());
            }
        }
        let mut out = direct.clone();
        for id in &direct {
            if let Some(depth) = d.parents {
                out.extend(self.ancestors(id, depth));
            }
            if let Some(depth) = d.children {
                out.extend(self.descendants(id, depth));
            }
            if d.at {
                let below = self.descendants(id, None);
                for child in below.iter().chain([id]) {
                    out.extend(self.ancestors(child, None));
                }
                out.extend(below);
            }
        }
        Ok(out)
    }

    fn is_match(&self, node: &Node, d: &Definition<'_>, context: &SelectContext) -> Result<bool> {
        let v = d.value;
        let path = || node.path.to_string_lossy();
        Ok(match d.method {
            "fqn" => node.resource_type != ResourceType::Source && names(node, v),
            "tag" => node.tags.iter().any(|t| matches(v, t)),
            "path" => {
                path_matches(v, &path())
                    || node.patch_path.as_deref().is_some_and(|p| is_yaml(v) && path_matches(v, &p.to_string_lossy()))
            }
            "file" => {
                let part = |f: fn(&Path) -> Option<&std::ffi::OsStr>| {
                    f(&node.path).is_some_and(|s| matches(v, &s.to_string_lossy()))
                };
                part(Path::file_name) || part(Path::file_stem)
            }
            "package" => match v {
                // One project, no packages yet: `this` is every node's.
                "this" => true,
                v => matches(v, &node.package),
            },
            "resource_type" => match v {
                "all" => true,
                v => match ResourceType::parse(v) {
                    Some(kind) => node.resource_type == kind,
                    None => return Err(unknown("resource type", v, ResourceType::ALL.map(ResourceType::as_str))),
                },
            },
            "exposure" => node.resource_type == ResourceType::Exposure && matches(v, &node.name),
            "source" => node.resource_type == ResourceType::Source && source_matches(node, v)?,
            "config" if d.argument.is_empty() => {
                return Err(Error::config(format!("the selection `config:{v}` names no key"))
                    .hint("write for example `config.materialized:table`"));
            }
            "config" => config_matches(node, d.argument, v),
            "access" | "group" => config_matches(node, d.method, v),
            "result" => {
                let Some(results) = &context.results else {
                    return Err(Error::config(format!("`result:{v}` needs the results of an earlier run"))
                        .hint("run `xdb run` first, or name a folder with its run_results.json with --state"));
                };
                if !STATUSES.contains(&v) {
                    return Err(unknown("status", v, STATUSES));
                }
                results.get(&node.id).is_some_and(|s| s == v)
            }
            "state" => {
                let Some(state) = &context.state else {
                    return Err(Error::config(format!("`state:{v}` needs an earlier manifest to compare with"))
                        .hint("name the folder of its manifest.json with --state"));
                };
                let (new, modified) = (state.new.contains(&node.id), state.modified.contains(&node.id));
                match v.split('.').next().unwrap_or(v) {
                    "new" => new,
                    "old" => !new,
                    // dbt counts new nodes as modified.
                    "modified" => new || modified,
                    "unmodified" => !new && !modified,
                    _ => return Err(unknown("state", v, ["new", "old", "modified", "unmodified"])),
                }
            }
            // `METHODS` was checked when parsing.
            _ => false,
        })
    }
}

fn unknown<const N: usize>(what: &str, given: &str, known: [&'static str; N]) -> Error {
    let e = Error::config(format!("unknown {what} `{given}` in a selection"));
    match suggest(given, known) {
        Some(h) => e.hint(h),
        None => e,
    }
}

fn is_yaml(path: &str) -> bool {
    path.ends_with(".yml") || path.ends_with(".yaml")
}

/// A node's name, or the beginning of its fqn with or without the package; from the first wildcard on, all of the rest.
fn names(node: &Node, selector: &str) -> bool {
    if matches(selector, &node.name) {
        return true;
    }
    let begins = |fqn: &[String]| {
        let have: Vec<&str> = fqn.iter().flat_map(|s| s.split('.')).collect();
        let want: Vec<&str> = selector.split('.').collect();
        if have.len() < want.len() {
            return false;
        }
        match want.iter().position(|w| is_pattern(w)) {
            Some(i) => want[..i] == have[..i] && matches(&want[i..].join("."), &have[i..].join(".")),
            None => want[..] == have[..want.len()],
        }
    };
    begins(&node.fqn) || node.fqn.get(1..).is_some_and(begins)
}

/// `source`, `source.table` or `package.source.table`.
fn source_matches(node: &Node, value: &str) -> Result<bool> {
    let source = node.source_name.as_deref().unwrap_or_default();
    Ok(match value.split('.').collect::<Vec<_>>().as_slice() {
        [s] => matches(s, source),
        [s, t] => matches(s, source) && matches(t, &node.name),
        [p, s, t] => matches(p, &node.package) && matches(s, source) && matches(t, &node.name),
        _ => {
            return Err(Error::config(format!("cannot understand the selection `source:{value}`"))
                .hint("write `source:name` or `source:name.table`"));
        }
    })
}

/// `config.a.b:value`: the value itself, a member of a list, or a key of a mapping.
fn config_matches(node: &Node, key: &str, value: &str) -> bool {
    let mut at: Option<&Value> = None;
    for (i, part) in key.split('.').enumerate() {
        at = if i == 0 { node.config.get(part) } else { at.and_then(|v| v.get(part)) };
    }
    let is = |v: &Value| match v {
        Value::String(s) => matches(value, s),
        Value::Bool(b) => value.eq_ignore_ascii_case(if *b { "true" } else { "false" }),
        other => value == format!("{other}"),
    };
    match at {
        None | Some(Value::Null) => false,
        Some(Value::Array(list)) => list.iter().any(is),
        Some(Value::Object(map)) => map.contains_key(value),
        Some(v) => is(v),
    }
}
