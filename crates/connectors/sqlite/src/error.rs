//! SQLite's result codes -> xdb's error kinds (<https://www.sqlite.org/rescode.html>).

use rusqlite::ErrorCode as C;
use xdb_core::{Error, ErrorKind};

/// Without anything known about where it happened; callers add the connection and the relation.
pub(crate) fn plain(e: rusqlite::Error) -> Error {
    use rusqlite::Error as E;
    match e {
        E::SqliteFailure(code, message) => from_code(code, message.unwrap_or_else(|| code.to_string())),
        E::SqlInputError { error, msg, sql, .. } => from_code(error, msg).sql(sql),
        E::InvalidParameterCount(given, wanted) => {
            Error::config(format!("the statement has {wanted} parameters, but {given} values were given"))
        }
        E::MultipleStatement => Error::config("there is more than one statement where one is expected"),
        E::NulError(_) => Error::new(ErrorKind::Sql, "SQL text cannot contain a NUL character"),
        other => Error::internal(format!("SQLite: {other}")),
    }
}

fn from_code(e: rusqlite::ffi::Error, message: String) -> Error {
    let kind = match e.code {
        C::DatabaseBusy | C::DatabaseLocked | C::FileLockingProtocolFailed => ErrorKind::Conflict,
        C::ReadOnly | C::PermissionDenied | C::AuthorizationForStatementDenied => ErrorKind::Permission,
        C::CannotOpen => ErrorKind::NotFound,
        C::DiskFull | C::OutOfMemory | C::NoLargeFileSupport => ErrorKind::Resource,
        C::DatabaseCorrupt | C::NotADatabase => ErrorKind::Protocol,
        C::OperationInterrupted | C::OperationAborted => ErrorKind::Cancelled,
        C::SystemIoFailure => ErrorKind::Io,
        C::TypeMismatch => ErrorKind::Type,
        C::InternalMalfunction | C::ApiMisuse => ErrorKind::Internal,
        _ if message.starts_with("no such table") => ErrorKind::NotFound,
        _ => ErrorKind::Sql,
    };
    let hint = match kind {
        ErrorKind::Conflict => {
            "another connection or program is using the database file; wait for it, close it, or raise `busy_timeout`"
        }
        ErrorKind::Permission => {
            "check `read_only` of this connection, and that this user may write the file and its folder"
        }
        ErrorKind::Resource => {
            "free some disk space (a load needs about twice the size of its table), then run `xdb retry`"
        }
        ErrorKind::Protocol => {
            "check that `path` names a SQLite database; `sqlite3 FILE 'pragma integrity_check'` says what is damaged"
        }
        _ => "",
    };
    let out = Error::new(kind, message)
        .code(e.extended_code.to_string())
        .retryable(matches!(kind, ErrorKind::Conflict | ErrorKind::Timeout));
    if hint.is_empty() { out } else { out.hint(hint) }
}
