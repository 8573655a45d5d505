//! `DEF`: what profiles.yml may say about a DuckDB connection.

use crate::connector::Duck;
use crate::types;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use xdb_core::params::common;
use xdb_core::{
    Capabilities, Connector, ConnectorConfig, ConnectorDef, Error, ParamKind, ParamSpec, Params, Result, TypePolicy,
};

pub static DEF: ConnectorDef = ConnectorDef {
    name: "duckdb",
    aliases: &[],
    title: "DuckDB",
    about: "A DuckDB database file, read and written in-process. DuckDB uses all its threads for one read, so a table is \
            read by one stream. A load is one transaction: other readers see the old table until it is done. DuckDB lets \
            one program at a time open a file for writing.",
    params: PARAMS,
    capabilities: Capabilities {
        read: true,
        filter: true,
        limit: true,
        // One query already runs on all of DuckDB's threads.
        parallel_read: false,
        consistent_splits: true,
        load: true,
        append: true,
        merge: true,
        atomic_replace: true,
        execute: true,
        parameters: true,
        views: true,
        schemas: true,
        tls: false,
        unix_socket: false,
        cancel: true,
    },
    source_types: types::SOURCE_TYPES,
    target_type: types::target_type,
    validate,
};

const PARAMS: &[ParamSpec] = &[
    ParamSpec::new("path", ParamKind::Path, "The database file; `:memory:` is a private database that ends with xdb.")
        .aliases(&["database", "file", "db"])
        .required()
        .example("data/warehouse.duckdb"),
    ParamSpec::new("schema", ParamKind::String, "The schema of names that don't say one.").default("main"),
    ParamSpec::new(
        "read_only",
        ParamKind::Bool,
        "Never write; the file may be open read-only in other programs at the same time.",
    )
    .default("false"),
    ParamSpec::new("memory_limit", ParamKind::String, "Most memory for DuckDB's buffers; it spills to disk beyond.")
        .aliases(&["max_memory"])
        .example("2GB"),
    ParamSpec::new("threads", ParamKind::Integer, "Threads that DuckDB works with; all cores where it isn't set.")
        .example("4"),
    common::QUERY_TIMEOUT,
    common::POOL_SIZE,
    common::TYPES,
];

/// Checked settings of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) connection: String,
    /// `None`: in memory.
    pub(crate) path: Option<PathBuf>,
    pub(crate) schema: String,
    pub(crate) read_only: bool,
    pub(crate) memory_limit: Option<String>,
    pub(crate) threads: Option<i64>,
    /// Zero: none.
    pub(crate) query_timeout: Duration,
    pub(crate) pool_size: usize,
    pub(crate) types: TypePolicy,
}

fn validate(p: &Params) -> Result<Box<dyn ConnectorConfig>> {
    let path = match p.str("path") {
        Some(":memory:") => None,
        _ => p.path("path"),
    };
    let threads = match p.int("threads") {
        None => None,
        Some(_) => Some(p.int_in("threads", 1..=1024)?),
    };
    let memory_limit = p.str("memory_limit").map(str::to_string);
    if let Some(m) = &memory_limit {
        // As DuckDB reads it: a number and a unit.
        let number = m.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%' || c == ' ');
        if number.trim().parse::<f64>().is_err() || number.len() == m.len() {
            let c = &p.connection;
            return Err(Error::config(format!("connection `{c}`: `memory_limit` must be a size such as 2GB, not {m}")));
        }
    }
    Ok(Box::new(Settings {
        connection: p.connection.clone(),
        path,
        schema: p.str("schema").unwrap_or("main").into(),
        read_only: p.bool("read_only").unwrap_or(false),
        memory_limit,
        threads,
        query_timeout: p.duration("query_timeout").unwrap_or_default(),
        pool_size: p.int_in("pool_size", 1..=1000)? as usize,
        types: p.type_policy(),
    }))
}

impl ConnectorConfig for Settings {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(Duck::new(self.clone())))
    }
    fn address(&self) -> String {
        match &self.path {
            Some(p) => p.display().to_string(),
            None => ":memory:".into(),
        }
    }
}
