//! profiles.yml: the connections.

use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use xdb_core::Result;

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
        f.debug_struct("ConnectionProfile")
            .field("name", &self.name)
            .field("adapter", &self.adapter)
            .field("keys", &keys)
            .finish()
    }
}

/// All connections of a profiles.yml, rendered one by one as they are asked for.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    pub(crate) file: PathBuf,
    secrets: Arc<Mutex<Vec<String>>>,
}

impl Profiles {
    /// Find and read profiles.yml.
    pub fn find(profiles_dir: Option<&Path>, project_dir: Option<&Path>) -> Result<Self> {
        let _ = (profiles_dir, project_dir);
        Ok(Self::default())
    }
    /// The file that was read.
    pub fn file(&self) -> &Path {
        &self.file
    }
    /// Names of all connections, in the file's order.
    pub fn names(&self) -> Vec<&str> {
        Vec::new()
    }
    /// The connection `name`. Errors: there is none (with the nearest), it has no adapter, or an `env_var()` of it is
    /// missing (naming variable, line and connection).
    pub fn get(&self, name: &str) -> Result<ConnectionProfile> {
        Err(xdb_core::Error::not_found(format!("there is no connection `{name}`")))
    }
    /// The default output of a dbt-style profile as a connection's name, or `name` itself for a plain one.
    pub fn default_of(&self, name: &str) -> Option<&str> {
        let _ = name;
        None
    }
    /// Values of `XDB_ENV_SECRET_…`/`DBT_ENV_SECRET_…` variables met so far, for scrubbing every output.
    pub fn secret_values(&self) -> Vec<String> {
        self.secrets.lock().map(|s| s.clone()).unwrap_or_default()
    }
}
