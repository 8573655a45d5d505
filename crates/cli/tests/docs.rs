//! Every command that README and the guide show in a `sh` block runs, in the demo project, and exits with 0.
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of a test fail the test.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The lines of all `sh` blocks of a page, without comments.
fn commands(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap();
    let mut out = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            l if inside && !l.is_empty() && !l.starts_with('#') => {
                out.push(l.split("   #").next().unwrap_or(l).trim().to_string());
            }
            _ => {}
        }
    }
    out
}

#[test]
fn the_commands_in_readme_and_guide_run_as_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let home = tempfile::tempdir().unwrap();
    let work = tempfile::tempdir().unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_xdb")).parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(bin.to_path_buf()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    )
    .unwrap();
    let run = |line: &str, dir: &Path| {
        let out = Command::new("sh")
            .args(["-c", line])
            .current_dir(dir)
            .env_clear()
            .env("PATH", &path)
            .env("HOME", home.path())
            .output()
            .unwrap();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        assert!(out.status.success(), "$ {line}\n{}\n{}", text(&out.stdout), text(&out.stderr));
    };
    // The quick start comes first: it makes the project that the other pages' commands run in.
    let mut pages = vec![root.join("docs/guide/quick-start.md"), root.join("README.md")];
    let mut guide: Vec<PathBuf> =
        std::fs::read_dir(root.join("docs/guide")).unwrap().map(|e| e.unwrap().path()).collect();
    guide.sort();
    pages.extend(guide.into_iter().filter(|p| p.file_name().unwrap() != "quick-start.md"));
    let mut dir = work.path().to_path_buf();
    let mut ran = 0;
    for page in pages {
        for line in commands(&page) {
            if let Some(to) = line.strip_prefix("cd ") {
                dir = dir.join(to);
            } else if !line.starts_with("make ") && !line.starts_with("cargo ") {
                run(&line, &dir);
                ran += 1;
            }
        }
    }
    assert!(ran > 12, "only {ran} commands were found");
}
