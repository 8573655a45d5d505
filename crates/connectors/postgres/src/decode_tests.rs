//! Wire bytes as the server sends them (its `*send` functions), edge values, and hostile bytes.

use super::*;
use arrow::array::{Array, AsArray};
use arrow::datatypes::Schema;
use proptest::prelude::*;

fn decoder(kind: &Kind, policy: TypePolicy) -> Decoder {
    let schema = Arc::new(Schema::new(vec![kind.field("c", true, "")]));
    Decoder::new(schema, std::slice::from_ref(kind), policy)
}

fn row(value: Option<&[u8]>) -> Vec<u8> {
    let mut b = vec![0, 1];
    match value {
        None => b.extend((-1i32).to_be_bytes()),
        Some(v) => {
            b.extend((v.len() as i32).to_be_bytes());
            b.extend(v);
        }
    }
    b
}

fn decode(kind: Kind, policy: TypePolicy, value: &[u8]) -> Result<ArrayRef> {
    let mut d = decoder(&kind, policy);
    d.push_tuple(&row(Some(value)))?;
    Ok(d.finish()?.column(0).clone())
}

fn exact(kind: Kind, value: &[u8]) -> ArrayRef {
    decode(kind, TypePolicy::Exact, value).unwrap()
}

/// Refused by name, and NULL when lossy.
fn refused(kind: Kind, value: &[u8], shown: &str) {
    let e = decode(kind.clone(), TypePolicy::Exact, value).unwrap_err();
    assert!(e.kind() == ErrorKind::Type && e.message().contains("`c`") && e.message().contains(shown), "{e:?}");
    assert!(decode(kind, TypePolicy::Lossy, value).unwrap().is_null(0));
}

#[test]
fn text_forms() {
    let text = |k, b: &[u8]| exact(k, b).as_string::<i32>().value(0).to_string();
    assert_eq!(text(Kind::Char, b"ab   "), "ab");
    assert_eq!(text(Kind::Char, b"  "), "");
    assert_eq!(text(Kind::Char, b" a\t "), " a\t");
    assert_eq!(text(Kind::Text, b"ab  "), "ab  ");
    assert_eq!(text(Kind::Jsonb, b"\x01{}"), "{}");
    assert_eq!(
        text(
            Kind::Uuid,
            &[0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11]
        ),
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    );
    assert_eq!(decode(Kind::Jsonb, TypePolicy::Exact, b"\x02{}").unwrap_err().kind(), ErrorKind::Protocol);
    // Latin 1 from a SQL_ASCII database.
    let e = decode(Kind::Text, TypePolicy::Exact, b"caf\xe9").unwrap_err();
    assert!(e.kind() == ErrorKind::Type && e.message().contains("`c`"), "{e:?}");
}

#[test]
fn times_without_an_arrow_form_are_refused() {
    refused(Kind::Date, &i32::MAX.to_be_bytes(), "infinity");
    refused(Kind::Date, &i32::MIN.to_be_bytes(), "-infinity");
    refused(Kind::Timestamp, &i64::MAX.to_be_bytes(), "infinity");
    refused(Kind::TimestampTz, &i64::MIN.to_be_bytes(), "-infinity");
    refused(Kind::Time, &86_400_000_000i64.to_be_bytes(), "24:00:00");
    refused(Kind::Interval, &[&i64::MAX.to_be_bytes()[..], &[0; 8]].concat(), "microseconds");
    let infinite = [&i64::MAX.to_be_bytes()[..], &i32::MAX.to_be_bytes(), &i32::MAX.to_be_bytes()].concat();
    refused(Kind::Interval, &infinite, "infinity");
    // 4713 BC and 5874897 AD are dates.
    assert_eq!(exact(Kind::Date, &(-2_451_545i32).to_be_bytes()).as_primitive::<Date32Type>().value(0), -2_440_588);
    assert_eq!(exact(Kind::Date, &2_145_031_948i32.to_be_bytes()).as_primitive::<Date32Type>().value(0), 2_145_042_905);
}

#[test]
fn numbers_without_an_arrow_form_are_refused() {
    let nan = [0, 0, 0, 0, 0xC0, 0, 0, 0];
    refused(Kind::Numeric(15, 2), &nan, "NaN");
    refused(Kind::Numeric(38, 18), &[0, 0, 0, 0, 0xD0, 0, 0, 0], "Infinity");
    // 10000^5: 21 digits before the point.
    refused(
        Kind::Numeric(38, 18),
        &[0, 1, 0, 5, 0, 0, 0, 0, 0, 1],
        "100000000000000000000 has more digits than decimal(38, 18) holds",
    );
    // 0.12345678901234567891: rounded when lossy.
    let mut fine = Vec::new();
    numeric::encode128(&mut fine, 12_345_678_901_234_567_891, 20);
    assert!(
        decode(Kind::Numeric(38, 18), TypePolicy::Exact, &fine)
            .unwrap_err()
            .message()
            .contains("0.12345678901234567891")
    );
    let a = decode(Kind::Numeric(38, 18), TypePolicy::Lossy, &fine).unwrap();
    assert_eq!(a.as_primitive::<arrow::datatypes::Decimal128Type>().value(0), 123_456_789_012_345_679);
}

#[test]
fn all_nans_become_one() {
    let negative = 0xFFF8_0000_0000_0001u64.to_be_bytes();
    let got = exact(Kind::Float8, &negative).as_primitive::<Float64Type>().value(0);
    assert_eq!(got.to_bits(), f64::NAN.to_bits());
}

#[test]
fn only_one_dimension() {
    let array = |dims: &[i32], items: usize| {
        let mut b = Vec::new();
        for x in [dims.len() as i32, 0, 23] {
            b.extend(x.to_be_bytes());
        }
        for d in dims {
            b.extend([d.to_be_bytes(), 1i32.to_be_bytes()].concat());
        }
        for i in 0..items {
            b.extend([4i32.to_be_bytes(), (i as i32).to_be_bytes()].concat());
        }
        b
    };
    let kind = Kind::List(Box::new(Kind::Int4));
    let a = exact(kind.clone(), &array(&[3], 3));
    assert_eq!(a.as_list::<i32>().value(0).as_primitive::<Int32Type>().values(), &[0, 1, 2]);
    assert_eq!(exact(kind.clone(), &array(&[], 0)).as_list::<i32>().value(0).len(), 0);
    refused(kind, &array(&[2, 2], 4), "2 dimensions");
}

#[test]
fn a_stream_is_checked_from_its_header_to_its_trailer() {
    let header = [&SIGNATURE[..], &[0; 8]].concat();
    let mut d = decoder(&Kind::Int4, TypePolicy::Exact);
    d.push_copy_data(&[&header[..], &row(Some(&7i32.to_be_bytes()))].concat()).unwrap();
    d.push_copy_data(&row(None)).unwrap();
    // Rows joined by a proxy, then the trailer.
    d.push_copy_data(&[row(Some(&8i32.to_be_bytes())), row(None), vec![0xff, 0xff]].concat()).unwrap();
    assert!(d.ended());
    assert_eq!(d.rows(), 4);
    let b = d.finish().unwrap();
    assert_eq!(b.column(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(7), None, Some(8), None]);
    assert_eq!((d.rows(), d.bytes()), (0, 0));
    for bad in [&b"PGCOPX\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..], b"PGCOPY", &header[..12]] {
        assert_eq!(
            decoder(&Kind::Int4, TypePolicy::Exact).push_copy_data(bad).unwrap_err().kind(),
            ErrorKind::Protocol
        );
    }
    let mut d = decoder(&Kind::Int4, TypePolicy::Exact);
    assert!(d.push_tuple(&[0, 2]).unwrap_err().message().contains("2 columns, expected 1"));
}

#[test]
fn no_columns_still_count_rows() {
    let mut d = Decoder::new(Arc::new(Schema::empty()), &[], TypePolicy::Exact);
    for _ in 0..3 {
        d.push_tuple(&[0, 0]).unwrap();
    }
    assert_eq!(d.finish().unwrap().num_rows(), 3);
}

proptest! {
    /// Whatever comes, an error or a value: never a panic, and never a read beyond the message.
    #[test]
    fn hostile_bytes(value in proptest::collection::vec(any::<u8>(), 0..64), whole in proptest::collection::vec(any::<u8>(), 0..64)) {
        let kinds = [
            Kind::Bool, Kind::Int2, Kind::Int8, Kind::Numeric(38, 18), Kind::Numeric(76, 10), Kind::Text, Kind::Char, Kind::Jsonb, Kind::Uuid,
            Kind::Date, Kind::Time, Kind::Interval, Kind::List(Box::new(Kind::Int4)), Kind::List(Box::new(Kind::Text)),
        ];
        for k in kinds {
            for policy in [TypePolicy::Exact, TypePolicy::Lossy] {
                let _ = decode(k.clone(), policy, &value);
                let mut d = decoder(&k, policy);
                let _ = d.push_copy_data(&whole);
                let _ = d.push_tuple(&whole);
            }
        }
    }
}
