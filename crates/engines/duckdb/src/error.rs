//! DuckDB's error texts as xdb errors: the first line, the suggestion as a hint, the kind from DuckDB's own class.

use duckdb::ffi;
use xdb_core::{Error, ErrorKind};

/// `class` is DuckDB's error type; `text` its message, of several lines.
pub(crate) fn from_duckdb(class: ffi::duckdb_error_type, text: &str) -> Error {
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let first = without_class(lines.next().unwrap_or("failed without a message"));
    if class == ffi::duckdb_error_type_DUCKDB_ERROR_OUT_OF_MEMORY {
        // The same words as the other engine in this process uses.
        return Error::new(ErrorKind::Resource, "duckdb ran out of its memory limit")
            .cause(first.to_string())
            .hint("raise `compute: {duckdb: {memory_limit: …}}` in xdb_project.yml");
    }
    let mut hint: Vec<&str> = Vec::new();
    let mut place = None;
    for line in lines {
        if line.starts_with("LINE ") {
            place = Some(line.to_string());
            break;
        }
        if line.starts_with("Did you mean") || line.starts_with("Candidate") {
            hint.push(line);
        }
    }
    let kind = kind_of(class, text);
    let mut out = match kind {
        ErrorKind::Cancelled => Error::cancelled(),
        _ => Error::new(kind, format!("duckdb: {first}")),
    };
    if let Some(place) = place {
        out = out.cause(place);
    }
    if !hint.is_empty() {
        out = out.hint(hint.join("; "));
    } else if class == ffi::duckdb_error_type_DUCKDB_ERROR_NOT_IMPLEMENTED {
        out = out.hint("another engine may: set `compute` to `datafusion` or `native`");
    } else if kind == ErrorKind::Resource {
        out = out.hint("free some disk space, then run `xdb retry`");
    }
    out
}

fn kind_of(class: ffi::duckdb_error_type, text: &str) -> ErrorKind {
    match class {
        ffi::duckdb_error_type_DUCKDB_ERROR_INTERRUPT => ErrorKind::Cancelled,
        ffi::duckdb_error_type_DUCKDB_ERROR_INTERNAL | ffi::duckdb_error_type_DUCKDB_ERROR_FATAL => ErrorKind::Internal,
        ffi::duckdb_error_type_DUCKDB_ERROR_IO if text.contains("No space left") => ErrorKind::Resource,
        ffi::duckdb_error_type_DUCKDB_ERROR_IO => ErrorKind::Io,
        ffi::duckdb_error_type_DUCKDB_ERROR_PERMISSION => ErrorKind::Permission,
        _ => ErrorKind::Sql,
    }
}

/// `Binder Error: text` -> `text`: the class is in the kind.
fn without_class(line: &str) -> &str {
    match line.split_once(" Error: ") {
        Some((class, rest)) if class.len() < 30 && class.chars().all(|c| c.is_ascii_alphabetic() || c == ' ') => rest,
        _ => line,
    }
}

/// For a query that isn't one SELECT; the text is the other engines', word for word.
pub(crate) fn not_one_select() -> Error {
    Error::new(ErrorKind::Sql, "a model must be one SELECT statement")
        .hint("xdb creates the target table itself; put other statements into `pre_hook` or `post_hook`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_message_and_the_suggestion_the_hint() {
        let text = "Binder Error: Referenced column \"nme\" not found in FROM clause!\nCandidate bindings: \"name\"\n\nLINE 1: \
                    select nme\n               ^";
        let e = from_duckdb(ffi::duckdb_error_type_DUCKDB_ERROR_BINDER, text);
        assert_eq!(e.kind(), ErrorKind::Sql);
        assert_eq!(e.message(), "duckdb: Referenced column \"nme\" not found in FROM clause!");
        assert_eq!(e.hint_text(), Some("Candidate bindings: \"name\""));
        assert_eq!(e.causes(), ["LINE 1: select nme"]);
    }

    #[test]
    fn a_colon_in_the_message_is_not_a_class() {
        let e = from_duckdb(ffi::duckdb_error_type_DUCKDB_ERROR_CONVERSION, "value 5: bad Error: x");
        assert_eq!(e.message(), "duckdb: value 5: bad Error: x");
    }
}
