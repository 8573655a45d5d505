//! The connector as data.

use xdb_core::{Capabilities, ConnectorDef};

pub static DEF: ConnectorDef = ConnectorDef {
    name: "mysql",
    aliases: &["mariadb"],
    title: "MySQL and MariaDB",
    about: "MySQL 8 and 9, and MariaDB from 10.3. Rows are read in the binary protocol straight into Arrow and loaded by \
            LOAD DATA LOCAL INFILE from memory, or by INSERT where the server does not allow it. A MySQL database is \
            what xdb calls a schema.",
    params: crate::config::PARAMS,
    capabilities: Capabilities {
        read: true,
        filter: true,
        limit: true,
        parallel_read: true,
        consistent_splits: true,
        load: true,
        append: true,
        merge: true,
        atomic_replace: true,
        execute: true,
        parameters: true,
        views: true,
        schemas: true,
        tls: true,
        unix_socket: true,
        cancel: true,
    },
    source_types: crate::types::SOURCE_TYPES,
    target_type: crate::types::target_type,
    validate: crate::config::validate,
};
