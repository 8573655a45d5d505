//! How MySQL and MariaDB spell names and constants, in the session that [`crate::pool`] sets up: no ANSI_QUOTES, no
//! NO_BACKSLASH_ESCAPES, utf8mb4, time zone `+00:00`.

use xdb_core::Literal;
use xdb_sql::{ANSI, Dialect, date_text, decimal_text, time_text, timestamp_text};

/// Both systems allow 64 characters in a name.
pub(crate) const MAX_IDENTIFIER: usize = 64;

pub(crate) static MYSQL: Dialect =
    Dialect { name: "mysql", quote: '`', max_identifier: MAX_IDENTIFIER, literal, starts_with };

/// `'text'`, with what <https://dev.mysql.com/doc/refman/8.4/en/string-literals.html> says must be escaped.
pub(crate) fn quote_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            // Control-Z ends a file for some Windows clients.
            '\x1a' => out.push_str("\\Z"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

fn literal(l: &Literal) -> Option<String> {
    Some(match l {
        Literal::Utf8(t) => quote_text(t),
        Literal::Decimal { value, scale } => decimal_text(*value, *scale),
        Literal::Float(f) if f.is_finite() && *f < 0.0 => format!("({f:e})"),
        Literal::Date(d) => format!("DATE'{}'", date_text(*d)?),
        Literal::Time(us) => format!("TIME'{}'", time_text(*us)),
        // The session's zone is UTC, so that an instant is its UTC wall-clock time.
        Literal::Timestamp { micros, .. } => format!("TIMESTAMP'{}'", timestamp_text(*micros)?),
        other => ANSI.literal(other)?,
    })
}

fn starts_with(column: &str, prefix: &str) -> Option<String> {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for c in prefix.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    Some(format!("{column} LIKE {}", quote_text(&pattern)))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn names_and_texts() {
        assert_eq!(MYSQL.ident("a`b"), "`a``b`");
        assert_eq!(quote_text("O'Brien \\ \0 😀"), "'O''Brien \\\\ \\0 😀'");
        assert_eq!(starts_with("`c`", "50%_\\").unwrap(), r"`c` LIKE '50\\%\\_\\\\%'");
    }
    #[test]
    fn literals() {
        let lit = |l: Literal| MYSQL.literal(&l).unwrap();
        assert_eq!(lit(Literal::Decimal { value: -5, scale: 3 }), "(-0.005)");
        assert_eq!(lit(Literal::Timestamp { micros: 0, utc: true }), "TIMESTAMP'1970-01-01 00:00:00'");
        assert_eq!(lit(Literal::Float(-1.5)), "(-1.5e0)");
        assert_eq!(lit(Literal::UInt(u64::MAX)), "18446744073709551615");
        assert_eq!(lit(Literal::Binary(vec![0, 255])), "X'00FF'");
        assert_eq!(MYSQL.literal(&Literal::Float(f64::INFINITY)), None);
    }
}
