//! One invocation: from arguments to an exit code. Nothing heavy happens before the arguments are understood, so that
//! `xdb --version` answers at once.

use crate::args::{Cli, Command, Global, LogFormat, ProjectArgs};
use crate::console::{self, Settings};
use crate::output::{errors, events};
use crate::{commands, logging};
use clap::Parser;
use clap::error::ErrorKind as Usage;
use serde_json::json;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use xdb_core::{Error, ErrorKind, Registry, Result};
use xdb_project::{LoadOptions, Profiles, Project};
use xdb_runner::{AdHoc, Connections, Options, Setup, Workspace};

static PANICKED: AtomicBool = AtomicBool::new(false);
/// For cancel requests that dropped queries have sent off.
const GRACE: Duration = Duration::from_millis(300);

pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(c) => c,
        Err(e) => {
            // Nobody to tell where this fails.
            let _ = e.print();
            return match e.kind() {
                Usage::DisplayHelp | Usage::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(errors::FAILED),
            };
        }
    };
    configure(&cli.global);
    std::panic::set_hook(Box::new(report_panic));
    // A panic on this thread has been reported by the hook already.
    let code = std::panic::catch_unwind(|| run(cli)).unwrap_or(errors::UNEXPECTED);
    ExitCode::from(if PANICKED.load(Relaxed) { errors::UNEXPECTED } else { code })
}

fn configure(global: &Global) {
    let tty = std::io::stderr().is_terminal();
    let no_color = global.no_color || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
    console::configure(Settings {
        quiet: global.quiet,
        format: global.log_format,
        color: tty && std::io::stdout().is_terminal() && !no_color && !dumb && global.log_format == LogFormat::Text,
        live: tty && !dumb,
    });
    logging::start(global);
    // Known by their names: no profile has to be read for these.
    let secret = |n: &str| n.starts_with("XDB_ENV_SECRET_") || n.starts_with("DBT_ENV_SECRET_");
    console::hide(
        std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .filter_map(|(k, v)| secret(&k).then_some(v)),
    );
}

fn report_panic(info: &std::panic::PanicHookInfo<'_>) {
    PANICKED.store(true, Relaxed);
    let what = info.payload().downcast_ref::<&str>().map(|s| s.to_string());
    let what = what.or_else(|| info.payload().downcast_ref::<String>().cloned()).unwrap_or_else(|| "?".into());
    let place = info.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    console::line(&format!("internal error: this is a bug in xdb {version}, please report it: {what}{place}"));
    tracing::error!(backtrace = %std::backtrace::Backtrace::force_capture(), "panic: {what}{place}");
}

fn run(cli: Cli) -> u8 {
    if let Command::Completions(c) = &cli.command {
        return finish(commands::completions::run(c));
    }
    let threads = std::thread::available_parallelism().map(|n| n.get()).unwrap_or(4);
    let threads = cli.command.threads().unwrap_or(0).max(threads) + 1;
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build() {
        Ok(r) => r,
        Err(e) => return finish(Err(Error::from(e).with_message(|m| format!("cannot start threads: {m}")))),
    };
    let app =
        App { global: cli.global, cancel: CancellationToken::new(), registry: Arc::new(xdb_registry::registry()) };
    let code = runtime.block_on(async {
        let listener = tokio::spawn(listen(app.cancel.clone()));
        let out = commands::run(&app, cli.command).await;
        if app.cancel.is_cancelled() {
            tokio::time::sleep(GRACE).await;
        }
        listener.abort();
        let interrupted = app.cancel.is_cancelled();
        match out {
            Err(e) if interrupted && e.kind() == ErrorKind::Cancelled => errors::UNEXPECTED,
            Ok(_) if interrupted => errors::UNEXPECTED,
            other => finish(other),
        }
    });
    // A thread that is stuck in a library must not keep a finished program alive.
    runtime.shutdown_timeout(Duration::from_secs(2));
    code
}

fn finish(out: Result<u8>) -> u8 {
    match out {
        _ if console::pipe_closed() => 0,
        Ok(code) => code,
        Err(e) => {
            tracing::error!(target: logging::UI, "{}", e.report());
            errors::print(&e);
            errors::exit_code(&e)
        }
    }
}

/// The first Ctrl-C (or SIGTERM) cancels and lets everything tidy up; the second ends at once.
async fn listen(cancel: CancellationToken) {
    loop {
        if !signal().await {
            return;
        }
        if cancel.is_cancelled() {
            std::process::exit(errors::UNEXPECTED.into());
        }
        cancel.cancel();
        events::say("warn", "interrupted", "interrupted: cancelling…", json!({}));
    }
}

#[cfg(unix)]
async fn signal() -> bool {
    use tokio::signal::unix::{Signal, SignalKind, signal};
    use tokio::sync::Mutex;
    use tokio::sync::OnceCell;
    // Kept between calls, so that a signal that comes in between isn't lost.
    static SIGNALS: OnceCell<Option<Mutex<(Signal, Signal)>>> = OnceCell::const_new();
    let both = SIGNALS
        .get_or_init(|| async {
            Some(Mutex::new((signal(SignalKind::interrupt()).ok()?, signal(SignalKind::terminate()).ok()?)))
        })
        .await;
    let Some(both) = both else { return false };
    let (int, term) = &mut *both.lock().await;
    tokio::select! {
        s = int.recv() => s.is_some(),
        s = term.recv() => s.is_some(),
    }
}
#[cfg(not(unix))]
async fn signal() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}

/// What every command may use.
#[derive(Debug)]
pub(crate) struct App {
    pub global: Global,
    /// Fired by Ctrl-C.
    pub cancel: CancellationToken,
    pub registry: Arc<Registry>,
}

impl App {
    /// The resolved form of what a command says about the project.
    pub(crate) fn options(&self, project: &ProjectArgs, command: &str) -> Result<Options> {
        let vars = project.vars.as_deref().map(Project::parse_cli_vars).transpose()?.unwrap_or_default();
        Ok(Options {
            load: LoadOptions {
                project_dir: self.global.project_dir.clone(),
                profiles_dir: self.global.profiles_dir.clone(),
                target: project.target.clone(),
                vars,
                ..LoadOptions::default()
            },
            target: project.target.clone(),
            target_path: project.target_path.clone(),
            command: command.into(),
            ..Options::default()
        })
    }

    /// Read the project; its log goes to its folder from here on.
    pub(crate) fn workspace(&self, options: Options) -> Result<Arc<Workspace>> {
        let ws = Arc::new(Workspace::load(self.registry.clone(), options)?);
        self.hide_secrets(ws.connections.profiles());
        logging::to_project(&ws.project.root, &ws.invocation_id);
        for w in &ws.project.warnings {
            events::warn(w);
        }
        Ok(ws)
    }

    /// The connections, without a project where there is none.
    pub(crate) fn profiles(&self) -> Result<Profiles> {
        // Without a project the working folder may have a profiles.yml all the same.
        let project = self.project_dir().or_else(|| std::env::current_dir().ok());
        let profiles = Profiles::find(self.global.profiles_dir.as_deref(), project.as_deref())?;
        self.hide_secrets(&profiles);
        Ok(profiles)
    }
    pub(crate) fn connections(&self) -> Result<Connections> {
        Ok(Connections::new(self.registry.clone(), Arc::new(self.profiles()?)))
    }

    /// The folder with the project file, if there is one: as given, or the nearest at or above the working folder.
    pub(crate) fn project_dir(&self) -> Option<std::path::PathBuf> {
        if let Some(d) = &self.global.project_dir {
            return Some(d.clone());
        }
        Project::find_root(&LoadOptions::default()).ok()
    }

    /// For `query` and the like: only profiles are needed, a project's compute settings count if there is one.
    pub(crate) fn ad_hoc(&self, options: Options) -> Result<AdHoc> {
        let threads = options.threads;
        if self.project_dir().is_some() {
            // A broken model must not stand in the way of looking at data: only the project file counts here.
            if let Ok(project) = Project::load(&options.load) {
                self.hide_secrets(&project.profiles);
                let connections = Connections::new(self.registry.clone(), Arc::new(project.profiles.clone()));
                return Ok(AdHoc {
                    connections,
                    setup: Setup { compute: project.file.compute, threads: threads_of(threads) },
                });
            }
        }
        let setup = Setup { compute: Default::default(), threads: threads_of(threads) };
        Ok(AdHoc { connections: self.connections()?, setup })
    }

    /// `future`, unless Ctrl-C comes first: dropping it cancels what it was doing.
    pub(crate) async fn stoppable<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            _ = self.cancel.cancelled() => Err(Error::cancelled()),
            out = future => out,
        }
    }

    /// Every value that a connection calls secret is never shown from here on.
    fn hide_secrets(&self, profiles: &Profiles) {
        for name in profiles.names() {
            // A profile that can't be read is reported when it is used.
            let Ok(p) = profiles.get(name) else { continue };
            let Ok(def) = self.registry.connector(&p.adapter) else { continue };
            for (key, value) in &p.raw {
                let spec = def.params.iter().find(|s| s.name == key || s.aliases.contains(&key.as_str()));
                if spec.is_some_and(|s| s.secret) {
                    console::hide(texts(value));
                }
            }
        }
        console::hide(profiles.secret_values());
    }
}

/// Every text and number within `value`.
fn texts(value: &serde_json::Value) -> Vec<String> {
    use serde_json::Value::*;
    match value {
        String(s) => vec![s.clone()],
        Number(n) => vec![n.to_string()],
        Array(a) => a.iter().flat_map(texts).collect(),
        Object(m) => m.values().flat_map(texts).collect(),
        Null | Bool(_) => vec![],
    }
}

fn threads_of(n: usize) -> usize {
    match n {
        0 => std::thread::available_parallelism().map(|n| n.get()).unwrap_or(4),
        n => n,
    }
}
