//! `DEF`: what profiles.yml may say about a SQLite connection.

use crate::address::Address;
use crate::connector::Sqlite;
use crate::types;
use std::sync::Arc;
use std::time::Duration;
use xdb_core::params::common;
use xdb_core::{
    Capabilities, Connector, ConnectorConfig, ConnectorDef, ParamKind, ParamSpec, Params, Result, TypePolicy,
};

pub static DEF: ConnectorDef = ConnectorDef {
    name: "sqlite",
    aliases: &["sqlite3"],
    title: "SQLite",
    about: "A SQLite database file, read and written in-process (SQLite is built in). Rows are read as of one moment; a \
            load is staged in a private file beside the database and reaches the table in one transaction. For readers \
            that must never wait for a load, put the database into WAL mode (`pragma journal_mode=wal`, once).",
    params: PARAMS,
    capabilities: Capabilities {
        read: true,
        filter: true,
        limit: true,
        // Connections cannot be made to share one snapshot, and threads of one connection exclude each other.
        parallel_read: false,
        consistent_splits: true,
        load: true,
        append: true,
        merge: true,
        atomic_replace: true,
        execute: true,
        parameters: true,
        views: true,
        schemas: false,
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
        .example("data/shop.sqlite"),
    ParamSpec::new("schema", ParamKind::Choice(&["main"]), "SQLite's only schema for a file.").default("main"),
    ParamSpec::new("read_only", ParamKind::Bool, "Never write; a target that is read-only is refused at once.")
        .default("false"),
    ParamSpec::new("create", ParamKind::Bool, "Make the file on the first load, if it isn't there.").default("true"),
    ParamSpec::new("busy_timeout", ParamKind::Duration, "How long to wait while another program locks the file.")
        .aliases(&["lock_timeout", "connect_timeout"])
        .default("30s"),
    common::QUERY_TIMEOUT,
    common::POOL_SIZE,
    common::TYPES,
];

/// Checked settings of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) connection: String,
    pub(crate) address: Address,
    pub(crate) read_only: bool,
    pub(crate) create: bool,
    pub(crate) busy_timeout: Duration,
    /// Zero: none.
    pub(crate) query_timeout: Duration,
    pub(crate) pool_size: usize,
    pub(crate) types: TypePolicy,
}

fn validate(p: &Params) -> Result<Box<dyn ConnectorConfig>> {
    let address = match p.str("path") {
        Some(":memory:") => Address::memory(),
        _ => Address::File(p.path("path").unwrap_or_default()),
    };
    Ok(Box::new(Settings {
        connection: p.connection.clone(),
        address,
        read_only: p.bool("read_only").unwrap_or(false),
        create: p.bool("create").unwrap_or(true),
        // SQLite counts milliseconds in a C int.
        busy_timeout: p.duration("busy_timeout").unwrap_or_default().min(Duration::from_millis(i32::MAX as u64)),
        query_timeout: p.duration("query_timeout").unwrap_or_default(),
        pool_size: p.int_in("pool_size", 1..=1000)? as usize,
        types: p.type_policy(),
    }))
}

impl ConnectorConfig for Settings {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(Sqlite::new(self.clone())))
    }
    fn address(&self) -> String {
        self.address.to_string()
    }
}
