//! The server's and the driver's errors as xdb's: kind by SQLSTATE, the server's own detail and hint, and what to do.

use crate::config::Config;
use sqlx::postgres::PgDatabaseError;
use xdb_core::{Error, ErrorKind};

/// SQLSTATE to kind, after <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn kind_of(code: &str) -> ErrorKind {
    match code {
        "28P01" | "28000" => ErrorKind::Auth,
        "42501" | "25006" => ErrorKind::Permission,
        "42P01" | "3F000" | "3D000" | "42703" | "42704" => ErrorKind::NotFound,
        "57014" => ErrorKind::Cancelled,
        "25P03" | "57P05" => ErrorKind::Timeout,
        "55P03" | "40001" | "40P01" | "55006" | "2BP01" => ErrorKind::Conflict,
        "57P01" | "57P02" | "57P03" => ErrorKind::Connect,
        "22P02" | "22003" | "22007" | "22008" | "22021" | "22P05" | "42804" => ErrorKind::Type,
        "0A000" => ErrorKind::Unsupported,
        c if c.starts_with("53") => ErrorKind::Resource,
        c if c.starts_with("58") => ErrorKind::Resource,
        c if c.starts_with("08") => ErrorKind::Connect,
        c if c.starts_with("XX") => ErrorKind::Protocol,
        _ => ErrorKind::Sql,
    }
}

/// An error of a statement.
pub(crate) fn from_sqlx(e: sqlx::Error, config: &Config) -> Error {
    let out = match e {
        sqlx::Error::Database(d) => match d.try_downcast::<PgDatabaseError>() {
            Ok(pg) => from_server(&pg, config),
            Err(d) => Error::new(ErrorKind::Sql, d.message().to_string()),
        },
        sqlx::Error::Io(e) => {
            Error::new(ErrorKind::Connect, format!("the connection to `{}` broke", config.name)).cause(e)
        }
        sqlx::Error::Tls(e) => Error::new(ErrorKind::Connect, "TLS failed").cause(e),
        sqlx::Error::Protocol(m) => Error::new(ErrorKind::Protocol, m),
        other => Error::new(ErrorKind::Protocol, other.to_string()),
    };
    out.connection(&config.name)
}

fn from_server(pg: &PgDatabaseError, config: &Config) -> Error {
    let code = pg.code();
    let mut kind = kind_of(code);
    // 57014 is both a cancel request and statement_timeout; only the text tells them apart.
    if code == "57014" && pg.message().contains("timeout") {
        kind = ErrorKind::Timeout;
    }
    let mut out = Error::new(kind, pg.message()).code(code);
    if let Some(d) = pg.detail() {
        out = out.cause(d.to_string());
    }
    let hint = match code {
        "53100" => Some("free some disk space on the server, then run `xdb retry`".into()),
        "53300" => Some(format!("lower `pool_size` of `{}`, or raise max_connections on the server", config.name)),
        "25006" => Some("the server or the role is read-only (a standby, or default_transaction_read_only): write to its primary".into()),
        "42501" => Some(format!("ask an owner to grant `{}` the right", config.role.as_ref().unwrap_or(&config.user))),
        "55P03" => Some("another session holds a lock on it: wait for that session or end it, then run `xdb retry`; `lock_timeout` says how long to wait".into()),
        "57014" if kind == ErrorKind::Timeout => Some(format!("raise `query_timeout` of `{}` if the statement may take longer", config.name)),
        "40P01" | "40001" => Some("run it again".into()),
        _ => pg.hint().map(str::to_string),
    };
    if let Some(h) = hint {
        out = out.hint(h);
    }
    // Only statements that never started are safe to try again by themselves.
    let retry = matches!(code, "57P03" | "53300" | "40001" | "40P01" | "55P03" | "57P01");
    out.retryable(retry)
}

/// An error of connecting: says where to, and what to check.
pub(crate) fn connecting(e: sqlx::Error, config: &Config) -> Error {
    let name = &config.name;
    let place = format!("`{name}` (postgres at {})", config.server());
    let check = format!("under `{name}` in profiles.yml, then run `xdb profiles test {name}`");
    let failed = |kind| Error::new(kind, format!("cannot connect to {place}")).connection(name);
    match e {
        sqlx::Error::Database(d) => {
            let code = d.code().map(|c| c.to_string()).unwrap_or_default();
            let kind = kind_of(&code);
            let message = d.message().to_string();
            let out = match kind {
                ErrorKind::Auth => Error::new(kind, format!("cannot log in to {place} as user `{}`", config.user))
                    .connection(name)
                    .hint(if message.contains("no pg_hba.conf entry") {
                        format!(
                            "the server lets no such login in from here: check `user`, `database` and `sslmode` {check}"
                        )
                    } else {
                        format!("check `user` and `password` {check}")
                    }),
                ErrorKind::NotFound => failed(kind).hint(format!("check `database` {check}")),
                ErrorKind::Permission => failed(kind).hint(format!("check `user` and `database` {check}")),
                ErrorKind::Resource => failed(kind)
                    .retryable(true)
                    .hint(format!("lower `pool_size` of `{name}`, or raise max_connections on the server")),
                _ => failed(if kind == ErrorKind::Sql { ErrorKind::Connect } else { kind })
                    .hint(format!("check the keys {check}")),
            };
            out.code(code).cause(message)
        }
        sqlx::Error::Tls(e) => tls(failed(ErrorKind::Connect).cause(e), &check),
        // The TLS library's own complaints (a certificate that doesn't verify) arrive as this kind.
        sqlx::Error::Io(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            tls(failed(ErrorKind::Connect).cause(e), &check)
        }
        sqlx::Error::Io(e) => failed(ErrorKind::Connect).cause(e).hint(format!("check `host` and `port` {check}")),
        other => failed(ErrorKind::Connect).cause(other.to_string()).hint(format!("check `host` and `port` {check}")),
    }
}

fn tls(e: Error, check: &str) -> Error {
    e.hint(format!("check `sslmode` and `sslrootcert` {check}")).retryable(false)
}

/// `connect_timeout` ran out.
pub(crate) fn connect_timed_out(config: &Config) -> Error {
    let name = &config.name;
    Error::new(ErrorKind::Connect, format!("cannot connect to `{name}` (postgres at {})", config.server()))
        .connection(name)
        .cause(format!("connection timed out after {}", seconds(config.connect_timeout)))
        .hint(format!("check `host` and `port` under `{name}` in profiles.yml, then run `xdb profiles test {name}`"))
}

fn seconds(d: std::time::Duration) -> String {
    if d.subsec_millis() == 0 { format!("{}s", d.as_secs()) } else { format!("{}ms", d.as_millis()) }
}
