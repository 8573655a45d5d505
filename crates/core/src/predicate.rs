//! Filters in a form that any source can be asked about.
//!
//! Semantics are SQL's three-valued logic over Arrow values: a row passes only where the predicate is true. Text is
//! compared by bytes; a source whose collation differs must say so in its [`Pushdown`].

use serde::{Deserialize, Serialize};

/// A constant. Text form in each dialect is `xdb-sql`'s business.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(#[serde(with = "as_text")] f64),
    /// `value * 10^-scale`.
    Decimal {
        #[serde(with = "as_text")]
        value: i128,
        scale: i8,
    },
    Utf8(String),
    Binary(Vec<u8>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01 00:00:00, in UTC where `utc`, else wall-clock time without a zone.
    Timestamp {
        micros: i64,
        utc: bool,
    },
}

/// Numbers that JSON would change: NaN, infinities, integers past 64 bits, and the last digit of a float.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::fmt::Display;
    use std::str::FromStr;

    pub(super) fn serialize<T: Display, S: Serializer>(v: &T, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(v)
    }
    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompareOp {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}
impl CompareOp {
    pub fn sql(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::NotEq => "<>",
            Self::Lt => "<",
            Self::LtEq => "<=",
            Self::Gt => ">",
            Self::GtEq => ">=",
        }
    }
    /// The operator with its sides swapped: `1 < x` is `x > 1`.
    pub fn swap(self) -> Self {
        match self {
            Self::Lt => Self::Gt,
            Self::LtEq => Self::GtEq,
            Self::Gt => Self::Lt,
            Self::GtEq => Self::LtEq,
            same => same,
        }
    }
}

/// A condition on the columns of one relation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Predicate {
    /// `column op value`; the literal has the column's type (the planner sees to it) and is never NULL.
    Compare {
        column: String,
        op: CompareOp,
        value: Literal,
    },
    /// `column [NOT] IN (values)`; no value is NULL, and there is at least one.
    In {
        column: String,
        values: Vec<Literal>,
        negated: bool,
    },
    IsNull {
        column: String,
        negated: bool,
    },
    /// `column [NOT] LIKE prefix%`: the only LIKE shape that has the same meaning everywhere.
    StartsWith {
        column: String,
        prefix: String,
        negated: bool,
    },
    And(Vec<Predicate>),
    Or(Vec<Predicate>),
    Not(Box<Predicate>),
}
impl Predicate {
    /// Names of the columns it reads, each once.
    pub fn columns(&self) -> Vec<&str> {
        fn walk<'a>(p: &'a Predicate, out: &mut Vec<&'a str>) {
            match p {
                Predicate::Compare { column, .. }
                | Predicate::In { column, .. }
                | Predicate::IsNull { column, .. }
                | Predicate::StartsWith { column, .. } => {
                    if !out.contains(&column.as_str()) {
                        out.push(column)
                    }
                }
                Predicate::And(ps) | Predicate::Or(ps) => ps.iter().for_each(|p| walk(p, out)),
                Predicate::Not(p) => walk(p, out),
            }
        }
        let mut out = Vec::new();
        walk(self, &mut out);
        out
    }
}

/// A source's answer to "can you filter on this?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushdown {
    /// The source returns exactly the rows that pass: no re-check.
    Exact,
    /// The source returns at least the rows that pass: filter again locally.
    Inexact,
    /// Not sent; the reason is for `xdb explain`.
    No(String),
}
impl Pushdown {
    pub fn no(why: impl Into<String>) -> Self {
        Self::No(why.into())
    }
    pub fn is_sent(&self) -> bool {
        !matches!(self, Self::No(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn literals_survive_json() {
        let through = |l: &Literal| serde_json::from_value::<Literal>(serde_json::to_value(l).unwrap()).unwrap();
        let exact = [
            Literal::Float(f64::INFINITY),
            Literal::Float(f64::from(f32::MAX)),
            Literal::Float(0.1 + 0.2),
            Literal::Decimal { value: i128::MIN, scale: 38 },
            Literal::UInt(u64::MAX),
            Literal::Int(i64::MIN),
        ];
        for l in exact {
            assert_eq!(through(&l), l);
        }
        assert!(matches!(through(&Literal::Float(f64::NAN)), Literal::Float(f) if f.is_nan()));
    }
}
