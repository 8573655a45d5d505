//! `cargo dev`: what the developers of xdb need and its users don't. Checks the architecture, writes the generated docs,
//! starts new connectors, measures.

#![allow(clippy::print_stdout, clippy::print_stderr)] // A command-line tool.

mod bench;
mod docs;
mod layering;
mod lock;
mod scaffold;
mod sources;

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is wrong, one line each.
type Problems = Vec<String>;
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(name = "cargo dev", about = "Tools for working on xdb itself")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Which crate uses which, one Arrow, the form of source files, generated docs not stale.
    Check,
    /// Write the generated docs: docs/connectors/*.md and docs/guide/types.md.
    Docs,
    /// Make the files of a new connector.
    NewConnector {
        /// The `adapter:` value: lower-case letters and digits.
        name: String,
    },
    /// Measure xdb beside its peers.
    Bench {
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let root = repository();
    let done = match Arguments::parse().command {
        Command::Check => check(&root),
        Command::Docs => docs::write(&root, &xdb_registry::registry()),
        Command::NewConnector { name } => scaffold::connector(&root, &name),
        Command::Bench { arguments } => bench::run(&root, &arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The checkout that this binary was built from.
fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

fn check(root: &Path) -> Result<()> {
    let metadata = layering::metadata(root)?;
    let (long, broken) = sources::problems(root)?;
    for warning in &long {
        eprintln!("warning: {warning}");
    }
    let parts = [
        ("layering", layering::problems(&metadata)),
        ("versions", lock::problems(root)?),
        ("source files", broken),
        ("generated docs", docs::stale(root, &xdb_registry::registry())?),
    ];
    let mut count = 0;
    for (part, problems) in &parts {
        println!("{part}: {}", if problems.is_empty() { "fine" } else { "not fine" });
        for p in problems {
            println!("  {p}");
        }
        count += problems.len();
    }
    if count > 0 { Err(format!("{count} problems").into()) } else { Ok(()) }
}
