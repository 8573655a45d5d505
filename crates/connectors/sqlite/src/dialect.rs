//! How SQLite spells names and constants.

use xdb_core::{Literal, Relation};
use xdb_sql::{ANSI, Dialect};

pub(crate) static SQLITE: Dialect = Dialect {
    name: "sqlite",
    // SQLite has no limit; this is the one for names that xdb makes up.
    max_identifier: 128,
    literal,
    starts_with,
    ..ANSI
};

/// Only what compares exactly as stored (see `pushdown`): dates, decimals and floats are not written here.
fn literal(l: &Literal) -> Option<String> {
    match l {
        Literal::Bool(b) => Some(if *b { "1" } else { "0" }.into()),
        // `-9223372036854775808` as a literal is a minus before a number too big for an integer, so a double.
        Literal::Int(i64::MIN) => Some("(-9223372036854775807 - 1)".into()),
        Literal::UInt(u) => i64::try_from(*u).ok().map(|i| i.to_string()),
        Literal::Null | Literal::Int(_) | Literal::Utf8(_) | Literal::Binary(_) => (ANSI.literal)(l),
        _ => None,
    }
}

/// A range, since SQLite's LIKE ignores the case of ASCII letters: from the prefix to the least text after all that
/// begin with it.
fn starts_with(column: &str, prefix: &str) -> Option<String> {
    let lower = xdb_sql::quote_text_ansi(prefix)?;
    if prefix.is_empty() {
        return Some(format!("{column} >= ''"));
    }
    let mut upper: Vec<char> = prefix.chars().collect();
    while let Some(last) = upper.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            c => char::from_u32(c as u32 + 1),
        };
        if let Some(n) = next {
            upper.push(n);
            let upper = xdb_sql::quote_text_ansi(&upper.into_iter().collect::<String>())?;
            return Some(format!("({column} >= {lower} AND {column} < {upper})"));
        }
    }
    Some(format!("{column} >= {lower}"))
}

/// `schema.name`, quoted; SQLite's schema is the name of an attached file, `main` for the file itself.
pub(crate) fn relation_sql(r: &Relation) -> String {
    SQLITE.relation(&Relation {
        database: None,
        schema: Some(r.schema.clone().unwrap_or("main".into())),
        name: r.name.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn prefixes_become_ranges() {
        assert_eq!(starts_with("c", "ab").unwrap(), "(c >= 'ab' AND c < 'ac')");
        assert_eq!(starts_with("c", "a\u{10ffff}").unwrap(), "(c >= 'a\u{10ffff}' AND c < 'b')");
        assert_eq!(starts_with("c", "\u{10ffff}").unwrap(), "c >= '\u{10ffff}'");
        assert_eq!(starts_with("c", "\u{d7ff}").unwrap(), "(c >= '\u{d7ff}' AND c < '\u{e000}')");
    }
    #[test]
    fn the_least_integer_stays_an_integer() {
        let c = rusqlite::Connection::open_in_memory().unwrap();
        let sql = format!("select typeof({})", literal(&Literal::Int(i64::MIN)).unwrap());
        assert_eq!(c.query_row(&sql, [], |r| r.get::<_, String>(0)).unwrap(), "integer");
    }
}
