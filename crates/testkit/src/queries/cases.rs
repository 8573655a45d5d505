//! The list of queries: every use of every column, with constants out of the column itself.

use super::build::*;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, TimeUnit};
use std::sync::Arc;
use xdb_core::{
    AggregateFunction, CompareOp, Literal, Query, QueryArithmetic, QueryColumn, QueryDatePart, QueryExpr, QueryItem,
    QueryJoin, QueryOrder, QuerySource, TableInfo,
};

struct Cases<'a> {
    table: &'a Arc<TableInfo>,
    out: Vec<(String, Query)>,
}

pub(super) fn of(table: &Arc<TableInfo>, batch: &RecordBatch) -> Vec<(String, Query)> {
    let mut c = Cases { table, out: vec![] };
    for (field, values) in table.schema.fields().iter().zip(batch.columns()) {
        let name = field.name();
        let constants = constants_of(values, 12);
        c.conditions(name, &constants);
        c.aggregates(name);
        c.orders(name);
        c.joins(name);
        c.expressions(name, &constants);
    }
    for (i, a) in table.schema.fields().iter().enumerate() {
        for b in &table.schema.fields()[i + 1..] {
            if a.data_type() == b.data_type() && a.name() != "id" {
                c.pairs(a.name(), b.name());
            }
        }
    }
    c.shapes();
    c.out
}

impl Cases<'_> {
    fn col(&self, name: &str) -> QueryExpr {
        column(self.table, "t", name)
    }
    fn add(&mut self, label: impl Into<String>, q: Query) {
        self.out.push((label.into(), q));
    }
    fn filtered(&mut self, label: String, filter: QueryExpr) {
        let q = over_all(self.table, vec![item("id", self.col("id"))]);
        self.add(label, Query { filter: vec![filter], ..q });
    }
    fn grouped(&mut self, label: String, groups: Vec<QueryExpr>, items: Vec<QueryItem>) {
        let q = over_all(self.table, items);
        self.add(label, Query { groups: Some(groups), ..q });
    }
    fn computed(&mut self, label: String, e: QueryExpr) {
        let q = over_all(self.table, vec![item("id", self.col("id")), item("x", e)]);
        self.add(label, q);
    }

    fn conditions(&mut self, n: &str, constants: &[Literal]) {
        let x = self.col(n);
        let ty = x.data_type();
        self.add(
            format!("{n}: read"),
            over_all(
                self.table,
                vec![item("id", self.col("id")), item(n, x.clone())].into_iter().skip(usize::from(n == "id")).collect(),
            ),
        );
        for negated in [false, true] {
            self.filtered(format!("{n}: null {negated}"), is_null(x.clone(), negated));
        }
        for (i, l) in constants.iter().enumerate() {
            for op in OPS {
                self.filtered(format!("{n}: {} #{i}", op.sql()), compare(op, x.clone(), constant(l, &ty)));
            }
            let swapped = compare(CompareOp::Lt, constant(l, &ty), x.clone());
            self.filtered(format!("{n}: swapped #{i}"), QueryExpr::Not(Box::new(swapped)));
        }
        if constants.len() > 1 {
            let list: Vec<QueryExpr> = constants.iter().take(3).map(|l| constant(l, &ty)).collect();
            for negated in [false, true] {
                let within =
                    |list: &[QueryExpr]| QueryExpr::In { expr: Box::new(x.clone()), list: list.to_vec(), negated };
                self.filtered(format!("{n}: in {negated}"), within(&list));
                let with_null = [list.clone(), vec![null(&ty)]].concat();
                self.filtered(format!("{n}: null in {negated}"), within(&with_null));
            }
        }
        if ty == DataType::Utf8 {
            for p in [
                "%", "", "a%", "A%", "%a", "%a%", "_", "__", "a_", "%é%", "É%", "%\\%%", "%\\_%", "a\\b", "%\\\\%",
                "% ", "%😀%", "a", "%'%",
            ] {
                for negated in [false, true] {
                    let like = QueryExpr::Like { expr: Box::new(x.clone()), pattern: p.into(), negated };
                    self.filtered(format!("{n}: like {p} {negated}"), like);
                }
            }
        }
    }

    fn aggregates(&mut self, n: &str) {
        let x = self.col(n);
        let all = aggregate(AggregateFunction::Count, None, false);
        self.grouped(format!("{n}: group"), vec![x.clone()], vec![item("x", x.clone()), item("n", all.clone())]);
        self.grouped(format!("{n}: distinct"), vec![x.clone()], vec![item(n, x.clone())]);
        let q = over_all(self.table, vec![item("x", x.clone())]);
        let having = compare(CompareOp::Gt, all.clone(), constant(&Literal::Int(1), &DataType::Int64));
        self.add(format!("{n}: group having"), Query { groups: Some(vec![x.clone()]), having: vec![having], ..q });
        use AggregateFunction as F;
        for (name, f, distinct) in [
            ("count", F::Count, false),
            ("count distinct", F::Count, true),
            ("sum", F::Sum, false),
            ("sum distinct", F::Sum, true),
            ("min", F::Min, false),
            ("max", F::Max, false),
        ] {
            let a = aggregate(f, Some(x.clone()), distinct);
            self.grouped(format!("{n}: {name} all"), vec![], vec![item("x", a.clone())]);
            let parity = self.col("g");
            self.grouped(
                format!("{n}: {name} by g"),
                vec![parity.clone()],
                vec![item("g", parity), item("x", a.clone())],
            );
            if let QueryExpr::Aggregate(mut a) = a {
                a.filter = Some(Box::new(compare(
                    CompareOp::Gt,
                    self.col("id"),
                    constant(&Literal::Int(3), &self.col("id").data_type()),
                )));
                self.grouped(format!("{n}: {name} filtered"), vec![], vec![item("x", QueryExpr::Aggregate(a))]);
            }
        }
    }

    fn orders(&mut self, n: &str) {
        for (descending, nulls_first) in [(false, false), (false, true), (true, false), (true, true)] {
            for limit in [1, 4, 1000] {
                let q = over_all(self.table, vec![item("x", self.col(n))]);
                let order = vec![QueryOrder { expr: self.col(n), descending, nulls_first }];
                self.add(
                    format!("{n}: order {descending} {nulls_first} {limit}"),
                    Query { order, limit: Some(limit), ..q },
                );
            }
        }
    }

    fn joins(&mut self, n: &str) {
        for kind in [QueryJoin::Inner, QueryJoin::Left, QueryJoin::Full, QueryJoin::Semi, QueryJoin::Anti] {
            let on = compare(CompareOp::Eq, column(self.table, "t", n), column(self.table, "u", n));
            let mut items = vec![item("a", column(self.table, "t", "id"))];
            if !matches!(kind, QueryJoin::Semi | QueryJoin::Anti) {
                items.push(item("b", column(self.table, "u", "id")));
            }
            let from = join(source(self.table, "t"), source(self.table, "u"), kind, vec![on]);
            self.add(format!("{n}: join {kind:?}"), Query::over(from, items));
        }
    }

    fn expressions(&mut self, n: &str, constants: &[Literal]) {
        let x = self.col(n);
        let ty = x.data_type();
        match &ty {
            DataType::Utf8 => {
                for (start, length) in [(1, Some(1)), (2, None), (1, Some(3)), (3, Some(100))] {
                    let s = QueryExpr::Substring { expr: Box::new(x.clone()), start, length };
                    self.computed(format!("{n}: substring {start} {length:?}"), s.clone());
                    self.grouped(
                        format!("{n}: group substring {start} {length:?}"),
                        vec![s.clone()],
                        vec![item("x", s)],
                    );
                }
                // A subquery that compares by other rules than the outer column's collation: none of its answers may be
                // another row's.
                let first = QueryExpr::Substring { expr: Box::new(x.clone()), start: 1, length: Some(1) };
                let inner = item("x", first);
                let first = QueryExpr::Column(QueryColumn {
                    source: "q".into(),
                    name: "x".into(),
                    field: inner.field.clone(),
                    info: None,
                });
                let inner =
                    QuerySource::Query { query: Box::new(over_all(self.table, vec![inner])), alias: "q".into() };
                let on = compare(CompareOp::Eq, column(self.table, "u", n), first);
                let from = join(source(self.table, "u"), inner, QueryJoin::Semi, vec![on]);
                let query = Query::over(from, vec![item("id", column(self.table, "u", "id"))]);
                self.add(format!("{n}: first letters"), query);
            }
            DataType::Date32 | DataType::Timestamp(_, None) => {
                for part in [QueryDatePart::Year, QueryDatePart::Month, QueryDatePart::Day] {
                    let p = QueryExpr::DatePart { part, expr: Box::new(x.clone()), ty: DataType::Int32 };
                    self.computed(format!("{n}: part {part:?}"), p.clone());
                    self.grouped(
                        format!("{n}: group part {part:?}"),
                        vec![p.clone()],
                        vec![item("x", p), item("n", aggregate(AggregateFunction::Count, None, false))],
                    );
                }
                self.computed(
                    format!("{n}: to timestamp"),
                    cast(x.clone(), DataType::Timestamp(TimeUnit::Microsecond, None)),
                );
            }
            t if t.is_integer() => {
                for to in [
                    DataType::Int64,
                    DataType::Int32,
                    DataType::Decimal128(20, 0),
                    DataType::Decimal128(12, 2),
                    DataType::Utf8,
                ] {
                    if to != ty {
                        self.computed(format!("{n}: to {to}"), cast(x.clone(), to));
                    }
                }
                let one = constant(&Literal::Int(1), &ty);
                for op in [QueryArithmetic::Add, QueryArithmetic::Multiply] {
                    let e = QueryExpr::Arithmetic {
                        op,
                        left: Box::new(x.clone()),
                        right: Box::new(one.clone()),
                        ty: ty.clone(),
                    };
                    self.computed(format!("{n}: int {op:?}"), e);
                }
            }
            DataType::Decimal128(p, s) => {
                for to in [
                    DataType::Decimal128(38, *s),
                    DataType::Decimal128((*p + 2).min(38), *s + 1),
                    DataType::Decimal128((*p).max(2), 1),
                ] {
                    if to != ty {
                        self.computed(format!("{n}: to {to}"), cast(x.clone(), to));
                    }
                }
                let (p, s) = (*p, *s);
                for op in [QueryArithmetic::Add, QueryArithmetic::Subtract, QueryArithmetic::Multiply] {
                    let out = match op {
                        QueryArithmetic::Multiply => DataType::Decimal128((p + p + 1).min(38), s + s),
                        _ => DataType::Decimal128((p + 1).min(38), s),
                    };
                    let e =
                        QueryExpr::Arithmetic { op, left: Box::new(x.clone()), right: Box::new(x.clone()), ty: out };
                    self.computed(format!("{n}: decimal {op:?}"), e.clone());
                    let total = aggregate(AggregateFunction::Sum, Some(e), false);
                    self.grouped(format!("{n}: sum of decimal {op:?}"), vec![], vec![item("x", total)]);
                }
                // 1 - x, and (1 - x) * x, as prices are discounted.
                let one = constant(&Literal::Decimal { value: 1, scale: 0 }, &DataType::Decimal128(20, 0));
                let rest = QueryExpr::Arithmetic {
                    op: QueryArithmetic::Subtract,
                    left: Box::new(one),
                    right: Box::new(x.clone()),
                    ty: DataType::Decimal128((20.max(p - s as u8) + s as u8 + 1).min(38), s),
                };
                self.computed(format!("{n}: decimal rest"), rest);
            }
            _ => {}
        }
        if let Some(l) = constants.first() {
            let when = compare(CompareOp::Gt, self.col("id"), constant(&Literal::Int(4), &self.col("id").data_type()));
            for otherwise in [None, Some(Box::new(constant(l, &ty)))] {
                let case = QueryExpr::Case { branches: vec![(when.clone(), x.clone())], otherwise, ty: ty.clone() };
                self.computed(format!("{n}: case"), case.clone());
                self.grouped(format!("{n}: group case"), vec![case.clone()], vec![item("x", case.clone())]);
                for f in [AggregateFunction::Sum, AggregateFunction::Max, AggregateFunction::Count] {
                    let a = aggregate(f, Some(case.clone()), false);
                    self.grouped(format!("{n}: {f:?} of case"), vec![], vec![item("x", a)]);
                }
            }
        }
    }

    /// Two columns of one type.
    fn pairs(&mut self, a: &str, b: &str) {
        let (x, y) = (self.col(a), self.col(b));
        let ty = x.data_type();
        for op in OPS {
            self.filtered(format!("{a}, {b}: {}", op.sql()), compare(op, x.clone(), y.clone()));
        }
        let on = compare(CompareOp::Eq, column(self.table, "t", a), column(self.table, "u", b));
        let from = join(source(self.table, "t"), source(self.table, "u"), QueryJoin::Inner, vec![on]);
        let items = vec![item("a", column(self.table, "t", "id")), item("b", column(self.table, "u", "id"))];
        self.add(format!("{a}, {b}: join"), Query::over(from, items));
        let first = QueryExpr::Case {
            branches: vec![(is_null(x.clone(), true), x.clone())],
            otherwise: Some(Box::new(y.clone())),
            ty,
        };
        self.computed(format!("{a}, {b}: coalesce"), first.clone());
        self.grouped(format!("{a}, {b}: group coalesce"), vec![first.clone()], vec![item("x", first)]);
        let inputs = [x, y].map(|e| {
            let field = Field::new("x", e.data_type(), true);
            over_all(self.table, vec![QueryItem { field: Arc::new(field), expr: e }])
        });
        let ty = inputs[0].items[0].field.data_type().clone();
        let union = QuerySource::Union { inputs: inputs.to_vec(), alias: "u".into() };
        let x = QueryExpr::Column(QueryColumn {
            source: "u".into(),
            name: "x".into(),
            field: Arc::new(Field::new("x", ty, true)),
            info: None,
        });
        self.add(format!("{a}, {b}: union"), Query::over(union.clone(), vec![item("x", x.clone())]));
        let q =
            Query::over(union, vec![item("x", x.clone()), item("n", aggregate(AggregateFunction::Count, None, false))]);
        self.add(format!("{a}, {b}: group union"), Query { groups: Some(vec![x]), ..q });
    }

    /// Blocks in blocks, joins in joins, empty lists.
    fn shapes(&mut self) {
        let t = self.table;
        let count = || aggregate(AggregateFunction::Count, None, false);
        let id = |alias: &str| column(t, alias, "id");
        let id_ty = id("t").data_type();
        let n = |i: i64| constant(&Literal::Int(i), &id_ty);
        self.add("shape: count", Query { groups: Some(vec![]), ..over_all(t, vec![item("n", count())]) });
        self.add("shape: no columns", over_all(t, vec![]));
        self.add("shape: one row", Query { groups: Some(vec![]), ..over_all(t, vec![]) });
        let never = compare(CompareOp::Lt, id("t"), n(-1000));
        self.add(
            "shape: one row of none",
            Query { groups: Some(vec![]), filter: vec![never.clone()], ..over_all(t, vec![]) },
        );
        self.add("shape: constant column", over_all(t, vec![item("id", id("t")), item("one", n(1))]));
        let keys = vec![self.col("g"), n(1)];
        self.add(
            "shape: constant key",
            Query {
                groups: Some(keys.clone()),
                ..over_all(t, vec![item("g", keys[0].clone()), item("k", keys[1].clone())])
            },
        );
        self.add("shape: limit", Query { limit: Some(0), ..over_all(t, vec![item("id", id("t"))]) });
        let inner_items = vec![item("Group By", self.col("g")), item("n", count())];
        let inner = Query { groups: Some(vec![self.col("g")]), ..over_all(t, inner_items.clone()) };
        let out = |i: usize| {
            QueryExpr::Column(QueryColumn {
                source: "Q".into(),
                name: inner_items[i].field.name().clone(),
                field: inner_items[i].field.clone(),
                info: None,
            })
        };
        let from = QuerySource::Query { query: Box::new(inner.clone()), alias: "Q".into() };
        self.add("shape: nested", Query::over(from.clone(), vec![item("Group By", out(0)), item("n", out(1))]));
        let total = aggregate(AggregateFunction::Sum, Some(out(1)), false);
        self.add(
            "shape: sum of counts",
            Query { groups: Some(vec![]), ..Query::over(from.clone(), vec![item("n", total)]) },
        );
        let on = compare(CompareOp::Eq, self.col("g"), out(0));
        for kind in [QueryJoin::Inner, QueryJoin::Left, QueryJoin::Semi, QueryJoin::Anti] {
            let from = join(source(t, "t"), from.clone(), kind, vec![on.clone()]);
            self.add(format!("shape: join with groups {kind:?}"), Query::over(from, vec![item("id", id("t"))]));
        }
        // Semi joins below others, on both sides; another condition than equality.
        let small = |a: &str| compare(CompareOp::Lt, id(a), n(5));
        let differ = |a: &str, b: &str| compare(CompareOp::NotEq, id(a), id(b));
        for kind in [QueryJoin::Semi, QueryJoin::Anti] {
            let semi = |a: &str, b: &str| {
                join(
                    source(t, a),
                    source(t, b),
                    kind,
                    vec![compare(CompareOp::Eq, column(t, a, "g"), column(t, b, "g")), differ(a, b), small(b)],
                )
            };
            for outer in [QueryJoin::Inner, QueryJoin::Left, QueryJoin::Semi, QueryJoin::Anti] {
                let items = |two: bool| {
                    if two { vec![item("a", id("t")), item("b", id("u"))] } else { vec![item("a", id("t"))] }
                };
                let two = matches!(outer, QueryJoin::Inner | QueryJoin::Left);
                let on = vec![compare(CompareOp::Lt, id("t"), id("u"))];
                let right = join(source(t, "t"), semi("u", "v"), outer, on.clone());
                self.add(format!("shape: {outer:?} over {kind:?} right"), Query::over(right, items(two)));
                let left = join(semi("t", "v"), source(t, "u"), outer, on);
                self.add(format!("shape: {outer:?} over {kind:?} left"), Query::over(left, items(two)));
            }
        }
        let nested =
            join(source(t, "u"), source(t, "v"), QueryJoin::Inner, vec![compare(CompareOp::Eq, id("u"), id("v"))]);
        let on = vec![compare(CompareOp::Eq, column(t, "t", "g"), column(t, "u", "g")), small("v")];
        let from = join(source(t, "t"), nested, QueryJoin::Left, on);
        let query = Query::over(from, vec![item("a", id("t")), item("b", id("v"))]);
        let high = compare(CompareOp::Gt, id("t"), n(2));
        self.add(
            "shape: left join of a join",
            Query { filter: vec![QueryExpr::Or(vec![is_null(id("v"), false), high])], ..query },
        );
        let cross = join(source(t, "t"), source(t, "u"), QueryJoin::Inner, vec![]);
        self.add("shape: cross join", Query { groups: Some(vec![]), ..Query::over(cross, vec![item("n", count())]) });
        let left = join(source(t, "t"), source(t, "u"), QueryJoin::Left, vec![]);
        self.add(
            "shape: left cross join",
            Query { groups: Some(vec![]), ..Query::over(left, vec![item("n", count())]) },
        );
        let order = vec![QueryOrder { expr: count(), descending: true, nulls_first: false }];
        self.add("shape: top groups", Query { order, limit: Some(1000), ..inner });
        let limited = |k: u64| Query {
            order: vec![QueryOrder { expr: id("t"), descending: false, nulls_first: false }],
            limit: Some(k),
            ..over_all(t, vec![item("id", id("t"))])
        };
        let union = QuerySource::Union { inputs: vec![limited(2), limited(3)], alias: "U".into() };
        let x = QueryExpr::Column(QueryColumn {
            source: "U".into(),
            name: "id".into(),
            field: limited(1).items[0].field.clone(),
            info: None,
        });
        self.add("shape: union of limits", Query::over(union, vec![item("id", x)]));
    }
}
