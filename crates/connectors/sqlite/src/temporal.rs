//! Dates and times as text: the spellings SQLite's own functions accept
//! (<https://www.sqlite.org/lang_datefunc.html#time_values>), and the one that xdb writes.
//!
//! Years have four digits; outside 0 to 9999 they have a sign and at least four (`+12345-01-01`, `-0044-03-15`), as ISO
//! 8601 has it. Such text is never a number, so no affinity changes it.

use std::fmt::Write;

pub(crate) const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// A moment as written: days since 1970-01-01, nanoseconds of the day, and the offset from UTC in minutes if one is
/// given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) days: i64,
    pub(crate) nanos: i64,
    pub(crate) offset: Option<i32>,
}
impl Moment {
    /// Nanoseconds since 1970-01-01 in UTC where an offset is given, else as the clock on the wall says.
    pub(crate) fn total_nanos(self) -> i128 {
        let local = i128::from(self.days) * i128::from(NANOS_PER_DAY) + i128::from(self.nanos);
        local - i128::from(self.offset.unwrap_or(0)) * 60_000_000_000
    }
}

struct Scan<'a>(&'a [u8]);
impl Scan<'_> {
    fn eat(&mut self, c: u8) -> bool {
        let hit = self.0.first() == Some(&c);
        if hit {
            self.0 = &self.0[1..];
        }
        hit
    }
    fn two(&mut self) -> Option<i64> {
        let [a @ b'0'..=b'9', b @ b'0'..=b'9', rest @ ..] = self.0 else { return None };
        self.0 = rest;
        Some(i64::from(a - b'0') * 10 + i64::from(b - b'0'))
    }
    fn digits(&mut self) -> &[u8] {
        let n = self.0.iter().take_while(|c| c.is_ascii_digit()).count();
        let (a, b) = self.0.split_at(n);
        self.0 = b;
        a
    }
    fn date(&mut self) -> Option<i64> {
        let sign = match self.0.first()? {
            b'+' => 1,
            b'-' => -1,
            _ => 0,
        };
        if sign != 0 {
            self.0 = &self.0[1..];
        }
        let text = self.digits();
        if text.len() < 4 || text.len() > 12 || (sign == 0 && text.len() != 4) {
            return None;
        }
        let y = text.iter().fold(0i64, |n, c| n * 10 + i64::from(c - b'0'));
        // One spelling for each date: a sign only where four digits don't do.
        if (sign > 0 && y <= 9999) || (sign < 0 && y == 0) || (sign != 0 && text.len() > 4 && text[0] == b'0') {
            return None;
        }
        let y = if sign < 0 { -y } else { y };
        let m = self.eat(b'-').then(|| self.two())??;
        let d = self.eat(b'-').then(|| self.two())??;
        if !(1..=12).contains(&m) || !(1..=days_in_month(y, m)).contains(&d) {
            return None;
        }
        Some(days_from_civil(y, m, d))
    }
    /// `HH:MM[:SS[.f…]]`; at most nine digits of fraction that aren't zero.
    fn time(&mut self) -> Option<i64> {
        let h = self.two()?;
        let m = self.eat(b':').then(|| self.two())??;
        let s = if self.eat(b':') { self.two()? } else { 0 };
        if h > 23 || m > 59 || s > 59 {
            return None;
        }
        let mut nanos = 0i64;
        if self.eat(b'.') {
            let f = self.digits();
            if f.is_empty() || f.iter().skip(9).any(|c| *c != b'0') {
                return None;
            }
            for i in 0..9 {
                nanos = nanos * 10 + f.get(i).map_or(0, |c| i64::from(c - b'0'));
            }
        }
        Some((h * 3600 + m * 60 + s) * 1_000_000_000 + nanos)
    }
    /// `Z`, `±HH:MM`, `±HHMM`, `±HH`, or nothing; one blank may precede.
    fn offset(&mut self) -> Option<Option<i32>> {
        if self.0.is_empty() {
            return Some(None);
        }
        self.eat(b' ');
        if self.eat(b'Z') || self.eat(b'z') {
            return Some(Some(0));
        }
        let sign = if self.eat(b'-') { -1 } else { self.eat(b'+').then_some(1)? };
        let h = self.two()?;
        let m = if self.0.is_empty() {
            0
        } else {
            self.eat(b':');
            self.two()?
        };
        if h > 23 || m > 59 {
            return None;
        }
        Some(Some(sign * (h * 60 + m) as i32))
    }
}

/// `YYYY-MM-DD`, and nothing but midnight after it.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let m = parse_timestamp(text)?;
    (m.nanos == 0 && m.offset.is_none()).then_some(m.days)
}
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let mut s = Scan(text.as_bytes());
    let t = s.time()?;
    s.0.is_empty().then_some(t)
}
/// A date, or a date and a time with a blank or `T` between, with or without an offset.
pub(crate) fn parse_timestamp(text: &str) -> Option<Moment> {
    let mut s = Scan(text.as_bytes());
    let days = s.date()?;
    if s.0.is_empty() {
        return Some(Moment { days, nanos: 0, offset: None });
    }
    if !s.eat(b' ') && !s.eat(b'T') {
        return None;
    }
    let nanos = s.time()?;
    let offset = s.offset()?;
    s.0.is_empty().then_some(Moment { days, nanos, offset })
}

pub(crate) fn write_date(out: &mut String, days: i64) {
    let (y, m, d) = civil_from_days(days);
    let _ = match y {
        0..=9999 => write!(out, "{y:04}-{m:02}-{d:02}"),
        10000.. => write!(out, "+{y}-{m:02}-{d:02}"),
        _ => write!(out, "-{:04}-{m:02}-{d:02}", -y),
    };
}
/// `HH:MM:SS`, and the fraction in `digits` digits unless it is zero.
pub(crate) fn write_time(out: &mut String, nanos: i64, digits: u8) {
    let (s, f) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let _ = write!(out, "{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
    if f != 0 {
        let text = format!("{f:09}");
        let _ = write!(out, ".{}", &text[..digits.clamp(1, 9) as usize]);
    }
}
pub(crate) fn write_timestamp(out: &mut String, total_nanos: i128, digits: u8, utc: bool) {
    let day = i128::from(NANOS_PER_DAY);
    write_date(out, total_nanos.div_euclid(day) as i64);
    out.push(' ');
    write_time(out, total_nanos.rem_euclid(day) as i64, digits);
    if utc {
        out.push_str("+00:00");
    }
}

fn days_in_month(y: i64, m: i64) -> i64 {
    match m {
        4 | 6 | 9 | 11 => 30,
        2 if y % 4 == 0 && (y % 100 != 0 || y % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

// Howard Hinnant's `days_from_civil` and `civil_from_days` (proleptic Gregorian).
fn days_from_civil(y: i64, m: i64, d: i64) -> i64 {
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + d - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(m <= 2), m, doy - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings() {
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(parse_date("2024-02-29"), Some(19782));
        assert_eq!(parse_date("2024-02-29T00:00"), Some(19782));
        for bad in
            ["2023-02-29", "2024-2-9", "24-02-29", "2024-02-29 01:00", "+2024-01-01", "2024-01-01 ", "", "-0000-01-01"]
        {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
        let ts = |t: &str| parse_timestamp(t).map(|m| (m.total_nanos(), m.offset));
        assert_eq!(ts("1970-01-01 00:00:01.5"), Some((1_500_000_000, None)));
        assert_eq!(ts("1970-01-01T01:00:00+01:00"), Some((0, Some(60))));
        assert_eq!(ts("1970-01-01 00:00Z"), Some((0, Some(0))));
        assert_eq!(ts("1970-01-01 00:00:00.0000000001"), None);
        assert_eq!(parse_time("24:00:00"), None);
        assert_eq!(parse_time("23:59:59.999999"), Some(86_399_999_999_000));
    }

    proptest! {
        #[test]
        fn timestamps_round_trip(seconds in any::<i64>(), utc in any::<bool>()) {
            let nanos = i128::from(seconds) * 1_000_000_000;
            let mut s = String::new();
            write_timestamp(&mut s, nanos, 0, utc);
            let m = parse_timestamp(&s).unwrap();
            prop_assert_eq!(m.total_nanos(), nanos);
            prop_assert_eq!(m.offset.is_some(), utc);
        }
        #[test]
        fn dates_round_trip(days in any::<i32>()) {
            let mut s = String::new();
            write_date(&mut s, days.into());
            prop_assert_eq!(parse_date(&s), Some(days.into()));
        }
        #[test]
        fn any_text_is_answered(t in "[-+0-9TZ: .]{0,30}") {
            let _ = (parse_date(&t), parse_time(&t), parse_timestamp(&t));
        }
    }
}
