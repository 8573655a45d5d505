//! Hands DuckDB's functions to `libduckdb-sys`, once.
#![allow(unsafe_code)] // The C API's own way of handing over its functions.

#[cfg(feature = "bundled")]
use crate::bundled as source;
#[cfg(not(feature = "bundled"))]
use crate::prebuilt as source;
use libduckdb_sys as ffi;
use std::ffi::{c_char, c_void};
use std::sync::{Mutex, PoisonError};
use xdb_core::{Error, Result};

/// Makes the functions of `libduckdb-sys`, and so of the `duckdb` crate, callable; they panic before. Call it wherever a
/// database is opened. The first call takes some 20 ms (the library is read and relocated), later ones nothing.
///
/// # Errors
/// `Io` where the library is missing or does not load, `Unsupported` where it is another version of DuckDB. A later call
/// tries again.
pub fn load() -> Result<()> {
    static LOADED: Mutex<bool> = Mutex::new(false);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*loaded {
        hand_over(&source::functions()?)?;
        *loaded = true;
    }
    Ok(())
}

fn hand_over(functions: &ffi::duckdb_ext_api_v1) -> Result<()> {
    /// `info` is what was passed to the call below.
    unsafe extern "C" fn same(info: ffi::duckdb_extension_info, _version: *const c_char) -> *const c_void {
        info.cast_const().cast()
    }
    let access = ffi::duckdb_extension_access { set_error: None, get_database: None, get_api: Some(same) };
    let info = std::ptr::from_ref(functions).cast_mut().cast();
    // SAFETY: `same` gives back the table, which lives until the call returns and is only read; the call copies the
    // pointers into atomics. Each pointer is of the function whose name its field has (see `source::functions`).
    match unsafe { ffi::duckdb_rs_extension_api_init(info, &access, "") } {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::internal("DuckDB's functions were not taken")),
        Err(e) => Err(Error::internal(format!("DuckDB's functions were not taken: {e}"))),
    }
}
