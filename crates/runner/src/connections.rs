//! The connections of one invocation: opened when first named, each with its budget.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use xdb_core::{Connector, ConnectorConfig, Error, RawParams, Registry, Result, TypePolicy};
use xdb_project::Profiles;

/// One open connection: the connector and the permits for its server connections.
#[derive(Clone, Debug)]
pub struct Connection {
    pub name: String,
    pub adapter: String,
    pub connector: Arc<dyn Connector>,
    /// `host:port/database`, for people.
    pub address: String,
    /// The profile's own `types:`.
    pub types: TypePolicy,
    /// One permit a server connection, over all nodes and splits.
    pub budget: Arc<Semaphore>,
    pub size: usize,
}

#[derive(Debug)]
pub struct Connections {
    registry: Arc<Registry>,
    profiles: Arc<Profiles>,
    open: Mutex<BTreeMap<String, Connection>>,
}

/// The name of the connection that `materialized='file'` writes to where the target isn't one of files.
pub(crate) const PROJECT_FILES: &str = "(project files)";

impl Connections {
    pub fn new(registry: Arc<Registry>, profiles: Arc<Profiles>) -> Self {
        Self { registry, profiles, open: Mutex::default() }
    }
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
    pub fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    /// The connection called `name`; checks its parameters, connects nowhere yet.
    pub fn get(&self, name: &str) -> Result<Connection> {
        if let Some(c) = self.lock().get(name) {
            return Ok(c.clone());
        }
        let profile = self.profiles.get(name)?;
        let config = self
            .registry
            .validate(&profile.name, &profile.adapter, &profile.raw, profile.file.parent().unwrap_or(Path::new(".")))
            .map_err(|e| e.at(profile.file.display(), profile.line))?;
        self.insert(name, &profile.adapter, &profile.raw, config)
    }

    /// A connection for files under `dir`, without a profile.
    pub fn project_files(&self, dir: &Path) -> Result<Connection> {
        if let Some(c) = self.lock().get(PROJECT_FILES) {
            return Ok(c.clone());
        }
        let raw = serde_json::json!({"path": dir.to_string_lossy()});
        let raw = raw.as_object().cloned().unwrap_or_default();
        let config = self.registry.validate(PROJECT_FILES, "files", &raw, dir)?;
        self.insert(PROJECT_FILES, "files", &raw, config)
    }

    fn insert(
        &self,
        name: &str,
        adapter: &str,
        raw: &RawParams,
        config: Box<dyn ConnectorConfig>,
    ) -> Result<Connection> {
        let connector = config.open().map_err(|e| e.connection(name))?;
        let size = connector.budget().max(1);
        let c = Connection {
            name: name.into(),
            adapter: adapter.into(),
            address: config.address(),
            connector,
            types: match raw.get("types").and_then(|v| v.as_str()) {
                Some("lossy") => TypePolicy::Lossy,
                _ => TypePolicy::Exact,
            },
            budget: Arc::new(Semaphore::new(size)),
            size,
        };
        Ok(self.lock().entry(name.into()).or_insert(c).clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Connection>> {
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// How many server connections are needed where each of `used` stands for one.
pub(crate) fn wanted<'a>(used: impl IntoIterator<Item = &'a Connection>) -> BTreeMap<String, (Connection, usize)> {
    let mut all: BTreeMap<String, (Connection, usize)> = BTreeMap::new();
    for c in used {
        all.entry(c.name.clone()).or_insert_with(|| (c.clone(), 0)).1 += 1;
    }
    all
}

/// Wait for `n` permits of each connection, always in the order of their names, so that two nodes cannot each hold what
/// the other waits for. No more is asked of a connection than it has.
pub(crate) async fn reserve(wanted: &BTreeMap<String, (Connection, usize)>) -> Result<Vec<OwnedSemaphorePermit>> {
    let mut held = Vec::new();
    for (c, n) in wanted.values() {
        let n = u32::try_from((*n).min(c.size)).unwrap_or(u32::MAX);
        held.push(c.budget.clone().acquire_many_owned(n).await.map_err(|_| Error::cancelled())?);
    }
    Ok(held)
}
