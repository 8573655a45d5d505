//! Open databases of this process.
//!
//! DuckDB guards a file by a lock between processes only; two instances on one file in one process would overwrite each
//! other's blocks. So there is one instance a file, shared by all connections of all connectors, for as long as any of
//! them lives (<https://duckdb.org/docs/stable/connect/concurrency>).

use crate::config::Settings;
use crate::error::plain;
use duckdb::{AccessMode, Config, Connection};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use xdb_core::{ConnectorConfig, Error, ErrorKind, Result};

/// One instance. New connections are cloned from the one inside.
pub(crate) struct Database {
    first: Mutex<Connection>,
    pub(crate) read_only: bool,
}

/// A connection, and the instance it belongs to.
pub(crate) struct Held {
    pub(crate) conn: Connection,
    _database: Arc<Database>,
}

impl Database {
    pub(crate) fn connect(self: &Arc<Self>) -> Result<Held> {
        let conn = self.first.lock().unwrap_or_else(|e| e.into_inner()).try_clone().map_err(plain)?;
        // Times with a zone print and parse in UTC. Without the ICU extension there is no such setting, and no need.
        let _ = conn.execute_batch("SET TimeZone = 'UTC'");
        Ok(Held { conn, _database: self.clone() })
    }
}

/// The same text for the same file, however its path is spelled.
pub(crate) fn identity(path: &Path) -> PathBuf {
    std::fs::canonicalize(path)
        .ok()
        .or_else(|| Some(std::fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?)))
        .unwrap_or_else(|| path.to_path_buf())
}

/// The instance for these settings. `create`: make the file if it isn't there.
pub(crate) fn open(s: &Settings, create: bool) -> Result<Arc<Database>> {
    static OPEN: OnceLock<Mutex<HashMap<PathBuf, Weak<Database>>>> = OnceLock::new();
    let Some(path) = &s.path else { return start(s) };
    let mut all = OPEN.get_or_init(Mutex::default).lock().unwrap_or_else(|e| e.into_inner());
    all.retain(|_, d| d.strong_count() > 0);
    let key = identity(path);
    if let Some(d) = all.get(&key).and_then(Weak::upgrade) {
        if d.read_only && !s.read_only {
            return Err(Error::config(format!(
                "cannot open `{}` (duckdb at {}) for writing: another connection has it open with `read_only: true`",
                s.connection,
                s.address()
            ))
            .hint("give connections to the same file the same `read_only`"));
        }
        return Ok(d);
    }
    let missing = !path.exists();
    if missing && (s.read_only || !create) {
        let what = if path.parent().is_some_and(|d| !d.exists()) {
            "its folder does not exist"
        } else {
            "there is no such file"
        };
        return Err(Error::not_found(format!("cannot open `{}` (duckdb at {}): {what}", s.connection, s.address()))
            .hint(match s.read_only {
                true => format!("check `path` under `{}` in profiles.yml", s.connection),
                false => {
                    format!(
                        "check `path` under `{}` in profiles.yml; a load makes the file, not its folder",
                        s.connection
                    )
                }
            }));
    }
    let d = start(s)?;
    all.insert(identity(path), Arc::downgrade(&d));
    Ok(d)
}

fn start(s: &Settings) -> Result<Arc<Database>> {
    xdb_libduckdb::load().map_err(|e| e.connection(&s.connection))?;
    let config = || -> duckdb::Result<Config> {
        let mut c = Config::default();
        if s.read_only && s.path.is_some() {
            c = c.access_mode(AccessMode::ReadOnly)?;
        }
        if let Some(m) = &s.memory_limit {
            c = c.max_memory(m)?;
        }
        if let Some(t) = s.threads {
            c = c.threads(t)?;
        }
        Ok(c)
    };
    let opened = config().and_then(|c| match &s.path {
        Some(p) => Connection::open_with_flags(p, c),
        None => Connection::open_in_memory_with_flags(c),
    });
    let first = opened.map_err(|e| {
        let e = plain(e);
        let head = format!("cannot open `{}` (duckdb at {})", s.connection, s.address());
        let hint = e.hint_text().map(str::to_string);
        let kind = match e.kind() {
            ErrorKind::Sql => ErrorKind::Config,
            k => k,
        };
        let out = Error::new(kind, head).cause(e.message().to_string()).retryable(kind == ErrorKind::Conflict);
        match hint {
            Some(h) => out.hint(h),
            None if kind == ErrorKind::NotFound => out.hint("a load makes the file, not its folder"),
            None => out,
        }
    })?;
    Ok(Arc::new(Database { first: Mutex::new(first), read_only: s.read_only && s.path.is_some() }))
}

pub(crate) fn read_only_error(s: &Settings) -> Error {
    Error::new(ErrorKind::Permission, format!("connection `{}` is read-only", s.connection))
        .connection(&s.connection)
        .hint(format!("remove `read_only` from `{}` in profiles.yml, or write to another connection", s.connection))
}
