//! From the staging table to the target, in one step. Blocking.

use super::target::Staging;
use crate::dialect::{MYSQL, quote_text};
use crate::errors::server_code;
use crate::pool::Session;
use xdb_core::{Error, ErrorKind, Relation, RelationKind, Result, WriteMode};

/// Make the staged rows the target's. What else happened goes to `notes`.
pub(crate) fn commit(session: &mut Session, staging: &Staging, notes: &mut Vec<String>) -> Result<()> {
    match &staging.mode {
        WriteMode::Replace => {
            if staging.existing == Some(RelationKind::Table) {
                keep_keys(session, staging, notes)?;
            }
            swap(session, &staging.target, &staging.relation, &staging.old, notes)
        }
        WriteMode::Append => {
            staging.check_seconds(session)?;
            let columns = staging.column_list();
            let insert = format!(
                "INSERT INTO {} ({columns}) SELECT {columns} FROM {}",
                MYSQL.relation(&staging.target),
                MYSQL.relation(&staging.relation)
            );
            in_one_transaction(session, staging, &[insert])
        }
        WriteMode::Merge { unique_key } => {
            staging.check_seconds(session)?;
            merge(session, staging, unique_key)
        }
    }
}

fn run(session: &mut Session, sql: &str) -> Result<u16> {
    session.execute(sql).map(|d| d.warnings).map_err(|e| e.sql(sql))
}

fn in_one_transaction(session: &mut Session, staging: &Staging, statements: &[String]) -> Result<()> {
    run(session, "START TRANSACTION")?;
    let mut work = || {
        for sql in statements {
            if run(session, sql)? > 0 {
                staging.check_warnings(session, sql)?;
            }
        }
        run(session, "COMMIT").map(drop)
    };
    work().inspect_err(|_| {
        if session.is_idle() {
            let _ = session.execute("ROLLBACK");
        }
    })
}

fn merge(session: &mut Session, staging: &Staging, key: &[String]) -> Result<()> {
    let (target, stage) = (MYSQL.relation(&staging.target), MYSQL.relation(&staging.relation));
    let keys: Vec<String> = key.iter().map(|k| MYSQL.ident(k)).collect();
    let list = keys.join(", ");
    let not_null: Vec<String> = keys.iter().map(|k| format!("{k} IS NOT NULL")).collect();
    let is_text = |k: &String| staging.columns.iter().zip(&staging.texts).any(|(c, text)| *text && c == k);
    // Keys are equal where their bytes are; a unique key of the target that is less strict makes the insert fail.
    let bytes: Vec<String> = key
        .iter()
        .zip(&keys)
        .map(|(name, k)| if is_text(name) { format!("CAST({k} AS BINARY)") } else { k.clone() })
        .collect();
    let shown: Vec<String> = keys.iter().map(|k| format!("MIN({k})")).collect();
    let twice = format!(
        "SELECT {} FROM {stage} WHERE {} GROUP BY {} HAVING COUNT(*) > 1 LIMIT 1",
        shown.join(", "),
        not_null.join(" AND "),
        bytes.join(", ")
    );
    if let Some(row) = session.texts(&twice).map_err(|e| e.sql(&twice))?.into_iter().next() {
        let value: Vec<String> = row.into_iter().map(|v| v.unwrap_or_default()).collect();
        return Err(Error::new(
            ErrorKind::Sql,
            format!("two incoming rows have the key ({}) = ({})", key.join(", "), value.join(", ")),
        )
        .relation(staging.target.to_string())
        .hint("`unique_key` must be unique among the rows of the model: add a column to it, or deduplicate"));
    }
    // For the join; text without a length can't be indexed, and then the target's own index must do.
    if let Err(e) = run(session, &format!("ALTER TABLE {stage} ADD INDEX ({list})"))
        && server_code(&e).is_none()
    {
        return Err(e);
    }
    // The plain comparison is for the index.
    let on: Vec<String> = key
        .iter()
        .zip(&keys)
        .map(|(name, k)| {
            let plain = format!("t.{k} = s.{k}");
            if is_text(name) { format!("{plain} AND CAST(t.{k} AS BINARY) = CAST(s.{k} AS BINARY)") } else { plain }
        })
        .collect();
    let on = on.join(" AND ");
    let columns = staging.column_list();
    let values: Vec<String> = staging.columns.iter().map(|c| format!("s.{}", MYSQL.ident(c))).collect();
    let statements = if has_unique_key(session, staging, key)? {
        // The row stays the same row: columns that don't come in keep their values, and foreign keys their hold.
        let set: Vec<String> = staging
            .columns
            .iter()
            .filter(|c| !key.contains(c))
            .map(|c| format!("t.{0} = s.{0}", MYSQL.ident(c)))
            .collect();
        let update =
            (!set.is_empty()).then(|| format!("UPDATE {target} t JOIN {stage} s ON {on} SET {}", set.join(", ")));
        let insert = format!(
            "INSERT INTO {target} ({columns}) SELECT {} FROM {stage} s LEFT JOIN {target} t ON {on} WHERE t.{} IS NULL",
            values.join(", "),
            keys.first().map_or("", String::as_str)
        );
        update.into_iter().chain([insert]).collect()
    } else {
        vec![
            format!("DELETE t FROM {target} t JOIN {stage} s ON {on}"),
            format!("INSERT INTO {target} ({columns}) SELECT {} FROM {stage} s", values.join(", ")),
        ]
    };
    in_one_transaction(session, staging, &statements)
}

/// Does the target hold each key once?
fn has_unique_key(session: &mut Session, staging: &Staging, key: &[String]) -> Result<bool> {
    let sql = format!(
        "SELECT index_name, GROUP_CONCAT(column_name SEPARATOR '\\0') FROM information_schema.statistics \
         WHERE table_schema = {} AND table_name = {} AND non_unique = 0 AND sub_part IS NULL GROUP BY index_name",
        quote_text(staging.target.schema.as_deref().unwrap_or_default()),
        quote_text(&staging.target.name)
    );
    let mut wanted: Vec<&str> = key.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    let rows = session.texts(&sql).map_err(|e| e.sql(&sql))?;
    Ok(rows.into_iter().any(|r| {
        let columns = r.get(1).cloned().flatten().unwrap_or_default();
        let mut columns: Vec<&str> = columns.split('\0').collect();
        columns.sort_unstable();
        columns == wanted
    }))
}

/// Give the new table the keys of the old one; after the load, which is faster without them.
fn keep_keys(session: &mut Session, staging: &Staging, notes: &mut Vec<String>) -> Result<()> {
    let old = MYSQL.relation(&staging.target);
    let new = MYSQL.relation(&staging.relation);
    let rows = session.texts(&format!("SHOW CREATE TABLE {old}"))?;
    let text = rows.into_iter().next().and_then(|r| r.into_iter().nth(1).flatten()).unwrap_or_default();
    let keys = key_clauses(&text);
    if keys.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = keys.iter().map(|k| format!("ADD {k}")).collect();
    match run(session, &format!("ALTER TABLE {new} {}", all.join(", "))) {
        Ok(_) => return Ok(()),
        Err(e) if server_code(&e).is_none() => return Err(e),
        Err(_) => {}
    }
    // Together they fail: see which ones do by themselves.
    for key in keys {
        match run(session, &format!("ALTER TABLE {new} ADD {key}")) {
            Ok(_) => {}
            Err(e) if server_code(&e).is_none() => return Err(e),
            Err(e) => notes.push(format!("{} was not made again on {}: {}", key, staging.target, e.message())),
        }
    }
    Ok(())
}

/// The lines of SHOW CREATE TABLE that define keys, as ALTER TABLE … ADD takes them.
fn key_clauses(create: &str) -> Vec<String> {
    const STARTS: &[&str] = &["PRIMARY KEY", "UNIQUE KEY", "KEY", "FULLTEXT KEY", "SPATIAL KEY"];
    create
        .lines()
        .map(|l| l.trim().trim_end_matches(','))
        .filter(|l| STARTS.iter().any(|s| l.strip_prefix(s).is_some_and(|r| r.starts_with(' '))))
        .map(str::to_string)
        .collect()
}

/// `new` becomes `target`; what was there goes by the name of `old` and is dropped. Readers see one or the other: RENAME
/// TABLE is atomic (<https://dev.mysql.com/doc/refman/8.4/en/rename-table.html>).
pub(crate) fn swap(
    session: &mut Session,
    target: &Relation,
    new: &Relation,
    old: &Relation,
    notes: &mut Vec<String>,
) -> Result<()> {
    let existing = crate::catalog::find(session, target)?.map(|f| f.1);
    let (t, n, o) = (MYSQL.relation(target), MYSQL.relation(new), MYSQL.relation(old));
    let Some(kind) = existing else {
        return run(session, &format!("RENAME TABLE {n} TO {t}")).map(drop);
    };
    if kind == RelationKind::Table {
        let sql = format!(
            "SELECT trigger_name FROM information_schema.triggers WHERE event_object_schema = {} AND event_object_table = {}",
            quote_text(target.schema.as_deref().unwrap_or_default()),
            quote_text(&target.name)
        );
        for trigger in session.texts(&sql).map_err(|e| e.sql(&sql))?.into_iter().flatten().flatten() {
            notes.push(format!("the trigger {trigger} went with the old {target}"));
        }
    }
    run(session, &format!("RENAME TABLE {t} TO {o}, {n} TO {t}"))?;
    let drop = if kind == RelationKind::View { format!("DROP VIEW {o}") } else { format!("DROP TABLE {o}") };
    // The new one is in place; a later run removes the old one.
    if let Err(e) = run(session, &drop) {
        notes.push(format!("the old {target} could not be removed ({}): it is now {old}", e.message()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn keys_are_taken_from_show_create_table() {
        let text = "CREATE TABLE `t` (\n  `KEY` int(11) NOT NULL,\n  `b` varchar(9) DEFAULT NULL COMMENT 'PRIMARY KEY (x),',\n  \
                    PRIMARY KEY (`KEY`),\n  UNIQUE KEY `u` (`b`(3)),\n  KEY `k` (`b`,`KEY`) USING BTREE,\n  \
                    CONSTRAINT `f` FOREIGN KEY (`b`) REFERENCES `x` (`y`)\n) ENGINE=InnoDB";
        assert_eq!(
            key_clauses(text),
            ["PRIMARY KEY (`KEY`)", "UNIQUE KEY `u` (`b`(3))", "KEY `k` (`b`,`KEY`) USING BTREE"]
        );
    }
}
