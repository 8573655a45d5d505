//! Server errors as xdb errors: which kind, whether trying again may help, and what to do.
//!
//! Numbers are from <https://dev.mysql.com/doc/mysql-errors/9.0/en/server-error-reference.html> and
//! <https://mariadb.com/kb/en/mariadb-error-code-reference/>.

use xdb_core::{Error, ErrorKind};

/// What the server said under `code` and SQLSTATE `state`.
pub(crate) fn server_error(code: u16, state: &str, message: &str) -> Error {
    use ErrorKind as K;
    let (kind, retryable, hint) = match code {
        1045 | 1698 | 1251 | 1862 | 1820 | 3118 | 4151 | 1130 | 3955 => {
            (K::Auth, false, Some("check `user` and `password`, and that this host may connect as that user"))
        }
        1290 | 1792 | 1836 => {
            (K::Permission, false, Some("the server is read-only: connect to the primary, or choose another target"))
        }
        1148 | 3948 | 3950 | 4166 => {
            (K::Permission, false, Some("set `local_infile: off`, or turn on local_infile in the server"))
        }
        1044 | 1142 | 1143 | 1227 | 1370 | 1410 | 1095 => {
            (K::Permission, false, Some("ask for the right that is missing (GRANT)"))
        }
        1146 | 1049 | 1051 | 1054 | 1109 | 4092 => (K::NotFound, false, None),
        1205 | 3572 => (
            K::Conflict,
            true,
            Some("another session holds a lock: try again, raise `lock_timeout`, or look at SHOW PROCESSLIST"),
        ),
        1213 | 1020 | 1412 | 1614 => (K::Conflict, true, Some("another session was in the way: try again")),
        1021 | 1114 | 1041 | 1037 | 1038 | 1135 => (K::Resource, false, Some("the server is out of disk or memory")),
        1040 | 1203 | 1226 => {
            (K::Resource, true, Some("the server has no connection left: lower `pool_size`, or raise max_connections"))
        }
        1153 => (K::Resource, false, Some("raise max_allowed_packet in the server")),
        3024 | 1969 => (K::Timeout, false, Some("raise `query_timeout`, or make the query smaller")),
        1317 | 1927 => (K::Cancelled, false, None),
        1053 | 1129 | 1152 | 1158 | 1159 | 1160 | 1161 => (K::Connect, true, None),
        1264 | 1265 | 1292 | 1366 | 1406 | 1411 | 1690 | 1048 | 1300 | 1426 => (K::Type, false, None),
        _ => (K::Sql, false, None),
    };
    let text = message.trim();
    // 1030 is "got error N from the storage engine"; 28 is ENOSPC.
    let kind = if code == 1030 && text.contains("28") { K::Resource } else { kind };
    let e = Error::new(kind, text.to_string()).retryable(retryable).code(format!("{code} ({state})"));
    match hint {
        Some(h) => e.hint(h),
        None => e,
    }
}

/// The server's own error number, where the error came from it.
pub(crate) fn server_code(e: &Error) -> Option<u16> {
    e.context().code.as_deref()?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn kinds() {
        for (code, kind, retryable) in [
            (1045, ErrorKind::Auth, false),
            (1044, ErrorKind::Permission, false),
            (1142, ErrorKind::Permission, false),
            (1290, ErrorKind::Permission, false),
            (1146, ErrorKind::NotFound, false),
            (1049, ErrorKind::NotFound, false),
            (1205, ErrorKind::Conflict, true),
            (1213, ErrorKind::Conflict, true),
            (1114, ErrorKind::Resource, false),
            (1021, ErrorKind::Resource, false),
            (1317, ErrorKind::Cancelled, false),
            (3024, ErrorKind::Timeout, false),
            (1969, ErrorKind::Timeout, false),
            (1064, ErrorKind::Sql, false),
        ] {
            let e = server_error(code, "HY000", "x");
            assert_eq!((e.kind(), e.is_retryable(), server_code(&e)), (kind, retryable, Some(code)));
        }
    }
}
