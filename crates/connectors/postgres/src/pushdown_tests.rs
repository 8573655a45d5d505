//! The rule table: for each kind of column, what is sent and how well it holds.

use super::*;
use arrow::datatypes::SchemaRef;
use std::sync::Arc;
use xdb_core::{Relation, RelationKind};

fn column(name: &str, kind: Kind, binary_equality: bool) -> (Field, ColumnInfo) {
    let info = ColumnInfo {
        name: name.into(),
        source_type: kind.to_string(),
        nullable: true,
        collation: None,
        binary_equality,
        comment: None,
    };
    (kind.field(name, true, &kind.to_string()), info)
}

fn table() -> TableInfo {
    let (fields, columns): (Vec<_>, Vec<_>) = [
        column("i", Kind::Int4, true),
        column("n", Kind::Numeric(10, 2), true),
        column("b", Kind::Bool, true),
        column("t", Kind::Text, true),
        column("ci", Kind::Text, false),
        column("c", Kind::Char, true),
        column("e", Kind::Label, true),
        column("f", Kind::Float8, true),
        column("r", Kind::Float4, true),
        column("u", Kind::Uuid, true),
        column("d", Kind::Date, true),
        column("ts", Kind::Timestamp, true),
        column("tz", Kind::TimestampTz, true),
        column("x", Kind::Cast, false),
        column("j", Kind::Jsonb, false),
        column("by", Kind::Bytea, true),
        column("l", Kind::List(Box::new(Kind::Int4)), true),
    ]
    .into_iter()
    .unzip();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    TableInfo {
        relation: Relation::bare("t"),
        kind: RelationKind::Table,
        schema,
        columns,
        primary_key: vec![],
        row_estimate: None,
        bytes_estimate: None,
    }
}

fn cmp(column: &str, op: CompareOp, value: Literal) -> Predicate {
    Predicate::Compare { column: column.into(), op, value }
}
fn text(t: &str) -> Literal {
    Literal::Utf8(t.into())
}
fn one_of(column: &str, values: Vec<Literal>, negated: bool) -> Predicate {
    Predicate::In { column: column.into(), values, negated }
}
fn starts(column: &str, prefix: &str) -> Predicate {
    Predicate::StartsWith { column: column.into(), prefix: prefix.into(), negated: false }
}
fn null(column: &str) -> Predicate {
    Predicate::IsNull { column: column.into(), negated: false }
}

fn exact(p: Predicate, sql: &str) {
    assert_eq!(render(&table(), &p, TypePolicy::Exact), Exact(sql.into()), "{p:?}");
    assert_eq!(answer(&table(), &p), Pushdown::Exact);
}
fn inexact(p: Predicate, sql: &str) {
    assert_eq!(render(&table(), &p, TypePolicy::Exact), Inexact(sql.into()), "{p:?}");
}
fn refused(p: Predicate) {
    assert!(matches!(answer(&table(), &p), Pushdown::No(_)), "{p:?}: {:?}", answer(&table(), &p));
}

const UUID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

#[test]
fn plain_types_are_exact() {
    use CompareOp::*;
    exact(cmp("i", Gt, Literal::Int(-5)), r#""i" > (-5)"#);
    exact(cmp("n", LtEq, Literal::Decimal { value: 150, scale: 2 }), r#""n" <= 1.50::numeric"#);
    exact(cmp("b", Eq, Literal::Bool(true)), r#""b" = TRUE"#);
    exact(cmp("d", Lt, Literal::Date(9131)), r#""d" < DATE '1995-01-01'"#);
    exact(cmp("ts", GtEq, Literal::Timestamp { micros: 0, utc: false }), r#""ts" >= TIMESTAMP '1970-01-01 00:00:00'"#);
    exact(
        cmp("tz", GtEq, Literal::Timestamp { micros: 0, utc: true }),
        r#""tz" >= TIMESTAMPTZ '1970-01-01 00:00:00+00:00'"#,
    );
    exact(cmp("by", Eq, Literal::Binary(vec![1])), r#""by" = '\x01'::bytea"#);
    exact(cmp("u", Lt, text(UUID)), &format!(r#""u" < '{UUID}'::uuid"#));
    exact(one_of("i", vec![Literal::Int(1), Literal::Int(2)], true), r#""i" NOT IN (1, 2)"#);
    exact(null("i"), r#"("i") IS NULL"#);
    exact(null("l"), r#"("l") IS NULL"#);
    exact(null("x"), r#"("x"::text) IS NULL"#);
}

#[test]
fn text_is_compared_by_bytes() {
    use CompareOp::*;
    exact(cmp("t", Eq, text("a'b")), r#""t" = 'a''b'::text"#);
    exact(cmp("t", NotEq, text("a")), r#""t" <> 'a'::text"#);
    exact(cmp("t", Lt, text("a")), r#""t" COLLATE "C" < 'a'::text"#);
    exact(starts("t", "50%_\\"), r#""t" COLLATE "C" LIKE '50\%\_\\%'::text"#);
    // A collation for which different texts are equal gives too many for =, too few for <>.
    inexact(cmp("ci", Eq, text("a")), r#""ci" = 'a'::text"#);
    refused(cmp("ci", NotEq, text("a")));
    inexact(one_of("ci", vec![text("a")], false), r#""ci" IN ('a'::text)"#);
    refused(one_of("ci", vec![text("a")], true));
    exact(cmp("ci", Gt, text("a")), r#""ci" COLLATE "C" > 'a'::text"#);
    refused(Predicate::Not(Box::new(cmp("ci", Eq, text("a")))));
    // enums, citext: by their text.
    exact(cmp("e", Eq, text("no such label")), r#""e"::text = 'no such label'::text"#);
    exact(cmp("e", Lt, text("a")), r#""e"::text COLLATE "C" < 'a'::text"#);
}

#[test]
fn padding_does_not_count() {
    use CompareOp::*;
    exact(cmp("c", Eq, text("ab")), r#""c" = 'ab'::bpchar"#);
    refused(cmp("c", Eq, text("ab ")));
    refused(one_of("c", vec![text("a"), text("b ")], false));
    exact(cmp("c", Lt, text("ab")), r#""c"::text COLLATE "C" < 'ab'::text"#);
    exact(starts("c", "a"), r#""c"::text COLLATE "C" LIKE 'a%'::text"#);
}

#[test]
fn floats_without_surprises_only() {
    use CompareOp::*;
    exact(cmp("f", Gt, Literal::Float(1.5)), r#""f" > '1.5e0'::double precision"#);
    exact(cmp("f", Lt, Literal::Float(f64::INFINITY)), r#""f" < 'Infinity'::double precision"#);
    inexact(cmp("f", Eq, Literal::Float(-0.0)), r#""f" = '-0e0'::double precision"#);
    refused(cmp("f", Lt, Literal::Float(0.0)));
    refused(cmp("f", NotEq, Literal::Float(0.0)));
    refused(one_of("f", vec![Literal::Float(0.0)], true));
    // 0.1 is no real: comparing would be done in doubles.
    refused(cmp("r", Eq, Literal::Float(0.1)));
    exact(cmp("r", Eq, Literal::Float(0.5)), r#""r" = '5e-1'::real"#);
}

#[test]
fn what_is_read_as_text_or_cannot_be_written_stays() {
    use CompareOp::*;
    refused(cmp("x", Eq, text("10.0.0.1")));
    refused(cmp("j", Eq, text("{}")));
    refused(starts("u", "a0"));
    refused(cmp("u", Eq, text("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11")));
    refused(cmp("u", Eq, text("not a uuid")));
    refused(cmp("t", Eq, text("a\0b")));
    refused(cmp("d", Eq, Literal::Date(i32::MAX)));
    refused(cmp("ts", Eq, Literal::Timestamp { micros: 0, utc: true }));
    refused(cmp("i", Eq, text("1")));
    refused(cmp("nope", Eq, Literal::Int(1)));
}

#[test]
fn combinations_keep_only_what_they_may() {
    use CompareOp::*;
    let good = || cmp("i", Eq, Literal::Int(1));
    let bad = || cmp("x", Eq, text("a"));
    let loose = || cmp("ci", Eq, text("a"));
    exact(Predicate::And(vec![good(), null("t")]), r#"("i" = 1 AND ("t") IS NULL)"#);
    inexact(Predicate::And(vec![good(), bad()]), r#"("i" = 1)"#);
    refused(Predicate::And(vec![bad()]));
    refused(Predicate::Or(vec![good(), bad()]));
    inexact(Predicate::Or(vec![good(), loose()]), r#"("i" = 1 OR "ci" = 'a'::text)"#);
    exact(Predicate::Not(Box::new(Predicate::Or(vec![good()]))), r#"NOT (("i" = 1))"#);
    refused(Predicate::Not(Box::new(Predicate::And(vec![good(), bad()]))));
    exact(Predicate::And(vec![]), "TRUE");
    exact(Predicate::Or(vec![]), "FALSE");
}

#[test]
fn lossy_filters_see_what_lossy_reading_gives() {
    let sql = |p: &Predicate| match render(&table(), p, TypePolicy::Lossy) {
        Exact(s) => s,
        other => panic!("{other:?}"),
    };
    assert_eq!(sql(&null("d")), r#"(CASE WHEN isfinite("d") THEN "d" END) IS NULL"#);
    let p = cmp("n", CompareOp::Gt, Literal::Int(1));
    assert_eq!(sql(&p), r#"CASE WHEN abs(round("n", 2)) < 1e8 THEN round("n", 2) END > 1"#);
}

#[test]
fn another_encoding_has_another_order() {
    let mut t = table();
    let fields: Vec<Field> = t
        .schema
        .fields()
        .iter()
        .map(|f| {
            let mut m = f.metadata().clone();
            m.insert(ENCODING_KEY.into(), "EUC_JP".into());
            f.as_ref().clone().with_metadata(m)
        })
        .collect();
    t.schema = Arc::new(Schema::new(fields));
    assert!(matches!(answer(&t, &cmp("t", CompareOp::Lt, text("a"))), Pushdown::No(_)));
    assert_eq!(answer(&t, &cmp("t", CompareOp::Eq, text("a"))), Pushdown::Exact);
}
