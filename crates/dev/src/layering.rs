//! Which crate may use which: the arrows of docs/ARCHITECTURE.md as data, held against `cargo metadata`.

use crate::{Problems, Result};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// For each crate, those of ours that it may use; `*` at the end stands for any crate of that group. A crate that isn't
/// here is a mistake too: a new one starts with its place.
const MAY_USE: &[(&str, &[&str])] = &[
    ("xdb-core", &[]),
    ("xdb-sql", &["xdb-core"]),
    ("xdb-project", &["xdb-core"]),
    ("xdb-template", &["xdb-core"]),
    ("xdb-graph", &["xdb-core"]),
    ("xdb-federation", &["xdb-core", "xdb-sql"]),
    ("xdb-runner", &["xdb-core", "xdb-graph", "xdb-project", "xdb-sql", "xdb-template"]),
    ("xdb-libduckdb", &["xdb-core"]),
    ("xdb-connector-duckdb", &["xdb-core", "xdb-sql", "xdb-libduckdb"]),
    ("xdb-connector-*", &["xdb-core", "xdb-sql"]),
    ("xdb-engine-duckdb", &["xdb-core", "xdb-sql", "xdb-federation", "xdb-libduckdb"]),
    ("xdb-engine-*", &["xdb-core", "xdb-sql", "xdb-federation"]),
    ("xdb-registry", &["xdb-core", "xdb-connector-*", "xdb-engine-*"]),
    ("xdb", &["xdb-core", "xdb-graph", "xdb-project", "xdb-registry", "xdb-runner", "xdb-template"]),
    ("xdb-testkit", &["xdb-core"]),
    ("xdb-dev", &["xdb-core", "xdb-registry"]),
];

/// In tests, more: the testkit everywhere, the registry for those that run whole projects, another engine to compare
/// answers with.
const TESTS_MAY_USE: &[(&str, &[&str])] =
    &[("xdb-runner", &["xdb-registry"]), ("xdb-engine-*", &["xdb-engine-*"]), ("xdb", &["xdb-sql"])];

/// Crates from outside that only some of ours may use, so that the others stay small and quick to compile.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("datafusion", &["xdb-federation", "xdb-engine-datafusion", "xdb-engine-duckdb"]),
    ("minijinja", &["xdb-template", "xdb-project", "xdb-runner"]),
    ("clap", &["xdb", "xdb-dev"]),
];

#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    packages: Vec<Package>,
}
#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}
#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `None` is a normal one.
    kind: Option<String>,
}

pub(crate) fn metadata(root: &Path) -> Result<Metadata> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let out =
        Command::new(cargo).args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(root).output()?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&out.stdout)?)
}

fn is(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(group) => name.starts_with(group),
        None => name == pattern,
    }
}

fn allowed<'a>(table: &'a [(&str, &[&str])], name: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(pattern, _)| is(pattern, name)).map(|(_, all)| *all)
}

pub(crate) fn problems(metadata: &Metadata) -> Problems {
    let mut out = vec![];
    let ours = |name: &str| metadata.packages.iter().any(|p| p.name == name);
    for p in &metadata.packages {
        let Some(may) = allowed(MAY_USE, &p.name) else {
            out.push(format!("{}: not in the table of crates/dev/src/layering.rs", p.name));
            continue;
        };
        for d in &p.dependencies {
            let in_tests = d.kind.as_deref() == Some("dev");
            if ours(&d.name) {
                let more = allowed(TESTS_MAY_USE, &p.name).unwrap_or(&[]);
                let fine = may.iter().any(|m| is(m, &d.name))
                    || in_tests && (d.name == "xdb-testkit" || more.iter().any(|m| is(m, &d.name)));
                if !fine {
                    let how = if in_tests { " in its tests" } else { "" };
                    out.push(format!("{} must not use {}{how}", p.name, d.name));
                }
            } else if let Some(only) = ONLY_IN.iter().find(|(name, _)| *name == d.name).map(|(_, all)| all)
                && !in_tests
                && !only.iter().any(|m| is(m, &p.name))
            {
                out.push(format!("{} must not use {}: only {}", p.name, d.name, only.join(", ")));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, dependency: &str, kind: Option<&str>) -> Problems {
        let package = |name: &str, dependencies| Package { name: name.into(), dependencies };
        let d = Dependency { name: dependency.into(), kind: kind.map(Into::into) };
        let mut packages: Vec<Package> =
            ["xdb-core", "xdb-sql", "xdb-registry", "xdb-connector-a", "xdb-engine-b", "xdb-testkit"]
                .iter()
                .filter(|n| **n != name)
                .map(|n| package(n, vec![]))
                .collect();
        packages.push(package(name, vec![d]));
        problems(&Metadata { packages })
    }

    #[test]
    fn arrows_point_one_way() {
        assert!(one("xdb-connector-a", "xdb-sql", None).is_empty());
        assert!(one("xdb-connector-a", "xdb-testkit", Some("dev")).is_empty());
        assert!(one("xdb-registry", "xdb-connector-a", None).is_empty());
        assert!(one("xdb-runner", "xdb-registry", Some("dev")).is_empty());
        for (a, b) in [
            ("xdb-core", "xdb-sql"),
            ("xdb-connector-c", "xdb-connector-a"),
            ("xdb-connector-a", "xdb-engine-b"),
            ("xdb-runner", "xdb-connector-a"),
            ("xdb-runner", "xdb-registry"),
            ("xdb", "xdb-connector-a"),
            ("xdb-connector-a", "xdb-testkit"),
            ("xdb-connector-a", "datafusion"),
            ("xdb-new", "xdb-core"),
        ] {
            assert_eq!(one(a, b, None).len(), 1, "{a} -> {b}");
        }
    }
}
