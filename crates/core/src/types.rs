//! How types are named on their way through Arrow, and what may be lost.
//!
//! Each source type becomes Arrow once, in its connector. Where Arrow has no type of its own (uuid, json), the value
//! travels as text and the field carries the key [`LOGICAL_KEY`], so that a target that has the type can use it; an
//! expression over the column drops the key and leaves honest text.

use arrow::datatypes::{DataType, Field};
use serde::{Deserialize, Serialize};

/// Field metadata key: the [`LogicalType`] of the column.
pub const LOGICAL_KEY: &str = "xdb.type";
/// Field metadata key: the type's name in the source, for `inspect` and messages only.
pub const SOURCE_TYPE_KEY: &str = "xdb.source_type";

/// What a text or binary column really is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogicalType {
    /// Utf8, lower-case with hyphens.
    Uuid,
    /// Utf8, a JSON document as the source printed it.
    Json,
}
impl LogicalType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Json => "json",
        }
    }
    pub fn of(field: &Field) -> Option<Self> {
        if !matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            return None;
        }
        match field.metadata().get(LOGICAL_KEY).map(String::as_str) {
            Some("uuid") => Some(Self::Uuid),
            Some("json") => Some(Self::Json),
            _ => None,
        }
    }
    /// `field` marked with this type.
    pub fn mark(self, field: Field) -> Field {
        let mut m = field.metadata().clone();
        m.insert(LOGICAL_KEY.into(), self.as_str().into());
        field.with_metadata(m)
    }
}

/// What happens to a value that cannot be carried exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TypePolicy {
    /// An error that names column and value.
    #[default]
    Exact,
    /// The nearest value the target can hold, or NULL where there is none (a zero date, infinity as a date).
    Lossy,
}

/// How well a type mapping keeps its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fidelity {
    /// Same values, same kind of type: reads back as the same Arrow type.
    Exact,
    /// Every value is kept, in a wider or more general type.
    Widened,
    /// Some values cannot be kept: an error, or accepted under `types: lossy`.
    Lossy,
}
