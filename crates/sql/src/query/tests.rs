//! What holds for every dialect; each connector's rules are tested beside them.

use super::bounds;
use arrow::datatypes::{DataType, Field};
use std::sync::Arc;
use xdb_core::{Literal, QueryArithmetic, QueryColumn, QueryDatePart, QueryExpr};

fn column(ty: DataType) -> QueryExpr {
    let field = Arc::new(Field::new("x", ty, true));
    QueryExpr::Column(QueryColumn { source: "t".into(), name: "x".into(), field, info: None })
}
fn int(i: i64, ty: DataType) -> QueryExpr {
    QueryExpr::Literal { value: Literal::Int(i), ty }
}
fn arithmetic(op: QueryArithmetic, left: QueryExpr, right: QueryExpr) -> QueryExpr {
    let ty = left.data_type();
    QueryExpr::Arithmetic { op, left: Box::new(left), right: Box::new(right), ty }
}
fn wide(e: QueryExpr) -> QueryExpr {
    QueryExpr::Cast { expr: Box::new(e), ty: DataType::Int64 }
}

#[test]
fn integers_that_cannot_overflow() {
    use QueryArithmetic::{Add, Multiply, Subtract};
    let small = || wide(column(DataType::Int32));
    let year = || QueryExpr::DatePart {
        part: QueryDatePart::Year,
        expr: Box::new(column(DataType::Date32)),
        ty: DataType::Int32,
    };
    for (e, want) in [
        (arithmetic(Add, column(DataType::Int32), int(1, DataType::Int32)), None),
        (arithmetic(Add, small(), int(1, DataType::Int64)), Some((i128::from(i32::MIN) + 1, 1i128 << 31))),
        (arithmetic(Multiply, small(), small()), Some((-(1i128 << 62) + (1i128 << 31), 1i128 << 62))),
        (arithmetic(Multiply, arithmetic(Multiply, small(), small()), small()), None),
        (arithmetic(Subtract, int(0, DataType::UInt8), column(DataType::UInt8)), None),
        (arithmetic(Subtract, year(), int(1, DataType::Int32)), Some((-262_145, 262_142))),
        (column(DataType::Utf8), None),
        (wide(column(DataType::UInt64)), None),
    ] {
        assert_eq!(bounds::of(&e), want, "{e:?}");
    }
}

#[test]
fn a_case_is_as_wide_as_its_branches() {
    let case = |otherwise: i64| QueryExpr::Case {
        branches: vec![(
            QueryExpr::Literal { value: Literal::Bool(true), ty: DataType::Boolean },
            QueryExpr::Literal { value: Literal::Null, ty: DataType::Int8 },
        )],
        otherwise: Some(Box::new(int(otherwise, DataType::Int8))),
        ty: DataType::Int8,
    };
    assert_eq!(bounds::of(&case(3)), Some((3, 3)));
    let sum = |n| arithmetic(QueryArithmetic::Add, case(n), case(n));
    assert_eq!(bounds::of(&sum(63)), Some((126, 126)));
    assert_eq!(bounds::of(&sum(64)), None);
}
