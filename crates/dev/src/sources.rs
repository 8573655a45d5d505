//! The form of source files: each module says what lives in it; files stay short enough to read.

use crate::{Problems, Result};
use std::path::{Path, PathBuf};

/// Lines before a file's tests: asked to split, must split.
const LONG: usize = 500;
const TOO_LONG: usize = 1000;

/// Warnings (long files) and errors.
pub(crate) fn problems(root: &Path) -> Result<(Problems, Problems)> {
    let (mut warnings, mut errors) = (vec![], vec![]);
    for path in rust_files(&root.join("crates"))? {
        let text = std::fs::read_to_string(&path)?;
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        look(&shown, &text, &mut warnings, &mut errors);
    }
    Ok((warnings, errors))
}

fn look(path: &str, text: &str, warnings: &mut Problems, errors: &mut Problems) {
    if !text.trim_start().starts_with("//!") {
        errors.push(format!("{path}: must open with `//!`, saying what lives here"));
    }
    if is_test(path) {
        return;
    }
    let lines = text.lines().take_while(|l| !l.starts_with("#[cfg(test)]")).count();
    if lines > TOO_LONG {
        errors.push(format!("{path}: {lines} lines before its tests; {TOO_LONG} is the most"));
    } else if lines > LONG {
        warnings.push(format!("{path}: {lines} lines before its tests; {LONG} asks for a split"));
    }
}

/// Files with nothing but tests may be as long as they need to be.
fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("tests.rs")
}

fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut out = vec![];
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            out.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (usize, usize) {
        let (mut w, mut e) = (vec![], vec![]);
        look("x.rs", text, &mut w, &mut e);
        (w.len(), e.len())
    }

    #[test]
    fn length_counts_up_to_the_tests() {
        let body = |n: usize| format!("//! x\n{}", "fn a() {}\n".repeat(n));
        assert_eq!(found(&body(100)), (0, 0));
        assert_eq!(found(&body(600)), (1, 0));
        assert_eq!(found(&body(1001)), (0, 1));
        let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", body(100), "    // x\n".repeat(2000));
        assert_eq!(found(&tested), (0, 0));
        assert_eq!(found("fn main() {}\n"), (0, 1));
    }
}
