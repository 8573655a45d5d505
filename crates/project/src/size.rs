//! Sizes as people write them.

/// `4GB`, `512 MiB`, `64k`, `1.5g`, or bytes. As in DuckDB (<https://duckdb.org/docs/stable/configuration/overview>):
/// `KB MB GB TB` count in 1000s, `KiB MiB GiB TiB` in 1024s; a bare letter is the decimal one. `None` if it is no size.
pub fn parse_size(text: &str) -> Option<u64> {
    let t = text.trim();
    let split = t.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(t.len());
    let n: f64 = t[..split].replace('_', "").parse().ok()?;
    let unit: f64 = match t[split..].trim().to_lowercase().as_str() {
        "" | "b" | "byte" | "bytes" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024f64,
        "mib" => 1024f64.powi(2),
        "gib" => 1024f64.powi(3),
        "tib" => 1024f64.powi(4),
        _ => return None,
    };
    let bytes = n * unit;
    (bytes.is_finite() && bytes >= 0.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn sizes() {
        for (t, want) in [
            ("4GB", Some(4_000_000_000)),
            ("512 MiB", Some(512 << 20)),
            ("64k", Some(64_000)),
            ("1.5g", Some(1_500_000_000)),
            ("1_000", Some(1000)),
            ("0", Some(0)),
            ("4 gigs", None),
            ("", None),
            ("-1GB", None),
        ] {
            assert_eq!(parse_size(t), want, "{t}");
        }
    }
}
