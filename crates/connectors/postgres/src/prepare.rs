//! Arrays into the forms that `encode` writes, and what an array's elements are called there.

use crate::kind::Kind;
use crate::target::is_list;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use std::sync::Arc;
use xdb_core::{Error, LogicalType, Result};

/// Makes the arrays into forms that can be written: dictionaries are unpacked, odd units scaled.
pub(crate) fn prepare(schema: &Schema, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let plain = |(f, a): (&FieldRef, &ArrayRef)| {
        let to = plain_type(a.data_type());
        if to == *a.data_type() {
            return Ok(a.clone());
        }
        cast(a, &to).map_err(|e| Error::from(e).with_message(|m| format!("column `{}`: {m}", f.name())))
    };
    schema.fields().iter().zip(batch.columns()).map(plain).collect()
}

fn plain_type(t: &DataType) -> DataType {
    use DataType as D;
    let inner = |f: &FieldRef| Arc::new(f.as_ref().clone().with_data_type(plain_type(f.data_type())));
    match t {
        D::Dictionary(_, v) => plain_type(v),
        D::RunEndEncoded(_, v) => plain_type(v.data_type()),
        D::Decimal32(p, s) | D::Decimal64(p, s) => D::Decimal128(*p, *s),
        D::Float16 => D::Float32,
        D::Time32(_) => D::Time64(TimeUnit::Microsecond),
        D::List(f) | D::ListView(f) if !nested(f.data_type()) => D::List(inner(f)),
        D::LargeList(f) | D::LargeListView(f) if !nested(f.data_type()) => D::LargeList(inner(f)),
        D::FixedSizeList(f, n) if !nested(f.data_type()) => D::FixedSizeList(inner(f), *n),
        other => other.clone(),
    }
}

/// Lists, structs and maps in a list: the outer list is written as JSON.
pub(crate) fn nested(t: &DataType) -> bool {
    is_list(t) || matches!(t, DataType::Struct(_) | DataType::Map(..) | DataType::Null | DataType::Union(..))
}

/// The OID that array_recv wants before the elements: of the type that `target` gives them.
pub(crate) fn element_oid(field: &Field) -> u32 {
    use DataType as D;
    match LogicalType::of(field) {
        Some(LogicalType::Uuid) => return 2950,
        Some(LogicalType::Json) if Kind::of(field) == Some(Kind::Jsonb) => return 3802,
        Some(LogicalType::Json) => return 114,
        None => {}
    }
    match field.data_type() {
        D::Boolean => 16,
        D::Int8 | D::UInt8 | D::Int16 => 21,
        D::UInt16 | D::Int32 => 23,
        D::UInt32 | D::Int64 => 20,
        D::UInt64 | D::Decimal32(..) | D::Decimal64(..) | D::Decimal128(..) | D::Decimal256(..) => 1700,
        D::Float16 | D::Float32 => 700,
        D::Float64 => 701,
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => 17,
        D::Date32 | D::Date64 => 1082,
        D::Time32(_) | D::Time64(_) => 1083,
        D::Timestamp(_, None) => 1114,
        D::Timestamp(_, Some(_)) => 1184,
        D::Interval(_) | D::Duration(_) => 1186,
        D::Dictionary(_, v) => element_oid(&Field::new("", (**v).clone(), true)),
        D::RunEndEncoded(_, v) => element_oid(v),
        _ => 25,
    }
}

/// 32 hex digits, in any case, with or without hyphens between bytes and with or without braces: what uuid_in takes.
pub(crate) fn parse_uuid(t: &str) -> Option<[u8; 16]> {
    let t = t.strip_prefix('{').and_then(|r| r.strip_suffix('}')).unwrap_or(t);
    let mut out = [0u8; 16];
    let mut n = 0;
    for c in t.bytes() {
        if c == b'-' && n > 0 && n % 2 == 0 {
            continue;
        }
        let d = (c as char).to_digit(16)? as u8;
        *out.get_mut(n / 2)? |= if n % 2 == 0 { d << 4 } else { d };
        n += 1;
    }
    (n == 32).then_some(out)
}
