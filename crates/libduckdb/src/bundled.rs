//! DuckDB built into this binary: its functions are there already.
#![allow(unsafe_code)] // Names of C functions.

use crate::functions::functions;
use libduckdb_sys as ffi;
use xdb_core::Result;

macro_rules! linked {
    ($($name:ident)*) => {
        mod c {
            unsafe extern "C" {
                // Only their addresses are taken; the fields of the table know the real signatures.
                $(pub(super) fn $name();)*
            }
        }

        /// The whole table.
        pub(crate) fn functions() -> Result<ffi::duckdb_ext_api_v1> {
            Ok(ffi::duckdb_ext_api_v1 {
                // SAFETY: the table and the library are from one version of DuckDB, so the function of that name has the
                // field's type; all function pointers have one size.
                $($name: Some(unsafe { std::mem::transmute::<unsafe extern "C" fn(), _>(c::$name) }),)*
            })
        }
    };
}
functions!(linked);
