//! A piece of a query that one connection might answer whole: relations joined, filtered, aggregated.
//!
//! The planner builds it, a connector says whether it means the same there ([`Extract::accepts`](crate::Extract::accepts))
//! and sends it. Meaning is the planner's: SQL's three-valued logic over Arrow values, text compared by bytes, the type of
//! every expression given. What is written here says nothing about any dialect.

use crate::{ColumnInfo, CompareOp, Literal, TableInfo};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use std::sync::Arc;

/// One block: `SELECT items FROM from WHERE filter GROUP BY groups HAVING having ORDER BY order LIMIT limit`.
#[derive(Clone, Debug)]
pub struct Query {
    pub from: QuerySource,
    /// All of them hold. No aggregates in them.
    pub filter: Vec<QueryExpr>,
    /// `None`: no aggregation. `Some(vec![])`: one row over everything. `DISTINCT` is grouping by all items.
    pub groups: Option<Vec<QueryExpr>>,
    /// All of them hold; may name aggregates. Empty without `groups`.
    pub having: Vec<QueryExpr>,
    /// What comes back, in order. With `groups`, each is built of aggregates and of expressions in `groups`. Names are
    /// unique. May be empty: then only the number of rows matters.
    pub items: Vec<QueryItem>,
    /// Only together with `limit`: rows come back in any order.
    pub order: Vec<QueryOrder>,
    pub limit: Option<u64>,
}
impl Query {
    /// `SELECT * FROM from`: a block with nothing but its source; `items` are the caller's.
    pub fn over(from: QuerySource, items: Vec<QueryItem>) -> Self {
        Self { from, filter: vec![], groups: None, having: vec![], items, order: vec![], limit: None }
    }
    /// The schema of what must come back: names, Arrow types, nullability and metadata, exactly.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.items.iter().map(|i| i.field.clone()).collect::<Vec<_>>()))
    }
    /// Every relation named anywhere in it.
    pub fn tables(&self) -> Vec<Arc<TableInfo>> {
        fn walk(s: &QuerySource, out: &mut Vec<Arc<TableInfo>>) {
            match s {
                QuerySource::Table { table, .. } => out.push(table.clone()),
                QuerySource::Query { query, .. } => walk(&query.from, out),
                QuerySource::Join { left, right, .. } => {
                    walk(left, out);
                    walk(right, out);
                }
                QuerySource::Union { inputs, .. } => inputs.iter().for_each(|q| walk(&q.from, out)),
            }
        }
        let mut out = Vec::new();
        walk(&self.from, &mut out);
        out
    }
}

#[derive(Clone, Debug)]
pub struct QueryItem {
    /// Name and exact Arrow type of the column that comes back.
    pub field: FieldRef,
    pub expr: QueryExpr,
}

/// Where rows come from. Aliases are unique within the whole query.
#[derive(Clone, Debug)]
pub enum QuerySource {
    Table {
        table: Arc<TableInfo>,
        alias: String,
    },
    Query {
        query: Box<Query>,
        alias: String,
    },
    /// All of `on` hold. The right side of `Semi` and `Anti` can be named only in `on`.
    Join {
        left: Box<QuerySource>,
        right: Box<QuerySource>,
        kind: QueryJoin,
        on: Vec<QueryExpr>,
    },
    /// `UNION ALL` of queries with equal names and types.
    Union {
        inputs: Vec<Query>,
        alias: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryJoin {
    Inner,
    Left,
    Full,
    /// Left rows with at least one match.
    Semi,
    /// Left rows without a match: `NOT EXISTS`, so a NULL matches nothing.
    Anti,
}

#[derive(Clone, Debug)]
pub struct QueryOrder {
    pub expr: QueryExpr,
    pub descending: bool,
    pub nulls_first: bool,
}

/// An expression with a known Arrow type.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryExpr {
    Column(QueryColumn),
    /// Never of another kind than `ty`. NULL has the type it stands for.
    Literal {
        value: Literal,
        ty: DataType,
    },
    /// Both sides have one type (the planner has inserted casts).
    Compare {
        op: CompareOp,
        left: Box<QueryExpr>,
        right: Box<QueryExpr>,
    },
    And(Vec<QueryExpr>),
    Or(Vec<QueryExpr>),
    Not(Box<QueryExpr>),
    IsNull {
        expr: Box<QueryExpr>,
        negated: bool,
    },
    /// `list` is not empty; a NULL in it has SQL's meaning.
    In {
        expr: Box<QueryExpr>,
        list: Vec<QueryExpr>,
        negated: bool,
    },
    /// Case-sensitive; `%` and `_` are wild, `\` escapes.
    Like {
        expr: Box<QueryExpr>,
        pattern: String,
        negated: bool,
    },
    /// Integers wrap or fail beyond their range, decimals fail beyond their precision; `ty` is the result's.
    Arithmetic {
        op: QueryArithmetic,
        left: Box<QueryExpr>,
        right: Box<QueryExpr>,
        ty: DataType,
    },
    /// An error, not NULL, where a value doesn't fit.
    Cast {
        expr: Box<QueryExpr>,
        ty: DataType,
    },
    /// The first branch whose condition is true.
    Case {
        branches: Vec<(QueryExpr, QueryExpr)>,
        otherwise: Option<Box<QueryExpr>>,
        ty: DataType,
    },
    /// A calendar field of a date or a timestamp without zone, as `ty`.
    DatePart {
        part: QueryDatePart,
        expr: Box<QueryExpr>,
        ty: DataType,
    },
    /// 1-based `start` and `length` in characters, both positive constants.
    Substring {
        expr: Box<QueryExpr>,
        start: u32,
        length: Option<u32>,
    },
    Aggregate(QueryAggregate),
}
impl QueryExpr {
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Column(c) => c.field.data_type().clone(),
            Self::Literal { ty, .. }
            | Self::Arithmetic { ty, .. }
            | Self::Cast { ty, .. }
            | Self::Case { ty, .. }
            | Self::DatePart { ty, .. } => ty.clone(),
            Self::Aggregate(a) => a.ty.clone(),
            Self::Substring { expr, .. } => expr.data_type(),
            Self::Compare { .. }
            | Self::And(_)
            | Self::Or(_)
            | Self::Not(_)
            | Self::IsNull { .. }
            | Self::In { .. }
            | Self::Like { .. } => DataType::Boolean,
        }
    }
}

/// A column of one of the query's sources.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryColumn {
    /// The source's alias.
    pub source: String,
    /// Its name in that source.
    pub name: String,
    pub field: FieldRef,
    /// What `describe` said, where the column is a relation's own, also through inner queries that only pass it on.
    pub info: Option<Arc<ColumnInfo>>,
}
impl PartialEq for ColumnInfo {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.source_type, self.nullable, &self.collation, self.binary_equality)
            == (&other.name, &other.source_type, other.nullable, &other.collation, other.binary_equality)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryArithmetic {
    Add,
    Subtract,
    Multiply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryDatePart {
    Year,
    Month,
    Day,
}

#[derive(Clone, Debug, PartialEq)]
pub struct QueryAggregate {
    pub function: AggregateFunction,
    /// `None` is `count(*)`.
    pub argument: Option<Box<QueryExpr>>,
    pub distinct: bool,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Box<QueryExpr>>,
    pub ty: DataType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateFunction {
    Count,
    Sum,
    Min,
    Max,
}

/// What a server expects of a read that was planned but not run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadEstimate {
    pub rows: f64,
    /// Bytes of one row, where the server says.
    pub row_bytes: Option<f64>,
    /// The server's own unit; comparable only between reads of one connection.
    pub cost: Option<f64>,
}
