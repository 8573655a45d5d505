//! Connections: opening and preparing a session, keeping idle ones, running blocking work off the async threads, and
//! stopping on the server what nobody waits for any more.

use crate::config::Config;
use crate::errors::server_code;
use crate::wire::{Closer, Conn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use xdb_core::{Error, ErrorKind, Result};

/// How long dropping a running query waits for the server to be told. Longer than a round trip, shorter than a person
/// notices; the telling goes on in its own thread.
const CANCEL_WAIT: Duration = Duration::from_millis(300);

/// What a session found out about its server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) mariadb: bool,
    pub(crate) version: String,
    pub(crate) local_infile: bool,
    /// Bytes.
    pub(crate) max_allowed_packet: usize,
}

/// A connection whose session is set up.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) conn: Conn,
    pub(crate) server: Arc<Server>,
}
impl std::ops::Deref for Session {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.conn
    }
}
impl std::ops::DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) config: Config,
    idle: Mutex<Vec<Session>>,
}

pub(crate) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded here is replaced whole, so that a panic elsewhere can't leave it half changed.
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub(crate) fn new(config: Config) -> Arc<Self> {
        Arc::new(Self { config, idle: Mutex::new(Vec::new()) })
    }

    /// An idle connection, or a new one. Blocks.
    pub(crate) fn take(&self) -> Result<Session> {
        loop {
            let Some(mut s) = lock(&self.idle).pop() else { break };
            // The server may have closed it meanwhile.
            if s.ping() {
                return Ok(s);
            }
        }
        self.open()
    }
    /// Keep it for the next user, if its session is as [`Pool::open`] left it.
    pub(crate) fn put(&self, s: Session) {
        let mut idle = lock(&self.idle);
        if s.is_idle() && idle.len() < self.config.pool_size {
            idle.push(s);
        }
    }

    /// A new connection with its session set up. Blocks.
    pub(crate) fn open(&self) -> Result<Session> {
        Conn::connect(&self.config.connect).and_then(|c| self.prepare(c)).map_err(|e| self.cannot_connect(e))
    }
    /// As [`Pool::open`], without a default database: for making it.
    pub(crate) fn open_without_database(&self) -> Result<Session> {
        let options = crate::wire::ConnectOptions { database: None, ..self.config.connect.clone() };
        Conn::connect(&options).and_then(|c| self.prepare(c)).map_err(|e| self.cannot_connect(e))
    }

    fn prepare(&self, mut conn: Conn) -> Result<Session> {
        let rows = conn.texts("SELECT @@sql_mode, @@local_infile, @@max_allowed_packet, CONNECTION_ID()")?;
        let mut row = rows.into_iter().next().unwrap_or_default().into_iter().flatten();
        let modes = row.next().unwrap_or_default();
        let server = Server {
            mariadb: conn.mariadb,
            version: conn.version.clone(),
            local_infile: matches!(row.next().as_deref(), Some("1" | "ON")),
            max_allowed_packet: row.next().and_then(|v| v.parse().ok()).unwrap_or(1 << 20),
        };
        if let Some(id) = row.next().and_then(|v| v.parse().ok()) {
            conn.thread_id = id;
        }
        let lock_seconds = self.config.lock_timeout.as_secs().max(1);
        let mut set = format!(
            // The server must not give up on us while an engine downstream is thinking (its defaults are 60 s and 30 s).
            "SET time_zone = '+00:00', sql_mode = '{}', autocommit = 1, net_write_timeout = 86400, \
             net_read_timeout = 86400, wait_timeout = 86400, lock_wait_timeout = {lock_seconds}, \
             innodb_lock_wait_timeout = {lock_seconds}",
            session_modes(&modes)
        );
        if conn.mariadb {
            // It remembers a subquery's answer by the outer row's columns as their collations compare them, so that `a ` gets
            // the answer of `a` even where the subquery compares bytes. (MySQL has no such cache, nor the switch.)
            set += ", optimizer_switch = 'subquery_cache=off'";
        }
        let timeout = self.config.query_timeout;
        if !timeout.is_zero() {
            set += &if conn.mariadb {
                format!(", max_statement_time = {}", timeout.as_secs_f64())
            } else {
                format!(", max_execution_time = {}", timeout.as_millis())
            };
        }
        conn.execute(&set).map_err(|e| e.sql(&set))?;
        Ok(Session { conn, server: Arc::new(server) })
    }

    fn cannot_connect(&self, e: Error) -> Error {
        let c = &self.config;
        let name = &c.connection;
        let said = e.message().to_string();
        let mut out = Error::new(e.kind(), format!("cannot connect to `{name}` (mysql at {})", c.connect.address))
            .retryable(e.is_retryable())
            .connection(name);
        if let Some(code) = &e.context().code {
            out = out.code(code.clone());
        }
        let hint = match (e.kind(), server_code(&e)) {
            (ErrorKind::Auth, _) => {
                e.hint_text().filter(|_| server_code(&e).is_none()).map(Into::into).unwrap_or(format!(
                    "check `user` and `password` under `{name}` in profiles.yml, then run `xdb profiles test {name}`"
                ))
            }
            (_, Some(1049)) => format!("check `database` under `{name}` in profiles.yml"),
            (ErrorKind::Connect | ErrorKind::Timeout, None) if e.hint_text().is_none() => {
                format!("check `host` and `port` under `{name}` in profiles.yml, then run `xdb profiles test {name}`")
            }
            _ => e.hint_text().unwrap_or_default().to_string(),
        };
        let out = out.cause(said);
        if hint.is_empty() { out } else { out.hint(hint) }
    }

    /// Add what every error of this connection should say.
    pub(crate) fn context(&self, e: Error) -> Error {
        e.connection(&self.config.connection)
    }

    /// Run blocking work with a connection of the pool. Dropping the future stops the query on the server. The
    /// connection goes back to the pool only where `f` leaves it as it was (`keep`).
    pub(crate) async fn with<R: Send + 'static>(
        self: &Arc<Self>,
        keep: bool,
        f: impl FnOnce(&mut Session) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let pool = self.clone();
        let cancel = Cancel::new(self.clone());
        let running = cancel.running();
        let out = blocking(move || {
            let mut s = pool.take()?;
            running.start(&s)?;
            let out = f(&mut s);
            // An error may have left a transaction or a table lock behind.
            if running.finish() && keep && out.is_ok() {
                pool.put(s);
            }
            out
        })
        .await;
        drop(cancel);
        out.map_err(|e| self.context(e))
    }
}

/// The session's `sql_mode`: the server's own, so that its users find what they know, without what changes how text and
/// names are written or read, and never silent about values that don't fit.
fn session_modes(server: &str) -> String {
    const OUT: &[&str] = &[
        "ANSI",
        "ANSI_QUOTES",
        "NO_BACKSLASH_ESCAPES",
        "PIPES_AS_CONCAT",
        "PAD_CHAR_TO_FULL_LENGTH",
        "ORACLE",
        "MSSQL",
        "DB2",
        "MAXDB",
        "POSTGRESQL",
        "EMPTY_STRING_IS_NULL",
        "SIMULTANEOUS_ASSIGNMENT",
        "TRADITIONAL",
        "IGNORE_SPACE",
        "REAL_AS_FLOAT",
        "NO_FIELD_OPTIONS",
        "NO_KEY_OPTIONS",
        "NO_TABLE_OPTIONS",
        "MYSQL323",
        "MYSQL40",
        "NO_AUTO_VALUE_ON_ZERO",
        "TIME_ROUND_FRACTIONAL",
        "TIME_TRUNCATE_FRACTIONAL",
    ];
    let mut modes: Vec<&str> = server
        .split(',')
        .filter(|m| !m.is_empty() && m.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !OUT.contains(m))
        .collect();
    for m in ["STRICT_TRANS_TABLES", "STRICT_ALL_TABLES", "ERROR_FOR_DIVISION_BY_ZERO", "NO_AUTO_VALUE_ON_ZERO"] {
        if !modes.contains(&m) {
            modes.push(m);
        }
    }
    modes.join(",")
}

/// Run blocking work where it can't hold up the async threads.
pub(crate) async fn blocking<R: Send + 'static>(f: impl FnOnce() -> Result<R> + Send + 'static) -> Result<R> {
    match tokio::task::spawn_blocking(f).await {
        Ok(r) => r,
        Err(e) => Err(Error::internal(format!("a worker thread failed: {e}"))),
    }
}

/// Where a query is in its life, shared by the thread that runs it and the [`Cancel`] that may end it.
#[derive(Debug)]
enum State {
    Waiting,
    Running { thread_id: u64, closer: Closer },
    Finished,
    Cancelled,
}

/// The runner's end.
#[derive(Clone, Debug)]
pub(crate) struct Running(Arc<Mutex<State>>);
impl Running {
    /// The query is about to be sent on `s`. An error if it was cancelled before.
    pub(crate) fn start(&self, s: &Session) -> Result<()> {
        let closer = s.closer()?;
        let mut state = lock(&self.0);
        if matches!(*state, State::Cancelled) {
            return Err(Error::cancelled());
        }
        *state = State::Running { thread_id: s.thread_id, closer };
        Ok(())
    }
    /// No longer on the connection. `false` if it was cancelled: the connection is not to be used again.
    pub(crate) fn finish(&self) -> bool {
        let mut state = lock(&self.0);
        let ok = !matches!(*state, State::Cancelled);
        if ok {
            *state = State::Finished;
        }
        ok
    }
}

/// The waiter's end: dropping it while the query runs kills the query (by a second connection) and closes the socket.
#[derive(Debug)]
pub(crate) struct Cancel {
    state: Arc<Mutex<State>>,
    pool: Arc<Pool>,
}
impl Cancel {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { state: Arc::new(Mutex::new(State::Waiting)), pool }
    }
    pub(crate) fn running(&self) -> Running {
        Running(self.state.clone())
    }
}
impl Drop for Cancel {
    fn drop(&mut self) {
        let before = {
            let mut state = lock(&self.state);
            match *state {
                State::Finished | State::Cancelled => return,
                _ => std::mem::replace(&mut *state, State::Cancelled),
            }
        };
        let State::Running { thread_id, closer } = before else { return };
        let pool = self.pool.clone();
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let spawned = std::thread::Builder::new().name("xdb-mysql-kill".into()).spawn(move || {
            // Closing alone would not do: a server that sorts or sleeps looks at its socket only when it has rows.
            let killed = pool.take().and_then(|mut s| {
                s.execute(&format!("KILL QUERY {thread_id}"))?;
                pool.put(s);
                Ok(())
            });
            if let Err(e) = killed {
                tracing::debug!(connection = %pool.config.connection, error = %e, "could not kill a query");
            }
            closer.close();
            drop(done);
        });
        if spawned.is_ok() {
            // Ends early: by disconnection when the thread is done.
            let _ = wait.recv_timeout(CANCEL_WAIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn the_session_keeps_the_servers_modes_but_not_those_that_change_the_language() {
        let m = session_modes("ANSI_QUOTES,ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES,x';DROP");
        assert_eq!(
            m,
            "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO"
        );
    }
}
