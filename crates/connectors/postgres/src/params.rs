//! Parameters of native SQL. The driver sends them in binary, so each is encoded as the type that the server made of its
//! placeholder (`where id = $1` wants an integer of id's size), or the statement is refused before it runs.

use crate::decode::{EPOCH_DAYS, EPOCH_MICROS};
use crate::numeric;
use crate::prepare::parse_uuid;
use sqlx::encode::{Encode, IsNull};
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use sqlx::{Postgres, Type};
use xdb_core::{Error, ErrorKind, Literal, Result};
use xdb_sql::{date_text, decimal_text, time_text, timestamp_text};

const BOOL: u32 = 16;
const BYTEA: u32 = 17;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;
const DATE: u32 = 1082;
const TIME: u32 = 1083;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
const NUMERIC: u32 = 1700;
const UUID: u32 = 2950;
/// "Find out": the server infers the type from where the placeholder stands.
const UNKNOWN: u32 = 705;

/// The type to declare: that of the same constant written in SQL, and none for text, which is a constant of any type.
pub(crate) fn declared(l: &Literal) -> PgTypeInfo {
    let oid = match l {
        Literal::Null | Literal::Utf8(_) => UNKNOWN,
        Literal::Bool(_) => BOOL,
        Literal::Int(i) if i32::try_from(*i).is_ok() => INT4,
        Literal::Int(_) => INT8,
        Literal::UInt(u) if i32::try_from(*u).is_ok() => INT4,
        Literal::UInt(u) if i64::try_from(*u).is_ok() => INT8,
        Literal::UInt(_) | Literal::Decimal { .. } => NUMERIC,
        Literal::Float(_) => FLOAT8,
        Literal::Binary(_) => BYTEA,
        Literal::Date(_) => DATE,
        Literal::Time(_) => TIME,
        Literal::Timestamp { utc: false, .. } => TIMESTAMP,
        Literal::Timestamp { utc: true, .. } => TIMESTAMPTZ,
    };
    PgTypeInfo::with_oid(Oid(oid))
}

/// A value in its binary form, `None` for NULL.
#[derive(Debug)]
pub(crate) struct Bound {
    oid: u32,
    bytes: Option<Vec<u8>>,
}

impl Bound {
    /// `l` as a value of type `oid`, for the `n`th placeholder.
    pub(crate) fn new(n: usize, l: &Literal, oid: u32) -> Result<Self> {
        let bytes = match l {
            Literal::Null => None,
            _ => Some(encode(l, oid).ok_or_else(|| misfit(n, l, oid))?),
        };
        Ok(Self { oid, bytes })
    }
}

fn misfit(n: usize, l: &Literal, oid: u32) -> Error {
    let name = match oid {
        BOOL => "boolean",
        INT2 => "smallint",
        INT4 => "integer",
        INT8 => "bigint",
        FLOAT4 => "real",
        FLOAT8 => "double precision",
        NUMERIC => "numeric",
        DATE => "date",
        TIME => "time",
        TIMESTAMP => "timestamp",
        TIMESTAMPTZ => "timestamptz",
        UUID => "uuid",
        BYTEA => "bytea",
        _ => "of a type that parameters cannot have",
    };
    Error::new(ErrorKind::Type, format!("parameter {n} must be {name} there, and {} is not", shown(l)))
        .hint(format!("say in the SQL what it is, e.g. ${n}::text::inet"))
}

fn shown(l: &Literal) -> String {
    match l {
        Literal::Utf8(t) => format!("{t:?}"),
        other => text_of(other).unwrap_or_else(|| "its value".into()),
    }
}

/// A literal as PostgreSQL would print it.
fn text_of(l: &Literal) -> Option<String> {
    Some(match l {
        Literal::Null => return None,
        Literal::Bool(b) => b.to_string(),
        Literal::Int(i) => i.to_string(),
        Literal::UInt(u) => u.to_string(),
        Literal::Float(f) if f.is_infinite() => if *f > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        Literal::Float(f) => f.to_string(),
        Literal::Decimal { value, scale } => decimal_text(*value, *scale).trim_matches(['(', ')']).into(),
        Literal::Utf8(t) => t.clone(),
        Literal::Binary(b) => format!("\\x{}", b.iter().map(|x| format!("{x:02x}")).collect::<String>()),
        Literal::Date(d) => date_text(*d)?,
        Literal::Time(us) => time_text(*us),
        Literal::Timestamp { micros, utc } => format!("{}{}", timestamp_text(*micros)?, if *utc { "+00" } else { "" }),
    })
}

fn encode(l: &Literal, oid: u32) -> Option<Vec<u8>> {
    use Literal as L;
    let whole = || match l {
        L::Int(i) => Some(i128::from(*i)),
        L::UInt(u) => Some(i128::from(*u)),
        L::Decimal { value, scale: 0 } => Some(*value),
        L::Utf8(t) => t.trim().parse().ok(),
        _ => None,
    };
    let float = || match l {
        L::Float(f) => Some(*f),
        L::Int(i) => Some(*i as f64),
        L::UInt(u) => Some(*u as f64),
        L::Decimal { .. } | L::Utf8(_) => text_of(l)?.trim().parse().ok(),
        _ => None,
    };
    Some(match oid {
        BOOL => match l {
            L::Bool(b) => vec![u8::from(*b)],
            L::Utf8(t) => match t.trim().to_lowercase().as_str() {
                "t" | "true" | "yes" | "on" | "1" => vec![1],
                "f" | "false" | "no" | "off" | "0" => vec![0],
                _ => return None,
            },
            _ => return None,
        },
        INT2 => i16::try_from(whole()?).ok()?.to_be_bytes().into(),
        INT4 => i32::try_from(whole()?).ok()?.to_be_bytes().into(),
        INT8 => i64::try_from(whole()?).ok()?.to_be_bytes().into(),
        // oid and its aliases
        26 | 2205 | 2206 => u32::try_from(whole()?).ok()?.to_be_bytes().into(),
        FLOAT4 => (float()? as f32).to_be_bytes().into(),
        FLOAT8 => float()?.to_be_bytes().into(),
        NUMERIC => {
            let (value, scale) = match l {
                L::Decimal { value, scale } => (*value, *scale),
                L::Float(_) | L::Utf8(_) => parse_decimal(&text_of(l)?)?,
                _ => (whole()?, 0),
            };
            let mut out = Vec::new();
            numeric::encode128(&mut out, value, scale);
            out
        }
        // text, varchar, bpchar, name, unknown, json: their binary form is their text.
        TEXT | 1043 | 1042 | 19 | UNKNOWN | 114 => text_of(l).filter(|t| !t.contains('\0'))?.into_bytes(),
        3802 => [&[1], text_of(l)?.as_bytes()].concat(),
        BYTEA => match l {
            L::Binary(b) => b.clone(),
            L::Utf8(t) => t.clone().into_bytes(),
            _ => return None,
        },
        UUID => match l {
            L::Utf8(t) => parse_uuid(t)?.into(),
            _ => return None,
        },
        DATE => match l {
            L::Date(d) => d.checked_sub(EPOCH_DAYS)?.to_be_bytes().into(),
            L::Utf8(t) => parse_date(t.trim())?.checked_sub(EPOCH_DAYS)?.to_be_bytes().into(),
            _ => return None,
        },
        TIME => match l {
            L::Time(us) => us.to_be_bytes().into(),
            L::Utf8(t) => parse_time(t.trim())?.to_be_bytes().into(),
            _ => return None,
        },
        TIMESTAMP | TIMESTAMPTZ => match l {
            L::Timestamp { micros, utc } if *utc == (oid == TIMESTAMPTZ) => {
                micros.checked_sub(EPOCH_MICROS)?.to_be_bytes().into()
            }
            L::Date(d) => (i64::from(*d) * 86_400_000_000).checked_sub(EPOCH_MICROS)?.to_be_bytes().into(),
            L::Utf8(t) => {
                parse_timestamp(t.trim(), oid == TIMESTAMPTZ)?.checked_sub(EPOCH_MICROS)?.to_be_bytes().into()
            }
            _ => return None,
        },
        _ => return None,
    })
}

/// `-12.50` as (-1250, 2).
fn parse_decimal(t: &str) -> Option<(i128, i8)> {
    let t = t.trim();
    let (whole, fraction) = t.split_once('.').unwrap_or((t, ""));
    if !fraction.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    Some((format!("{whole}{fraction}").parse().ok()?, i8::try_from(fraction.len()).ok()?))
}

/// `YYYY-MM-DD` as days since 1970.
fn parse_date(t: &str) -> Option<i32> {
    use arrow::compute::kernels::cast_utils::Parser;
    // Arrow's parser takes other forms as well; take only the one that means the same everywhere.
    if t.len() == 10 { arrow::datatypes::Date32Type::parse(t) } else { None }
}

fn parse_time(t: &str) -> Option<i64> {
    let mut parts = t.splitn(3, ':');
    let (h, m): (i64, i64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let s = parts.next().unwrap_or("0");
    let (s, f) = s.split_once('.').unwrap_or((s, ""));
    if f.len() > 6 || !f.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let s: i64 = s.parse().ok()?;
    let us: i64 = format!("{f:0<6}").parse().ok()?;
    ((0..24).contains(&h) && (0..60).contains(&m) && (0..60).contains(&s))
        .then_some(((h * 60 + m) * 60 + s) * 1_000_000 + us)
}

/// `YYYY-MM-DD[ T]HH:MM[:SS[.ffffff]]` with `Z` or `+HH[:MM]` where `zoned` (without one: UTC, the session's zone), as
/// microseconds since 1970.
fn parse_timestamp(t: &str, zoned: bool) -> Option<i64> {
    let day = i64::from(parse_date(t.get(..10)?)?) * 86_400_000_000;
    let rest = t.get(10..)?;
    if rest.is_empty() {
        return Some(day);
    }
    let rest = rest.strip_prefix([' ', 'T'])?;
    let (clock, zone) = match rest.find(['Z', '+', '-']) {
        Some(i) => (&rest[..i], &rest[i..]),
        None => (rest, ""),
    };
    let offset = match zone {
        "" | "Z" => 0,
        z => {
            let sign = if z.starts_with('-') { -1 } else { 1 };
            let (h, m) = z[1..].split_once(':').unwrap_or((&z[1..], "0"));
            sign * (h.parse::<i64>().ok()? * 60 + m.parse::<i64>().ok()?) * 60_000_000
        }
    };
    if !zone.is_empty() && !zoned {
        return None;
    }
    Some(day + parse_time(clock)? - offset)
}

impl Type<Postgres> for Bound {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(UNKNOWN))
    }
    fn compatible(_: &PgTypeInfo) -> bool {
        true
    }
}
impl Encode<'_, Postgres> for Bound {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, sqlx::error::BoxDynError> {
        Ok(match &self.bytes {
            Some(b) => {
                buf.extend_from_slice(b);
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }
    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.oid)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(l: Literal, oid: u32) -> Option<Vec<u8>> {
        encode(&l, oid)
    }
    fn text(t: &str) -> Literal {
        Literal::Utf8(t.into())
    }

    #[test]
    fn text_takes_the_type_the_server_wants() {
        assert_eq!(bytes(text("42"), INT4), Some(42i32.to_be_bytes().into()));
        assert_eq!(bytes(text("4e1"), INT4), None);
        assert_eq!(bytes(text("40000"), INT2), None);
        assert_eq!(bytes(text("2000-01-02"), DATE), Some(1i32.to_be_bytes().into()));
        assert_eq!(bytes(text("2000-1-2"), DATE), None);
        assert_eq!(bytes(text("2000-01-01 00:00:01.5"), TIMESTAMP), Some(1_500_000i64.to_be_bytes().into()));
        assert_eq!(bytes(text("2000-01-01T02:00+02:00"), TIMESTAMPTZ), Some(0i64.to_be_bytes().into()));
        assert_eq!(bytes(text("2000-01-01T02:00+02:00"), TIMESTAMP), None);
        assert_eq!(bytes(text("-1.50"), NUMERIC), bytes(Literal::Decimal { value: -150, scale: 2 }, NUMERIC));
        assert_eq!(bytes(Literal::Int(7), TEXT), Some(b"7".into()));
        assert_eq!(bytes(text("{}"), 3802), Some(b"\x01{}".into()));
        assert_eq!(bytes(text("10.0.0.1"), 869), None);
    }
    #[test]
    fn a_misfit_says_what_to_write() {
        let e = Bound::new(2, &text("x"), INT4).unwrap_err();
        assert!(e.message().contains("parameter 2 must be integer there, and \"x\" is not"), "{e:?}");
    }
}
