//! Whole tables, put in the order of their `id` column, and compared value by value with messages a person can use.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, IntervalMonthDayNanoArray, RecordBatch, UInt64Array,
};
use arrow::compute::{cast_with_options, concat_batches, filter, take, take_record_batch};
use arrow::datatypes::{
    DataType, Field, Float16Type, Float32Type, Float64Type, IntervalMonthDayNano, IntervalUnit, Schema, SchemaRef,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::sync::Arc;
use xdb_core::LogicalType;

/// Rows in a known order.
#[derive(Clone, Debug)]
pub struct Table(RecordBatch);

impl Table {
    /// The first column is called `id` and counts from 0; `columns` follow.
    pub fn of(columns: Vec<(Field, ArrayRef)>) -> Self {
        let rows = columns.first().map_or(0, |(_, a)| a.len());
        let id: ArrayRef = Arc::new((0..rows as i64).collect::<Int64Array>());
        Self::with_ids(id, columns)
    }
    pub fn with_ids(id: ArrayRef, columns: Vec<(Field, ArrayRef)>) -> Self {
        let (mut fields, mut arrays) = (vec![Field::new("id", DataType::Int64, true)], vec![id]);
        for (f, a) in columns {
            fields.push(f);
            arrays.push(a);
        }
        Self(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("columns of one length"))
    }
    /// What a read returned, in the order of `id`.
    pub fn sorted(schema: &SchemaRef, batches: &[RecordBatch]) -> Self {
        let all = concat_batches(schema, batches).expect("batches of one schema");
        let Some((at, _)) = schema.column_with_name("id") else { return Self(all) };
        let ids = ids(all.column(at));
        let mut order: Vec<u64> = (0..all.num_rows() as u64).collect();
        order.sort_by_key(|i| ids[*i as usize]);
        Self(take_record_batch(&all, &UInt64Array::from(order)).expect("rows by index"))
    }
    pub fn batch(&self) -> &RecordBatch {
        &self.0
    }
    pub fn rows(&self) -> usize {
        self.0.num_rows()
    }
    pub fn column(&self, name: &str) -> &ArrayRef {
        self.0.column_by_name(name).unwrap_or_else(|| panic!("no column `{name}` in {:?}", self.0.schema()))
    }
    pub fn ids(&self) -> Vec<i64> {
        ids(self.column("id")).into_iter().flatten().collect()
    }
    /// The rows `keep` chooses.
    pub fn filter(&self, keep: impl Fn(usize) -> bool) -> Self {
        let rows = UInt64Array::from((0..self.rows() as u64).filter(|i| keep(*i as usize)).collect::<Vec<_>>());
        Self(take_record_batch(&self.0, &rows).expect("rows by index"))
    }
}

/// Integers of any width, and decimals without fractions (what some systems return for a BIGINT), as `i64`.
pub(super) fn ids(array: &ArrayRef) -> Vec<Option<i64>> {
    let cast = cast_strict(array, &DataType::Int64).unwrap_or_else(|e| panic!("the id column: {e}"));
    cast.as_primitive::<arrow::datatypes::Int64Type>().iter().collect()
}

/// A cast in which every value that doesn't fit is an error. Only the values that are there are cast: what lies under a
/// NULL may be anything, and overflows.
pub(super) fn cast_strict(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, arrow::error::ArrowError> {
    let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
    let Some(nulls) = array.logical_nulls() else { return cast_with_options(array, to, &options) };
    let there = BooleanArray::new(nulls.inner().clone(), None);
    let cast = cast_with_options(&filter(array, &there)?, to, &options)?;
    let mut next = 0..;
    let rows: UInt64Array = nulls.iter().map(|valid| if valid { next.next() } else { None }).collect();
    take(&cast, &rows, None)
}

/// Each value as text; floats so that every bit pattern but the sign of zero and the payload of NaN shows.
pub fn texts(array: &ArrayRef) -> Vec<Option<String>> {
    let float = |v: f64| if v == 0.0 { "0".to_string() } else { format!("{v:e}") };
    match array.data_type() {
        DataType::Float16 => array.as_primitive::<Float16Type>().iter().map(|v| v.map(|v| float(v.into()))).collect(),
        DataType::Float32 => {
            let of = |v: f32| if v == 0.0 { "0".to_string() } else { format!("{v:e}") };
            array.as_primitive::<Float32Type>().iter().map(|v| v.map(of)).collect()
        }
        DataType::Float64 => array.as_primitive::<Float64Type>().iter().map(|v| v.map(float)).collect(),
        _ => {
            let options = FormatOptions::default();
            let f = ArrayFormatter::try_new(array.as_ref(), &options).expect("a type that can be shown");
            let nulls = array.logical_nulls(); // also those of dictionaries and of the null type
            let is_null = |i| nulls.as_ref().is_some_and(|n| n.is_null(i));
            (0..array.len()).map(|i| (!is_null(i)).then(|| f.value(i).to_string())).collect()
        }
    }
}

/// `got`, brought back to the type of `want`, has the same values. `what` says what is being compared.
///
/// # Panics
/// With the first difference, naming the row and both values.
pub fn assert_same(what: &str, field: &Field, want: &ArrayRef, got: &ArrayRef) {
    assert_eq!(want.len(), got.len(), "{what}: rows written and read");
    let shown =
        format!("{what}: column `{}`, written as {}, read as {}", field.name(), want.data_type(), got.data_type());
    let (w, g) = if LogicalType::of(field) == Some(LogicalType::Json) {
        (canonical_json(&shown, &texts(want)), canonical_json(&shown, &texts(got)))
    } else if want.data_type() == got.data_type() {
        (texts(want), texts(got))
    } else if want.data_type().is_nested() && !got.data_type().is_nested() {
        // A system without arrays keeps them as JSON text.
        (canonical_json(&shown, &as_json(want)), canonical_json(&shown, &texts(got)))
    } else if let (DataType::Interval(IntervalUnit::MonthDayNano), Some(back)) = (want.data_type(), iso_intervals(got))
    {
        (texts(want), texts(&back))
    } else {
        // A system without zones keeps the moment as UTC's wall clock.
        let utc = match (want.data_type(), got.data_type()) {
            (DataType::Timestamp(_, Some(_)), DataType::Timestamp(unit, None)) => {
                cast_strict(got, &DataType::Timestamp(*unit, Some("UTC".into()))).ok()
            }
            _ => None,
        };
        match cast_strict(utc.as_ref().unwrap_or(got), want.data_type()) {
            Ok(back) => (texts(want), texts(&back)),
            // No way back for Arrow (intervals as text …): nothing may have become NULL or the reverse.
            Err(e) if arrow::compute::can_cast_types(got.data_type(), want.data_type()) => panic!("{shown}: {e}"),
            Err(_) => {
                let presence = |a: &ArrayRef| texts(a).iter().map(|t| t.as_ref().map(|_| String::new())).collect();
                (presence(want), presence(got))
            }
        }
    };
    for (row, (w, g)) in w.iter().zip(&g).enumerate() {
        assert!(w == g, "{shown}: row {row}: wrote {w:?}, read {g:?}");
    }
}

/// Texts in ISO 8601's form of a duration (`P1Y2M-3DT4H0.5S`), where all of them are.
fn iso_intervals(array: &ArrayRef) -> Option<ArrayRef> {
    let text = cast_strict(array, &DataType::Utf8).ok()?;
    let parsed = text.as_string::<i32>().iter().map(|t| t.map(|t| iso_interval(t).ok_or(())).transpose());
    let all: IntervalMonthDayNanoArray = parsed.collect::<Result<Vec<_>, ()>>().ok()?.into();
    Some(Arc::new(all))
}

fn iso_interval(text: &str) -> Option<IntervalMonthDayNano> {
    let (date, time) = text.strip_prefix('P')?.split_once('T').unwrap_or((&text[1..], ""));
    let (mut months, mut days, mut nanos) = (0i32, 0i32, 0i64);
    let number = |part: &str, unit: char| part.trim_end_matches(unit).parse::<i32>().ok();
    for part in date.split_inclusive(|c: char| c.is_alphabetic()) {
        match part.chars().last()? {
            'Y' => months += number(part, 'Y')?.checked_mul(12)?,
            'M' => months += number(part, 'M')?,
            'D' => days += number(part, 'D')?,
            _ => return None,
        }
    }
    for part in time.split_inclusive(|c: char| c.is_alphabetic()) {
        let unit = part.chars().last()?;
        let seconds = match unit {
            'H' => 3600,
            'M' => 60,
            'S' => 1,
            _ => return None,
        };
        let value = part.trim_end_matches(unit);
        let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
        let fraction: i64 = format!("{fraction:0<9}").parse().ok()?;
        let sign = if value.starts_with('-') { -1 } else { 1 };
        let whole = whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?;
        nanos = nanos.checked_add(whole.checked_add(sign * fraction)?.checked_mul(seconds)?)?;
    }
    Some(IntervalMonthDayNano::new(months, days, nanos))
}

fn canonical_json(what: &str, values: &[Option<String>]) -> Vec<Option<String>> {
    let one = |t: &String| {
        let v: serde_json::Value = serde_json::from_str(t).unwrap_or_else(|e| panic!("{what}: not JSON: {t}: {e}"));
        sort_keys(v).to_string()
    };
    values.iter().map(|v| v.as_ref().map(one)).collect()
}

fn sort_keys(v: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match v {
        Value::Object(m) => {
            let mut all: Vec<_> = m.into_iter().map(|(k, v)| (k, sort_keys(v))).collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(all.into_iter().collect())
        }
        Value::Array(a) => Value::Array(a.into_iter().map(sort_keys).collect()),
        other => other,
    }
}

fn as_json(array: &ArrayRef) -> Vec<Option<String>> {
    let schema = Arc::new(Schema::new(vec![Field::new("v", array.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(schema, vec![array.clone()]).expect("one column");
    let mut out = Vec::new();
    {
        let builder = arrow::json::WriterBuilder::new().with_explicit_nulls(true);
        let mut writer = builder.build::<_, arrow::json::writer::LineDelimited>(&mut out);
        writer.write(&batch).expect("nested values as JSON");
        writer.finish().expect("nested values as JSON");
    }
    let text = String::from_utf8(out).expect("JSON is UTF-8");
    text.lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
            match &row["v"] {
                serde_json::Value::Null => None,
                v => Some(v.to_string()),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, StringArray};

    fn column(dt: DataType) -> Field {
        Field::new("c", dt, true)
    }

    #[test]
    fn equal_values_pass_whatever_the_type_between() {
        let want: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(i64::MIN)]));
        let wide = cast_strict(&want, &DataType::Decimal128(20, 0)).unwrap();
        assert_same("t", &column(DataType::Int64), &want, &wide);
        let nan: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, -0.0]));
        let other: ArrayRef = Arc::new(Float64Array::from(vec![-f64::NAN, 0.0]));
        assert_same("t", &column(DataType::Float64), &nan, &other);
    }
    #[test]
    fn intervals_may_come_back_as_iso_text() {
        let of = IntervalMonthDayNano::new;
        let want: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(vec![
            None,
            Some(of(0, 0, 0)),
            Some(of(14, -3, 3_600_000_000_001)),
            Some(of(0, 0, -1_500_000_000)),
        ]));
        let got: ArrayRef =
            Arc::new(StringArray::from(vec![None, Some("PT0S"), Some("P1Y2M-3DT1H0.000000001S"), Some("PT-1.5S")]));
        assert_same("t", &column(want.data_type().clone()), &want, &got);
    }
    #[test]
    #[should_panic(expected = "row 1: wrote Some(\"b\"), read None")]
    fn a_lost_value_is_named() {
        let want: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let got: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        assert_same("t", &column(DataType::Utf8), &want, &got);
    }
    #[test]
    #[should_panic(expected = "wrote Some(\"\"), read Some(\" \")")]
    fn text_is_compared_byte_by_byte() {
        let want: ArrayRef = Arc::new(StringArray::from(vec![""]));
        let got: ArrayRef = Arc::new(StringArray::from(vec![" "]));
        assert_same("t", &column(DataType::Utf8), &want, &got);
    }
    #[test]
    fn rows_are_put_in_the_order_of_their_ids() {
        let t = Table::with_ids(
            Arc::new(Int64Array::from(vec![2, 0, 1])),
            vec![(column(DataType::Utf8), Arc::new(StringArray::from(vec!["c", "a", "b"])))],
        );
        let sorted = Table::sorted(&t.batch().schema(), &[t.batch().clone()]);
        assert_eq!(texts(sorted.column("c")), ["a", "b", "c"].map(|s| Some(s.to_string())));
    }
}
