//! Every connector and engine there is. Filled by the `xdb-registry` crate, the only one that names them.

use crate::names::suggest;
use crate::{ConnectorConfig, ConnectorDef, EngineDef, Error, Params, RawParams, Result};
use std::path::Path;

#[derive(Debug, Default)]
pub struct Registry {
    connectors: Vec<&'static ConnectorDef>,
    engines: Vec<&'static EngineDef>,
}
impl Registry {
    pub fn new(connectors: Vec<&'static ConnectorDef>, engines: Vec<&'static EngineDef>) -> Self {
        Self { connectors, engines }
    }
    pub fn connectors(&self) -> &[&'static ConnectorDef] {
        &self.connectors
    }
    pub fn engines(&self) -> &[&'static EngineDef] {
        &self.engines
    }
    /// By name or alias.
    pub fn connector(&self, adapter: &str) -> Result<&'static ConnectorDef> {
        self.connectors.iter().find(|d| d.name == adapter || d.aliases.contains(&adapter)).copied().ok_or_else(|| {
            let e = Error::config(format!("there is no adapter `{adapter}`"));
            match suggest(adapter, self.connectors.iter().map(|d| d.name)) {
                Some(h) => e.hint(h),
                None => e,
            }
        })
    }
    pub fn engine(&self, name: &str) -> Result<&'static EngineDef> {
        self.engines.iter().find(|d| d.name == name).copied().ok_or_else(|| {
            let e = Error::config(format!("there is no engine `{name}`"));
            match suggest(name, self.engines.iter().map(|d| d.name).chain(["auto"])) {
                Some(h) => e.hint(h),
                None => e,
            }
        })
    }
    /// Check one connection's parameters. `base_dir` is the folder that relative paths in it start from.
    pub fn validate(
        &self,
        connection: &str,
        adapter: &str,
        raw: &RawParams,
        base_dir: &Path,
    ) -> Result<Box<dyn ConnectorConfig>> {
        let def = self.connector(adapter).map_err(|e| e.connection(connection))?;
        let params = Params::resolve(connection, def.params, raw, base_dir)?;
        (def.validate)(&params).map_err(|e| e.connection(connection))
    }
}
