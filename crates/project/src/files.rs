//! Finding a project's files.

use std::path::{Path, PathBuf};
use xdb_core::{Error, Result};

/// Deeper than any project; a guard against links that lead in circles.
const MAX_DEPTH: usize = 40;

/// Files below `root/dir` whose extension is one of `extensions`, relative to `root`, sorted. None if the folder isn't
/// there. Hidden files and folders are left out, and folders in `skip` (relative to `root`).
pub(crate) fn find(root: &Path, dir: &Path, extensions: &[&str], skip: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    walk(root, dir, extensions, skip, 0, &mut out)?;
    out.sort();
    Ok(out)
}

fn walk(
    root: &Path,
    dir: &Path,
    extensions: &[&str],
    skip: &[PathBuf],
    depth: usize,
    out: &mut Vec<PathBuf>,
) -> Result<()> {
    let full = root.join(dir);
    if depth > MAX_DEPTH || !full.is_dir() {
        return Ok(());
    }
    let failed = |e: std::io::Error| Error::from(e).with_message(|m| format!("cannot read {}: {m}", full.display()));
    for entry in std::fs::read_dir(&full).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        let path = if dir == Path::new(".") { PathBuf::from(&name) } else { dir.join(&name) };
        // `metadata` follows links, as people who link a folder into a project expect.
        let Ok(kind) = std::fs::metadata(entry.path()) else { continue };
        if kind.is_dir() {
            if !skip.contains(&path) {
                walk(root, &path, extensions, skip, depth + 1, out)?;
            }
        } else if path.extension().is_some_and(|e| extensions.iter().any(|x| e.eq_ignore_ascii_case(x))) {
            out.push(path);
        }
    }
    Ok(())
}

/// A file's text. Errors name the file; text that isn't UTF-8 is one.
pub(crate) fn read(root: &Path, path: &Path) -> Result<String> {
    let bytes = std::fs::read(root.join(path))
        .map_err(|e| Error::from(e).with_message(|m| format!("cannot read {}: {m}", path.display())))?;
    String::from_utf8(bytes).map(|t| t.strip_prefix('\u{feff}').map(String::from).unwrap_or(t)).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        Error::config(format!("{} is not UTF-8 text", path.display())).at(path.display(), line)
    })
}
