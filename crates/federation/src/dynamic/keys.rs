//! Keys that an engine has read itself, as a filter of another table.

use super::domain::{Domain, distinct};
use super::source::{self, Known};
use arrow::array::ArrayRef;
use arrow::datatypes::Field;
use datafusion::common::ScalarValue;
use xdb_core::Predicate;

/// What is known of a column whose rows matter only where they equal one of some keys.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyFilter {
    /// No row matters.
    Nothing,
    /// Each alone is a condition that holds for the rows that matter, best first: one is enough. With its wording for people.
    OneOf(Vec<(Predicate, String)>),
    /// Why there is none.
    No(String),
}

/// The filter on `column` by the values of `keys`, which are of a type that compares with it.
pub fn key_filter(keys: &[ArrayRef], column: &Field) -> KeyFilter {
    let mut values = Vec::new();
    for array in keys {
        for row in 0..array.len() {
            match ScalarValue::try_from_array(array, row) {
                Ok(v) => values.push(v),
                Err(e) => return KeyFilter::No(e.strip_backtrace()),
            }
        }
    }
    let values = distinct(values);
    let pick = |wanted| {
        values.iter().try_fold(None::<&ScalarValue>, |best, v| match best {
            None => Some(Some(v)),
            Some(b) => v.partial_cmp(b).map(|o| if o == wanted { Some(v) } else { Some(b) }),
        })
    };
    let min = pick(std::cmp::Ordering::Less).flatten().cloned();
    let max = pick(std::cmp::Ordering::Greater).flatten().cloned();
    match source::of_domain(column.name(), column.data_type(), Domain { values: Some(values), min, max }) {
        Known::Nothing => KeyFilter::Nothing,
        Known::OneOf(all) => KeyFilter::OneOf(all),
        Known::No(why) => KeyFilter::No(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::DataType;
    use std::sync::Arc;
    use xdb_core::Literal;

    #[test]
    fn keys_are_values_each_once() {
        let keys: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![Some(3), None, Some(70_000)])), Arc::new(Int64Array::from(vec![3, 9]))];
        let KeyFilter::OneOf(all) = key_filter(&keys, &Field::new("c", DataType::Int32, true)) else { panic!() };
        let values = [3, 70_000, 9].map(Literal::Int).to_vec();
        assert_eq!(all[0], (Predicate::In { column: "c".into(), values, negated: false }, "3 values".into()));
        assert_eq!(all[1].1, "3 to 70000");
        // Two of them are no small integers.
        let KeyFilter::OneOf(all) = key_filter(&keys, &Field::new("c", DataType::Int8, true)) else { panic!() };
        assert_eq!(all[0].1, "2 values");
    }

    #[test]
    fn no_keys_are_no_rows() {
        let none: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>, None]));
        assert_eq!(key_filter(&[none], &Field::new("c", DataType::Utf8, true)), KeyFilter::Nothing);
        assert_eq!(key_filter(&[], &Field::new("c", DataType::Utf8, true)), KeyFilter::Nothing);
    }
}
