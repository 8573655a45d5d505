//! Which filters mean the same on the server as in Arrow.
//!
//! Collations, padding and types: <https://dev.mysql.com/doc/refman/8.4/en/charset-binary-collations.html>,
//! <https://dev.mysql.com/doc/refman/8.4/en/type-conversion.html>.

use crate::dialect::MYSQL;
use arrow::datatypes::DataType;
use xdb_core::{ColumnInfo, CompareOp, Literal, LogicalType, Predicate, Pushdown, TableInfo};

/// How far the server's comparison of a column can be trusted.
enum Compares {
    /// Equality and order are Arrow's.
    Exactly,
    /// What Arrow calls equal is equal there, and perhaps more (`a` and `A`). Order is another.
    EqualToo,
    /// As `EqualToo` for all six operators: the server's answer is never smaller.
    Roughly,
    No(&'static str),
}

pub(crate) fn pushdown(table: &TableInfo, predicates: &[Predicate]) -> Vec<Pushdown> {
    predicates.iter().map(|p| one(table, p)).collect()
}

fn one(table: &TableInfo, p: &Predicate) -> Pushdown {
    match p {
        Predicate::And(ps) | Predicate::Or(ps) => {
            let mut all = Pushdown::Exact;
            for p in ps {
                match one(table, p) {
                    Pushdown::Exact => {}
                    Pushdown::Inexact => all = Pushdown::Inexact,
                    no => return no,
                }
            }
            all
        }
        Predicate::Not(p) => match one(table, p) {
            // The negation of "at least these" is "at most the others".
            Pushdown::Inexact => Pushdown::no("the opposite of a filter that the server applies only roughly"),
            other => other,
        },
        Predicate::IsNull { column, .. } => match table.column(column) {
            Some(_) => Pushdown::Exact,
            None => unknown(column),
        },
        Predicate::Compare { column, op, value } => with_column(table, column, |t, c| {
            if let Some(no) = unwritable(t, c, value) {
                return no;
            }
            match (compares(t, c), op) {
                (Compares::Exactly, _) => Pushdown::Exact,
                (Compares::EqualToo | Compares::Roughly, CompareOp::Eq) => Pushdown::Inexact,
                (Compares::Roughly, CompareOp::NotEq) | (Compares::EqualToo, _) => {
                    Pushdown::no("the server's collation or type compares by its own rules")
                }
                (Compares::Roughly, _) => Pushdown::Inexact,
                (Compares::No(why), _) => Pushdown::no(why),
            }
        }),
        Predicate::In { column, values, negated } => with_column(table, column, |t, c| {
            if let Some(no) = values.iter().find_map(|v| unwritable(t, c, v)) {
                return no;
            }
            match compares(t, c) {
                Compares::Exactly => Pushdown::Exact,
                Compares::EqualToo | Compares::Roughly if !negated => Pushdown::Inexact,
                Compares::EqualToo | Compares::Roughly => {
                    Pushdown::no("the server's collation or type compares by its own rules")
                }
                Compares::No(why) => Pushdown::no(why),
            }
        }),
        Predicate::StartsWith { column, .. } => with_column(table, column, |t, c| {
            // LIKE compares character by character and never pads; under `_bin` a character is its code point.
            let plain = *t == DataType::Utf8 && !is_enum_or_set(c) && base_type(c) != "uuid";
            match c.collation.as_deref() {
                Some("utf8mb4_bin" | "utf8mb4_0900_bin" | "utf8mb4_nopad_bin") if plain => Pushdown::Exact,
                _ => Pushdown::no("LIKE follows the column's collation"),
            }
        }),
    }
}

fn unknown(column: &str) -> Pushdown {
    Pushdown::no(format!("there is no column `{column}`"))
}
fn with_column(table: &TableInfo, name: &str, f: impl FnOnce(&DataType, &ColumnInfo) -> Pushdown) -> Pushdown {
    match (table.schema.field_with_name(name), table.column(name)) {
        (Ok(field), Some(_)) if LogicalType::of(field) == Some(LogicalType::Json) => {
            Pushdown::no("the server compares JSON by value, not by text")
        }
        (Ok(field), Some(c)) => f(field.data_type(), c),
        _ => unknown(name),
    }
}
/// The type without its length and attributes: `varchar(10)` is `varchar`.
fn base_type(c: &ColumnInfo) -> &str {
    let t = c.source_type.as_str();
    t.split(['(', ' ']).next().unwrap_or(t)
}
fn is_enum_or_set(c: &ColumnInfo) -> bool {
    matches!(base_type(c), "enum" | "set")
}

/// Constants that mean something else to the server, or that it can't be told.
fn unwritable(t: &DataType, c: &ColumnInfo, value: &Literal) -> Option<Pushdown> {
    if MYSQL.literal(value).is_none() {
        return Some(Pushdown::no("the constant cannot be written in MySQL"));
    }
    match (t, value) {
        (DataType::Utf8, Literal::Utf8(text)) if !in_charset(c.collation.as_deref(), text) => {
            Some(Pushdown::no("the constant has characters that the column's character set lacks"))
        }
        // A text beside a number would be read as a number.
        (t, Literal::Utf8(_)) if *t != DataType::Utf8 => Some(Pushdown::no("a text is compared to another type")),
        (DataType::Utf8, v) if !matches!(v, Literal::Utf8(_)) => {
            Some(Pushdown::no("a text column is compared to another type"))
        }
        (DataType::Binary, v) if !matches!(v, Literal::Binary(_)) => {
            Some(Pushdown::no("a binary column is compared to another type"))
        }
        (t, Literal::Float(_)) if !t.is_floating() => Some(Pushdown::no("a float is compared to an exact type")),
        (DataType::Date32, v) if !matches!(v, Literal::Date(_)) => {
            Some(Pushdown::no("a date is compared to another type"))
        }
        (DataType::Timestamp(..), v) if !matches!(v, Literal::Timestamp { .. }) => {
            Some(Pushdown::no("a timestamp is compared to another type"))
        }
        _ => None,
    }
}

/// Beside a column of a character set that lacks them, such characters are an error (1267) rather than a mismatch.
fn in_charset(collation: Option<&str>, text: &str) -> bool {
    match collation.and_then(|c| c.split('_').next()) {
        Some("ascii") => text.is_ascii(),
        Some("latin1") => text.chars().all(|c| c.is_ascii() || ('\u{A0}'..='\u{FF}').contains(&c)),
        Some("utf8" | "utf8mb3" | "ucs2") => text.chars().all(|c| c <= '\u{FFFF}'),
        _ => true,
    }
}

fn compares(t: &DataType, c: &ColumnInfo) -> Compares {
    use DataType as D;
    match t {
        D::UInt16 if base_type(c) == "year" => Compares::No("a YEAR is compared with two-digit years in mind"),
        D::UInt64 if base_type(c) == "bit" => Compares::No("BIT compares as bytes or as a number, by context"),
        t if t.is_integer() => Compares::Exactly,
        D::Decimal128(..) | D::Decimal256(..) | D::Date32 | D::Timestamp(..) => Compares::Exactly,
        D::Float64 => Compares::Roughly,
        D::Float32 => Compares::No("FLOAT compares as DOUBLE"),
        D::Boolean => Compares::No("the server has no booleans"),
        D::Binary
            if matches!(base_type(c), "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob") =>
        {
            Compares::Exactly
        }
        D::Utf8 => text(c),
        _ => Compares::No("the server has its own order for this type"),
    }
}

fn text(c: &ColumnInfo) -> Compares {
    if is_enum_or_set(c) || matches!(base_type(c), "uuid") {
        return Compares::EqualToo;
    }
    match c.collation.as_deref() {
        // Neither folds nor pads: bytes, in the order of UTF-8.
        Some("utf8mb4_0900_bin" | "utf8mb4_nopad_bin") if base_type(c) != "char" => Compares::Exactly,
        // Character sets whose way to Unicode and back is one to one. In others two codes may be one character, and a
        // constant would find only one of them.
        Some(c) if ["utf8", "latin1_", "ascii_", "utf16", "utf32", "ucs2"].iter().any(|s| c.starts_with(s)) => {
            Compares::EqualToo
        }
        Some(_) => Compares::No("the column's character set is converted for comparison"),
        None => Compares::No("the server has its own order for this type"),
    }
}

/// Under `types: lossy` a zero or impossible date is NULL to Arrow: make it NULL for the filter too.
pub(crate) fn date_column_sql(column: &str, t: &DataType) -> String {
    match t {
        DataType::Date32 | DataType::Timestamp(..) => format!(
            "IF(YEAR({column}) > 0 AND MONTH({column}) > 0 AND DAYOFMONTH({column}) > 0 \
             AND DAYOFMONTH({column}) <= DAYOFMONTH(LAST_DAY({column})), {column}, NULL)"
        ),
        DataType::Time64(_) => {
            format!("IF({column} >= TIME'00:00:00' AND {column} < TIME'24:00:00', {column}, NULL)")
        }
        _ => column.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{Field, Schema, TimeUnit};
    use std::sync::Arc;
    use xdb_core::{Relation, RelationKind};

    fn table() -> TableInfo {
        let us = TimeUnit::Microsecond;
        let all: Vec<(&str, DataType, &str, Option<&str>)> = vec![
            ("i", DataType::Int32, "int(11)", None),
            ("u", DataType::UInt64, "bigint(20) unsigned", None),
            ("y", DataType::UInt16, "year(4)", None),
            ("d", DataType::Decimal128(10, 2), "decimal(10,2)", None),
            ("date", DataType::Date32, "date", None),
            ("dt", DataType::Timestamp(us, None), "datetime(6)", None),
            ("f", DataType::Float32, "float", None),
            ("g", DataType::Float64, "double", None),
            ("bits", DataType::UInt64, "bit(9)", None),
            ("b", DataType::Boolean, "bit(1)", None),
            ("ci", DataType::Utf8, "varchar(10)", Some("utf8mb4_general_ci")),
            ("bin", DataType::Utf8, "varchar(10)", Some("utf8mb4_bin")),
            ("nopad", DataType::Utf8, "varchar(10)", Some("utf8mb4_0900_bin")),
            ("padded", DataType::Utf8, "char(10)", Some("utf8mb4_nopad_bin")),
            ("sjis", DataType::Utf8, "varchar(10)", Some("sjis_bin")),
            ("e", DataType::Utf8, "enum('b','a')", Some("utf8mb4_bin")),
            ("raw", DataType::Binary, "varbinary(10)", None),
            ("geo", DataType::Binary, "point", None),
            ("t", DataType::Time64(us), "time(6)", None),
            ("j", DataType::Utf8, "longtext", Some("utf8mb4_bin")),
        ];
        let fields = all.iter().map(|(n, t, ..)| {
            let f = Field::new(*n, t.clone(), true);
            if *n == "j" { LogicalType::Json.mark(f) } else { f }
        });
        let columns = all.iter().map(|(n, _, s, c)| ColumnInfo {
            name: n.to_string(),
            source_type: s.to_string(),
            nullable: true,
            collation: c.map(Into::into),
            binary_equality: false,
            comment: None,
        });
        TableInfo {
            relation: Relation::bare("t"),
            kind: RelationKind::Table,
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            columns: columns.collect(),
            primary_key: vec![],
            row_estimate: None,
            bytes_estimate: None,
        }
    }
    fn answer(p: &Predicate) -> char {
        match &pushdown(&table(), std::slice::from_ref(p))[0] {
            Pushdown::Exact => 'E',
            Pushdown::Inexact => 'I',
            Pushdown::No(_) => '-',
        }
    }
    fn literal(column: &str) -> Literal {
        match column {
            "d" => Literal::Decimal { value: 5, scale: 2 },
            "date" => Literal::Date(1),
            "dt" => Literal::Timestamp { micros: 1, utc: false },
            "f" | "g" => Literal::Float(1.5),
            "b" => Literal::Bool(true),
            "ci" | "bin" | "nopad" | "padded" | "sjis" | "e" | "j" => Literal::Utf8("a".into()),
            "raw" | "geo" => Literal::Binary(vec![1]),
            "t" => Literal::Time(1),
            _ => Literal::UInt(1),
        }
    }

    /// Column: `=`, `<>`, `<`, IN, NOT IN, IS NULL, STARTS WITH, NOT (=).
    #[test]
    fn the_table_of_answers() {
        for (column, want) in [
            ("i", "EEEEEE-E"),
            ("u", "EEEEEE-E"),
            ("y", "-----E--"),
            ("d", "EEEEEE-E"),
            ("date", "EEEEEE-E"),
            ("dt", "EEEEEE-E"),
            ("f", "-----E--"),
            ("g", "I-II-E--"),
            ("bits", "-----E--"),
            ("b", "-----E--"),
            ("ci", "I--I-E--"),
            ("bin", "I--I-EE-"),
            ("nopad", "EEEEEEEE"),
            ("padded", "I--I-EE-"),
            ("sjis", "-----E--"),
            ("e", "I--I-E--"),
            ("raw", "EEEEEE-E"),
            ("geo", "-----E--"),
            ("t", "-----E--"),
            ("j", "-----E--"),
            ("missing", "--------"),
        ] {
            let column = column.to_string();
            let value = literal(&column);
            let compare = |op| Predicate::Compare { column: column.clone(), op, value: value.clone() };
            let within = |negated| Predicate::In { column: column.clone(), values: vec![value.clone()], negated };
            let all = [
                compare(CompareOp::Eq),
                compare(CompareOp::NotEq),
                compare(CompareOp::Lt),
                within(false),
                within(true),
                Predicate::IsNull { column: column.clone(), negated: true },
                Predicate::StartsWith { column: column.clone(), prefix: "a".into(), negated: false },
                Predicate::Not(Box::new(compare(CompareOp::Eq))),
            ];
            let got: String = all.iter().map(answer).collect();
            assert_eq!(got, want, "{column}");
        }
    }
    #[test]
    fn a_whole_is_as_good_as_its_worst_part() {
        let eq = |c: &str| Predicate::Compare { column: c.into(), op: CompareOp::Eq, value: literal(c) };
        assert_eq!(answer(&Predicate::Or(vec![eq("i"), eq("ci")])), 'I');
        assert_eq!(answer(&Predicate::And(vec![eq("i"), eq("f")])), '-');
        assert_eq!(answer(&Predicate::Not(Box::new(Predicate::Or(vec![eq("i"), eq("ci")])))), '-');
    }
    #[test]
    fn characters_that_a_character_set_lacks() {
        for (collation, text, want) in [
            ("latin1_swedish_ci", "é", true),
            ("latin1_swedish_ci", "€", false),
            ("ascii_bin", "é", false),
            ("utf8mb3_bin", "日", true),
            ("utf8mb3_bin", "😀", false),
            ("utf8mb4_bin", "😀", true),
        ] {
            assert_eq!(in_charset(Some(collation), text), want, "{collation} {text}");
        }
    }
    #[test]
    fn a_constant_of_another_type_stays_here() {
        for (column, value) in [
            ("i", Literal::Utf8("1".into())),
            ("i", Literal::Float(1.0)),
            ("ci", Literal::Int(0)),
            ("date", Literal::Timestamp { micros: 0, utc: false }),
            ("dt", Literal::Date(0)),
            ("g", Literal::Float(f64::NAN)),
            ("date", Literal::Date(i32::MAX)),
        ] {
            let p = Predicate::Compare { column: column.into(), op: CompareOp::Eq, value };
            assert_eq!(answer(&p), '-', "{p:?}");
        }
    }
}
