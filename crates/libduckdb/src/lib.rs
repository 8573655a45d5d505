//! The DuckDB library, for the connector and the engine: [`load`] makes its functions callable.
//!
//! `libduckdb` is large, and letting the dynamic loader relocate it before `main` costs more time than everything else
//! that `xdb --version` does. So it is not linked: `libduckdb-sys` calls through pointers that are filled on first use,
//! from the shared library beside the binary or, with feature `bundled`, from the DuckDB that is built in.
//! docs/decisions/0007-libduckdb-on-first-use.md says why so.
//!
//! | module | what lives there |
//! |---|---|
//! | `functions` | the names of DuckDB's functions |
//! | `prebuilt`, `bundled` | where the functions come from: a shared library, this binary |
//! | `table` | handing them to `libduckdb-sys`, once |

#[cfg(feature = "bundled")]
mod bundled;
mod functions;
#[cfg(not(feature = "bundled"))]
mod prebuilt;
mod table;

pub use table::load;
