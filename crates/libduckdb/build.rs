//! Puts the prebuilt `libduckdb` where the binaries look for it.
//!
//! They look beside themselves and one folder up (`src/prebuilt.rs`): `target/debug` serves both `target/debug/xdb` and the
//! tests in `target/debug/deps`. Building needs no library; one that is missing is an error of the first query that needs
//! DuckDB. With feature `bundled` DuckDB is part of the binary and there is nothing to do.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    if env::var_os("CARGO_FEATURE_BUNDLED").is_some() {
        return Ok(());
    }
    let Some(from) = env::var_os("DUCKDB_LIB_DIR").map(PathBuf::from) else {
        println!("cargo:warning=DUCKDB_LIB_DIR is not set: libduckdb must be where the system's loader finds it");
        return Ok(());
    };
    // OUT_DIR is <target>/<profile>/build/<package>-<hash>/out.
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    let Some(profile) = out.ancestors().nth(3) else { return Ok(()) };
    let name = match env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos") => "libduckdb.dylib",
        _ => "libduckdb.so",
    };
    let library = from.join(name);
    // Also while it is missing: once it is there, the next build takes it.
    println!("cargo:rerun-if-changed={}", library.display());
    if !library.is_file() {
        println!("cargo:warning=no {name} in {}: `make libduckdb` fetches it", from.display());
        return Ok(());
    }
    place(&library, &profile.join(name))
}

/// A copy under a temporary name, then a rename: a test that runs meanwhile keeps the file it has mapped.
fn place(from: &Path, to: &Path) -> io::Result<()> {
    if let (Ok(a), Ok(b)) = (fs::metadata(from), fs::metadata(to))
        && a.len() == b.len()
        && matches!((a.modified(), b.modified()), (Ok(x), Ok(y)) if y >= x)
    {
        return Ok(());
    }
    let temporary = to.with_extension(format!("{}.tmp", std::process::id()));
    fs::copy(from, &temporary)?;
    fs::rename(&temporary, to)
}
