//! The wire form of `numeric`: base-10000 digits, to and from scaled integers.
//!
//! Layout (numeric.c, `numeric_send`): int16 number of digits, int16 weight of the first (in powers of 10000), int16 sign
//! (0x0000 +, 0x4000 -, 0xC000 NaN, 0xD000 +inf, 0xF000 -inf), int16 digits shown after the point, then the digits.

use arrow::datatypes::i256;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const PLUS_INF: u16 = 0xD000;
const MINUS_INF: u16 = 0xF000;

pub(crate) const POW10: [i128; 39] = {
    let mut a = [1i128; 39];
    let mut i = 1;
    while i < 39 {
        a[i] = a[i - 1] * 10;
        i += 1;
    }
    a
};

/// Why a value is not `integer * 10^-scale` within the precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// NaN or an infinity.
    Special,
    /// Too many digits before the point.
    TooLarge,
    /// Digits beyond the scale.
    TooFine,
    /// Not a numeric at all.
    Malformed,
}

#[inline]
fn be16(b: &[u8], i: usize) -> u16 {
    u16::from_be_bytes([b[i], b[i + 1]])
}

/// The value times 10^scale. `round`: half away from zero (as PostgreSQL rounds) where digits go beyond `scale`.
#[inline]
pub(crate) fn decode128(b: &[u8], precision: u8, scale: i8, round: bool) -> Result<i128, Misfit> {
    if b.len() < 8 {
        return Err(Misfit::Malformed);
    }
    let n = be16(b, 0) as usize;
    let weight = be16(b, 2) as i16 as i32;
    let sign = be16(b, 4);
    if sign != 0 && sign != NEGATIVE {
        return Err(Misfit::Special);
    }
    let digits = &b[8..];
    if digits.len() != n * 2 {
        return Err(Misfit::Malformed);
    }
    // Nine groups are 36 digits at most, so neither this nor the common exponents overflow.
    if n > 9 {
        return decode256(b, precision, scale, round)?.to_i128().ok_or(Misfit::TooLarge);
    }
    let mut acc: i128 = if n <= 4 {
        digits.chunks_exact(2).fold(0u64, |a, d| a * 10_000 + u64::from(u16::from_be_bytes([d[0], d[1]]))) as i128
    } else {
        digits.chunks_exact(2).fold(0i128, |a, d| a * 10_000 + i128::from(u16::from_be_bytes([d[0], d[1]])))
    };
    // value = acc * 10000^(weight - n + 1); we want acc * 10^e.
    let e = 4 * (weight - n as i32 + 1) + i32::from(scale);
    if acc == 0 {
        return Ok(0);
    }
    if e > 0 {
        let factor = POW10.get(e as usize).ok_or(Misfit::TooLarge)?;
        acc = acc.checked_mul(*factor).ok_or(Misfit::TooLarge)?;
    } else if e < 0 {
        acc = divide(acc, -e, round)?;
    }
    if precision < 38 && acc >= POW10[precision as usize] || precision == 38 && acc / 10 >= POW10[37] {
        return Err(Misfit::TooLarge);
    }
    Ok(if sign == NEGATIVE { -acc } else { acc })
}

/// `acc` (not negative) / 10^by, exact or rounded half up.
fn divide(acc: i128, by: i32, round: bool) -> Result<i128, Misfit> {
    let Some(d) = POW10.get(by as usize) else {
        return if round { Ok(0) } else { Err(Misfit::TooFine) };
    };
    let (q, r) = (acc / d, acc % d);
    match r {
        0 => Ok(q),
        _ if !round => Err(Misfit::TooFine),
        _ => Ok(q + i128::from(r >= d - r)),
    }
}

/// As [`decode128`], for up to 76 digits; also for what is too long for the quick way.
pub(crate) fn decode256(b: &[u8], precision: u8, scale: i8, round: bool) -> Result<i256, Misfit> {
    if b.len() < 8 {
        return Err(Misfit::Malformed);
    }
    let n = be16(b, 0) as usize;
    let weight = be16(b, 2) as i16 as i64;
    let sign = be16(b, 4);
    if sign != 0 && sign != NEGATIVE {
        return Err(Misfit::Special);
    }
    if b.len() != 8 + n * 2 {
        return Err(Misfit::Malformed);
    }
    // Decimal digits, most significant first, without leading zeros; `point` of them stand before the point.
    let mut text: Vec<u8> = Vec::with_capacity(n * 4);
    for d in b[8..].chunks_exact(2) {
        let d = u16::from_be_bytes([d[0], d[1]]);
        text.extend([d / 1000, d / 100 % 10, d / 10 % 10, d % 10].map(|x| x as u8));
    }
    let lead = text.iter().take_while(|d| **d == 0).count();
    text.drain(..lead);
    let point = 4 * (weight + 1) - lead as i64;
    while text.last() == Some(&0) {
        text.pop();
    }
    if text.is_empty() {
        return Ok(i256::ZERO);
    }
    // How many decimal digits the scaled integer has.
    let keep = point + i64::from(scale);
    let mut up = false;
    if (text.len() as i64) > keep {
        if !round {
            return Err(Misfit::TooFine);
        }
        up = keep >= 0 && text[keep as usize] >= 5;
        text.truncate(keep.max(0) as usize);
    }
    if keep > i64::from(precision) {
        return Err(Misfit::TooLarge);
    }
    let ten = i256::from_i128(10);
    let mut acc = i256::ZERO;
    for d in text.iter().copied().chain(std::iter::repeat(0)).take(keep.max(0) as usize) {
        acc = acc.wrapping_mul(ten).wrapping_add(i256::from_i128(i128::from(d)));
    }
    if up {
        acc = acc.wrapping_add(i256::ONE);
        if acc.to_string().len() > precision as usize {
            return Err(Misfit::TooLarge);
        }
    }
    Ok(if sign == NEGATIVE { acc.wrapping_neg() } else { acc })
}

/// The value as PostgreSQL prints it, for messages.
pub(crate) fn print(b: &[u8]) -> String {
    if b.len() < 8 || b.len() != 8 + be16(b, 0) as usize * 2 {
        return "?".into();
    }
    let (weight, sign, dscale) = (be16(b, 2) as i16 as i32, be16(b, 4), be16(b, 6) as usize);
    match sign {
        NAN => return "NaN".into(),
        PLUS_INF => return "Infinity".into(),
        MINUS_INF => return "-Infinity".into(),
        _ => {}
    }
    let group = |i: i32| match usize::try_from(i).map(|i| 8 + i * 2) {
        Ok(at) if at + 1 < b.len() => be16(b, at),
        _ => 0,
    };
    let mut whole: String = (0..=weight).map(|i| format!("{:04}", group(i))).collect();
    whole = whole.trim_start_matches('0').to_string();
    let mut fraction: String = (weight + 1..).take(dscale.div_ceil(4)).map(|i| format!("{:04}", group(i))).collect();
    fraction.truncate(dscale);
    let minus = if sign == NEGATIVE { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { &whole };
    if fraction.is_empty() { format!("{minus}{whole}") } else { format!("{minus}{whole}.{fraction}") }
}

/// Appends the wire form of `value * 10^-scale`, without its length.
#[inline]
pub(crate) fn encode128(out: &mut Vec<u8>, value: i128, scale: i8) {
    let s = i32::from(scale);
    // Pad so that the groups of four line up with the point.
    let pad = s.rem_euclid(4);
    let pad = if pad == 0 { 0 } else { 4 - pad };
    let Some(mut v) = value.unsigned_abs().checked_mul(POW10[pad as usize] as u128) else {
        return encode_text(out, &value.unsigned_abs().to_string(), value < 0, s);
    };
    // Groups from the least significant; at most 10 for 128 bits.
    let mut groups = [0u16; 11];
    let mut n = 0;
    while v > u128::from(u64::MAX) {
        groups[n] = (v % 10_000) as u16;
        v /= 10_000;
        n += 1;
    }
    let mut v = v as u64;
    while v > 0 {
        groups[n] = (v % 10_000) as u16;
        v /= 10_000;
        n += 1;
    }
    let zeros = groups[..n].iter().take_while(|g| **g == 0).count();
    // Power of 10000 of the least significant group.
    let lowest = -(s + pad) / 4;
    header(out, n - zeros, lowest + n as i32 - 1, value < 0, s);
    for g in groups[zeros..n].iter().rev() {
        out.extend_from_slice(&g.to_be_bytes());
    }
}

pub(crate) fn encode256(out: &mut Vec<u8>, value: i256, scale: i8) {
    match value.to_i128() {
        Some(v) => encode128(out, v, scale),
        None => {
            let t = value.to_string();
            encode_text(out, t.trim_start_matches('-'), t.starts_with('-'), i32::from(scale));
        }
    }
}

pub(crate) fn encode_u64(out: &mut Vec<u8>, value: u64) {
    encode128(out, i128::from(value), 0);
}

fn header(out: &mut Vec<u8>, n: usize, weight: i32, negative: bool, scale: i32) {
    let weight = if n == 0 { 0 } else { weight };
    out.extend_from_slice(&(n as u16).to_be_bytes());
    out.extend_from_slice(&(weight as i16).to_be_bytes());
    out.extend_from_slice(&(if negative && n > 0 { NEGATIVE } else { 0 }).to_be_bytes());
    out.extend_from_slice(&(scale.max(0) as u16).to_be_bytes());
}

/// `digits` (no sign, no point) times 10^-scale: the way for numbers that fit no machine integer once padded.
fn encode_text(out: &mut Vec<u8>, digits: &str, negative: bool, scale: i32) {
    let pad = match scale.rem_euclid(4) {
        0 => 0,
        r => 4 - r,
    };
    let mut all = digits.as_bytes().to_vec();
    all.extend(std::iter::repeat_n(b'0', pad as usize));
    let front = (4 - all.len() % 4) % 4;
    let mut padded = vec![b'0'; front];
    padded.extend(all);
    let mut groups: Vec<u16> =
        padded.chunks_exact(4).map(|c| c.iter().fold(0, |a, d| a * 10 + u16::from(d - b'0'))).collect();
    let lowest = -(scale + pad) / 4;
    let weight = lowest + groups.len() as i32 - 1;
    let lead = groups.iter().take_while(|g| **g == 0).count();
    groups.drain(..lead);
    while groups.last() == Some(&0) {
        groups.pop();
    }
    header(out, groups.len(), weight - lead as i32, negative, scale);
    for g in groups {
        out.extend_from_slice(&g.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(weight: i16, sign: u16, dscale: u16, digits: &[u16]) -> Vec<u8> {
        let mut b = Vec::new();
        for x in [digits.len() as u16, weight as u16, sign, dscale].iter().chain(digits) {
            b.extend(x.to_be_bytes());
        }
        b
    }

    #[test]
    fn known_values() {
        // 12345.678 as the server sends it: 1 | 2345 | 6780, weight 1.
        let b = wire(1, 0, 3, &[1, 2345, 6780]);
        assert_eq!(decode128(&b, 38, 3, false), Ok(12_345_678));
        assert_eq!(decode128(&b, 38, 18, false), Ok(12_345_678 * POW10[15]));
        assert_eq!(decode128(&b, 38, 2, false), Err(Misfit::TooFine));
        assert_eq!(decode128(&b, 38, 2, true), Ok(1_234_568));
        assert_eq!(decode128(&b, 7, 3, false), Err(Misfit::TooLarge));
        assert_eq!(print(&b), "12345.678");
        assert_eq!(decode128(&wire(0, 0, 0, &[]), 1, 0, false), Ok(0));
        // 10^20 is one digit of weight 5; 10^-8 one of weight -2.
        assert_eq!(decode128(&wire(5, NEGATIVE, 0, &[1]), 38, 2, false), Ok(-100_000_000_000_000_000_000i128 * 100));
        assert_eq!(decode128(&wire(-2, 0, 8, &[1]), 38, 8, false), Ok(1));
        assert_eq!(print(&wire(-2, 0, 8, &[1])), "0.00000001");
        assert_eq!(decode128(&wire(0, NAN, 0, &[]), 38, 2, false), Err(Misfit::Special));
        assert_eq!(print(&wire(0, MINUS_INF, 0, &[])), "-Infinity");
        assert_eq!(decode128(&wire(2000, 0, 0, &[1]), 38, 0, false), Err(Misfit::TooLarge));
        assert_eq!(decode128(&b[..9], 38, 3, false), Err(Misfit::Malformed));
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        for (digits, want) in [(&[4999u16][..], 0), (&[5000], 1), (&[9999], 1)] {
            for (sign, s) in [(0, 1), (NEGATIVE, -1)] {
                let b = wire(-1, sign, 4, digits);
                assert_eq!(decode128(&b, 38, 0, true), Ok(want * s), "{digits:?}");
                assert_eq!(decode256(&b, 76, 0, true).unwrap().to_i128(), Some(want * s), "{digits:?}");
            }
        }
        // 99.5 does not fit numeric(2,0) once rounded.
        assert_eq!(decode128(&wire(0, 0, 1, &[99, 5000]), 2, 0, true), Err(Misfit::TooLarge));
        assert_eq!(decode256(&wire(0, 0, 1, &[99, 5000]), 2, 0, true), Err(Misfit::TooLarge));
    }

    #[test]
    fn extremes() {
        for v in [i128::MAX / 2, POW10[38] - 1, -(POW10[38] - 1), 0, 1, -1] {
            for s in [0i8, 1, 2, 3, 4, 17, 37, 38] {
                let mut b = Vec::new();
                encode128(&mut b, v, s);
                assert_eq!(decode256(&b, 76, s, false).unwrap().to_i128(), Some(v), "{v} scale {s}");
            }
        }
        let max = i256::from_string(&"9".repeat(76)).unwrap();
        for s in [0i8, 1, 38, 75, 76] {
            let mut b = Vec::new();
            encode256(&mut b, max.wrapping_neg(), s);
            assert_eq!(decode256(&b, 76, s, false), Ok(max.wrapping_neg()), "scale {s}");
        }
        let mut b = Vec::new();
        encode128(&mut b, -12, -3);
        assert_eq!(print(&b), "-12000");
    }

    proptest! {
        #[test]
        fn round_trip_128(v in -(POW10[38] - 1)..POW10[38], s in 0i8..=38) {
            let mut b = Vec::new();
            encode128(&mut b, v, s);
            prop_assert_eq!(decode128(&b, 38, s, false), Ok(v));
            prop_assert_eq!(print(&b), plain(v, s));
        }
        #[test]
        fn round_trip_small(v in any::<i32>(), s in 0i8..=9) {
            let mut b = Vec::new();
            encode128(&mut b, i128::from(v), s);
            prop_assert_eq!(decode128(&b, 10, s, false), Ok(i128::from(v)));
        }
        #[test]
        fn round_trip_256(hi in any::<i64>(), lo in any::<i128>(), s in 0i8..=76) {
            let v = i256::from_i128(i128::from(hi)).wrapping_mul(i256::from_i128(POW10[38])).wrapping_add(i256::from_i128(lo % POW10[38]));
            let mut b = Vec::new();
            encode256(&mut b, v, s);
            prop_assert_eq!(decode256(&b, 76, s, false), Ok(v));
        }
        #[test]
        fn any_bytes_are_survived(b in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode128(&b, 38, 18, true);
            let _ = decode256(&b, 76, 10, true);
            let _ = print(&b);
        }
    }

    fn plain(v: i128, s: i8) -> String {
        xdb_sql::decimal_text(v, s).trim_matches(['(', ')']).to_string()
    }
}
