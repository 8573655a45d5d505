//! Every type from the server into Arrow and back again.

use crate::common::{Db, column, read, texts};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, TimeUnit};
use xdb_core::types::SOURCE_TYPE_KEY;
use xdb_core::{ErrorKind, LogicalType, ScanRequest, TypePolicy, WriteMode};

/// (type, value in SQL, the Arrow type, how it looks in Arrow).
fn cases() -> Vec<(&'static str, &'static str, DataType, &'static str)> {
    use DataType as D;
    let ts = D::Timestamp(TimeUnit::Microsecond, None);
    let tz = D::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let list = |t| D::List(arrow::datatypes::Field::new_list_field(t, true).into());
    vec![
        ("boolean", "true", D::Boolean, "true"),
        ("smallint", "-32768", D::Int16, "-32768"),
        ("integer", "2147483647", D::Int32, "2147483647"),
        ("bigint", "-9223372036854775808", D::Int64, "-9223372036854775808"),
        ("oid", "4294967295", D::UInt32, "4294967295"),
        ("real", "'-Infinity'", D::Float32, "-inf"),
        ("double precision", "'NaN'", D::Float64, "NaN"),
        ("numeric(15,2)", "-1234567890123.45", D::Decimal128(15, 2), "-1234567890123.45"),
        (
            "numeric(38,38)",
            "0.00000000000000000000000000000000000001",
            D::Decimal128(38, 38),
            "0.00000000000000000000000000000000000001",
        ),
        (
            "numeric(76,10)",
            "123456789012345678901234567890123456789012345.0000000001",
            D::Decimal256(76, 10),
            "123456789012345678901234567890123456789012345.0000000001",
        ),
        ("numeric(3,-2)", "12345", D::Decimal128(5, 0), "12300"),
        ("numeric(2,4)", "0.0012", D::Decimal128(4, 4), "0.0012"),
        ("numeric", "-0.000000000000000001", D::Decimal128(38, 18), "-0.000000000000000001"),
        ("text", "'Zoë 🦀 ''quoted'' \\'", D::Utf8, "Zoë 🦀 'quoted' \\"),
        ("text", "''", D::Utf8, ""),
        ("varchar(5)", "'ab '", D::Utf8, "ab "),
        ("char(5)", "'ab'", D::Utf8, "ab"),
        ("name", "'a name'", D::Utf8, "a name"),
        ("\"char\"", "'x'", D::Utf8, "x"),
        ("bytea", "'\\x00ff'", D::Binary, "00ff"),
        ("date", "'4713-01-01 BC'", D::Date32, "-4712-01-01"),
        ("date", "'9999-12-31'", D::Date32, "9999-12-31"),
        ("time", "'23:59:59.999999'", D::Time64(TimeUnit::Microsecond), "23:59:59.999999"),
        ("timetz", "'12:00:00+02'", D::Utf8, "12:00:00+02"),
        ("timestamp", "'1969-12-31 23:59:59.999999'", ts.clone(), "1969-12-31T23:59:59.999999"),
        ("timestamptz", "'2024-07-01 12:00:00+02'", tz, "2024-07-01T10:00:00Z"),
        (
            "interval",
            "'1 year -3 days 04:05:06.789'",
            D::Interval(arrow::datatypes::IntervalUnit::MonthDayNano),
            "12 mons -3 days 4 hours 5 mins 6.789000000 secs",
        ),
        ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", D::Utf8, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("json", "'{\"b\": 1,  \"a\":2}'", D::Utf8, "{\"b\": 1,  \"a\":2}"),
        ("jsonb", "'{\"b\": 1,  \"a\":2}'", D::Utf8, "{\"a\": 2, \"b\": 1}"),
        ("mood", "'so-so'", D::Utf8, "so-so"),
        ("price", "12.5", D::Decimal128(10, 2), "12.50"),
        ("integer[]", "'{1,NULL,3}'", list(D::Int32), "[1, NULL, 3]"),
        ("text[]", "'{}'", list(D::Utf8), "[]"),
        ("numeric(5,1)[]", "'{1.5}'", list(D::Decimal128(5, 1)), "[1.5]"),
        ("mood[]", "'{fine,bad}'", list(D::Utf8), "[fine, bad]"),
        ("price[]", "'{1.25}'", list(D::Decimal128(10, 2)), "[1.25]"),
        ("inet[]", "'{10.0.0.1}'", list(D::Utf8), "[10.0.0.1/32]"),
        ("inet", "'192.168.0.0/24'", D::Utf8, "192.168.0.0/24"),
        ("int4range", "'[1,5)'", D::Utf8, "[1,5)"),
        ("point", "'(1,2)'", D::Utf8, "(1,2)"),
        ("xml", "'<a/>'", D::Utf8, "<a/>"),
        ("bit(3)", "B'101'", D::Utf8, "101"),
        ("money", "12.5", D::Utf8, "$12.50"),
        ("tsvector", "'a b'", D::Utf8, "'a' 'b'"),
        ("pair", "row(1, 'x')::pair", D::Utf8, "(1,x)"),
    ]
}

async fn all_types(test: &str) -> Option<Db> {
    let db = Db::new(test).await?;
    db.sql(
        "create type mood as enum ('fine', 'so-so', 'bad'); create domain price as numeric(10,2) check (value >= 0);
         create type pair as (a int, b text)",
    )
    .await;
    let cases = cases();
    let columns: Vec<String> = cases.iter().enumerate().map(|(i, c)| format!("c{i} {}", c.0)).collect();
    db.sql(&format!("create table every ({}); set lc_monetary = 'C'", columns.join(", "))).await;
    let values: Vec<&str> = cases.iter().map(|c| c.1).collect();
    let nulls = vec!["null"; cases.len()];
    db.sql(&format!("insert into every values ({}), ({})", values.join(", "), nulls.join(", "))).await;
    Some(db)
}

#[tokio::test]
async fn every_type_reads_as_documented() {
    let Some(db) = all_types("types").await else { return };
    let b = db.read("every").await;
    for (i, (sql, _, arrow, want)) in cases().into_iter().enumerate() {
        let field = b.schema().field(i).clone();
        assert_eq!(field.data_type(), &arrow, "{sql}");
        if sql != "money" {
            assert_eq!(texts(b.column(i)), [want, "NULL"], "{sql}");
        }
        assert!(!field.metadata()[SOURCE_TYPE_KEY].is_empty());
    }
    let field = |n: &str| b.schema().field_with_name(n).unwrap().clone();
    let at = |t: &str| format!("c{}", cases().iter().position(|c| c.0 == t).unwrap());
    assert_eq!(LogicalType::of(&field(&at("uuid"))), Some(LogicalType::Uuid));
    assert_eq!(LogicalType::of(&field(&at("jsonb"))), Some(LogicalType::Json));
    assert_eq!(field(&at("numeric(15,2)")).metadata()[SOURCE_TYPE_KEY], "numeric(15,2)");
    db.done().await;
}

#[tokio::test]
async fn what_was_read_loads_and_reads_the_same() {
    let Some(db) = all_types("round").await else { return };
    let first = db.read("every").await;
    let report = db.load("copy", WriteMode::Replace, std::slice::from_ref(&first)).await.unwrap();
    assert_eq!(report.rows, 2);
    let again = db.read("copy").await;
    for (i, f) in first.schema().fields().iter().enumerate() {
        let (a, b) = (first.column(i), again.column(i));
        // A domain's precision is kept by its base type.
        let want = if a.data_type() == &DataType::UInt32 { &DataType::Int64 } else { a.data_type() };
        assert_eq!(b.data_type(), want, "{f}");
        assert_eq!(texts(a), texts(b), "{f}");
    }
    let jsonb = format!("c{}", cases().iter().position(|c| c.0 == "jsonb").unwrap());
    let uuid = format!("c{}", cases().iter().position(|c| c.0 == "uuid").unwrap());
    assert_eq!(
        db.value(&format!("select pg_typeof({jsonb}) || ' ' || pg_typeof({uuid}) from copy limit 1")).await,
        "jsonb uuid"
    );
    db.done().await;
}

#[tokio::test]
async fn a_value_without_an_arrow_form_is_named_or_lost_on_request() {
    let Some(db) = Db::new("inexact").await else { return };
    for (i, (sql, value, shown)) in [
        ("date", "'infinity'", "infinity"),
        ("timestamptz", "'-infinity'", "-infinity"),
        ("time", "'24:00'", "24:00:00"),
        ("numeric", "'NaN'", "NaN"),
        ("numeric(5,1)", "'NaN'", "NaN"),
        ("numeric", "123456789012345678901.5", "123456789012345678901.5"),
        ("numeric", "0.1234567890123456789", "0.1234567890123456789"),
        ("integer[]", "'{{1,2},{3,4}}'", "2 dimensions"),
        ("interval", "'300 years'::interval + '10000000 hours'::interval", "microseconds"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("bad{i}");
        db.sql(&format!("create table {name} (id int, v {sql} not null); insert into {name} values (1, {value})"))
            .await;
        let table = db.describe(&name).await;
        let e = match read(db.c.as_ref(), &ScanRequest::all(table.clone())).await {
            Err(e) => e,
            Ok(b) => panic!("{sql} {value} was read as {:?}", column(&b, "v")),
        };
        assert_eq!(e.kind(), ErrorKind::Type, "{e:?}");
        assert!(e.message().contains("`v`") && e.message().contains(shown), "{e:?}");
        assert!(
            e.hint_text().unwrap().contains("lossy") && e.context().relation.as_ref().unwrap().contains(&name),
            "{e:?}"
        );
        let lossy = ScanRequest { types: TypePolicy::Lossy, ..ScanRequest::all(table) };
        let b = read(db.c.as_ref(), &lossy).await.unwrap();
        let want = if shown == "0.1234567890123456789" { "0.123456789012345679" } else { "NULL" };
        assert_eq!(column(&b, "v"), [want], "{sql} {value}");
    }
    db.done().await;
}

#[tokio::test]
async fn floats_keep_their_bits() {
    let Some(db) = Db::new("floats").await else { return };
    db.sql("create table f (x float8); insert into f values ('-0'), (0.1), (1e-320), ('infinity'), ('infinity'::float8 * 0)").await;
    let b = db.read("f").await;
    let got: Vec<u64> = b.column(0).as_primitive::<Float64Type>().values().iter().map(|x| x.to_bits()).collect();
    assert_eq!(got, [-0.0, 0.1, 1e-320, f64::INFINITY, f64::NAN].map(f64::to_bits));
    assert_eq!(b.column(0).null_count(), 0);
    db.done().await;
}
