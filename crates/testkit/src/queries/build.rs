//! Short ways to write queries.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, TimeUnit};
use std::sync::Arc;
use xdb_core::{
    AggregateFunction, CompareOp, Literal, Query, QueryAggregate, QueryColumn, QueryExpr, QueryItem, QueryJoin,
    QuerySource, TableInfo,
};

pub fn column(table: &TableInfo, alias: &str, name: &str) -> QueryExpr {
    let i = table.schema.index_of(name).expect("a column of the table");
    QueryExpr::Column(QueryColumn {
        source: alias.into(),
        name: name.into(),
        field: table.schema.fields()[i].clone(),
        info: table.columns.get(i).cloned().map(Arc::new),
    })
}

/// A relation's column keeps its field; anything else is nullable and of no special kind.
pub fn item(name: &str, expr: QueryExpr) -> QueryItem {
    let field = match &expr {
        QueryExpr::Column(c) => c.field.as_ref().clone().with_name(name).with_nullable(true),
        e => Field::new(name, e.data_type(), true),
    };
    QueryItem { field: Arc::new(field), expr }
}

pub fn source(table: &Arc<TableInfo>, alias: &str) -> QuerySource {
    QuerySource::Table { table: table.clone(), alias: alias.into() }
}

/// The engine's type for each aggregate.
pub fn aggregate(function: AggregateFunction, argument: Option<QueryExpr>, distinct: bool) -> QueryExpr {
    let ty = match (function, argument.as_ref().map(QueryExpr::data_type)) {
        (AggregateFunction::Count, _) | (_, None) => DataType::Int64,
        (AggregateFunction::Sum, Some(DataType::Decimal128(p, s))) => DataType::Decimal128((p + 10).min(38), s),
        (AggregateFunction::Sum, Some(DataType::Decimal256(p, s))) => DataType::Decimal256((p + 10).min(76), s),
        (AggregateFunction::Sum, Some(t)) if t.is_signed_integer() => DataType::Int64,
        (AggregateFunction::Sum, Some(t)) if t.is_unsigned_integer() => DataType::UInt64,
        (_, Some(t)) => t,
    };
    let argument = argument.map(Box::new);
    QueryExpr::Aggregate(QueryAggregate { function, argument, distinct, filter: None, ty })
}

/// A value as a constant, where the type has any.
pub fn literal_of(a: &ArrayRef, i: usize) -> Option<Literal> {
    use arrow::datatypes as t;
    if a.is_null(i) {
        return None;
    }
    Some(match a.data_type() {
        DataType::Boolean => Literal::Bool(a.as_boolean().value(i)),
        DataType::Int8 => Literal::Int(a.as_primitive::<t::Int8Type>().value(i).into()),
        DataType::Int16 => Literal::Int(a.as_primitive::<t::Int16Type>().value(i).into()),
        DataType::Int32 => Literal::Int(a.as_primitive::<t::Int32Type>().value(i).into()),
        DataType::Int64 => Literal::Int(a.as_primitive::<t::Int64Type>().value(i)),
        DataType::UInt8 => Literal::UInt(a.as_primitive::<t::UInt8Type>().value(i).into()),
        DataType::UInt16 => Literal::UInt(a.as_primitive::<t::UInt16Type>().value(i).into()),
        DataType::UInt32 => Literal::UInt(a.as_primitive::<t::UInt32Type>().value(i).into()),
        DataType::UInt64 => Literal::UInt(a.as_primitive::<t::UInt64Type>().value(i)),
        DataType::Float32 => Literal::Float(a.as_primitive::<t::Float32Type>().value(i).into()),
        DataType::Float64 => Literal::Float(a.as_primitive::<t::Float64Type>().value(i)),
        DataType::Decimal128(_, s) => {
            Literal::Decimal { value: a.as_primitive::<t::Decimal128Type>().value(i), scale: *s }
        }
        DataType::Utf8 => Literal::Utf8(a.as_string::<i32>().value(i).into()),
        DataType::Binary => Literal::Binary(a.as_binary::<i32>().value(i).into()),
        DataType::Date32 => Literal::Date(a.as_primitive::<t::Date32Type>().value(i)),
        DataType::Time64(TimeUnit::Microsecond) => Literal::Time(a.as_primitive::<t::Time64MicrosecondType>().value(i)),
        DataType::Timestamp(TimeUnit::Microsecond, z) => {
            Literal::Timestamp { micros: a.as_primitive::<t::TimestampMicrosecondType>().value(i), utc: z.is_some() }
        }
        _ => return None,
    })
}

pub(super) fn constant(value: &Literal, ty: &DataType) -> QueryExpr {
    QueryExpr::Literal { value: value.clone(), ty: ty.clone() }
}
pub(super) fn null(ty: &DataType) -> QueryExpr {
    constant(&Literal::Null, ty)
}
pub(super) fn compare(op: CompareOp, left: QueryExpr, right: QueryExpr) -> QueryExpr {
    QueryExpr::Compare { op, left: Box::new(left), right: Box::new(right) }
}
pub(super) fn is_null(e: QueryExpr, negated: bool) -> QueryExpr {
    QueryExpr::IsNull { expr: Box::new(e), negated }
}
pub(super) fn cast(e: QueryExpr, ty: DataType) -> QueryExpr {
    QueryExpr::Cast { expr: Box::new(e), ty }
}
pub(super) fn join(left: QuerySource, right: QuerySource, kind: QueryJoin, on: Vec<QueryExpr>) -> QuerySource {
    QuerySource::Join { left: Box::new(left), right: Box::new(right), kind, on }
}
pub(super) const OPS: [CompareOp; 6] =
    [CompareOp::Eq, CompareOp::NotEq, CompareOp::Lt, CompareOp::LtEq, CompareOp::Gt, CompareOp::GtEq];

/// A query over `table` alone, as `t`.
pub fn over_all(table: &Arc<TableInfo>, items: Vec<QueryItem>) -> Query {
    Query::over(source(table, "t"), items)
}

/// The first `n` different values of a column.
pub(super) fn constants_of(values: &ArrayRef, n: usize) -> Vec<Literal> {
    let mut out: Vec<Literal> = Vec::new();
    for l in (0..values.len()).filter_map(|i| literal_of(values, i)) {
        if out.len() < n && !out.contains(&l) {
            out.push(l);
        }
    }
    out
}
