//! The Arrow type of a result column, with the collector for its values.
//!
//! The types are those of xdb's connectors, so that targets see the same whichever engine ran: text is `Utf8` (uuid,
//! enum and JSON too), timestamps with a zone are in UTC, integers past 64 bits are decimals. A type that has no such
//! form is an error that says what to cast to.
#![allow(unsafe_code)] // DuckDB's types are read through its C API.

use super::nested::{Arrays, Lists, Maps, Structs};
use super::values::{
    Booleans, Bytes, Collect, Convert, Copied, Nulls, date, decimal, enum_labels, finite, hugeint, interval, micros_of,
    uhugeint, uuid,
};
use crate::database::{Chunk, Logical, text};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Schema, SchemaRef, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use duckdb::ffi;
use std::sync::Arc;
use xdb_core::{Error, ErrorKind, Result};

/// Most digits of a decimal.
const DIGITS: u8 = 38;

/// Collects chunks into batches of one schema.
pub(crate) struct Columns {
    schema: SchemaRef,
    collectors: Vec<Box<dyn Collect>>,
    rows: usize,
}

/// For the columns of a prepared statement. An error names the column whose type can't leave DuckDB.
pub(crate) fn columns(described: Vec<(String, Logical)>) -> Result<Columns> {
    let mut fields = Vec::with_capacity(described.len());
    let mut collectors = Vec::with_capacity(described.len());
    for (name, ty) in described {
        let c = collector(&ty, &name)?;
        fields.push(Field::new(name, c.data_type(), true));
        collectors.push(c);
    }
    Ok(Columns { schema: Arc::new(Schema::new(fields)), collectors, rows: 0 })
}

impl Columns {
    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The same columns under fields with more metadata.
    pub(crate) fn set_schema(&mut self, schema: SchemaRef) {
        self.schema = schema;
    }

    pub(crate) fn push(&mut self, chunk: &Chunk) -> Result<()> {
        let rows = chunk.len();
        for (i, c) in self.collectors.iter_mut().enumerate() {
            let vector = chunk.vector(i);
            if vector.is_null() {
                return Err(Error::internal("duckdb returned fewer columns than it described"));
            }
            // SAFETY: the vector is that of the column the collector was made for, with `rows` rows, flat as all of a
            // fetched chunk are.
            unsafe { c.append(vector, 0, rows)? }
        }
        self.rows += rows;
        Ok(())
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes collected so far, about.
    pub(crate) fn bytes(&self) -> usize {
        self.collectors.iter().map(|c| c.bytes()).sum()
    }

    /// What was collected, leaving nothing.
    pub(crate) fn take(&mut self) -> Result<RecordBatch> {
        let arrays = self.collectors.iter_mut().map(|c| c.finish()).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?)
    }
}

/// The collector for a column of type `ty`; `name` is its path, for messages.
fn collector(ty: &Logical, name: &str) -> Result<Box<dyn Collect>> {
    // SAFETY (all calls here): `ty` is a live type; what is asked of it fits its id.
    let id = unsafe { ffi::duckdb_get_type_id(ty.0) };
    let utc = || Some(Arc::from("UTC"));
    Ok(match id {
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_SQLNULL => Box::new(Nulls::default()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_BOOLEAN => Box::new(Booleans::default()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TINYINT => Box::new(Copied::<Int8Type>::default()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_SMALLINT => Box::new(Copied::<Int16Type>::default()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_INTEGER => Box::new(Copied::<Int32Type>::default()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT => Box::new(Copied::<Int64Type>::default()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_UTINYINT => Box::new(Copied::<UInt8Type>::default()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_USMALLINT => Box::new(Copied::<UInt16Type>::default()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_UINTEGER => Box::new(Copied::<UInt32Type>::default()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_UBIGINT => Box::new(Copied::<UInt64Type>::default()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_FLOAT => Box::new(Copied::<Float32Type>::default()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_DOUBLE => Box::new(Copied::<Float64Type>::default()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_HUGEINT => {
            let t = DataType::Decimal128(DIGITS, 0);
            Box::new(Convert::<Decimal128Type, i128>::new(name, t, hugeint))
        }
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_UHUGEINT => {
            let t = DataType::Decimal128(DIGITS, 0);
            Box::new(Convert::<Decimal128Type, u128>::new(name, t, uhugeint))
        }
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_DECIMAL => {
            let (width, scale) = unsafe { (ffi::duckdb_decimal_width(ty.0), ffi::duckdb_decimal_scale(ty.0)) };
            let t = DataType::Decimal128(width, i8::try_from(scale).unwrap_or(i8::MAX));
            match width {
                0..=4 => Box::new(Convert::<Decimal128Type, i16>::new(name, t, decimal)),
                5..=9 => Box::new(Convert::<Decimal128Type, i32>::new(name, t, decimal)),
                10..=18 => Box::new(Convert::<Decimal128Type, i64>::new(name, t, decimal)),
                _ => Box::new(Copied::<Decimal128Type>::of(t)),
            }
        }
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR => Box::new(Bytes::text()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_BLOB => Box::new(Bytes::binary()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_UUID => Box::new(Bytes::made::<i128>(uuid)),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_ENUM => enum_labels(ty),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_DATE => Box::new(Convert::<Date32Type, i32>::new(name, DataType::Date32, date)),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIME => Box::new(Copied::<Time64MicrosecondType>::default()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIME_NS => Box::new(Copied::<Time64NanosecondType>::default()),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP => timestamp(name, finite),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_S => timestamp(name, micros_of::<1_000_000>),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_MS => timestamp(name, micros_of::<1_000>),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_NS => {
            let t = DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, None);
            Box::new(Convert::<TimestampNanosecondType, i64>::new(name, t, finite))
        }
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_TZ => {
            let t = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, utc());
            Box::new(Convert::<TimestampMicrosecondType, i64>::new(name, t, finite))
        }
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_INTERVAL => {
            let t = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
            Box::new(Convert::<IntervalMonthDayNanoType, ffi::duckdb_interval>::new(name, t, interval))
        }
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_LIST => {
            let item = Logical(unsafe { ffi::duckdb_list_type_child_type(ty.0) });
            Box::new(Lists::new(collector(&item, name)?))
        }
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_ARRAY => {
            let (item, n) =
                unsafe { (Logical(ffi::duckdb_array_type_child_type(ty.0)), ffi::duckdb_array_type_array_size(ty.0)) };
            Box::new(Arrays::new(collector(&item, name)?, n as usize))
        }
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_MAP => {
            let (k, v) = unsafe {
                (Logical(ffi::duckdb_map_type_key_type(ty.0)), Logical(ffi::duckdb_map_type_value_type(ty.0)))
            };
            Box::new(Maps::new(collector(&k, name)?, collector(&v, name)?))
        }
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_STRUCT => {
            let n = unsafe { ffi::duckdb_struct_type_child_count(ty.0) };
            let mut fields = Vec::new();
            for i in 0..n {
                let (field, child) = unsafe {
                    let p = ffi::duckdb_struct_type_child_name(ty.0, i);
                    let field = if p.is_null() { String::new() } else { text(p) };
                    ffi::duckdb_free(p.cast());
                    (field, Logical(ffi::duckdb_struct_type_child_type(ty.0, i)))
                };
                let inner = collector(&child, &format!("{name}.{field}"))?;
                fields.push((field, inner));
            }
            Box::new(Structs::new(fields))
        }
        other => return Err(no_form(name, other)),
    })
}

fn timestamp(name: &str, f: fn(i64) -> Result<i64, &'static str>) -> Box<dyn Collect> {
    let t = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    Box::new(Convert::<TimestampMicrosecondType, i64>::new(name, t, f))
}

fn no_form(name: &str, id: ffi::duckdb_type) -> Error {
    let (what, cast) = match id {
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIME_TZ => ("TIME WITH TIME ZONE", "time"),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIT => ("BIT", "varchar"),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGNUM => ("BIGNUM", "decimal(38,0)"),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_UNION => ("UNION", "varchar"),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_VARIANT => ("VARIANT", "json"),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_GEOMETRY => ("GEOMETRY", "blob"),
        _ => ("a type without a name", "varchar"),
    };
    Error::new(ErrorKind::Type, format!("column `{name}` is {what}, which cannot leave the duckdb engine"))
        .hint(format!("cast it in SQL: `{name}::{cast}`"))
}
