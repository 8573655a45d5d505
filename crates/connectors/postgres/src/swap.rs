//! From staged rows to the target, in one transaction: a replacement that takes over the old relation's name and what hung
//! on it, an append, or a merge.

use crate::catalog::{cell, not_found};
use crate::keep::{self, Index, Step};
use crate::pool::Conn;
use crate::sql::{self, MAX_IDENTIFIER};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use xdb_core::names::{staging_name, suggest};
use xdb_core::{Error, ErrorKind, Relation, Result, TypePolicy, WriteMode};

/// A name for `target`'s staging table that nobody else has.
pub(crate) fn staging(target: &Relation) -> Relation {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let mixed =
        now.wrapping_mul(31).wrapping_add(u64::from(std::process::id()) << 40) ^ COUNT.fetch_add(1, Ordering::Relaxed);
    let run = format!("{:08x}", (mixed ^ (mixed >> 32)) as u32);
    Relation { name: staging_name("new", &run, &target.name, MAX_IDENTIFIER), ..target.clone() }
}

/// What takes the target's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum New {
    Table,
    View,
}

/// Begins the transaction in which the target changes.
pub(crate) async fn begin(conn: &mut Conn) -> Result<()> {
    let ms = conn.config().lock_timeout.as_millis().min(i32::MAX as u128);
    conn.run(&format!("BEGIN; SET LOCAL lock_timeout = {ms}")).await.map(|_| ())
}

/// `staging` becomes `target`. In a transaction; the caller commits. Returns notes.
pub(crate) async fn replace(conn: &mut Conn, staging: &Relation, target: &Relation, new: New) -> Result<Vec<String>> {
    conn.run("SET LOCAL search_path = ''").await?;
    let (staged, name) = (sql::relation(staging), sql::relation(target));
    let schema = target.schema.clone().unwrap_or_default();
    let keyword = if new == New::View { "VIEW" } else { "TABLE" };
    let mut notes = Vec::new();

    // Indexes take long: build them before anybody has to wait for the lock.
    let mut built: Vec<(Index, String)> = Vec::new();
    if let Some(old) = keep::find(conn, target).await? {
        keep::refuse(&old, target)?;
        if new == New::Table {
            build_indexes(conn, &old.oid, staging, &mut built, &mut notes).await?;
        }
        if matches!(old.relkind.as_str(), "r") {
            conn.run(&format!("LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")).await?;
        }
    }
    // From here on it is as it will be; it may have changed while we waited.
    let mut after: Vec<Step> = Vec::new();
    let mut views = Vec::new();
    if let Some(old) = keep::find(conn, target).await? {
        keep::refuse(&old, target)?;
        let table = matches!(old.relkind.as_str(), "r" | "m");
        match new {
            New::Table => {
                let now = build_indexes(conn, &old.oid, staging, &mut built, &mut notes).await?;
                built.retain(|(i, _)| now.contains(i));
                if old.relkind == "r" {
                    after.extend(keep::table_steps(conn, &old.oid, &name, &mut notes).await?);
                }
            }
            New::View if table && !keep::indexes(conn, &old.oid).await?.is_empty() => {
                notes.push(format!("{name} was a table with indexes; it is a view now"));
            }
            New::View => {}
        }
        after.extend(keep::rights_and_comments(conn, &old.oid, keyword, &name).await?);
        views = keep::dependent_views(conn, &old.oid).await?;
        for v in views.iter().rev() {
            conn.run(&v.drop).await?;
        }
        // Never CASCADE: what we did not read we would not bring back.
        conn.run(&format!("DROP {} {name}", old.keyword())).await.map_err(|e| match e.context().code.as_deref() {
            Some("2BP01") => e
                .with_message(|_| {
                    format!("{name} cannot be replaced, because something other than a view depends on it")
                })
                .hint("drop what depends on it (a foreign key, a function), or use `materialized: incremental`"),
            _ => e,
        })?;
    }
    conn.run(&format!("ALTER {keyword} {staged} RENAME TO {}", sql::ident(&target.name))).await.map_err(|e| match e
        .context()
        .code
        .as_deref()
    {
        Some("42P07") => {
            Error::new(ErrorKind::Conflict, format!("{name} was created by somebody else meanwhile")).cause(e)
        }
        _ => e,
    })?;
    for (index, temp) in &built {
        let temp = sql::ident(temp);
        match &index.constraint {
            Some((constraint, what, deferral)) => {
                let constraint = sql::ident(constraint);
                conn.run(&format!(
                    "ALTER TABLE {name} ADD CONSTRAINT {constraint} {what} USING INDEX {temp}{deferral}"
                ))
                .await
                .map_err(|e| violated(e, &format!("constraint {constraint}"), &name))?;
            }
            None => {
                let renamed =
                    format!("ALTER INDEX {}.{temp} RENAME TO {}", sql::ident(&schema), sql::ident(&index.name));
                conn.run(&renamed).await?;
            }
        }
        if let Some(comment) = keep::index_comment(index, &schema) {
            conn.run(&comment).await?;
        }
    }
    for s in after {
        if let Some(note) = bring_back(conn, &s, &name).await? {
            notes.push(note);
        }
    }
    for v in &views {
        for s in &v.create {
            conn.run(&s.sql).await.map_err(|e| {
                let what = format!(
                    "{name} cannot be replaced: view {} cannot be made again over the new rows ({})",
                    v.name, s.what
                );
                Error::new(ErrorKind::Conflict, what).cause(e).hint(format!("change or drop {} first", v.name))
            })?;
        }
        notes.push(format!("view {} was made again", v.name));
    }
    Ok(notes)
}

/// Gives `staging` the indexes that relation `oid` has, except those in `built` already. Returns all that `oid` has.
async fn build_indexes(
    conn: &mut Conn,
    oid: &str,
    staging: &Relation,
    built: &mut Vec<(Index, String)>,
    notes: &mut Vec<String>,
) -> Result<Vec<Index>> {
    let all = keep::indexes(conn, oid).await?;
    let table = sql::relation(staging);
    let run: String = staging.name.chars().take(17).collect();
    for index in &all {
        if built.iter().any(|(i, _)| i == index) {
            continue;
        }
        let temp = format!("{run}_i{}", built.len());
        match try_run(conn, &index.create(&temp, &table)).await {
            Ok(()) => built.push((index.clone(), temp)),
            Err(e) if is_missing(&e) => {
                let note = format!("index {} was dropped: {}", sql::ident(&index.name), e.message());
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
            Err(e) => return Err(violated(e, &format!("index {}", sql::ident(&index.name)), "the target")),
        }
    }
    Ok(all)
}

/// `Some(note)` where the new table has no place for it.
async fn bring_back(conn: &mut Conn, s: &Step, target: &str) -> Result<Option<String>> {
    match try_run(conn, &s.sql).await {
        Ok(()) => Ok(None),
        Err(e) if is_missing(&e) => Ok(Some(format!("{} of {target} was dropped: {}", s.what, e.message()))),
        // Giving it away is a right of its own; it is ours then.
        Err(e) if s.what.starts_with("owner") && e.kind() == ErrorKind::Permission => {
            Ok(Some(format!("{target} had {}; it belongs to this connection's user now", s.what)))
        }
        Err(e) => Err(violated(e, &s.what, target)),
    }
}

/// A column or type that is no longer there, or a default that doesn't suit its column's new type.
fn is_missing(e: &Error) -> bool {
    matches!(e.context().code.as_deref(), Some("42703" | "42704" | "42883" | "42804"))
}

fn violated(e: Error, what: &str, target: &str) -> Error {
    match e.context().code.as_deref() {
        Some("23505" | "23502" | "23514" | "23503" | "23P01") => e
            .with_message(|m| format!("the new rows violate {what} of {target}: {m}"))
            .hint("mend the model's rows, or drop the constraint"),
        _ => e,
    }
}

/// Runs a statement that may fail without breaking the transaction.
async fn try_run(conn: &mut Conn, sql: &str) -> Result<()> {
    conn.run("SAVEPOINT xdb").await?;
    match conn.run(sql).await {
        Ok(_) => conn.run("RELEASE SAVEPOINT xdb").await.map(|_| ()),
        Err(e) => {
            conn.run("ROLLBACK TO SAVEPOINT xdb; RELEASE SAVEPOINT xdb").await?;
            Err(e)
        }
    }
}

/// Rows of `staging` into `target`, which exists. In a transaction; the caller commits.
pub(crate) async fn add(
    conn: &mut Conn,
    staging: &Relation,
    target: &Relation,
    mode: &WriteMode,
    types: TypePolicy,
) -> Result<Vec<String>> {
    let (staged, name) = (sql::relation(staging), sql::relation(target));
    let lock = if matches!(mode, WriteMode::Merge { .. }) { "SHARE ROW EXCLUSIVE" } else { "ROW EXCLUSIVE" };
    conn.run(&format!("LOCK TABLE {name} IN {lock} MODE")).await?;
    let columns = matching(conn, staging, target).await?;
    if types == TypePolicy::Exact {
        for c in &columns {
            c.check(conn, &staged).await?;
        }
    }
    if let WriteMode::Merge { unique_key } = mode {
        let key: Vec<&Matched> = unique_key
            .iter()
            .map(|k| {
                columns.iter().find(|c| c.name == *k).ok_or_else(|| {
                    Error::config(format!("unique_key `{k}` is not a column of the model"))
                        .hint(suggest(k, columns.iter().map(|c| c.name.as_str())).unwrap_or_default())
                })
            })
            .collect::<Result<_>>()?;
        let list = |f: &dyn Fn(&Matched) -> String, with: &str| key.iter().map(|c| f(c)).collect::<Vec<_>>().join(with);
        let cast = list(&|c| c.cast(""), ", ");
        let some = list(&|c| format!("{} IS NOT NULL", sql::ident(&c.name)), " AND ");
        let twice = conn
            .rows(&format!(
                "SELECT concat_ws(', ', {}), count(*) FROM {staged} WHERE {some} GROUP BY {cast} HAVING count(*) > 1 LIMIT 1",
                list(&|c| format!("min({}::text)", c.cast("")), ", ")
            ))
            .await?;
        if let Some(r) = twice.first() {
            let message = format!(
                "{} rows of the model have one unique_key ({}): {}",
                cell(r, 1),
                unique_key.join(", "),
                cell(r, 0)
            );
            return Err(Error::new(ErrorKind::Conflict, message)
                .relation(&name)
                .hint("make the key unique in the model's SQL, or name more columns in `unique_key`"));
        }
        conn.run(&format!("ANALYZE {staged}")).await?;
        let same = list(&|c| format!("t.{} = {}", sql::ident(&c.name), c.cast("s.")), " AND ");
        conn.run(&format!("DELETE FROM {name} t USING {staged} s WHERE {same}")).await?;
    }
    let into = columns.iter().map(|c| sql::ident(&c.name)).collect::<Vec<_>>().join(", ");
    let from = columns.iter().map(|c| c.cast("")).collect::<Vec<_>>().join(", ");
    conn.run(&format!("INSERT INTO {name} ({into}) SELECT {from} FROM {staged}")).await?;
    conn.run(&format!("DROP TABLE {staged}")).await?;
    Ok(vec![])
}

/// A column of the staging table and its type in the target.
#[derive(Debug)]
pub(crate) struct Matched {
    name: String,
    staged: String,
    wanted: String,
}

impl Matched {
    fn cast(&self, prefix: &str) -> String {
        let column = format!("{prefix}{}", sql::ident(&self.name));
        if self.staged == self.wanted { column } else { format!("{column}::{}", self.wanted) }
    }

    /// Casts round and cut without a word: see whether the values come back.
    async fn check(&self, conn: &mut Conn, staged: &str) -> Result<()> {
        let parsed =
            self.staged == "text" && !self.wanted.starts_with("character") && !self.wanted.starts_with("\"char");
        // Reading text is exact or an error; json in another form is the same document.
        if self.staged == self.wanted || parsed || self.wanted == "text" || self.staged.starts_with("json") {
            return Ok(());
        }
        let column = sql::ident(&self.name);
        let lost = conn
            .value(&format!(
                "SELECT {column}::text FROM {staged} WHERE {column}::{}::{}::text IS DISTINCT FROM {column}::text LIMIT 1",
                self.wanted, self.staged
            ))
            .await?;
        match lost {
            Some(v) => {
                Err(Error::inexact(&self.name, v, format!("does not fit the target's column type {}", self.wanted)))
            }
            None => Ok(()),
        }
    }
}

/// The staging table's columns with the target's types; an error names the first that the target lacks.
pub(crate) async fn matching(conn: &mut Conn, staging: &Relation, target: &Relation) -> Result<Vec<Matched>> {
    let wanted = column_types(conn, target).await?;
    if wanted.is_empty() {
        return Err(not_found(conn, target).await);
    }
    let staged = column_types(conn, staging).await?;
    let find = |(name, staged): (String, String)| match wanted.iter().find(|(n, _)| *n == name) {
        Some((_, t)) => Ok(Matched { name, staged, wanted: t.clone() }),
        None => Err(missing_column(&name, target, wanted.iter().map(|(n, _)| n.as_str()))),
    };
    staged.into_iter().map(find).collect()
}

pub(crate) fn missing_column<'a>(name: &str, target: &Relation, there: impl IntoIterator<Item = &'a str>) -> Error {
    let e = Error::new(ErrorKind::NotFound, format!("{} has no column `{name}`", sql::relation(target)));
    let more = "add it there, run with --full-refresh, or set `on_schema_change`";
    e.hint(match suggest(name, there) {
        Some(h) => format!("{h} Otherwise {more}"),
        None => more.into(),
    })
}

/// Names and types, in the table's order.
pub(crate) async fn column_types(conn: &mut Conn, rel: &Relation) -> Result<Vec<(String, String)>> {
    let rows = conn
        .rows(&format!(
            "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute a \
             JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {} AND c.relname = {} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            sql::text(rel.schema.as_deref().unwrap_or_default()),
            sql::text(&rel.name)
        ))
        .await?;
    Ok(rows.iter().map(|r| (cell(r, 0).to_string(), cell(r, 1).to_string())).collect())
}

/// Adds who holds the lock to a lock timeout's error.
pub(crate) async fn who_holds(e: Error, conn: &mut Conn, target: &Relation) -> Error {
    if e.context().code.as_deref() != Some("55P03") {
        return e;
    }
    let name = sql::relation(target);
    let rows = conn
        .rows(&format!(
            "SELECT DISTINCT a.pid, a.usename, a.application_name, a.state FROM pg_catalog.pg_locks l \
             JOIN pg_catalog.pg_stat_activity a USING (pid) WHERE l.granted AND l.relation = to_regclass({}) AND a.pid <> pg_backend_pid() \
             ORDER BY 1 LIMIT 5",
            sql::text(&name)
        ))
        .await
        .unwrap_or_default();
    let who: Vec<String> = rows
        .iter()
        .map(|r| format!("process {} of {} ({}, {})", cell(r, 0), cell(r, 1), cell(r, 2), cell(r, 3)))
        .collect();
    let e = e.with_message(|m| format!("{name} is locked by another session: {m}"));
    if who.is_empty() { e } else { e.cause(format!("held by {}", who.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staging_names_are_unique_and_fit() {
        let t = Relation::new(None, Some("s"), "é".repeat(40));
        let names: std::collections::BTreeSet<String> = (0..100).map(|_| staging(&t).name).collect();
        assert_eq!(names.len(), 100);
        assert!(names.iter().all(|n| n.len() <= MAX_IDENTIFIER && n.starts_with("_xdb_new_")));
    }
}
