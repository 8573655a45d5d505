//! `xdb clean`: removes the folders under `clean-targets`.

use crate::app::App;
use crate::args::Clean;
use crate::output::events;
use std::path::{Component, Path, PathBuf};
use xdb_core::{Error, Result};
use xdb_project::Project;

pub(crate) fn run(app: &App, args: Clean) -> Result<u8> {
    let options = app.options(&args.project, "clean")?;
    // Not a workspace: cleaning must work where a model is broken.
    let project = Project::load(&options.load)?;
    let keep =
        [&project.file.model_paths, &project.file.seed_paths, &project.file.macro_paths, &project.file.test_paths];
    for dir in options.target_path.iter().chain(&project.file.clean_targets) {
        let path = inside(&project.root, dir)?;
        if keep.iter().flat_map(|k| k.iter()).any(|k| project.root.join(k).starts_with(&path)) {
            return Err(Error::config(format!(
                "clean-targets names `{}`, which holds the project's own files",
                dir.display()
            ))
            .at(project.file.file.display(), 0)
            .hint("only folders that xdb writes belong there, e.g. target, logs"));
        }
        if !path.exists() {
            continue;
        }
        std::fs::remove_dir_all(&path)
            .map_err(|e| Error::from(e).with_message(|m| format!("cannot remove {}: {m}", path.display())))?;
        events::info(&format!("removed {}", path.display()));
    }
    Ok(0)
}

/// `dir` below `root`; nothing outside the project is ever removed.
fn inside(root: &Path, dir: &Path) -> Result<PathBuf> {
    let mut out = PathBuf::new();
    for part in root.join(dir).components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            p => out.push(p),
        }
    }
    if out.starts_with(root) && out != root {
        return Ok(out);
    }
    Err(Error::config(format!("clean will not remove `{}`: it is not inside the project", dir.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn only_folders_inside_the_project_are_removed() {
        let root = Path::new("/p/x");
        assert_eq!(inside(root, Path::new("target/./a")).unwrap(), Path::new("/p/x/target/a"));
        for bad in [".", "..", "../x", "/", "/etc", "a/../.."] {
            assert!(inside(root, Path::new(bad)).is_err(), "{bad}");
        }
    }
}
