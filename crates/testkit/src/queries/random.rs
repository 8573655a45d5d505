//! Queries made up at random: conditions in conditions, joins of joins, groups of groups. A seed makes one query of a table,
//! so that a difference can be looked at again: `XDB_QUERY_SEEDS=417` or `0..100000`.

use super::build::*;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field};
use std::ops::Range;
use std::sync::Arc;
use xdb_core::{
    AggregateFunction as F, CompareOp, Literal, Query, QueryArithmetic, QueryColumn, QueryExpr, QueryItem, QueryJoin,
    QueryOrder, QuerySource, TableInfo,
};

pub(super) fn seeds() -> Range<u64> {
    let text = std::env::var("XDB_QUERY_SEEDS").unwrap_or_default();
    match text.split_once("..") {
        Some((a, b)) => a.parse().expect("a number")..b.parse().expect("a number"),
        None if text.is_empty() => 0..400,
        None => {
            let n = text.parse().expect("a number");
            n..n + 1
        }
    }
}

pub(super) fn query(table: &Arc<TableInfo>, batch: &RecordBatch, seed: u64) -> Query {
    let constants = batch.columns().iter().map(|c| constants_of(c, 8)).collect();
    // A few columns for each query: one that the server knows nothing about shall not spoil them all.
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678);
    let n = table.schema.fields().len();
    let mut columns: Vec<usize> = vec![0, 1];
    for _ in 0..3 {
        columns.push(dice.below(n));
    }
    let mut random = Random { table, constants, columns, dice, aliases: 0 };
    random.block(2)
}

/// SplitMix64.
struct Dice(u64);
impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    /// One time out of `n`.
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

struct Random<'a> {
    table: &'a Arc<TableInfo>,
    /// Of each column of the table.
    constants: Vec<Vec<Literal>>,
    columns: Vec<usize>,
    dice: Dice,
    aliases: usize,
}

impl Random<'_> {
    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("r{}", self.aliases)
    }

    fn block(&mut self, depth: usize) -> Query {
        let (from, columns) = self.source(depth);
        let mut filter = vec![];
        while filter.len() < 2 && self.dice.one_in(2) {
            filter.push(self.condition(&columns, 2));
        }
        let mut query = Query { filter, ..Query::over(from, vec![]) };
        let mut values = vec![];
        if self.dice.one_in(2) {
            let mut keys = vec![];
            for _ in 0..self.dice.below(3) {
                let key = self.value(&columns, None, 1);
                if !matches!(key, QueryExpr::Literal { .. }) && !keys.contains(&key) {
                    keys.push(key);
                }
            }
            values.extend(keys.iter().cloned());
            for _ in 0..=self.dice.below(2) {
                values.push(self.aggregate(&columns));
            }
            if self.dice.one_in(3) {
                let count = aggregate(F::Count, None, false);
                let n = self.dice.below(4) as i64;
                query.having.push(compare(CompareOp::Gt, count, constant(&Literal::Int(n), &DataType::Int64)));
            }
            query.groups = Some(keys);
        } else {
            for _ in 0..=self.dice.below(3) {
                values.push(self.value(&columns, None, 2));
            }
        }
        query.items = values.into_iter().enumerate().map(|(i, v)| named(&format!("x{i}"), v)).collect();
        if self.dice.one_in(4) {
            // By everything: what ties is alike.
            let order =
                |i: &QueryItem, d: bool, n: bool| QueryOrder { expr: i.expr.clone(), descending: d, nulls_first: n };
            for i in query.items.clone() {
                let (d, n) = (self.dice.one_in(2), self.dice.one_in(2));
                query.order.push(order(&i, d, n));
            }
            query.limit = Some(self.dice.below(8) as u64);
        }
        query
    }

    /// A source and its columns.
    fn source(&mut self, depth: usize) -> (QuerySource, Vec<QueryExpr>) {
        match self.dice.below(if depth == 0 { 1 } else { 6 }) {
            0..=2 => {
                let alias = self.alias();
                let columns =
                    self.columns.iter().map(|i| column(self.table, &alias, self.table.schema.field(*i).name()));
                (source(self.table, &alias), columns.collect())
            }
            3 => {
                let query = self.block(depth - 1);
                let alias = self.alias();
                let columns = query.items.iter().map(|i| derived(&alias, i)).collect();
                (QuerySource::Query { query: Box::new(query), alias }, columns)
            }
            _ => {
                let ((left, a), (right, b)) = (self.source(depth - 1), self.source(depth - 1));
                let kinds = [
                    QueryJoin::Inner,
                    QueryJoin::Inner,
                    QueryJoin::Left,
                    QueryJoin::Full,
                    QueryJoin::Semi,
                    QueryJoin::Anti,
                ];
                let kind = self.dice.pick(&kinds);
                let mut on = vec![];
                for x in &a {
                    if let Some(y) = b.iter().find(|y| y.data_type() == x.data_type())
                        && (on.is_empty() || self.dice.one_in(3))
                    {
                        on.push(compare(CompareOp::Eq, x.clone(), y.clone()));
                    }
                }
                let both = [a.clone(), b].concat();
                if kind != QueryJoin::Full && self.dice.one_in(3) {
                    on.push(self.condition(&both, 1));
                }
                let semi = matches!(kind, QueryJoin::Semi | QueryJoin::Anti);
                (join(left, right, kind, on), if semi { a } else { both })
            }
        }
    }

    fn literal(&mut self, ty: &DataType) -> Option<QueryExpr> {
        let fits = |i: &usize| self.table.schema.field(*i).data_type() == ty;
        let all: Vec<Literal> =
            (0..self.constants.len()).filter(fits).flat_map(|i| self.constants[i].iter().cloned()).collect();
        (!all.is_empty()).then(|| constant(&self.dice.pick(&all), ty))
    }

    fn condition(&mut self, columns: &[QueryExpr], depth: usize) -> QueryExpr {
        if depth > 0 && self.dice.one_in(2) {
            let (a, b) = (self.condition(columns, depth - 1), self.condition(columns, depth - 1));
            return match self.dice.below(3) {
                0 => QueryExpr::And(vec![a, b]),
                1 => QueryExpr::Or(vec![a, b]),
                _ => QueryExpr::Not(Box::new(a)),
            };
        }
        let x = self.value(columns, None, depth);
        let ty = x.data_type();
        let negated = self.dice.one_in(3);
        match (self.dice.below(5), self.literal(&ty)) {
            (0, Some(l)) => {
                let mut list = vec![l];
                list.extend(self.literal(&ty));
                if self.dice.one_in(4) {
                    list.push(null(&ty));
                }
                QueryExpr::In { expr: Box::new(x), list, negated }
            }
            (1, _) if ty == DataType::Utf8 => {
                let pattern = self.dice.pick(&["a%", "%a%", "_", "%é", "%\\%%", "%"]).to_string();
                QueryExpr::Like { expr: Box::new(x), pattern, negated }
            }
            (2, _) => {
                let y = self.value(columns, Some(&ty), depth);
                compare(self.dice.pick(&OPS), x, y)
            }
            (3 | 4, Some(l)) => compare(self.dice.pick(&OPS), x, l),
            _ => is_null(x, negated),
        }
    }

    /// Of type `ty`, where there is one.
    fn value(&mut self, columns: &[QueryExpr], ty: Option<&DataType>, depth: usize) -> QueryExpr {
        let fit: Vec<QueryExpr> = columns.iter().filter(|c| ty.is_none_or(|t| c.data_type() == *t)).cloned().collect();
        let x = match (fit.is_empty(), ty) {
            (false, _) => self.dice.pick(&fit),
            (true, Some(t)) => return self.literal(t).unwrap_or_else(|| null(t)),
            (true, None) => return constant(&Literal::Int(1), &DataType::Int64),
        };
        let t = x.data_type();
        if depth == 0 || self.dice.one_in(2) {
            return x;
        }
        match (self.dice.below(3), &t) {
            (0, DataType::Utf8) => {
                let (start, length) = self.dice.pick(&[(1, Some(1)), (2, None), (1, Some(2))]);
                QueryExpr::Substring { expr: Box::new(x), start, length }
            }
            (1, DataType::Decimal128(p, s)) if ty.is_none() && *s * 2 <= 38 => {
                let y = self.value(columns, Some(&t), 0);
                let (op, ty) = match self.dice.below(2) {
                    0 => (QueryArithmetic::Multiply, DataType::Decimal128((2 * p + 1).min(38), 2 * s)),
                    _ => (QueryArithmetic::Subtract, DataType::Decimal128((p + 1).min(38), *s)),
                };
                QueryExpr::Arithmetic { op, left: Box::new(x), right: Box::new(y), ty }
            }
            (0 | 1, _) => {
                let branches = vec![(self.condition(columns, depth - 1), x)];
                let otherwise = match self.dice.below(3) {
                    0 => None,
                    1 => Some(Box::new(self.value(columns, Some(&t), 0))),
                    _ => self.literal(&t).map(Box::new),
                };
                QueryExpr::Case { branches, otherwise, ty: t }
            }
            _ => x,
        }
    }

    fn aggregate(&mut self, columns: &[QueryExpr]) -> QueryExpr {
        let x = self.value(columns, None, 1);
        let summable = matches!(x.data_type(), DataType::Decimal128(..)) || x.data_type().is_integer();
        let mut functions = vec![F::Count, F::Min, F::Max];
        if summable {
            functions.push(F::Sum);
        }
        let function = self.dice.pick(&functions);
        let distinct = matches!(function, F::Count | F::Sum) && self.dice.one_in(3);
        let mut out = aggregate(function, Some(x), distinct);
        if let QueryExpr::Aggregate(a) = &mut out
            && self.dice.one_in(4)
        {
            a.filter = Some(Box::new(self.condition(columns, 1)));
        }
        out
    }
}

fn named(name: &str, expr: QueryExpr) -> QueryItem {
    match &expr {
        QueryExpr::Column(_) => item(name, expr),
        e => QueryItem { field: Arc::new(Field::new(name, e.data_type(), true)), expr },
    }
}

fn derived(alias: &str, i: &QueryItem) -> QueryExpr {
    let info = match &i.expr {
        QueryExpr::Column(c) => c.info.clone(),
        _ => None,
    };
    QueryExpr::Column(QueryColumn { source: alias.into(), name: i.field.name().clone(), field: i.field.clone(), info })
}
