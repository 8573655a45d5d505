//! Numbers, sizes and lines as people read them.

/// 1234567 -> `1,234,567`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// 1234567 -> `1.2M`; for rates.
pub(crate) fn short(n: f64) -> String {
    let (n, unit) = match n {
        n if n >= 1e9 => (n / 1e9, "G"),
        n if n >= 1e6 => (n / 1e6, "M"),
        n if n >= 1e3 => (n / 1e3, "k"),
        n => return format!("{n:.0}"),
    };
    if n >= 100.0 { format!("{n:.0}{unit}") } else { format!("{n:.1}{unit}") }
}

/// Bytes, in units of 1000.
pub(crate) fn bytes(n: u64) -> String {
    if n < 1000 { format!("{n} B") } else { format!("{}B", short(n as f64)) }
}

pub(crate) fn plural(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{} {one}s", thousands(n as u64)) }
}

/// `text` and dots up to `width` columns, as dbt does.
pub(crate) fn dotted(text: &str, width: usize) -> String {
    let n = text.chars().count() + 1;
    format!("{text} {}", ".".repeat(width.saturating_sub(n)))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn numbers() {
        assert_eq!([0, 999, 1000, 99_996, 1_500_000].map(thousands).join(" "), "0 999 1,000 99,996 1,500,000");
        assert_eq!([12.0, 1_234.0, 812_000.0, 3.2e9].map(short).join(" "), "12 1.2k 812k 3.2G");
        assert_eq!(bytes(93_400_000), "93.4MB");
    }
}
