//! How DuckDB spells names and constants.

use xdb_core::{Literal, Relation};
use xdb_sql::{ANSI, Dialect, quote_text_ansi, timestamp_text};

pub(crate) static DUCKDB: Dialect = Dialect {
    name: "duckdb",
    // DuckDB has no limit; this is the one for names that xdb makes up.
    max_identifier: 128,
    literal,
    starts_with,
    ..ANSI
};

fn literal(l: &Literal) -> Option<String> {
    match l {
        Literal::Binary(b) => Some(format!("'{}'::BLOB", b.iter().map(|x| format!("\\x{x:02X}")).collect::<String>())),
        Literal::Timestamp { micros, utc: true } => Some(format!("TIMESTAMPTZ '{}+00:00'", timestamp_text(*micros)?)),
        // A decimal's type is its column's (see `pushdown`), a double's text may be read as a decimal.
        Literal::Float(_) | Literal::Decimal { .. } => None,
        other => (ANSI.literal)(other),
    }
}

fn starts_with(column: &str, prefix: &str) -> Option<String> {
    Some(format!("starts_with({column}, {})", quote_text_ansi(prefix)?))
}

/// The relation's name for messages in SQL's own quoting.
pub(crate) fn relation_sql(rel: &Relation) -> String {
    DUCKDB.relation(rel)
}
