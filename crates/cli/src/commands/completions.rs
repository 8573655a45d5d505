//! `xdb completions SHELL`.

use crate::args::{Cli, Completions};
use crate::console;
use clap::CommandFactory;
use xdb_core::Result;

pub(crate) fn run(args: &Completions) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "xdb", &mut script);
    console::print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
