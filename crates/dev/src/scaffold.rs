//! `cargo dev new-connector`: the files of a connector that does nothing yet, and the lines that make it known.

use crate::Result;
use std::fs;
use std::path::Path;

pub(crate) fn connector(root: &Path, name: &str) -> Result<()> {
    let fine = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !fine {
        return Err(format!("`{name}`: a connector's name is lower-case letters and digits").into());
    }
    let folder = root.join("crates/connectors").join(name);
    if folder.exists() {
        return Err(format!("{} is there already", folder.display()).into());
    }
    let fill = |text: &str| text.replace("NAME", name);
    fs::create_dir_all(folder.join("src"))?;
    fs::create_dir_all(folder.join("tests"))?;
    fs::write(folder.join("Cargo.toml"), fill(MANIFEST))?;
    fs::write(folder.join("src/lib.rs"), fill(LIB))?;
    fs::write(folder.join("src/config.rs"), fill(CONFIG))?;
    fs::write(folder.join("src/types.rs"), fill(TYPES))?;
    fs::write(folder.join("tests/conformance.rs"), fill(CONFORMANCE))?;

    let manifest = root.join("crates/registry/Cargo.toml");
    // By path, so that the workspace's own manifest need not know it.
    let dependency = "xdb-connector-NAME = { path = \"../connectors/NAME\", optional = true }\n";
    insert(&manifest, "xdb-engine-datafusion =", &fill(dependency))?;
    insert(&manifest, "engine-datafusion = [", &fill("NAME = [\"dep:xdb-connector-NAME\"]\n"))?;
    let text = fs::read_to_string(&manifest)?;
    fs::write(&manifest, text.replacen("\"engine-datafusion\",", &fill("\"NAME\", \"engine-datafusion\","), 1))?;
    insert(
        &root.join("crates/registry/src/lib.rs"),
        "    ];\n    let engines",
        &fill("        #[cfg(feature = \"NAME\")]\n        &xdb_connector_NAME::DEF,\n"),
    )?;
    println!("made crates/connectors/{name}; next: tests/services/{name}/, then `make docs`");
    Ok(())
}

/// Put `line` before the first place where `before` stands.
fn insert(path: &Path, before: &str, line: &str) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let at = text.find(before).ok_or_else(|| format!("{}: nothing like `{before}`", path.display()))?;
    let (head, tail) = text.split_at(at);
    fs::write(path, format!("{head}{line}{tail}"))?;
    Ok(())
}

const MANIFEST: &str = r#"[package]
name = "xdb-connector-NAME"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[lints]
workspace = true

[dependencies]
arrow.workspace = true
async-trait.workspace = true
futures.workspace = true
tokio.workspace = true
xdb-core.workspace = true
xdb-sql.workspace = true

[dev-dependencies]
tokio.workspace = true
xdb-testkit.workspace = true
"#;

const LIB: &str = "//! NAME as a source and a target.

mod config;
mod types;

pub use config::DEF;
";

const CONFIG: &str = r#"//! The definition: parameters, capabilities, and the check of a connection's settings.

use crate::types::{SOURCE_TYPES, target_type};
use std::sync::Arc;
use xdb_core::params::common;
use xdb_core::{Capabilities, Connector, ConnectorConfig, ConnectorDef, Error, ParamKind, ParamSpec, Params, Result};

pub static DEF: ConnectorDef = ConnectorDef {
    name: "NAME",
    aliases: &[],
    title: "NAME",
    about: "What it is, in two or three sentences for the docs page.",
    params: &[
        ParamSpec::new("host", ParamKind::String, "The server's name or address.").required().example("db.example.com"),
        common::CONNECT_TIMEOUT,
        common::POOL_SIZE,
        common::TYPES,
    ],
    // Claim what the conformance suite shows to be true.
    capabilities: Capabilities {
        read: false,
        filter: false,
        limit: false,
        parallel_read: false,
        consistent_splits: false,
        load: false,
        append: false,
        merge: false,
        atomic_replace: false,
        execute: false,
        parameters: false,
        views: false,
        schemas: false,
        tls: false,
        unix_socket: false,
        cancel: false,
    },
    source_types: SOURCE_TYPES,
    target_type,
    validate: |params| Ok(Box::new(Config::new(params)?)),
};

#[derive(Clone, Debug)]
struct Config {
    host: String,
}

impl Config {
    fn new(params: &Params) -> Result<Self> {
        Ok(Self { host: params.str("host").unwrap_or_default().into() })
    }
}

impl ConnectorConfig for Config {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        Err(Error::unsupported("NAME cannot connect yet"))
    }
    fn address(&self) -> String {
        self.host.clone()
    }
}
"#;

const TYPES: &str = r#"//! Types: NAME's to Arrow, and Arrow's to NAME's.

use arrow::datatypes::Field;
use xdb_core::{Error, ErrorKind, Result, SourceType, TargetType};

pub(crate) const SOURCE_TYPES: &[SourceType] = &[];

/// The column type that `field` gets in a table xdb makes.
pub(crate) fn target_type(field: &Field) -> Result<TargetType> {
    Err(Error::new(ErrorKind::Type, format!("NAME has no type for {}", field.data_type())))
}
"#;

const CONFORMANCE: &str = r#"//! The suite of `xdb-testkit`, on the service `NAME` of `make test`.

use xdb_connector_NAME::DEF;
use xdb_testkit::conformance::{Harness, open};

async fn server() -> Option<Harness> {
    let profile = xdb_testkit::services::profile("NAME")?;
    Some(Harness::new(open(&DEF, "NAME", &profile, std::path::Path::new("/"))))
}
xdb_testkit::conformance!(on_server, server);
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connector_is_made_once_and_made_known() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        for file in ["crates/registry/Cargo.toml", "crates/registry/src/lib.rs"] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::copy(here.join(file), root.join(file)).unwrap();
        }
        connector(root, "newdb").unwrap();
        let read = |f: &str| fs::read_to_string(root.join(f)).unwrap();
        let manifest = read("crates/registry/Cargo.toml");
        for line in [
            "\nxdb-connector-newdb = { path = \"../connectors/newdb\", optional = true }\n",
            "\nnewdb = [\"dep:xdb-connector-newdb\"]\n",
            ", \"newdb\", \"engine-datafusion\",",
        ] {
            assert!(manifest.contains(line), "{line}\n{manifest}");
        }
        toml::from_str::<toml::Table>(&manifest).unwrap();
        assert!(read("crates/registry/src/lib.rs").contains("&xdb_connector_newdb::DEF,"));
        assert!(read("crates/connectors/newdb/src/lib.rs").starts_with("//! newdb"));
        assert!(connector(root, "newdb").is_err() && connector(root, "New-DB").is_err());
        // What docs/ARCHITECTURE.md says a connector may touch, and nothing else; its test server is written by hand.
        let mut all = Vec::new();
        files(root, root, &mut all);
        all.sort();
        let own = ["Cargo.toml", "src/config.rs", "src/lib.rs", "src/types.rs", "tests/conformance.rs"];
        let mut expected = own.map(|f| format!("crates/connectors/newdb/{f}")).to_vec();
        expected.extend(["crates/registry/Cargo.toml".into(), "crates/registry/src/lib.rs".into()]);
        assert_eq!(all, expected);
    }
    fn files(root: &Path, folder: &Path, out: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(root, &path, out);
            } else {
                out.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
}
