//! Whole queries: which MySQL and MariaDB answer as Arrow would, and their SQL. Conditions between a column and constants are
//! `pushdown`'s; the walk is `xdb_sql::query`'s.
//!
//! Text is compared as the bytes of its UTF-8: collations of a name in both systems either fold or pad. Where rows are
//! sorted (and groups may be made by sorting), the server looks at the first `max_sort_length` bytes only (1024 by
//! default, <https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html#sysvar_max_sort_length>): longer texts
//! are not sorted there. Constants and casts are chosen so that nothing saturates, which a SELECT does with a warning only.

use super::pushdown::pushdown;
use crate::dialect::{MYSQL, quote_text};
use arrow::datatypes::{DataType, Field, TimeUnit};
use xdb_core::{
    ColumnInfo, CompareOp, Literal, LogicalType, Predicate, Pushdown, QueryArithmetic, QueryDatePart, TableInfo,
};
use xdb_sql::Dialect;
use xdb_sql::query::{Form, Origin, QueryDialect, Refusal, Syntax, TypeRules, Value, arithmetic_sql};

pub(crate) struct Queries;

static SYNTAX: Syntax = Syntax {
    filter_clause: false,
    full_join: false,
    nulls_placement: false,
    group_by_expressions: true,
    inner_limits: true,
    no_columns: "1",
};

/// Characters of up to four bytes within `max_sort_length`.
const SORTED_CHARS: u32 = 256;
const SORTED_BYTES: u32 = 1024;
/// Digits of a DECIMAL in all, and behind the point.
const MAX_PRECISION: u8 = 65;
const MAX_SCALE: i8 = 30;

const TOO_LONG: Form = Form::no("the server sorts long values by their first bytes only");

/// What a type's values are there.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    Signed,
    Unsigned,
    Decimal,
    Date,
    DateTime,
    /// TIMESTAMP, an instant.
    Instant,
    Text,
    Bytes,
    /// The result of a condition.
    Truth,
    Other(&'static str),
}

/// `varchar(10)` is `varchar` and 10.
fn base_type(c: &ColumnInfo) -> (&str, Option<u32>) {
    let t = c.source_type.as_str();
    let base = t.split(['(', ' ']).next().unwrap_or(t);
    let length = t.split_once('(').and_then(|(_, rest)| rest.split(')').next()?.parse().ok());
    (base, length)
}

fn class_of_type(ty: &DataType) -> Class {
    use DataType as D;
    match ty {
        t if t.is_signed_integer() => Class::Signed,
        t if t.is_unsigned_integer() => Class::Unsigned,
        D::Decimal128(_, s) | D::Decimal256(_, s) if (0..=MAX_SCALE).contains(s) => Class::Decimal,
        D::Date32 => Class::Date,
        D::Timestamp(TimeUnit::Microsecond, None) => Class::DateTime,
        D::Utf8 => Class::Text,
        D::Binary => Class::Bytes,
        D::Boolean => Class::Truth,
        D::Float32 | D::Float64 => {
            Class::Other("floats: their sums depend on the order of rows, and FLOAT compares as DOUBLE")
        }
        D::Timestamp(..) => Class::Instant,
        _ => Class::Other("the server has its own order for this type"),
    }
}

fn class_of(value: &Value<'_>) -> Class {
    let class = class_of_type(&value.ty);
    let Some(o) = &value.origin else {
        return if class == Class::Instant { Class::Other("an instant is made a local time there") } else { class };
    };
    if LogicalType::of(o.field()) == Some(LogicalType::Json) {
        return Class::Other("the server compares JSON by value, not by text");
    }
    let Some(info) = o.info() else { return Class::Other("the column is not described") };
    match (class, base_type(info).0) {
        (Class::Truth, _) => Class::Other("the server has no booleans"),
        (Class::Unsigned, "year") => Class::Other("a YEAR is compared with two-digit years in mind"),
        (Class::Unsigned, "bit") => Class::Other("BIT compares as bytes or as a number, by context"),
        (Class::Text, "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum") => class,
        (Class::Bytes, "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob") => class,
        (Class::Text | Class::Bytes, _) => Class::Other("the server has its own order for this type"),
        _ => class,
    }
}

fn rules_of(class: Class, value: &Value<'_>) -> TypeRules {
    let name = match class {
        Class::Signed => "int",
        Class::Unsigned => "unsigned",
        Class::Decimal => "decimal",
        Class::Date => "date",
        Class::DateTime => "datetime",
        Class::Instant => "timestamp",
        Class::Text if value.origin.is_some() => "column text",
        Class::Text => "text",
        Class::Bytes => "bytes",
        Class::Truth => "truth",
        Class::Other(_) => "other",
    };
    let base = TypeRules {
        class: name.into(),
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
    match class {
        // The sum is a DECIMAL, which the decoder holds against the result's type.
        Class::Signed => TypeRules { sum: Form::Same, number: Form::Same, ..base },
        // The type of a computed one is the server's choice, and a difference below 0 an error (or not, by `sql_mode`).
        Class::Unsigned => {
            let no = || Form::no("unsigned integers follow rules of their own there");
            let canonical = if value.origin.is_some() { no() } else { Form::Same };
            TypeRules { canonical, sum: no(), number: no(), ..base }
        }
        // A sum has 22 digits more than its argument.
        Class::Decimal if matches!(value.ty, DataType::Decimal128(..)) => {
            TypeRules { sum: Form::Same, number: Form::Same, ..base }
        }
        Class::Decimal => TypeRules { number: Form::Same, ..base },
        Class::Date | Class::DateTime => base,
        Class::Instant => TypeRules {
            canonical: Form::no("an instant is made a local time there"),
            extreme: Form::no("an instant is made a local time there"),
            ..base
        },
        Class::Bytes => {
            let long = value.chars.is_none_or(|n| n > SORTED_BYTES);
            let sorted = if long { TOO_LONG } else { Form::Same };
            TypeRules { group: sorted.clone(), sort: sorted, ..base }
        }
        Class::Text => {
            // As it is read: in UTF-8, whatever the column's character set; char(n) without its padding.
            let (text, bytes) = if value.origin.is_some() {
                (Form::new("CONVERT({} USING utf8mb4)"), Form::new("CAST(CONVERT({} USING utf8mb4) AS BINARY)"))
            } else {
                (Form::Same, Form::new("CAST({} AS BINARY)"))
            };
            let long = value.chars.is_none_or(|n| n > SORTED_CHARS);
            let sorted = if long { TOO_LONG } else { bytes.clone() };
            TypeRules {
                canonical: text.clone(),
                equality: bytes.clone(),
                group: sorted.clone(),
                // All of a group's texts are one; an aggregate is allowed under ONLY_FULL_GROUP_BY.
                grouped: match value.origin {
                    Some(_) => Form::new("MIN(CONVERT({} USING utf8mb4))"),
                    None => Form::new("MIN({})"),
                },
                order: bytes.clone(),
                sort: sorted,
                extreme: bytes,
                extreme_result: Form::new("CONVERT({} USING utf8mb4)"),
                text,
                ..base
            }
        }
        Class::Truth => TypeRules { truth: Form::Same, ..TypeRules::opaque("the server has no booleans") },
        Class::Other(why) => TypeRules::opaque(why),
    }
}

/// Digits of an integer type.
fn digits(ty: &DataType) -> Option<i16> {
    Some(match ty {
        DataType::Int8 => 3,
        DataType::Int16 => 5,
        DataType::Int32 => 10,
        DataType::Int64 => 19,
        _ => return None,
    })
}

fn decimal(ty: &DataType) -> Option<(i16, i16)> {
    match ty {
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => Some((i16::from(*p), i16::from(*s))),
        _ => None,
    }
}

/// Equality by the column's collation, which an index may answer, and then by bytes.
fn equal_bytes(origin: &Origin<'_>, column: &str, p: &Predicate) -> Result<String, Refusal> {
    let approximate = || "a filter that is only approximate there".to_string();
    let value = Value { origin: Some(*origin), ..Value::computed(column.into(), origin.field().data_type().clone()) };
    let constants: Vec<String> = match p {
        Predicate::Compare { op: CompareOp::Eq, value: Literal::Utf8(t), .. } => vec![t.clone()],
        Predicate::In { values, negated: false, .. } => {
            let text = |v: &'_ Literal| match v {
                Literal::Utf8(t) => Some(t.clone()),
                _ => None,
            };
            values.iter().map(text).collect::<Option<_>>().ok_or_else(approximate)?
        }
        _ => return Err(approximate()),
    };
    if class_of(&value) != Class::Text {
        return Err(approximate());
    }
    let rough = MYSQL.predicate(p, &|_| column.to_string()).ok_or_else(approximate)?;
    let bytes = rules_of(Class::Text, &value).equality.apply(column)?;
    let list: Vec<String> = constants.iter().map(|t| format!("CAST({} AS BINARY)", quote_text(t))).collect();
    let exact = match list.as_slice() {
        [one] => format!("{bytes} = {one}"),
        all => format!("{bytes} IN ({})", all.join(", ")),
    };
    Ok(format!("{rough} AND {exact}"))
}

impl QueryDialect for Queries {
    fn dialect(&self) -> &Dialect {
        &MYSQL
    }
    fn syntax(&self) -> &Syntax {
        &SYNTAX
    }
    fn relation(&self, table: &TableInfo) -> Result<String, Refusal> {
        Ok(MYSQL.relation(&table.relation))
    }
    fn rules(&self, value: &Value<'_>) -> TypeRules {
        let rules = rules_of(class_of(value), value);
        match (&value.origin, &rules.group) {
            // Not every server finds an expression among those grouped by, and then wants an aggregate of it
            // (ONLY_FULL_GROUP_BY). All of a group's values are one.
            (None, Form::Same) => TypeRules { group: Form::new("{}"), grouped: Form::new("MIN({})"), ..rules },
            _ => rules,
        }
    }

    fn max_chars(&self, origin: &Origin<'_>) -> Option<u32> {
        match base_type(origin.info()?) {
            ("char" | "varchar" | "binary" | "varbinary", n) => n,
            ("tinytext" | "tinyblob" | "enum", _) => Some(255),
            _ => None,
        }
    }

    fn literal(&self, value: &Literal, ty: &DataType) -> Result<String, Refusal> {
        use Literal as L;
        let no = || format!("a constant of type {ty}");
        let class = class_of_type(ty);
        if *value == L::Null {
            // A bare NULL has no type, and would come back as of none.
            return Ok(match (class, ty) {
                (Class::Signed, _) => "CAST(NULL AS SIGNED)".into(),
                (Class::Unsigned, _) => "CAST(NULL AS UNSIGNED)".into(),
                (Class::Decimal, t) => {
                    let (p, s) = decimal(t).filter(|(p, _)| *p <= MAX_PRECISION.into()).ok_or_else(no)?;
                    format!("CAST(NULL AS DECIMAL({p},{s}))")
                }
                (Class::Date, _) => "CAST(NULL AS DATE)".into(),
                (Class::DateTime, _) => "CAST(NULL AS DATETIME(6))".into(),
                (Class::Text, _) => "CONVERT(NULL USING utf8mb4)".into(),
                (Class::Bytes, _) => "CAST(NULL AS BINARY)".into(),
                (Class::Truth, _) => "NULL".into(),
                _ => return Err(no()),
            });
        }
        let fits = matches!(
            (class, value),
            (Class::Signed | Class::Unsigned, L::Int(_) | L::UInt(_))
                | (Class::Decimal, L::Decimal { .. })
                | (Class::Date, L::Date(_))
                | (Class::DateTime, L::Timestamp { utc: false, .. })
                | (Class::Text, L::Utf8(_))
                | (Class::Bytes, L::Binary(_))
                | (Class::Truth, L::Bool(_))
        );
        let text = MYSQL.literal(value).filter(|_| fits).ok_or_else(no)?;
        Ok(match value {
            // Without a point it would be an integer.
            L::Decimal { scale, .. } if *scale <= 0 => {
                let n = text.bytes().filter(u8::is_ascii_digit).count().min(MAX_PRECISION.into());
                format!("CAST({text} AS DECIMAL({n},0))")
            }
            _ => text,
        })
    }

    fn predicate(&self, origin: &Origin<'_>, column: &str, p: &Predicate) -> Result<String, Refusal> {
        match pushdown(origin.table, std::slice::from_ref(p)).pop() {
            Some(Pushdown::Exact) => {
                MYSQL.predicate(p, &|_| column.to_string()).ok_or_else(|| "a condition that cannot be written".into())
            }
            Some(Pushdown::No(why)) => Err(why),
            _ => equal_bytes(origin, column, p),
        }
    }

    fn cast(&self, value: &Value<'_>, to: &DataType) -> Result<String, Refusal> {
        let sql = &value.sql;
        let no = || format!("a cast from {} to {to}", value.ty);
        match (digits(&value.ty), digits(to)) {
            (Some(from), Some(to)) if to >= from => return Ok(sql.clone()),
            _ => {}
        }
        match (digits(&value.ty), decimal(&value.ty), decimal(to)) {
            // Every value fits: a cast of one that doesn't would saturate.
            (Some(n), _, Some((p, s))) if s >= 0 && p - s >= n => Ok(format!("CAST({sql} AS DECIMAL({n},0))")),
            (_, Some((p, s)), Some((to_p, to_s))) if s >= 0 && to_s >= s && to_p - to_s >= p - s => Ok(sql.clone()),
            _ => match (&value.ty, to) {
                (DataType::Date32, DataType::Timestamp(TimeUnit::Microsecond, None)) => {
                    Ok(format!("CAST({sql} AS DATETIME(6))"))
                }
                _ => Err(no()),
            },
        }
    }

    fn date_part(&self, part: QueryDatePart, value: &Value<'_>, ty: &DataType) -> Result<String, Refusal> {
        if *ty != DataType::Int32 {
            return Err("a calendar field as another type than Int32".into());
        }
        let name = match part {
            QueryDatePart::Year => "YEAR",
            QueryDatePart::Month => "MONTH",
            QueryDatePart::Day => "DAYOFMONTH",
        };
        Ok(format!("{name}({})", value.sql))
    }

    fn like(&self, text: &str, pattern: &str, negated: bool) -> Result<String, Refusal> {
        // Character by character, each its code point; LIKE never pads.
        let not = if negated { "NOT " } else { "" };
        Ok(format!("{text} COLLATE utf8mb4_bin {not}LIKE {}", quote_text(pattern)))
    }

    fn arithmetic(
        &self,
        op: QueryArithmetic,
        left: (&str, &DataType),
        right: (&str, &DataType),
        ty: &DataType,
    ) -> Result<String, Refusal> {
        if let (Some((p, s)), Some((q, t)), Some((_, scale))) = (decimal(left.1), decimal(right.1), decimal(ty)) {
            let digits = match op {
                QueryArithmetic::Multiply => p + q,
                _ => (p - s).max(q - t) + scale + 1,
            };
            if digits > MAX_PRECISION.into() || scale > MAX_SCALE.into() {
                return Err("decimals of more than 65 digits, or 30 behind the point".into());
            }
        }
        Ok(format!("({} {} {})", left.0, arithmetic_sql(op), right.0))
    }

    fn output(&self, value: &Value<'_>, field: &Field) -> Result<String, Refusal> {
        if value.origin.is_some() {
            return Ok(value.sql.clone());
        }
        match class_of_type(field.data_type()) {
            Class::Signed | Class::Decimal | Class::Date | Class::DateTime | Class::Text | Class::Bytes => {
                Ok(value.sql.clone())
            }
            _ => Err(format!("`{}` cannot come back as {}", field.name(), field.data_type())),
        }
    }
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
