//! [`Kind`]: how a column's values come over the wire and which Arrow type they become. The one mapping of PostgreSQL
//! types to Arrow; `target` has the way back.

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use xdb_core::LogicalType;
use xdb_core::types::SOURCE_TYPE_KEY;

/// Field metadata key: the column's [`Kind`], for this connector alone. The Arrow type does not say all (a `char(n)` and
/// a `jsonb` are both Utf8), and a plan must not need another look into the catalog.
pub(crate) const KIND_KEY: &str = "xdb.postgres.kind";
/// Field metadata key, present where the database's encoding is not UTF-8: its byte order is then not ours.
pub(crate) const ENCODING_KEY: &str = "xdb.postgres.encoding";

/// Unconstrained `numeric` becomes a decimal of this size; what doesn't fit is an error (or rounded).
const OPEN_NUMERIC: (u8, i8) = (38, 18);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    /// Arrow's precision and scale; over 38 digits it is a Decimal256.
    Numeric(u8, i8),
    Text,
    /// `char(n)`, read without its padding.
    Char,
    /// Text whose own comparisons are not those of its text: enum, citext, name.
    Label,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    /// Anything else: the server is asked for its text.
    Cast,
    /// A one-dimensional array.
    List(Box<Kind>),
}

/// A row of pg_type, as far as it matters here.
#[derive(Clone, Debug)]
pub(crate) struct PgType {
    pub(crate) name: String,
    /// pg_type.typtype: b base, d domain, e enum, c composite, r range ...
    pub(crate) typtype: char,
    /// What a domain is made of.
    pub(crate) base: u32,
    pub(crate) base_typmod: i32,
    /// An array's element type; 0 where it isn't an array.
    pub(crate) elem: u32,
}

/// Types by OID that are not built in.
pub(crate) type TypeMap = HashMap<u32, PgType>;

/// A type that must be looked up in pg_type first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown(pub(crate) u32);

impl Kind {
    /// The kind of a column of type `oid` with `typmod` (-1: none).
    pub(crate) fn resolve(oid: u32, typmod: i32, types: &TypeMap) -> Result<Self, Unknown> {
        if let Some(k) = Self::builtin(oid, typmod) {
            return Ok(k);
        }
        if let Some(elem) = builtin_element(oid) {
            return Ok(Self::List(Box::new(Self::resolve(elem, typmod, types)?)));
        }
        let t = types.get(&oid).ok_or(Unknown(oid))?;
        Ok(match t.typtype {
            'd' => Self::resolve(t.base, t.base_typmod, types)?,
            'e' => Self::Label,
            _ if t.name == "citext" => Self::Label,
            _ if t.elem != 0 => Self::List(Box::new(Self::resolve(t.elem, typmod, types)?)),
            _ => Self::Cast,
        })
    }

    /// OIDs below 10000 never change: src/include/catalog/pg_type.dat in PostgreSQL's sources.
    fn builtin(oid: u32, typmod: i32) -> Option<Self> {
        Some(match oid {
            16 => Self::Bool,
            17 => Self::Bytea,
            19 => Self::Label,
            20 => Self::Int8,
            21 => Self::Int2,
            23 => Self::Int4,
            25 | 1043 => Self::Text,
            26 => Self::Oid,
            114 => Self::Json,
            700 => Self::Float4,
            701 => Self::Float8,
            1042 => Self::Char,
            1082 => Self::Date,
            1083 => Self::Time,
            1114 => Self::Timestamp,
            1184 => Self::TimestampTz,
            1186 => Self::Interval,
            1700 => Self::numeric(typmod),
            2950 => Self::Uuid,
            3802 => Self::Jsonb,
            _ => return None,
        })
    }

    /// `typmod` packs precision and scale as in numeric.c (`make_numeric_typmod`): 16 bits, then 11 signed ones.
    fn numeric(typmod: i32) -> Self {
        if typmod < 4 {
            return Self::Numeric(OPEN_NUMERIC.0, OPEN_NUMERIC.1);
        }
        let packed = typmod - 4;
        let precision = (packed >> 16) & 0xffff;
        let scale = ((packed & 0x7ff) ^ 0x400) - 0x400;
        // Since version 15 the scale may be negative (whole numbers, rounded) or above the precision (0.000ddd).
        let (precision, scale) = if scale < 0 { (precision - scale, 0) } else { (precision.max(scale), scale) };
        // Up to 1000 digits are allowed there; what doesn't fit 76 is found value by value.
        Self::Numeric(precision.min(76) as u8, scale.min(76) as i8)
    }

    pub(crate) fn arrow(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Oid => DataType::UInt32,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Numeric(p, s) if *p <= 38 => DataType::Decimal128(*p, *s),
            Self::Numeric(p, s) => DataType::Decimal256(*p, *s),
            Self::Bytea => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Text | Self::Char | Self::Label | Self::Uuid | Self::Json | Self::Jsonb | Self::Cast => {
                DataType::Utf8
            }
            Self::List(e) => DataType::List(e.item()),
        }
    }

    fn logical(&self) -> Option<LogicalType> {
        match self {
            Self::Uuid => Some(LogicalType::Uuid),
            Self::Json | Self::Jsonb => Some(LogicalType::Json),
            _ => None,
        }
    }

    /// The field of a list's elements.
    pub(crate) fn item(&self) -> FieldRef {
        let f = Field::new_list_field(self.arrow(), true);
        Arc::new(match self.logical() {
            Some(l) => l.mark(f),
            None => f,
        })
    }

    pub(crate) fn field(&self, name: &str, nullable: bool, source_type: &str) -> Field {
        let f = Field::new(name, self.arrow(), nullable).with_metadata(HashMap::from([
            (SOURCE_TYPE_KEY.to_string(), source_type.to_string()),
            (KIND_KEY.to_string(), self.to_string()),
        ]));
        match self.logical() {
            Some(l) => l.mark(f),
            None => f,
        }
    }

    /// As [`Kind::field`] wrote it; `None` for a field from elsewhere.
    pub(crate) fn of(field: &Field) -> Option<Self> {
        field.metadata().get(KIND_KEY)?.parse().ok()
    }

    /// What to select for the column whose quoted name is `column`.
    pub(crate) fn select(&self, column: &str) -> String {
        match self {
            Self::Cast => format!("{column}::text"),
            Self::List(e) if **e == Self::Cast => format!("{column}::text[]"),
            _ => column.to_string(),
        }
    }

    /// Whether the server sends it in a form that `decode` knows without a cast.
    pub(crate) fn is_direct(&self) -> bool {
        match self {
            Self::Cast => false,
            Self::List(e) => e.is_direct(),
            _ => true,
        }
    }

    /// Whether `types: lossy` may read a value as NULL that isn't.
    pub(crate) fn may_misfit(&self) -> bool {
        matches!(
            self,
            Self::Numeric(..)
                | Self::Date
                | Self::Time
                | Self::Timestamp
                | Self::TimestampTz
                | Self::Interval
                | Self::List(_)
        )
    }

    /// Text compared by the column's collation.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::Char)
    }
}

const NAMES: &[(&str, Kind)] = &[
    ("bool", Kind::Bool),
    ("int2", Kind::Int2),
    ("int4", Kind::Int4),
    ("int8", Kind::Int8),
    ("oid", Kind::Oid),
    ("float4", Kind::Float4),
    ("float8", Kind::Float8),
    ("text", Kind::Text),
    ("char", Kind::Char),
    ("label", Kind::Label),
    ("bytea", Kind::Bytea),
    ("date", Kind::Date),
    ("time", Kind::Time),
    ("timestamp", Kind::Timestamp),
    ("timestamptz", Kind::TimestampTz),
    ("interval", Kind::Interval),
    ("uuid", Kind::Uuid),
    ("json", Kind::Json),
    ("jsonb", Kind::Jsonb),
    ("cast", Kind::Cast),
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numeric(p, s) => write!(f, "numeric({p},{s})"),
            Self::List(e) => write!(f, "{e}[]"),
            plain => f.write_str(NAMES.iter().find(|(_, k)| k == plain).map_or("cast", |(n, _)| n)),
        }
    }
}

impl FromStr for Kind {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        if let Some(e) = s.strip_suffix("[]") {
            return Ok(Self::List(Box::new(e.parse()?)));
        }
        if let Some(ps) = s.strip_prefix("numeric(").and_then(|r| r.strip_suffix(')')) {
            let (p, s) = ps.split_once(',').ok_or(())?;
            return Ok(Self::Numeric(p.parse().map_err(|_| ())?, s.parse().map_err(|_| ())?));
        }
        NAMES.iter().find(|(n, _)| *n == s).map(|(_, k)| k.clone()).ok_or(())
    }
}

/// The element type of a built-in array type.
fn builtin_element(oid: u32) -> Option<u32> {
    Some(match oid {
        1000 => 16,
        1001 => 17,
        1003 => 19,
        1016 => 20,
        1005 => 21,
        1007 => 23,
        1009 => 25,
        1015 => 1043,
        1028 => 26,
        199 => 114,
        1021 => 700,
        1022 => 701,
        1014 => 1042,
        1182 => 1082,
        1183 => 1083,
        1115 => 1114,
        1185 => 1184,
        1187 => 1186,
        1231 => 1700,
        2951 => 2950,
        3807 => 3802,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typmod(p: i32, s: i32) -> i32 {
        ((p << 16) | (s & 0x7ff)) + 4
    }

    #[test]
    fn numeric_typmods() {
        for (p, s, want) in [
            (15, 2, Kind::Numeric(15, 2)),
            (38, 0, Kind::Numeric(38, 0)),
            (76, 38, Kind::Numeric(76, 38)),
            (2, -3, Kind::Numeric(5, 0)),
            (3, 5, Kind::Numeric(5, 5)),
            (1000, 1000, Kind::Numeric(76, 76)),
        ] {
            assert_eq!(Kind::numeric(typmod(p, s)), want, "numeric({p},{s})");
        }
        assert_eq!(Kind::numeric(-1), Kind::Numeric(38, 18));
    }

    #[test]
    fn domains_enums_and_arrays_resolve() {
        let t = |name: &str, typtype, base, base_typmod, elem| PgType {
            name: name.into(),
            typtype,
            base,
            base_typmod,
            elem,
        };
        let types = TypeMap::from([
            (20001, t("mood", 'e', 0, -1, 0)),
            (20002, t("price", 'd', 1700, typmod(10, 2), 0)),
            (20003, t("prices", 'd', 20004, -1, 0)),
            (20004, t("_price", 'b', 0, -1, 20002)),
            (20005, t("point3", 'c', 0, -1, 0)),
            (20006, t("_point3", 'b', 0, -1, 20005)),
        ]);
        let kind = |oid, m| Kind::resolve(oid, m, &types).unwrap();
        assert_eq!(kind(20001, -1), Kind::Label);
        assert_eq!(kind(20002, -1), Kind::Numeric(10, 2));
        assert_eq!(kind(20003, -1), Kind::List(Box::new(Kind::Numeric(10, 2))));
        assert_eq!(kind(1231, typmod(7, 3)), Kind::List(Box::new(Kind::Numeric(7, 3))));
        assert_eq!(kind(20006, -1).select("\"c\""), "\"c\"::text[]");
        assert!(!kind(20006, -1).is_direct());
        assert_eq!(Kind::resolve(99999, -1, &types), Err(Unknown(99999)));
    }

    #[test]
    fn a_kind_survives_the_field() {
        let all = NAMES.iter().map(|(_, k)| k.clone()).chain([Kind::Numeric(76, 5), Kind::List(Box::new(Kind::Jsonb))]);
        for k in all {
            assert_eq!(Kind::of(&k.field("c", true, "x")), Some(k));
        }
    }
}
