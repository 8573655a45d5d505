//! The table function through which DuckDB reads a source: one for each attached table.
//!
//! DuckDB binds it when it plans (names and types, nothing is read), makes one [`Scan`] for each place of a query that
//! reads the table, with only the columns its optimizer left there, and then calls for chunks from several threads.
//! The crate catches panics at the edge.
#![allow(unsafe_code)] // DuckDB hands its pointers and our own state through C.

use crate::input::{Column, Plain, logical_type, write};
use crate::scan::{Scan, Shared};
use crate::table::Table;
use duckdb::core::{DataChunkHandle, LogicalTypeHandle, LogicalTypeId};
use duckdb::ffi;
use duckdb::vtab::{BindInfo, InitInfo, TableFunctionInfo, VTab};
use std::sync::Arc;
use xdb_core::Error;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What is registered with the function.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) table: Arc<Table>,
    pub(crate) shared: Arc<Shared>,
}

impl Source {
    /// # Safety
    /// `p` comes from the extra info of a function registered with a `Source`, and is used while it is registered.
    unsafe fn from_extra<'a>(p: *const Source) -> Result<&'a Source> {
        // SAFETY: as promised by the caller; DuckDB keeps it in its catalog.
        Ok(unsafe { p.as_ref() }.ok_or("the function has lost its table")?)
    }

    /// Our own error is kept for the caller; DuckDB gets its text.
    fn report(&self, e: Error) -> Box<dyn std::error::Error> {
        let text = e.to_string();
        self.shared.fail(e);
        text.into()
    }
}

/// The function's first column, which views leave out and which has no values. DuckDB wants one column at least, and
/// takes the first where a query needs none (`count(*)`): this one costs the source nothing.
pub(crate) const ROW: &str = "xdb:row";

pub(crate) struct ReadSource;

impl VTab for ReadSource {
    type InitData = Scan;
    type BindData = ();

    fn bind(bind: &BindInfo) -> Result<()> {
        // SAFETY: registered with a `Source` only.
        let source = unsafe { Source::from_extra(bind.get_extra_info())? };
        let info = &source.table.input.table;
        bind.add_result_column(ROW, LogicalTypeHandle::from(LogicalTypeId::Tinyint));
        for (field, how) in info.schema.fields().iter().zip(&source.table.columns) {
            let ty = match how {
                Ok(Plain::Same) => logical_type(field.data_type())?,
                Ok(Plain::Cast(t)) => logical_type(t)?,
                // Named, so that the others can be read; an error once it is used.
                Err(_) => LogicalTypeHandle::from(LogicalTypeId::Varchar),
            };
            bind.add_result_column(field.name(), ty);
        }
        if let Some(rows) = info.row_estimate {
            bind.set_cardinality(rows, false);
        }
        Ok(())
    }

    fn init(init: &InitInfo) -> Result<Scan> {
        // SAFETY: registered with a `Source` only.
        let source = unsafe { Source::from_extra(init.get_extra_info())? };
        init.set_max_threads(source.shared.threads as u64);
        // The first column is `ROW`; DuckDB's own row ids, if it ever asked for them, are past the last.
        let wanted: Vec<Option<usize>> =
            init.get_column_indices().iter().map(|i| usize::try_from(*i).ok()?.checked_sub(1)).collect();
        Scan::new(source.table.clone(), source.shared.clone(), &wanted).map_err(|e| source.report(e))
    }

    fn func(info: &TableFunctionInfo<Self>, output: &mut DataChunkHandle) -> Result<()> {
        let scan = info.get_init_data();
        let chunk = output.get_ptr();
        // SAFETY: no argument, no state.
        let most = unsafe { ffi::duckdb_vector_size() } as usize;
        let rows = scan.next(most, |batch, rows| {
            for (i, from) in scan.outputs.iter().enumerate() {
                let Some(column) = from.and_then(|c| batch.columns().get(c)) else { continue };
                // SAFETY: the chunk is DuckDB's own for this call and thread, with a vector for each output, of the type
                // that `bind` named; `rows` are at most a vector's.
                unsafe {
                    let vector = ffi::duckdb_data_chunk_get_vector(chunk, i as u64);
                    write(vector, column, rows.clone(), Column { name: scan.column_name(i) })?;
                }
            }
            Ok(())
        });
        match rows {
            Ok(n) => {
                output.set_len(n);
                Ok(())
            }
            Err(e) => {
                let text = e.to_string();
                // A closed queue is the consequence of something that is recorded already, or of cancelling.
                if e.kind() != xdb_core::ErrorKind::Cancelled {
                    scan.fail(e);
                }
                Err(text.into())
            }
        }
    }

    fn supports_pushdown() -> bool {
        true
    }
}
