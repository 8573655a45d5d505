//! Rows as they come from the socket into Arrow arrays: one pass over each packet, nothing allocated for a row or value.

use super::numbers::{Clock, Moment, decimal128, decimal256};
use crate::wire::{ColumnDef, ColumnType, Parser, Rows, protocol};
use arrow::array::{
    ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, NullArray,
    NullBufferBuilder, PrimitiveArray, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{self as t, DataType, Field, SchemaRef, TimeUnit, i256};
use std::sync::Arc;
use xdb_core::types::SOURCE_TYPE_KEY;
use xdb_core::{Error, ErrorKind, Result, TypePolicy};

/// Values of variable length, end to end.
struct Bytes {
    offsets: Vec<i32>,
    values: Vec<u8>,
}
impl Bytes {
    fn new() -> Self {
        Self { offsets: vec![0], values: Vec::new() }
    }
    #[inline]
    fn push(&mut self, v: &[u8]) -> Result<()> {
        self.values.extend_from_slice(v);
        match i32::try_from(self.values.len()) {
            Ok(n) => {
                self.offsets.push(n);
                Ok(())
            }
            Err(_) => Err(Error::new(ErrorKind::Resource, "more than 2 GiB of one column in a batch")),
        }
    }
    fn push_empty(&mut self) {
        let n = *self.offsets.last().unwrap_or(&0);
        self.offsets.push(n);
    }
    /// The parts, with room for as many again.
    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let next =
            Self { offsets: Vec::with_capacity(self.offsets.len()), values: Vec::with_capacity(self.values.len()) };
        let full = std::mem::replace(self, next);
        self.offsets.push(0);
        (OffsetBuffer::new(ScalarBuffer::from(full.offsets)), Buffer::from_vec(full.values))
    }
}

/// One column's values so far.
enum Data {
    Null,
    Bool(BooleanBufferBuilder),
    BitBool(BooleanBufferBuilder),
    I8(Vec<i8>),
    U8(Vec<u8>),
    I16(Vec<i16>),
    U16(Vec<u16>),
    I32(Vec<i32>),
    U32(Vec<u32>),
    I64(Vec<i64>),
    U64(Vec<u64>),
    /// A computed integer, of another type on the wire than in the result.
    Whole(Vec<i64>, ColumnType, bool),
    Bits(Vec<u64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    D128(Vec<i128>, i8),
    D256(Vec<i256>, i8),
    Date(Vec<i32>),
    Moment(Vec<i64>),
    Time(Vec<i64>),
    Utf8(Bytes),
    Binary(Bytes),
    Vector(Vec<i32>, Vec<f32>),
}

struct Column {
    field: Arc<Field>,
    lossy: bool,
    data: Data,
    nulls: NullBufferBuilder,
}

/// Collects rows into batches of one schema.
pub(crate) struct Decoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    binary: bool,
    /// Columns on the wire; more than `columns` only for `SELECT 1` of an empty projection.
    on_wire: usize,
    rows: usize,
}

impl Decoder {
    /// Fails where the server's columns aren't those that `schema` was made from.
    pub(crate) fn new(schema: SchemaRef, rows: &Rows, policy: TypePolicy, capacity: usize) -> Result<Self> {
        let count_only = schema.fields().is_empty();
        if !count_only && schema.fields().len() != rows.columns.len() {
            return Err(changed(format_args!("{} columns came for {}", rows.columns.len(), schema.fields().len())));
        }
        let columns = schema
            .fields()
            .iter()
            .zip(&rows.columns)
            .map(|(field, def)| {
                let data = data_for(field, def, capacity)?;
                let lossy = policy == TypePolicy::Lossy;
                Ok(Column { field: field.clone(), lossy, data, nulls: NullBufferBuilder::new(capacity) })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { schema, columns, binary: rows.binary, on_wire: rows.columns.len(), rows: 0 })
    }
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// One row's packet.
    #[inline]
    pub(crate) fn row(&mut self, packet: &[u8]) -> Result<()> {
        self.rows += 1;
        if self.columns.is_empty() {
            return Ok(());
        }
        let mut p = Parser(packet);
        if self.binary {
            if p.u8()? != 0 {
                return Err(protocol("a binary row that does not start with 0"));
            }
            // Two bits are kept free before the first column's.
            let nulls = p.bytes((self.on_wire + 9) / 8)?;
            for (i, c) in self.columns.iter_mut().enumerate() {
                let bit = i + 2;
                if nulls[bit >> 3] & (1 << (bit & 7)) != 0 { c.null()? } else { c.binary(&mut p)? }
            }
        } else {
            for c in &mut self.columns {
                match p.text_value()? {
                    None => c.null()?,
                    Some(v) => c.text(v)?,
                }
            }
        }
        if p.is_empty() { Ok(()) } else { Err(protocol("a row with bytes left over")) }
    }

    /// The rows since the last call, as a batch.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        let arrays = self.columns.iter_mut().map(|c| c.finish(rows)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?)
    }
}

fn changed(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Conflict, format!("the table is not as it was described a moment ago: {what}"))
        .retryable(true)
        .hint("run it again")
}

fn data_for(field: &Field, def: &ColumnDef, capacity: usize) -> Result<Data> {
    use ColumnType as C;
    use DataType as D;
    let Some(kind) = def.kind else { return Err(protocol(format_args!("column `{}` has an unknown type", def.name))) };
    let unsigned = def.is_unsigned();
    let string = matches!(
        kind,
        C::MYSQL_TYPE_VARCHAR
            | C::MYSQL_TYPE_VAR_STRING
            | C::MYSQL_TYPE_STRING
            | C::MYSQL_TYPE_TINY_BLOB
            | C::MYSQL_TYPE_BLOB
            | C::MYSQL_TYPE_MEDIUM_BLOB
            | C::MYSQL_TYPE_LONG_BLOB
            | C::MYSQL_TYPE_ENUM
            | C::MYSQL_TYPE_SET
            | C::MYSQL_TYPE_JSON
            | C::MYSQL_TYPE_GEOMETRY
    );
    let n = capacity;
    let data = match (field.data_type(), kind) {
        (D::Null, _) => Some(Data::Null),
        (D::Boolean, C::MYSQL_TYPE_TINY) => Some(Data::Bool(BooleanBufferBuilder::new(n))),
        (D::Boolean, C::MYSQL_TYPE_BIT) => Some(Data::BitBool(BooleanBufferBuilder::new(n))),
        (D::Int8, C::MYSQL_TYPE_TINY) if !unsigned => Some(Data::I8(Vec::with_capacity(n))),
        (D::UInt8, C::MYSQL_TYPE_TINY) if unsigned => Some(Data::U8(Vec::with_capacity(n))),
        (D::Int16, C::MYSQL_TYPE_SHORT) if !unsigned => Some(Data::I16(Vec::with_capacity(n))),
        (D::UInt16, C::MYSQL_TYPE_SHORT) if unsigned => Some(Data::U16(Vec::with_capacity(n))),
        (D::UInt16, C::MYSQL_TYPE_YEAR) => Some(Data::U16(Vec::with_capacity(n))),
        (D::Int32, C::MYSQL_TYPE_LONG | C::MYSQL_TYPE_INT24) if !unsigned => Some(Data::I32(Vec::with_capacity(n))),
        (D::UInt32, C::MYSQL_TYPE_LONG | C::MYSQL_TYPE_INT24) if unsigned => Some(Data::U32(Vec::with_capacity(n))),
        (D::Int64, C::MYSQL_TYPE_LONGLONG) if !unsigned => Some(Data::I64(Vec::with_capacity(n))),
        (D::UInt64, C::MYSQL_TYPE_LONGLONG) if unsigned => Some(Data::U64(Vec::with_capacity(n))),
        (D::UInt64, C::MYSQL_TYPE_BIT) => Some(Data::Bits(Vec::with_capacity(n))),
        (D::Float32, C::MYSQL_TYPE_FLOAT) => Some(Data::F32(Vec::with_capacity(n))),
        (D::Float64, C::MYSQL_TYPE_DOUBLE) => Some(Data::F64(Vec::with_capacity(n))),
        (D::Decimal128(_, s), C::MYSQL_TYPE_NEWDECIMAL | C::MYSQL_TYPE_DECIMAL) => {
            Some(Data::D128(Vec::with_capacity(n), *s))
        }
        (D::Decimal256(_, s), C::MYSQL_TYPE_NEWDECIMAL | C::MYSQL_TYPE_DECIMAL) => {
            Some(Data::D256(Vec::with_capacity(n), *s))
        }
        (D::Date32, C::MYSQL_TYPE_DATE | C::MYSQL_TYPE_NEWDATE) => Some(Data::Date(Vec::with_capacity(n))),
        (D::Timestamp(TimeUnit::Microsecond, None), C::MYSQL_TYPE_DATETIME)
        | (D::Timestamp(TimeUnit::Microsecond, Some(_)), C::MYSQL_TYPE_TIMESTAMP) => {
            Some(Data::Moment(Vec::with_capacity(n)))
        }
        (D::Time64(TimeUnit::Microsecond), C::MYSQL_TYPE_TIME) => Some(Data::Time(Vec::with_capacity(n))),
        (D::Utf8, _) if string && (!def.is_binary() || def.kind == Some(C::MYSQL_TYPE_JSON)) => {
            Some(Data::Utf8(Bytes::new()))
        }
        (D::Binary, _) if string => Some(Data::Binary(Bytes::new())),
        (D::List(_), C::MYSQL_TYPE_VECTOR) => Some(Data::Vector(vec![0], Vec::new())),
        // The type of an expression is the server's choice.
        (t, _) if t.is_signed_integer() && is_whole(kind, def) => {
            Some(Data::Whole(Vec::with_capacity(n), kind, unsigned))
        }
        _ => None,
    };
    data.ok_or_else(|| {
        changed(format_args!("column `{}` is {kind:?} on the wire, not {}", def.name, field.data_type()))
    })
}

fn is_computed(field: &Field) -> bool {
    field.metadata().get(SOURCE_TYPE_KEY).is_none_or(String::is_empty)
}
fn is_whole(kind: ColumnType, def: &ColumnDef) -> bool {
    use ColumnType as C;
    match kind {
        C::MYSQL_TYPE_TINY
        | C::MYSQL_TYPE_SHORT
        | C::MYSQL_TYPE_YEAR
        | C::MYSQL_TYPE_INT24
        | C::MYSQL_TYPE_LONG
        | C::MYSQL_TYPE_LONGLONG => true,
        C::MYSQL_TYPE_NEWDECIMAL | C::MYSQL_TYPE_DECIMAL => def.decimals == 0,
        _ => false,
    }
}

/// An integer in the binary protocol.
fn whole(p: &mut Parser<'_>, kind: ColumnType, unsigned: bool) -> Result<Option<i64>> {
    use ColumnType as C;
    Ok(match (kind, unsigned) {
        (C::MYSQL_TYPE_TINY, false) => Some(i64::from(p.u8()? as i8)),
        (C::MYSQL_TYPE_TINY, true) => Some(p.u8()?.into()),
        (C::MYSQL_TYPE_SHORT, false) => Some(i64::from(p.u16()? as i16)),
        (C::MYSQL_TYPE_SHORT | C::MYSQL_TYPE_YEAR, _) => Some(p.u16()?.into()),
        (C::MYSQL_TYPE_LONG | C::MYSQL_TYPE_INT24, false) => Some(i64::from(p.u32()? as i32)),
        (C::MYSQL_TYPE_LONG | C::MYSQL_TYPE_INT24, true) => Some(p.u32()?.into()),
        (C::MYSQL_TYPE_LONGLONG, false) => Some(p.u64()? as i64),
        (C::MYSQL_TYPE_LONGLONG, true) => i64::try_from(p.u64()?).ok(),
        // A DECIMAL's digits.
        _ => std::str::from_utf8(p.lenenc_bytes()?).ok().and_then(|t| t.parse().ok()),
    })
}

impl Column {
    /// A value that Arrow can't hold: NULL where that was agreed, else the error.
    #[cold]
    fn inexact(&mut self, value: &dyn std::fmt::Display, why: &str) -> Result<()> {
        if !self.lossy {
            return Err(Error::inexact(self.field.name(), value, why));
        }
        self.null()
    }
    #[cold]
    fn garbled(&self) -> Error {
        protocol(format_args!("a value of column `{}` cannot be read", self.field.name()))
    }

    #[inline]
    fn null(&mut self) -> Result<()> {
        if !self.field.is_nullable() {
            return Err(protocol(format_args!("NULL in column `{}`, which has none", self.field.name())));
        }
        self.nulls.append_null();
        match &mut self.data {
            Data::Null => {}
            Data::Bool(v) | Data::BitBool(v) => v.append(false),
            Data::I8(v) => v.push(0),
            Data::U8(v) => v.push(0),
            Data::I16(v) => v.push(0),
            Data::U16(v) => v.push(0),
            Data::I32(v) | Data::Date(v) => v.push(0),
            Data::U32(v) => v.push(0),
            Data::I64(v) | Data::Moment(v) | Data::Time(v) | Data::Whole(v, ..) => v.push(0),
            Data::U64(v) | Data::Bits(v) => v.push(0),
            Data::F32(v) => v.push(0.0),
            Data::F64(v) => v.push(0.0),
            Data::D128(v, _) => v.push(0),
            Data::D256(v, _) => v.push(i256::ZERO),
            Data::Utf8(v) | Data::Binary(v) => v.push_empty(),
            Data::Vector(offsets, _) => {
                let n = *offsets.last().unwrap_or(&0);
                offsets.push(n);
            }
        }
        Ok(())
    }

    /// A value in the binary protocol.
    #[inline]
    fn binary(&mut self, p: &mut Parser<'_>) -> Result<()> {
        match &mut self.data {
            Data::I8(v) => v.push(p.u8()? as i8),
            Data::U8(v) => v.push(p.u8()?),
            Data::I16(v) => v.push(p.u16()? as i16),
            Data::U16(v) => v.push(p.u16()?),
            Data::I32(v) => v.push(p.u32()? as i32),
            Data::U32(v) => v.push(p.u32()?),
            Data::I64(v) => v.push(p.u64()? as i64),
            Data::U64(v) => v.push(p.u64()?),
            Data::Whole(v, kind, unsigned) => match whole(p, *kind, *unsigned)? {
                Some(n) => v.push(n),
                None => return self.inexact(&"a number", "is beyond 64 bits"),
            },
            Data::F32(v) => v.push(f32::from_le_bytes(p.array()?)),
            Data::F64(v) => v.push(f64::from_le_bytes(p.array()?)),
            Data::Utf8(v) | Data::Binary(v) => v.push(p.lenenc_bytes()?)?,
            Data::D128(v, scale) => match decimal128(p.lenenc_bytes()?, *scale) {
                Some(d) => v.push(d),
                None => return Err(self.garbled()),
            },
            Data::D256(v, scale) => match decimal256(p.lenenc_bytes()?, *scale) {
                Some(d) => v.push(d),
                None => return Err(self.garbled()),
            },
            Data::Date(_) | Data::Moment(_) => {
                let body = p.lenenc_bytes()?;
                return match Moment::from_wire(body) {
                    Some(m) => self.moment(m),
                    None => Err(self.garbled()),
                };
            }
            Data::Time(_) => {
                let body = p.lenenc_bytes()?;
                return match Clock::from_wire(body) {
                    Some(c) => self.clock(c),
                    None => Err(self.garbled()),
                };
            }
            Data::Bool(_) => {
                let n = p.u8()?;
                return self.boolean(i64::from(n as i8));
            }
            Data::BitBool(_) | Data::Bits(_) | Data::Vector(..) => return self.raw(p.lenenc_bytes()?),
            Data::Null => {
                p.lenenc_bytes()?;
            }
        }
        self.nulls.append_non_null();
        Ok(())
    }

    /// A value in the text protocol.
    fn text(&mut self, b: &[u8]) -> Result<()> {
        fn parse<T: std::str::FromStr>(b: &[u8]) -> Option<T> {
            std::str::from_utf8(b).ok()?.parse().ok()
        }
        let ok = match &mut self.data {
            Data::I8(v) => parse(b).map(|n| v.push(n)),
            Data::U8(v) => parse(b).map(|n| v.push(n)),
            Data::I16(v) => parse(b).map(|n| v.push(n)),
            Data::U16(v) => parse(b).map(|n| v.push(n)),
            Data::I32(v) => parse(b).map(|n| v.push(n)),
            Data::U32(v) => parse(b).map(|n| v.push(n)),
            Data::I64(v) => parse(b).map(|n| v.push(n)),
            Data::U64(v) => parse(b).map(|n| v.push(n)),
            Data::Whole(v, ..) => match parse(b) {
                Some(n) => {
                    v.push(n);
                    Some(())
                }
                None => return self.inexact(&String::from_utf8_lossy(b), "is beyond 64 bits"),
            },
            Data::F32(v) => parse(b).map(|n| v.push(n)),
            Data::F64(v) => parse(b).map(|n| v.push(n)),
            Data::Utf8(v) | Data::Binary(v) => Some(v.push(b)?),
            Data::D128(v, scale) => decimal128(b, *scale).map(|d| v.push(d)),
            Data::D256(v, scale) => decimal256(b, *scale).map(|d| v.push(d)),
            Data::Date(_) | Data::Moment(_) => match Moment::from_text(b) {
                Some(m) => return self.moment(m),
                None => None,
            },
            Data::Time(_) => match Clock::from_text(b) {
                Some(c) => return self.clock(c),
                None => None,
            },
            Data::Bool(_) => match parse(b) {
                Some(n) => return self.boolean(n),
                None => None,
            },
            Data::BitBool(_) | Data::Bits(_) | Data::Vector(..) => return self.raw(b),
            Data::Null => Some(()),
        };
        if ok.is_none() {
            return Err(self.garbled());
        }
        self.nulls.append_non_null();
        Ok(())
    }

    #[inline]
    fn moment(&mut self, m: Moment) -> Result<()> {
        let ok = match &mut self.data {
            Data::Date(v) => m.days().map(|d| v.push(d)),
            Data::Moment(v) => m.micros().map(|us| v.push(us)),
            _ => None,
        };
        match ok {
            Some(()) => {
                self.nulls.append_non_null();
                Ok(())
            }
            None => self.inexact(&m, "is not a date of the calendar"),
        }
    }
    fn clock(&mut self, c: Clock) -> Result<()> {
        match (&mut self.data, c.micros()) {
            (Data::Time(v), Some(us)) => {
                v.push(us);
                self.nulls.append_non_null();
                Ok(())
            }
            _ => self.inexact(&c, "is not a time of day"),
        }
    }
    fn boolean(&mut self, n: i64) -> Result<()> {
        if !(0..=1).contains(&n) && !self.lossy {
            return self.inexact(&n, "is neither 0 nor 1, and `tinyint1_is_bool` is set");
        }
        if let Data::Bool(v) = &mut self.data {
            v.append(n != 0);
        }
        self.nulls.append_non_null();
        Ok(())
    }
    /// BIT (big-endian) and VECTOR (little-endian floats).
    fn raw(&mut self, b: &[u8]) -> Result<()> {
        let bits = || (b.len() <= 8).then(|| b.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte)));
        let ok = match &mut self.data {
            Data::BitBool(v) => bits().filter(|n| *n <= 1).map(|n| v.append(n == 1)),
            Data::Bits(v) => bits().map(|n| v.push(n)),
            Data::Vector(offsets, v) if b.len().is_multiple_of(4) => {
                v.extend(b.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])));
                i32::try_from(v.len()).ok().map(|n| offsets.push(n))
            }
            _ => None,
        };
        if ok.is_none() {
            return Err(self.garbled());
        }
        self.nulls.append_non_null();
        Ok(())
    }

    fn finish(&mut self, rows: usize) -> Result<ArrayRef> {
        fn take<P: ArrowPrimitiveType>(
            v: &mut Vec<P::Native>,
            n: Option<NullBuffer>,
            t: &DataType,
        ) -> Result<ArrayRef> {
            let next = Vec::with_capacity(v.len());
            let full = std::mem::replace(v, next);
            Ok(Arc::new(PrimitiveArray::<P>::try_new(full.into(), n)?.with_data_type(t.clone())))
        }
        let nulls = self.nulls.finish();
        let t = self.field.data_type();
        match &mut self.data {
            Data::Null => Ok(Arc::new(NullArray::new(rows))),
            Data::Bool(v) | Data::BitBool(v) => Ok(Arc::new(BooleanArray::new(v.finish(), nulls))),
            Data::I8(v) => take::<t::Int8Type>(v, nulls, t),
            Data::U8(v) => take::<t::UInt8Type>(v, nulls, t),
            Data::I16(v) => take::<t::Int16Type>(v, nulls, t),
            Data::U16(v) => take::<t::UInt16Type>(v, nulls, t),
            Data::I32(v) => take::<t::Int32Type>(v, nulls, t),
            Data::U32(v) => take::<t::UInt32Type>(v, nulls, t),
            Data::I64(v) => take::<t::Int64Type>(v, nulls, t),
            Data::Whole(v, ..) => {
                let wide = take::<t::Int64Type>(v, nulls, &DataType::Int64)?;
                let strict = CastOptions { safe: false, ..Default::default() };
                Ok(cast_with_options(&wide, t, &strict)?)
            }
            Data::U64(v) | Data::Bits(v) => take::<t::UInt64Type>(v, nulls, t),
            Data::F32(v) => take::<t::Float32Type>(v, nulls, t),
            Data::F64(v) => take::<t::Float64Type>(v, nulls, t),
            Data::D128(v, _) => {
                let out = take::<t::Decimal128Type>(v, nulls, t)?;
                // A column's values fit by its definition; a computed one may have grown.
                if let (true, DataType::Decimal128(p, _)) = (is_computed(&self.field), t) {
                    out.as_primitive::<t::Decimal128Type>().validate_decimal_precision(*p)?;
                }
                Ok(out)
            }
            Data::D256(v, _) => take::<t::Decimal256Type>(v, nulls, t),
            Data::Date(v) => take::<t::Date32Type>(v, nulls, t),
            Data::Moment(v) => take::<t::TimestampMicrosecondType>(v, nulls, t),
            Data::Time(v) => take::<t::Time64MicrosecondType>(v, nulls, t),
            Data::Binary(v) => {
                let (offsets, values) = v.take();
                Ok(Arc::new(BinaryArray::try_new(offsets, values, nulls)?))
            }
            Data::Utf8(v) => {
                let (offsets, values) = v.take();
                // Checks the whole buffer at once, and that every value begins at a character.
                match StringArray::try_new(offsets, values, nulls) {
                    Ok(a) => Ok(Arc::new(a)),
                    Err(_) => Err(protocol(format_args!("column `{}` is not UTF-8", self.field.name()))),
                }
            }
            Data::Vector(offsets, v) => {
                let offsets = std::mem::replace(offsets, vec![0]);
                let values: PrimitiveArray<t::Float32Type> = std::mem::take(v).into();
                let item = match t {
                    DataType::List(f) => f.clone(),
                    _ => return Err(Error::internal("a vector that is no list")),
                };
                Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::new(offsets.into()), Arc::new(values), nulls)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;
    use arrow::datatypes::Schema;
    use proptest::prelude::*;

    fn def(kind: ColumnType, unsigned: bool, binary: bool) -> ColumnDef {
        ColumnDef {
            name: "c".into(),
            kind: Some(kind),
            charset: if binary { 63 } else { 45 },
            length: 10,
            flags: if unsigned { 32 } else { 0 },
            decimals: 0,
            extended_type: None,
            format: None,
        }
    }
    fn every_kind() -> Vec<(DataType, ColumnDef)> {
        use ColumnType as C;
        use DataType as D;
        let us = TimeUnit::Microsecond;
        vec![
            (D::Int8, def(C::MYSQL_TYPE_TINY, false, true)),
            (D::UInt8, def(C::MYSQL_TYPE_TINY, true, true)),
            (D::Int16, def(C::MYSQL_TYPE_SHORT, false, true)),
            (D::UInt16, def(C::MYSQL_TYPE_YEAR, true, true)),
            (D::Int32, def(C::MYSQL_TYPE_INT24, false, true)),
            (D::UInt32, def(C::MYSQL_TYPE_LONG, true, true)),
            (D::Int64, def(C::MYSQL_TYPE_LONGLONG, false, true)),
            (D::UInt64, def(C::MYSQL_TYPE_LONGLONG, true, true)),
            (D::Float32, def(C::MYSQL_TYPE_FLOAT, false, true)),
            (D::Float64, def(C::MYSQL_TYPE_DOUBLE, false, true)),
            (D::Decimal128(20, 2), def(C::MYSQL_TYPE_NEWDECIMAL, false, true)),
            (D::Decimal256(60, 2), def(C::MYSQL_TYPE_NEWDECIMAL, false, true)),
            (D::Date32, def(C::MYSQL_TYPE_DATE, false, true)),
            (D::Timestamp(us, None), def(C::MYSQL_TYPE_DATETIME, false, true)),
            (D::Time64(us), def(C::MYSQL_TYPE_TIME, false, true)),
            (D::Utf8, def(C::MYSQL_TYPE_VAR_STRING, false, false)),
            (D::Binary, def(C::MYSQL_TYPE_BLOB, false, true)),
            (D::Boolean, def(C::MYSQL_TYPE_BIT, true, true)),
            (D::UInt64, def(C::MYSQL_TYPE_BIT, true, true)),
            (crate::types::vector(), def(C::MYSQL_TYPE_VECTOR, false, true)),
        ]
    }
    fn decoder(kinds: Vec<(DataType, ColumnDef)>, binary: bool, policy: TypePolicy) -> Decoder {
        let fields: Vec<Field> = kinds.iter().map(|(t, _)| Field::new("c", t.clone(), true)).collect();
        let mut rows = Rows::text(kinds.into_iter().map(|(_, d)| d).collect());
        rows.binary = binary;
        Decoder::new(Arc::new(Schema::new(fields)), &rows, policy, 8).unwrap()
    }

    #[test]
    fn a_binary_row_of_every_kind() {
        let mut d = decoder(every_kind(), true, TypePolicy::Exact);
        let mut row = vec![0u8, 0, 0, 0];
        row.extend_from_slice(&[0xFF, 0xFF]);
        row.extend_from_slice(&(-2i16).to_le_bytes());
        row.extend_from_slice(&2024u16.to_le_bytes());
        row.extend_from_slice(&(-3i32).to_le_bytes());
        row.extend_from_slice(&u32::MAX.to_le_bytes());
        row.extend_from_slice(&i64::MIN.to_le_bytes());
        row.extend_from_slice(&u64::MAX.to_le_bytes());
        row.extend_from_slice(&1.5f32.to_le_bytes());
        row.extend_from_slice(&2.5f64.to_le_bytes());
        row.extend_from_slice(b"\x05-1.25\x041.50\x04\xE8\x07\x02\x1D\x00\x00\x04a\xF0\x9F\x98"); // text is cut: see below
        assert!(d.row(&row).is_err(), "a row that ends early");
        let mut d = decoder(every_kind(), true, TypePolicy::Lossy);
        row.truncate(row.len() - 5);
        row.extend_from_slice(b"\x05a\xF0\x9F\x98\x80\x02\x00\xFF\x01\x01\x02\x01\x00\x04\x00\x00\x80\x3F");
        d.row(&row).unwrap();
        let b = d.finish().unwrap();
        assert_eq!(b.column(0).as_primitive::<t::Int8Type>().value(0), -1);
        assert_eq!(b.column(1).as_primitive::<t::UInt8Type>().value(0), 255);
        assert_eq!(b.column(6).as_primitive::<t::Int64Type>().value(0), i64::MIN);
        assert_eq!(b.column(7).as_primitive::<t::UInt64Type>().value(0), u64::MAX);
        assert_eq!(b.column(10).as_primitive::<t::Decimal128Type>().value(0), -125);
        assert_eq!(b.column(12).as_primitive::<t::Date32Type>().value(0), 19_782);
        assert!(b.column(13).is_null(0), "a zero datetime under lossy");
        assert_eq!(b.column(14).as_primitive::<t::Time64MicrosecondType>().value(0), 0);
        assert_eq!(b.column(15).as_string::<i32>().value(0), "a😀");
        assert_eq!(b.column(16).as_binary::<i32>().value(0), [0, 255]);
        assert!(b.column(17).as_boolean().value(0));
        assert_eq!(b.column(18).as_primitive::<t::UInt64Type>().value(0), 256);
        assert_eq!(b.column(19).as_list::<i32>().value(0).as_primitive::<t::Float32Type>().values(), &[1.0]);
    }

    #[test]
    fn zero_dates_are_errors_that_name_column_and_value() {
        let kinds = || vec![(DataType::Date32, def(ColumnType::MYSQL_TYPE_DATE, false, true))];
        let e = decoder(kinds(), true, TypePolicy::Exact).row(&[0, 0, 4, 0xE8, 7, 0, 10]).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Type);
        assert!(e.message().contains("`c`") && e.message().contains("2024-00-10"), "{e:?}");
        let mut d = decoder(kinds(), false, TypePolicy::Lossy);
        d.row(b"\x0A0000-00-00").unwrap();
        assert!(d.finish().unwrap().column(0).is_null(0));
    }
    #[test]
    fn text_that_is_not_utf8_is_an_error() {
        let kinds = vec![(DataType::Utf8, def(ColumnType::MYSQL_TYPE_STRING, false, false))];
        let mut d = decoder(kinds, false, TypePolicy::Exact);
        // Each half of a character is wrong by itself, though together they would be right.
        d.row(b"\x01\xC3").unwrap();
        d.row(b"\x01\xA9").unwrap();
        assert!(d.finish().is_err());
    }
    #[test]
    fn rows_without_columns_are_counted() {
        let mut rows = Rows::text(vec![def(ColumnType::MYSQL_TYPE_LONGLONG, false, true)]);
        rows.binary = true;
        let mut d = Decoder::new(Arc::new(Schema::empty()), &rows, TypePolicy::Exact, 8).unwrap();
        d.row(&[0, 0, 1, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(d.finish().unwrap().num_rows(), 1);
    }

    proptest! {
        #[test]
        fn any_packet_is_a_row_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), binary in any::<bool>(), zeroed in any::<bool>(),
        ) {
            let mut bytes = bytes;
            if zeroed { bytes.iter_mut().take(4).for_each(|b| *b = 0); }
            let mut d = decoder(every_kind(), binary, TypePolicy::Lossy);
            if d.row(&bytes).is_ok() {
                let _ = d.finish();
            }
            for (t, c) in every_kind() {
                let mut d = decoder(vec![(t, c)], binary, TypePolicy::Exact);
                if d.row(&bytes).is_ok() {
                    let _ = d.finish();
                }
            }
        }
    }
}
