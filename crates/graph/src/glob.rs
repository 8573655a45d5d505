//! Shell patterns as Python's `fnmatch` has them, for names and for paths.

/// Whether `text` matches `pattern`: `*` any run of characters, `?` one, `[abc]`, `[a-z]`, `[!a]` one of (not of) a set.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // Backtracking only to the last star: linear in practice, never exponential.
    let (mut i, mut j, mut star) = (0, 0, None);
    while j < t.len() {
        if p.get(i) == Some(&'*') {
            star = Some((i, j));
            i += 1;
        } else if let Some(next) = one(&p, i, t[j]) {
            i = next;
            j += 1;
        } else if let Some((at, from)) = star {
            i = at + 1;
            j = from + 1;
            star = Some((at, j));
        } else {
            return false;
        }
    }
    p[i..].iter().all(|c| *c == '*')
}

/// Where the pattern goes on if its element at `i` matches `c`.
fn one(p: &[char], i: usize, c: char) -> Option<usize> {
    match p.get(i)? {
        '?' => Some(i + 1),
        '[' => {
            let negated = p.get(i + 1) == Some(&'!');
            let first = i + 1 + usize::from(negated);
            // A `]` that comes first is a member; without a closing one, `[` stands for itself.
            let Some(close) = (first + 1..p.len()).find(|k| p[*k] == ']') else {
                return (c == '[').then_some(i + 1);
            };
            let set = &p[first..close];
            let mut k = 0;
            let mut found = false;
            while k < set.len() {
                if set.get(k + 1) == Some(&'-') && k + 2 < set.len() {
                    found |= (set[k]..=set[k + 2]).contains(&c);
                    k += 3;
                } else {
                    found |= set[k] == c;
                    k += 1;
                }
            }
            (found != negated).then_some(close + 1)
        }
        other => (*other == c).then_some(i + 1),
    }
}

/// Whether `pattern` has anything but plain characters.
pub(crate) fn is_pattern(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// Whether the path `text` is `pattern` or lies below it. Parts are matched one by one; `**` is any number of parts.
pub(crate) fn path_matches(pattern: &str, text: &str) -> bool {
    fn parts(p: &str) -> Vec<&str> {
        p.split(['/', '\\']).filter(|s| !s.is_empty() && *s != ".").collect()
    }
    fn step(p: &[&str], t: &[&str]) -> bool {
        match p.first() {
            // What is left of the path lies below.
            None => true,
            Some(&"**") => (0..=t.len()).any(|n| step(&p[1..], &t[n..])),
            Some(first) => t.first().is_some_and(|part| matches(first, part)) && step(&p[1..], &t[1..]),
        }
    }
    step(&parts(pattern), &parts(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (p, t, want) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("[ab]x", "bx", true),
            ("[!ab]x", "bx", false),
            ("[a-c]x", "bx", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("[", "[", true),
            ("é*", "éa", true),
            ("**a", "ba", true),
        ] {
            assert_eq!(matches(p, t), want, "{p} {t}");
        }
        let hard = "a".repeat(200);
        assert!(!matches(&"a*".repeat(50).replace("**", "*"), &format!("b{hard}")));
    }

    #[test]
    fn paths() {
        for (p, t, want) in [
            ("models/marts", "models/marts/a.sql", true),
            ("models/marts/", "models/marts/a.sql", true),
            ("models/mart", "models/marts/a.sql", false),
            ("models/marts/a.sql", "models/marts/a.sql", true),
            ("models/*/a.sql", "models/marts/a.sql", true),
            ("models/*.sql", "models/marts/a.sql", false),
            ("models/**/a.sql", "models/x/y/a.sql", true),
            ("./models", "models/a.sql", true),
            ("marts", "models/marts/a.sql", false),
        ] {
            assert_eq!(path_matches(p, t), want, "{p} {t}");
        }
    }
}
