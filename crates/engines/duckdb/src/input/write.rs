//! Copies rows of an Arrow array into a DuckDB vector.
//!
//! This is the hot path of every scan: numbers are copied as slices, validity as words; only text costs a call each.
//! A value that DuckDB would read as another one (its infinities, its narrower ranges) is an error.
#![allow(unsafe_code)] // DuckDB's vectors are raw memory behind its C API.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeListArray, GenericByteArray, GenericByteViewArray, ListArray,
    MapArray, PrimitiveArray, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, ByteArrayType, ByteViewType, DataType, Date32Type, Decimal128Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float32Type,
    Float64Type, GenericBinaryType, GenericStringType, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType,
    IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, Time64MicrosecondType, Time64NanosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use duckdb::ffi;
use std::fmt::Display;
use std::ops::Range;
use xdb_core::{Error, Result};

const DAY_MICROS: i64 = 86_400_000_000;
/// Text up to this many bytes lies in the vector itself.
const INLINE: usize = 12;

/// The column a value belongs to, for messages.
#[derive(Clone, Copy)]
pub(crate) struct Column<'a> {
    pub(crate) name: &'a str,
}

/// Write `rows` of `array` to the first positions of `vector`.
///
/// # Safety
/// `vector` is a live vector of the DuckDB type that `logical_type` gives for the array's type, not shared with another
/// thread, with room for that many rows.
pub(crate) unsafe fn write(
    vector: ffi::duckdb_vector,
    array: &ArrayRef,
    rows: Range<usize>,
    column: Column<'_>,
) -> Result<()> {
    // SAFETY: the caller's promise is passed on.
    unsafe { write_masked(vector, array, rows, None, column) }
}

/// As [`write`]; rows that `mask` calls null are null too. Its length is that of `rows`.
unsafe fn write_masked(
    vector: ffi::duckdb_vector,
    array: &dyn Array,
    rows: Range<usize>,
    mask: Option<&NullBuffer>,
    column: Column<'_>,
) -> Result<()> {
    use DataType as D;
    if rows.is_empty() {
        return Ok(());
    }
    if array.data_type() == &D::Null {
        // SAFETY: as promised by the caller.
        unsafe { set_validity(vector, &NullBuffer::new_null(rows.len())) };
        return Ok(());
    }
    let own = array.nulls().map(|n| n.slice(rows.start, rows.len()));
    let nulls = NullBuffer::union(own.as_ref(), mask).filter(|n| n.null_count() > 0);
    let w = Writer { vector, rows, nulls, column };
    // SAFETY: the vector has the type that belongs to the array's, which each arm below names.
    unsafe {
        if let Some(n) = &w.nulls {
            set_validity(vector, n);
        }
        match array.data_type() {
            D::Boolean => w.booleans(array.as_boolean()),
            D::Int8 => w.copy::<Int8Type>(array),
            D::Int16 => w.copy::<Int16Type>(array),
            D::Int32 => w.copy::<Int32Type>(array),
            D::Int64 => w.copy::<Int64Type>(array),
            D::UInt8 => w.copy::<UInt8Type>(array),
            D::UInt16 => w.copy::<UInt16Type>(array),
            D::UInt32 => w.copy::<UInt32Type>(array),
            D::UInt64 => w.copy::<UInt64Type>(array),
            D::Float32 => w.copy::<Float32Type>(array),
            D::Float64 => w.copy::<Float64Type>(array),
            D::Date32 => {
                // <https://duckdb.org/docs/stable/sql/data_types/date>: the ends of the range are ±infinity.
                let ends = |v| v == i32::MAX || v <= -i32::MAX;
                w.refuse::<Date32Type>(array, ends, "is outside DuckDB's range of dates")?;
                w.copy::<Date32Type>(array);
            }
            D::Timestamp(TimeUnit::Microsecond, _) => {
                w.refuse::<TimestampMicrosecondType>(array, infinite, "is outside DuckDB's range of timestamps")?;
                w.copy::<TimestampMicrosecondType>(array);
            }
            D::Timestamp(TimeUnit::Nanosecond, None) => {
                w.refuse::<TimestampNanosecondType>(array, infinite, "is outside DuckDB's range of timestamps")?;
                w.copy::<TimestampNanosecondType>(array);
            }
            D::Timestamp(TimeUnit::Nanosecond, Some(_)) => {
                w.each::<TimestampNanosecondType, i64>(array, |v| whole_micros(v).ok_or("has nanoseconds"))?
            }
            D::Time64(TimeUnit::Microsecond) => {
                let outside = |v| !(0..=DAY_MICROS).contains(&v);
                w.refuse::<Time64MicrosecondType>(array, outside, "is not a time of day")?;
                w.copy::<Time64MicrosecondType>(array);
            }
            D::Time64(TimeUnit::Nanosecond) => {
                let outside = |v| !(0..=DAY_MICROS * 1000).contains(&v);
                w.refuse::<Time64NanosecondType>(array, outside, "is not a time of day")?;
                w.copy::<Time64NanosecondType>(array);
            }
            D::Decimal128(width, _) => w.decimals(array.as_primitive(), *width)?,
            D::Interval(IntervalUnit::YearMonth) => {
                w.each::<IntervalYearMonthType, _>(array, |m| Ok(interval(m, 0, 0)))?
            }
            D::Interval(IntervalUnit::DayTime) => {
                w.each::<IntervalDayTimeType, _>(array, |v| Ok(interval(0, v.days, i64::from(v.milliseconds) * 1000)))?
            }
            D::Interval(IntervalUnit::MonthDayNano) => w.each::<IntervalMonthDayNanoType, _>(array, |v| {
                Ok(interval(v.months, v.days, whole_micros(v.nanoseconds).ok_or("has nanoseconds")?))
            })?,
            D::Duration(TimeUnit::Second) => w.each::<DurationSecondType, _>(array, |v| micros(v, 1_000_000))?,
            D::Duration(TimeUnit::Millisecond) => w.each::<DurationMillisecondType, _>(array, |v| micros(v, 1_000))?,
            D::Duration(TimeUnit::Microsecond) => w.each::<DurationMicrosecondType, _>(array, |v| micros(v, 1))?,
            D::Duration(TimeUnit::Nanosecond) => w.each::<DurationNanosecondType, _>(array, |v| {
                Ok(interval(0, 0, whole_micros(v).ok_or("has nanoseconds")?))
            })?,
            D::Utf8 => w.offsets(array.as_bytes::<GenericStringType<i32>>()),
            D::LargeUtf8 => w.offsets(array.as_bytes::<GenericStringType<i64>>()),
            D::Binary => w.offsets(array.as_bytes::<GenericBinaryType<i32>>()),
            D::LargeBinary => w.offsets(array.as_bytes::<GenericBinaryType<i64>>()),
            D::Utf8View => w.views(array.as_string_view()),
            D::BinaryView => w.views(array.as_binary_view()),
            D::FixedSizeBinary(_) => {
                let a = array.as_fixed_size_binary();
                w.texts(|i| a.value(i))
            }
            D::List(_) => w.list(array.as_list())?,
            D::FixedSizeList(..) => w.array(array.as_fixed_size_list())?,
            D::Struct(_) => w.structs(array.as_struct())?,
            D::Map(..) => w.map(array.as_map())?,
            other => return Err(Error::internal(format!("column `{}`: {other} is not written", column.name))),
        }
    }
    Ok(())
}

/// DuckDB's own infinities, and what lies below the lower one.
fn infinite(v: i64) -> bool {
    v == i64::MAX || v <= -i64::MAX
}

fn whole_micros(nanos: i64) -> Option<i64> {
    (nanos % 1000 == 0).then_some(nanos / 1000)
}

fn interval(months: i32, days: i32, micros: i64) -> ffi::duckdb_interval {
    ffi::duckdb_interval { months, days, micros }
}

fn micros(v: i64, factor: i64) -> Result<ffi::duckdb_interval, &'static str> {
    Ok(interval(0, 0, v.checked_mul(factor).ok_or("is outside DuckDB's range of intervals")?))
}

/// Mark the first `nulls.len()` rows.
///
/// # Safety
/// `vector` is live, writable, and has room for that many rows.
unsafe fn set_validity(vector: ffi::duckdb_vector, nulls: &NullBuffer) {
    // SAFETY: after `ensure_validity_writable` there is a bit for each row of the vector's capacity, in whole words.
    unsafe {
        ffi::duckdb_vector_ensure_validity_writable(vector);
        let mask = ffi::duckdb_vector_get_validity(vector);
        for (i, word) in nulls.inner().bit_chunks().iter_padded().take(nulls.len().div_ceil(64)).enumerate() {
            *mask.add(i) = word;
        }
    }
}

struct Writer<'a> {
    vector: ffi::duckdb_vector,
    rows: Range<usize>,
    /// Of `rows`; only where there are any.
    nulls: Option<NullBuffer>,
    column: Column<'a>,
}

/// Every method's safety: the vector's type is the one that belongs to the array's, and it has room for the rows.
impl Writer<'_> {
    /// Whether the `i`th of the rows has a value.
    fn has(&self, i: usize) -> bool {
        self.nulls.as_ref().is_none_or(|n| n.is_valid(i))
    }

    fn refused(&self, value: impl Display, why: &str) -> Error {
        Error::inexact(self.column.name, value, why)
    }

    /// An error for the first value for which `bad` holds.
    fn refuse<T: ArrowPrimitiveType>(
        &self,
        array: &dyn Array,
        bad: impl Fn(T::Native) -> bool,
        why: &str,
    ) -> Result<()> {
        let a: &PrimitiveArray<T> = array.as_primitive();
        let values = &a.values()[self.rows.clone()];
        // First without looking at nulls: nearly always that is all.
        if !values.iter().any(|v| bad(*v)) {
            return Ok(());
        }
        match values.iter().enumerate().find(|(i, v)| self.has(*i) && bad(**v)) {
            Some((_, v)) => Err(self.refused(format!("{v:?}"), why)),
            None => Ok(()),
        }
    }

    unsafe fn data<T>(&self) -> *mut T {
        // SAFETY: the vector is live.
        unsafe { ffi::duckdb_vector_get_data(self.vector).cast() }
    }

    unsafe fn copy<T: ArrowPrimitiveType>(&self, array: &dyn Array) {
        let a: &PrimitiveArray<T> = array.as_primitive();
        let values = &a.values()[self.rows.clone()];
        // SAFETY: DuckDB holds these types as Arrow does, and the vector has room for the rows.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.data::<T::Native>(), values.len()) }
    }

    /// One converted value after the other; `f` isn't asked about nulls.
    unsafe fn each<T: ArrowPrimitiveType, U>(
        &self,
        array: &dyn Array,
        f: impl Fn(T::Native) -> Result<U, &'static str>,
    ) -> Result<()> {
        let a: &PrimitiveArray<T> = array.as_primitive();
        for (i, v) in a.values()[self.rows.clone()].iter().enumerate() {
            if self.has(i) {
                let out = f(*v).map_err(|why| self.refused(format!("{v:?}"), why))?;
                // SAFETY: `U` is what DuckDB holds for this type, and there is room for row `i`.
                unsafe { self.data::<U>().add(i).write(out) }
            }
        }
        Ok(())
    }

    unsafe fn booleans(&self, a: &BooleanArray) {
        let bits = a.values().slice(self.rows.start, self.rows.len());
        // SAFETY: a boolean is a byte of 0 or 1.
        unsafe {
            let out = self.data::<u8>();
            for (i, b) in bits.iter().enumerate() {
                out.add(i).write(u8::from(b));
            }
        }
    }

    /// A decimal lies in the narrowest integer that holds its digits.
    unsafe fn decimals(&self, a: &PrimitiveArray<Decimal128Type>, width: u8) -> Result<()> {
        const WHY: &str = "has more digits than its type";
        // SAFETY: the widths are those of DuckDB's physical types; i128 has hugeint's layout on little-endian machines,
        // the only ones DuckDB runs on.
        unsafe {
            match width {
                0..=4 => self.each::<Decimal128Type, i16>(a, |v| v.try_into().map_err(|_| WHY)),
                5..=9 => self.each::<Decimal128Type, i32>(a, |v| v.try_into().map_err(|_| WHY)),
                10..=18 => self.each::<Decimal128Type, i64>(a, |v| v.try_into().map_err(|_| WHY)),
                _ => {
                    self.copy::<Decimal128Type>(a);
                    Ok(())
                }
            }
        }
    }

    unsafe fn offsets<T: ByteArrayType>(&self, a: &GenericByteArray<T>) {
        let (offsets, bytes) = (a.value_offsets(), a.value_data());
        // SAFETY: as for `texts`; Arrow keeps offsets within the bytes.
        unsafe { self.texts(|i| &bytes[offsets[i].as_usize()..offsets[i + 1].as_usize()]) }
    }

    unsafe fn views<T: ByteViewType + ?Sized>(&self, a: &GenericByteViewArray<T>) {
        // SAFETY: as for `texts`.
        unsafe { self.texts(|i| AsRef::<[u8]>::as_ref(a.value(i))) }
    }

    /// `get` is asked with positions in the array.
    unsafe fn texts<'b>(&self, get: impl Fn(usize) -> &'b [u8]) {
        // SAFETY: the vector holds `duckdb_string_t`s. Short ones lie in them, with the rest zeroed (DuckDB compares
        // whole words); long ones are copied by DuckDB. Arrow's text is valid UTF-8, so the unchecked call may be used.
        unsafe {
            let out = self.data::<[u8; 16]>();
            for (i, row) in self.rows.clone().enumerate() {
                let mut short = [0u8; 16];
                if self.has(i) {
                    let text = get(row);
                    if text.len() > INLINE {
                        ffi::duckdb_unsafe_vector_assign_string_element_len(
                            self.vector,
                            i as u64,
                            text.as_ptr().cast(),
                            text.len() as u64,
                        );
                        continue;
                    }
                    short[0] = text.len() as u8;
                    short[4..4 + text.len()].copy_from_slice(text);
                }
                out.add(i).write(short);
            }
        }
    }

    /// The offsets of lists or maps; returns the range of children they cover.
    unsafe fn entries(&self, offsets: &[i32]) -> Result<Range<usize>> {
        let at = |i: usize| offsets[i].unsigned_abs() as usize;
        let children = at(self.rows.start)..at(self.rows.end);
        // SAFETY: the vector holds list entries; the child gets room before it is written.
        unsafe {
            let out = self.data::<ffi::duckdb_list_entry>();
            for (i, row) in self.rows.clone().enumerate() {
                let (offset, end) = (at(row) - children.start, at(row + 1) - children.start);
                let length = if self.has(i) { end - offset } else { 0 };
                out.add(i).write(ffi::duckdb_list_entry { offset: offset as u64, length: length as u64 });
            }
            let n = children.len() as u64;
            if ffi::duckdb_list_vector_reserve(self.vector, n) != ffi::DuckDBSuccess
                || ffi::duckdb_list_vector_set_size(self.vector, n) != ffi::DuckDBSuccess
            {
                return Err(Error::internal(format!(
                    "column `{}`: DuckDB has no room for {n} list items",
                    self.column.name
                )));
            }
        }
        Ok(children)
    }

    unsafe fn list(&self, a: &ListArray) -> Result<()> {
        // SAFETY: the child vector was made large enough by `entries`.
        unsafe {
            let children = self.entries(a.value_offsets())?;
            write_masked(ffi::duckdb_list_vector_get_child(self.vector), a.values(), children, None, self.column)
        }
    }

    /// A map is a list of structs of key and value.
    unsafe fn map(&self, a: &MapArray) -> Result<()> {
        // SAFETY: as for `list`.
        unsafe {
            let children = self.entries(a.value_offsets())?;
            write_masked(ffi::duckdb_list_vector_get_child(self.vector), a.entries(), children, None, self.column)
        }
    }

    unsafe fn array(&self, a: &FixedSizeListArray) -> Result<()> {
        let n = a.value_length().unsigned_abs() as usize;
        let children = (self.rows.start * n)..(self.rows.end * n);
        let mask = self.nulls.as_ref().map(|v| v.expand(n));
        // SAFETY: an array vector's child has room for `n` items a row.
        unsafe {
            let child = ffi::duckdb_array_vector_get_child(self.vector);
            write_masked(child, a.values(), children, mask.as_ref(), self.column)
        }
    }

    /// DuckDB reads a field without looking at its struct's validity, so a null struct has null fields.
    unsafe fn structs(&self, a: &StructArray) -> Result<()> {
        for (i, field) in a.columns().iter().enumerate() {
            // SAFETY: a struct vector has a child for each field, as long as itself.
            unsafe {
                let child = ffi::duckdb_struct_vector_get_child(self.vector, i as u64);
                write_masked(child, field, self.rows.clone(), self.nulls.as_ref(), self.column)?;
            }
        }
        Ok(())
    }
}
