//! What values an integer expression can have at most: the engine wraps where a server fails (or turns to another type), so
//! that integer arithmetic may be sent only where neither can happen.

use arrow::datatypes::DataType;
use xdb_core::{Literal, QueryArithmetic, QueryDatePart, QueryExpr};

type Bounds = (i128, i128);

/// The values of an integer type.
pub(crate) fn of_type(ty: &DataType) -> Option<Bounds> {
    use DataType as D;
    Some(match ty {
        D::Int8 => (i8::MIN.into(), i8::MAX.into()),
        D::Int16 => (i16::MIN.into(), i16::MAX.into()),
        D::Int32 => (i32::MIN.into(), i32::MAX.into()),
        D::Int64 => (i64::MIN.into(), i64::MAX.into()),
        D::UInt8 => (0, u8::MAX.into()),
        D::UInt16 => (0, u16::MAX.into()),
        D::UInt32 => (0, u32::MAX.into()),
        D::UInt64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

/// `None`: not an integer, or one that may overflow on the way.
pub(crate) fn of(e: &QueryExpr) -> Option<Bounds> {
    let (low, high) = match e {
        QueryExpr::Literal { value: Literal::Int(i), .. } => (i128::from(*i), i128::from(*i)),
        QueryExpr::Literal { value: Literal::UInt(u), .. } => (i128::from(*u), i128::from(*u)),
        QueryExpr::Column(c) => of_type(c.field.data_type())?,
        QueryExpr::Cast { expr, .. } => of(expr)?,
        // The engine's calendar ends at year 262142.
        QueryExpr::DatePart { part: QueryDatePart::Year, .. } => (-262_144, 262_143),
        QueryExpr::DatePart { part: QueryDatePart::Month, .. } => (1, 12),
        QueryExpr::DatePart { part: QueryDatePart::Day, .. } => (1, 31),
        QueryExpr::Case { branches, otherwise, .. } => {
            let mut all = Vec::new();
            for v in branches.iter().map(|b| &b.1).chain(otherwise.as_deref()) {
                if !matches!(v, QueryExpr::Literal { value: Literal::Null, .. }) {
                    all.push(of(v)?);
                }
            }
            (all.iter().map(|b| b.0).min()?, all.iter().map(|b| b.1).max()?)
        }
        QueryExpr::Arithmetic { op, left, right, .. } => {
            let ((a, b), (c, d)) = (of(left)?, of(right)?);
            match op {
                QueryArithmetic::Add => (a + c, b + d),
                QueryArithmetic::Subtract => (a - d, b - c),
                QueryArithmetic::Multiply => {
                    let all = [a.checked_mul(c)?, a.checked_mul(d)?, b.checked_mul(c)?, b.checked_mul(d)?];
                    (*all.iter().min()?, *all.iter().max()?)
                }
            }
        }
        _ => return None,
    };
    let (min, max) = of_type(&e.data_type())?;
    (low >= min && high <= max).then_some((low, high))
}
