//! Answers as values that can be compared whatever the engine: numbers by their value, not by their type's width.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::cmp::Ordering;
use std::path::Path;

/// How far apart two values of an approximate column may be: avg() and quotients have 6 decimals in one engine, 16 or more
/// in another, and are floats in a third.
const TOLERANCE: f64 = 1e-6;

#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) enum Value {
    Null,
    /// Without trailing zeros: `1.5`, `-3`.
    Exact(String),
    Float(f64),
    Text(String),
    /// `1998-12-01`.
    Date(String),
    /// Of a type that no answer has, which is never equal to an expected one.
    Other(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Value>>,
}

impl Table {
    pub(crate) fn new(batches: &[RecordBatch]) -> Self {
        let first = batches.first().expect("at least the schema");
        let mut table =
            Self { columns: first.schema().fields().iter().map(|f| f.name().clone()).collect(), rows: vec![] };
        let options = FormatOptions::default();
        for batch in batches {
            let columns: Vec<ArrayFormatter<'_>> = batch
                .columns()
                .iter()
                .map(|c| ArrayFormatter::try_new(c, &options).expect("values have a text"))
                .collect();
            table.rows.extend((0..batch.num_rows()).map(|row| {
                let value = |(array, text): (&arrow::array::ArrayRef, &ArrayFormatter<'_>)| match array.is_null(row) {
                    true => Value::Null,
                    false => value(array.data_type(), text.value(row).to_string()),
                };
                batch.columns().iter().zip(&columns).map(value).collect()
            }));
        }
        table
    }

    /// The rows of an Arrow IPC stream, as `--output arrow` writes it.
    pub(crate) fn from_arrow(stream: &[u8]) -> Self {
        let reader = arrow::ipc::reader::StreamReader::try_new(stream, None).expect("an Arrow stream");
        let empty = RecordBatch::new_empty(reader.schema());
        let batches = std::iter::once(empty).chain(reader.map(|b| b.expect("a batch")));
        Self::new(&batches.collect::<Vec<_>>())
    }

    pub(crate) fn from_parquet(path: &Path) -> Self {
        let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let reader =
            parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file");
        let empty = RecordBatch::new_empty(reader.schema().clone());
        let batches = std::iter::once(empty).chain(reader.build().expect("a reader").map(|b| b.expect("a batch")));
        Self::new(&batches.collect::<Vec<_>>())
    }

    /// Nothing where `self` has the rows of `expected`, and in the order of the columns `keys`; else what differs. The
    /// columns `approximate` may differ by [`TOLERANCE`]; all else by nothing.
    pub(crate) fn difference(&self, expected: &Self, keys: &[String], approximate: &[&str]) -> Option<String> {
        if self.columns != expected.columns {
            return Some(format!("columns {:?}, expected {:?}", self.columns, expected.columns));
        }
        let index =
            |name: &str| self.columns.iter().position(|c| c == name).unwrap_or_else(|| panic!("no column {name}"));
        let loose: Vec<usize> = approximate.iter().map(|c| index(c)).collect();
        let same = |at: usize, a: &Value, b: &Value| if loose.contains(&at) { near(a, b) } else { a == b };
        let keys: Vec<usize> = keys.iter().map(|c| index(c)).collect();
        let in_order = self.rows.iter().zip(&expected.rows);
        if let Some(row) = in_order.clone().position(|(a, b)| keys.iter().any(|k| !same(*k, &a[*k], &b[*k]))) {
            return Some(format!("row {row} in order is {:?}, expected {:?}", self.rows[row], expected.rows[row]));
        }
        // Rows that the order leaves open are put in one by their exact columns.
        let sorted = |table: &Self| {
            let mut rows = table.rows.clone();
            let exact: Vec<usize> = (0..self.columns.len()).filter(|i| !loose.contains(i)).collect();
            let order = |a: &Value, b: &Value| a.partial_cmp(b).unwrap_or(Ordering::Equal);
            rows.sort_by(|a, b| {
                exact.iter().map(|i| order(&a[*i], &b[*i])).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
            });
            rows
        };
        let (got, want) = (sorted(self), sorted(expected));
        let differs = |(a, b): &(&Vec<Value>, &Vec<Value>)| (0..a.len()).any(|i| !same(i, &a[i], &b[i]));
        if let Some((a, b)) = got.iter().zip(&want).find(differs) {
            return Some(format!("{a:?}, expected {b:?}"));
        }
        (got.len() != want.len()).then(|| format!("{} rows, expected {}", got.len(), want.len()))
    }
}

fn value(of: &DataType, text: String) -> Value {
    match of {
        t if t.is_integer() || t.is_decimal() => exact(&text),
        t if t.is_floating() => Value::Float(text.parse().expect("a float")),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Value::Text(text),
        DataType::Date32 => Value::Date(text),
        other => Value::Other(format!("{other} {text}")),
    }
}

/// The number that `text` writes without exponent.
pub(crate) fn exact(text: &str) -> Value {
    let plain = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    };
    Value::Exact(if plain == "-0" { "0" } else { plain }.into())
}

fn near(a: &Value, b: &Value) -> bool {
    let number = |v: &Value| match v {
        Value::Exact(text) => text.parse().ok(),
        Value::Float(f) => Some(*f),
        _ => None,
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => f64::abs(a - b) <= TOLERANCE * f64::max(1.0, b.abs()),
        _ => a == b,
    }
}

/// The comparison can fail: every way in which an answer may be wrong is seen.
#[test]
fn wrong_answers_are_seen() {
    let row = |id: &str, sum: &str, avg: f64| {
        vec![exact(id), exact(sum), Value::Float(avg), Value::Date("1995-01-01".into())]
    };
    let table = |rows: Vec<Vec<Value>>| Table { columns: ["id", "sum", "avg", "day"].map(Into::into).to_vec(), rows };
    let want = table(vec![row("1", "10.50", 0.5), row("2", "7.00", 0.25), row("2", "8", 0.25)]);
    let keys = ["id".to_string()];
    let wrong = |change: &dyn Fn(&mut Table)| {
        let mut got = want.clone();
        change(&mut got);
        got.difference(&want, &keys, &["avg"]).is_some()
    };
    assert!(!wrong(&|_| {}));
    // Not wrong: another scale, the sixth decimal of an average, rows of one key swapped.
    assert!(!wrong(&|t| t.rows[0][1] = exact("10.5000")));
    assert!(!wrong(&|t| t.rows[0][2] = exact("0.5000009")));
    assert!(!wrong(&|t| t.rows.swap(1, 2)));
    // Wrong: a cent, the fifth decimal, a float where a number is exact, a day, a NULL, the order, a row more or less, a
    // row twice, a column's name.
    assert!(wrong(&|t| t.rows[0][1] = exact("10.51")));
    assert!(wrong(&|t| t.rows[0][2] = exact("0.50001")));
    assert!(wrong(&|t| t.rows[0][1] = Value::Float(10.5)));
    assert!(wrong(&|t| t.rows[2][3] = Value::Date("1995-01-02".into())));
    assert!(wrong(&|t| t.rows[2][3] = Value::Text("1995-01-01".into())));
    assert!(wrong(&|t| t.rows[0][2] = Value::Null));
    assert!(wrong(&|t| t.rows.swap(0, 1)));
    assert!(wrong(&|t| drop(t.rows.pop())));
    assert!(wrong(&|t| t.rows.push(row("3", "1", 0.0))));
    assert!(wrong(&|t| t.rows[2] = row("2", "7.00", 0.25)));
    assert!(wrong(&|t| t.columns[1] = "total".into()));
}
