//! DuckDB's types by name: which are carried through Arrow as they are, and which as text.
//!
//! DuckDB's own Arrow export (<https://duckdb.org/docs/stable/guides/python/export_arrow>) is exact for most types. It
//! drops the offset of TIMETZ, wraps UHUGEINT around, and has private encodings for BIT, BIGNUM and VARIANT: those are
//! cast in the SQL that is sent.

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use std::collections::HashMap;
use std::sync::Arc;
use xdb_core::types::SOURCE_TYPE_KEY;
use xdb_core::{Error, Fidelity, LogicalType, Result, SourceType, TargetType};

/// A parsed type name, e.g. `STRUCT(a INTEGER, "b c" UUID[])[3]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    /// Upper case, with its arguments: `DECIMAL(18,3)`.
    Scalar(String),
    /// `ENUM(…)` or `UNION(…)`: arguments don't matter here.
    Enum,
    Union,
    List(Box<Ty>),
    Array(Box<Ty>, u64),
    Struct(Vec<(String, Ty)>),
    Map(Box<Ty>, Box<Ty>),
}

/// Reads a name as `duckdb_columns()` and `DESCRIBE` print it. What isn't understood is a scalar of that name.
pub(crate) fn parse(text: &str) -> Ty {
    let mut p = Parser { rest: text.trim() };
    match p.ty() {
        Some(t) if p.rest.trim().is_empty() => t,
        _ => Ty::Scalar(text.trim().to_ascii_uppercase()),
    }
}

struct Parser<'a> {
    rest: &'a str,
}
impl<'a> Parser<'a> {
    fn eat(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(c) {
            Some(r) => {
                self.rest = r;
                true
            }
            None => false,
        }
    }
    /// Text up to the parenthesis that closes the one just opened, quotes respected; the parenthesis is eaten.
    fn until_close(&mut self) -> Option<&'a str> {
        let (mut depth, mut quote) = (0, None);
        for (i, c) in self.rest.char_indices() {
            match (quote, c) {
                (Some(q), c) if c == q => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(c),
                (None, '(') => depth += 1,
                (None, ')') if depth == 0 => {
                    let inside = &self.rest[..i];
                    self.rest = &self.rest[i + 1..];
                    return Some(inside);
                }
                (None, ')') => depth -= 1,
                _ => {}
            }
        }
        None
    }
    /// A field's name, quoted or not.
    fn name(&mut self) -> Option<String> {
        self.rest = self.rest.trim_start();
        if let Some(mut r) = self.rest.strip_prefix('"') {
            let mut out = String::new();
            loop {
                let i = r.find('"')?;
                out.push_str(&r[..i]);
                r = &r[i + 1..];
                match r.strip_prefix('"') {
                    Some(more) => {
                        out.push('"');
                        r = more;
                    }
                    None => break,
                }
            }
            self.rest = r;
            return Some(out);
        }
        let end = self.rest.find(|c: char| c.is_whitespace() || "(),".contains(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!name.is_empty()).then(|| name.to_string())
    }
    fn ty(&mut self) -> Option<Ty> {
        self.rest = self.rest.trim_start();
        // Words of a name (`TIMESTAMP WITH TIME ZONE`) up to what cannot be part of one.
        let end = self.rest.find(['(', ')', ',', '[']).unwrap_or(self.rest.len());
        let (words, rest) = self.rest.split_at(end);
        self.rest = rest;
        let name = words.trim().trim_matches('"').to_ascii_uppercase();
        let mut t = match name.as_str() {
            "" => return None,
            "STRUCT" | "ROW" => {
                if !self.eat('(') {
                    return None;
                }
                let mut fields = vec![];
                loop {
                    let field = self.name()?;
                    fields.push((field, self.ty()?));
                    if self.eat(')') {
                        break Ty::Struct(fields);
                    }
                    if !self.eat(',') {
                        return None;
                    }
                }
            }
            "MAP" => {
                if !self.eat('(') {
                    return None;
                }
                let key = self.ty()?;
                if !self.eat(',') {
                    return None;
                }
                let value = self.ty()?;
                if !self.eat(')') {
                    return None;
                }
                Ty::Map(Box::new(key), Box::new(value))
            }
            _ => {
                let args = if self.eat('(') { Some(self.until_close()?) } else { None };
                match (name.as_str(), args) {
                    ("ENUM", Some(_)) => Ty::Enum,
                    ("UNION", Some(_)) => Ty::Union,
                    (_, Some(a)) => Ty::Scalar(format!("{name}({a})")),
                    (_, None) => Ty::Scalar(name),
                }
            }
        };
        while self.eat('[') {
            if self.eat(']') {
                t = Ty::List(Box::new(t));
                continue;
            }
            let n = self.rest.find(']')?;
            t = Ty::Array(Box::new(t), self.rest[..n].trim().parse().ok()?);
            self.rest = &self.rest[n + 1..];
        }
        Some(t)
    }
}

/// How a column is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    AsIs,
    /// `CAST(column AS this)`.
    Cast(String),
}

impl Ty {
    pub(crate) fn transport(&self) -> Transport {
        let wanted = self.wanted();
        if wanted.1 { Transport::Cast(wanted.0) } else { Transport::AsIs }
    }
    /// The type to ask for, and whether it is another.
    fn wanted(&self) -> (String, bool) {
        let text = || ("VARCHAR".to_string(), true);
        match self {
            Ty::Enum | Ty::Union => text(),
            Ty::List(t) => {
                let (s, c) = t.wanted();
                (format!("{s}[]"), c)
            }
            Ty::Array(t, n) => {
                let (s, c) = t.wanted();
                (format!("{s}[{n}]"), c)
            }
            Ty::Map(k, v) => {
                let (k, v) = (k.wanted(), v.wanted());
                (format!("MAP({}, {})", k.0, v.0), k.1 || v.1)
            }
            Ty::Struct(fields) => {
                let all: Vec<_> = fields.iter().map(|(n, t)| (crate::dialect::DUCKDB.ident(n), t.wanted())).collect();
                let changed = all.iter().any(|(_, t)| t.1);
                let list: Vec<_> = all.into_iter().map(|(n, t)| format!("{n} {}", t.0)).collect();
                (format!("STRUCT({})", list.join(", ")), changed)
            }
            Ty::Scalar(name) if plain_scalar(name) => (name.clone(), false),
            Ty::Scalar(_) => text(),
        }
    }
    /// What the text of a column is.
    fn logical(&self) -> Option<LogicalType> {
        match self {
            Ty::Scalar(n) if n == "UUID" => Some(LogicalType::Uuid),
            Ty::Scalar(n) if n == "JSON" => Some(LogicalType::Json),
            _ => None,
        }
    }
    pub(crate) fn is_huge(&self) -> bool {
        matches!(self, Ty::Scalar(n) if n == "UHUGEINT")
    }
}

/// Scalars whose Arrow export is exact.
fn plain_scalar(name: &str) -> bool {
    let base = name.split('(').next().unwrap_or(name);
    matches!(
        base,
        "BOOLEAN"
            | "TINYINT"
            | "SMALLINT"
            | "INTEGER"
            | "BIGINT"
            | "UTINYINT"
            | "USMALLINT"
            | "UINTEGER"
            | "UBIGINT"
            | "HUGEINT"
            | "FLOAT"
            | "DOUBLE"
            | "DECIMAL"
            | "DATE"
            | "TIME"
            | "TIME_NS"
            | "TIMESTAMP"
            | "TIMESTAMP_S"
            | "TIMESTAMP_MS"
            | "TIMESTAMP_NS"
            | "TIMESTAMP WITH TIME ZONE"
            | "INTERVAL"
            | "UUID"
            | "JSON"
            | "VARCHAR"
            | "BLOB"
            | "\"NULL\""
            | "NULL"
    )
}

/// The field of a column, from its DuckDB type and the Arrow type that DuckDB gives for its transport.
pub(crate) fn field(name: &str, source_type: &str, exported: &DataType) -> Field {
    let ty = parse(source_type);
    let data_type = if ty.is_huge() { DataType::Decimal256(39, 0) } else { normal(exported) };
    let f = Field::new(name, data_type, true)
        .with_metadata(HashMap::from([(SOURCE_TYPE_KEY.to_string(), source_type.to_string())]));
    match ty.logical() {
        Some(l) => l.mark(f),
        None => f,
    }
}

/// Arrow's usual form of an exported type: UTC by that name, no dictionaries, `item` for the items of lists.
pub(crate) fn normal(t: &DataType) -> DataType {
    let child = |f: &Field, name: &str| Arc::new(Field::new(name, normal(f.data_type()), f.is_nullable()));
    match t {
        DataType::Timestamp(u, Some(_)) => DataType::Timestamp(*u, Some("UTC".into())),
        DataType::Dictionary(_, v) => normal(v),
        DataType::List(f) => DataType::List(child(f, "item")),
        DataType::FixedSizeList(f, n) => DataType::FixedSizeList(child(f, "item"), *n),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|f| child(f, f.name())).collect()),
        DataType::Map(f, sorted) => DataType::Map(child(f, f.name()), *sorted),
        other => other.clone(),
    }
}

pub(crate) fn target_type(field: &Field) -> Result<TargetType> {
    use DataType as D;
    Ok(match field.data_type() {
        D::Null => TargetType::widened("INTEGER", "a column of NULLs"),
        D::Boolean => TargetType::exact("BOOLEAN"),
        D::Int8 => TargetType::exact("TINYINT"),
        D::Int16 => TargetType::exact("SMALLINT"),
        D::Int32 => TargetType::exact("INTEGER"),
        D::Int64 => TargetType::exact("BIGINT"),
        D::UInt8 => TargetType::exact("UTINYINT"),
        D::UInt16 => TargetType::exact("USMALLINT"),
        D::UInt32 => TargetType::exact("UINTEGER"),
        D::UInt64 => TargetType::exact("UBIGINT"),
        D::Float16 => TargetType::widened("FLOAT", "reads back as Float32"),
        D::Float32 => TargetType::exact("FLOAT"),
        D::Float64 => TargetType::exact("DOUBLE"),
        D::Decimal128(p, s @ 0..) => TargetType::exact(format!("DECIMAL({p},{s})")),
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) | D::Decimal256(p, s) => {
            let (p, s) = if *s < 0 { (i16::from(*p) - i16::from(*s), 0) } else { (i16::from(*p), i16::from(*s)) };
            if s > 38 {
                return Err(Error::unsupported(format!("DuckDB's decimals have at most 38 digits, not {s} decimals"))
                    .hint("cast the column to a narrower decimal, a double or text in the model's SQL"));
            }
            if p <= 38 {
                TargetType::widened(format!("DECIMAL({p},{s})"), "reads back as Decimal128")
            } else {
                TargetType::lossy(format!("DECIMAL(38,{s})"), "values of at most 38 digits")
            }
        }
        D::Date32 => TargetType::exact("DATE"),
        D::Date64 => TargetType::lossy("DATE", "whole days only"),
        D::Time64(TimeUnit::Microsecond) => TargetType::exact("TIME"),
        D::Time32(_) => TargetType::widened("TIME", "reads back in microseconds"),
        D::Time64(_) => TargetType::lossy("TIME", "whole microseconds only"),
        D::Timestamp(TimeUnit::Second, None) => TargetType::exact("TIMESTAMP_S"),
        D::Timestamp(TimeUnit::Millisecond, None) => TargetType::exact("TIMESTAMP_MS"),
        D::Timestamp(TimeUnit::Microsecond, None) => TargetType::exact("TIMESTAMP"),
        D::Timestamp(TimeUnit::Nanosecond, None) => TargetType::exact("TIMESTAMP_NS"),
        D::Timestamp(TimeUnit::Microsecond, Some(tz)) if tz.as_ref() == "UTC" => TargetType::exact("TIMESTAMPTZ"),
        D::Timestamp(TimeUnit::Microsecond | TimeUnit::Millisecond, Some(_)) => {
            TargetType::widened("TIMESTAMPTZ", "the same moment, in UTC and microseconds")
        }
        D::Timestamp(_, Some(_)) => TargetType::lossy("TIMESTAMPTZ", "whole microseconds, within 290,000 years"),
        D::Interval(IntervalUnit::MonthDayNano) => TargetType::lossy("INTERVAL", "whole microseconds only"),
        D::Interval(_) => TargetType::widened("INTERVAL", "reads back as months, days and nanoseconds"),
        D::Duration(_) => TargetType::lossy("INTERVAL", "whole microseconds, at most 292 years"),
        D::Utf8 | D::LargeUtf8 | D::Utf8View => match LogicalType::of(field) {
            Some(LogicalType::Uuid) => TargetType::exact("UUID"),
            Some(LogicalType::Json) => TargetType::exact("JSON"),
            None => TargetType::exact("VARCHAR"),
        },
        D::Binary | D::LargeBinary | D::BinaryView => TargetType::exact("BLOB"),
        D::FixedSizeBinary(_) => TargetType::widened("BLOB", "reads back as Binary"),
        D::Dictionary(_, v) => return target_type(&field.clone().with_data_type(v.as_ref().clone())),
        D::RunEndEncoded(_, v) => return target_type(&field.clone().with_data_type(v.data_type().clone())),
        D::List(f) | D::LargeList(f) => TargetType { sql: format!("{}[]", inner(f)?), ..whole(field)? },
        D::FixedSizeList(f, n) => TargetType { sql: format!("{}[{n}]", inner(f)?), ..whole(field)? },
        D::Struct(fields) if !fields.is_empty() => {
            let all: Vec<String> = fields
                .iter()
                .map(|f| Ok(format!("{} {}", crate::dialect::DUCKDB.ident(f.name()), inner(f)?)))
                .collect::<Result<_>>()?;
            TargetType { sql: format!("STRUCT({})", all.join(", ")), ..whole(field)? }
        }
        D::Map(entries, _) => match entries.data_type() {
            D::Struct(kv) if kv.len() == 2 => {
                TargetType { sql: format!("MAP({}, {})", inner(&kv[0])?, inner(&kv[1])?), ..whole(field)? }
            }
            other => return Err(Error::internal(format!("a map of {other}"))),
        },
        other => {
            return Err(Error::unsupported(format!("DuckDB has no column type for {other}"))
                .hint("cast the column in the model's SQL"));
        }
    })
}

/// A part of a nested type. The appender converts parts without a look at them, so only types it converts exactly.
fn inner(f: &Field) -> Result<String> {
    let t = target_type(f)?;
    let marked = LogicalType::of(f).is_some();
    if t.fidelity == Fidelity::Exact || matches!(f.data_type(), DataType::List(_) | DataType::LargeList(_)) && !marked {
        return Ok(t.sql);
    }
    Err(Error::unsupported(format!("{} inside a list, struct or map cannot be written to DuckDB", f.data_type()))
        .hint("cast it in the model's SQL"))
}

fn whole(field: &Field) -> Result<TargetType> {
    Ok(if normal(field.data_type()) == *field.data_type() {
        TargetType::exact("")
    } else {
        TargetType::widened("", "the same values, as Arrow's usual form of the type")
    })
}

const fn exact(name: &'static str, arrow: &'static str) -> SourceType {
    SourceType { name, arrow, fidelity: Fidelity::Exact, note: "" }
}
const fn row(name: &'static str, arrow: &'static str, fidelity: Fidelity, note: &'static str) -> SourceType {
    SourceType { name, arrow, fidelity, note }
}

pub(crate) const SOURCE_TYPES: &[SourceType] = &[
    exact("BOOLEAN", "Boolean"),
    exact("TINYINT, SMALLINT, INTEGER, BIGINT", "Int8, Int16, Int32, Int64"),
    exact("UTINYINT, USMALLINT, UINTEGER, UBIGINT", "UInt8, UInt16, UInt32, UInt64"),
    row("HUGEINT", "Decimal128(38, 0)", Fidelity::Lossy, "values of 39 digits are refused (lossy: NULL)"),
    exact("UHUGEINT", "Decimal256(39, 0)"),
    exact("FLOAT, DOUBLE", "Float32, Float64"),
    exact("DECIMAL(p,s)", "Decimal128(p, s)"),
    row("DATE", "Date32", Fidelity::Lossy, "infinity is refused (lossy: NULL)"),
    exact("TIME, TIME_NS", "Time64(µs), Time64(ns)"),
    row(
        "TIMESTAMP, TIMESTAMP_S, TIMESTAMP_MS, TIMESTAMP_NS",
        "Timestamp(µs, s, ms, ns)",
        Fidelity::Lossy,
        "infinity is refused (lossy: NULL)",
    ),
    row("TIMESTAMPTZ", "Timestamp(µs, UTC)", Fidelity::Lossy, "infinity is refused (lossy: NULL)"),
    exact("INTERVAL", "Interval(MonthDayNano)"),
    exact("VARCHAR", "Utf8"),
    exact("UUID", "Utf8 (uuid)"),
    exact("JSON", "Utf8 (json)"),
    exact("BLOB", "Binary"),
    exact("LIST, ARRAY, STRUCT, MAP", "List, FixedSizeList, Struct, Map"),
    row("ENUM", "Utf8", Fidelity::Widened, ""),
    row("TIMETZ, BIT, BIGNUM, UNION, VARIANT, GEOMETRY, others", "Utf8", Fidelity::Widened, "DuckDB's own text"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed() {
        let s = |n: &str| Ty::Scalar(n.into());
        for (text, want) in [
            ("INTEGER", s("INTEGER")),
            ("DECIMAL(18,3)", s("DECIMAL(18,3)")),
            ("TIMESTAMP WITH TIME ZONE[]", Ty::List(Box::new(s("TIMESTAMP WITH TIME ZONE")))),
            ("ENUM('a', ')(', 'it''s')", Ty::Enum),
            ("UNION(num INTEGER, s VARCHAR)", Ty::Union),
            ("INTEGER[][3]", Ty::Array(Box::new(Ty::List(Box::new(s("INTEGER")))), 3)),
            (
                "STRUCT(a INTEGER, \"b \"\" c\" MAP(VARCHAR, UUID[]))",
                Ty::Struct(vec![
                    ("a".into(), s("INTEGER")),
                    ("b \" c".into(), Ty::Map(Box::new(s("VARCHAR")), Box::new(Ty::List(Box::new(s("UUID")))))),
                ]),
            ),
            ("STRUCT(", s("STRUCT(")),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
    }

    #[test]
    fn only_what_must_be_is_cast() {
        let cast = |t: &str| parse(t).transport();
        assert_eq!(cast("STRUCT(a INTEGER, b JSON)[]"), Transport::AsIs);
        assert_eq!(cast("TIME WITH TIME ZONE"), Transport::Cast("VARCHAR".into()));
        assert_eq!(cast("UHUGEINT"), Transport::Cast("VARCHAR".into()));
        assert_eq!(
            cast("STRUCT(a INTEGER, \"b\"\"\" BIT[2])[]"),
            Transport::Cast("STRUCT(\"a\" INTEGER, \"b\"\"\" VARCHAR[2])[]".into())
        );
        assert_eq!(cast("SOME_FUTURE_TYPE"), Transport::Cast("VARCHAR".into()));
    }
}
