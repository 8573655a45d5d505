//! The last step of a load: from the staging database into the target, in one transaction.
//!
//! SQLite's DDL is transactional, so readers see the old table or the new one. The caller's connection has the staging
//! database attached as [`STAGE`], with the rows in its table [`ROWS`].

use crate::catalog::{columns, find};
use crate::dialect::{SQLITE, relation_sql};
use crate::error::plain;
use rusqlite::Connection;
use xdb_core::{Error, ErrorKind, LoadReport, Relation, RelationKind, Result, ResultExt, WriteMode};

pub(crate) const STAGE: &str = "xdb_stage";
pub(crate) const ROWS: &str = "\"xdb_stage\".\"rows\"";

/// What becomes visible.
pub(crate) struct Change<'a> {
    pub(crate) target: &'a Relation,
    pub(crate) mode: &'a WriteMode,
    /// Names of the staged columns.
    pub(crate) columns: &'a [String],
    /// Ready `name type` pairs for a new table.
    pub(crate) definitions: &'a [String],
    pub(crate) rows: u64,
}

pub(crate) fn commit(conn: &Connection, change: &Change<'_>) -> Result<LoadReport> {
    // Replacing must not run `ON DELETE` actions for the rows that come back; an append is checked as any insert is.
    let foreign_keys = matches!(change.mode, WriteMode::Append);
    conn.pragma_update(None, "foreign_keys", foreign_keys).map_err(plain)?;
    run(conn, "BEGIN IMMEDIATE")?;
    let mut notes = Vec::new();
    let done = match change.mode {
        WriteMode::Replace => replace(conn, change, &mut notes),
        WriteMode::Append => insert(conn, change),
        WriteMode::Merge { unique_key } => merge(conn, change, unique_key),
    };
    match done.and_then(|()| run(conn, "COMMIT")) {
        Ok(()) => Ok(LoadReport { rows: change.rows, notes }),
        Err(e) => {
            // Where SQLite has rolled back by itself (a full disk) this fails, and that is fine.
            let _ = conn.execute_batch("ROLLBACK");
            Err(e.relation(change.target.to_string()))
        }
    }
}

fn run(conn: &Connection, sql: &str) -> Result<()> {
    conn.execute_batch(sql).map_err(plain).with_sql(sql)
}

fn replace(conn: &Connection, change: &Change<'_>, notes: &mut Vec<String>) -> Result<()> {
    let target = relation_sql(change.target);
    let keep = dependents(conn, change.target)?;
    drop_existing(conn, change.target, notes)?;
    run(conn, &format!("CREATE TABLE {target} ({})", change.definitions.join(", ")))?;
    insert(conn, change)?;
    for d in keep {
        match conn.execute_batch(&d.sql).map_err(plain) {
            Ok(()) => {}
            // Data that breaks a unique index is the data's fault; a column that is gone is not.
            Err(e) if e.context().code.as_deref().is_some_and(|c| c.parse().is_ok_and(|c: i32| c & 0xff == 19)) => {
                return Err(e.with_message(|m| format!("the new rows break the index `{}`: {m}", d.name)).sql(d.sql));
            }
            Err(e) if e.kind() == ErrorKind::Sql || e.kind() == ErrorKind::NotFound => {
                notes.push(format!("{} `{}` was not kept: {}", d.kind, d.name, e.message()));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

struct Dependent {
    kind: String,
    name: String,
    sql: String,
}

/// Indexes and triggers of the old table, as they were created. Constraints inside its `CREATE TABLE` are not among them.
fn dependents(conn: &Connection, target: &Relation) -> Result<Vec<Dependent>> {
    let sql = "SELECT type, name, sql FROM main.sqlite_master WHERE lower(tbl_name) = lower(?1) \
               AND type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY type, name";
    let mut stmt = conn.prepare(sql).map_err(plain)?;
    stmt.query_map([&target.name], |r| Ok(Dependent { kind: r.get(0)?, name: r.get(1)?, sql: r.get(2)? }))
        .map_err(plain)?
        .collect::<rusqlite::Result<_>>()
        .map_err(plain)
}

/// Drop what has the target's name, inside a transaction.
pub(crate) fn drop_existing(conn: &Connection, target: &Relation, notes: &mut Vec<String>) -> Result<()> {
    match find(conn, target)? {
        None => Ok(()),
        Some((name, RelationKind::View)) => {
            notes.push(format!("the view `{name}` was replaced"));
            run(conn, &format!("DROP VIEW {}", relation_sql(target)))
        }
        Some(_) => run(conn, &format!("DROP TABLE {}", relation_sql(target))),
    }
}

fn insert(conn: &Connection, change: &Change<'_>) -> Result<()> {
    let list = change.columns.iter().map(|c| SQLITE.ident(c)).collect::<Vec<_>>().join(", ");
    // For a new table SQLite copies whole records here, without decoding them (its "transfer optimization"); it needs
    // `SELECT *` and no column list.
    let into = if matches!(change.mode, WriteMode::Replace) { String::new() } else { format!(" ({list})") };
    run(conn, &format!("INSERT INTO {}{into} SELECT * FROM {ROWS}", relation_sql(change.target)))
}

fn merge(conn: &Connection, change: &Change<'_>, key: &[String]) -> Result<()> {
    if key.is_empty() {
        return Err(Error::config("merge needs a `unique_key`"));
    }
    for k in key {
        if !change.columns.contains(k) {
            return Err(Error::config(format!("the unique key `{k}` is not among the columns of the model")));
        }
    }
    let quoted: Vec<String> = key.iter().map(|k| SQLITE.ident(k)).collect();
    let list = quoted.join(", ");
    let known = quoted.iter().map(|k| format!("{k} IS NOT NULL")).collect::<Vec<_>>().join(" AND ");
    let binary = quoted.iter().map(|k| format!("{k} COLLATE BINARY")).collect::<Vec<_>>().join(", ");
    let twice =
        format!("SELECT {list}, count(*) FROM {ROWS} WHERE {known} GROUP BY {binary} HAVING count(*) > 1 LIMIT 1");
    let mut stmt = conn.prepare(&twice).map_err(plain)?;
    let mut rows = stmt.query([]).map_err(plain)?;
    if let Some(r) = rows.next().map_err(plain)? {
        let shown: Vec<String> = (0..key.len()).map(|i| r.get_ref(i).map(|v| show(v)).unwrap_or_default()).collect();
        return Err(Error::new(
            ErrorKind::Sql,
            format!("two incoming rows have the same key ({}) = ({})", key.join(", "), shown.join(", ")),
        )
        .hint("make the model's rows unique by `unique_key`"));
    }
    drop(rows);
    drop(stmt);
    // Row values compare with the left side's collation; BINARY makes a NOCASE column match by bytes.
    let left = if key.len() == 1 { binary } else { format!("({binary})") };
    let target = relation_sql(change.target);
    run(conn, &format!("DELETE FROM {target} WHERE {left} IN (SELECT {list} FROM {ROWS} WHERE {known})"))?;
    insert(conn, change)
}

fn show(v: rusqlite::types::ValueRef<'_>) -> String {
    use rusqlite::types::ValueRef as V;
    match v {
        V::Null => "NULL".into(),
        V::Integer(i) => i.to_string(),
        V::Real(r) => r.to_string(),
        V::Text(t) => format!("'{}'", String::from_utf8_lossy(t)),
        V::Blob(b) => format!("a blob of {} bytes", b.len()),
    }
}

/// Declared types of the target's columns that rows may be written to, for append and merge.
pub(crate) fn writable_columns(conn: &Connection, target: &Relation) -> Result<Vec<(String, String)>> {
    let schema = target.schema.as_deref().unwrap_or("main");
    let all = columns(conn, schema, &target.name)?;
    Ok(all.into_iter().filter(|c| !c.generated).map(|c| (c.name, c.declared)).collect())
}
