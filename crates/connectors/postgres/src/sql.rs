//! How PostgreSQL spells names and constants.

use xdb_core::{Literal, Relation};
use xdb_sql::{ANSI, Dialect, date_text, quote_text_ansi, time_text, timestamp_text};

/// Longest identifier in bytes: NAMEDATALEN - 1.
pub(crate) const MAX_IDENTIFIER: usize = 63;

pub(crate) static DIALECT: Dialect = Dialect { name: "postgres", max_identifier: MAX_IDENTIFIER, literal, ..ANSI };

pub(crate) fn ident(name: &str) -> String {
    DIALECT.ident(name)
}

/// `"schema"."name"`.
pub(crate) fn relation(rel: &Relation) -> String {
    DIALECT.relation(&Relation { database: None, ..rel.clone() })
}

/// A text constant. Needs `standard_conforming_strings`, PostgreSQL's default since 9.1. NUL, which no Postgres text can
/// hold, becomes U+FFFD: for names from the user that can't exist anyway.
pub(crate) fn text(s: &str) -> String {
    quote_text_ansi(&s.replace('\0', "\u{fffd}")).unwrap_or_else(|| "''".into())
}

/// Every constant carries its type, so that no operator is chosen by guess.
fn literal(l: &Literal) -> Option<String> {
    Some(match l {
        Literal::Decimal { .. } => format!("{}::numeric", (ANSI.literal)(l)?),
        Literal::Float(f) if f.is_finite() => format!("'{f:e}'::double precision"),
        Literal::Float(f) if f.is_nan() => "'NaN'::double precision".into(),
        Literal::Float(f) => format!("'{}Infinity'::double precision", if *f < 0.0 { "-" } else { "" }),
        Literal::Utf8(t) => format!("{}::text", quote_text_ansi(t)?),
        Literal::Binary(b) => {
            let hex: String = b.iter().map(|x| format!("{x:02x}")).collect();
            format!("'\\x{hex}'::bytea")
        }
        Literal::Date(d) => format!("DATE '{}'", date_text(*d)?),
        Literal::Time(us) => format!("TIME '{}'", time_text(*us)),
        Literal::Timestamp { micros, utc: false } => format!("TIMESTAMP '{}'", timestamp_text(*micros)?),
        Literal::Timestamp { micros, utc: true } => format!("TIMESTAMPTZ '{}+00:00'", timestamp_text(*micros)?),
        other => (ANSI.literal)(other)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_carry_their_type() {
        let lit = |l| DIALECT.literal(&l).unwrap();
        assert_eq!(lit(Literal::Decimal { value: -12345, scale: 2 }), "(-123.45)::numeric");
        assert_eq!(lit(Literal::Float(f64::NEG_INFINITY)), "'-Infinity'::double precision");
        assert_eq!(lit(Literal::Float(0.1)), "'1e-1'::double precision");
        assert_eq!(lit(Literal::Utf8("O'Brien \\".into())), "'O''Brien \\'::text");
        assert_eq!(lit(Literal::Binary(vec![0, 255])), "'\\x00ff'::bytea");
        assert_eq!(lit(Literal::Timestamp { micros: 1, utc: true }), "TIMESTAMPTZ '1970-01-01 00:00:00.000001+00:00'");
        assert_eq!(DIALECT.literal(&Literal::Utf8("a\0".into())), None);
    }
    #[test]
    fn names() {
        let r = Relation::new(Some("db"), Some("we\"ird"), "t");
        assert_eq!(relation(&r), "\"we\"\"ird\".\"t\"");
    }
}
