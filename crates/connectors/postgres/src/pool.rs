//! Connections: opening them, keeping idle ones for reuse, running plain statements, and cancelling.
//!
//! The runner decides how many are used at once; this only bounds how many stay open idle. A connection goes back only
//! when it is handed back after a clean end ([`Conn::release`]); one that is dropped, cancelled or failed is closed.

use crate::config::Config;
use crate::error;
use futures::TryStreamExt;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Either, Executor, Row};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use xdb_core::{Error, Result};

/// An idle connection older than this is asked whether it still lives before it is used.
const TRUSTED: Duration = Duration::from_secs(2);
/// How long a cancel request may take before it is given up: the server notices the closed socket later by itself.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) config: Config,
    idle: Mutex<Vec<(Conn0, Instant)>>,
}

#[derive(Debug)]
struct Conn0 {
    inner: PgConnection,
    /// The server process, for cancelling; 0 behind PgBouncer, where it changes.
    pid: i32,
}

/// A connection in use.
#[derive(Debug)]
pub(crate) struct Conn {
    conn: Option<Conn0>,
    pool: Arc<Pool>,
    /// A statement is running: whoever drops it now doesn't want its result.
    busy: bool,
}

/// A row of text values.
pub(crate) type TextRow = Vec<Option<String>>;

impl Pool {
    pub(crate) fn new(config: Config) -> Arc<Self> {
        Arc::new(Self { config, idle: Mutex::default() })
    }

    pub(crate) async fn get(self: &Arc<Self>) -> Result<Conn> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(|p| p.into_inner()).pop();
            let Some((mut conn, since)) = idle else { break };
            if since.elapsed() < TRUSTED
                || tokio::time::timeout(self.config.connect_timeout, conn.inner.ping()).await.is_ok_and(|r| r.is_ok())
            {
                return Ok(Conn { conn: Some(conn), pool: self.clone(), busy: false });
            }
        }
        let conn = self.connect().await?;
        Ok(Conn { conn: Some(conn), pool: self.clone(), busy: false })
    }

    async fn connect(&self) -> Result<Conn0> {
        let config = &self.config;
        let work = async {
            let mut failed = None;
            for mode in config.ssl_attempts() {
                match PgConnection::connect_with(&config.connect_options(*mode)).await {
                    Ok(c) => return Ok(c),
                    // The first reason is the better one, unless the second try got further.
                    Err(e) => failed = Some(failed.filter(|_| !matches!(e, sqlx::Error::Database(_))).unwrap_or(e)),
                }
            }
            Err(failed.unwrap_or_else(|| sqlx::Error::Protocol("no TLS mode to try".into())))
        };
        // Zero is no limit.
        let limit = if config.connect_timeout.is_zero() {
            Duration::from_secs(u32::MAX.into())
        } else {
            config.connect_timeout
        };
        let inner = tokio::time::timeout(limit, work)
            .await
            .map_err(|_| error::connect_timed_out(config))?
            .map_err(|e| error::connecting(e, config))?;
        let mut conn = Conn0 { inner, pid: 0 };
        if !config.pgbouncer {
            let rows = fetch_text(&mut conn.inner, &session_sql(config), config).await?;
            conn.pid = rows.last().and_then(|r| r.first()?.as_ref()?.parse().ok()).unwrap_or(0);
        }
        Ok(conn)
    }

    /// Asks the server to stop what process `pid` is doing. Best effort; the connection itself should be closed after.
    async fn cancel(self: &Arc<Self>, pid: i32) {
        let work = async {
            let mut c = self.get().await?;
            c.run(&format!("SELECT pg_cancel_backend({pid})")).await?;
            c.release();
            Ok::<_, Error>(())
        };
        if let Ok(Err(e)) = tokio::time::timeout(CANCEL_TIMEOUT, work).await {
            tracing::debug!("could not cancel: {e}");
        }
    }
}

/// Settings of a new session, and its process id as the last row.
fn session_sql(config: &Config) -> String {
    let mut sql = String::from("SET client_min_messages = warning;");
    if !config.query_timeout.is_zero() {
        sql += &format!("SET statement_timeout = {};", config.query_timeout.as_millis().min(i32::MAX as u128));
    }
    if let Some(role) = &config.role {
        sql += &format!("SET ROLE {};", crate::sql::ident(role));
    }
    if let Some(path) = &config.search_path {
        // A list of names, as in dbt: passed as a setting's value, not as SQL.
        sql += &format!("SELECT set_config('search_path', {}, false);", crate::sql::text(path));
    }
    sql + "SELECT pg_backend_pid()"
}

async fn fetch_text(conn: &mut PgConnection, sql: &str, config: &Config) -> Result<Vec<TextRow>> {
    let fail = |e| error::from_sqlx(e, config).sql(sql);
    let rows: Vec<PgRow> = conn.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await.map_err(fail)?;
    let text = |row: &PgRow| {
        (0..row.len())
            .map(|i| match row.try_get_raw(i)?.as_str() {
                Ok(t) => Ok(Some(t.to_string())),
                Err(_) => Ok(None),
            })
            .collect::<Result<TextRow, sqlx::Error>>()
    };
    rows.iter().map(text).collect::<Result<_, _>>().map_err(fail)
}

async fn run(conn: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    let mut results = conn.fetch_many(sqlx::raw_sql(AssertSqlSafe(sql)));
    let mut last = 0;
    while let Some(r) = results.try_next().await? {
        if let Either::Left(done) = r {
            last = done.rows_affected();
        }
    }
    Ok(last)
}

impl Conn {
    /// Rows of the statements, as the server prints them. Simple protocol: nothing is prepared, and several statements
    /// may be sent at once.
    pub(crate) async fn rows(&mut self, sql: &str) -> Result<Vec<TextRow>> {
        let pool = self.pool.clone();
        self.busy = true;
        let out = fetch_text(self, sql, &pool.config).await;
        self.busy = false;
        out
    }

    /// The first value of the first row.
    pub(crate) async fn value(&mut self, sql: &str) -> Result<Option<String>> {
        Ok(self.rows(sql).await?.into_iter().next().and_then(|r| r.into_iter().next().flatten()))
    }

    /// Runs statements; the rows that the last one affected.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<u64> {
        let pool = self.pool.clone();
        self.busy = true;
        let out = run(self, sql).await.map_err(|e| error::from_sqlx(e, &pool.config).sql(sql));
        self.busy = false;
        out
    }

    pub(crate) fn config(&self) -> &Config {
        &self.pool.config
    }

    /// Hands it back for reuse. Only after everything sent has been answered and no transaction is open.
    pub(crate) fn release(mut self) {
        let Some(conn) = self.conn.take() else { return };
        let mut idle = self.pool.idle.lock().unwrap_or_else(|p| p.into_inner());
        // Behind PgBouncer an open client connection costs little, but nothing is gained by more than the budget.
        if idle.len() < self.pool.config.pool_size {
            idle.push((conn, Instant::now()));
        }
    }

    /// Stops what the server is doing for this connection, and closes it.
    pub(crate) async fn cancel(mut self) {
        let Some(conn) = self.conn.take() else { return };
        if conn.pid != 0 {
            self.pool.cancel(conn.pid).await;
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take().filter(|c| self.busy && c.pid != 0) else { return };
        // The server would notice the closed socket only when it has an answer.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let pool = self.pool.clone();
            runtime.spawn(async move { pool.cancel(conn.pid).await });
        }
    }
}

impl Deref for Conn {
    type Target = PgConnection;
    #[allow(clippy::expect_used)] // Only `release` and `cancel` take it out, and they consume the value.
    fn deref(&self) -> &PgConnection {
        &self.conn.as_ref().expect("a connection in use").inner
    }
}
impl DerefMut for Conn {
    #[allow(clippy::expect_used)] // As above.
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn.as_mut().expect("a connection in use").inner
    }
}
