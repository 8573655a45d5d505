//! Decimals, dates and times out of the server's bytes.

use crate::calendar;
use arrow::datatypes::i256;

/// `-12.340` as `value * 10^-scale`; `None` if it isn't such a number or has more digits behind the point than `scale`
/// that aren't zero.
#[inline]
pub(super) fn decimal128(text: &[u8], scale: i8) -> Option<i128> {
    let (negative, digits) = sign(text);
    let mut behind: Option<i32> = None;
    let scale = i32::from(scale);
    // Most values fit in 64 bits, whose arithmetic is several times faster.
    if digits.len() <= 18 {
        let mut v: u64 = 0;
        for b in digits {
            if !push(*b, &mut behind, scale, |d| {
                v = v * 10 + u64::from(d);
                Some(())
            })? {
                break;
            }
        }
        let missing = u32::try_from(scale - behind.unwrap_or(0)).ok()?;
        let v = i128::from(v).checked_mul(10i128.checked_pow(missing)?)?;
        return (!digits.is_empty()).then_some(if negative { -v } else { v });
    }
    let mut v: i128 = 0;
    for b in digits {
        if !push(*b, &mut behind, scale, |d| {
            v = v.checked_mul(10)?.checked_add(i128::from(d))?;
            Some(())
        })? {
            break;
        }
    }
    let missing = u32::try_from(scale - behind.unwrap_or(0)).ok()?;
    let v = v.checked_mul(10i128.checked_pow(missing)?)?;
    Some(if negative { -v } else { v })
}

/// One character of a decimal. `Some(false)` at a digit beyond the scale, which must be zero.
#[inline]
fn push(b: u8, behind: &mut Option<i32>, scale: i32, mut add: impl FnMut(u8) -> Option<()>) -> Option<bool> {
    match b {
        b'0'..=b'9' => {
            if let Some(n) = behind {
                if *n == scale {
                    return (b == b'0').then_some(true);
                }
                *n += 1;
            }
            add(b - b'0')?;
            Some(true)
        }
        b'.' if behind.is_none() => {
            *behind = Some(0);
            Some(true)
        }
        _ => None,
    }
}
fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// As [`decimal128`], for more than 38 digits.
pub(super) fn decimal256(text: &[u8], scale: i8) -> Option<i256> {
    let (negative, digits) = sign(text);
    let mut behind: Option<i32> = None;
    let mut plain = String::with_capacity(80);
    if negative {
        plain.push('-');
    }
    for b in digits {
        push(*b, &mut behind, i32::from(scale), |d| {
            plain.push(char::from(b'0' + d));
            Some(())
        })?;
    }
    for _ in behind.unwrap_or(0)..i32::from(scale) {
        plain.push('0');
    }
    i256::from_string(&plain)
}

/// What the server calls a date and time, before it is known to be one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) year: u16,
    pub(super) month: u8,
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
    pub(super) micros: u32,
}
impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)?;
        if (self.hour, self.minute, self.second, self.micros) != (0, 0, 0, 0) {
            write!(f, " {:02}:{:02}:{:02}", self.hour, self.minute, self.second)?;
        }
        if self.micros != 0 {
            write!(f, ".{:06}", self.micros)?;
        }
        Ok(())
    }
}
impl Moment {
    /// The body of a binary DATE, DATETIME or TIMESTAMP: 0, 4, 7 or 11 bytes.
    #[inline]
    pub(super) fn from_wire(b: &[u8]) -> Option<Self> {
        let date =
            |b: &[u8]| Self { year: u16::from_le_bytes([b[0], b[1]]), month: b[2], day: b[3], ..Self::default() };
        Some(match b.len() {
            0 => Self::default(),
            4 => date(b),
            7 => Self { hour: b[4], minute: b[5], second: b[6], ..date(b) },
            11 => Self {
                hour: b[4],
                minute: b[5],
                second: b[6],
                micros: u32::from_le_bytes([b[7], b[8], b[9], b[10]]),
                ..date(b)
            },
            _ => return None,
        })
    }
    /// `YYYY-MM-DD[ HH:MM:SS[.ffffff]]`.
    pub(super) fn from_text(b: &[u8]) -> Option<Self> {
        let t = std::str::from_utf8(b).ok()?;
        let (date, time) = t.split_once(' ').unwrap_or((t, "00:00:00"));
        let mut d = date.split('-');
        let c = Clock::from_text(time.as_bytes())?;
        let out = Self {
            year: d.next()?.parse().ok()?,
            month: d.next()?.parse().ok()?,
            day: d.next()?.parse().ok()?,
            hour: u8::try_from(c.hours).ok()?,
            minute: c.minute,
            second: c.second,
            micros: c.micros,
        };
        d.next().is_none().then_some(out)
    }
    /// Days since 1970; `None` where there is no such day.
    #[inline]
    pub(super) fn days(&self) -> Option<i32> {
        calendar::days(self.year, self.month, self.day)
    }
    /// Microseconds since 1970.
    #[inline]
    pub(super) fn micros(&self) -> Option<i64> {
        if self.hour > 23 || self.minute > 59 || self.second > 59 || self.micros > 999_999 {
            return None;
        }
        let s = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        Some((i64::from(self.days()?) * 86_400 + s) * 1_000_000 + i64::from(self.micros))
    }
}

/// A TIME: -838:59:59 to 838:59:59.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) negative: bool,
    pub(super) hours: u64,
    pub(super) minute: u8,
    pub(super) second: u8,
    pub(super) micros: u32,
}
impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        write!(f, "{sign}{:02}:{:02}:{:02}", self.hours, self.minute, self.second)?;
        if self.micros != 0 {
            write!(f, ".{:06}", self.micros)?;
        }
        Ok(())
    }
}
impl Clock {
    /// The body of a binary TIME: 0, 8 or 12 bytes.
    pub(super) fn from_wire(b: &[u8]) -> Option<Self> {
        if b.is_empty() {
            return Some(Self::default());
        }
        if b.len() != 8 && b.len() != 12 {
            return None;
        }
        let days = u32::from_le_bytes([b[1], b[2], b[3], b[4]]);
        Some(Self {
            negative: b[0] != 0,
            hours: u64::from(days) * 24 + u64::from(b[5]),
            minute: b[6],
            second: b[7],
            micros: b.get(8..12).map_or(0, |m| u32::from_le_bytes([m[0], m[1], m[2], m[3]])),
        })
    }
    /// `[-]H:MM:SS[.ffffff]`.
    pub(super) fn from_text(b: &[u8]) -> Option<Self> {
        let t = std::str::from_utf8(b).ok()?;
        let (negative, t) = t.strip_prefix('-').map_or((false, t), |r| (true, r));
        let (hms, fraction) = t.split_once('.').unwrap_or((t, ""));
        let mut p = hms.split(':');
        let (hours, minute, second) = (p.next()?.parse().ok()?, p.next()?.parse().ok()?, p.next()?.parse().ok()?);
        if p.next().is_some() || fraction.len() > 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(Self { negative, hours, minute, second, micros: format!("{fraction:0<6}").parse().ok()? })
    }
    /// Microseconds since midnight; `None` outside a day.
    pub(super) fn micros(&self) -> Option<i64> {
        if self.hours > 23 || self.minute > 59 || self.second > 59 || self.micros > 999_999 {
            return None;
        }
        let s = self.hours as i64 * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        let us = s * 1_000_000 + i64::from(self.micros);
        (!self.negative || us == 0).then_some(us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decimals_round_trip(v in any::<i128>(), shift in 0u32..100, scale in 0i8..=30) {
            let v = (v >> shift) / 10; // at most 38 digits
            let text = xdb_sql::decimal_text(v, scale);
            let text = text.trim_matches(['(', ')']);
            prop_assert_eq!(decimal128(text.as_bytes(), scale), Some(v), "{}", text);
            prop_assert_eq!(decimal256(text.as_bytes(), scale), Some(i256::from_i128(v)));
        }
        #[test]
        fn any_bytes_are_a_number_or_none(b in proptest::collection::vec(any::<u8>(), 0..40), scale in 0i8..=30) {
            let _ = decimal128(&b, scale);
            let _ = decimal256(&b, scale);
            let _ = Moment::from_wire(&b).map(|m| (m.days(), m.micros(), m.to_string()));
            let _ = Moment::from_text(&b);
            let _ = Clock::from_wire(&b).map(|m| (m.micros(), m.to_string()));
            let _ = Clock::from_text(&b);
        }
    }
    #[test]
    fn decimals_are_padded_and_never_rounded() {
        assert_eq!(decimal128(b"1.5", 3), Some(1500));
        assert_eq!(decimal128(b"-0.07", 2), Some(-7));
        assert_eq!(decimal128(b"1.500", 1), Some(15));
        assert_eq!(decimal128(b"1.51", 1), None);
        assert_eq!(decimal128(b"", 1), None);
        assert_eq!(decimal128(b"1.2.3", 2), None);
        assert_eq!(decimal128(b"99999999999999999999999999999999999999", 0), Some(10i128.pow(38) - 1));
        let many = format!("-{}.{}", "9".repeat(35), "1".repeat(30));
        assert_eq!(decimal256(many.as_bytes(), 30).unwrap().to_string(), many.replace('.', ""));
    }
    #[test]
    fn moments_and_clocks() {
        let m = Moment::from_wire(&[0xE8, 7, 2, 29, 23, 59, 58, 64, 66, 15, 0]).unwrap();
        assert_eq!(m.to_string(), "2024-02-29 23:59:58.1000000");
        let m = Moment::from_text(b"2024-02-29 23:59:58.000001").unwrap();
        assert_eq!(m.micros(), Some(1_709_251_198_000_001));
        assert_eq!(Moment::from_wire(&[]).unwrap().days(), None);
        assert_eq!(Moment::from_text(b"2024-00-10").unwrap().days(), None);
        assert_eq!(Clock::from_text(b"-838:59:59").unwrap().micros(), None);
        assert_eq!(Clock::from_text(b"23:59:59.999999").unwrap().micros(), Some(86_399_999_999));
        assert_eq!(Clock::from_text(b"24:00:00").unwrap().micros(), None);
        assert_eq!(Clock::from_wire(&[0, 34, 0, 0, 0, 22, 59, 59]).unwrap().to_string(), "838:59:59");
    }
}
