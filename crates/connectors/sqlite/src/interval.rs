//! Intervals as ISO 8601 durations: `P14M-3DT0.000000001S`. Three numbers, each with its own sign, so that what Arrow
//! keeps apart (months, days, nanoseconds) stays apart.

use arrow::datatypes::IntervalMonthDayNano;
use std::fmt::Write;

pub(crate) fn write_interval(out: &mut String, months: i64, days: i64, nanos: i128) {
    out.push('P');
    if months != 0 {
        let _ = write!(out, "{months}M");
    }
    if days != 0 {
        let _ = write!(out, "{days}D");
    }
    if nanos != 0 || (months == 0 && days == 0) {
        let sign = if nanos < 0 { "-" } else { "" };
        let n = nanos.unsigned_abs();
        let (s, f) = (n / 1_000_000_000, n % 1_000_000_000);
        let _ = write!(out, "T{sign}{s}");
        if f != 0 {
            let text = format!("{f:09}");
            let _ = write!(out, ".{}", text.trim_end_matches('0'));
        }
        out.push('S');
    }
}

/// `P[nY][nM][nW][nD][T[nH][nM][n[.f]S]]`, each number with an optional sign; at least one part.
pub(crate) fn parse_interval(text: &str) -> Option<IntervalMonthDayNano> {
    let mut rest = text.strip_prefix('P')?;
    let (mut months, mut days, mut nanos) = (0i64, 0i64, 0i128);
    let (mut in_time, mut parts) = (false, 0);
    while !rest.is_empty() {
        if let Some(r) = rest.strip_prefix('T') {
            if in_time || r.is_empty() {
                return None;
            }
            (in_time, rest) = (true, r);
            continue;
        }
        let end = rest.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c)))?;
        let (number, tail) = rest.split_at(end);
        let unit = tail.chars().next()?;
        rest = &tail[unit.len_utf8()..];
        parts += 1;
        match (in_time, unit) {
            (false, 'Y') => months = months.checked_add(number.parse::<i64>().ok()?.checked_mul(12)?)?,
            (false, 'M') => months = months.checked_add(number.parse().ok()?)?,
            (false, 'W') => days = days.checked_add(number.parse::<i64>().ok()?.checked_mul(7)?)?,
            (false, 'D') => days = days.checked_add(number.parse().ok()?)?,
            (true, 'H') => nanos += i128::from(number.parse::<i64>().ok()?) * 3_600_000_000_000,
            (true, 'M') => nanos += i128::from(number.parse::<i64>().ok()?) * 60_000_000_000,
            (true, 'S') => nanos += seconds(number)?,
            _ => return None,
        }
    }
    if parts == 0 {
        return None;
    }
    Some(IntervalMonthDayNano::new(months.try_into().ok()?, days.try_into().ok()?, nanos.try_into().ok()?))
}

fn seconds(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(d) => (true, d),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !digits.bytes().all(|c| c.is_ascii_digit() || c == b'.') || whole.is_empty() || fraction.len() > 9 {
        return None;
    }
    let n = i128::from(whole.parse::<i64>().ok()?) * 1_000_000_000 + format!("{fraction:0<9}").parse::<i128>().ok()?;
    Some(if negative { -n } else { n })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn iso_durations() {
        assert_eq!(parse_interval("P1Y2M1W3DT1H1M1.5S"), Some(IntervalMonthDayNano::new(14, 10, 3_661_500_000_000)));
        for bad in ["", "P", "PT", "1D", "P1", "P1S", "PT1D", "P1DT", "PT1.1.1S", "P1.5D", "PT0.0000000001S", "P1😀"]
        {
            assert_eq!(parse_interval(bad), None, "{bad}");
        }
    }
    proptest! {
        #[test]
        fn round_trip(m in any::<i32>(), d in any::<i32>(), n in any::<i64>()) {
            let mut s = String::new();
            write_interval(&mut s, m.into(), d.into(), n.into());
            prop_assert_eq!(parse_interval(&s), Some(IntervalMonthDayNano::new(m, d, n)));
        }
    }
}
