//! What is in the database: `list` and `describe`.

use crate::config::Settings;
use crate::dialect::{SQLITE, relation_sql};
use crate::error::plain;
use crate::pushdown::NOT_UTF8;
use crate::types::{Kind, declared_kind};
use arrow::datatypes::Schema;
use rusqlite::Connection;
use std::sync::Arc;
use xdb_core::names::{STAGING_PREFIX, suggest};
use xdb_core::{
    ColumnInfo, Error, Relation, RelationInfo, RelationKind, RelationPattern, Result, ResultExt, TableInfo,
};

/// How many rows decide the type of a column whose declaration doesn't.
pub(crate) const PROBE_ROWS: usize = 1000;

pub(crate) fn list(conn: &Connection, pattern: &RelationPattern) -> Result<Vec<RelationInfo>> {
    // `shadow` tables belong to virtual ones.
    let sql = "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type <> 'shadow' \
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name COLLATE BINARY";
    let mut stmt = conn.prepare(sql).map_err(plain)?;
    let rows = stmt.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?))).map_err(plain)?;
    let mut out = Vec::new();
    for row in rows {
        let (name, kind) = row.map_err(plain)?;
        if name.starts_with(STAGING_PREFIX) || !pattern.matches(Some("main"), &name) {
            continue;
        }
        let row_estimate = analyzed_rows(conn, &name);
        out.push(RelationInfo { relation: resolve(&Relation::bare(name)), kind: relation_kind(&kind), row_estimate });
    }
    Ok(out)
}

pub(crate) fn resolve(rel: &Relation) -> Relation {
    Relation { database: None, schema: Some(rel.schema.clone().unwrap_or("main".into())), name: rel.name.clone() }
}

fn relation_kind(kind: &str) -> RelationKind {
    match kind {
        "view" => RelationKind::View,
        // A virtual table's rows are some module's: FTS, R-Tree.
        "virtual" => RelationKind::Foreign,
        _ => RelationKind::Table,
    }
}

/// One column as SQLite declares it.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) declared: String,
    pub(crate) not_null: bool,
    /// 1-based place in the primary key; 0: not in it.
    pub(crate) key: usize,
    pub(crate) generated: bool,
}

/// The relation's exact name (SQLite ignores the case of ASCII letters) and kind.
pub(crate) fn find(conn: &Connection, rel: &Relation) -> Result<Option<(String, RelationKind)>> {
    let mut stmt = conn
        .prepare("SELECT name, type FROM pragma_table_list WHERE schema = ?1 AND lower(name) = lower(?2)")
        .map_err(plain)?;
    let schema = rel.schema.as_deref().unwrap_or("main");
    let mut rows = stmt.query([schema, rel.name.as_str()]).map_err(plain)?;
    match rows.next().map_err(plain)? {
        None => Ok(None),
        Some(r) => {
            let (name, kind): (String, String) = (r.get(0).map_err(plain)?, r.get(1).map_err(plain)?);
            Ok(Some((name, relation_kind(&kind))))
        }
    }
}

pub(crate) fn missing(conn: &Connection, s: &Settings, rel: &Relation) -> Error {
    let e = Error::not_found(format!("there is no table or view `{}` in `{}`", rel.name, s.connection))
        .relation(rel.to_string());
    let names = list(conn, &RelationPattern::default()).unwrap_or_default();
    match suggest(&rel.name, names.iter().map(|r| r.relation.name.as_str())) {
        Some(h) => e.hint(h),
        None => e.hint("the database has no tables yet"),
    }
}

pub(crate) fn columns(conn: &Connection, schema: &str, table: &str) -> Result<Vec<Declared>> {
    let mut stmt = conn
        .prepare("SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?1, ?2) ORDER BY cid")
        .map_err(plain)?;
    let rows = stmt
        .query_map([table, schema], |r| {
            let hidden: i64 = r.get(4)?;
            let c = Declared {
                name: r.get(0)?,
                declared: r.get::<_, Option<String>>(1)?.unwrap_or_default(),
                not_null: r.get::<_, i64>(2)? != 0,
                key: r.get::<_, i64>(3)? as usize,
                generated: hidden >= 2,
            };
            // 1: a virtual table's hidden column, which `SELECT *` leaves out too.
            Ok((hidden != 1).then_some(c))
        })
        .map_err(plain)?;
    rows.filter_map(|r| r.map_err(plain).transpose()).collect()
}

pub(crate) fn describe(conn: &Connection, s: &Settings, rel: &Relation) -> Result<TableInfo> {
    let rel = resolve(rel);
    let Some((name, kind)) = find(conn, &rel)? else { return Err(missing(conn, s, &rel)) };
    let relation = Relation { name, ..rel };
    let schema = relation.schema.as_deref().unwrap_or("main");
    // A view over a dropped table has no columns to tell: SQLite says so here.
    let declared = columns(conn, schema, &relation.name).on_relation(&relation)?;
    let utf8: bool = conn.query_row("PRAGMA encoding", [], |r| Ok(r.get::<_, String>(0)? == "UTF-8")).map_err(plain)?;

    let mut kinds: Vec<Option<Kind>> = declared.iter().map(|c| kind_of(c, kind)).collect();
    let unknown: Vec<usize> = (0..kinds.len()).filter(|i| kinds[*i].is_none()).collect();
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.iter().map(|i| SQLITE.ident(&declared[*i].name)).collect();
        let from = format!("(SELECT * FROM {} LIMIT {PROBE_ROWS})", relation_sql(&relation));
        for (i, k) in unknown.iter().zip(probe(conn, &names, &from).on_relation(&relation)?) {
            kinds[*i] = Some(k.kind());
        }
    }
    let fields: Vec<_> =
        declared.iter().zip(&kinds).map(|(c, k)| k.unwrap_or(Kind::Text).field(&c.name, &c.declared)).collect();

    let mut keys: Vec<&Declared> = declared.iter().filter(|c| c.key > 0).collect();
    keys.sort_by_key(|c| c.key);
    let columns = declared
        .iter()
        .zip(&kinds)
        .map(|(c, k)| {
            let collation = match k {
                Some(Kind::Text | Kind::Uuid | Kind::Json) => {
                    Some(collation(conn, schema, &relation.name, &c.name, utf8))
                }
                _ => None,
            };
            ColumnInfo {
                name: c.name.clone(),
                source_type: c.declared.clone(),
                nullable: !c.not_null,
                binary_equality: collation.as_deref().is_none_or(|c| c.starts_with("BINARY")),
                collation,
                comment: None,
            }
        })
        .collect();
    let row_estimate = match kind {
        RelationKind::Table => analyzed_rows(conn, &relation.name).or_else(|| rowid_span(conn, &relation)),
        _ => None,
    };
    Ok(TableInfo {
        primary_key: keys.iter().map(|c| c.name.clone()).collect(),
        relation,
        kind,
        schema: Arc::new(Schema::new(fields)),
        columns,
        row_estimate,
        bytes_estimate: None,
    })
}

/// In a view only names that SQLite cannot have made up itself are believed: for an expression it gives the affinity it
/// guesses as the type (`NUM`, `BLOB`).
fn kind_of(c: &Declared, relation: RelationKind) -> Option<Kind> {
    if relation == RelationKind::View && matches!(c.declared.as_str(), "NUM" | "BLOB" | "") {
        return None;
    }
    declared_kind(&c.declared)
}

/// What some rows of a column store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) integer: bool,
    pub(crate) real: bool,
    pub(crate) text: bool,
    pub(crate) blob: bool,
}
impl Seen {
    pub(crate) fn add(&mut self, v: rusqlite::types::ValueRef<'_>) {
        use rusqlite::types::ValueRef as V;
        match v {
            V::Null => {}
            V::Integer(_) => self.integer = true,
            V::Real(_) => self.real = true,
            V::Text(_) => self.text = true,
            V::Blob(_) => self.blob = true,
        }
    }
    /// The type that as many of these as possible fit; text where there is nothing to go by.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self { text: true, .. } => Kind::Text,
            Self { blob: true, .. } => Kind::Binary,
            Self { real: true, .. } => Kind::Float,
            Self { integer: true, .. } => Kind::Int,
            _ => Kind::Text,
        }
    }
}

/// What the rows of `from` store in each of `columns` (both ready SQL).
pub(crate) fn probe(conn: &Connection, columns: &[String], from: &str) -> Result<Vec<Seen>> {
    let parts: Vec<String> = columns
        .iter()
        .flat_map(|c| ["integer", "real", "text", "blob"].map(|t| format!("max(typeof({c}) = '{t}')")))
        .collect();
    let sql = format!("SELECT {} FROM {from}", parts.join(", "));
    conn.query_row(&sql, [], |r| {
        (0..columns.len())
            .map(|i| {
                let has = |k: usize| Ok::<_, rusqlite::Error>(r.get::<_, Option<bool>>(i * 4 + k)?.unwrap_or(false));
                Ok(Seen { integer: has(0)?, real: has(1)?, text: has(2)?, blob: has(3)? })
            })
            .collect()
    })
    .map_err(plain)
    .with_sql(&sql)
}

/// The column's collation. A view's column has one SQLite doesn't tell: named `?`, and treated as not binary.
fn collation(conn: &Connection, schema: &str, table: &str, column: &str, utf8: bool) -> String {
    let name = conn
        .column_metadata(Some(schema), table, column)
        .ok()
        .and_then(|m| m.1.and_then(|c| c.to_str().ok()).map(str::to_string))
        .unwrap_or_else(|| "?".into());
    if utf8 { name } else { format!("{name}{NOT_UTF8}") }
}

/// From the last `ANALYZE`: the first number of any of the table's entries
/// (<https://www.sqlite.org/fileformat2.html#stat1tab>).
fn analyzed_rows(conn: &Connection, table: &str) -> Option<u64> {
    let sql = "SELECT max(CAST(stat AS INTEGER)) FROM main.sqlite_stat1 WHERE tbl = ?1";
    conn.query_row(sql, [table], |r| r.get::<_, Option<i64>>(0)).ok().flatten().and_then(|n| u64::try_from(n).ok())
}

/// The distance between the first and the last rowid: no fewer rows than that in a table that never lost any.
fn rowid_span(conn: &Connection, rel: &Relation) -> Option<u64> {
    let t = relation_sql(rel);
    let sql = format!("SELECT (SELECT max(_rowid_) FROM {t}), (SELECT min(_rowid_) FROM {t})");
    conn.query_row(&sql, [], |r| Ok((r.get::<_, Option<i64>>(0)?, r.get::<_, Option<i64>>(1)?))).ok().and_then(
        |(max, min)| match (max, min) {
            (Some(a), Some(b)) => u64::try_from(i128::from(a) - i128::from(b) + 1).ok(),
            _ => Some(0),
        },
    )
}
