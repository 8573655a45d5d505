//! Pages that are written from the code: what a connector is, told once, in its `ConnectorDef`.
//!
//! `cargo dev docs` writes them, `cargo dev check` compares them with what is committed.

mod connector;
mod fields;
mod types;

use crate::{Problems, Result};
use std::path::{Path, PathBuf};
use xdb_core::Registry;

const HEADER: &str = "<!-- Written by `cargo dev docs`: don't edit. -->\n";

struct Page {
    /// From the root of the checkout.
    path: PathBuf,
    text: String,
}

fn pages(registry: &Registry) -> Vec<Page> {
    let folder = Path::new("docs/connectors");
    let page = |path: PathBuf, body: String| Page { path, text: format!("{HEADER}\n{body}") };
    let mut all = vec![
        page(folder.join("README.md"), connector::index(registry)),
        page("docs/guide/types.md".into(), types::page(registry)),
    ];
    for def in registry.connectors() {
        all.push(page(folder.join(format!("{}.md", def.name)), connector::page(def)));
    }
    all
}

pub(crate) fn write(root: &Path, registry: &Registry) -> Result<()> {
    for page in pages(registry) {
        let path = root.join(&page.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        if std::fs::read_to_string(&path).ok().as_ref() != Some(&page.text) {
            std::fs::write(&path, &page.text)?;
            println!("wrote {}", page.path.display());
        }
    }
    Ok(())
}

pub(crate) fn stale(root: &Path, registry: &Registry) -> Result<Problems> {
    let all = pages(registry);
    let mut out: Problems = all
        .iter()
        .filter(|p| std::fs::read_to_string(root.join(&p.path)).ok().as_ref() != Some(&p.text))
        .map(|p| format!("{} is stale: run `make docs`", p.path.display()))
        .collect();
    // A page of a connector that is gone.
    for entry in std::fs::read_dir(root.join("docs/connectors")).into_iter().flatten() {
        let path = Path::new("docs/connectors").join(entry?.file_name());
        if !all.iter().any(|p| p.path == path) {
            out.push(format!("{} is nobody's page: remove it", path.display()));
        }
    }
    Ok(out)
}

/// A Markdown table; columns that are empty in every row are left out, but for the first.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let used: Vec<usize> = (0..head.len()).filter(|i| *i == 0 || rows.iter().any(|r| !r[*i].is_empty())).collect();
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut out = line(used.iter().map(|i| head[*i]).collect());
    out.push_str(&line(used.iter().map(|_| "---").collect()));
    for row in rows {
        let cells: Vec<String> = used.iter().map(|i| row[*i].replace('|', "\\|").replace('\n', " ")).collect();
        out.push_str(&line(cells.iter().map(String::as_str).collect()));
    }
    out
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_leave_out_empty_columns_and_escape_bars() {
        let rows = vec![vec!["a|b".to_string(), String::new(), "c".into()]];
        assert_eq!(table(&["x", "y", "z"], &rows), "| x | z |\n| --- | --- |\n| a\\|b | c |\n");
    }

    #[test]
    fn a_changed_page_is_stale_until_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let registry = xdb_registry::registry();
        assert!(!stale(dir.path(), &registry).unwrap().is_empty());
        write(dir.path(), &registry).unwrap();
        assert_eq!(stale(dir.path(), &registry).unwrap(), Problems::new());
        std::fs::write(dir.path().join("docs/connectors/gone.md"), "").unwrap();
        std::fs::write(dir.path().join("docs/guide/types.md"), "edited").unwrap();
        assert_eq!(stale(dir.path(), &registry).unwrap().len(), 2);
    }
}
