//! Names that xdb makes up, and finding the name somebody meant.

/// Prefix of every table xdb makes for its own use; anything so named may be removed by a later run.
pub const STAGING_PREFIX: &str = "_xdb_";

/// A staging table's name: `_xdb_<tag>_<run>_<target>`, cut to `max_len` bytes (Postgres 63, MySQL 64). `tag` says what
/// it is for (`new`, `old`); `run` makes it unique.
pub fn staging_name(tag: &str, run: &str, target: &str, max_len: usize) -> String {
    let mut name = format!("{STAGING_PREFIX}{tag}_{run}_{target}");
    while name.len() > max_len {
        name.pop();
    }
    name
}

/// The candidate nearest to `name`, if one is near enough to be what was meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&lower, &c.to_lowercase()), c))
        .filter(|(d, c)| *d <= 1 + name.len().min(c.len()) / 4)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// `did you mean `x`?`, or the list of what there is.
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let all: Vec<&str> = candidates.into_iter().collect();
    if let Some(n) = nearest(name, all.iter().copied()) {
        return Some(format!("did you mean `{n}`?"));
    }
    match all.len() {
        0 => None,
        1..=12 => Some(format!("there is: {}", all.join(", "))),
        n => Some(format!("there are {n}, among them: {}", all[..12].join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn nearest_finds_typos_and_not_strangers() {
        assert_eq!(nearest("custmers", ["orders", "customers"]), Some("customers"));
        assert_eq!(nearest("zebra", ["orders", "customers"]), None);
    }
    #[test]
    fn staging_names_fit_and_keep_multibyte_whole() {
        let n = staging_name("new", "ab12", &"é".repeat(60), 63);
        assert!(n.len() <= 63 && n.starts_with("_xdb_new_ab12_"));
    }
}
