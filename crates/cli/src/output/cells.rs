//! One value of an Arrow array as text: the same text in every format.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};
use xdb_core::Result;

/// Dates and times in ISO 8601, decimals in full, bytes in hex, floats in the shortest form that reads back the same.
pub(crate) const OPTIONS: FormatOptions<'static> =
    FormatOptions::new().with_display_error(false).with_null("").with_duration_format(DurationFormat::ISO8601);

/// The cells of one column of one batch.
pub(crate) struct Cells<'a> {
    array: &'a ArrayRef,
    formatter: ArrayFormatter<'a>,
    nested: bool,
}
impl<'a> Cells<'a> {
    pub(crate) fn new(array: &'a ArrayRef) -> Result<Self> {
        let nested = array.data_type().is_nested();
        Ok(Self { array, formatter: ArrayFormatter::try_new(array.as_ref(), &OPTIONS)?, nested })
    }
    /// Write row `i` to `out`, which is cleared first; `false` is NULL.
    pub(crate) fn write(&self, i: usize, out: &mut String) -> Result<bool> {
        out.clear();
        if self.array.is_null(i) {
            return Ok(false);
        }
        if self.nested {
            // Lists and structs look the same in a table, in CSV and in JSON.
            super::json::write_value(self.array, i, out)?;
        } else {
            self.formatter.value(i).write(out).map_err(|_| {
                xdb_core::Error::internal(format!("cannot print a value of type {}", self.array.data_type()))
            })?;
        }
        Ok(true)
    }
}

pub(crate) fn is_number(t: &DataType) -> bool {
    t.is_numeric()
}
