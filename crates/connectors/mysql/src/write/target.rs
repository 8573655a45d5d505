//! The staging table: its columns, its making, and the statements that fill it. Blocking.

use crate::catalog;
use crate::dialect::{MAX_IDENTIFIER, MYSQL, quote_text};
use crate::errors::server_code;
use crate::pool::Session;
use crate::types;
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use xdb_core::names::staging_name;
use xdb_core::{
    ColumnInfo, Error, ErrorKind, Fidelity, LoadOptions, Relation, RelationKind, Result, TableInfo, TypePolicy,
    WriteMode,
};

/// Hex digits that make a staging table's name unique.
const RUN: usize = 8;

/// What is written where.
#[derive(Debug)]
pub(crate) struct Staging {
    /// Fully resolved, as are the others.
    pub(crate) target: Relation,
    pub(crate) relation: Relation,
    /// Where the old target goes during the swap.
    pub(crate) old: Relation,
    /// The target's names of the incoming columns, in their order.
    pub(crate) columns: Vec<String>,
    pub(crate) mode: WriteMode,
    pub(crate) policy: TypePolicy,
    /// LOAD DATA LOCAL, not INSERT.
    pub(crate) local_infile: bool,
    /// The target before the load.
    pub(crate) existing: Option<RelationKind>,
    /// BIT columns take numbers only through an expression.
    bits: Vec<bool>,
    /// Columns that compare by a collation.
    pub(crate) texts: Vec<bool>,
    /// Target columns with fewer than six digits of a second: name and digits.
    seconds: Vec<(String, u32)>,
}

impl Staging {
    /// Check that the load can work and make the table. `session` must be kept until the load is over: it holds the lock
    /// that tells others that the table is in use.
    pub(crate) fn create(
        session: &mut Session,
        target: &Relation,
        schema: &SchemaRef,
        options: &LoadOptions,
        local_infile: bool,
    ) -> Result<Self> {
        let database = database_of(target)?;
        if schema.fields().is_empty() {
            return Err(Error::unsupported("MySQL has no tables without columns").relation(target.to_string()));
        }
        check_types(schema, options.types)?;
        ensure_database(session, database)?;
        let found = catalog::find(session, target)?;
        let existing = found.as_ref().map(|f| f.1);
        let (new, old) = two_names(target);
        let mut out = Self {
            target: target.clone(),
            relation: new,
            old,
            columns: schema.fields().iter().map(|f| f.name().clone()).collect(),
            mode: options.mode.clone(),
            policy: options.types,
            local_infile: local_infile && session.server.local_infile,
            existing,
            bits: vec![false; schema.fields().len()],
            texts: vec![false; schema.fields().len()],
            seconds: vec![],
        };
        let definitions = match &options.mode {
            WriteMode::Replace => {
                refuse_referenced(session, target)?;
                xdb_sql::column_defs(&crate::DEF, schema)?
                    .iter()
                    .map(|c| {
                        let server = &session.server;
                        let sql = types::without_padding(&c.target.sql, server.mariadb, &server.version);
                        format!("{} {sql}", MYSQL.ident(&c.name))
                    })
                    .collect::<Vec<_>>()
            }
            WriteMode::Append | WriteMode::Merge { .. } => {
                if existing != Some(RelationKind::Table) {
                    return Err(nothing_to_add_to(target, existing));
                }
                let info = catalog::describe(session, target, false)?;
                out.like_target(&info, schema)?
            }
        };
        out.make(session, &format!("({}) DEFAULT CHARACTER SET utf8mb4", definitions.join(", ")))?;
        Ok(out)
    }

    /// As [`Staging::create`], filled with the rows of `select` at once: the table, and how many rows.
    pub(crate) fn create_as(
        session: &mut Session,
        target: &Relation,
        select: &str,
        options: &LoadOptions,
    ) -> Result<(Self, u64)> {
        let database = database_of(target)?;
        ensure_database(session, database)?;
        let existing = catalog::find(session, target)?.map(|f| f.1);
        let (new, old) = two_names(target);
        let mut out = Self {
            target: target.clone(),
            relation: new,
            old,
            columns: vec![],
            mode: options.mode.clone(),
            policy: options.types,
            local_infile: false,
            existing,
            bits: vec![],
            texts: vec![],
            seconds: vec![],
        };
        match &options.mode {
            WriteMode::Replace => refuse_referenced(session, target)?,
            _ if existing != Some(RelationKind::Table) => return Err(nothing_to_add_to(target, existing)),
            _ => {}
        }
        let rows = out.make(session, &format!("DEFAULT CHARACTER SET utf8mb4 AS {select}"))?;
        if options.mode != WriteMode::Replace {
            let ours = catalog::describe(session, &out.relation, false)?;
            let theirs = catalog::describe(session, target, false)?;
            out.columns = ours.columns.iter().map(|c| c.name.clone()).collect();
            out.bits = vec![false; out.columns.len()];
            out.texts = vec![false; out.columns.len()];
            let checked = out.like_target(&theirs, &ours.schema);
            if let Err(e) = checked {
                let _ = session.execute(&format!("DROP TABLE IF EXISTS {}", MYSQL.relation(&out.relation)));
                return Err(e);
            }
        }
        Ok((out, rows))
    }

    /// Lock the name, sweep what a dead run left, create. Rows that came with it.
    fn make(&self, session: &mut Session, definition: &str) -> Result<u64> {
        session.texts(&format!("SELECT GET_LOCK({}, 0)", quote_text(&self.relation.name)))?;
        remove_stale(session, database_of(&self.relation)?, &self.relation.name)?;
        let sql = format!("CREATE TABLE {} {definition}", MYSQL.relation(&self.relation));
        session.execute(&sql).map(|d| d.affected).map_err(|e| e.sql(&sql))
    }

    /// Columns of the target's own types, so that what doesn't fit fails before the target is touched, and keys compare as
    /// they do there.
    fn like_target(&mut self, info: &TableInfo, schema: &Schema) -> Result<Vec<String>> {
        let mut definitions = vec![];
        for (i, f) in schema.fields().iter().enumerate() {
            let found =
                info.columns.iter().zip(info.schema.fields()).find(|(c, _)| c.name == *f.name()).or_else(|| {
                    // Column names are compared without regard to case.
                    info.columns.iter().zip(info.schema.fields()).find(|(c, _)| c.name.eq_ignore_ascii_case(f.name()))
                });
            let Some((column, theirs)) = found else {
                return Err(Error::not_found(format!("{} has no column `{}`", info.relation, f.name()))
                    .relation(info.relation.to_string())
                    .hint("run with --full-refresh, or set `on_schema_change`"));
            };
            if !fits(f.data_type(), theirs.data_type()) && self.policy == TypePolicy::Exact {
                return Err(Error::new(
                    ErrorKind::Type,
                    format!("column `{}`: {} does not fit in `{}`", f.name(), f.data_type(), column.source_type),
                )
                .relation(info.relation.to_string())
                .hint("cast the column in SQL, run with --full-refresh, or set `types: lossy`"));
            }
            self.texts[i] = column.collation.is_some();
            self.bits[i] = column.source_type.starts_with("bit");
            if let Some(digits) = fraction_digits(column).filter(|d| *d < 6) {
                self.seconds.push((column.name.clone(), digits));
            }
            definitions.push(format!("{} {}", MYSQL.ident(&column.name), definition(column)));
            self.columns[i] = column.name.clone();
        }
        if let WriteMode::Merge { unique_key } = &mut self.mode {
            for key in unique_key {
                match self.columns.iter().find(|c| c.eq_ignore_ascii_case(key)) {
                    Some(c) => *key = c.clone(),
                    None => {
                        return Err(Error::config(format!(
                            "`unique_key` names `{key}`, which is no column of the rows"
                        )));
                    }
                }
            }
        }
        Ok(definitions)
    }

    pub(crate) fn column_list(&self) -> String {
        self.columns.iter().map(|c| MYSQL.ident(c)).collect::<Vec<_>>().join(", ")
    }
    pub(crate) fn load_sql(&self) -> String {
        let mut fields = vec![];
        let mut set = vec![];
        for (i, c) in self.columns.iter().enumerate() {
            if self.bits[i] {
                fields.push(format!("@xdb{i}"));
                set.push(format!("{} = CAST(@xdb{i} AS UNSIGNED)", MYSQL.ident(c)));
            } else {
                fields.push(MYSQL.ident(c));
            }
        }
        let set = if set.is_empty() { String::new() } else { format!(" SET {}", set.join(", ")) };
        format!(
            "LOAD DATA LOCAL INFILE 'xdb' INTO TABLE {} CHARACTER SET binary FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' \
             LINES TERMINATED BY '\\n' ({}){set}",
            MYSQL.relation(&self.relation),
            fields.join(", ")
        )
    }
    /// Up to and with `VALUES `.
    pub(crate) fn insert_sql(&self) -> String {
        format!("INSERT INTO {} ({}) VALUES ", MYSQL.relation(&self.relation), self.column_list())
    }

    /// Whatever the server warned of is an error: it changed a value.
    pub(crate) fn check_warnings(&self, session: &mut Session, sql: &str) -> Result<()> {
        let rows = session.texts("SHOW WARNINGS LIMIT 20")?;
        let mut said = rows.into_iter().filter_map(|r| {
            let [level, code, text] = <[Option<String>; 3]>::try_from(r).ok()?;
            Some((level?, code?.parse::<u16>().ok()?, text?))
        });
        let Some((_, code, text)) = said.find(|(_, code, _)| !harmless(*code)) else { return Ok(()) };
        // Under `types: lossy` a value may change on its way into a column of the target.
        if self.policy == TypePolicy::Lossy && matches!(code, 1264 | 1265 | 1292 | 1366 | 1406) {
            return Ok(());
        }
        Err(crate::errors::server_error(code, "01000", &text)
            .sql(sql)
            .hint("cast the column in SQL, or set `types: lossy` to accept the loss"))
    }

    /// Fractions of a second that a column of the target would round away without a word.
    pub(crate) fn check_seconds(&self, session: &mut Session) -> Result<()> {
        if self.policy == TypePolicy::Lossy {
            return Ok(());
        }
        for (name, digits) in &self.seconds {
            let c = MYSQL.ident(name);
            let sql = format!(
                "SELECT {c} FROM {} WHERE MICROSECOND({c}) % {} <> 0 LIMIT 1",
                MYSQL.relation(&self.relation),
                10u32.pow(6 - digits)
            );
            if let Some(v) = session.texts(&sql).map_err(|e| e.sql(&sql))?.into_iter().flatten().flatten().next() {
                let why = format!("has more than the {digits} digits of a second that the target column holds");
                return Err(Error::inexact(name, v, why));
            }
        }
        Ok(())
    }
}

fn database_of(rel: &Relation) -> Result<&str> {
    rel.schema.as_deref().ok_or_else(|| {
        Error::config(format!("no database to write {rel} to")).hint("set `database` in the profile, or `schema`")
    })
}
fn nothing_to_add_to(target: &Relation, existing: Option<RelationKind>) -> Error {
    let what = if existing.is_some() { "is a view" } else { "does not exist" };
    Error::not_found(format!("{target} {what}: rows cannot be added to it"))
        .relation(target.to_string())
        .hint("run with --full-refresh to make it")
}
/// Names for the new table and for the old one while they change places.
pub(crate) fn two_names(target: &Relation) -> (Relation, Relation) {
    let run = format!("{:0RUN$x}", fastrand() & 0xFFFF_FFFF);
    let name =
        |tag| Relation::new(None, target.schema.as_deref(), staging_name(tag, &run, &target.name, MAX_IDENTIFIER));
    (name("new"), name("old"))
}

/// Warnings that say nothing about values.
fn harmless(code: u16) -> bool {
    // Deprecated syntax or character sets.
    matches!(code, 1287 | 1681 | 3719 | 3778)
}

/// Enough to tell two runs apart; nothing depends on it being hard to guess.
fn fastrand() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

fn check_types(schema: &Schema, policy: TypePolicy) -> Result<()> {
    for (f, c) in schema.fields().iter().zip(xdb_sql::column_defs(&crate::DEF, schema)?) {
        let interval = matches!(f.data_type(), DataType::Interval(_));
        if interval && c.target.fidelity == Fidelity::Lossy && policy == TypePolicy::Exact {
            return Err(Error::new(ErrorKind::Type, format!("column `{}`: MySQL has no interval type", f.name()))
                .hint("cast the column in SQL, or set `types: lossy` to write intervals as text"));
        }
    }
    Ok(())
}

pub(crate) fn ensure_database(session: &mut Session, database: &str) -> Result<()> {
    let sql = format!("SELECT 1 FROM information_schema.schemata WHERE schema_name = {}", quote_text(database));
    if session.texts(&sql)?.is_empty() {
        let sql = format!("CREATE DATABASE IF NOT EXISTS {} CHARACTER SET utf8mb4", MYSQL.ident(database));
        session.execute(&sql).map_err(|e| {
            e.sql(&sql).hint(format!("create the database `{database}`, or check its spelling in the profile or model"))
        })?;
    }
    Ok(())
}

/// Foreign keys of other tables follow a table that is renamed away, and would then hold on to the old one.
pub(crate) fn refuse_referenced(session: &mut Session, target: &Relation) -> Result<()> {
    let sql = format!(
        "SELECT constraint_schema, table_name FROM information_schema.referential_constraints \
         WHERE unique_constraint_schema = {} AND referenced_table_name = {} LIMIT 1",
        quote_text(target.schema.as_deref().unwrap_or_default()),
        quote_text(&target.name)
    );
    match session.texts(&sql).map_err(|e| e.sql(&sql))?.into_iter().next() {
        None => Ok(()),
        Some(row) => {
            let by: Vec<String> = row.into_iter().flatten().collect();
            Err(Error::unsupported(format!(
                "{target} cannot be replaced: a foreign key of {} refers to it",
                by.join(".")
            ))
            .relation(target.to_string())
            .hint("drop the foreign key, or use `materialized: incremental`"))
        }
    }
}

/// Tables that a run which died has left for this target. One that is being filled is locked by its name.
fn remove_stale(session: &mut Session, database: &str, own: &str) -> Result<()> {
    let sql = format!(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = {} AND table_type = 'BASE TABLE' \
         AND (table_name LIKE '\\_xdb\\_new\\_%' OR table_name LIKE '\\_xdb\\_old\\_%')",
        quote_text(database)
    );
    let rest = |n: &str| n.get("_xdb_new_".len() + RUN..).map(str::to_string);
    for name in session.texts(&sql).map_err(|e| e.sql(&sql))?.into_iter().flatten().flatten() {
        if name == own || rest(&name) != rest(own) {
            continue;
        }
        let free =
            session.texts(&format!("SELECT IS_FREE_LOCK({})", quote_text(&name.replacen("_old_", "_new_", 1))))?;
        if free.first().and_then(|r| r.first()?.as_deref()) == Some("1") {
            let drop = format!("DROP TABLE IF EXISTS {}", MYSQL.relation(&Relation::new(None, Some(database), &name)));
            // Somebody else may be just as busy with it.
            match session.execute(&drop) {
                Err(e) if server_code(&e).is_none() => return Err(e),
                _ => {}
            }
        }
    }
    Ok(())
}

fn fraction_digits(c: &ColumnInfo) -> Option<u32> {
    let t = &c.source_type;
    let base = t.split('(').next()?;
    if !matches!(base.trim(), "datetime" | "timestamp" | "time") {
        return None;
    }
    Some(t.split(['(', ')']).nth(1).and_then(|d| d.parse().ok()).unwrap_or(0))
}

/// The staging column for a column of the target.
fn definition(c: &ColumnInfo) -> String {
    let t = if fraction_digits(c).is_some() {
        format!("{}(6)", c.source_type.split('(').next().unwrap_or("datetime").trim())
    } else {
        c.source_type.clone()
    };
    match &c.collation {
        Some(collation) => {
            let charset = collation.split('_').next().unwrap_or("utf8mb4");
            // MariaDB's uca1400 collations belong to any character set.
            if charset == "uca1400" {
                format!("{t} NULL")
            } else {
                format!("{t} CHARACTER SET {charset} COLLATE {collation} NULL")
            }
        }
        None => format!("{t} NULL"),
    }
}

/// Every value of `from` can go to a column that reads as `to`, or the server says by an error or a warning which one
/// cannot. What it would round or cut in silence does not fit.
pub(crate) fn fits(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    let scale = |t: &D| match t {
        D::Decimal32(_, s) | D::Decimal64(_, s) | D::Decimal128(_, s) | D::Decimal256(_, s) => Some((*s).max(0)),
        t if t.is_integer() || matches!(t, D::Boolean | D::Duration(_)) => Some(0),
        _ => None,
    };
    match (from, to) {
        (D::Dictionary(_, v), to) => fits(v, to),
        (D::RunEndEncoded(_, v), to) => fits(v.data_type(), to),
        (D::Null, _) => true,
        (a, D::Utf8) => matches!(a, D::Utf8 | D::LargeUtf8 | D::Utf8View | D::Interval(_)) || a.is_nested(),
        (D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_), D::Binary) => true,
        (D::Date32, D::Date32 | D::Timestamp(_, None)) => true,
        (D::Date64 | D::Timestamp(_, None), D::Timestamp(_, None)) => true,
        // Written in UTC, as a column without a zone that xdb made holds it.
        (D::Timestamp(_, Some(_)), D::Timestamp(..)) => true,
        (D::Time32(_) | D::Time64(_), D::Time64(TimeUnit::Microsecond)) => true,
        (D::Float16 | D::Float32, D::Float32 | D::Float64) | (D::Float64, D::Float64) => true,
        // Larger ones lose their last digits.
        (D::Boolean | D::Int8 | D::Int16 | D::Int32 | D::UInt8 | D::UInt16 | D::UInt32, D::Float64) => true,
        // A number out of range is an error in strict mode; digits behind the point are rounded with a note at most.
        (a, b) => matches!((scale(a), scale(b)), (Some(from), Some(to)) if from <= to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn what_fits_where() {
        use DataType as D;
        for (a, b, want) in [
            (D::Int64, D::Int32, true),
            (D::UInt64, D::Int64, true),
            (D::Boolean, D::Int8, true),
            (D::Int32, D::Decimal128(11, 2), true),
            (D::Decimal128(10, 2), D::Decimal128(12, 4), true),
            (D::Decimal128(10, 2), D::Decimal128(12, 1), false),
            (D::Decimal128(30, 0), D::Int64, true),
            (D::Decimal128(30, 1), D::Int64, false),
            (D::Float64, D::Int64, false),
            (D::Float64, D::Decimal128(10, 2), false),
            (D::Int64, D::Float64, false),
            (D::Int32, D::Float64, true),
            (D::Float64, D::Float32, false),
            (D::Utf8View, D::Utf8, true),
            (D::Int32, D::Utf8, false),
            (D::Utf8, D::Int32, false),
            (D::Utf8, D::Date32, false),
            (D::Timestamp(TimeUnit::Microsecond, None), D::Date32, false),
            (D::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), D::Timestamp(TimeUnit::Microsecond, None), true),
            (D::Timestamp(TimeUnit::Microsecond, None), D::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
            (D::Null, D::Int8, true),
        ] {
            assert_eq!(fits(&a, &b), want, "{a} in {b}");
        }
    }
}
