//! Whole queries: DuckDB means by almost all of them what the engine means. Refused are floats, types that travel as text
//! (but enums), and text that may have a collation. The walk is `xdb_sql::query`'s; conditions between a column and
//! constants are `pushdown`'s.

use crate::dialect::{DUCKDB, relation_sql};
use crate::pushdown::write_as;
use crate::types::{Transport, Ty, parse};
use arrow::datatypes::{DataType, Field, TimeUnit};
use xdb_core::{Literal, LogicalType, Predicate, QueryArithmetic, QueryDatePart, TableInfo, TypePolicy};
use xdb_sql::query::{Form, Origin, QueryDialect, Refusal, Syntax, TypeRules, Value, arithmetic_sql};
use xdb_sql::{Dialect, decimal_text, quote_text_ansi};

pub(crate) struct Queries;

static SYNTAX: Syntax = Syntax {
    filter_clause: true,
    full_join: true,
    nulls_placement: true,
    group_by_expressions: true,
    // A join on `x` with `(SELECT … ORDER BY x NULLS FIRST LIMIT 2)` answers as if NULLs were dropped before the LIMIT.
    inner_limits: false,
    no_columns: "1",
};

/// The type that stands for an Arrow type in computations.
fn type_name(ty: &DataType) -> Option<String> {
    use DataType as D;
    Some(
        match ty {
            D::Boolean => "BOOLEAN",
            D::Int8 => "TINYINT",
            D::Int16 => "SMALLINT",
            D::Int32 => "INTEGER",
            D::Int64 => "BIGINT",
            D::UInt8 => "UTINYINT",
            D::UInt16 => "USMALLINT",
            D::UInt32 => "UINTEGER",
            D::UInt64 => "UBIGINT",
            D::Decimal128(p, s @ 0..) => return Some(format!("DECIMAL({p},{s})")),
            D::Utf8 => "VARCHAR",
            D::Binary => "BLOB",
            D::Date32 => "DATE",
            D::Time64(TimeUnit::Microsecond) => "TIME",
            D::Timestamp(TimeUnit::Microsecond, None) => "TIMESTAMP",
            D::Timestamp(TimeUnit::Microsecond, Some(z)) if z.as_ref() == "UTC" => "TIMESTAMPTZ",
            _ => return None,
        }
        .into(),
    )
}

fn opaque(ty: &DataType, why: &'static str) -> TypeRules {
    // A value of its Arrow type's own DuckDB type passes through a CASE or a union as well.
    let canonical = if ty.is_floating() { Form::Same } else { Form::no(why) };
    TypeRules { canonical, ..TypeRules::opaque(why) }
}

fn rules_of(ty: &DataType, origin: Option<&Origin<'_>>) -> TypeRules {
    let base = TypeRules {
        class: ty.to_string().into(),
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
    // Another type there, whose text is what is read.
    let as_text = || {
        let text = Form::new("CAST({} AS VARCHAR)");
        TypeRules {
            class: "as text".into(),
            canonical: text.clone(),
            equality: text.clone(),
            group: text.clone(),
            grouped: text.clone(),
            order: text.clone(),
            sort: text.clone(),
            extreme: text.clone(),
            text,
            ..base.clone()
        }
    };
    if let Some(o) = origin {
        let Some(info) = o.info() else { return TypeRules::opaque("the column is not described") };
        let parsed = parse(&info.source_type);
        if parsed == Ty::Enum || LogicalType::of(o.field()).is_some() {
            return as_text();
        }
        if parsed.transport() != Transport::AsIs {
            return TypeRules::opaque("its values travel as text");
        }
        if *ty == DataType::Utf8 && info.collation.is_some() {
            return TypeRules::opaque("its text may have a collation");
        }
        if info.source_type == "HUGEINT" {
            return TypeRules::opaque("its values may have 39 digits");
        }
    }
    if ty.is_floating() {
        return opaque(ty, "floats: NaN and -0 compare differently, and sums depend on the order of rows");
    }
    if type_name(ty).is_none() {
        return TypeRules::opaque("the type has no counterpart that is compared alike");
    }
    match ty {
        // The sum is a HUGEINT; beyond 64 bits the cast fails.
        t if t.is_signed_integer() => TypeRules { sum: Form::new("CAST({} AS BIGINT)"), number: Form::Same, ..base },
        t if t.is_unsigned_integer() => TypeRules { sum: Form::new("CAST({} AS UBIGINT)"), number: Form::Same, ..base },
        DataType::Decimal128(..) => TypeRules { class: "decimal".into(), sum: Form::Same, number: Form::Same, ..base },
        DataType::Utf8 => TypeRules { text: Form::Same, ..base },
        DataType::Boolean => TypeRules { truth: Form::Same, ..base },
        _ => base,
    }
}

impl QueryDialect for Queries {
    fn dialect(&self) -> &Dialect {
        &DUCKDB
    }
    fn syntax(&self) -> &Syntax {
        &SYNTAX
    }
    fn relation(&self, table: &TableInfo) -> Result<String, Refusal> {
        Ok(relation_sql(&table.relation))
    }
    fn rules(&self, value: &Value<'_>) -> TypeRules {
        rules_of(&value.ty, value.origin.as_ref())
    }

    fn literal(&self, value: &Literal, ty: &DataType) -> Result<String, Refusal> {
        use DataType as D;
        use Literal as L;
        let no = || format!("a constant of type {ty}");
        let name = type_name(ty).ok_or_else(no)?;
        Ok(match (ty, value) {
            (_, L::Null) => format!("CAST(NULL AS {name})"),
            (D::Decimal128(p, s), L::Decimal { value, scale }) => {
                let digits = value.unsigned_abs().to_string().len() as i16;
                if scale > s || digits - i16::from(*scale) > i16::from(*p) - i16::from(*s) {
                    return Err(no());
                }
                let text = decimal_text(*value, *scale);
                format!("CAST('{}' AS {name})", text.trim_matches(['(', ')']))
            }
            (t, L::Int(_) | L::UInt(_)) if t.is_integer() => {
                format!("CAST({} AS {name})", DUCKDB.literal(value).ok_or_else(no)?)
            }
            (D::Utf8, L::Utf8(t)) => format!("CAST({} AS VARCHAR)", quote_text_ansi(t).ok_or_else(no)?),
            (D::Boolean, L::Bool(_))
            | (D::Binary, L::Binary(_))
            | (D::Date32, L::Date(_))
            | (D::Time64(_), L::Time(_))
            | (D::Timestamp(_, None), L::Timestamp { utc: false, .. })
            | (D::Timestamp(_, Some(_)), L::Timestamp { utc: true, .. }) => DUCKDB.literal(value).ok_or_else(no)?,
            _ => return Err(no()),
        })
    }

    fn predicate(&self, origin: &Origin<'_>, column: &str, p: &Predicate) -> Result<String, Refusal> {
        write_as(origin.table, p, TypePolicy::Exact, &|_| column.to_string())
    }

    fn cast(&self, value: &Value<'_>, to: &DataType) -> Result<String, Refusal> {
        use DataType as D;
        let allowed = match (&value.ty, to) {
            (a, b) if a.is_integer() && (b.is_integer() || *b == D::Utf8) => true,
            (a, D::Decimal128(_, 0..)) if a.is_integer() => true,
            // Rounding is half away from zero on both sides.
            (D::Decimal128(_, 0..), D::Decimal128(_, 0..)) => true,
            (D::Date32, D::Timestamp(TimeUnit::Microsecond, None)) => true,
            _ => false,
        };
        match type_name(to).filter(|_| allowed) {
            // A value that doesn't fit is an error.
            Some(name) => Ok(format!("CAST({} AS {name})", value.sql)),
            None => Err(format!("a cast from {} to {to}", value.ty)),
        }
    }

    fn arithmetic(
        &self,
        op: QueryArithmetic,
        left: (&str, &DataType),
        right: (&str, &DataType),
        ty: &DataType,
    ) -> Result<String, Refusal> {
        let op = arithmetic_sql(op);
        Ok(match (left.1, ty) {
            // Two decimals in 64 bits make one in 64 bits, and an overflow, where their product has more digits.
            (DataType::Decimal128(p, s), DataType::Decimal128(19.., _)) => {
                format!("(CAST({} AS DECIMAL({},{s})) {op} {})", left.0, (*p).max(19), right.0)
            }
            _ => format!("({} {op} {})", left.0, right.0),
        })
    }

    fn date_part(&self, part: QueryDatePart, value: &Value<'_>, ty: &DataType) -> Result<String, Refusal> {
        if *ty != DataType::Int32 {
            return Err("a calendar field as another type than Int32".into());
        }
        let x = &value.sql;
        let name = match part {
            QueryDatePart::Year => "year",
            QueryDatePart::Month => "month",
            QueryDatePart::Day => "day",
        };
        // Years as astronomers count them, on both sides; outside of these the engine gives NULL.
        Ok(format!("(CASE WHEN year({x}) BETWEEN -262143 AND 262142 THEN CAST({name}({x}) AS INTEGER) END)"))
    }

    fn like(&self, text: &str, pattern: &str, negated: bool) -> Result<String, Refusal> {
        let literal = quote_text_ansi(pattern).ok_or("the pattern cannot be written in SQL")?;
        // Nothing escapes there by default.
        let escape = if pattern.contains('\\') { " ESCAPE '\\'" } else { "" };
        Ok(format!("{text} {}LIKE {literal}{escape}", if negated { "NOT " } else { "" }))
    }

    fn output(&self, value: &Value<'_>, field: &Field) -> Result<String, Refusal> {
        if let Some(o) = &value.origin {
            let Some(info) = o.info() else { return Err("the column is not described".into()) };
            return Ok(match parse(&info.source_type).transport() {
                Transport::AsIs => value.sql.clone(),
                Transport::Cast(to) => format!("CAST({} AS {to})", value.sql),
            });
        }
        let name = type_name(field.data_type())
            .ok_or_else(|| format!("`{}` cannot come back as {}", field.name(), field.data_type()))?;
        Ok(match field.data_type() {
            // Sums and products are as wide as they may be.
            DataType::Decimal128(..) => format!("CAST({} AS {name})", value.sql),
            _ => value.sql.clone(),
        })
    }
}
