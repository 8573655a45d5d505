//! Days and civil dates, after Howard Hinnant's `days_from_civil` and `civil_from_days`
//! (<https://howardhinnant.github.io/date_algorithms.html>).

/// Days since 1970-01-01 to (year, month, day), proleptic Gregorian.
#[inline]
pub(crate) fn civil(days: i64) -> (i64, u8, u8) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(m <= 2), m as u8, (doy - (153 * mp + 2) / 5 + 1) as u8)
}

/// (year, month, day) to days since 1970-01-01; `None` where there is no such day (zero dates, 31 February).
#[inline]
pub(crate) fn days(year: u16, month: u8, day: u8) -> Option<i32> {
    const LENGTHS: [u8; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *LENGTHS.get(usize::from(month).wrapping_sub(1))?;
    if day == 0 || year == 0 || (day > length && !(month == 2 && day == 29 && leap(year))) {
        return None;
    }
    let y = i32::from(year) - i32::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = (i32::from(month) + 9) % 12;
    let doy = (153 * mp + 2) / 5 + i32::from(day) - 1;
    Some(era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468)
}
fn leap(y: u16) -> bool {
    y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn every_day_there_and_back() {
        let (first, last) = (days(1, 1, 1).unwrap(), days(9999, 12, 31).unwrap());
        assert_eq!((first, last), (-719_162, 2_932_896));
        for d in first..=last {
            let (y, m, day) = civil(i64::from(d));
            assert_eq!(days(y as u16, m, day), Some(d));
        }
    }
    #[test]
    fn days_that_are_none() {
        for (y, m, d) in
            [(0, 0, 0), (2024, 0, 10), (2024, 5, 0), (2023, 2, 29), (1900, 2, 29), (2024, 2, 31), (2024, 13, 1)]
        {
            assert_eq!(days(y, m, d), None, "{y}-{m}-{d}");
        }
        assert!(days(2000, 2, 29).is_some());
    }
}
