//! Text to values: the one grammar that inference and reading share, so that what was inferred is what is read.
//!
//! Strict on purpose: no spaces around values, no leading zeros or `+`, ISO dates only. What doesn't fit stays text.

/// A number as its text spells it: `digits * 10^exponent`, sign apart, neither leading nor trailing zeros in `digits`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spelled {
    pub(crate) negative: bool,
    pub(crate) digits: Vec<u8>,
    pub(crate) exponent: i64,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NumberShape {
    /// Digits before the point, without a lone leading zero.
    pub(crate) whole: usize,
    /// Digits behind the point.
    pub(crate) scale: usize,
    /// Has `e` in it.
    pub(crate) scientific: bool,
}

/// `-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?`, JSON's own grammar.
pub(crate) fn number_shape(t: &[u8]) -> Option<NumberShape> {
    let rest = t.strip_prefix(b"-").unwrap_or(t);
    let digits = |b: &[u8]| b.iter().take_while(|c| c.is_ascii_digit()).count();
    let whole = digits(rest);
    if whole == 0 || (rest[0] == b'0' && whole > 1) {
        return None;
    }
    let mut rest2 = &rest[whole..];
    let mut scale = 0;
    if let Some(frac) = rest2.strip_prefix(b".") {
        scale = digits(frac);
        if scale == 0 {
            return None;
        }
        rest2 = &frac[scale..];
    }
    let mut scientific = false;
    if let Some(e) = rest2.strip_prefix(b"e").or_else(|| rest2.strip_prefix(b"E")) {
        let e = e.strip_prefix(b"-").or_else(|| e.strip_prefix(b"+")).unwrap_or(e);
        let n = digits(e);
        if n == 0 || n > 4 {
            return None;
        }
        rest2 = &e[n..];
        scientific = true;
    }
    let whole = if rest[0] == b'0' { 0 } else { whole };
    rest2.is_empty().then_some(NumberShape { whole, scale, scientific })
}

pub(crate) fn int(t: &[u8]) -> Option<i64> {
    let s = number_shape(t)?;
    if s.scale > 0 || s.scientific {
        return None;
    }
    std::str::from_utf8(t).ok()?.parse().ok()
}

/// The unscaled value; `None` where there are more than `scale` decimals or the value has more than `precision` digits.
pub(crate) fn decimal(t: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let s = number_shape(t)?;
    let want = usize::try_from(scale).ok()?;
    if s.scientific || s.scale > want || s.whole + want > usize::from(precision) {
        return None;
    }
    let mut v: i128 = 0;
    for c in t.iter().filter(|c| c.is_ascii_digit()) {
        v = v.checked_mul(10)?.checked_add(i128::from(c - b'0'))?;
    }
    v = v.checked_mul(10i128.checked_pow(u32::try_from(want - s.scale).ok()?)?)?;
    Some(if t.starts_with(b"-") { -v } else { v })
}

/// `NaN` and the infinities, as most programs write them.
pub(crate) fn special_float(t: &[u8]) -> Option<f64> {
    Some(match t {
        b"NaN" => f64::NAN,
        b"inf" | b"Infinity" => f64::INFINITY,
        b"-inf" | b"-Infinity" => f64::NEG_INFINITY,
        _ => return None,
    })
}

/// The nearest double; `None` where the text is not a number or is beyond the range.
pub(crate) fn float(t: &[u8]) -> Option<f64> {
    if let Some(f) = special_float(t) {
        return Some(f);
    }
    number_shape(t)?;
    let f: f64 = std::str::from_utf8(t).ok()?.parse().ok()?;
    f.is_finite().then_some(f)
}

fn spelled(t: &[u8]) -> Option<Spelled> {
    let shape = number_shape(t)?;
    let negative = t.starts_with(b"-");
    let (mantissa, e) = match t.iter().position(|c| matches!(c, b'e' | b'E')) {
        Some(i) => (&t[..i], std::str::from_utf8(&t[i + 1..]).ok()?.parse::<i64>().ok()?),
        None => (t, 0),
    };
    let mut digits: Vec<u8> = mantissa.iter().copied().filter(u8::is_ascii_digit).collect();
    let mut exponent = e - i64::try_from(shape.scale).ok()?;
    while digits.last() == Some(&b'0') {
        digits.pop();
        exponent += 1;
    }
    let zeros = digits.iter().take_while(|c| **c == b'0').count();
    digits.drain(..zeros);
    if digits.is_empty() {
        exponent = 0;
    }
    Some(Spelled { negative, digits, exponent })
}

/// Whether the double nearest to `t`, printed with as many digits as `t` has, gives `t` back: then no digit is lost.
pub(crate) fn survives_float(t: &[u8]) -> bool {
    let (Some(s), Some(f)) = (spelled(t), float(t)) else { return special_float(t).is_some() };
    if s.digits.len() <= 15 && (f != 0.0 || s.digits.is_empty()) && f.abs() < 1e300 && (f == 0.0 || f.abs() > 1e-290) {
        return true;
    }
    let printed = format!("{f:.*e}", s.digits.len().saturating_sub(1));
    spelled(printed.as_bytes()).as_ref() == Some(&s)
}

/// `true` and `false`, in lower case, upper case or capitalised.
pub(crate) fn boolean(t: &[u8]) -> Option<bool> {
    match t {
        b"true" | b"TRUE" | b"True" => Some(true),
        b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}

fn fixed(t: &[u8]) -> Option<i64> {
    t.iter().try_fold(0i64, |v, c| c.is_ascii_digit().then(|| v * 10 + i64::from(c - b'0')))
}

/// Days from 1970-01-01 to a proleptic Gregorian date, after Howard Hinnant's `days_from_civil`; `None` where the day
/// isn't in the calendar.
fn days(y: i64, m: i64, d: i64) -> Option<i32> {
    let leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let last = match m {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=last).contains(&d) || y < 1 {
        return None;
    }
    let y2 = if m <= 2 { y - 1 } else { y };
    let era = y2.div_euclid(400);
    let yoe = y2.rem_euclid(400);
    let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + d - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    i32::try_from(era * 146_097 + doe - 719_468).ok()
}

/// `YYYY-MM-DD`.
pub(crate) fn date(t: &[u8]) -> Option<i32> {
    if t.len() != 10 || t[4] != b'-' || t[7] != b'-' {
        return None;
    }
    days(fixed(&t[..4])?, fixed(&t[5..7])?, fixed(&t[8..])?)
}

/// `HH:MM:SS[.f…]`, up to nine decimals: nanoseconds since midnight, the number of decimals, and what follows.
fn clock(t: &[u8]) -> Option<(i64, usize, &[u8])> {
    if t.len() < 8 || t[2] != b':' || t[5] != b':' {
        return None;
    }
    let (h, m, s) = (fixed(&t[..2])?, fixed(&t[3..5])?, fixed(&t[6..8])?);
    if h > 23 || m > 59 || s > 59 {
        return None;
    }
    let mut nanos = (h * 3600 + m * 60 + s) * 1_000_000_000;
    let mut rest = &t[8..];
    let mut decimals = 0;
    if let Some(f) = rest.strip_prefix(b".") {
        decimals = f.iter().take_while(|c| c.is_ascii_digit()).count();
        if decimals == 0 || decimals > 9 {
            return None;
        }
        nanos += fixed(&f[..decimals])? * 10i64.pow(9 - u32::try_from(decimals).ok()?);
        rest = &f[decimals..];
    }
    Some((nanos, decimals, rest))
}

/// Microseconds since midnight, of a time with at most six decimals.
pub(crate) fn time(t: &[u8]) -> Option<i64> {
    let (nanos, decimals, rest) = clock(t)?;
    (rest.is_empty() && decimals <= 6).then_some(nanos / 1000)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instant {
    /// Since 1970-01-01 00:00:00, in UTC where `zoned`.
    pub(crate) nanos: i128,
    pub(crate) zoned: bool,
}

/// `YYYY-MM-DD[ T]HH:MM:SS[.f…][Z|±HH[[:]MM]]`.
pub(crate) fn timestamp(t: &[u8]) -> Option<Instant> {
    if t.len() < 19 || !matches!(t[10], b' ' | b'T') {
        return None;
    }
    let day = i128::from(date(&t[..10])?);
    let (nanos, _, rest) = clock(&t[11..])?;
    let offset = match rest {
        b"" => None,
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), z @ ..] => {
            let (h, m) = match z.len() {
                2 => (fixed(z)?, 0),
                4 => (fixed(&z[..2])?, fixed(&z[2..])?),
                5 if z[2] == b':' => (fixed(&z[..2])?, fixed(&z[3..])?),
                _ => return None,
            };
            if h > 18 || m > 59 {
                return None;
            }
            let minutes = h * 60 + m;
            Some(if *sign == b'-' { -minutes } else { minutes })
        }
        _ => return None,
    };
    let shift = i128::from(offset.unwrap_or(0)) * 60_000_000_000;
    Some(Instant { nanos: day * 86_400_000_000_000 + i128::from(nanos) - shift, zoned: offset.is_some() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_keep_their_spelling_or_stay_text() {
        for (t, want) in [
            ("0", Some(0)),
            ("-12", Some(-12)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("007", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("1.0", None),
            ("1e3", None),
            ("", None),
            ("-", None),
        ] {
            assert_eq!(int(t.as_bytes()), want, "{t}");
        }
    }
    #[test]
    fn decimals_are_exact() {
        assert_eq!(decimal(b"12.50", 18, 2), Some(1250));
        assert_eq!(decimal(b"-0.05", 18, 3), Some(-50));
        assert_eq!(decimal(b"7", 18, 2), Some(700));
        assert_eq!(decimal(b"1.005", 18, 2), None);
        assert_eq!(decimal(b"12345", 6, 2), None);
        let max = "9".repeat(38);
        assert_eq!(decimal(max.as_bytes(), 38, 0), Some(10i128.pow(38) - 1));
        assert_eq!(decimal(format!("{max}9").as_bytes(), 38, 0), None);
    }
    #[test]
    fn floats_survive_or_not() {
        for yes in [
            "0.1",
            "1e5",
            "0",
            "-0.0",
            "0.30000000000000004",
            "1.000000000000000056e-01",
            "NaN",
            "-inf",
            "1.7976931348623157e308",
            "5e-324",
            "123456789012345680000",
        ] {
            assert!(survives_float(yes.as_bytes()), "{yes}");
        }
        for no in ["9007199254740993", "3.14159265358979323846", "1e999", "abc", "0.1234567890123456789"] {
            assert!(!survives_float(no.as_bytes()), "{no}");
        }
    }
    #[test]
    fn dates_and_times() {
        assert_eq!(date(b"1970-01-01"), Some(0));
        assert_eq!(date(b"2024-02-29"), Some(19782));
        assert_eq!(date(b"0001-01-01"), Some(-719_162));
        for bad in ["2023-02-29", "2024-13-01", "2024-1-1", "0000-01-01", "2024/01/01", "20240101"] {
            assert_eq!(date(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(time(b"23:59:59.000001"), Some(86_399_000_001));
        assert_eq!(time(b"24:00:00"), None);
        let ts = |t: &str| timestamp(t.as_bytes()).map(|i| (i.nanos, i.zoned));
        assert_eq!(ts("1970-01-01 00:00:01"), Some((1_000_000_000, false)));
        assert_eq!(ts("1970-01-01T01:00:00.5+01:00"), Some((500_000_000, true)));
        assert_eq!(ts("1969-12-31T23:59:59.999999999Z"), Some((-1, true)));
        assert_eq!(ts("1970-01-01 00:00:00-0530"), Some((19_800_000_000_000, true)));
        for bad in ["1970-01-01", "1970-01-01 00:00", "1970-01-01 00:00:00 UTC", "1970-01-01 00:00:00+1"] {
            assert_eq!(ts(bad), None, "{bad}");
        }
    }
}
