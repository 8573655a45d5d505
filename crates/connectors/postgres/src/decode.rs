//! Binary rows into Arrow arrays: tuples of `COPY … (FORMAT BINARY)` and DataRows, which share one form (int16 number of
//! fields, then for each an int32 length, -1 for NULL, and the bytes). No row objects: each value goes from the wire's
//! buffer into the array that will be handed on.

use crate::kind::Kind;
use crate::numeric::{self, Misfit};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Decimal128Array, Decimal256Array, ListArray,
    NullBufferBuilder, PrimitiveArray, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, SchemaRef, Time64MicrosecondType, TimestampMicrosecondType,
    UInt32Type, i256,
};
use std::sync::Arc;
use xdb_core::{Error, ErrorKind, Result, TypePolicy};

/// Days, and microseconds, from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
pub(crate) const EPOCH_DAYS: i32 = 10_957;
pub(crate) const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// What each COPY stream starts with, before flags and extension.
pub(crate) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Collects rows into batches of one schema.
#[derive(Debug)]
pub(crate) struct Decoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
    started: bool,
    ended: bool,
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, format!("the server sent a malformed row: {what}"))
}

#[inline]
fn int<const N: usize>(b: &[u8]) -> Result<[u8; N]> {
    b.try_into().map_err(|_| broken("a value of the wrong length"))
}

impl Decoder {
    /// `kinds` go with the schema's fields.
    pub(crate) fn new(schema: SchemaRef, kinds: &[Kind], policy: TypePolicy) -> Self {
        let columns = schema
            .fields()
            .iter()
            .zip(kinds)
            .map(|(f, k)| Column::new(f.name(), k.clone(), policy == TypePolicy::Lossy))
            .collect();
        Self { schema, columns, rows: 0, bytes: 0, started: false, ended: false }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }
    /// About how many bytes of Arrow data the rows hold.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
    /// Whether COPY's trailer has come.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// One CopyData message. The server sends one for each row, the first with the stream's header before it
    /// (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY>); a proxy may join whole rows.
    #[inline]
    pub(crate) fn push_copy_data(&mut self, mut data: &[u8]) -> Result<()> {
        if !self.started {
            let rest = data.strip_prefix(SIGNATURE).ok_or_else(|| broken("no COPY signature"))?;
            let (head, rest) = rest.split_at_checked(8).ok_or_else(|| broken("a short COPY header"))?;
            let extension = u32::from_be_bytes(int(&head[4..])?) as usize;
            data = rest.get(extension..).ok_or_else(|| broken("a short COPY header"))?;
            self.started = true;
        }
        while !data.is_empty() {
            data = self.push_tuple(data)?;
        }
        Ok(())
    }

    /// One row; returns what follows it.
    #[inline]
    pub(crate) fn push_tuple<'a>(&mut self, data: &'a [u8]) -> Result<&'a [u8]> {
        let (n, mut rest) = data.split_at_checked(2).ok_or_else(|| broken("cut short"))?;
        let n = i16::from_be_bytes(int(n)?);
        if n == -1 {
            self.ended = true;
            return Ok(&[]);
        }
        if n as usize != self.columns.len() {
            return Err(broken(&format!("{n} columns, expected {}", self.columns.len())));
        }
        for c in &mut self.columns {
            let (len, after) = rest.split_at_checked(4).ok_or_else(|| broken("cut short"))?;
            let len = i32::from_be_bytes(int(len)?);
            if len < 0 {
                c.push_null();
                rest = after;
            } else {
                let (value, after) = after.split_at_checked(len as usize).ok_or_else(|| broken("cut short"))?;
                c.push(value)?;
                rest = after;
            }
        }
        self.rows += 1;
        self.bytes += data.len() - rest.len();
        Ok(rest)
    }

    /// One value of the row being built, by column; `end_row` after the last.
    pub(crate) fn push_value(&mut self, column: usize, value: Option<&[u8]>) -> Result<()> {
        let c = self.columns.get_mut(column).ok_or_else(|| broken("too many columns"))?;
        match value {
            None => c.push_null(),
            Some(v) => {
                self.bytes += v.len();
                c.push(v)?;
            }
        }
        Ok(())
    }
    pub(crate) fn end_row(&mut self) {
        self.rows += 1;
    }

    /// The rows so far as a batch; then it starts anew.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        let arrays = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options).map_err(|e| {
            // A NULL in a column that the catalog calls NOT NULL: only `types: lossy` makes one.
            Error::new(ErrorKind::Type, e.to_string())
        })
    }
}

#[derive(Debug)]
struct Column {
    name: String,
    kind: Kind,
    lossy: bool,
    nulls: NullBufferBuilder,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Bool(BooleanBufferBuilder),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U32(Vec<u32>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Dec128(Vec<i128>),
    Dec256(Vec<i256>),
    Interval(Vec<IntervalMonthDayNano>),
    Bytes { values: Vec<u8>, offsets: Vec<i32> },
    List { offsets: Vec<i32>, child: Box<Column> },
}

impl Column {
    fn new(name: &str, kind: Kind, lossy: bool) -> Self {
        let data = match &kind {
            Kind::Bool => Data::Bool(BooleanBufferBuilder::new(0)),
            Kind::Int2 => Data::I16(vec![]),
            Kind::Int4 | Kind::Date => Data::I32(vec![]),
            Kind::Int8 | Kind::Time | Kind::Timestamp | Kind::TimestampTz => Data::I64(vec![]),
            Kind::Oid => Data::U32(vec![]),
            Kind::Float4 => Data::F32(vec![]),
            Kind::Float8 => Data::F64(vec![]),
            Kind::Numeric(p, _) if *p <= 38 => Data::Dec128(vec![]),
            Kind::Numeric(..) => Data::Dec256(vec![]),
            Kind::Interval => Data::Interval(vec![]),
            Kind::List(e) => Data::List { offsets: vec![0], child: Box::new(Self::new(name, (**e).clone(), lossy)) },
            _ => Data::Bytes { values: vec![], offsets: vec![0] },
        };
        Self { name: name.into(), kind, lossy, nulls: NullBufferBuilder::new(0), data }
    }

    #[inline]
    fn push_null(&mut self) {
        self.nulls.append_null();
        match &mut self.data {
            Data::Bool(b) => b.append(false),
            Data::I16(v) => v.push(0),
            Data::I32(v) => v.push(0),
            Data::I64(v) => v.push(0),
            Data::U32(v) => v.push(0),
            Data::F32(v) => v.push(0.0),
            Data::F64(v) => v.push(0.0),
            Data::Dec128(v) => v.push(0),
            Data::Dec256(v) => v.push(i256::ZERO),
            Data::Interval(v) => v.push(IntervalMonthDayNano::ZERO),
            Data::Bytes { offsets, .. } | Data::List { offsets, .. } => {
                offsets.push(offsets.last().copied().unwrap_or(0))
            }
        }
    }

    #[cold]
    fn misfit(&mut self, value: String, why: &str) -> Result<()> {
        if self.lossy {
            self.push_null();
            return Ok(());
        }
        Err(Error::inexact(&self.name, value, why))
    }

    #[inline]
    fn push(&mut self, b: &[u8]) -> Result<()> {
        match &mut self.data {
            Data::Bytes { values, offsets } => {
                let b = match self.kind {
                    Kind::Char => &b[..b.iter().rposition(|c| *c != b' ').map_or(0, |i| i + 1)],
                    // jsonb_send: one byte of version, then the text.
                    Kind::Jsonb => b.strip_prefix(&[1]).ok_or_else(|| broken("an unknown version of jsonb"))?,
                    _ => b,
                };
                if self.kind == Kind::Uuid {
                    push_uuid(values, int(b)?);
                } else {
                    values.extend_from_slice(b);
                }
                offsets.push(i32::try_from(values.len()).map_err(|_| too_long(&self.name))?);
            }
            Data::Dec128(v) => {
                let Kind::Numeric(p, s) = self.kind else { return Err(broken("not a numeric")) };
                match numeric::decode128(b, p, s, self.lossy) {
                    Ok(x) => v.push(x),
                    Err(m) => return self.numeric_misfit(b, m),
                }
            }
            Data::Dec256(v) => {
                let Kind::Numeric(p, s) = self.kind else { return Err(broken("not a numeric")) };
                match numeric::decode256(b, p, s, self.lossy) {
                    Ok(x) => v.push(x),
                    Err(m) => return self.numeric_misfit(b, m),
                }
            }
            Data::I32(v) => {
                let x = i32::from_be_bytes(int(b)?);
                if self.kind == Kind::Date {
                    match x.checked_add(EPOCH_DAYS).filter(|_| x != i32::MIN) {
                        Some(d) => v.push(d),
                        None => return self.infinite(x > 0),
                    }
                } else {
                    v.push(x);
                }
            }
            Data::I64(v) => {
                let x = i64::from_be_bytes(int(b)?);
                match self.kind {
                    Kind::Int8 => v.push(x),
                    // 24:00:00 is a time of day there; Arrow's ends before it.
                    Kind::Time if x >= 86_400_000_000 => {
                        return self.misfit("24:00:00".into(), "is not before midnight, as an Arrow time must be");
                    }
                    Kind::Time => v.push(x),
                    _ => match x.checked_add(EPOCH_MICROS).filter(|_| x != i64::MIN) {
                        Some(t) => v.push(t),
                        None => return self.infinite(x > 0),
                    },
                }
            }
            Data::I16(v) => v.push(i16::from_be_bytes(int(b)?)),
            Data::U32(v) => v.push(u32::from_be_bytes(int(b)?)),
            // One NaN for all: PostgreSQL calls them equal, and so must what reads the bits.
            Data::F32(v) => {
                let x = f32::from_be_bytes(int(b)?);
                v.push(if x.is_nan() { f32::NAN } else { x });
            }
            Data::F64(v) => {
                let x = f64::from_be_bytes(int(b)?);
                v.push(if x.is_nan() { f64::NAN } else { x });
            }
            Data::Bool(v) => v.append(int::<1>(b)?[0] != 0),
            Data::Interval(v) => {
                // interval_send: int64 microseconds, int32 days, int32 months.
                let b: [u8; 16] = int(b)?;
                let micros = i64::from_be_bytes(int(&b[..8])?);
                let (days, months) = (i32::from_be_bytes(int(&b[8..12])?), i32::from_be_bytes(int(&b[12..])?));
                // Since version 17, all fields at their ends are an infinity.
                let ends = [(i64::MAX, i32::MAX), (i64::MIN, i32::MIN)];
                if ends.contains(&(micros, days)) && days == months {
                    return self.infinite(days > 0);
                }
                match micros.checked_mul(1000) {
                    Some(n) => v.push(IntervalMonthDayNano::new(months, days, n)),
                    None => {
                        let text = format!("{months} months {days} days {micros} microseconds");
                        return self.misfit(text, "is beyond Arrow's 64-bit nanoseconds");
                    }
                }
            }
            Data::List { .. } => return self.push_list(b),
        }
        self.nulls.append_non_null();
        Ok(())
    }

    #[cold]
    fn infinite(&mut self, plus: bool) -> Result<()> {
        let value = if plus { "infinity" } else { "-infinity" };
        self.misfit(value.into(), "is not a point in time that Arrow has")
    }

    #[cold]
    fn numeric_misfit(&mut self, b: &[u8], m: Misfit) -> Result<()> {
        let Kind::Numeric(p, s) = self.kind else { return Err(broken("not a numeric")) };
        match m {
            Misfit::Malformed => Err(broken("a numeric that isn't one")),
            Misfit::Special => self.misfit(numeric::print(b), "is not a decimal number"),
            Misfit::TooLarge | Misfit::TooFine => {
                self.misfit(numeric::print(b), &format!("has more digits than decimal({p}, {s}) holds"))
            }
        }
    }

    /// array_send: int32 dimensions, int32 has-null, oid of the elements, for each dimension int32 length and int32 lower
    /// bound, then the elements as in a row.
    fn push_list(&mut self, b: &[u8]) -> Result<()> {
        let (head, mut rest) = b.split_at_checked(12).ok_or_else(|| broken("a short array"))?;
        let dimensions = i32::from_be_bytes(int(&head[..4])?);
        if !(0..=1).contains(&dimensions) {
            return self.misfit(format!("of {dimensions} dimensions"), "is not a one-dimensional array");
        }
        let Data::List { offsets, child } = &mut self.data else { return Err(broken("not an array")) };
        let mut n = 0;
        if dimensions == 1 {
            let (bounds, r) = rest.split_at_checked(8).ok_or_else(|| broken("a short array"))?;
            n = i32::from_be_bytes(int(&bounds[..4])?);
            rest = r;
        }
        for _ in 0..n {
            let (len, after) = rest.split_at_checked(4).ok_or_else(|| broken("a short array"))?;
            let len = i32::from_be_bytes(int(len)?);
            if len < 0 {
                child.push_null();
                rest = after;
            } else {
                let (value, after) = after.split_at_checked(len as usize).ok_or_else(|| broken("a short array"))?;
                child.push(value)?;
                rest = after;
            }
        }
        let end = offsets.last().copied().unwrap_or(0).checked_add(n).ok_or_else(|| too_long(&self.name))?;
        offsets.push(end);
        self.nulls.append_non_null();
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let nulls = self.nulls.finish();
        fn primitive<T: ArrowPrimitiveType>(
            v: &mut Vec<T::Native>,
            nulls: Option<arrow::buffer::NullBuffer>,
        ) -> PrimitiveArray<T> {
            PrimitiveArray::new(take(v).into(), nulls)
        }
        Ok(match &mut self.data {
            Data::Bool(v) => Arc::new(BooleanArray::new(v.finish(), nulls)),
            Data::I16(v) => Arc::new(primitive::<Int16Type>(v, nulls)),
            Data::I32(v) if self.kind == Kind::Date => Arc::new(primitive::<Date32Type>(v, nulls)),
            Data::I32(v) => Arc::new(primitive::<Int32Type>(v, nulls)),
            Data::I64(v) => match self.kind {
                Kind::Time => Arc::new(primitive::<Time64MicrosecondType>(v, nulls)),
                Kind::Timestamp => Arc::new(primitive::<TimestampMicrosecondType>(v, nulls)),
                Kind::TimestampTz => Arc::new(primitive::<TimestampMicrosecondType>(v, nulls).with_timezone("UTC")),
                _ => Arc::new(primitive::<Int64Type>(v, nulls)),
            },
            Data::U32(v) => Arc::new(primitive::<UInt32Type>(v, nulls)),
            Data::F32(v) => Arc::new(primitive::<Float32Type>(v, nulls)),
            Data::F64(v) => Arc::new(primitive::<Float64Type>(v, nulls)),
            Data::Interval(v) => Arc::new(primitive::<IntervalMonthDayNanoType>(v, nulls)),
            Data::Dec128(v) => Arc::new(Decimal128Array::new(take(v).into(), nulls).with_data_type(self.kind.arrow())),
            Data::Dec256(v) => Arc::new(Decimal256Array::new(take(v).into(), nulls).with_data_type(self.kind.arrow())),
            Data::Bytes { values, offsets } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(offsets, fresh(offsets))));
                let values = Buffer::from_vec(take(values));
                if self.kind.arrow() == DataType::Binary {
                    Arc::new(BinaryArray::try_new(offsets, values, nulls)?)
                } else {
                    // Checks the whole buffer at once. Only a SQL_ASCII database can hold anything else.
                    Arc::new(StringArray::try_new(offsets, values, nulls).map_err(|e| {
                        Error::new(ErrorKind::Type, format!("column `{}` holds text that is not UTF-8", self.name))
                            .cause(e)
                            .hint(
                                "the database's encoding is SQL_ASCII: convert the column in SQL, or read it as bytea",
                            )
                    })?)
                }
            }
            Data::List { offsets, child } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(offsets, fresh(offsets))));
                Arc::new(ListArray::try_new(child.kind.item(), offsets, child.finish()?, nulls)?)
            }
        })
    }
}

/// The vector's content; what stays has room for as much again, so that later batches don't grow from nothing.
fn take<T>(v: &mut Vec<T>) -> Vec<T> {
    let n = v.len();
    std::mem::replace(v, Vec::with_capacity(n))
}

fn fresh(old: &[i32]) -> Vec<i32> {
    let mut v = Vec::with_capacity(old.len());
    v.push(0);
    v
}

#[cold]
fn too_long(column: &str) -> Error {
    Error::new(ErrorKind::Resource, format!("column `{column}`: one batch holds more than 2 GiB"))
        .hint("select fewer or shorter values")
}

fn push_uuid(out: &mut Vec<u8>, b: [u8; 16]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (i, x) in b.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.push(HEX[(x >> 4) as usize]);
        out.push(HEX[(x & 15) as usize]);
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
