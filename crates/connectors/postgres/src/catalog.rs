//! What there is: relations, columns, types, keys, sizes. Read from pg_catalog, which everybody may read
//! (<https://www.postgresql.org/docs/current/catalogs.html>).

use crate::kind::{ENCODING_KEY, Kind, PgType, TypeMap, Unknown};
use crate::pool::{Conn, TextRow};
use crate::sql;
use arrow::datatypes::{Field, Schema};
use std::sync::{Arc, Mutex};
use xdb_core::names::{STAGING_PREFIX, suggest};
use xdb_core::{
    ColumnInfo, Error, ErrorKind, Relation, RelationInfo, RelationKind, RelationPattern, Result, TableInfo,
};

/// Types that were looked up, kept for the life of the connector: an OID never changes its meaning while it exists, and
/// is given out again only after four thousand million others.
#[derive(Debug, Default)]
pub(crate) struct Types(Mutex<TypeMap>);

impl Types {
    /// Kinds of (type, typmod) pairs.
    pub(crate) async fn kinds(&self, conn: &mut Conn, wanted: &[(u32, i32)]) -> Result<Vec<Kind>> {
        loop {
            let mut missing = Vec::new();
            let kinds: Vec<Kind> = {
                let known = self.0.lock().unwrap_or_else(|p| p.into_inner());
                let resolve = |(oid, typmod): &(u32, i32)| match Kind::resolve(*oid, *typmod, &known) {
                    Ok(k) => Some(k),
                    Err(Unknown(oid)) => {
                        missing.push(oid.to_string());
                        None
                    }
                };
                wanted.iter().filter_map(resolve).collect()
            };
            if missing.is_empty() {
                return Ok(kinds);
            }
            // int2vector and oidvector call themselves arrays, but count from 0 and print otherwise.
            let sql = format!(
                "SELECT oid, typname, typtype, typbasetype, typtypmod, \
                 CASE WHEN typcategory = 'A' AND typlen = -1 AND oid NOT IN (22, 30) THEN typelem ELSE 0 END \
                 FROM pg_catalog.pg_type WHERE oid IN ({})",
                missing.join(", ")
            );
            let rows = conn.rows(&sql).await?;
            let mut known = self.0.lock().unwrap_or_else(|p| p.into_inner());
            for oid in missing {
                let Ok(oid) = oid.parse::<u32>() else { continue };
                let row = rows.iter().find(|r| number::<u32>(r, 0) == Some(oid));
                // A type that is gone meanwhile: read its text; the statement itself will fail with the true reason.
                let t =
                    row.map_or(PgType { name: String::new(), typtype: 'b', base: 0, base_typmod: -1, elem: 0 }, |r| {
                        PgType {
                            name: cell(r, 1).into(),
                            typtype: cell(r, 2).chars().next().unwrap_or('b'),
                            base: number(r, 3).unwrap_or(0),
                            base_typmod: number(r, 4).unwrap_or(-1),
                            elem: number(r, 5).unwrap_or(0),
                        }
                    });
                known.insert(oid, t);
            }
        }
    }
}

pub(crate) fn cell(row: &TextRow, i: usize) -> &str {
    row.get(i).and_then(|c| c.as_deref()).unwrap_or("")
}
pub(crate) fn flag(row: &TextRow, i: usize) -> bool {
    cell(row, i) == "t"
}
pub(crate) fn number<T: std::str::FromStr>(row: &TextRow, i: usize) -> Option<T> {
    cell(row, i).parse().ok()
}

fn relation_kind(relkind: &str) -> Option<RelationKind> {
    Some(match relkind {
        "r" | "p" => RelationKind::Table,
        "v" => RelationKind::View,
        "m" => RelationKind::MaterializedView,
        "f" => RelationKind::Foreign,
        _ => return None,
    })
}

const NOT_SYSTEM: &str = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";

/// Rows of relation `c`: with its partitions or children, scaled to their present size as the planner does. NULL where any
/// part that has pages was never analysed.
const ROW_ESTIMATE: &str = "(WITH RECURSIVE tree(oid) AS (SELECT c.oid UNION ALL \
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid), \
    part AS (SELECT p.reltuples, p.relpages, pg_catalog.pg_relation_size(p.oid) / \
    current_setting('block_size')::int AS pages FROM tree JOIN pg_catalog.pg_class p USING (oid) WHERE p.relkind IN ('r', 'm')) \
    SELECT CASE WHEN count(*) = 0 OR bool_or(pages > 0 AND (reltuples < 0 OR relpages = 0)) THEN NULL \
    ELSE sum(CASE WHEN pages = 0 THEN 0 ELSE reltuples::float8 / nullif(relpages, 0) * pages END)::bigint END FROM part)";

pub(crate) async fn list(conn: &mut Conn, pattern: &RelationPattern) -> Result<Vec<RelationInfo>> {
    // Names are matched here once more: LIKE has its own wildcards.
    let exact = |column: &str, p: &Option<String>| match p {
        Some(p) if !p.contains('*') => format!(" AND {column} = {}", sql::text(p)),
        _ => String::new(),
    };
    // Partitions are read through their parent.
    let sql = format!(
        "SELECT n.nspname, c.relname, c.relkind, {ROW_ESTIMATE} FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't' AND {NOT_SYSTEM}{}{} \
         ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"",
        exact("n.nspname", &pattern.schema),
        exact("c.relname", &pattern.name),
    );
    let rows = conn.rows(&sql).await?;
    Ok(rows
        .iter()
        .filter(|r| pattern.matches(Some(cell(r, 0)), cell(r, 1)) && !cell(r, 1).starts_with(STAGING_PREFIX))
        .filter_map(|r| {
            Some(RelationInfo {
                relation: Relation::new(None, Some(cell(r, 0)), cell(r, 1)),
                kind: relation_kind(cell(r, 2))?,
                row_estimate: number(r, 3),
            })
        })
        .collect())
}

/// Which table has the resolved name now.
async fn oid_of(conn: &mut Conn, rel: &Relation) -> Result<Option<String>> {
    let found = conn
        .rows(&format!(
            "SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {} AND c.relname = {}",
            sql::text(rel.schema.as_deref().unwrap_or_default()),
            sql::text(&rel.name)
        ))
        .await?;
    Ok(found.first().map(|r| cell(r, 0).to_string()))
}

/// `rel` is resolved.
pub(crate) async fn describe(conn: &mut Conn, types: &Types, rel: &Relation) -> Result<TableInfo> {
    let schema = rel.schema.clone().unwrap_or_default();
    let head = conn
        .rows(&format!(
            "SELECT c.oid, c.relkind, {ROW_ESTIMATE}, \
             (WITH RECURSIVE tree(oid) AS (SELECT c.oid UNION ALL \
              SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid) \
              SELECT sum(pg_catalog.pg_table_size(oid)) FROM tree), \
             current_setting('server_encoding'), current_setting('server_version_num')::int \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {} AND c.relname = {} AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
            sql::text(&schema),
            sql::text(&rel.name)
        ))
        .await?;
    let Some(head) = head.first() else {
        return Err(not_found(conn, rel).await);
    };
    let oid = cell(head, 0).to_string();
    let kind = relation_kind(cell(head, 1)).unwrap_or(RelationKind::Table);
    let encoding = cell(head, 4).to_string();
    // pg_collation.collisdeterministic came with version 12; before it all were.
    let deterministic = if number::<u32>(head, 5).unwrap_or(0) >= 120_000 { "l.collisdeterministic" } else { "true" };
    let columns = conn
        .rows(&format!(
            "SELECT a.attname, a.atttypid, a.atttypmod, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, \
             l.collname, coalesce({deterministic}, true), pg_catalog.col_description(a.attrelid, a.attnum), \
             (SELECT array_position(i.indkey::int2[], a.attnum) FROM pg_catalog.pg_index i \
              WHERE i.indrelid = a.attrelid AND i.indisprimary) \
             FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation \
             WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
        ))
        .await?;
    if columns.is_empty() && oid_of(conn, rel).await?.is_some_and(|now| now != oid) {
        // Replaced between the two statements: the columns are the new table's.
        return Box::pin(describe(conn, types, rel)).await;
    }
    let wanted: Vec<(u32, i32)> =
        columns.iter().map(|r| (number(r, 1).unwrap_or(0), number(r, 2).unwrap_or(-1))).collect();
    let kinds = types.kinds(conn, &wanted).await?;
    let mut fields = Vec::with_capacity(kinds.len());
    let mut infos = Vec::with_capacity(kinds.len());
    let mut key: Vec<(usize, String)> = Vec::new();
    for (r, kind) in columns.iter().zip(&kinds) {
        let nullable = !flag(r, 4);
        let mut field = kind.field(cell(r, 0), nullable || kind.may_misfit(), cell(r, 3));
        if encoding != "UTF8" {
            field = with_encoding(field, &encoding);
        }
        fields.push(field);
        infos.push(ColumnInfo {
            name: cell(r, 0).into(),
            source_type: cell(r, 3).into(),
            nullable,
            collation: r.get(5).cloned().flatten(),
            binary_equality: match kind {
                Kind::Text | Kind::Char => flag(r, 6),
                Kind::Label => !cell(r, 3).ends_with("citext"),
                Kind::Jsonb | Kind::Json | Kind::Cast => false,
                _ => true,
            },
            comment: r.get(7).cloned().flatten(),
        });
        if let Some(at) = number(r, 8) {
            key.push((at, cell(r, 0).into()));
        }
    }
    key.sort();
    Ok(TableInfo {
        relation: rel.clone(),
        kind,
        schema: Arc::new(Schema::new(fields)),
        columns: infos,
        primary_key: key.into_iter().map(|(_, n)| n).collect(),
        row_estimate: number(head, 2),
        bytes_estimate: match kind {
            RelationKind::View | RelationKind::Foreign => None,
            _ => number(head, 3),
        },
    })
}

fn with_encoding(field: Field, encoding: &str) -> Field {
    let mut m = field.metadata().clone();
    m.insert(ENCODING_KEY.into(), encoding.into());
    field.with_metadata(m)
}

/// The error for a relation that isn't there, with the nearest name in its schema, or the same name in another.
pub(crate) async fn not_found(conn: &mut Conn, rel: &Relation) -> Error {
    let schema = rel.schema.as_deref().unwrap_or_default();
    let e = Error::new(ErrorKind::NotFound, format!("there is no relation {rel} on `{}`", conn.config().name))
        .connection(&conn.config().name)
        .relation(sql::relation(rel));
    let sql = format!(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {NOT_SYSTEM} ORDER BY 1, 2 LIMIT 10000"
    );
    let Ok(rows) = conn.rows(&sql).await else { return e };
    let here = rows.iter().filter(|r| cell(r, 0) == schema && !cell(r, 1).starts_with(STAGING_PREFIX));
    let elsewhere = rows.iter().find(|r| cell(r, 1) == rel.name);
    if let Some(r) = elsewhere {
        return e.hint(format!("there is {}.{}: set `schema: {0}`", cell(r, 0), cell(r, 1)));
    }
    if !rows.iter().any(|r| cell(r, 0) == schema)
        && let Some(h) = suggest(schema, rows.iter().map(|r| cell(r, 0)).collect::<std::collections::BTreeSet<_>>())
    {
        return e.hint(format!("schema `{schema}` has no relations; {h}"));
    }
    match suggest(&rel.name, here.map(|r| cell(r, 1))) {
        Some(h) => e.hint(h),
        None => e,
    }
}
