//! One version of what must not be in the tree twice: two Arrows don't understand each other's batches, and each costs
//! minutes of compiling.

use crate::{Problems, Result};
use serde::Deserialize;
use std::path::Path;

const ONCE: &[&str] = &[
    "arrow",
    "arrow-array",
    "arrow-buffer",
    "arrow-schema",
    "datafusion",
    "libduckdb-sys",
    "object_store",
    "parquet",
    "rustls",
    "sqlparser",
    "tokio",
];
/// The Arrow that DataFusion and the duckdb crate meet on.
const ARROW_MAJOR: &str = "58.";

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}
#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

pub(crate) fn problems(root: &Path) -> Result<Problems> {
    check(&std::fs::read_to_string(root.join("Cargo.lock"))?)
}

fn check(text: &str) -> Result<Problems> {
    let lock: Lock = toml::from_str(text)?;
    let mut out = vec![];
    for name in ONCE {
        let versions: Vec<&str> = lock.package.iter().filter(|p| p.name == *name).map(|p| p.version.as_str()).collect();
        if versions.len() > 1 {
            out.push(format!("{name} is in Cargo.lock {} times: {}", versions.len(), versions.join(", ")));
        }
        if *name == "arrow" && versions.iter().any(|v| !v.starts_with(ARROW_MAJOR)) {
            out.push(format!("arrow is {}, not {ARROW_MAJOR}x", versions.join(", ")));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_second_arrow_is_found() {
        let lock =
            |v: &[&str]| v.iter().map(|v| format!("[[package]]\nname = \"arrow\"\nversion = \"{v}\"\n")).collect();
        let found = |v: &[&str]| {
            check(&{
                let t: String = lock(v);
                t
            })
            .unwrap()
            .len()
        };
        assert_eq!((found(&["58.4.1"]), found(&["58.4.1", "60.1.0"]), found(&["60.1.0"])), (0, 2, 1));
    }
}
