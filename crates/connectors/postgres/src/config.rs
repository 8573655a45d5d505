//! What a connection to PostgreSQL takes: the definition, its parameters, and the checked configuration.

use crate::connector::Postgres;
use crate::target::{SOURCE_TYPES, target_type};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use xdb_core::params::common;
use xdb_core::{
    Capabilities, Connector, ConnectorConfig, ConnectorDef, Error, ParamKind, ParamSpec, Params, Result, Secret,
    TypePolicy,
};

const SSL_MODES: &[&str] = &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

const PARAMS: &[ParamSpec] = &[
    ParamSpec::new("host", ParamKind::String, "Server name or address; a path that starts with / is the folder of its Unix socket.")
        .default("localhost")
        .example("db.example.com"),
    ParamSpec::new("port", ParamKind::Integer, "TCP port (also part of the socket's name).").default("5432"),
    ParamSpec::new("user", ParamKind::String, "Role to log in as.").aliases(&["username"]).required().example("analytics"),
    ParamSpec::new("password", ParamKind::String, "Password of the role.")
        .aliases(&["pass"])
        .secret()
        .example("\"{{ env_var('PGPASSWORD') }}\""),
    ParamSpec::new("database", ParamKind::String, "Database; the role's name if left out.")
        .aliases(&["dbname"])
        .example("production"),
    ParamSpec::new("schema", ParamKind::String, "Schema of relations named without one, and where models are built.")
        .default("public"),
    ParamSpec::new("sslmode", ParamKind::Choice(SSL_MODES), "TLS, as libpq's sslmode.").default("prefer"),
    ParamSpec::new("sslrootcert", ParamKind::Path, "PEM file of trusted certificate authorities, for verify-ca and verify-full; the system's if left out.")
        .example("/etc/ssl/pg-ca.pem"),
    ParamSpec::new("sslcert", ParamKind::Path, "PEM file of the client's certificate."),
    ParamSpec::new("sslkey", ParamKind::Path, "PEM file of the client's private key."),
    common::CONNECT_TIMEOUT,
    common::QUERY_TIMEOUT,
    ParamSpec::new("lock_timeout", ParamKind::Duration, "How long a load may wait for a lock on its target; 0 is no limit.")
        .default("10s"),
    common::POOL_SIZE,
    common::TYPES,
    ParamSpec::new("application_name", ParamKind::String, "Name shown in pg_stat_activity.").default("xdb"),
    ParamSpec::new("role", ParamKind::String, "Role to become after login (SET ROLE).").example("transformer"),
    ParamSpec::new("search_path", ParamKind::String, "Value for search_path, for native SQL that names relations without schema."),
    ParamSpec::new("pgbouncer", ParamKind::Bool, "The server is PgBouncer in transaction mode: no session settings (so no `role`, `search_path`, `query_timeout`) and no statement outlives its transaction.")
        .default("false"),
    ParamSpec::new("threads", ParamKind::Integer, "Accepted because dbt has it; xdb's own --threads counts."),
    ParamSpec::new("keepalives_idle", ParamKind::Integer, "Accepted because dbt has it; has no effect."),
    ParamSpec::new("retries", ParamKind::Integer, "Accepted because dbt has it; has no effect."),
];

/// The `postgres` connector.
pub static DEF: ConnectorDef = ConnectorDef {
    name: "postgres",
    aliases: &["postgresql"],
    title: "PostgreSQL",
    about: "Reads with binary COPY, on several connections within one snapshot; writes with binary COPY into a staging \
            table that replaces the target in one transaction, keeping its grants, comments, indexes, constraints and \
            dependent views. Reads tables, partitioned tables, views, materialized views and foreign tables.",
    params: PARAMS,
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
    source_types: SOURCE_TYPES,
    target_type,
    validate,
};

/// Checked parameters of one connection. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The connection's name in profiles.yml.
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    pub(crate) database: String,
    pub(crate) schema: String,
    pub(crate) sslmode: String,
    sslrootcert: Option<PathBuf>,
    sslcert: Option<PathBuf>,
    sslkey: Option<PathBuf>,
    pub(crate) connect_timeout: Duration,
    pub(crate) query_timeout: Duration,
    pub(crate) lock_timeout: Duration,
    pub(crate) pool_size: usize,
    pub(crate) types: TypePolicy,
    application_name: String,
    pub(crate) role: Option<String>,
    pub(crate) search_path: Option<String>,
    pub(crate) pgbouncer: bool,
}

fn validate(p: &Params) -> Result<Box<dyn ConnectorConfig>> {
    Ok(Box::new(Config::new(p)?))
}

impl Config {
    pub(crate) fn new(p: &Params) -> Result<Self> {
        let text = |k: &str| p.str(k).filter(|t| !t.is_empty()).map(str::to_string);
        let bad = |m: String| Error::config(format!("connection `{}`: {m}", p.connection));
        let user = text("user").ok_or_else(|| bad("`user` is empty".into()))?;
        let config = Self {
            name: p.connection.clone(),
            host: text("host").unwrap_or_else(|| "localhost".into()),
            port: u16::try_from(p.int_in("port", 1..=65535)?).map_err(|e| bad(e.to_string()))?,
            password: p.secret("password").filter(|s| !s.expose().is_empty()).cloned(),
            database: text("database").unwrap_or_else(|| user.clone()),
            user,
            schema: text("schema").unwrap_or_else(|| "public".into()),
            sslmode: text("sslmode").unwrap_or_else(|| "prefer".into()),
            sslrootcert: p.path("sslrootcert"),
            sslcert: p.path("sslcert"),
            sslkey: p.path("sslkey"),
            connect_timeout: p.duration("connect_timeout").unwrap_or(Duration::from_secs(10)),
            query_timeout: p.duration("query_timeout").unwrap_or_default(),
            lock_timeout: p.duration("lock_timeout").unwrap_or(Duration::from_secs(10)),
            pool_size: p.int_in("pool_size", 1..=1000)? as usize,
            types: p.type_policy(),
            application_name: text("application_name").unwrap_or_else(|| "xdb".into()),
            role: text("role"),
            search_path: text("search_path"),
            pgbouncer: p.bool("pgbouncer").unwrap_or(false),
        };
        if config.sslcert.is_some() != config.sslkey.is_some() {
            return Err(bad("`sslcert` and `sslkey` must be given together".into()));
        }
        if config.is_socket() && matches!(config.sslmode.as_str(), "require" | "verify-ca" | "verify-full") {
            return Err(bad(format!("`sslmode: {}` needs TCP, but `host` is a Unix socket's folder", config.sslmode))
                .hint("leave out `sslmode`, or give the server's name as `host`"));
        }
        let unset = [("role", &config.role), ("search_path", &config.search_path)];
        if let Some((key, _)) = unset.iter().find(|(_, v)| config.pgbouncer && v.is_some()) {
            return Err(bad(format!("`{key}` is a session setting, which `pgbouncer: true` rules out"))
                .hint(format!("set it for the role on the server: ALTER ROLE {} SET {key} = …", config.user)));
        }
        Ok(config)
    }

    pub(crate) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// `host:port`, or the socket's folder: for messages.
    pub(crate) fn server(&self) -> String {
        if self.is_socket() {
            format!("{} (port {})", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The modes to try in turn. `allow` is plain first, then TLS; sqlx itself does `prefer`.
    pub(crate) fn ssl_attempts(&self) -> &'static [PgSslMode] {
        if self.is_socket() {
            return &[PgSslMode::Disable];
        }
        match self.sslmode.as_str() {
            "disable" => &[PgSslMode::Disable],
            "allow" => &[PgSslMode::Disable, PgSslMode::Require],
            "require" if self.sslrootcert.is_some() => &[PgSslMode::VerifyCa], // as libpq does
            "require" => &[PgSslMode::Require],
            "verify-ca" => &[PgSslMode::VerifyCa],
            "verify-full" => &[PgSslMode::VerifyFull],
            _ => &[PgSslMode::Prefer],
        }
    }

    pub(crate) fn connect_options(&self, ssl: PgSslMode) -> PgConnectOptions {
        use sqlx::ConnectOptions;
        let mut o = PgConnectOptions::new_without_pgpass()
            .port(self.port)
            .username(&self.user)
            .database(&self.database)
            .ssl_mode(ssl)
            .application_name(&self.application_name)
            .extra_float_digits((!self.pgbouncer).then_some(2))
            .disable_statement_logging();
        o = if self.is_socket() { o.socket(&self.host) } else { o.host(&self.host) };
        if let Some(p) = &self.password {
            o = o.password(p.expose());
        }
        if let Some(f) = &self.sslrootcert {
            o = o.ssl_root_cert(f);
        }
        if let Some(f) = &self.sslcert {
            o = o.ssl_client_cert(f);
        }
        if let Some(f) = &self.sslkey {
            o = o.ssl_client_key(f);
        }
        o
    }
}

impl ConnectorConfig for Config {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(Postgres::new(self.clone())))
    }
    fn address(&self) -> String {
        format!("{}/{}", self.server(), self.database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(v: serde_json::Value) -> Result<Config> {
        Config::new(&Params::resolve("crm", PARAMS, v.as_object().unwrap(), std::path::Path::new("/p")).unwrap())
    }

    #[test]
    fn dbt_spellings_and_defaults() {
        let c =
            config(json!({"host": "h", "username": "u", "pass": "s3cret", "dbname": "d", "threads": 4, "role": "r"}))
                .unwrap();
        assert_eq!((c.user.as_str(), c.database.as_str(), c.port, c.schema.as_str()), ("u", "d", 5432, "public"));
        assert_eq!(c.address(), "h:5432/d");
        assert!(!format!("{c:?}").contains("s3cret"));
        assert_eq!(config(json!({"user": "u"})).unwrap().database, "u");
    }
    #[test]
    fn contradictions_are_named() {
        for (v, want) in [
            (json!({"user": "u", "host": "/tmp", "sslmode": "require"}), "needs TCP"),
            (json!({"user": "u", "sslcert": "c.pem"}), "together"),
            (json!({"user": "u", "pgbouncer": true, "role": "r"}), "`role`"),
            (json!({"user": "u", "port": 0}), "`port`"),
            (json!({"user": ""}), "`user`"),
        ] {
            let e = config(v.clone()).unwrap_err();
            assert!(e.message().contains(want), "{v}: {e:?}");
        }
    }
    #[test]
    fn tls_attempts_follow_libpq() {
        let modes = |v| config(v).unwrap().ssl_attempts().len();
        assert_eq!(modes(json!({"user": "u", "sslmode": "allow"})), 2);
        assert_eq!(modes(json!({"user": "u", "sslmode": "verify-full"})), 1);
        let c = config(json!({"user": "u", "sslmode": "require", "sslrootcert": "ca.pem"})).unwrap();
        assert!(matches!(c.ssl_attempts(), [PgSslMode::VerifyCa]));
    }
}
