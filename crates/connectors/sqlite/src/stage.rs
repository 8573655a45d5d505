//! The staging database: a private file attached to the connection that will change the target.
//!
//! Staging in the target's own file would hold its only write lock for as long as the model runs, and in SQLite's
//! default journal mode a reader of the same file (perhaps this very model) and such a writer end up waiting for each
//! other. The side file lies beside the target, so the disk that must hold the table holds it, and has no name any more
//! once it is open: a crash leaves nothing behind.

use crate::commit::{ROWS, STAGE};
use crate::config::Settings;
use crate::connection::{Purpose, open};
use crate::error::plain;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use xdb_core::names::staging_name;
use xdb_core::{Error, ErrorKind, Result, ResultExt};

/// A connection that may write the target, with an empty staging database.
///
/// A target's file that opening made stays, empty, where the load comes to nothing: somebody else (another model of this
/// run) may have it open by now, and what they commit into a file without a name would be lost.
pub(crate) struct Stage {
    pub(crate) conn: Connection,
}

impl Stage {
    /// Fails where the target can't be written now: read-only, no permission, locked for longer than `busy_timeout`.
    pub(crate) fn open(s: &Settings) -> Result<Self> {
        let file = s.address.file();
        let stage = Self { conn: open(s, Purpose::Write)? };
        stage.conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK").map_err(plain).map_error(|e| cannot_write(s, e))?;
        let side = match file {
            None => None,
            Some(target) => Some(side_file(target).map_err(|e| cannot_write(s, e))?),
        };
        // An empty name is a private temporary database.
        let name = side
            .as_deref()
            .map_or(Some(""), Path::to_str)
            .ok_or_else(|| Error::config(format!("the path {} is not valid UTF-8", s.address)))?;
        let attached = stage
            .conn
            .execute(&format!("ATTACH ?1 AS {STAGE}"), [name])
            .and_then(|_| {
                stage.conn.execute_batch(&format!(
                    "PRAGMA {STAGE}.locking_mode = exclusive; PRAGMA {STAGE}.journal_mode = off; \
                     PRAGMA {STAGE}.synchronous = off; CREATE TABLE {STAGE}.made (x); DROP TABLE {STAGE}.made"
                ))
            })
            .map_err(plain);
        if let Some(path) = &side {
            let _ = std::fs::remove_file(path);
        }
        attached?;
        Ok(stage)
    }

    pub(crate) fn create_rows(&self, definitions: &[String]) -> Result<()> {
        let sql = format!("CREATE TABLE {ROWS} ({})", definitions.join(", "));
        self.conn.execute_batch(&sql).map_err(plain).with_sql(&sql)
    }
}

fn cannot_write(s: &Settings, e: Error) -> Error {
    e.with_message(|m| format!("cannot write to `{}` (sqlite at {}): {m}", s.connection, s.address))
}

/// A new empty file beside `target`, under a name that nobody else has.
fn side_file(target: &Path) -> Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let moment = std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_nanos() as u64);
    let run = format!("{:x}{moment:x}{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let name = target.file_name().and_then(|n| n.to_str()).unwrap_or("db");
    let path = target.with_file_name(staging_name("new", &run, name, 120));
    std::fs::OpenOptions::new().write(true).create_new(true).open(&path).map_err(|e| {
        let e = Error::from(e);
        match e.kind() {
            ErrorKind::Permission => {
                e.hint("SQLite keeps its journal beside the database: this user must be able to write the folder")
            }
            _ => e,
        }
    })?;
    Ok(path)
}
