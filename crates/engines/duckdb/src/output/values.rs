//! Collects the rows of DuckDB's vectors into Arrow arrays.
//!
//! Values that Arrow would read as others (DuckDB's infinities, integers past 38 digits) are errors that name the
//! column. Rows that are NULL hold anything and are never looked at.
#![allow(unsafe_code)] // DuckDB's vectors are raw memory behind its C API.

use crate::database::{Logical, text};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, NullArray, NullBufferBuilder, PrimitiveArray,
    StringArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, DataType, IntervalMonthDayNano};
use duckdb::ffi;
use std::ops::Range;
use std::sync::Arc;
use xdb_core::{Error, Result};

/// A column being collected.
pub(crate) trait Collect: Send {
    fn data_type(&self) -> DataType;
    /// # Safety
    /// `vector` is a live, flat vector of the type this was made for, with at least `start + len` rows.
    unsafe fn append(&mut self, vector: ffi::duckdb_vector, start: usize, len: usize) -> Result<()>;
    /// Rows without a value, read from nowhere.
    fn append_nulls(&mut self, len: usize);
    /// What was collected, leaving nothing.
    fn finish(&mut self) -> Result<ArrayRef>;
    fn bytes(&self) -> usize;
}

/// The validity of some rows of a vector.
#[derive(Clone, Copy)]
pub(super) struct Validity {
    /// Null where every row has a value.
    mask: *const u64,
    start: usize,
}
impl Validity {
    /// # Safety
    /// `vector` is live; the result is used while it is.
    pub(super) unsafe fn of(vector: ffi::duckdb_vector, start: usize) -> Self {
        // SAFETY: the vector is live.
        Self { mask: unsafe { ffi::duckdb_vector_get_validity(vector) }, start }
    }
    /// # Safety
    /// The vector has that row.
    pub(super) unsafe fn has(self, i: usize) -> bool {
        let row = self.start + i;
        // SAFETY: the mask has a bit for each row of the vector.
        self.mask.is_null() || unsafe { *self.mask.add(row / 64) >> (row % 64) & 1 == 1 }
    }
    /// Neighbouring rows that are alike, of the first `len`, with whether they have values.
    ///
    /// # Safety
    /// The vector has those rows.
    pub(super) unsafe fn runs(self, len: usize) -> Vec<(Range<usize>, bool)> {
        let mut out: Vec<(Range<usize>, bool)> = Vec::new();
        if self.mask.is_null() {
            out.push((0..len, true));
            return out;
        }
        for i in 0..len {
            // SAFETY: within the rows the caller was given.
            let valid = unsafe { self.has(i) };
            match out.last_mut() {
                Some((run, v)) if *v == valid => run.end = i + 1,
                _ => out.push((i..i + 1, valid)),
            }
        }
        out
    }
}

/// `len` empty rows after those that end where `offsets` ends.
pub(super) fn push_empty(offsets: &mut Vec<i32>, len: usize) {
    let end = offsets.last().copied().unwrap_or(0);
    offsets.resize(offsets.len() + len, end);
}

pub(super) struct Valid(NullBufferBuilder);
impl Default for Valid {
    fn default() -> Self {
        Self(NullBufferBuilder::new(0))
    }
}
impl Valid {
    pub(super) fn append_nulls(&mut self, len: usize) {
        self.0.append_n_nulls(len);
    }
    /// # Safety
    /// `v` is of a live vector with at least `len` rows from its start.
    pub(super) unsafe fn append(&mut self, v: Validity, len: usize) {
        if v.mask.is_null() {
            self.0.append_n_non_nulls(len);
        } else {
            for i in 0..len {
                // SAFETY: within the rows the caller was given.
                self.0.append(unsafe { v.has(i) });
            }
        }
    }
    pub(super) fn finish(&mut self) -> Option<NullBuffer> {
        self.0.finish().filter(|n| n.null_count() > 0)
    }
}

/// # Safety
/// `vector` is live, holds `T`s, and has a row `start` (or ends there).
pub(super) unsafe fn data<T>(vector: ffi::duckdb_vector, start: usize) -> *const T {
    // SAFETY: the vector is live and holds `T`s.
    unsafe { ffi::duckdb_vector_get_data(vector).cast::<T>().add(start) }
}

/// Values that both sides hold alike.
pub(crate) struct Copied<T: ArrowPrimitiveType> {
    data_type: DataType,
    values: Vec<T::Native>,
    valid: Valid,
}
impl<T: ArrowPrimitiveType> Copied<T> {
    pub(crate) fn of(data_type: DataType) -> Self {
        Self { data_type, values: Vec::new(), valid: Valid::default() }
    }
}
impl<T: ArrowPrimitiveType> Default for Copied<T> {
    fn default() -> Self {
        Self::of(T::DATA_TYPE)
    }
}
impl<T: ArrowPrimitiveType> Collect for Copied<T> {
    fn data_type(&self) -> DataType {
        self.data_type.clone()
    }
    unsafe fn append(&mut self, vector: ffi::duckdb_vector, start: usize, len: usize) -> Result<()> {
        // SAFETY: the vector holds `T::Native`s, which any bits are, and has the rows. What NULL rows hold is copied too:
        // memory of the vector that DuckDB allocated.
        unsafe {
            self.values.extend_from_slice(std::slice::from_raw_parts(data(vector, start), len));
            self.valid.append(Validity::of(vector, start), len);
        }
        Ok(())
    }
    fn append_nulls(&mut self, len: usize) {
        self.values.resize(self.values.len() + len, T::Native::default());
        self.valid.append_nulls(len);
    }
    fn finish(&mut self) -> Result<ArrayRef> {
        let values = ScalarBuffer::from(std::mem::take(&mut self.values));
        let a = PrimitiveArray::<T>::try_new(values, self.valid.finish())?;
        Ok(Arc::new(a.with_data_type(self.data_type.clone())))
    }
    fn bytes(&self) -> usize {
        std::mem::size_of_val(&self.values[..])
    }
}

/// Values that are converted or checked one by one.
pub(crate) struct Convert<T: ArrowPrimitiveType, S> {
    inner: Copied<T>,
    column: String,
    f: fn(S) -> Result<T::Native, &'static str>,
}
impl<T: ArrowPrimitiveType, S> Convert<T, S> {
    pub(crate) fn new(column: &str, data_type: DataType, f: fn(S) -> Result<T::Native, &'static str>) -> Self {
        Self { inner: Copied::of(data_type), column: column.into(), f }
    }
}
impl<T: ArrowPrimitiveType, S: Copy + std::fmt::Debug> Collect for Convert<T, S> {
    fn data_type(&self) -> DataType {
        self.inner.data_type()
    }
    unsafe fn append(&mut self, vector: ffi::duckdb_vector, start: usize, len: usize) -> Result<()> {
        // SAFETY: the vector holds `S`s and has the rows; only rows with a value are read.
        unsafe {
            let validity = Validity::of(vector, start);
            let from = data::<S>(vector, start);
            self.inner.values.reserve(len);
            for i in 0..len {
                let out = match validity.has(i) {
                    true => {
                        let v = from.add(i).read();
                        (self.f)(v).map_err(|why| Error::inexact(&self.column, format!("{v:?}"), why))?
                    }
                    false => T::Native::default(),
                };
                self.inner.values.push(out);
            }
            self.inner.valid.append(validity, len);
        }
        Ok(())
    }
    fn append_nulls(&mut self, len: usize) {
        self.inner.append_nulls(len);
    }
    fn finish(&mut self) -> Result<ArrayRef> {
        self.inner.finish()
    }
    fn bytes(&self) -> usize {
        self.inner.bytes()
    }
}

const TOO_LONG: &str = "has more than 38 digits";
const INFINITE: &str = "is an infinity of DuckDB's, which no target has";
const DECIMAL_LIMIT: i128 = 10i128.pow(38);

pub(crate) fn hugeint(v: i128) -> Result<i128, &'static str> {
    if -DECIMAL_LIMIT < v && v < DECIMAL_LIMIT { Ok(v) } else { Err(TOO_LONG) }
}
pub(crate) fn uhugeint(v: u128) -> Result<i128, &'static str> {
    hugeint(i128::try_from(v).map_err(|_| TOO_LONG)?)
}
pub(crate) fn decimal<S: Into<i128>>(v: S) -> Result<i128, &'static str> {
    Ok(v.into())
}
pub(crate) fn date(v: i32) -> Result<i32, &'static str> {
    if v == i32::MAX || v == -i32::MAX { Err(INFINITE) } else { Ok(v) }
}
pub(crate) fn finite(v: i64) -> Result<i64, &'static str> {
    if v == i64::MAX || v == -i64::MAX { Err(INFINITE) } else { Ok(v) }
}
pub(crate) fn micros_of<const FACTOR: i64>(v: i64) -> Result<i64, &'static str> {
    finite(v)?.checked_mul(FACTOR).ok_or("does not fit a timestamp in microseconds")
}
pub(crate) fn interval(v: ffi::duckdb_interval) -> Result<IntervalMonthDayNano, &'static str> {
    let nanos = v.micros.checked_mul(1000).ok_or("does not fit an interval in nanoseconds")?;
    Ok(IntervalMonthDayNano::new(v.months, v.days, nanos))
}
/// DuckDB keeps a uuid as a signed number with the top bit flipped, so that it sorts as text does.
pub(crate) fn uuid(v: i128, out: &mut Vec<u8>) {
    let hex = format!("{:032x}", (v as u128) ^ (1 << 127));
    for (i, c) in hex.bytes().enumerate() {
        if matches!(i, 8 | 12 | 16 | 20) {
            out.push(b'-');
        }
        out.push(c);
    }
}

#[derive(Default)]
pub(crate) struct Nulls(usize);
impl Collect for Nulls {
    fn data_type(&self) -> DataType {
        DataType::Null
    }
    unsafe fn append(&mut self, _: ffi::duckdb_vector, _: usize, len: usize) -> Result<()> {
        self.0 += len;
        Ok(())
    }
    fn append_nulls(&mut self, len: usize) {
        self.0 += len;
    }
    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(NullArray::new(std::mem::take(&mut self.0))))
    }
    fn bytes(&self) -> usize {
        0
    }
}

pub(crate) struct Booleans {
    values: BooleanBufferBuilder,
    valid: Valid,
}
impl Default for Booleans {
    fn default() -> Self {
        Self { values: BooleanBufferBuilder::new(0), valid: Valid::default() }
    }
}
impl Collect for Booleans {
    fn data_type(&self) -> DataType {
        DataType::Boolean
    }
    unsafe fn append(&mut self, vector: ffi::duckdb_vector, start: usize, len: usize) -> Result<()> {
        // SAFETY: the vector holds a byte a row.
        unsafe {
            let from = data::<u8>(vector, start);
            for i in 0..len {
                self.values.append(*from.add(i) != 0);
            }
            self.valid.append(Validity::of(vector, start), len);
        }
        Ok(())
    }
    fn append_nulls(&mut self, len: usize) {
        self.values.append_n(len, false);
        self.valid.append_nulls(len);
    }
    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanArray::new(self.values.finish(), self.valid.finish())))
    }
    fn bytes(&self) -> usize {
        self.values.len() / 8
    }
}

/// Appends the text of the row that a pointer points to.
type MakeText = Box<dyn Fn(*const u8, &mut Vec<u8>) + Send>;

/// Where the bytes of a row come from.
enum Put {
    /// The row is a `duckdb_string_t`.
    String,
    Made(MakeText),
}

/// Text or binary.
pub(crate) struct Bytes {
    data_type: DataType,
    /// Bytes of a row in the vector's data.
    width: usize,
    put: Put,
    offsets: Vec<i32>,
    values: Vec<u8>,
    valid: Valid,
}

impl Bytes {
    fn new(data_type: DataType, width: usize, put: Put) -> Self {
        Self { data_type, width, put, offsets: vec![0], values: Vec::new(), valid: Valid::default() }
    }
    pub(crate) fn text() -> Self {
        Self::new(DataType::Utf8, size_of::<ffi::duckdb_string_t>(), Put::String)
    }
    pub(crate) fn binary() -> Self {
        Self::new(DataType::Binary, size_of::<ffi::duckdb_string_t>(), Put::String)
    }
    /// Text made of a value of type `S`.
    pub(crate) fn made<S: Copy + 'static>(f: fn(S, &mut Vec<u8>)) -> Self {
        // SAFETY: called with a pointer to a row of a vector of `S`s.
        let put = move |p: *const u8, out: &mut Vec<u8>| f(unsafe { p.cast::<S>().read() }, out);
        Self::new(DataType::Utf8, size_of::<S>(), Put::Made(Box::new(put)))
    }
}

/// The bytes of a `duckdb_string_t`: a length, then up to 12 bytes, or a prefix of 4 and a pointer (duckdb.h).
///
/// # Safety
/// `p` is a row with a value of a vector of strings, which outlives the slice.
unsafe fn string_bytes<'a>(p: *const u8) -> &'a [u8] {
    // SAFETY: as promised by the caller.
    unsafe {
        let len = p.cast::<u32>().read() as usize;
        let start = if len <= 12 { p.add(4) } else { p.add(8).cast::<*const u8>().read() };
        std::slice::from_raw_parts(start, len)
    }
}

impl Collect for Bytes {
    fn data_type(&self) -> DataType {
        self.data_type.clone()
    }
    unsafe fn append(&mut self, vector: ffi::duckdb_vector, start: usize, len: usize) -> Result<()> {
        // SAFETY: the vector's rows are `width` bytes each; only rows with a value are read.
        unsafe {
            let validity = Validity::of(vector, start);
            let from = data::<u8>(vector, 0).add(start * self.width);
            self.offsets.reserve(len);
            for i in 0..len {
                if validity.has(i) {
                    let row = from.add(i * self.width);
                    match &self.put {
                        Put::String => self.values.extend_from_slice(string_bytes(row)),
                        Put::Made(f) => f(row, &mut self.values),
                    }
                }
                let end = i32::try_from(self.values.len())
                    .map_err(|_| Error::internal("a batch holds more than 2 GiB of text in one column"))?;
                self.offsets.push(end);
            }
            self.valid.append(validity, len);
        }
        Ok(())
    }
    fn append_nulls(&mut self, len: usize) {
        push_empty(&mut self.offsets, len);
        self.valid.append_nulls(len);
    }
    fn finish(&mut self) -> Result<ArrayRef> {
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        let values = Buffer::from_vec(std::mem::take(&mut self.values));
        let nulls = self.valid.finish();
        Ok(match self.data_type {
            DataType::Binary => Arc::new(BinaryArray::try_new(offsets, values, nulls)?),
            // Checked again: a function of DuckDB's that makes broken text would poison everything after it.
            _ => Arc::new(StringArray::try_new(offsets, values, nulls)?),
        })
    }
    fn bytes(&self) -> usize {
        self.values.len() + 4 * self.offsets.len()
    }
}

/// An enum's rows are positions in its list of labels; they become the labels.
pub(crate) fn enum_labels(ty: &Logical) -> Box<dyn Collect> {
    // SAFETY: the type is an enum's; each label is freed.
    let (labels, width) = unsafe {
        let n = ffi::duckdb_enum_dictionary_size(ty.0);
        let labels: Vec<String> = (0..u64::from(n))
            .map(|i| {
                let p = ffi::duckdb_enum_dictionary_value(ty.0, i);
                let label = if p.is_null() { String::new() } else { text(p) };
                ffi::duckdb_free(p.cast());
                label
            })
            .collect();
        (labels, ffi::duckdb_enum_internal_type(ty.0))
    };
    let (width, read): (usize, unsafe fn(*const u8) -> usize) = match width {
        // SAFETY: the widths of an enum's rows, from its type.
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_UTINYINT => (1, |p| unsafe { p.read() as usize }),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_USMALLINT => (2, |p| unsafe { p.cast::<u16>().read() as usize }),
        _ => (4, |p| unsafe { p.cast::<u32>().read() as usize }),
    };
    let put = move |p: *const u8, out: &mut Vec<u8>| {
        // SAFETY: `p` is a row of the enum's vector.
        if let Some(label) = labels.get(unsafe { read(p) }) {
            out.extend_from_slice(label.as_bytes());
        }
    };
    Box::new(Bytes::new(DataType::Utf8, width, Put::Made(Box::new(put))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_written_as_text() {
        let mut out = Vec::new();
        let n = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128 ^ (1 << 127);
        uuid(n as i128, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn what_arrow_would_misread_is_refused() {
        assert_eq!(hugeint(DECIMAL_LIMIT - 1), Ok(DECIMAL_LIMIT - 1));
        assert_eq!(hugeint(DECIMAL_LIMIT), Err(TOO_LONG));
        assert_eq!(hugeint(-DECIMAL_LIMIT), Err(TOO_LONG));
        assert_eq!(uhugeint(u128::MAX), Err(TOO_LONG));
        assert!(date(i32::MAX).is_err() && date(-i32::MAX).is_err() && date(0).is_ok());
        assert!(finite(i64::MAX).is_err() && finite(-i64::MAX).is_err());
        assert!(micros_of::<1_000_000>(i64::MAX / 2).is_err());
        assert!(interval(ffi::duckdb_interval { months: 0, days: 0, micros: i64::MAX }).is_err());
    }
}
