//! `xdb init`: a new project, or the demo with its databases.

use crate::app::App;
use crate::args::{Global, Init, ProjectArgs, Seed, Selection, ThreadsArg};
use crate::console;
use crate::demo;
use std::path::{Path, PathBuf};
use xdb_core::{Error, Result};

pub(crate) async fn run(app: &App, args: Init) -> Result<u8> {
    if args.demo {
        return with_demo(app, args.name.unwrap_or_else(|| PathBuf::from("."))).await;
    }
    let dir = args.name.ok_or_else(|| {
        Error::config("a new project needs a name").hint("xdb init my_project, or xdb init --demo for the example")
    })?;
    let name = project_name(&dir)?;
    if dir.join("xdb_project.yml").exists() || dir.join("dbt_project.yml").exists() {
        return Err(Error::config(format!("there is a project in {} already", dir.display())));
    }
    for (path, text) in demo::SCAFFOLD {
        write_new(&dir.join(path), &text.replace("{name}", &name))?;
    }
    console::note(&format!(
        "Made the project `{name}` in {}. Next:\n\n  cd {}\n  xdb run\n  xdb show example",
        dir.display(),
        dir.display()
    ));
    Ok(0)
}

/// The folder's name as Jinja and YAML take it.
fn project_name(dir: &Path) -> Result<String> {
    let last = dir.file_name().map(|n| n.to_string_lossy().replace(['-', ' ', '.'], "_")).unwrap_or_default();
    let fine = last.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && last.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if fine {
        return Ok(last);
    }
    Err(Error::config(format!("`{}` cannot name a project", dir.display()))
        .hint("use letters, digits and _, beginning with a letter"))
}

async fn with_demo(app: &App, dir: PathBuf) -> Result<u8> {
    let shown = dir;
    let dir = std::path::absolute(&shown)?;
    let project = dir.join("xdb_project.yml");
    if std::fs::read_to_string(&project).is_ok_and(|t| !t.contains("name: coffee"))
        || dir.join("dbt_project.yml").exists()
    {
        return Err(Error::config(format!("there is another project in {}", dir.display()))
            .hint("give the demo a folder of its own: xdb init --demo demo"));
    }
    for (name, text) in demo::FILES {
        // In xdb's own repository they stand under their other names.
        let example = format!("{}.example.yml", name.trim_end_matches(".yml").trim_start_matches("xdb_"));
        if dir.join(example).exists() {
            continue;
        }
        let path = dir.join(name);
        // What somebody has changed stays as it is.
        match std::fs::read_to_string(&path) {
            Ok(there) if there == *text => {}
            Ok(_) => console::note(&format!("kept {name}, which differs from the example's")),
            Err(_) => write_new(&path, text)?,
        }
    }
    // Databases make their files, not their folders.
    let folder = dir.join(demo::DATA);
    std::fs::create_dir_all(&folder)
        .map_err(|e| Error::from(e).with_message(|m| format!("cannot make {}: {m}", folder.display())))?;
    let global = Global { project_dir: Some(dir.clone()), profiles_dir: Some(dir.clone()), ..app.global.clone() };
    let app = App { global, cancel: app.cancel.clone(), registry: app.registry.clone() };
    let seed = Seed {
        project: ProjectArgs::default(),
        selection: Selection::default(),
        threads: ThreadsArg { threads: None },
        fail_fast: true,
    };
    let code = super::seed::run(&app, seed).await?;
    if code == 0 {
        let cd = if shown == Path::new(".") { String::new() } else { format!("  cd {}\n", shown.display()) };
        console::note(&format!("\nThe demo is ready. Next:\n\n{cd}  xdb run\n  xdb show cross_db_analysis"));
    }
    Ok(code)
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    if path.exists() {
        return Err(Error::config(format!("{} is there already", path.display())));
    }
    xdb_runner::write_text(path, text)
}
