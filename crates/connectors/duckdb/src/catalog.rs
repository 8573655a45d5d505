//! What is in the database: `list` and `describe`, from DuckDB's own catalog functions
//! (<https://duckdb.org/docs/stable/sql/meta/duckdb_table_functions>).

use crate::connector::Duck;
use crate::dialect::{DUCKDB, relation_sql};
use crate::error::plain;
use crate::types::{Transport, field, parse};
use arrow::datatypes::{Schema, SchemaRef};
use duckdb::Connection;
use std::sync::Arc;
use xdb_core::names::{STAGING_PREFIX, suggest};
use xdb_core::{
    ColumnInfo, Error, Relation, RelationInfo, RelationKind, RelationPattern, Result, ResultExt, TableInfo,
};

pub(crate) fn list(conn: &Connection, pattern: &RelationPattern) -> Result<Vec<RelationInfo>> {
    let sql = "SELECT schema_name, table_name, 'table', estimated_size FROM duckdb_tables() \
               WHERE database_name = current_database() AND NOT internal AND NOT temporary \
               UNION ALL SELECT schema_name, view_name, 'view', NULL FROM duckdb_views() \
               WHERE database_name = current_database() AND NOT internal AND NOT temporary ORDER BY 1, 2";
    let mut stmt = conn.prepare(sql).map_err(plain)?;
    let rows = stmt
        .query_map([], |r| {
            Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?, r.get::<_, String>(2)?, r.get::<_, Option<i64>>(3)?))
        })
        .map_err(plain)?;
    let mut out = Vec::new();
    for row in rows {
        let (schema, name, kind, size) = row.map_err(plain)?;
        if name.starts_with(STAGING_PREFIX) || !pattern.matches(Some(&schema), &name) {
            continue;
        }
        out.push(RelationInfo {
            relation: Relation::new(None, Some(&schema), name),
            kind: if kind == "view" { RelationKind::View } else { RelationKind::Table },
            row_estimate: size.and_then(|n| u64::try_from(n).ok()),
        });
    }
    out.sort_by(|a, b| a.relation.cmp(&b.relation));
    Ok(out)
}

/// The relation under its exact names (DuckDB ignores case) and its kind.
pub(crate) fn find(conn: &Connection, rel: &Relation) -> Result<Option<(Relation, RelationKind)>> {
    let sql = "SELECT schema_name, table_name, 'table' FROM duckdb_tables() \
               WHERE database_name = coalesce(?1, current_database()) AND lower(schema_name) = lower(?2) \
               AND lower(table_name) = lower(?3) \
               UNION ALL SELECT schema_name, view_name, 'view' FROM duckdb_views() \
               WHERE database_name = coalesce(?1, current_database()) AND lower(schema_name) = lower(?2) \
               AND lower(view_name) = lower(?3)";
    let mut stmt = conn.prepare(sql).map_err(plain)?;
    let schema = rel.schema.as_deref().unwrap_or("main");
    let mut rows = stmt.query(duckdb::params![rel.database, schema, rel.name]).map_err(plain)?;
    let Some(r) = rows.next().map_err(plain)? else { return Ok(None) };
    let (schema, name, kind): (String, String, String) =
        (r.get(0).map_err(plain)?, r.get(1).map_err(plain)?, r.get(2).map_err(plain)?);
    let kind = if kind == "view" { RelationKind::View } else { RelationKind::Table };
    Ok(Some((Relation { database: rel.database.clone(), schema: Some(schema), name }, kind)))
}

pub(crate) fn missing(conn: &Connection, duck: &Duck, rel: &Relation) -> Error {
    let e = Error::not_found(format!("there is no table or view `{rel}` in `{}`", duck.settings().connection))
        .relation(rel.to_string());
    let pattern = RelationPattern { schema: rel.schema.clone(), name: None };
    let names = list(conn, &pattern).unwrap_or_default();
    match suggest(&rel.name, names.iter().map(|r| r.relation.name.as_str())) {
        Some(h) => e.hint(h),
        None => e.hint(format!("the schema `{}` has no tables", rel.schema.as_deref().unwrap_or("main"))),
    }
}

pub(crate) fn columns(conn: &Connection, rel: &Relation) -> Result<Vec<ColumnInfo>> {
    let sql = "SELECT column_name, data_type, is_nullable, comment FROM duckdb_columns() \
               WHERE database_name = coalesce(?1, current_database()) AND schema_name = ?2 AND table_name = ?3 \
               ORDER BY column_index";
    let mut stmt = conn.prepare(sql).map_err(plain)?;
    stmt.query_map(duckdb::params![rel.database, rel.schema, rel.name], |r| {
        Ok(ColumnInfo {
            name: r.get(0)?,
            source_type: r.get(1)?,
            nullable: r.get(2)?,
            collation: None,
            binary_equality: true,
            comment: r.get(3)?,
        })
    })
    .map_err(plain)?
    .collect::<duckdb::Result<_>>()
    .map_err(plain)
}

/// The SQL that asks for a column in a form that Arrow carries exactly.
pub(crate) fn transported(name: &str, source_type: &str) -> String {
    let column = DUCKDB.ident(name);
    match parse(source_type).transport() {
        Transport::AsIs => column,
        Transport::Cast(to) => format!("CAST({column} AS {to}) AS {column}"),
    }
}

/// The schema that reading these columns from `from` (ready SQL) gives.
pub(crate) fn schema_of(conn: &Connection, columns: &[(String, String)], from: &str) -> Result<SchemaRef> {
    let list: Vec<String> = columns.iter().map(|(n, t)| transported(n, t)).collect();
    let sql = format!("SELECT {} FROM {from} LIMIT 0", list.join(", "));
    let mut stmt = conn.prepare(&sql).map_err(plain).with_sql(&sql)?;
    let exported = stmt.query_arrow([]).map_err(plain).with_sql(&sql)?.get_schema();
    let fields = columns.iter().zip(exported.fields()).map(|((n, t), f)| field(n, t, f.data_type()));
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

pub(crate) fn describe(conn: &Connection, duck: &Duck, rel: &Relation) -> Result<TableInfo> {
    let Some((relation, kind)) = find(conn, rel)? else { return Err(missing(conn, duck, rel)) };
    let mut columns = columns(conn, &relation)?;
    let types: Vec<(String, String)> = columns.iter().map(|c| (c.name.clone(), c.source_type.clone())).collect();
    if let Some(collation) = collation(conn, &relation, kind)? {
        for c in columns.iter_mut().filter(|c| c.source_type == "VARCHAR") {
            (c.binary_equality, c.collation) = (false, Some(collation.clone()));
        }
    }
    let schema = schema_of(conn, &types, &relation_sql(&relation)).on_relation(&relation)?;
    let estimate = "SELECT estimated_size FROM duckdb_tables() \
                    WHERE database_name = coalesce(?1, current_database()) AND schema_name = ?2 AND table_name = ?3";
    let row_estimate = match kind {
        RelationKind::View => None,
        _ => conn
            .query_row(estimate, duckdb::params![relation.database, relation.schema, relation.name], |r| {
                r.get::<_, Option<i64>>(0)
            })
            .map_err(plain)?
            .and_then(|n| u64::try_from(n).ok()),
    };
    let key = "SELECT unnest(constraint_column_names) FROM duckdb_constraints() \
               WHERE database_name = coalesce(?1, current_database()) AND schema_name = ?2 AND table_name = ?3 \
               AND constraint_type = 'PRIMARY KEY'";
    let mut stmt = conn.prepare(key).map_err(plain)?;
    let primary_key = stmt
        .query_map(duckdb::params![relation.database, relation.schema, relation.name], |r| r.get(0))
        .map_err(plain)?
        .collect::<duckdb::Result<Vec<String>>>()
        .map_err(plain)?;
    Ok(TableInfo { relation, kind, schema, columns, primary_key, row_estimate, bytes_estimate: None })
}

/// The collation that text columns of this relation may have; `None` where all have DuckDB's binary default. DuckDB
/// doesn't tell a column's own: the table's SQL is searched for the word, and a view's columns come from anywhere.
fn collation(conn: &Connection, rel: &Relation, kind: RelationKind) -> Result<Option<String>> {
    let sql = "SELECT nullif(current_setting('default_collation'), ''), coalesce((SELECT any_value(sql) FROM duckdb_tables() \
               WHERE database_name = coalesce(?1, current_database()) AND schema_name = ?2 AND table_name = ?3), '')";
    let (default, text): (Option<String>, String) = conn
        .query_row(sql, duckdb::params![rel.database, rel.schema, rel.name], |r| Ok((r.get(0)?, r.get(1)?)))
        .map_err(plain)?;
    let named = kind == RelationKind::View || text.to_ascii_uppercase().contains("COLLATE");
    Ok(default.or_else(|| named.then(|| "?".to_string())))
}
