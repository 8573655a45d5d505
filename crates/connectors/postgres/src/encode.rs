//! Arrow arrays into rows of `COPY … FROM STDIN (FORMAT BINARY)`: each value goes from the array into the buffer that is
//! sent. What a column is written as is `target`'s decision; this must agree with it.

use crate::decode::{EPOCH_DAYS, EPOCH_MICROS, SIGNATURE};
use crate::kind::Kind;
use crate::numeric;
use crate::prepare::{element_oid, nested, parse_uuid};
use arrow::array::*;

use arrow::datatypes::{DataType, FieldRef, Int32Type, IntervalUnit, Schema, TimeUnit, i256};
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use xdb_core::{Error, LogicalType, Result, TypePolicy};

/// What comes before the first row.
pub(crate) fn header() -> Vec<u8> {
    let mut h = SIGNATURE.to_vec();
    h.extend([0; 8]); // no flags, no extension
    h
}

/// What comes after the last.
pub(crate) const TRAILER: [u8; 2] = (-1i16).to_be_bytes();

/// Appends rows from `from` on, until the end of the batch or until `out` holds `limit` bytes; returns the next row.
pub(crate) fn encode_rows(
    out: &mut Vec<u8>,
    columns: &[Column<'_>],
    from: usize,
    rows: usize,
    limit: usize,
) -> Result<usize> {
    let n = (columns.len() as i16).to_be_bytes();
    for row in from..rows {
        if out.len() >= limit {
            return Ok(row);
        }
        out.extend_from_slice(&n);
        for c in columns {
            c.write(out, row)?;
        }
    }
    Ok(rows)
}

/// One column of a batch, ready to be written value by value.
pub(crate) struct Column<'a> {
    name: &'a str,
    nulls: Option<arrow::buffer::NullBuffer>,
    lossy: bool,
    data: Data<'a>,
}

enum Data<'a> {
    Null,
    Bool(&'a BooleanArray),
    I8(&'a [i8]),
    U8(&'a [u8]),
    I16(&'a [i16]),
    U16(&'a [u16]),
    I32(&'a [i32]),
    U32(&'a [u32]),
    I64(&'a [i64]),
    U64(&'a [u64]),
    F32(&'a [f32]),
    F64(&'a [f64]),
    Dec128(&'a [i128], i8),
    Dec256(&'a [i256], i8),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    TextView(&'a StringViewArray),
    Uuid(TextOf<'a>),
    Jsonb(TextOf<'a>),
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    BinaryView(&'a BinaryViewArray),
    Fixed(&'a FixedSizeBinaryArray),
    Date(&'a [i32]),
    DateMillis(&'a [i64]),
    /// A time of day.
    Time(&'a [i64], Scale),
    /// A moment.
    Timestamp(&'a [i64], Scale),
    YearMonth(&'a [i32]),
    DayTime(&'a IntervalDayTimeArray),
    MonthDayNano(&'a IntervalMonthDayNanoArray),
    Duration(&'a [i64], Scale),
    List {
        offsets: Offsets<'a>,
        oid: u32,
        child: Box<Column<'a>>,
    },
    Json(std::cell::RefCell<NullableEncoder<'a>>),
}

enum TextOf<'a> {
    Small(&'a StringArray),
    Large(&'a LargeStringArray),
    View(&'a StringViewArray),
}
impl TextOf<'_> {
    fn get(&self, row: usize) -> &str {
        match self {
            Self::Small(a) => a.value(row),
            Self::Large(a) => a.value(row),
            Self::View(a) => a.value(row),
        }
    }
}

enum Offsets<'a> {
    Small(&'a [i32]),
    Large(&'a [i64]),
    Fixed(usize),
}
impl Offsets<'_> {
    fn range(&self, row: usize) -> std::ops::Range<usize> {
        match self {
            Self::Small(o) => o[row] as usize..o[row + 1] as usize,
            Self::Large(o) => o[row] as usize..o[row + 1] as usize,
            Self::Fixed(n) => row * n..(row + 1) * n,
        }
    }
}

/// How a unit becomes microseconds.
#[derive(Clone, Copy)]
enum Scale {
    Times(i64),
    /// Nanoseconds.
    Over1000,
}
impl From<TimeUnit> for Scale {
    fn from(u: TimeUnit) -> Self {
        match u {
            TimeUnit::Second => Self::Times(1_000_000),
            TimeUnit::Millisecond => Self::Times(1_000),
            TimeUnit::Microsecond => Self::Times(1),
            TimeUnit::Nanosecond => Self::Over1000,
        }
    }
}

/// Ready `arrays` (from [`prepare`]) for writing.
pub(crate) fn columns<'a>(schema: &'a Schema, arrays: &'a [ArrayRef], policy: TypePolicy) -> Result<Vec<Column<'a>>> {
    schema.fields().iter().zip(arrays).map(|(f, a)| Column::new(f.name(), f, a, policy == TypePolicy::Lossy)).collect()
}

impl<'a> Column<'a> {
    fn new(name: &'a str, field: &'a FieldRef, a: &'a ArrayRef, lossy: bool) -> Result<Self> {
        use DataType as D;
        let text = || match a.data_type() {
            D::LargeUtf8 => TextOf::Large(a.as_string()),
            D::Utf8View => TextOf::View(a.as_string_view()),
            _ => TextOf::Small(a.as_string()),
        };
        let data = match (a.data_type(), LogicalType::of(field)) {
            (D::Utf8 | D::LargeUtf8 | D::Utf8View, Some(LogicalType::Uuid)) => Data::Uuid(text()),
            (D::Utf8 | D::LargeUtf8 | D::Utf8View, Some(LogicalType::Json)) if Kind::of(field) == Some(Kind::Jsonb) => {
                Data::Jsonb(text())
            }
            (D::Utf8, _) => {
                let a = a.as_string::<i32>();
                refuse_nul(name, a)?;
                Data::Text(a)
            }
            (D::LargeUtf8, _) => {
                let a = a.as_string::<i64>();
                refuse_nul(name, a)?;
                Data::LargeText(a)
            }
            (D::Utf8View, _) => {
                let a = a.as_string_view();
                if let Some(t) = a.iter().flatten().find(|t| t.as_bytes().contains(&0)) {
                    return Err(nul(name, t));
                }
                Data::TextView(a)
            }
            (t, _) => Self::plain(name, t, field, a, lossy)?,
        };
        Ok(Self { name, nulls: a.logical_nulls(), lossy, data })
    }

    fn plain(name: &'a str, t: &DataType, field: &'a FieldRef, a: &'a ArrayRef, lossy: bool) -> Result<Data<'a>> {
        use DataType as D;
        use arrow::datatypes as ad;
        macro_rules! prim {
            ($t:ty) => {
                &a.as_primitive::<$t>().values()[..]
            };
        }
        Ok(match t {
            D::Null => Data::Null,
            D::Boolean => Data::Bool(a.as_boolean()),
            D::Int8 => Data::I8(prim!(ad::Int8Type)),
            D::UInt8 => Data::U8(prim!(ad::UInt8Type)),
            D::Int16 => Data::I16(prim!(ad::Int16Type)),
            D::UInt16 => Data::U16(prim!(ad::UInt16Type)),
            D::Int32 => Data::I32(prim!(Int32Type)),
            D::UInt32 => Data::U32(prim!(ad::UInt32Type)),
            D::Int64 => Data::I64(prim!(ad::Int64Type)),
            D::UInt64 => Data::U64(prim!(ad::UInt64Type)),
            D::Float32 => Data::F32(prim!(ad::Float32Type)),
            D::Float64 => Data::F64(prim!(ad::Float64Type)),
            D::Decimal128(_, s) => Data::Dec128(prim!(ad::Decimal128Type), *s),
            D::Decimal256(_, s) => Data::Dec256(prim!(ad::Decimal256Type), *s),
            D::Binary => Data::Binary(a.as_binary()),
            D::LargeBinary => Data::LargeBinary(a.as_binary()),
            D::BinaryView => Data::BinaryView(a.as_binary_view()),
            D::FixedSizeBinary(_) => Data::Fixed(a.as_fixed_size_binary()),
            D::Date32 => Data::Date(prim!(ad::Date32Type)),
            D::Date64 => Data::DateMillis(prim!(ad::Date64Type)),
            D::Time64(TimeUnit::Nanosecond) => Data::Time(prim!(ad::Time64NanosecondType), Scale::Over1000),
            D::Time64(_) => Data::Time(prim!(ad::Time64MicrosecondType), Scale::Times(1)),
            D::Timestamp(u, _) => Data::Timestamp(
                match u {
                    TimeUnit::Second => prim!(ad::TimestampSecondType),
                    TimeUnit::Millisecond => prim!(ad::TimestampMillisecondType),
                    TimeUnit::Microsecond => prim!(ad::TimestampMicrosecondType),
                    TimeUnit::Nanosecond => prim!(ad::TimestampNanosecondType),
                },
                (*u).into(),
            ),
            D::Duration(u) => Data::Duration(
                match u {
                    TimeUnit::Second => prim!(ad::DurationSecondType),
                    TimeUnit::Millisecond => prim!(ad::DurationMillisecondType),
                    TimeUnit::Microsecond => prim!(ad::DurationMicrosecondType),
                    TimeUnit::Nanosecond => prim!(ad::DurationNanosecondType),
                },
                (*u).into(),
            ),
            D::Interval(IntervalUnit::YearMonth) => Data::YearMonth(prim!(ad::IntervalYearMonthType)),
            D::Interval(IntervalUnit::DayTime) => Data::DayTime(a.as_primitive()),
            D::Interval(IntervalUnit::MonthDayNano) => Data::MonthDayNano(a.as_primitive()),
            D::List(f) | D::LargeList(f) | D::FixedSizeList(f, _) if !nested(f.data_type()) => {
                let (offsets, values) = match t {
                    D::List(_) => (Offsets::Small(a.as_list::<i32>().value_offsets()), a.as_list::<i32>().values()),
                    D::LargeList(_) => {
                        (Offsets::Large(a.as_list::<i64>().value_offsets()), a.as_list::<i64>().values())
                    }
                    _ => {
                        let l = a.as_fixed_size_list();
                        (Offsets::Fixed(l.value_length() as usize), l.values())
                    }
                };
                // The child field is the array's own, so borrow it from there.
                let child_field = match a.data_type() {
                    D::List(f) | D::LargeList(f) | D::FixedSizeList(f, _) => f,
                    _ => field,
                };
                let child = Self::new(name, child_field, values, lossy)?;
                let oid = element_oid(child_field);
                Data::List { offsets, oid, child: Box::new(child) }
            }
            D::List(_) | D::LargeList(_) | D::FixedSizeList(..) | D::Struct(_) | D::Map(..) => {
                // An explicit null is still a value in JSON.
                static OPTIONS: std::sync::OnceLock<EncoderOptions> = std::sync::OnceLock::new();
                let options = OPTIONS.get_or_init(|| EncoderOptions::default().with_explicit_nulls(true));
                Data::Json(std::cell::RefCell::new(make_encoder(field, a.as_ref(), options)?))
            }
            other => return Err(Error::unsupported(format!("column `{name}`: PostgreSQL has no type for {other}"))),
        })
    }

    /// Length and bytes of one value.
    #[inline]
    fn write(&self, out: &mut Vec<u8>, row: usize) -> Result<()> {
        if self.nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            out.extend_from_slice(&(-1i32).to_be_bytes());
            return Ok(());
        }
        macro_rules! fixed {
            ($bytes:expr) => {{
                let b = $bytes;
                out.extend_from_slice(&(b.len() as i32).to_be_bytes());
                out.extend_from_slice(&b);
            }};
        }
        match &self.data {
            Data::Null => out.extend_from_slice(&(-1i32).to_be_bytes()),
            Data::Bool(a) => fixed!([u8::from(a.value(row))]),
            Data::I8(v) => fixed!(i16::from(v[row]).to_be_bytes()),
            Data::U8(v) => fixed!(i16::from(v[row]).to_be_bytes()),
            Data::I16(v) => fixed!(v[row].to_be_bytes()),
            Data::U16(v) => fixed!(i32::from(v[row]).to_be_bytes()),
            Data::I32(v) => fixed!(v[row].to_be_bytes()),
            Data::U32(v) => fixed!(i64::from(v[row]).to_be_bytes()),
            Data::I64(v) => fixed!(v[row].to_be_bytes()),
            Data::U64(v) => framed(out, |out| numeric::encode_u64(out, v[row])),
            Data::F32(v) => fixed!(v[row].to_be_bytes()),
            Data::F64(v) => fixed!(v[row].to_be_bytes()),
            Data::Dec128(v, s) => framed(out, |out| numeric::encode128(out, v[row], *s)),
            Data::Dec256(v, s) => framed(out, |out| numeric::encode256(out, v[row], *s)),
            Data::Text(a) => self.bytes(out, a.value(row).as_bytes())?,
            Data::LargeText(a) => self.bytes(out, a.value(row).as_bytes())?,
            Data::TextView(a) => self.bytes(out, a.value(row).as_bytes())?,
            Data::BinaryView(a) => self.bytes(out, a.value(row))?,
            Data::Binary(a) => self.bytes(out, a.value(row))?,
            Data::LargeBinary(a) => self.bytes(out, a.value(row))?,
            Data::Fixed(a) => self.bytes(out, a.value(row))?,
            Data::Uuid(a) => match parse_uuid(a.get(row)) {
                Some(b) => fixed!(b),
                None => return self.misfit(out, a.get(row), "is not a uuid"),
            },
            Data::Jsonb(a) => {
                let t = a.get(row);
                framed(out, |out| {
                    out.push(1);
                    out.extend_from_slice(t.as_bytes());
                });
            }
            Data::Date(v) => return self.date(out, v[row]),
            Data::DateMillis(v) => {
                let (day, rest) = (v[row].div_euclid(86_400_000), v[row].rem_euclid(86_400_000));
                match i32::try_from(day) {
                    Ok(d) if rest == 0 || self.lossy => return self.date(out, d),
                    _ => return self.misfit(out, format!("{} ms", v[row]), "is not a whole day that a date holds"),
                }
            }
            Data::Time(v, scale) => match self.micros(v[row], *scale) {
                Some(us) if (0..=86_400_000_000).contains(&us) => fixed!(us.to_be_bytes()),
                _ => return self.misfit(out, v[row], "is not a time of day in whole microseconds"),
            },
            Data::Timestamp(v, scale) => {
                // timestamp.h: from 4714-11-24 BC up to the end of 294276, in microseconds from 2000.
                const RANGE: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;
                match self
                    .micros(v[row], *scale)
                    .and_then(|us| us.checked_sub(EPOCH_MICROS))
                    .filter(|t| RANGE.contains(t))
                {
                    Some(t) => fixed!(t.to_be_bytes()),
                    None => {
                        return self.misfit(
                            out,
                            v[row],
                            "is not a moment in whole microseconds that a timestamp holds",
                        );
                    }
                }
            }
            Data::YearMonth(v) => fixed!(interval(0, 0, v[row])),
            Data::DayTime(a) => {
                let x = a.value(row);
                fixed!(interval(i64::from(x.milliseconds) * 1000, x.days, 0));
            }
            Data::MonthDayNano(a) => {
                let x = a.value(row);
                match self.micros(x.nanoseconds, Scale::Over1000) {
                    Some(us) => fixed!(interval(us, x.days, x.months)),
                    None => return self.misfit(out, format!("{x:?}"), "is finer than microseconds"),
                }
            }
            Data::Duration(v, scale) => match self.micros(v[row], *scale) {
                Some(us) => fixed!(interval(us, 0, 0)),
                None => return self.misfit(out, v[row], "is not whole microseconds within an interval's range"),
            },
            Data::List { offsets, oid, child } => {
                let range = offsets.range(row);
                let at = out.len();
                out.extend_from_slice(&[0; 4]);
                out.extend_from_slice(&i32::from(!range.is_empty()).to_be_bytes());
                out.extend_from_slice(&1i32.to_be_bytes()); // may hold NULLs
                out.extend_from_slice(&oid.to_be_bytes());
                if !range.is_empty() {
                    out.extend_from_slice(&(range.len() as i32).to_be_bytes());
                    out.extend_from_slice(&1i32.to_be_bytes());
                    for i in range {
                        child.write(out, i)?;
                    }
                }
                let len = (out.len() - at - 4) as i32;
                out[at..at + 4].copy_from_slice(&len.to_be_bytes());
            }
            Data::Json(encoder) => framed(out, |out| encoder.borrow_mut().encode(row, out)),
        }
        Ok(())
    }

    #[inline]
    fn bytes(&self, out: &mut Vec<u8>, b: &[u8]) -> Result<()> {
        // varlena.h: a value has at most 1 GiB - 1.
        if b.len() >= 1 << 30 {
            return Err(Error::inexact(
                self.name,
                format!("of {} bytes", b.len()),
                "is over PostgreSQL's limit of 1 GiB",
            ));
        }
        out.extend_from_slice(&(b.len() as i32).to_be_bytes());
        out.extend_from_slice(b);
        Ok(())
    }

    fn date(&self, out: &mut Vec<u8>, days: i32) -> Result<()> {
        // date.h: from 4714-11-24 BC to 5874897-12-31, in days from 2000; i32's ends mean infinity.
        const RANGE: std::ops::Range<i32> = -2_451_545..2_145_031_949;
        match days.checked_sub(EPOCH_DAYS).filter(|d| RANGE.contains(d)) {
            Some(d) => {
                out.extend_from_slice(&4i32.to_be_bytes());
                out.extend_from_slice(&d.to_be_bytes());
                Ok(())
            }
            None => self.misfit(out, format!("{days} days from 1970-01-01"), "is outside the range of date"),
        }
    }

    #[inline]
    fn micros(&self, v: i64, scale: Scale) -> Option<i64> {
        match scale {
            Scale::Times(n) => v.checked_mul(n),
            Scale::Over1000 if v % 1000 == 0 || self.lossy => Some(v.div_euclid(1000)),
            Scale::Over1000 => None,
        }
    }

    #[cold]
    fn misfit(&self, out: &mut Vec<u8>, value: impl std::fmt::Display, why: &str) -> Result<()> {
        if self.lossy {
            out.extend_from_slice(&(-1i32).to_be_bytes());
            return Ok(());
        }
        Err(Error::inexact(self.name, value, why))
    }
}

#[inline]
fn framed(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let len = (out.len() - at - 4) as i32;
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

fn interval(micros: i64, days: i32, months: i32) -> [u8; 16] {
    let mut b = [0; 16];
    b[..8].copy_from_slice(&micros.to_be_bytes());
    b[8..12].copy_from_slice(&days.to_be_bytes());
    b[12..].copy_from_slice(&months.to_be_bytes());
    b
}

/// No PostgreSQL text holds NUL (<https://www.postgresql.org/docs/current/datatype-character.html>).
fn refuse_nul<O: OffsetSizeTrait>(name: &str, a: &GenericStringArray<O>) -> Result<()> {
    let o = a.value_offsets();
    let (from, to) = (o[0].as_usize(), o[a.len()].as_usize());
    if !a.value_data()[from..to].contains(&0) {
        return Ok(());
    }
    match a.iter().flatten().find(|t| t.contains('\0')) {
        Some(t) => Err(nul(name, t)),
        None => Ok(()),
    }
}

#[cold]
fn nul(name: &str, t: &str) -> Error {
    Error::inexact(name, format!("{t:?}"), "holds a NUL character, which PostgreSQL's text cannot")
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
