//! One private in-memory DuckDB: opening it with its limits, running statements, interrupting.
//!
//! Thin over the C API rather than the crate's `Statement`, whose streams panic on errors and whose batches are small.
#![allow(unsafe_code)] // DuckDB's C API.

use crate::error::{from_duckdb, not_one_select};
use crate::function::{ReadSource, Source};
use crate::names::{HOME, literal, quote};
use crate::syntax::{self, Parsed};
use duckdb::ffi;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use xdb_core::{EngineOptions, Error, ErrorKind, Literal, Result};

/// A DuckDB and one connection to it. One statement runs at a time; [`Database::interrupt`] may come from any thread.
pub(crate) struct Database {
    db: ffi::duckdb_database,
    con: ffi::duckdb_connection,
    /// The crate's view of the same database, for registering table functions.
    functions: Mutex<Option<duckdb::Connection>>,
    running: Mutex<()>,
}

// SAFETY: DuckDB guards a connection by its own lock, `duckdb_interrupt` is meant to be called from other threads, and
// `running` keeps two statements of one connection from replacing each other's results.
unsafe impl Send for Database {}
// SAFETY: as above.
unsafe impl Sync for Database {}

impl Database {
    /// Takes some milliseconds and may touch the disk: not for an async worker.
    pub(crate) fn open(options: &EngineOptions) -> Result<Arc<Self>> {
        xdb_libduckdb::load()?;
        let mut out =
            Self { db: ptr::null_mut(), con: ptr::null_mut(), functions: Mutex::new(None), running: Mutex::new(()) };
        // SAFETY: out-pointers are valid; what is made is destroyed by `Drop`, also when a later step fails.
        unsafe {
            let mut why: *mut c_char = ptr::null_mut();
            if ffi::duckdb_open_ext(c":memory:".as_ptr(), &mut out.db, ptr::null_mut(), &mut why) != ffi::DuckDBSuccess
            {
                let text = if why.is_null() { "it did not open".into() } else { text(why) };
                ffi::duckdb_free(why.cast());
                return Err(Error::internal(format!("duckdb: {text}")));
            }
            if ffi::duckdb_connect(out.db, &mut out.con) != ffi::DuckDBSuccess {
                return Err(Error::internal("duckdb: no connection to its own database"));
            }
            let functions = duckdb::Connection::open_from_raw(out.db).map_err(|e| Error::internal(e.to_string()))?;
            *out.functions.lock().unwrap_or_else(PoisonError::into_inner) = Some(functions);
        }
        out.configure(options)?;
        Ok(Arc::new(out))
    }

    fn configure(&self, options: &EngineOptions) -> Result<()> {
        let temp = options.temp_dir.to_str().ok_or_else(|| {
            Error::config(format!("the path of the temp folder {} is not UTF-8", options.temp_dir.display()))
        })?;
        let mut sql = vec![
            // Nothing is fetched from the network behind the user's back.
            "SET autoinstall_known_extensions = false".to_string(),
            "SET autoload_known_extensions = false".into(),
            // SQL promises no order without ORDER BY; not keeping one lets every thread stream and spill.
            "SET preserve_insertion_order = false".into(),
            format!("SET threads = {}", options.threads.max(1)),
            format!("SET temp_directory = {}", literal(temp)),
            // A session's home, so that connections may have every name that DuckDB does not reserve.
            format!("ATTACH ':memory:' AS {}", quote(HOME)),
            format!("USE {}", quote(HOME)),
            "DETACH memory".into(),
        ];
        // Of the ICU extension: a DuckDB built without it knows no zone but UTC.
        if let Err(e) = self.run("SET TimeZone = 'UTC'") {
            tracing::debug!(error = %e, "DuckDB has no time zones");
        }
        if let Some(bytes) = options.memory_limit {
            sql.push(format!("SET memory_limit = '{bytes}B'"));
        }
        // Last: it forbids changing the others. Files are read through connections, not by SQL.
        sql.push("SET enable_external_access = false".into());
        sql.iter().try_for_each(|s| self.run(s))
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the function `name()` that reads `source`.
    pub(crate) fn register(&self, name: &str, source: &Source) -> Result<()> {
        match &*self.functions.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(c) => c
                .register_table_function_with_extra_info::<ReadSource, Source>(name, source)
                .map_err(|e| Error::internal(format!("duckdb: cannot register {name}: {e}"))),
            None => Err(Error::internal("duckdb is closed")),
        }
    }

    /// Runs a statement whose rows nobody wants.
    pub(crate) fn run(&self, sql: &str) -> Result<()> {
        let sql = c_string(sql)?;
        let _turn = self.turn();
        let mut result = Rows::empty();
        // SAFETY: the connection is open; the result is destroyed by its `Drop`, which C wants after errors too.
        let state = unsafe { ffi::duckdb_query(self.con, sql.as_ptr(), &mut result.raw) };
        if state == ffi::DuckDBSuccess { Ok(()) } else { Err(result.error()) }
    }

    /// Prepares `sql`, which must be a single SELECT, and binds its parameters.
    pub(crate) fn prepare_select(self: &Arc<Self>, sql: &str, params: &[(String, Literal)]) -> Result<Statement> {
        let statements = Extracted::new(self, sql)?;
        if statements.count != 1 {
            return Err(not_one_select());
        }
        let statement = match statements.prepare(self) {
            Ok(s) => s,
            // Not every statement gets as far as having a kind: COPY fails for the file it may not touch.
            Err(_) if matches!(syntax::parse(self, sql), Ok(Parsed::Other)) => return Err(not_one_select()),
            Err(e) => return Err(e),
        };
        // SAFETY: the statement is prepared.
        let kind = unsafe { ffi::duckdb_prepared_statement_type(statement.raw) };
        if kind != ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_SELECT {
            return Err(not_one_select());
        }
        // SAFETY: as above.
        unsafe { crate::bind::bind(statement.raw, params)? };
        Ok(statement)
    }

    /// Prepares `sql` of any kind.
    pub(crate) fn prepare(self: &Arc<Self>, sql: &str) -> Result<Statement> {
        Extracted::new(self, sql)?.prepare(self)
    }

    /// Makes the running statement fail soon.
    pub(crate) fn interrupt(&self) {
        // SAFETY: the connection lives as long as `self`; C allows this from any thread.
        unsafe { ffi::duckdb_interrupt(self.con) }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.functions.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // SAFETY: statements and results hold an `Arc` of `self`, so none is left; null handles are allowed.
        unsafe {
            ffi::duckdb_disconnect(&mut self.con);
            ffi::duckdb_close(&mut self.db);
        }
    }
}

/// The statements of a text, parsed.
struct Extracted {
    raw: ffi::duckdb_extracted_statements,
    count: u64,
}

impl Extracted {
    fn new(db: &Database, sql: &str) -> Result<Self> {
        let sql = c_string(sql)?;
        let mut out = Self { raw: ptr::null_mut(), count: 0 };
        // SAFETY: the connection is open; `Drop` destroys the list, and its text of an error with it.
        unsafe {
            out.count = ffi::duckdb_extract_statements(db.con, sql.as_ptr(), &mut out.raw);
            let why = ffi::duckdb_extract_statements_error(out.raw);
            if out.count == 0 && !why.is_null() {
                return Err(from_duckdb(ffi::duckdb_error_type_DUCKDB_ERROR_PARSER, &text(why)));
            }
        }
        Ok(out)
    }

    fn prepare(&self, db: &Arc<Database>) -> Result<Statement> {
        let mut out = Statement { raw: ptr::null_mut(), db: db.clone() };
        // SAFETY: `self.raw` holds at least one statement, or C reports an error; `Drop` destroys the statement.
        unsafe {
            let state = ffi::duckdb_prepare_extracted_statement(db.con, self.raw, 0, &mut out.raw);
            if state != ffi::DuckDBSuccess {
                let why = ffi::duckdb_prepare_error(out.raw);
                let why = if why.is_null() { "it could not be prepared".into() } else { text(why) };
                return Err(from_duckdb(class_of(&why), &why));
            }
        }
        Ok(out)
    }
}
impl Drop for Extracted {
    fn drop(&mut self) {
        // SAFETY: made by `duckdb_extract_statements`, or null.
        unsafe { ffi::duckdb_destroy_extracted(&mut self.raw) }
    }
}

/// `duckdb_prepare_error` gives only a text, which begins with the class.
fn class_of(text: &str) -> ffi::duckdb_error_type {
    match text.split_once(" Error:").map(|(c, _)| c) {
        Some("Out of Memory") => ffi::duckdb_error_type_DUCKDB_ERROR_OUT_OF_MEMORY,
        Some("Not implemented") => ffi::duckdb_error_type_DUCKDB_ERROR_NOT_IMPLEMENTED,
        Some("Permission") => ffi::duckdb_error_type_DUCKDB_ERROR_PERMISSION,
        Some("INTERRUPT") => ffi::duckdb_error_type_DUCKDB_ERROR_INTERRUPT,
        Some("INTERNAL") => ffi::duckdb_error_type_DUCKDB_ERROR_INTERNAL,
        Some("IO") => ffi::duckdb_error_type_DUCKDB_ERROR_IO,
        _ => ffi::duckdb_error_type_DUCKDB_ERROR_BINDER,
    }
}

pub(crate) struct Statement {
    raw: ffi::duckdb_prepared_statement,
    db: Arc<Database>,
}
// SAFETY: used by one thread at a time; DuckDB doesn't tie a statement to the thread that made it.
unsafe impl Send for Statement {}

impl Statement {
    /// Name and type of each result column.
    pub(crate) fn columns(&self) -> Vec<(String, Logical)> {
        // SAFETY: the statement is prepared; names are freed here, types by `Logical`.
        unsafe {
            let n = ffi::duckdb_prepared_statement_column_count(self.raw);
            (0..n)
                .map(|i| {
                    let name = ffi::duckdb_prepared_statement_column_name(self.raw, i);
                    let owned = if name.is_null() { String::new() } else { text(name) };
                    ffi::duckdb_free(name.cast_mut().cast());
                    (owned, Logical(ffi::duckdb_prepared_statement_column_logical_type(self.raw, i)))
                })
                .collect()
        }
    }

    /// Starts it; returns when the first rows are there. The rows are made as they are fetched.
    pub(crate) fn stream(&self) -> Result<Rows> {
        let _turn = self.db.turn();
        let mut rows = Rows::empty();
        rows.db = Some(self.db.clone());
        // SAFETY: the statement is prepared and its parameters are bound; `Rows` destroys the result.
        let state = unsafe { ffi::duckdb_execute_prepared_streaming(self.raw, &mut rows.raw) };
        if state == ffi::DuckDBSuccess { Ok(rows) } else { Err(rows.error()) }
    }
}
impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: made by `duckdb_prepare_extracted_statement`, or null.
        unsafe { ffi::duckdb_destroy_prepare(&mut self.raw) }
    }
}

/// A result being fetched.
pub(crate) struct Rows {
    raw: ffi::duckdb_result,
    /// Keeps the connection open.
    db: Option<Arc<Database>>,
}
// SAFETY: as for `Statement`.
unsafe impl Send for Rows {}

impl Rows {
    fn empty() -> Self {
        // SAFETY: C asks for a zeroed struct to fill.
        Self { raw: unsafe { std::mem::zeroed() }, db: None }
    }

    /// Name and type of each column. Known here even where a parameter's value decides them.
    pub(crate) fn columns(&mut self) -> Vec<(String, Logical)> {
        // SAFETY: the result is live; names belong to it, types are freed by `Logical`.
        unsafe {
            let n = ffi::duckdb_column_count(&mut self.raw);
            (0..n)
                .map(|i| {
                    let name = ffi::duckdb_column_name(&mut self.raw, i);
                    let owned = if name.is_null() { String::new() } else { text(name) };
                    (owned, Logical(ffi::duckdb_column_logical_type(&mut self.raw, i)))
                })
                .collect()
        }
    }

    /// The next chunk, of 1 to 2048 rows; computing it happens here.
    pub(crate) fn fetch(&mut self) -> Result<Option<Chunk>> {
        // SAFETY: the result is live; the chunk is destroyed by its `Drop`.
        unsafe {
            let chunk = Chunk(ffi::duckdb_fetch_chunk(self.raw));
            if chunk.0.is_null() || chunk.len() == 0 {
                let failed = !ffi::duckdb_result_error(&mut self.raw).is_null();
                return if failed { Err(self.error()) } else { Ok(None) };
            }
            Ok(Some(chunk))
        }
    }

    fn error(&mut self) -> Error {
        // SAFETY: the result was filled by DuckDB; the text belongs to it.
        unsafe {
            let why = ffi::duckdb_result_error(&mut self.raw);
            let class = ffi::duckdb_result_error_type(&mut self.raw);
            if why.is_null() {
                Error::internal("duckdb: failed without a message")
            } else {
                from_duckdb(class, &text(why))
            }
        }
    }
}
impl Drop for Rows {
    fn drop(&mut self) {
        // SAFETY: filled by DuckDB or zeroed; both are allowed.
        unsafe { ffi::duckdb_destroy_result(&mut self.raw) }
    }
}

pub(crate) struct Chunk(ffi::duckdb_data_chunk);

impl Chunk {
    pub(crate) fn len(&self) -> usize {
        // SAFETY: the chunk is live.
        unsafe { ffi::duckdb_data_chunk_get_size(self.0) as usize }
    }
    /// Valid while the chunk is.
    pub(crate) fn vector(&self, column: usize) -> ffi::duckdb_vector {
        // SAFETY: the chunk is live; C gives null where there is no such column.
        unsafe { ffi::duckdb_data_chunk_get_vector(self.0, column as u64) }
    }
}
impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: from `duckdb_fetch_chunk`, or null.
        unsafe { ffi::duckdb_destroy_data_chunk(&mut self.0) }
    }
}

/// A type of DuckDB's.
pub(crate) struct Logical(pub(crate) ffi::duckdb_logical_type);
impl Drop for Logical {
    fn drop(&mut self) {
        // SAFETY: from a function whose result is to be destroyed so, or null.
        unsafe { ffi::duckdb_destroy_logical_type(&mut self.0) }
    }
}

/// # Safety
/// `p` is a C string.
pub(crate) unsafe fn text(p: *const c_char) -> String {
    // SAFETY: as promised by the caller.
    unsafe { CStr::from_ptr(p) }.to_string_lossy().into_owned()
}

fn c_string(sql: &str) -> Result<CString> {
    CString::new(sql).map_err(|_| Error::new(ErrorKind::Sql, "the SQL contains a NUL character"))
}
