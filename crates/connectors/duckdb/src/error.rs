//! DuckDB's errors -> xdb's kinds. DuckDB has no codes in its C API, but each message begins with the kind's name.

use xdb_core::{Error, ErrorKind};

/// Without anything known about where it happened; callers add the connection and the relation.
pub(crate) fn plain(e: duckdb::Error) -> Error {
    use duckdb::Error as E;
    match e {
        E::DuckDBFailure(_, Some(message)) => from_message(&message),
        E::DuckDBFailure(code, None) => Error::new(ErrorKind::Sql, code.to_string()),
        E::InvalidParameterCount(given, wanted) => {
            Error::config(format!("the statement has {wanted} parameters, but {given} values were given"))
        }
        E::NulError(_) => Error::new(ErrorKind::Sql, "SQL text cannot contain a NUL character"),
        E::ArrowTypeToDuckdbType(what, t) => Error::unsupported(format!("DuckDB's appender does not take {t}: {what}")),
        other => Error::internal(format!("DuckDB: {other}")),
    }
}

fn from_message(full: &str) -> Error {
    let (class, rest) = full.split_once(" Error: ").unwrap_or(("", full));
    let has = |t: &str| rest.contains(t);
    let kind = match class {
        "IO" if has("Could not set lock") || has("onflicting lock") => ErrorKind::Conflict,
        "IO" if has("not a valid DuckDB") || has("Corrupt") || has("checksum") => ErrorKind::Protocol,
        "IO" if has("No such file") || has("does not exist") => ErrorKind::NotFound,
        "IO" if has("ermission denied") || has("ead-only file") => ErrorKind::Permission,
        // A commit on a full disk is an error of the transaction's, with the reason inside.
        _ if has("No space left on device") || has("disk is full") => ErrorKind::Resource,
        "IO" => ErrorKind::Io,
        "Out of Memory" => ErrorKind::Resource,
        "INTERRUPT" => ErrorKind::Cancelled,
        "TransactionContext" | "Transaction" if has("onflict") => ErrorKind::Conflict,
        "Dependency" => ErrorKind::Conflict,
        "Permission" => ErrorKind::Permission,
        "Serialization" => ErrorKind::Protocol,
        "INTERNAL" | "FATAL" => ErrorKind::Internal,
        "Catalog" if has("does not exist") && (rest.starts_with("Table") || rest.starts_with("View")) => {
            ErrorKind::NotFound
        }
        _ if has("read-only") && (has("Cannot execute") || has("Cannot write")) => ErrorKind::Permission,
        _ => ErrorKind::Sql,
    };
    let hint = match kind {
        ErrorKind::Conflict if class == "IO" => {
            "another program has the file open; DuckDB lets one program at a time write a file (or many read it: `read_only: true`)"
        }
        ErrorKind::Conflict if class == "Dependency" => "another object depends on it: drop or change that first",
        ErrorKind::Conflict => "something else changed the same table meanwhile; run it again",
        ErrorKind::Permission => {
            "check `read_only` of this connection, and that this user may write the file and its folder"
        }
        ErrorKind::Resource if class != "Out of Memory" => "free some disk space, then run `xdb retry`",
        ErrorKind::Resource => "raise `memory_limit` of this connection, or ask for less at once",
        ErrorKind::Protocol => "check that `path` names a DuckDB database of a version that DuckDB 1.5 can read",
        _ => "",
    };
    // The message ends with the line of SQL and a caret; the SQL is shown whole elsewhere.
    let short = full.split("\n\nLINE ").next().unwrap_or(full).trim();
    let out = Error::new(kind, short).retryable(kind == ErrorKind::Conflict && class != "Dependency");
    if hint.is_empty() { out } else { out.hint(hint) }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn kinds() {
        for (m, kind) in [
            ("IO Error: Could not set lock on file \"x\": Conflicting lock is held", ErrorKind::Conflict),
            ("IO Error: The file \"x\" exists, but it is not a valid DuckDB database file!", ErrorKind::Protocol),
            ("IO Error: Cannot open database \"x\" in read-only mode: database does not exist", ErrorKind::NotFound),
            ("Catalog Error: Table with name nope does not exist!", ErrorKind::NotFound),
            ("Catalog Error: Scalar Function with name nope does not exist!", ErrorKind::Sql),
            ("TransactionContext Error: Catalog write-write conflict on create with \"t\"", ErrorKind::Conflict),
            ("INTERRUPT Error: Interrupted!", ErrorKind::Cancelled),
            ("Out of Memory Error: failed to allocate data", ErrorKind::Resource),
            (
                "TransactionContext Error: Failed to commit: Could not write file \"x\": No space left on device",
                ErrorKind::Resource,
            ),
            (
                "Invalid Input Error: Cannot execute statement of type \"CREATE\" on database \"x\" which is attached in read-only mode!",
                ErrorKind::Permission,
            ),
            ("Parser Error: syntax error at or near \"x\"\n\nLINE 1: x\n        ^", ErrorKind::Sql),
        ] {
            let e = from_message(m);
            assert_eq!(e.kind(), kind, "{m}");
            assert!(!e.message().contains("LINE 1"));
        }
    }
}
