//! What is on the server: `check`, `list` and `describe`, from information_schema. Blocking; see [`crate::connector`].

use crate::dialect::quote_text;
use crate::pool::Session;
use crate::types::{self, SourceColumn};
use arrow::datatypes::{DataType, Schema};
use std::sync::Arc;
use std::time::Instant;
use xdb_core::names::{STAGING_PREFIX, suggest};
use xdb_core::{
    ColumnInfo, Error, Relation, RelationInfo, RelationKind, RelationPattern, Result, ServerInfo, TableInfo,
};

const SYSTEM: &str = "'information_schema', 'performance_schema', 'mysql', 'sys'";

pub(crate) fn check(s: &mut Session) -> Result<ServerInfo> {
    let start = Instant::now();
    s.texts("SELECT 1")?;
    let latency = start.elapsed();
    let rows = s.texts("SELECT CURRENT_USER(), DATABASE(), @@read_only")?;
    let mut row = rows.into_iter().next().unwrap_or_default().into_iter();
    let (user, database) = (row.next().flatten(), row.next().flatten());
    let server_read_only = matches!(row.next().flatten().as_deref(), Some("1" | "ON"));
    let grants = s.texts("SHOW GRANTS").unwrap_or_default();
    let grants: Vec<String> = grants.into_iter().filter_map(|r| r.into_iter().next().flatten()).collect();
    Ok(ServerInfo {
        product: if s.server.mariadb { "MariaDB" } else { "MySQL" }.into(),
        version: s.server.version.split('-').next().unwrap_or_default().to_string(),
        tls: s.tls_version(),
        user,
        database,
        latency,
        read_only: read_only(server_read_only, &grants),
    })
}

/// From the server's switch and the account's rights. `None`: rights come through roles, or only for some tables.
fn read_only(server: bool, grants: &[String]) -> Option<bool> {
    let writes = |g: &str| {
        let rights = g.to_uppercase();
        let rights = rights.split(" ON ").next().unwrap_or_default().to_string();
        ["ALL PRIVILEGES", "INSERT", "CREATE"].iter().any(|w| rights.contains(w))
    };
    if server {
        // SUPER (and what MariaDB and MySQL 8 made of it) may write all the same.
        let above = grants.iter().any(|g| {
            let g = g.to_uppercase();
            g.contains("SUPER")
                || g.contains("READ_ONLY ADMIN")
                || g.contains("READ ONLY ADMIN")
                || g.contains("ALL PRIVILEGES ON *.*")
        });
        return Some(!above);
    }
    if grants.iter().any(|g| writes(g)) {
        return Some(false);
    }
    let roles = grants.iter().any(|g| !g.contains(" ON "));
    if grants.is_empty() || roles { None } else { Some(true) }
}

/// As [`xdb_core::Connector::list`].
pub(crate) fn list(s: &mut Session, pattern: &RelationPattern) -> Result<Vec<RelationInfo>> {
    let mut sql = format!(
        "SELECT table_schema, table_name, table_type, table_rows FROM information_schema.tables \
         WHERE table_schema NOT IN ({SYSTEM})"
    );
    // Whole names are looked up without opening every other table's definition.
    for (column, part) in [("table_schema", &pattern.schema), ("table_name", &pattern.name)] {
        if let Some(p) = part.as_ref().filter(|p| !p.contains('*')) {
            sql += &format!(" AND {column} = {}", quote_text(p));
        }
    }
    let mut out: Vec<RelationInfo> = s
        .texts(&sql)
        .map_err(|e| e.sql(&sql))?
        .into_iter()
        .filter_map(|row| {
            let [schema, name, kind, rows] = <[Option<String>; 4]>::try_from(row).ok()?;
            let (schema, name) = (schema?, name?);
            let kind = kind_of(&kind?)?;
            (!name.starts_with(STAGING_PREFIX) && pattern.matches(Some(&schema), &name)).then(|| RelationInfo {
                relation: Relation::new(None, Some(&schema), name),
                kind,
                row_estimate: rows.and_then(|r| r.parse().ok()),
            })
        })
        .collect();
    out.sort_by(|a, b| a.relation.cmp(&b.relation));
    Ok(out)
}

fn kind_of(table_type: &str) -> Option<RelationKind> {
    match table_type {
        "BASE TABLE" | "SYSTEM VERSIONED" => Some(RelationKind::Table),
        "VIEW" | "SYSTEM VIEW" => Some(RelationKind::View),
        // MariaDB's sequences are listed as tables, but hold no data of anybody's.
        _ => None,
    }
}

/// Which storage engine a table has; the empty text for a view.
pub(crate) fn storage_engine(s: &mut Session, rel: &Relation) -> Result<String> {
    let sql = format!(
        "SELECT engine FROM information_schema.tables WHERE table_schema = {} AND table_name = {}",
        quote_text(rel.schema.as_deref().unwrap_or_default()),
        quote_text(&rel.name)
    );
    let rows = s.texts(&sql).map_err(|e| e.sql(&sql))?;
    Ok(rows.into_iter().next().and_then(|r| r.into_iter().next().flatten()).unwrap_or_default())
}

/// A relation under the server's own spelling, its kind, and its row and byte estimates as texts.
pub(crate) type Found = (Relation, RelationKind, Vec<Option<String>>);

/// What is called `rel`, with the spelling the server has; `None` where nothing is.
pub(crate) fn find(s: &mut Session, rel: &Relation) -> Result<Option<Found>> {
    let schema = rel.schema.as_deref().unwrap_or_default();
    let sql = format!(
        "SELECT table_schema, table_name, table_type, table_rows, data_length FROM information_schema.tables \
         WHERE table_schema = {} AND table_name = {}",
        quote_text(schema),
        quote_text(&rel.name)
    );
    let rows = s.texts(&sql).map_err(|e| e.sql(&sql))?;
    let text = |row: &[Option<String>], i: usize| row.get(i).cloned().flatten().unwrap_or_default();
    // information_schema compares without regard to case; the server itself perhaps not.
    let exact = rows.iter().position(|r| text(r, 1) == rel.name && text(r, 0) == schema);
    let Some(row) = exact.or((rows.len() == 1 && is_case_blind(s)?).then_some(0)).and_then(|i| rows.get(i)) else {
        return Ok(None);
    };
    let Some(kind) = kind_of(&text(row, 2)) else { return Ok(None) };
    let relation = Relation::new(None, Some(&text(row, 0)), text(row, 1));
    Ok(Some((relation, kind, row[3..].to_vec())))
}
fn is_case_blind(s: &mut Session) -> Result<bool> {
    let rows = s.texts("SELECT @@lower_case_table_names")?;
    Ok(rows.first().and_then(|r| r.first()?.as_deref()).is_some_and(|v| v != "0"))
}

/// As [`xdb_core::Connector::describe`]; `rel` is resolved.
pub(crate) fn describe(s: &mut Session, rel: &Relation, tinyint1_is_bool: bool) -> Result<TableInfo> {
    let Some((relation, kind, sizes)) = find(s, rel)? else { return Err(missing(s, rel)) };
    let (schema, name) = (quote_text(relation.schema.as_deref().unwrap_or_default()), quote_text(&relation.name));
    let sql = format!(
        "SELECT column_name, data_type, column_type, is_nullable, numeric_precision, numeric_scale, collation_name, \
         column_comment FROM information_schema.columns WHERE table_schema = {schema} AND table_name = {name} \
         ORDER BY ordinal_position"
    );
    let rows = s.texts(&sql).map_err(|e| e.sql(&sql))?;
    let json = json_columns(s, &schema, &name)?;
    let mut fields = vec![];
    let mut columns = vec![];
    for row in rows {
        let Ok([column, data_type, column_type, nullable, precision, scale, collation, comment]) =
            <[Option<String>; 8]>::try_from(row)
        else {
            continue;
        };
        let column = column.unwrap_or_default();
        let source = SourceColumn {
            is_json: json.contains(&column),
            data_type: data_type.unwrap_or_default(),
            column_type: column_type.unwrap_or_default(),
            precision: precision.and_then(|v| v.parse().ok()),
            scale: scale.and_then(|v| v.parse().ok()),
        };
        let (t, logical) = types::column_type(&source, tinyint1_is_bool)
            .map_err(|e| e.with_message(|m| format!("column `{column}`: {m}")).relation(relation.to_string()))?;
        let nullable = nullable.as_deref() != Some("NO") || kind == RelationKind::View;
        let field = types::field(&column, t.clone(), nullable || types::may_become_null(&t), &source.column_type);
        fields.push(match logical {
            Some(l) => l.mark(field),
            None => field,
        });
        columns.push(ColumnInfo {
            binary_equality: binary_equality(&t, &source.data_type, collation.as_deref()),
            name: column,
            source_type: source.column_type,
            nullable,
            collation,
            comment: comment.filter(|c| !c.is_empty()),
        });
    }
    let number = |i: usize| sizes.get(i).cloned().flatten().and_then(|v| v.parse().ok());
    Ok(TableInfo {
        primary_key: if kind == RelationKind::Table { primary_key(s, &schema, &name)? } else { vec![] },
        relation,
        kind,
        schema: Arc::new(Schema::new(fields)),
        columns,
        row_estimate: number(0),
        bytes_estimate: number(1),
    })
}

/// Texts that the server calls equal have equal bytes: binary types, and collations that neither fold nor pad.
fn binary_equality(t: &DataType, data_type: &str, collation: Option<&str>) -> bool {
    match collation {
        // `_bin` still pads with spaces, unless it says it doesn't; and char loses its trailing spaces anyhow.
        Some(c) => matches!(c, "utf8mb4_0900_bin" | "utf8mb4_nopad_bin") && data_type != "char",
        None => !matches!(t, DataType::Utf8),
    }
}

fn primary_key(s: &mut Session, schema: &str, name: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT column_name FROM information_schema.statistics WHERE table_schema = {schema} AND table_name = {name} \
         AND index_name = 'PRIMARY' ORDER BY seq_in_index"
    );
    let rows = s.texts(&sql).map_err(|e| e.sql(&sql))?;
    Ok(rows.into_iter().filter_map(|r| r.into_iter().next().flatten()).collect())
}

/// MariaDB's JSON is LONGTEXT with a check `json_valid(column)`.
fn json_columns(s: &mut Session, schema: &str, name: &str) -> Result<Vec<String>> {
    if !s.server.mariadb {
        return Ok(vec![]);
    }
    let sql = format!(
        "SELECT check_clause FROM information_schema.check_constraints WHERE constraint_schema = {schema} \
         AND table_name = {name} AND check_clause LIKE 'json\\_valid(%'"
    );
    // Without this table (before 10.3) they are texts, which is true as well.
    let rows = s.texts(&sql).or_else(|e| if crate::errors::server_code(&e).is_some() { Ok(vec![]) } else { Err(e) })?;
    let column = |clause: String| Some(clause.strip_prefix("json_valid(`")?.strip_suffix("`)")?.replace("``", "`"));
    Ok(rows.into_iter().filter_map(|r| column(r.into_iter().next().flatten()?)).collect())
}

fn missing(s: &mut Session, rel: &Relation) -> Error {
    let schema = rel.schema.as_deref().unwrap_or_default();
    let e = Error::not_found(format!("there is no table or view `{rel}`")).relation(rel.to_string());
    let names = |s: &mut Session, sql: String| -> Vec<String> {
        s.texts(&sql).unwrap_or_default().into_iter().filter_map(|r| r.into_iter().next().flatten()).collect()
    };
    let databases = names(s, "SELECT schema_name FROM information_schema.schemata".into());
    let hint = if schema.is_empty() {
        Some("set `database` in the profile, or `schema` of the source".to_string())
    } else if !databases.iter().any(|d| d.eq_ignore_ascii_case(schema)) {
        suggest(schema, databases.iter().map(String::as_str)).map(|h| format!("there is no database `{schema}`; {h}"))
    } else {
        let sql =
            format!("SELECT table_name FROM information_schema.tables WHERE table_schema = {}", quote_text(schema));
        let tables = names(s, sql);
        suggest(&rel.name, tables.iter().map(String::as_str).filter(|t| !t.starts_with(STAGING_PREFIX)))
    };
    match hint {
        Some(h) => e.hint(h),
        None => e,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn rights_tell_whether_one_may_write() {
        let g = |t: &str| vec![t.to_string()];
        assert_eq!(read_only(false, &g("GRANT SELECT ON *.* TO `r`@`%`")), Some(true));
        assert_eq!(read_only(false, &g("GRANT ALL PRIVILEGES ON `shop`.* TO `r`@`%`")), Some(false));
        assert_eq!(read_only(false, &g("GRANT USAGE ON *.* TO `create`@`%`")), Some(true));
        assert_eq!(read_only(false, &g("GRANT `writer` TO `r`@`%`")), None);
        assert_eq!(read_only(true, &g("GRANT INSERT ON *.* TO `r`@`%`")), Some(true));
        assert_eq!(read_only(true, &g("GRANT ALL PRIVILEGES ON *.* TO `r`@`%`")), Some(false));
    }
    #[test]
    fn which_columns_compare_by_bytes() {
        let eq = |c| binary_equality(&DataType::Utf8, "varchar", Some(c));
        assert!(eq("utf8mb4_0900_bin") && eq("utf8mb4_nopad_bin"));
        assert!(!eq("utf8mb4_bin") && !eq("utf8mb4_general_ci"));
        assert!(binary_equality(&DataType::Binary, "varbinary", None));
        assert!(!binary_equality(&DataType::Utf8, "char", Some("utf8mb4_nopad_bin")));
    }
}
