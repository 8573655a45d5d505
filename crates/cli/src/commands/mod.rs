//! One file a command. Each gets the [`App`] and its arguments, and gives the exit code or the error that ends it.

pub(crate) mod clean;
pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod debug;
pub(crate) mod explain;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod parse;
pub(crate) mod profiles;
pub(crate) mod query;
pub(crate) mod retry;
pub(crate) mod run;
pub(crate) mod seed;
pub(crate) mod show;

use crate::app::App;
use crate::args::Command;
use xdb_core::Result;

pub(crate) async fn run(app: &App, command: Command) -> Result<u8> {
    match command {
        Command::Init(a) => init::run(app, a).await,
        Command::Debug(a) => debug::run(app, a).await,
        Command::Parse(a) => parse::run(app, a),
        Command::Ls(a) => ls::run(app, a),
        Command::Compile(a) => compile::run(app, a).await,
        Command::Run(a) => run::run(app, a).await,
        Command::Seed(a) => seed::run(app, a).await,
        Command::Show(a) => show::run(app, a).await,
        Command::Query(a) => query::run(app, a).await,
        Command::Explain(a) => explain::run(app, a).await,
        Command::Inspect(a) => inspect::run(app, a).await,
        Command::Profiles(a) => profiles::run(app, a).await,
        Command::Retry(a) => retry::run(app, a).await,
        Command::Clean(a) => clean::run(app, a),
        Command::Completions(a) => completions::run(&a),
    }
}

impl Command {
    /// What the command line says about threads.
    pub(crate) fn threads(&self) -> Option<usize> {
        let threads = match self {
            Self::Run(a) => a.threads.threads,
            Self::Seed(a) => a.threads.threads,
            Self::Retry(a) => a.threads.threads,
            Self::Show(a) => a.threads.threads,
            Self::Query(a) => a.threads.threads,
            _ => None,
        };
        threads.map(usize::from)
    }
}
