//! The SQL of whole queries; what their rows are is tests/queries.rs' business.

use super::*;
use arrow::datatypes::Schema;
use std::sync::Arc;
use xdb_core::{
    AggregateFunction as F, ColumnInfo, CompareOp, Query, QueryArithmetic, QueryExpr, QueryItem, QueryJoin, QueryOrder,
    QuerySource, Relation, RelationKind,
};
use xdb_sql::query::render;
use xdb_testkit::queries::{aggregate, column, item, over_all, source};

fn table() -> Arc<TableInfo> {
    let all = [
        ("id", Kind::Int4, None),
        ("n", Kind::Int8, None),
        ("price", Kind::Numeric(15, 2), None),
        ("name", Kind::Text, Some("default")),
        ("other", Kind::Text, Some("de_DE")),
        ("code", Kind::Char, Some("default")),
        ("day", Kind::Date, None),
        ("f", Kind::Float8, None),
        ("x", Kind::Cast, None),
    ];
    let columns = all.iter().map(|(n, k, c)| ColumnInfo {
        name: n.to_string(),
        source_type: k.to_string(),
        nullable: true,
        collation: c.map(Into::into),
        binary_equality: *k != Kind::Cast,
        comment: None,
    });
    Arc::new(TableInfo {
        relation: Relation::new(None, Some("s"), "T"),
        kind: RelationKind::Table,
        columns: columns.collect(),
        schema: Arc::new(Schema::new(all.iter().map(|(n, k, _)| k.field(n, true, "x")).collect::<Vec<_>>())),
        primary_key: vec![],
        row_estimate: None,
        bytes_estimate: None,
    })
}
fn sql(q: &Query) -> String {
    render(q, &Queries).map_or_else(|why| format!("refused: {why}"), |r| r.sql)
}
fn col(name: &str) -> QueryExpr {
    column(&table(), "t", name)
}
fn compare(op: CompareOp, left: QueryExpr, right: QueryExpr) -> QueryExpr {
    QueryExpr::Compare { op, left: Box::new(left), right: Box::new(right) }
}
fn grouped(groups: Vec<QueryExpr>, items: Vec<QueryItem>) -> Query {
    Query { groups: Some(groups), ..over_all(&table(), items) }
}

#[test]
fn a_grouped_block() {
    let part = QueryExpr::Like { expr: Box::new(col("name")), pattern: "%a_".into(), negated: false };
    let total = aggregate(F::Sum, Some(col("n")), false);
    let q = Query {
        filter: vec![part],
        having: vec![compare(
            CompareOp::Gt,
            total.clone(),
            QueryExpr::Literal { value: Literal::Int(5), ty: DataType::Int64 },
        )],
        order: vec![QueryOrder { expr: total.clone(), descending: true, nulls_first: false }],
        limit: Some(10),
        ..grouped(vec![col("code")], vec![item("code", col("code")), item("Total", total)])
    };
    assert_eq!(
        sql(&q),
        "SELECT \"t\".\"code\", sum(\"t\".\"n\")::bigint FROM \"s\".\"T\" AS \"t\" \
         WHERE ((\"t\".\"name\" COLLATE \"C\") LIKE '%a_'::text) GROUP BY \"t\".\"code\" \
         HAVING (sum(\"t\".\"n\")::bigint > 5::bigint) ORDER BY sum(\"t\".\"n\")::bigint DESC NULLS LAST LIMIT 10"
    );
}

#[test]
fn texts_are_compared_by_bytes() {
    let min = |c| sql(&grouped(vec![], vec![item("x", aggregate(F::Min, Some(col(c)), false))]));
    assert_eq!(min("name"), "SELECT min((\"t\".\"name\" COLLATE \"C\")) AS \"x\" FROM \"s\".\"T\" AS \"t\"");
    assert_eq!(min("code"), "SELECT min((\"t\".\"code\"::text COLLATE \"C\")) AS \"x\" FROM \"s\".\"T\" AS \"t\"");
    let both = |a, b| {
        let q = over_all(&table(), vec![]);
        sql(&Query { filter: vec![compare(CompareOp::Eq, col(a), col(b))], ..q })
    };
    let from = "SELECT FROM \"s\".\"T\" AS \"t\" WHERE";
    assert_eq!(both("name", "name"), format!("{from} (\"t\".\"name\" = \"t\".\"name\")"));
    assert_eq!(
        both("name", "other"),
        format!("{from} ((\"t\".\"name\" COLLATE \"C\") = (\"t\".\"other\" COLLATE \"C\"))")
    );
}

#[test]
fn semi_joins_become_exists() {
    let t = table();
    let on = compare(CompareOp::Eq, column(&t, "t", "id"), column(&t, "u", "id"));
    let join = |kind| QuerySource::Join {
        left: Box::new(source(&t, "t")),
        right: Box::new(source(&t, "u")),
        kind,
        on: vec![on.clone()],
    };
    let q = |kind| sql(&Query::over(join(kind), vec![item("id", column(&t, "t", "id"))]));
    assert_eq!(
        q(QueryJoin::Anti),
        "SELECT \"t\".\"id\" FROM \"s\".\"T\" AS \"t\" \
         WHERE NOT EXISTS (SELECT 1 FROM \"s\".\"T\" AS \"u\" WHERE (\"t\".\"id\" = \"u\".\"id\"))"
    );
    assert_eq!(
        q(QueryJoin::Full),
        "SELECT \"t\".\"id\" FROM \"s\".\"T\" AS \"t\" FULL JOIN \"s\".\"T\" AS \"u\" ON (\"t\".\"id\" = \"u\".\"id\")"
    );
}

#[test]
fn refusals_name_their_rule() {
    let q = |e: QueryExpr| sql(&over_all(&table(), vec![item("x", e)]));
    let n = || Box::new(col("n"));
    let add = |ty| QueryExpr::Arithmetic { op: QueryArithmetic::Add, left: n(), right: n(), ty };
    assert_eq!(q(add(DataType::Int64)), "refused: integer arithmetic that might overflow");
    assert_eq!(
        sql(&grouped(vec![col("f")], vec![item("f", col("f"))])),
        "refused: floats: -0 equals 0 there, and NaN has another place"
    );
    let cast = QueryExpr::Cast { expr: Box::new(col("name")), ty: DataType::Int32 };
    assert_eq!(q(cast), "refused: a cast from Utf8 to Int32");
}

#[test]
fn other_columns_are_read_as_a_table_is() {
    assert_eq!(
        sql(&over_all(&table(), vec![item("x", col("x"))])),
        "SELECT \"t\".\"x\"::text FROM \"s\".\"T\" AS \"t\""
    );
    assert_eq!(
        sql(&grouped(vec![col("x")], vec![item("x", col("x"))])),
        "SELECT (\"t\".\"x\"::text COLLATE \"C\") AS \"x\" FROM \"s\".\"T\" AS \"t\" GROUP BY (\"t\".\"x\"::text COLLATE \"C\")"
    );
}
