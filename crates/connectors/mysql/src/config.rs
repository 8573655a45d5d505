//! A connection's parameters: what is accepted, and what it means. Opens nothing.

use crate::connector::MySql;
use crate::wire::{Address, ConnectOptions, SslMode, TlsOptions};
use std::sync::Arc;
use std::time::Duration;
use xdb_core::params::common;
use xdb_core::{Connector, ConnectorConfig, Error, ParamKind, ParamSpec, Params, Result, Secret, TypePolicy};

pub(crate) static PARAMS: &[ParamSpec] = &[
    ParamSpec::new("host", ParamKind::String, "Host name or address of the server.")
        .aliases(&["server"])
        .default("localhost")
        .example("db.example.com"),
    ParamSpec::new("port", ParamKind::Integer, "TCP port.").default("3306"),
    ParamSpec::new("user", ParamKind::String, "Account to log in with.")
        .aliases(&["username"])
        .required()
        .example("analytics"),
    ParamSpec::new("password", ParamKind::String, "Its password.")
        .aliases(&["pass"])
        .secret()
        .example("\"{{ env_var('MYSQL_PASSWORD') }}\""),
    ParamSpec::new("database", ParamKind::String, "Default database (what other systems call a schema).")
        .aliases(&["dbname", "schema"])
        .example("shop"),
    ParamSpec::new("socket", ParamKind::Path, "Unix socket to connect to instead of host and port.")
        .aliases(&["unix_socket"])
        .example("/run/mysqld/mysqld.sock"),
    ParamSpec::new(
        "ssl_mode",
        ParamKind::Choice(SslMode::NAMES),
        "TLS: never, if the server has it, always, always with a trusted certificate, or that and the right host name.",
    )
    .aliases(&["sslmode"])
    .default("preferred"),
    ParamSpec::new(
        "ssl_ca",
        ParamKind::Path,
        "PEM file of the certificate authorities to trust; default: the system's.",
    ),
    ParamSpec::new("ssl_cert", ParamKind::Path, "PEM file of the client's own certificate."),
    ParamSpec::new("ssl_key", ParamKind::Path, "PEM file of the client certificate's key."),
    common::CONNECT_TIMEOUT,
    common::QUERY_TIMEOUT,
    ParamSpec::new(
        "lock_timeout",
        ParamKind::Duration,
        "How long to wait for a table or row that another session holds.",
    )
    .default("10s"),
    common::POOL_SIZE,
    common::TYPES,
    ParamSpec::new("tinyint1_is_bool", ParamKind::Bool, "Read TINYINT(1) as a boolean instead of a small integer.")
        .default("false"),
    ParamSpec::new(
        "local_infile",
        ParamKind::Choice(&["auto", "off"]),
        "Load by LOAD DATA LOCAL INFILE where the server allows it, or always by INSERT.",
    )
    .default("auto"),
    ParamSpec::new("charset", ParamKind::Choice(&["utf8mb4"]), "Accepted for dbt's sake; always utf8mb4.")
        .default("utf8mb4"),
    ParamSpec::new("threads", ParamKind::Integer, "Ignored here: dbt's profiles carry it."),
];

/// What a connection was configured to be.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) connection: String,
    pub(crate) connect: ConnectOptions,
    /// Zero is no limit.
    pub(crate) query_timeout: Duration,
    pub(crate) lock_timeout: Duration,
    pub(crate) pool_size: usize,
    pub(crate) types: TypePolicy,
    pub(crate) tinyint1_is_bool: bool,
    pub(crate) local_infile: bool,
}

/// `ConnectorDef::validate`.
pub(crate) fn validate(p: &Params) -> Result<Box<dyn ConnectorConfig>> {
    let bad = |what: &str, hint: &str| Err(Error::config(format!("connection `{}`: {what}", p.connection)).hint(hint));
    let address = match p.path("socket") {
        Some(path) => Address::Unix(path),
        None => {
            let Some(port) = p.int("port").and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0) else {
                return bad("`port` must be between 1 and 65535", "the usual port is 3306");
            };
            Address::Tcp { host: p.str("host").unwrap_or("localhost").to_string(), port }
        }
    };
    let Some(mode) = SslMode::parse(p.str("ssl_mode").unwrap_or("preferred")) else {
        return bad("`ssl_mode` is unknown", "use one of disabled, preferred, required, verify_ca, verify_identity");
    };
    let tls = TlsOptions { mode, ca: p.path("ssl_ca"), cert: p.path("ssl_cert"), key: p.path("ssl_key") };
    if tls.cert.is_some() != tls.key.is_some() {
        return bad("`ssl_cert` and `ssl_key` belong together", "set both, or neither");
    }
    if mode == SslMode::Disabled && (tls.ca.is_some() || tls.cert.is_some()) {
        return bad("`ssl_mode` is disabled, but certificates are given", "use `ssl_mode: verify_ca` or remove them");
    }
    let pool_size = match p.int("pool_size") {
        Some(n) if n >= 1 => usize::try_from(n).unwrap_or(usize::MAX),
        _ => return bad("`pool_size` must be at least 1", "8 is the default"),
    };
    let connect_timeout = p.duration("connect_timeout").unwrap_or(Duration::from_secs(10));
    Ok(Box::new(Config {
        connection: p.connection.clone(),
        connect: ConnectOptions {
            address,
            user: p.str("user").unwrap_or_default().to_string(),
            password: p.secret("password").cloned().unwrap_or_else(|| Secret::new("")),
            database: p.str("database").filter(|d| !d.is_empty()).map(Into::into),
            tls,
            // Zero would be "no time at all" to the sockets.
            connect_timeout: if connect_timeout.is_zero() { Duration::from_secs(3600) } else { connect_timeout },
        },
        query_timeout: p.duration("query_timeout").unwrap_or_default(),
        lock_timeout: p.duration("lock_timeout").unwrap_or(Duration::from_secs(10)),
        pool_size,
        types: if p.str("types") == Some("lossy") { TypePolicy::Lossy } else { TypePolicy::Exact },
        tinyint1_is_bool: p.bool("tinyint1_is_bool").unwrap_or(false),
        local_infile: p.str("local_infile") != Some("off"),
    }))
}

impl ConnectorConfig for Config {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(MySql::new(self.clone())))
    }
    fn address(&self) -> String {
        match &self.connect.database {
            Some(d) => format!("{}/{d}", self.connect.address),
            None => self.connect.address.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn config(v: serde_json::Value) -> Result<Box<dyn ConnectorConfig>> {
        validate(&Params::resolve("crm", PARAMS, v.as_object().unwrap(), Path::new("/p"))?)
    }
    #[test]
    fn dbt_and_xdb_spellings() {
        let c =
            config(serde_json::json!({"server": "h", "username": "u", "pass": "hunter2", "schema": "s", "threads": 4}))
                .unwrap();
        assert_eq!(c.address(), "h:3306/s");
        assert!(!format!("{c:?}").contains("hunter2"));
        let c = config(serde_json::json!({"user": "u", "unix_socket": "/x.sock"})).unwrap();
        assert_eq!(c.address(), "/x.sock");
    }
    #[test]
    fn what_does_not_fit_together_is_refused() {
        for v in [
            serde_json::json!({"user": "u", "port": 0}),
            serde_json::json!({"user": "u", "port": 70000}),
            serde_json::json!({"user": "u", "pool_size": 0}),
            serde_json::json!({"user": "u", "ssl_cert": "c.pem"}),
            serde_json::json!({"user": "u", "ssl_mode": "disabled", "ssl_ca": "c.pem"}),
            serde_json::json!({"user": "u", "ssl_mode": "sometimes"}),
            serde_json::json!({"host": "h"}),
        ] {
            assert!(config(v.clone()).is_err(), "{v}");
        }
    }
}
