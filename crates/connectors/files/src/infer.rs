//! What type a column of text values has.
//!
//! Deterministic: the answer depends on the set of values, not on their order. In this order, the first that every
//! value (NULLs aside) fits: boolean, int64, decimal, float64, date, time, timestamp, text. A number with a fraction is
//! a decimal, so that money stays exact; with more than [`MAX_DECIMAL_SCALE`] decimals, or with an exponent, it is a
//! float, provided that no digit is lost by that; otherwise it stays text.

use crate::values::{self, number_shape};
use arrow::datatypes::{DataType, Field, TimeUnit};
use xdb_core::LogicalType;

/// More decimals than any price or rate has: what goes beyond was printed from a double.
pub(crate) const MAX_DECIMAL_SCALE: usize = 12;

/// The types that values of text files have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextType {
    Bool,
    Int,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Float,
    Date,
    Time,
    /// `nanos`: some value has more than six decimals. `zoned`: every value has an offset.
    Timestamp {
        nanos: bool,
        zoned: bool,
    },
    Text,
    /// The JSON text of the value.
    Json,
}
impl TextType {
    pub(crate) fn field(self, name: &str) -> Field {
        let unit = |nanos| if nanos { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
        let data_type = match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Float => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp { nanos, zoned } => DataType::Timestamp(unit(nanos), zoned.then(|| "UTC".into())),
            Self::Text | Self::Json => DataType::Utf8,
        };
        let field = Field::new(name, data_type, true);
        if self == Self::Json { LogicalType::Json.mark(field) } else { field }
    }
    /// The inverse of [`TextType::field`]; `None` for types that text files never have.
    pub(crate) fn of(field: &Field) -> Option<Self> {
        Some(match field.data_type() {
            DataType::Boolean => Self::Bool,
            DataType::Int64 => Self::Int,
            DataType::Decimal128(precision, scale) => Self::Decimal { precision: *precision, scale: *scale },
            DataType::Float64 => Self::Float,
            DataType::Date32 => Self::Date,
            DataType::Time64(TimeUnit::Microsecond) => Self::Time,
            DataType::Timestamp(TimeUnit::Microsecond, z) => Self::Timestamp { nanos: false, zoned: z.is_some() },
            DataType::Timestamp(TimeUnit::Nanosecond, z) => Self::Timestamp { nanos: true, zoned: z.is_some() },
            DataType::Utf8 if LogicalType::of(field) == Some(LogicalType::Json) => Self::Json,
            DataType::Utf8 => Self::Text,
            _ => return None,
        })
    }
    /// For `inspect` and messages.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Bool => "boolean".into(),
            Self::Int => "int64".into(),
            Self::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            Self::Float => "float64".into(),
            Self::Date => "date".into(),
            Self::Time => "time".into(),
            Self::Timestamp { nanos, zoned } => {
                format!("timestamp{}{}", if nanos { "(9)" } else { "" }, if zoned { " with time zone" } else { "" })
            }
            Self::Text => "text".into(),
            Self::Json => "json".into(),
        }
    }
}

/// What kind of value a cell is before it is looked into. CSV has only `Plain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Any text of a CSV field.
    Plain,
    /// A JSON string, without its quotes.
    JsonText,
    JsonNumber,
    JsonBool,
    /// A JSON array or object.
    JsonNested,
}

/// What the values of one column have in common so far.
#[derive(Clone, Debug)]
pub(crate) struct Guess {
    any: bool,
    kinds: [bool; 5],
    bool: bool,
    int: bool,
    plain_number: bool,
    number: bool,
    finite_number: bool,
    survives: bool,
    whole: usize,
    scale: usize,
    date: bool,
    time: bool,
    timestamp: bool,
    nanos: bool,
    fits_nanos: bool,
    zoned: bool,
    zoneless: bool,
}
impl Default for Guess {
    fn default() -> Self {
        Self {
            any: false,
            kinds: [false; 5],
            bool: true,
            int: true,
            plain_number: true,
            number: true,
            finite_number: false,
            survives: true,
            whole: 0,
            scale: 0,
            date: true,
            time: true,
            timestamp: true,
            nanos: false,
            fits_nanos: true,
            zoned: false,
            zoneless: false,
        }
    }
}
impl Guess {
    /// Take one value, not NULL, into account.
    pub(crate) fn see(&mut self, cell: Cell, t: &[u8]) {
        self.any = true;
        self.kinds[cell as usize] = true;
        self.bool = self.bool && values::boolean(t).is_some();
        self.int = self.int && values::int(t).is_some();
        if self.number {
            match number_shape(t) {
                Some(s) => {
                    self.finite_number = true;
                    self.plain_number &= !s.scientific;
                    self.whole = self.whole.max(s.whole);
                    self.scale = self.scale.max(s.scale);
                    self.survives = self.survives && values::survives_float(t);
                }
                None if values::special_float(t).is_some() => self.plain_number = false,
                None => self.number = false,
            }
        }
        self.date = self.date && values::date(t).is_some();
        self.time = self.time && values::time(t).is_some();
        if self.timestamp {
            match values::timestamp(t) {
                Some(i) => {
                    self.nanos |= i.nanos % 1000 != 0;
                    self.fits_nanos &= i64::try_from(i.nanos).is_ok();
                    self.zoned |= i.zoned;
                    self.zoneless |= !i.zoned;
                }
                None => self.timestamp = false,
            }
        }
    }

    /// The type that holds every value seen. A column without values is text.
    pub(crate) fn answer(&self) -> TextType {
        let kind = |c: Cell| self.kinds[c as usize];
        let json = kind(Cell::JsonText) || kind(Cell::JsonNumber) || kind(Cell::JsonBool) || kind(Cell::JsonNested);
        if !self.any {
            return TextType::Text;
        }
        if json {
            let how_many = self.kinds.iter().filter(|k| **k).count();
            if kind(Cell::JsonNested) || how_many > 1 {
                return TextType::Json;
            }
            // JSON says itself what is a number; a string that looks like one was meant as text.
            return match () {
                () if kind(Cell::JsonBool) => TextType::Bool,
                () if kind(Cell::JsonNumber) => self.numeric().unwrap_or(TextType::Json),
                () => self.temporal().unwrap_or(TextType::Text),
            };
        }
        if self.bool {
            return TextType::Bool;
        }
        self.numeric().or_else(|| self.temporal()).unwrap_or(TextType::Text)
    }

    fn numeric(&self) -> Option<TextType> {
        if !self.number || !self.finite_number {
            return None;
        }
        if self.int {
            return Some(TextType::Int);
        }
        let digits = self.whole + self.scale;
        let decimal = self.plain_number && digits <= 38;
        if decimal && (self.scale <= MAX_DECIMAL_SCALE || !self.survives) {
            let precision = if digits <= 18 { 18 } else { 38 };
            return Some(TextType::Decimal { precision, scale: i8::try_from(self.scale).ok()? });
        }
        self.survives.then_some(TextType::Float)
    }

    fn temporal(&self) -> Option<TextType> {
        if self.date {
            return Some(TextType::Date);
        }
        if self.time {
            return Some(TextType::Time);
        }
        let one_zone = self.zoned != self.zoneless;
        (self.timestamp && one_zone && (!self.nanos || self.fits_nanos))
            .then_some(TextType::Timestamp { nanos: self.nanos, zoned: self.zoned })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(values: &[&str]) -> TextType {
        let mut g = Guess::default();
        values.iter().for_each(|v| g.see(Cell::Plain, v.as_bytes()));
        let mut back = Guess::default();
        values.iter().rev().for_each(|v| back.see(Cell::Plain, v.as_bytes()));
        assert_eq!(g.answer(), back.answer(), "order matters for {values:?}");
        g.answer()
    }

    #[test]
    fn the_documented_order() {
        use TextType::*;
        let dec = |precision, scale| Decimal { precision, scale };
        assert_eq!(csv(&[]), Text);
        assert_eq!(csv(&["true", "FALSE"]), Bool);
        assert_eq!(csv(&["1", "-2"]), Int);
        assert_eq!(csv(&["1", "true"]), Text);
        assert_eq!(csv(&["00123", "1"]), Text);
        assert_eq!(csv(&["1", "2.50"]), dec(18, 2));
        assert_eq!(csv(&["99999999999999999.5"]), dec(18, 1));
        assert_eq!(csv(&["999999999999999999.5"]), dec(38, 1));
        assert_eq!(csv(&["9223372036854775808"]), dec(38, 0));
        assert_eq!(csv(&[&"9".repeat(39)]), Text);
        assert_eq!(csv(&["1e5", "2"]), Float);
        assert_eq!(csv(&["1.5", "NaN"]), Float);
        assert_eq!(csv(&["NaN"]), Text);
        assert_eq!(csv(&["0.30000000000000004", "1"]), Float);
        assert_eq!(csv(&["0.1234567890123456789"]), dec(38, 19));
        assert_eq!(csv(&["1e5", "9007199254740993"]), Text);
        assert_eq!(csv(&["2024-01-01"]), Date);
        assert_eq!(csv(&["2024-01-01", "2024-01-01 10:00:00"]), Text);
        assert_eq!(csv(&["10:00:00"]), Time);
        assert_eq!(csv(&["2024-01-01 10:00:00"]), Timestamp { nanos: false, zoned: false });
        assert_eq!(csv(&["2024-01-01T10:00:00Z", "2024-01-01 10:00:00+02"]), Timestamp { nanos: false, zoned: true });
        assert_eq!(csv(&["2024-01-01T10:00:00Z", "2024-01-01 10:00:00"]), Text);
        assert_eq!(csv(&["2024-01-01 10:00:00.123456789"]), Timestamp { nanos: true, zoned: false });
        assert_eq!(csv(&["2024-01-01 10:00:00.123456789", "9999-01-01 00:00:00"]), Text);
        assert_eq!(csv(&["", "1"]), Text);
    }
    #[test]
    fn json_says_itself_what_is_a_number() {
        let of = |cells: &[(Cell, &str)]| {
            let mut g = Guess::default();
            cells.iter().for_each(|(c, t)| g.see(*c, t.as_bytes()));
            g.answer()
        };
        assert_eq!(of(&[(Cell::JsonText, "12")]), TextType::Text);
        assert_eq!(of(&[(Cell::JsonNumber, "12"), (Cell::JsonNumber, "1.5")]), csv(&["12", "1.5"]));
        assert_eq!(of(&[(Cell::JsonNumber, "12"), (Cell::JsonText, "a")]), TextType::Json);
        assert_eq!(of(&[(Cell::JsonNested, "[1]")]), TextType::Json);
        assert_eq!(of(&[(Cell::JsonText, "2024-01-01")]), TextType::Date);
        assert_eq!(of(&[(Cell::JsonText, "true")]), TextType::Text);
    }
    #[test]
    fn types_and_fields_are_inverse() {
        for t in [
            TextType::Bool,
            TextType::Int,
            TextType::Decimal { precision: 18, scale: 2 },
            TextType::Float,
            TextType::Date,
            TextType::Time,
            TextType::Timestamp { nanos: true, zoned: false },
            TextType::Timestamp { nanos: false, zoned: true },
            TextType::Text,
            TextType::Json,
        ] {
            assert_eq!(TextType::of(&t.field("x")), Some(t));
        }
    }
}
