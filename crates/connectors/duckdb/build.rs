//! Puts the prebuilt `libduckdb` where the binaries find it.
//!
//! Linux and macOS binaries look beside themselves and one folder up (the rpath in `.cargo/config.toml`): `target/debug`
//! serves both `target/debug/xdb` and the tests in `target/debug/deps`. With feature `bundled` DuckDB is part of the
//! binary and there is nothing to do.

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
    let mut found = false;
    for name in ["libduckdb.so", "libduckdb.dylib"] {
        let lib = from.join(name);
        if lib.is_file() {
            println!("cargo:rerun-if-changed={}", lib.display());
            place(&lib, &profile.join(name))?;
            found = true;
        }
    }
    if !found {
        println!("cargo:warning=no libduckdb in {}: run `make`, which fetches it", from.display());
    }
    Ok(())
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
