//! `cargo dev bench`: calls the benchmark's driver, `crates/dev/bench/bench.sh`.

use std::path::Path;
use std::process::Command;

pub(crate) fn run(root: &Path, arguments: &[String]) -> crate::Result<()> {
    let status = Command::new(root.join("crates/dev/bench/bench.sh")).args(arguments).current_dir(root).status()?;
    if status.success() { Ok(()) } else { Err(format!("the benchmark ended with {status}").into()) }
}
