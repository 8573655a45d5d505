//! The only crate that names every connector and engine. One line each.

use xdb_core::{ConnectorDef, EngineDef, Registry};

/// Every connector and engine that this build has.
pub fn registry() -> Registry {
    let connectors: Vec<&'static ConnectorDef> = vec![
        #[cfg(feature = "postgres")]
        &xdb_connector_postgres::DEF,
        #[cfg(feature = "mysql")]
        &xdb_connector_mysql::DEF,
        #[cfg(feature = "sqlite")]
        &xdb_connector_sqlite::DEF,
        #[cfg(feature = "duckdb")]
        &xdb_connector_duckdb::DEF,
        #[cfg(feature = "files")]
        &xdb_connector_files::DEF,
    ];
    let engines: Vec<&'static EngineDef> = vec![
        #[cfg(feature = "engine-datafusion")]
        &xdb_engine_datafusion::DEF,
        #[cfg(feature = "engine-duckdb")]
        &xdb_engine_duckdb::DEF,
        &xdb_engine_native::DEF,
    ];
    Registry::new(connectors, engines)
}
