//! The shared library: where it is looked for, that it is the right one, and its functions.
#![allow(unsafe_code)] // Opening a shared library and looking up its functions.

use crate::functions::functions;
use libduckdb_sys as ffi;
use libloading::Library;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::ffi::{CStr, c_char};
use std::path::{Path, PathBuf};
use xdb_core::{Error, ErrorKind, Result};

/// The DuckDB that `libduckdb-sys` 1.10506 was made for, as `duckdb_library_version` says it. Other versions may have the
/// same functions with other parameters: none but this is used.
const VERSION: &str = "v1.5.6";

/// All functions of the library, which stays open for as long as the process lives.
pub(crate) fn functions() -> Result<ffi::duckdb_ext_api_v1> {
    let (library, place) = open(&file_name(), &folders())?;
    check_version(&library, &place)?;
    let table = table(&library, &place)?;
    // The table is of use only while the library is mapped.
    std::mem::forget(library);
    Ok(table)
}

fn file_name() -> String {
    format!("{DLL_PREFIX}duckdb{DLL_SUFFIX}")
}

/// Beside the binary, one folder up (where Cargo's tests have it) and in `../lib`.
fn folders() -> Vec<PathBuf> {
    let binary = std::env::current_exe().and_then(|p| p.canonicalize());
    let Some(own) = binary.as_deref().ok().and_then(Path::parent) else { return vec![] };
    let up = own.parent();
    [Some(own.to_path_buf()), up.map(Path::to_path_buf), up.map(|u| u.join("lib"))].into_iter().flatten().collect()
}

/// The first that is there, else what the system's loader finds (its folders, `LD_LIBRARY_PATH`); with its place for error
/// messages. One that is there but does not load is not passed over: another copy would only hide what is wrong.
fn open(name: &str, folders: &[PathBuf]) -> Result<(Library, String)> {
    let found = folders.iter().map(|f| f.join(name)).find(|p| p.exists());
    let path = found.as_deref().unwrap_or(Path::new(name));
    // SAFETY: DuckDB's own library; its initialisers need nothing of us.
    let opened = unsafe { Library::new(path) };
    opened.map(|l| (l, path.display().to_string())).map_err(|e| {
        let why = reason(&e);
        let e = Error::new(ErrorKind::Io, format!("cannot load DuckDB's library {name}"));
        match &found {
            Some(_) => e.cause(why).hint(hint()),
            None => {
                let tried: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
                e.cause(format!("it is not in {}, nor does the system's loader find it: {why}", tried.join(", ")))
                    .hint(hint())
            }
        }
    })
}

/// What the system's loader says.
fn reason(e: &libloading::Error) -> String {
    std::error::Error::source(e).map_or_else(|| e.to_string(), |s| s.to_string())
}

fn hint() -> String {
    format!(
        "put {} of DuckDB {} beside the binary xdb; in a clone, `make libduckdb` and then a build do that",
        file_name(),
        VERSION.trim_start_matches('v')
    )
}

fn check_version(library: &Library, place: &str) -> Result<()> {
    let version: unsafe extern "C" fn() -> *const c_char =
        function(library, place, "duckdb_library_version")?.ok_or_else(|| not_duckdb(place, "it has no version"))?;
    // SAFETY: the function has had this signature in every version; its text is static.
    let text = unsafe { version() };
    let found = if text.is_null() {
        "without a version".into()
    } else {
        // SAFETY: not null, so a C string.
        unsafe { CStr::from_ptr(text) }.to_string_lossy()
    };
    if found == VERSION {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, format!("{place} is DuckDB {found}, and this xdb needs {VERSION}"))
        .hint(hint()))
}

fn not_duckdb(place: &str, why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{place} is not a DuckDB library that xdb can use"))
        .cause(why.to_string())
        .hint(hint())
}

/// `F` must be the type of the function of that name.
fn function<F: Copy>(library: &Library, place: &str, name: &str) -> Result<Option<F>> {
    // SAFETY: the callers' types are those of DuckDB's header; nothing is called here.
    match unsafe { library.get::<F>(name) } {
        Ok(f) => Ok(Some(*f)),
        Err(e) => Err(not_duckdb(place, &reason(&e))),
    }
}

macro_rules! looked_up {
    ($($name:ident)*) => {
        /// The whole table; each field's type is its function's.
        fn table(library: &Library, place: &str) -> Result<ffi::duckdb_ext_api_v1> {
            Ok(ffi::duckdb_ext_api_v1 { $($name: function(library, place, stringify!($name))?,)* })
        }
    };
}
functions!(looked_up);

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(folders: &[PathBuf]) -> Error {
        let name = format!("no-such-{}", file_name());
        open(&name, folders).map(|(_, place)| place).unwrap_err()
    }

    #[test]
    fn what_is_missing_is_said_with_where_it_was_looked_for() {
        let e = refused(&["/nowhere/bin".into(), "/nowhere/lib".into()]);
        assert_eq!(e.kind(), ErrorKind::Io);
        assert!(e.causes()[0].contains("/nowhere/bin, /nowhere/lib"), "{e:?}");
        assert!(e.hint_text().is_some_and(|h| h.contains(&file_name()) && h.contains("1.5.6")), "{e:?}");
    }

    #[test]
    fn the_first_folder_that_has_it_counts_also_when_it_is_damaged() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(a.path().join(file_name()), "not a library").unwrap();
        let good = folders().into_iter().map(|f| f.join(file_name())).find(|f| f.exists()).unwrap();
        std::fs::hard_link(&good, b.path().join(file_name()))
            .or_else(|_| std::fs::copy(&good, b.path().join(file_name())).map(drop))
            .unwrap();
        let both = [a.path().to_path_buf(), b.path().to_path_buf()];
        let e = open(&file_name(), &both).map(|(_, place)| place).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Io);
        assert!(e.causes()[0].contains(&*a.path().to_string_lossy()), "{e:?}");
        let (library, place) = open(&file_name(), &both[1..]).unwrap();
        check_version(&library, &place).unwrap();
        table(&library, &place).unwrap();
    }

    #[test]
    fn another_library_is_not_duckdb() {
        // The C library is a shared library that every process has.
        let name = if cfg!(target_os = "macos") { "libSystem.B.dylib" } else { "libc.so.6" };
        let (library, place) = open(name, &[]).unwrap();
        let e = check_version(&library, &place).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.message().contains(name), "{e:?}");
    }
}
