//! Whole queries. A declared type promises little here: what may be computed is only what is stored in one way (see
//! `pushdown`), so integers, booleans, text and blobs; dates, decimals and floats can be read, counted, and no more. The
//! walk is `xdb_sql::query`'s.
//!
//! A value that doesn't fit its column is an error to a read of the table. A sum would quietly take it for a number, so
//! that sums, minima and arithmetic ask for its storage class, and fail as the read would.

use crate::dialect::{SQLITE, relation_sql};
use crate::pushdown::{NOT_UTF8, exactly};
use crate::types::{Affinity, Kind};
use arrow::datatypes::{DataType, Field};
use xdb_core::{Literal, Predicate, QueryDatePart, TableInfo};
use xdb_sql::query::{Form, Origin, QueryDialect, Refusal, Syntax, TypeRules, Value};
use xdb_sql::{Dialect, quote_text_ansi};

pub(crate) struct Queries;

static SYNTAX: Syntax = Syntax {
    filter_clause: true,
    full_join: true,
    nulls_placement: true,
    group_by_expressions: true,
    inner_limits: true,
    no_columns: "1",
};

/// `abs` of the least integer is SQLite's only arithmetic error that no setting turns off
/// (<https://www.sqlite.org/lang_corefunc.html#abs>). The value is named in it so that it is no constant, which would be
/// computed before any row.
macro_rules! guarded {
    ($storage:literal) => {
        Form::new(concat!(
            "(CASE typeof({}) WHEN '",
            $storage,
            "' THEN {} WHEN 'null' THEN NULL ELSE abs(-9223372036854775807 - ({} IS NOT NULL)) END)"
        ))
    };
}

/// A column stored in one way.
fn plain_kind(origin: &Origin<'_>) -> Result<Kind, &'static str> {
    let Ok(kind) = Kind::of(origin.field()) else { return Err("the column's type there is not known") };
    let Some(info) = origin.info() else { return Err("the column is not described") };
    let affinity = Affinity::of(&info.source_type);
    if info.collation.as_deref().is_some_and(|c| c.ends_with(NOT_UTF8)) {
        return Err("the database stores UTF-16, which sorts differently");
    }
    match (kind, affinity) {
        (Kind::Int, Affinity::Integer)
        | (Kind::Bool, Affinity::Numeric)
        | (Kind::Text, Affinity::Text)
        | (Kind::Binary, Affinity::Blob) => Ok(kind),
        (Kind::Float, _) => Err("floats: -0 equals 0 there, and sums depend on the order of rows"),
        (Kind::Decimal { .. }, _) => Err("decimals are stored as text or doubles, which compare differently"),
        _ => Err("stored values of this type may be spelled in several ways"),
    }
}

fn canonical_kind(ty: &DataType) -> Option<Kind> {
    Some(match ty {
        DataType::Int64 => Kind::Int,
        DataType::Boolean => Kind::Bool,
        DataType::Utf8 => Kind::Text,
        DataType::Binary => Kind::Binary,
        _ => return None,
    })
}

fn rules_of(kind: Kind, origin: Option<&Origin<'_>>) -> TypeRules {
    let base = TypeRules {
        class: format!("{kind:?}").into(),
        canonical: Form::Same,
        equality: Form::Same,
        group: Form::Same,
        grouped: Form::Same,
        order: Form::Same,
        sort: Form::Same,
        extreme: Form::Same,
        extreme_result: Form::Same,
        sum: Form::no("a sum of something else than numbers"),
        number: Form::no("arithmetic on something else than numbers"),
        text: Form::no("a text function of something else than text"),
        truth: Form::no("a condition that is not a boolean"),
    };
    let column = origin.is_some();
    match kind {
        // An overflow is an error there.
        Kind::Int => {
            let value = if column { guarded!("integer") } else { Form::Same };
            TypeRules { canonical: value.clone(), extreme: value.clone(), number: value, sum: Form::Same, ..base }
        }
        Kind::Bool => {
            let value = if column { guarded!("integer") } else { Form::Same };
            TypeRules { canonical: value.clone(), extreme: value, truth: Form::Same, ..base }
        }
        Kind::Text => {
            let binary = origin.is_none_or(|o| o.info().is_some_and(|i| i.collation.as_deref() == Some("BINARY")));
            let form = if binary { Form::Same } else { Form::new("({} COLLATE BINARY)") };
            TypeRules {
                class: "text".into(),
                // Outside of the select list a collation goes along with the column.
                canonical: form.clone(),
                equality: form.clone(),
                group: form.clone(),
                grouped: form.clone(),
                order: form.clone(),
                sort: form.clone(),
                extreme: form,
                text: Form::Same,
                ..base
            }
        }
        _ => base,
    }
}

impl QueryDialect for Queries {
    fn dialect(&self) -> &Dialect {
        &SQLITE
    }
    fn syntax(&self) -> &Syntax {
        &SYNTAX
    }
    fn relation(&self, table: &TableInfo) -> Result<String, Refusal> {
        Ok(relation_sql(&table.relation))
    }

    fn rules(&self, value: &Value<'_>) -> TypeRules {
        let kind = match &value.origin {
            Some(o) => plain_kind(o),
            None => canonical_kind(&value.ty).ok_or("the type has no storage of its own there"),
        };
        match kind {
            Ok(kind) => rules_of(kind, value.origin.as_ref()),
            Err(why) => TypeRules::opaque(why),
        }
    }

    fn literal(&self, value: &Literal, ty: &DataType) -> Result<String, Refusal> {
        let fits = matches!(
            (canonical_kind(ty), value),
            (Some(_), Literal::Null)
                | (Some(Kind::Int), Literal::Int(_) | Literal::UInt(_))
                | (Some(Kind::Bool), Literal::Bool(_))
                | (Some(Kind::Text), Literal::Utf8(_))
                | (Some(Kind::Binary), Literal::Binary(_))
        );
        SQLITE.literal(value).filter(|_| fits).ok_or_else(|| format!("a constant of type {ty}"))
    }

    fn predicate(&self, origin: &Origin<'_>, column: &str, p: &Predicate) -> Result<String, Refusal> {
        exactly(origin.table, p, column)
    }

    fn cast(&self, value: &Value<'_>, to: &DataType) -> Result<String, Refusal> {
        Err(format!("a cast from {} to {to}", value.ty))
    }
    fn date_part(&self, _: QueryDatePart, _: &Value<'_>, _: &DataType) -> Result<String, Refusal> {
        Err("dates may be spelled in several ways".into())
    }
    fn substring(&self, _: &str, _: u32, _: Option<u32>) -> Result<String, Refusal> {
        Err("substr() stops at a NUL there".into())
    }

    fn like(&self, text: &str, pattern: &str, negated: bool) -> Result<String, Refusal> {
        // LIKE ignores the case of ASCII letters, and GLOB stops at a NUL; a part of a text can be found otherwise.
        let part = pattern.strip_prefix('%').and_then(|p| p.strip_suffix('%'));
        match part {
            Some(p) if !p.is_empty() && !p.contains(['%', '_', '\\']) => {
                let part = quote_text_ansi(p).ok_or("the pattern cannot be written in SQL")?;
                Ok(format!("instr({text}, {part}) {} 0", if negated { "=" } else { ">" }))
            }
            _ => Err("LIKE ignores case there, unless the pattern is a prefix or a part".into()),
        }
    }

    fn output(&self, value: &Value<'_>, field: &Field) -> Result<String, Refusal> {
        let wanted = Kind::of(field).map_err(|e| e.message().to_string())?;
        let has = match &value.origin {
            Some(o) => Kind::of(o.field()).ok(),
            None => canonical_kind(&value.ty),
        };
        if has != Some(wanted) {
            return Err(format!("`{}` cannot come back as {}", field.name(), field.data_type()));
        }
        Ok(value.sql.clone())
    }
}
