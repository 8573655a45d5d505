//! Whole queries: which PostgreSQL answers as Arrow would, and their SQL. The rules are a table by [`Kind`]; the walk is
//! `xdb_sql::query`'s. Conditions between a column and constants are `pushdown`'s.
//!
//! Canonical text has `COLLATE "C"`: it compares and sorts by bytes, which in UTF-8 is the order of code points.

use crate::kind::{ENCODING_KEY, Kind};
use crate::pushdown::{self, Sent};
use crate::sql::{self, DIALECT};
use arrow::datatypes::{DataType, Field, TimeUnit};
use xdb_core::{Literal, Predicate, QueryDatePart, TableInfo, TypePolicy};
use xdb_sql::Dialect;
use xdb_sql::query::{Form, Origin, QueryDialect, Refusal, Syntax, TypeRules, Value};

pub(crate) struct Queries;

static SYNTAX: Syntax = Syntax {
    filter_clause: true,
    full_join: true,
    nulls_placement: true,
    group_by_expressions: true,
    inner_limits: true,
    // No columns at all is allowed there, and keeps the number of rows.
    no_columns: "",
};

/// What a kind of text becomes to be compared by bytes; the cast strips the padding of `char(n)`, as reading does.
const BYTES: Form = Form::new("({} COLLATE \"C\")");
const TEXT_BYTES: Form = Form::new("({}::text COLLATE \"C\")");

/// The kind that stands for an Arrow type in computations.
fn canonical_kind(ty: &DataType) -> Option<Kind> {
    use DataType as D;
    Some(match ty {
        D::Boolean => Kind::Bool,
        D::Int16 => Kind::Int2,
        D::Int32 => Kind::Int4,
        D::Int64 => Kind::Int8,
        D::UInt32 => Kind::Oid,
        D::Float32 => Kind::Float4,
        D::Float64 => Kind::Float8,
        D::Decimal128(p, s) | D::Decimal256(p, s) if *s >= 0 => Kind::Numeric(*p, *s),
        D::Utf8 => Kind::Text,
        D::Binary => Kind::Bytea,
        D::Date32 => Kind::Date,
        D::Time64(TimeUnit::Microsecond) => Kind::Time,
        D::Timestamp(TimeUnit::Microsecond, None) => Kind::Timestamp,
        D::Timestamp(TimeUnit::Microsecond, Some(z)) if z.as_ref() == "UTC" => Kind::TimestampTz,
        _ => return None,
    })
    .filter(|k| k.arrow() == *ty)
}

fn type_name(kind: &Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Bool => "boolean",
        Kind::Int2 => "smallint",
        Kind::Int4 => "integer",
        Kind::Int8 => "bigint",
        Kind::Oid => "oid",
        Kind::Float4 => "real",
        Kind::Float8 => "double precision",
        Kind::Numeric(..) => "numeric",
        Kind::Text => "text",
        Kind::Bytea => "bytea",
        Kind::Date => "date",
        Kind::Time => "time",
        Kind::Timestamp => "timestamp",
        Kind::TimestampTz => "timestamptz",
        _ => return None,
    })
}

/// The table of rules. `plain_collation`: the column's collation is one that every other column can be beside, and tells
/// all different texts apart.
fn rules_of(kind: &Kind, computed: bool, plain_collation: bool) -> TypeRules {
    let base = TypeRules {
        class: kind.to_string().into(),
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
    // Read as text, but compared there by other rules than its text.
    let as_text = |own_equality: bool, own_order: bool| TypeRules {
        canonical: TEXT_BYTES,
        equality: if own_equality { Form::Same } else { TEXT_BYTES },
        group: if own_equality { Form::Same } else { TEXT_BYTES },
        grouped: TEXT_BYTES,
        order: if own_order { Form::Same } else { TEXT_BYTES },
        sort: if own_order { Form::Same } else { TEXT_BYTES },
        extreme: TEXT_BYTES,
        text: TEXT_BYTES,
        ..base.clone()
    };
    match kind {
        Kind::Bool => TypeRules { extreme: Form::no("there is no min() of booleans there"), truth: Form::Same, ..base },
        Kind::Int2 | Kind::Int4 => TypeRules { sum: Form::Same, number: Form::Same, ..base },
        // sum(bigint) is a numeric; beyond 64 bits the cast fails.
        Kind::Int8 => TypeRules { sum: Form::new("{}::bigint"), number: Form::Same, ..base },
        // Exact, and as wide as it must be; the decoder refuses what the Arrow type can't hold.
        Kind::Numeric(..) => TypeRules { class: "numeric".into(), sum: Form::Same, number: Form::Same, ..base },
        Kind::Oid | Kind::Date | Kind::Time | Kind::Timestamp | Kind::TimestampTz => base,
        Kind::Bytea => TypeRules { extreme: Form::no("there is no min() of bytea there"), ..base },
        Kind::Float4 | Kind::Float8 => TypeRules {
            canonical: Form::Same,
            ..TypeRules::opaque("floats: -0 equals 0 there, and NaN has another place")
        },
        Kind::Text if computed => TypeRules { class: "bytes".into(), text: Form::Same, ..base },
        Kind::Text => TypeRules {
            canonical: BYTES,
            equality: if plain_collation { Form::Same } else { BYTES },
            group: if plain_collation { Form::Same } else { BYTES },
            grouped: BYTES,
            order: BYTES,
            sort: BYTES,
            extreme: BYTES,
            text: BYTES,
            ..base
        },
        Kind::Char => as_text(plain_collation, false),
        // Enums of two types cannot be compared, and citext folds.
        Kind::Label => as_text(false, false),
        // Sixteen bytes in the order of their digits.
        Kind::Uuid => as_text(true, true),
        Kind::Json | Kind::Jsonb | Kind::Cast => as_text(false, false),
        Kind::Interval => TypeRules::opaque("intervals of different fields are equal there"),
        Kind::List(_) => TypeRules::opaque("arrays have their own comparison there"),
    }
}

impl QueryDialect for Queries {
    fn dialect(&self) -> &Dialect {
        &DIALECT
    }
    fn syntax(&self) -> &Syntax {
        &SYNTAX
    }

    fn relation(&self, table: &TableInfo) -> Result<String, Refusal> {
        // Bytes of other encodings have another order, and SQL_ASCII counts them as characters.
        let encoding = table.schema.fields().iter().find_map(|f| f.metadata().get(ENCODING_KEY));
        match encoding.map(String::as_str) {
            None | Some("LATIN1") => Ok(sql::relation(&table.relation)),
            Some(e) => Err(format!("the database's encoding is {e}")),
        }
    }

    fn rules(&self, value: &Value<'_>) -> TypeRules {
        let origin = value.origin.as_ref();
        let kind = match origin {
            Some(o) => Kind::of(o.field()),
            None => canonical_kind(&value.ty),
        };
        let Some(kind) = kind else { return TypeRules::opaque("there is no type for it there") };
        let plain = origin
            .and_then(Origin::info)
            .is_some_and(|i| i.binary_equality && matches!(i.collation.as_deref(), Some("default" | "C" | "POSIX")));
        let mut rules = rules_of(&kind, origin.is_none(), plain);
        if let (Kind::Text | Kind::Char, Some(i)) = (&kind, origin.and_then(Origin::info)) {
            // Two collations beside each other are an error there.
            rules.class = format!("{kind} {}", i.collation.as_deref().unwrap_or("?")).into();
        }
        rules
    }

    fn literal(&self, value: &Literal, ty: &DataType) -> Result<String, Refusal> {
        use Literal as L;
        let no = || format!("a constant of type {ty}");
        let kind = canonical_kind(ty).ok_or_else(no)?;
        let name = type_name(&kind).ok_or_else(no)?;
        let fits = matches!(
            (&kind, value),
            (_, L::Null)
                | (Kind::Bool, L::Bool(_))
                | (Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid, L::Int(_) | L::UInt(_))
                | (Kind::Float4 | Kind::Float8, L::Float(_))
                | (Kind::Numeric(..), L::Decimal { .. })
                | (Kind::Text, L::Utf8(_))
                | (Kind::Bytea, L::Binary(_))
                | (Kind::Date, L::Date(_))
                | (Kind::Time, L::Time(_))
                | (Kind::Timestamp, L::Timestamp { utc: false, .. })
                | (Kind::TimestampTz, L::Timestamp { utc: true, .. })
        );
        let text = DIALECT.literal(value).filter(|_| fits).ok_or_else(no)?;
        Ok(match (&kind, value) {
            (Kind::Text, L::Null) => "(NULL::text COLLATE \"C\")".into(),
            (Kind::Text, _) => format!("({text} COLLATE \"C\")"),
            (Kind::Float4, _) => format!("{text}::real"),
            (_, L::Null | L::Int(_) | L::UInt(_)) => format!("{text}::{name}"),
            _ => text,
        })
    }

    fn predicate(&self, origin: &Origin<'_>, column: &str, p: &Predicate) -> Result<String, Refusal> {
        match pushdown::render_as(origin.table, p, TypePolicy::Exact, &|_| column.to_string()) {
            Sent::Exact(s) => Ok(s),
            Sent::Inexact(_) => Err("a filter that is only approximate there".into()),
            Sent::No(why) => Err(why),
        }
    }

    fn cast(&self, value: &Value<'_>, to: &DataType) -> Result<String, Refusal> {
        use DataType as D;
        let sql = &value.sql;
        Ok(match (&value.ty, to) {
            (D::Int16 | D::Int32 | D::Int64, D::Int16 | D::Int32 | D::Int64) => {
                let name = canonical_kind(to).as_ref().and_then(type_name).unwrap_or("bigint");
                format!("{sql}::{name}")
            }
            (from @ (D::Int16 | D::Int32 | D::Int64), D::Decimal128(p, s) | D::Decimal256(p, s)) if *s >= 0 => {
                let digits = match from {
                    D::Int16 => 5,
                    D::Int32 => 10,
                    _ => 19,
                };
                if i32::from(*p) - i32::from(*s) >= digits {
                    format!("{sql}::numeric")
                } else {
                    format!("{sql}::numeric({p},{s})")
                }
            }
            (D::Decimal128(p, s) | D::Decimal256(p, s), D::Decimal128(to_p, to_s) | D::Decimal256(to_p, to_s))
                if *to_s >= 0 && *s >= 0 =>
            {
                // Rounding is half away from zero on both sides.
                if to_s >= s && i32::from(*to_p) - i32::from(*to_s) >= i32::from(*p) - i32::from(*s) {
                    sql.clone()
                } else {
                    format!("{sql}::numeric({to_p},{to_s})")
                }
            }
            (D::Date32, D::Timestamp(TimeUnit::Microsecond, None)) => format!("{sql}::timestamp"),
            (D::Int16 | D::Int32 | D::Int64, D::Utf8) => format!("({sql}::text COLLATE \"C\")"),
            (from, to) => return Err(format!("a cast from {from} to {to}")),
        })
    }

    fn date_part(&self, part: QueryDatePart, value: &Value<'_>, ty: &DataType) -> Result<String, Refusal> {
        if *ty != DataType::Int32 {
            return Err("a calendar field as another type than Int32".into());
        }
        let x = &value.sql;
        let literal = if value.ty == DataType::Date32 { "DATE" } else { "TIMESTAMP" };
        let field = match part {
            // 1 BC is -1 there and 0 in the engine.
            QueryDatePart::Year => format!("extract(year FROM {x})::integer + ({x} < {literal} '0001-01-01')::integer"),
            QueryDatePart::Month => format!("extract(month FROM {x})::integer"),
            QueryDatePart::Day => format!("extract(day FROM {x})::integer"),
        };
        // The engine's calendar ends at 262142; after it the fields are NULL.
        Ok(format!("(CASE WHEN {x} < {literal} '262143-01-01' THEN {field} END)"))
    }

    fn like(&self, text: &str, pattern: &str, negated: bool) -> Result<String, Refusal> {
        let literal = DIALECT.literal(&Literal::Utf8(pattern.into())).ok_or("the pattern cannot be written in SQL")?;
        Ok(format!("{text} {}LIKE {literal}", if negated { "NOT " } else { "" }))
    }

    fn output(&self, value: &Value<'_>, field: &Field) -> Result<String, Refusal> {
        let kind = item_kind(value.origin.as_ref().map(Origin::field), field)?;
        Ok(if value.origin.is_some() { kind.select(&value.sql) } else { value.sql.clone() })
    }
}

/// How a result column is decoded: as the relation's column that it is, or as its type's canonical kind.
pub(crate) fn item_kind(origin: Option<&Field>, field: &Field) -> Result<Kind, Refusal> {
    let kind = match origin {
        Some(f) => Kind::of(f),
        None => canonical_kind(field.data_type()),
    };
    kind.filter(|k| k.arrow() == *field.data_type())
        .ok_or_else(|| format!("`{}` cannot come back as {}", field.name(), field.data_type()))
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
