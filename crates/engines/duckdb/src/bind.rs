//! Values of a statement's `$name` parameters.
#![allow(unsafe_code)] // DuckDB's C API.

use duckdb::ffi;
use std::ffi::CString;
use xdb_core::{Error, ErrorKind, Literal, Result};

/// Gives every parameter of `statement` its value. Errors: one that has none, or a value DuckDB does not take.
///
/// # Safety
/// `statement` is prepared and not yet destroyed.
pub(crate) unsafe fn bind(statement: ffi::duckdb_prepared_statement, params: &[(String, Literal)]) -> Result<()> {
    let sql_error = |m: String| Error::new(ErrorKind::Sql, m);
    // SAFETY: as the caller promises.
    let wanted = unsafe { ffi::duckdb_nparams(statement) };
    let mut bound = 0;
    for (name, value) in params {
        let c_name =
            CString::new(name.as_str()).map_err(|_| sql_error(format!("duckdb: bad parameter name `{name}`")))?;
        let mut index: ffi::idx_t = 0;
        // SAFETY: the statement is prepared, the name ends in NUL, the out-pointer is valid.
        let found = unsafe { ffi::duckdb_bind_parameter_index(statement, &mut index, c_name.as_ptr()) };
        if found != ffi::DuckDBSuccess {
            continue; // A value that this statement does not ask for.
        }
        // SAFETY: the index is one of the statement's; DuckDB copies texts and blobs.
        let state = unsafe { bind_one(statement, index, value) };
        if state != ffi::DuckDBSuccess {
            return Err(sql_error(format!("duckdb: the value of ${name} cannot be bound")));
        }
        bound += 1;
    }
    if bound < wanted {
        return Err(sql_error("duckdb: the SQL has parameters that nothing gives a value".into())
            .hint("name them $name, and pass --param name=value"));
    }
    Ok(())
}

/// # Safety
/// As for [`bind`]; `index` is one of the statement's parameters.
unsafe fn bind_one(s: ffi::duckdb_prepared_statement, index: ffi::idx_t, value: &Literal) -> ffi::duckdb_state {
    // SAFETY: as the caller promises; lengths are those of the slices pointed to.
    unsafe {
        match value {
            Literal::Null => ffi::duckdb_bind_null(s, index),
            Literal::Bool(b) => ffi::duckdb_bind_boolean(s, index, *b),
            Literal::Int(i) => ffi::duckdb_bind_int64(s, index, *i),
            Literal::UInt(u) => ffi::duckdb_bind_uint64(s, index, *u),
            Literal::Float(f) => ffi::duckdb_bind_double(s, index, *f),
            Literal::Decimal { value, scale } => match u8::try_from(*scale) {
                Ok(scale) if scale <= 38 => {
                    let halves = ffi::duckdb_hugeint { lower: *value as u64, upper: (*value >> 64) as i64 };
                    ffi::duckdb_bind_decimal(s, index, ffi::duckdb_decimal { width: 38, scale, value: halves })
                }
                _ => ffi::DuckDBError,
            },
            Literal::Utf8(t) => ffi::duckdb_bind_varchar_length(s, index, t.as_ptr().cast(), t.len() as u64),
            Literal::Binary(b) => ffi::duckdb_bind_blob(s, index, b.as_ptr().cast(), b.len() as u64),
            Literal::Date(days) => ffi::duckdb_bind_date(s, index, ffi::duckdb_date { days: *days }),
            Literal::Time(micros) => ffi::duckdb_bind_time(s, index, ffi::duckdb_time { micros: *micros }),
            Literal::Timestamp { micros, utc: false } => {
                ffi::duckdb_bind_timestamp(s, index, ffi::duckdb_timestamp { micros: *micros })
            }
            Literal::Timestamp { micros, utc: true } => {
                ffi::duckdb_bind_timestamp_tz(s, index, ffi::duckdb_timestamp { micros: *micros })
            }
        }
    }
}
