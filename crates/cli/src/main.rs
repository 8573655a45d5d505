//! The binary `xdb`: arguments, printing, progress, exit codes. What a command does is in the crates below.

mod app;
mod args;
mod commands;
mod console;
mod demo;
mod logging;
mod output;

fn main() -> std::process::ExitCode {
    app::main()
}
