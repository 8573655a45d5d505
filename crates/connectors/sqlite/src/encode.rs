//! Arrow arrays -> values bound to a prepared `INSERT`.
//!
//! [`Prepared`] first brings a batch into the types the target's columns read back as ([`Kind`]), with a check that
//! nothing changed, so that only one encoder a kind is needed and appending to a table somebody else made is as safe as
//! filling a new one.

use crate::interval::write_interval;
use crate::temporal::{NANOS_PER_DAY, write_date, write_time, write_timestamp};
use crate::types::{Affinity, DOUBLE_DIGITS, Kind, declared_kind, digits};
use arrow::array::*;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::*;
use rusqlite::Statement;
use rusqlite::types::Null;
use xdb_core::{Error, Result, TypePolicy};

/// How one column of the load is stored.
#[derive(Clone, Debug)]
pub(crate) struct ColumnPlan {
    pub(crate) name: String,
    /// The target column's declared type.
    pub(crate) declared: String,
    /// What the target column reads back as; `None` where its declared type doesn't say: stored as it comes.
    pub(crate) kind: Option<Kind>,
}
impl ColumnPlan {
    pub(crate) fn new(name: &str, declared: &str) -> Self {
        Self { name: name.into(), declared: declared.into(), kind: declared_kind(declared) }
    }
}

/// One column of a batch, ready to be bound row by row.
pub(crate) struct Prepared {
    name: String,
    array: ArrayRef,
    kind: Kind,
    /// NUMERIC affinity keeps only what an integer or a double can hold.
    numeric: bool,
    declared: String,
    lossy: bool,
}

impl Prepared {
    pub(crate) fn new(plan: &ColumnPlan, field: &Field, array: &ArrayRef, types: TypePolicy) -> Result<Self> {
        let lossy = types == TypePolicy::Lossy;
        let plain = unwrap_encoding(array)?;
        let kind = match plan.kind {
            Some(k) => k,
            None => natural_kind(field.data_type())?,
        };
        let array = convert(&plan.name, &plain, kind, lossy)?;
        let numeric = Affinity::of(&plan.declared) == Affinity::Numeric;
        Ok(Self { name: plan.name.clone(), array, kind, numeric, declared: plan.declared.clone(), lossy })
    }

    /// Binds row `row` as parameter `index` (from 1). `scratch` is reused.
    pub(crate) fn bind(&self, stmt: &mut Statement<'_>, index: usize, row: usize, scratch: &mut String) -> Result<()> {
        if self.array.is_null(row) {
            return bound(stmt.raw_bind_parameter(index, Null));
        }
        scratch.clear();
        let a = &self.array;
        match self.kind {
            Kind::Int => bound(stmt.raw_bind_parameter(index, a.as_primitive::<Int64Type>().value(row))),
            Kind::UInt => {
                let v = a.as_primitive::<UInt64Type>().value(row);
                match i64::try_from(v) {
                    Ok(i) => bound(stmt.raw_bind_parameter(index, i)),
                    Err(_) => bound(stmt.raw_bind_parameter(index, &v.to_be_bytes()[..])),
                }
            }
            Kind::Bool => bound(stmt.raw_bind_parameter(index, i64::from(a.as_boolean().value(row)))),
            Kind::Float => {
                let v = a.as_primitive::<Float64Type>().value(row);
                if v.is_nan() && !self.lossy {
                    return Err(Error::inexact(&self.name, "NaN", "cannot be stored: SQLite turns NaN into NULL"));
                }
                bound(stmt.raw_bind_parameter(index, v))
            }
            Kind::Decimal { .. } => self.bind_decimal(stmt, index, row, scratch),
            Kind::Date => {
                write_date(scratch, a.as_primitive::<Date32Type>().value(row).into());
                bound(stmt.raw_bind_parameter(index, scratch.as_str()))
            }
            Kind::Time { digits } => {
                write_time(scratch, ticks(a, row)? * nanos_per_tick(digits), digits);
                bound(stmt.raw_bind_parameter(index, scratch.as_str()))
            }
            Kind::Timestamp { digits, utc } => {
                let nanos = i128::from(ticks(a, row)?) * i128::from(nanos_per_tick(digits));
                write_timestamp(scratch, nanos, digits, utc);
                bound(stmt.raw_bind_parameter(index, scratch.as_str()))
            }
            Kind::Interval => {
                let v = a.as_primitive::<IntervalMonthDayNanoType>().value(row);
                write_interval(scratch, v.months.into(), v.days.into(), v.nanoseconds.into());
                bound(stmt.raw_bind_parameter(index, scratch.as_str()))
            }
            Kind::Text | Kind::Uuid | Kind::Json => {
                let t = a.as_string::<i32>().value(row);
                if self.kind == Kind::Json
                    && self.numeric
                    && !t.starts_with(['{', '[', '"', 't', 'f', 'n'])
                    && !self.lossy
                {
                    return Err(Error::inexact(
                        &self.name,
                        t,
                        "would become a number: the column is declared JSON, which SQLite gives NUMERIC affinity",
                    ));
                }
                bound(stmt.raw_bind_parameter(index, t))
            }
            Kind::Binary => bound(stmt.raw_bind_parameter(index, a.as_binary::<i32>().value(row))),
        }
    }

    fn bind_decimal(&self, stmt: &mut Statement<'_>, index: usize, row: usize, scratch: &mut String) -> Result<()> {
        match self.array.data_type() {
            DataType::Decimal128(..) => {
                scratch.push_str(&self.array.as_primitive::<Decimal128Type>().value_as_string(row))
            }
            _ => scratch.push_str(&self.array.as_primitive::<Decimal256Type>().value_as_string(row)),
        }
        if self.numeric && !self.lossy {
            let whole = scratch.split_once('.').is_none_or(|(_, f)| f.bytes().all(|c| c == b'0'));
            let integer = whole && scratch.split('.').next().is_some_and(|w| w.parse::<i64>().is_ok());
            let digits = scratch.bytes().filter(u8::is_ascii_digit).count()
                - usize::from(scratch.trim_start_matches('-').starts_with("0."));
            if !integer && digits > DOUBLE_DIGITS as usize {
                return Err(Error::inexact(
                    &self.name,
                    &scratch,
                    format!("has more digits than SQLite keeps in a column declared {}", self.declared),
                ));
            }
        }
        bound(stmt.raw_bind_parameter(index, scratch.as_str()))
    }
}

fn bound(r: rusqlite::Result<()>) -> Result<()> {
    r.map_err(crate::error::plain)
}

fn nanos_per_tick(digits: u8) -> i64 {
    10i64.pow(9 - u32::from(digits.min(9)))
}

/// The integer behind a time or timestamp.
fn ticks(a: &ArrayRef, row: usize) -> Result<i64> {
    Ok(match a.data_type() {
        DataType::Time32(TimeUnit::Second) => a.as_primitive::<Time32SecondType>().value(row).into(),
        DataType::Time32(_) => a.as_primitive::<Time32MillisecondType>().value(row).into(),
        DataType::Time64(TimeUnit::Microsecond) => a.as_primitive::<Time64MicrosecondType>().value(row),
        DataType::Time64(_) => a.as_primitive::<Time64NanosecondType>().value(row),
        DataType::Timestamp(TimeUnit::Second, _) => a.as_primitive::<TimestampSecondType>().value(row),
        DataType::Timestamp(TimeUnit::Millisecond, _) => a.as_primitive::<TimestampMillisecondType>().value(row),
        DataType::Timestamp(TimeUnit::Microsecond, _) => a.as_primitive::<TimestampMicrosecondType>().value(row),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => a.as_primitive::<TimestampNanosecondType>().value(row),
        other => return Err(Error::internal(format!("{other} has no ticks"))),
    })
}

/// Dictionary and run-end encoded arrays as plain ones.
fn unwrap_encoding(a: &ArrayRef) -> Result<ArrayRef> {
    let to = match a.data_type() {
        DataType::Dictionary(_, v) => v.as_ref().clone(),
        DataType::RunEndEncoded(_, v) => v.data_type().clone(),
        _ => return Ok(a.clone()),
    };
    Ok(arrow::compute::cast(a, &to)?)
}

/// For target columns whose declared type says nothing.
fn natural_kind(t: &DataType) -> Result<Kind> {
    let target = crate::types::target_type(&Field::new("", t.clone(), true))?;
    Ok(declared_kind(&target.sql).unwrap_or(Kind::Text))
}

/// `array` as the Arrow type of `kind`, every value the same, or an error that names the first that isn't.
fn convert(column: &str, array: &ArrayRef, kind: Kind, lossy: bool) -> Result<ArrayRef> {
    let to = kind.data_type();
    let from = array.data_type().clone();
    if from == to {
        return Ok(array.clone());
    }
    if from == DataType::Null {
        return Ok(new_null_array(&to, array.len()));
    }
    if let (DataType::Interval(_) | DataType::Duration(_), DataType::Interval(_)) = (&from, &to) {
        return intervals(column, array, lossy);
    }
    // A wall-clock time is no moment and a moment no wall-clock time: which zone would it be?
    if let (DataType::Timestamp(_, a), DataType::Timestamp(_, b)) = (&from, &to)
        && a.is_some() != b.is_some()
        && !lossy
    {
        return Err(mismatch(column, &from, &to, "one has a time zone and the other has none"));
    }
    if matches!(from, DataType::Float16 | DataType::Float32) && to == DataType::Float64 {
        return Ok(arrow::compute::cast(array, &to)?);
    }
    let source: ArrayRef = match (&from, &to) {
        // The zone's name is not kept, the moment is.
        (DataType::Timestamp(u, Some(_)), DataType::Timestamp(_, Some(_))) => {
            make_array(array.to_data().into_builder().data_type(DataType::Timestamp(*u, Some("UTC".into()))).build()?)
        }
        _ => array.clone(),
    };
    let options = CastOptions { safe: true, ..Default::default() };
    let there = cast_with_options(&source, &to, &options)
        .map_err(|_| mismatch(column, &from, &to, "there is no conversion"))?;
    if lossy {
        return Ok(there);
    }
    let back = cast_with_options(&there, source.data_type(), &options)
        .map_err(|_| mismatch(column, &from, &to, "there is no conversion back to check with"))?;
    if back.to_data() == source.to_data() {
        return Ok(there);
    }
    for row in 0..source.len() {
        if back.slice(row, 1).to_data() != source.slice(row, 1).to_data() {
            let shown = arrow::util::display::array_value_to_string(&source, row)?;
            return Err(Error::inexact(column, shown, format!("cannot be kept exactly as {to}")));
        }
    }
    Ok(there)
}

fn mismatch(column: &str, from: &DataType, to: &DataType, why: &str) -> Error {
    Error::new(
        xdb_core::ErrorKind::Type,
        format!("column `{column}`: {from} cannot be stored in a column that holds {to}: {why}"),
    )
    .hint("cast the column in the model's SQL, or let xdb replace the table")
}

fn intervals(column: &str, array: &ArrayRef, lossy: bool) -> Result<ArrayRef> {
    let mut out = PrimitiveBuilder::<IntervalMonthDayNanoType>::with_capacity(array.len());
    for row in 0..array.len() {
        if array.is_null(row) {
            out.append_null();
            continue;
        }
        let v = match array.data_type() {
            DataType::Interval(IntervalUnit::YearMonth) => {
                Some(IntervalMonthDayNano::new(array.as_primitive::<IntervalYearMonthType>().value(row), 0, 0))
            }
            DataType::Interval(_) => {
                let v = array.as_primitive::<IntervalDayTimeType>().value(row);
                Some(IntervalMonthDayNano::new(0, v.days, i64::from(v.milliseconds) * 1_000_000))
            }
            DataType::Duration(u) => {
                let n = match u {
                    TimeUnit::Second => array.as_primitive::<DurationSecondType>().value(row),
                    TimeUnit::Millisecond => array.as_primitive::<DurationMillisecondType>().value(row),
                    TimeUnit::Microsecond => array.as_primitive::<DurationMicrosecondType>().value(row),
                    TimeUnit::Nanosecond => array.as_primitive::<DurationNanosecondType>().value(row),
                };
                n.checked_mul(nanos_per_tick(digits(*u))).map(|n| IntervalMonthDayNano::new(0, 0, n))
            }
            _ => None,
        };
        match v {
            None if !lossy => {
                let shown = arrow::util::display::array_value_to_string(array, row)?;
                return Err(Error::inexact(column, shown, "is longer than 292 years in nanoseconds"));
            }
            v => out.append_option(v),
        }
    }
    Ok(std::sync::Arc::new(out.finish()))
}

/// A constant as SQLite stores it, to be bound to a parameter.
pub(crate) fn literal(l: &xdb_core::Literal) -> Result<rusqlite::types::Value> {
    use rusqlite::types::Value as V;
    use xdb_core::Literal as L;
    let mut s = String::new();
    Ok(match l {
        L::Null => V::Null,
        L::Bool(b) => V::Integer((*b).into()),
        L::Int(i) => V::Integer(*i),
        L::UInt(u) => V::Integer(
            i64::try_from(*u).map_err(|_| Error::inexact("parameter", u, "is above SQLite's largest integer"))?,
        ),
        L::Float(f) if f.is_nan() => return Err(Error::inexact("parameter", "NaN", "has no place in SQLite")),
        L::Float(f) => V::Real(*f),
        L::Decimal { value, scale } => V::Text(xdb_sql::decimal_text(*value, *scale).trim_matches(['(', ')']).into()),
        L::Utf8(t) => V::Text(t.clone()),
        L::Binary(b) => V::Blob(b.clone()),
        L::Date(d) => {
            write_date(&mut s, (*d).into());
            V::Text(s)
        }
        L::Time(us) => {
            write_time(&mut s, us.rem_euclid(NANOS_PER_DAY / 1000) * 1000, 6);
            V::Text(s)
        }
        L::Timestamp { micros, utc } => {
            write_timestamp(&mut s, i128::from(*micros) * 1000, 6, *utc);
            V::Text(s)
        }
    })
}
