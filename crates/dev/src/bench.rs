//! `cargo dev bench`: the place of the benchmarks' driver.

use crate::Result;
use std::path::Path;

pub(crate) fn run(_root: &Path, _arguments: &[String]) -> Result<()> {
    Err("the benchmarks are not here yet".into())
}
