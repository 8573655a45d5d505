//! Which filters PostgreSQL answers as Arrow would, and their SQL. One walk gives both, so that what `pushdown` promises is
//! what `plan` sends.
//!
//! Arrow compares text by bytes, floats with one NaN above all, and knows no infinite dates. Where the server's own
//! comparison differs, the SQL says what is meant (`COLLATE "C"`, a cast) or the filter stays here.

use crate::kind::{ENCODING_KEY, Kind};
use crate::sql::{self, DIALECT};
use arrow::datatypes::{Field, Schema};
use xdb_core::{ColumnInfo, CompareOp, Literal, Predicate, Pushdown, TableInfo, TypePolicy};

/// A condition in SQL and how well it keeps the meaning, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sent {
    Exact(String),
    Inexact(String),
    No(String),
}
use Sent::{Exact, Inexact, No};

fn no<T>(why: impl Into<String>) -> Result<T, Sent> {
    Err(No(why.into()))
}

/// The answer for one predicate.
pub(crate) fn answer(table: &TableInfo, p: &Predicate) -> Pushdown {
    match render(table, p, TypePolicy::Exact) {
        Exact(_) => Pushdown::Exact,
        Inexact(_) => Pushdown::Inexact,
        No(why) => Pushdown::No(why),
    }
}

/// `policy`: under `lossy` a column reads as NULL (or rounded) where Arrow lacks the value, and so must the filter.
pub(crate) fn render(table: &TableInfo, p: &Predicate, policy: TypePolicy) -> Sent {
    render_as(table, p, policy, &sql::ident)
}

/// As `render`; `name` is what stands for a column of that name.
pub(crate) fn render_as(table: &TableInfo, p: &Predicate, policy: TypePolicy, name: &dyn Fn(&str) -> String) -> Sent {
    match p {
        Predicate::And(ps) => all(ps.iter().map(|p| render_as(table, p, policy, name)).collect()),
        Predicate::Or(ps) => any(ps.iter().map(|p| render_as(table, p, policy, name)).collect()),
        // The complement of too many rows is too few.
        Predicate::Not(p) => match render_as(table, p, policy, name) {
            Exact(s) => Exact(format!("NOT ({s})")),
            Inexact(_) => No("NOT over a filter that is only approximate there".into()),
            no => no,
        },
        _ => leaf(p, &|column| target(table, column, policy, name), policy).unwrap_or_else(|no| no),
    }
}

fn all(parts: Vec<Sent>) -> Sent {
    let mut sql = Vec::new();
    let mut exact = true;
    let mut reason = None;
    for p in parts {
        match p {
            Exact(s) => sql.push(s),
            Inexact(s) => {
                exact = false;
                sql.push(s);
            }
            // The others alone still give all the rows that pass.
            No(why) => {
                exact = false;
                reason.get_or_insert(why);
            }
        }
    }
    match (sql.is_empty(), reason) {
        (true, Some(why)) => No(why),
        (true, None) => Exact("TRUE".into()),
        (false, _) if exact => Exact(format!("({})", sql.join(" AND "))),
        (false, _) => Inexact(format!("({})", sql.join(" AND "))),
    }
}

fn any(parts: Vec<Sent>) -> Sent {
    let mut sql = Vec::new();
    let mut exact = true;
    for p in parts {
        match p {
            Exact(s) => sql.push(s),
            Inexact(s) => {
                exact = false;
                sql.push(s);
            }
            no => return no,
        }
    }
    let text = if sql.is_empty() { "FALSE".into() } else { format!("({})", sql.join(" OR ")) };
    if exact { Exact(text) } else { Inexact(text) }
}

struct Target<'a> {
    field: &'a Field,
    info: &'a ColumnInfo,
    kind: Kind,
    /// The column's quoted name, or what stands for its value as read.
    value: String,
}

fn target<'a>(
    table: &'a TableInfo,
    column: &str,
    policy: TypePolicy,
    name: &dyn Fn(&str) -> String,
) -> Result<Target<'a>, Sent> {
    let schema: &Schema = &table.schema;
    let Ok(i) = schema.index_of(column) else { return no(format!("there is no column `{column}`")) };
    let (field, Some(info)) = (schema.field(i), table.columns.get(i)) else { return no("the column is not described") };
    let Some(kind) = Kind::of(field) else { return no("the column's type there is not known") };
    let name = name(column);
    let value = if policy == TypePolicy::Lossy { lossy_value(&kind, &name) } else { name };
    Ok(Target { field, info, kind, value })
}

/// What a column is read as under `types: lossy`.
fn lossy_value(kind: &Kind, name: &str) -> String {
    match kind {
        Kind::Date | Kind::Timestamp | Kind::TimestampTz => format!("CASE WHEN isfinite({name}) THEN {name} END"),
        Kind::Time => format!("CASE WHEN {name} < '24:00' THEN {name} END"),
        Kind::Numeric(p, s) => {
            format!(
                "CASE WHEN abs(round({name}, {s})) < 1e{} THEN round({name}, {s}) END",
                i32::from(*p) - i32::from(*s)
            )
        }
        _ => name.to_string(),
    }
}

fn leaf<'a>(
    p: &Predicate,
    target: &dyn Fn(&str) -> Result<Target<'a>, Sent>,
    policy: TypePolicy,
) -> Result<Sent, Sent> {
    match p {
        Predicate::Compare { column, op, value } => compare(&target(column)?, *op, value),
        Predicate::In { column, values, negated } => among(&target(column)?, values, *negated),
        Predicate::IsNull { column, negated } => {
            let t = target(column)?;
            let not = if *negated { "NOT " } else { "" };
            match t.kind {
                // A row of NULLs "is null" there, but its text is not.
                Kind::Cast => Ok(Exact(format!("({}::text) IS {not}NULL", t.value))),
                Kind::List(_) | Kind::Interval if policy == TypePolicy::Lossy => {
                    no("under `types: lossy` some values read as NULL")
                }
                _ => Ok(Exact(format!("({}) IS {not}NULL", t.value))),
            }
        }
        Predicate::StartsWith { column, prefix, negated } => starts_with(&target(column)?, prefix, *negated),
        Predicate::And(_) | Predicate::Or(_) | Predicate::Not(_) => no("not a plain condition"),
    }
}

/// The literal as a constant of the column's type; an error where the two don't belong together.
fn constant(t: &Target<'_>, l: &Literal) -> Result<String, Sent> {
    use Literal as L;
    let fits = matches!(
        (&t.kind, l),
        (Kind::Bool, L::Bool(_))
            | (
                Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid | Kind::Numeric(..),
                L::Int(_) | L::UInt(_) | L::Decimal { .. }
            )
            | (Kind::Float4 | Kind::Float8, L::Float(_))
            | (Kind::Text | Kind::Char | Kind::Label | Kind::Uuid, L::Utf8(_))
            | (Kind::Bytea, L::Binary(_))
            | (Kind::Date, L::Date(_))
            | (Kind::Time, L::Time(_))
            | (Kind::Timestamp, L::Timestamp { utc: false, .. })
            | (Kind::TimestampTz, L::Timestamp { utc: true, .. })
    );
    if !fits {
        return no(match t.kind {
            Kind::Cast => format!("a {} is read as text, and its text cannot be compared there", t.info.source_type),
            _ => format!("a {} is not compared with such a constant there", t.info.source_type),
        });
    }
    let text = match (&t.kind, l) {
        (Kind::Char, L::Utf8(s)) => sql::DIALECT.literal(&L::Utf8(s.clone())).map(|q| q.replace("::text", "::bpchar")),
        (Kind::Uuid, L::Utf8(s)) if is_canonical_uuid(s) => Some(format!("{}::uuid", sql::text(s))),
        (Kind::Uuid, _) => return no("the constant is not a uuid in lower case with hyphens"),
        (Kind::Float4, L::Float(f)) => {
            // A double that is no real would be compared as a double, and 0.1::real is not 0.1.
            if f64::from(*f as f32) != *f {
                return no("the constant is not a real");
            }
            DIALECT.literal(l).map(|q| q.replace("::double precision", "::real"))
        }
        _ => DIALECT.literal(l),
    };
    text.ok_or_else(|| No("the constant cannot be written in SQL".into()))
}

fn is_canonical_uuid(s: &str) -> bool {
    s.len() == 36
        && s.bytes().enumerate().all(|(i, c)| match i {
            8 | 13 | 18 | 23 => c == b'-',
            _ => c.is_ascii_digit() || (b'a'..=b'f').contains(&c),
        })
}

/// Two texts that the server calls equal are equal in bytes.
fn bytewise_equal(t: &Target<'_>) -> bool {
    !t.kind.is_text() || t.info.binary_equality
}

/// What orders, and compares prefixes, by bytes; not in databases whose encoding sorts its bytes otherwise.
fn in_byte_order(t: &Target<'_>) -> Result<String, Sent> {
    match t.field.metadata().get(ENCODING_KEY).map(String::as_str) {
        // Latin 1 is the first part of Unicode in the same order; SQL_ASCII is bytes already.
        None | Some("LATIN1" | "SQL_ASCII") => {}
        Some(e) => return no(format!("the database's encoding {e} has another order")),
    }
    Ok(match t.kind {
        Kind::Text => format!("{} COLLATE \"C\"", t.value),
        // The cast strips the padding, as reading does.
        _ => format!("{}::text COLLATE \"C\"", t.value),
    })
}

/// -0 and 0 are one number there and two in Arrow's order.
fn is_zero(l: &Literal) -> bool {
    matches!(l, Literal::Float(f) if *f == 0.0)
}

fn compare(t: &Target<'_>, op: CompareOp, value: &Literal) -> Result<Sent, Sent> {
    use CompareOp::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    let constant = constant(t, value)?;
    let plain = format!("{} {} {constant}", t.value, op.sql());
    match t.kind {
        Kind::Text | Kind::Char | Kind::Label => {
            if t.kind == Kind::Char
                && let Literal::Utf8(s) = value
                && s.ends_with(' ')
            {
                return no("char(n) is compared without trailing spaces there");
            }
            match op {
                Eq | NotEq if t.kind == Kind::Label => Ok(Exact(format!("{}::text {} {constant}", t.value, op.sql()))),
                Eq | NotEq if bytewise_equal(t) => Ok(Exact(plain)),
                Eq => Ok(Inexact(plain)),
                NotEq => no("the column's collation calls different texts equal"),
                Lt | LtEq | Gt | GtEq => {
                    let text = constant.replace("::bpchar", "::text");
                    Ok(Exact(format!("{} {} {text}", in_byte_order(t)?, op.sql())))
                }
            }
        }
        Kind::Float4 | Kind::Float8 if is_zero(value) => match op {
            Eq | LtEq | GtEq => Ok(Inexact(plain)),
            NotEq | Lt | Gt => no("-0 and 0 are equal there"),
        },
        _ => Ok(Exact(plain)),
    }
}

fn among(t: &Target<'_>, values: &[Literal], negated: bool) -> Result<Sent, Sent> {
    let constants = values.iter().map(|v| constant(t, v)).collect::<Result<Vec<_>, _>>()?;
    let trailing = |v: &Literal| matches!(v, Literal::Utf8(s) if s.ends_with(' '));
    if t.kind == Kind::Char && values.iter().any(trailing) {
        return no("char(n) is compared without trailing spaces there");
    }
    let value = if t.kind == Kind::Label { format!("{}::text", t.value) } else { t.value.clone() };
    let sql = format!("{value} {}IN ({})", if negated { "NOT " } else { "" }, constants.join(", "));
    match (bytewise_equal(t) && !values.iter().any(is_zero), negated) {
        (true, _) => Ok(Exact(sql)),
        (false, false) => Ok(Inexact(sql)),
        (false, true) => no("different values are equal there"),
    }
}

fn starts_with(t: &Target<'_>, prefix: &str, negated: bool) -> Result<Sent, Sent> {
    if !matches!(t.kind, Kind::Text | Kind::Char | Kind::Label) {
        return no(format!("a {} has no prefix there", t.info.source_type));
    }
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for c in prefix.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    let Some(literal) = DIALECT.literal(&Literal::Utf8(pattern)) else {
        return no("the constant cannot be written in SQL");
    };
    let not = if negated { "NOT " } else { "" };
    Ok(Exact(format!("{} {not}LIKE {literal}", in_byte_order(t)?)))
}

#[cfg(test)]
#[path = "pushdown_tests.rs"]
mod tests;
