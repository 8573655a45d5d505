//! The SQL of whole queries; what their rows are is tests/queries.rs' business.

use super::*;
use arrow::datatypes::Schema;
use std::sync::Arc;
use xdb_core::{AggregateFunction as F, Query, QueryExpr, QueryItem, QueryOrder, Relation, RelationKind};
use xdb_sql::query::render;
use xdb_testkit::queries::{aggregate, column, item, over_all};

fn table() -> Arc<TableInfo> {
    let all = [
        ("id", DataType::Int32, "int(11)", None),
        ("n", DataType::Int64, "bigint(20)", None),
        ("u", DataType::UInt64, "bigint(20) unsigned", None),
        ("price", DataType::Decimal128(15, 2), "decimal(15,2)", None),
        ("name", DataType::Utf8, "varchar(25)", Some("utf8mb4_general_ci")),
        ("note", DataType::Utf8, "longtext", Some("utf8mb4_general_ci")),
        ("day", DataType::Date32, "date", None),
        ("f", DataType::Float64, "double", None),
    ];
    let columns = all.iter().map(|(n, _, s, c)| ColumnInfo {
        name: n.to_string(),
        source_type: s.to_string(),
        nullable: true,
        collation: c.map(Into::into),
        binary_equality: false,
        comment: None,
    });
    let fields = all.iter().map(|(n, t, s, _)| crate::types::field(n, t.clone(), true, s));
    Arc::new(TableInfo {
        relation: Relation::new(None, Some("db"), "T"),
        kind: RelationKind::Table,
        columns: columns.collect(),
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
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
fn text(t: &str) -> QueryExpr {
    QueryExpr::Literal { value: Literal::Utf8(t.into()), ty: DataType::Utf8 }
}
fn filtered(e: QueryExpr) -> String {
    let q = Query { filter: vec![e], ..over_all(&table(), vec![]) };
    sql(&q).replace("SELECT 1 FROM `db`.`T` AS `t` WHERE ", "")
}
fn grouped(groups: Vec<QueryExpr>, items: Vec<QueryItem>) -> Query {
    Query { groups: Some(groups), ..over_all(&table(), items) }
}
fn compare(op: CompareOp, left: QueryExpr, right: QueryExpr) -> QueryExpr {
    QueryExpr::Compare { op, left: Box::new(left), right: Box::new(right) }
}

#[test]
fn text_is_compared_by_bytes() {
    let bytes = "CAST(CONVERT(`t`.`name` USING utf8mb4) AS BINARY)";
    assert_eq!(
        filtered(compare(CompareOp::Eq, col("name"), text("a"))),
        format!("(`t`.`name` = 'a' AND {bytes} = CAST('a' AS BINARY))")
    );
    assert_eq!(
        filtered(compare(CompareOp::NotEq, col("name"), text("a"))),
        format!("({bytes} <> CAST('a' AS BINARY))")
    );
    assert_eq!(
        filtered(QueryExpr::In { expr: Box::new(col("name")), list: vec![text("a"), text("b")], negated: false }),
        format!("(`t`.`name` IN ('a', 'b') AND {bytes} IN (CAST('a' AS BINARY), CAST('b' AS BINARY)))")
    );
    assert_eq!(
        filtered(QueryExpr::Like { expr: Box::new(col("name")), pattern: "%a\\%".into(), negated: true }),
        "(CONVERT(`t`.`name` USING utf8mb4) COLLATE utf8mb4_bin NOT LIKE '%a\\\\%')"
    );
}

#[test]
fn groups_and_order() {
    let total = aggregate(F::Sum, Some(col("n")), false);
    let q = Query {
        order: vec![QueryOrder { expr: total.clone(), descending: true, nulls_first: true }],
        limit: Some(3),
        ..grouped(vec![col("name")], vec![item("name", col("name")), item("total", total)])
    };
    assert_eq!(
        sql(&q),
        "SELECT MIN(CONVERT(`t`.`name` USING utf8mb4)) AS `name`, sum(`t`.`n`) AS `total` FROM `db`.`T` AS `t` \
         GROUP BY CAST(CONVERT(`t`.`name` USING utf8mb4) AS BINARY) \
         ORDER BY (sum(`t`.`n`) IS NULL) DESC, sum(`t`.`n`) DESC LIMIT 3"
    );
}

#[test]
fn refusals_name_their_rule() {
    let group = |c| sql(&grouped(vec![col(c)], vec![item(c, col(c))]));
    assert_eq!(group("note"), "refused: the server sorts long values by their first bytes only");
    assert!(group("f").starts_with("refused: floats"));
    let sum = |c| sql(&grouped(vec![], vec![item("x", aggregate(F::Sum, Some(col(c)), false))]));
    assert_eq!(sum("u"), "refused: unsigned integers follow rules of their own there");
    assert_eq!(sum("price"), "SELECT sum(`t`.`price`) AS `x` FROM `db`.`T` AS `t`");
    let int = QueryExpr::Cast { expr: Box::new(col("price")), ty: DataType::Int64 };
    let q = over_all(&table(), vec![item("x", int)]);
    assert_eq!(sql(&q), "refused: a cast from Decimal128(15, 2) to Int64");
}
