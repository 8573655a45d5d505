//! Which filters SQLite may apply, and how they are written.
//!
//! SQLite compares what is stored, Arrow what it means. The two agree (`Exact`) where every value that fits the column's
//! type is stored in one way: integers, booleans, text, blobs. Dates and timestamps are text with several spellings that
//! all begin with `YYYY-MM-DD`, so a range over whole days keeps every row that can match (`Inexact`). Nothing is claimed
//! for decimals and floats: SQLite's text to double conversion need not round as Rust's does.

use crate::dialect::SQLITE;
use crate::types::{Affinity, Kind};
use xdb_core::{CompareOp, Literal, Predicate, Pushdown, TableInfo, TypePolicy};

/// Text is compared by its UTF-8 bytes only in a database that stores UTF-8; a table's `ColumnInfo::collation` has this
/// suffix otherwise.
pub(crate) const NOT_UTF8: &str = " (not UTF-8)";

pub(crate) fn answer(table: &TableInfo, p: &Predicate, types: TypePolicy) -> Pushdown {
    if types == TypePolicy::Lossy {
        return Pushdown::no("under `types: lossy` a value that doesn't fit its column becomes NULL, after the filter");
    }
    match write(table, p, TypePolicy::Exact) {
        Ok((_, Strength::Exact)) => Pushdown::Exact,
        Ok((_, Strength::Superset)) => Pushdown::Inexact,
        Err(why) => Pushdown::No(why),
    }
}

/// The SQL of a predicate that [`answer`] accepted; `None` where it need not be sent.
pub(crate) fn condition(table: &TableInfo, p: &Predicate, types: TypePolicy) -> Option<String> {
    match write(table, p, types) {
        // Made for values that fit, it might drop rows whose value becomes NULL.
        Ok((_, Strength::Superset)) if types == TypePolicy::Lossy => None,
        Ok((sql, _)) => Some(sql),
        Err(_) => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Superset,
    Exact,
}
type Written = Result<(String, Strength), String>;

/// What stands for a column of that name.
type Name<'a> = dyn Fn(&str) -> String + 'a;

/// `p` about one column, whose SQL is `column`, where that says the same for every value.
pub(crate) fn exactly(table: &TableInfo, p: &Predicate, column: &str) -> Result<String, String> {
    match write_as(table, p, TypePolicy::Exact, &|_| column.to_string())? {
        (sql, Strength::Exact) => Ok(sql),
        _ => Err("a filter that is only approximate there".into()),
    }
}

struct Col {
    sql: String,
    /// Values of this kind are stored in one way only.
    plain: bool,
    kind: Kind,
}

fn column(table: &TableInfo, name: &str, types: TypePolicy, sql: &Name<'_>) -> Result<Col, String> {
    let missing = || format!("there is no column `{name}`");
    let index = table.schema.index_of(name).map_err(|_| missing())?;
    let info = table.columns.get(index).ok_or_else(missing)?;
    let kind = Kind::of(table.schema.field(index)).map_err(|e| e.message().to_string())?;
    let affinity = Affinity::of(&info.source_type);
    let quoted = sql(name);
    // Which storage a value of this kind has. The affinity matters for what SQLite does to the constant.
    let (plain, storage) = match kind {
        Kind::Int => (affinity == Affinity::Integer, "integer"),
        Kind::Bool => (affinity == Affinity::Numeric, "integer"),
        Kind::Text => (affinity == Affinity::Text, "text"),
        Kind::Binary => (affinity == Affinity::Blob, "blob"),
        _ => (false, ""),
    };
    let sql = match (plain && types == TypePolicy::Lossy, kind) {
        (true, Kind::Bool) => format!("CASE WHEN {quoted} IN (0, 1) THEN {quoted} END"),
        (true, _) => format!("CASE WHEN typeof({quoted}) = '{storage}' THEN {quoted} END"),
        (false, _) => quoted,
    };
    let sql = match (kind, info.collation.as_deref()) {
        (Kind::Text, Some("BINARY")) => sql,
        (Kind::Text, Some(c)) if c.ends_with(NOT_UTF8) => {
            return Err("the database stores UTF-16, which sorts differently".into());
        }
        (Kind::Text, _) => format!("{sql} COLLATE BINARY"),
        _ => sql,
    };
    Ok(Col { sql, plain, kind })
}

fn write(table: &TableInfo, p: &Predicate, types: TypePolicy) -> Written {
    write_as(table, p, types, &|column| SQLITE.ident(column))
}

fn write_as(table: &TableInfo, p: &Predicate, types: TypePolicy, name: &Name<'_>) -> Written {
    match p {
        Predicate::IsNull { column: c, negated } => {
            let col = column(table, c, types, name)?;
            let not = if *negated { "NOT " } else { "" };
            Ok((format!("{} IS {not}NULL", col.sql), if col.plain { Strength::Exact } else { Strength::Superset }))
        }
        Predicate::Compare { column: c, op, value } => {
            let col = column(table, c, types, name)?;
            match (col.kind, value) {
                (Kind::Date | Kind::Timestamp { .. }, _) => days(&col, *op, value),
                _ => {
                    constant(&col, value)?;
                    simple(&col, p)
                }
            }
        }
        Predicate::In { column: c, values, negated } => {
            let col = column(table, c, types, name)?;
            if !negated && matches!(col.kind, Kind::Date | Kind::Timestamp { .. }) {
                let each =
                    values.iter().map(|v| days(&col, CompareOp::Eq, v).map(|w| w.0)).collect::<Result<Vec<_>, _>>()?;
                return Ok((format!("({})", each.join(" OR ")), Strength::Superset));
            }
            values.iter().try_for_each(|v| constant(&col, v))?;
            simple(&col, p)
        }
        Predicate::StartsWith { column: c, .. } => {
            let col = column(table, c, types, name)?;
            if col.kind != Kind::Text || !col.plain {
                return Err(format!("`{c}` is not stored as text only"));
            }
            simple(&col, p)
        }
        Predicate::And(ps) => join(table, ps, " AND ", types, name),
        Predicate::Or(ps) => join(table, ps, " OR ", types, name),
        Predicate::Not(inner) => match write_as(table, inner, types, name)? {
            (sql, Strength::Exact) => Ok((format!("NOT ({sql})"), Strength::Exact)),
            _ => Err("the opposite of a filter that keeps too many rows keeps too few".into()),
        },
    }
}

fn join(table: &TableInfo, ps: &[Predicate], with: &str, types: TypePolicy, name: &Name<'_>) -> Written {
    if ps.is_empty() {
        return Ok((if with == " AND " { "1" } else { "0" }.into(), Strength::Exact));
    }
    let parts = ps.iter().map(|p| write_as(table, p, types, name)).collect::<Result<Vec<_>, _>>()?;
    let strength = parts.iter().map(|p| p.1).min().unwrap_or(Strength::Exact);
    Ok((format!("({})", parts.into_iter().map(|p| p.0).collect::<Vec<_>>().join(with)), strength))
}

/// Whether `value` is stored as a value of this column would be.
fn constant(col: &Col, value: &Literal) -> Result<(), String> {
    let same = matches!(
        (col.kind, value),
        (Kind::Int, Literal::Int(_) | Literal::UInt(_))
            | (Kind::Bool, Literal::Bool(_))
            | (Kind::Text, Literal::Utf8(_))
            | (Kind::Binary, Literal::Binary(_))
    );
    match col.kind {
        _ if same && col.plain => Ok(()),
        Kind::Float => Err("SQLite may read the constant as the double next to it".into()),
        Kind::Decimal { .. } => Err("decimals are stored as text or doubles, which compare differently".into()),
        _ => Err(format!("stored values of type {} may be spelled in several ways", col.kind.data_type())),
    }
}

fn simple(col: &Col, p: &Predicate) -> Written {
    SQLITE
        .predicate(p, &|_| col.sql.clone())
        .map(|sql| (sql, Strength::Exact))
        .ok_or_else(|| "the constant cannot be written in SQLite's SQL".into())
}

/// A range of whole days that holds every spelling of a date or timestamp that can match.
fn days(col: &Col, op: CompareOp, value: &Literal) -> Written {
    const DAY: i64 = 86_400_000_000;
    // A timestamp with an offset is at most a day away from its own first ten characters.
    let (first, last) = match (col.kind, value) {
        (Kind::Date, Literal::Date(d)) => (i64::from(*d), i64::from(*d)),
        (Kind::Timestamp { utc: false, .. }, Literal::Timestamp { micros, utc: false }) => {
            (micros.div_euclid(DAY), micros.div_euclid(DAY))
        }
        (Kind::Timestamp { utc: true, .. }, Literal::Timestamp { micros, utc: true }) => {
            (micros.div_euclid(DAY) - 1, micros.div_euclid(DAY) + 1)
        }
        _ => return Err("the constant is of another type".into()),
    };
    let text = |d: i64| {
        i32::try_from(d)
            .ok()
            .and_then(xdb_sql::date_text)
            .ok_or_else(|| "years beyond 1 to 9999 sort differently".to_string())
    };
    let (from, after) = (text(first)?, text(last + 1)?);
    let c = &col.sql;
    // Years after 9999 begin with `+` and those before 0 with `-`: both sort before `/`, the character before the digits
    // (which, unlike '0', no affinity turns into a number).
    let sql = match op {
        CompareOp::Eq => format!("({c} >= '{from}' AND {c} < '{after}')"),
        CompareOp::Lt | CompareOp::LtEq => format!("{c} < '{after}'"),
        CompareOp::Gt | CompareOp::GtEq => format!("({c} >= '{from}' OR {c} < '/')"),
        CompareOp::NotEq => return Err("dates may be spelled in several ways".into()),
    };
    Ok((sql, Strength::Superset))
}
