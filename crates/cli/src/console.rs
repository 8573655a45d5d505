//! The one place that prints. Everything a person reads goes to stderr, data goes to stdout.
//!
//! Text passes [`scrub`] on its way, so that no secret value that this process has met is shown or logged. Rows of a
//! query are data and pass unchanged.

use crate::args::LogFormat;
use indicatif::MultiProgress;
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use xdb_core::secret::MASK;
use xdb_core::{Error, Result};

/// What printing depends on, settled once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub quiet: bool,
    pub format: LogFormat,
    pub color: bool,
    /// stderr is a terminal.
    pub live: bool,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();
static SECRETS: RwLock<Vec<String>> = RwLock::new(Vec::new());
/// Bars on the terminal's last lines, which other lines must be printed above.
static BARS: Mutex<Option<MultiProgress>> = Mutex::new(None);
static PIPE_CLOSED: AtomicBool = AtomicBool::new(false);

pub(crate) fn configure(settings: Settings) {
    let _ = SETTINGS.set(settings);
}
pub(crate) fn settings() -> Settings {
    *SETTINGS.get_or_init(|| Settings { quiet: false, format: LogFormat::Text, color: false, live: false })
}

/// Whoever read stdout has gone (`xdb ls | head -1`). No error: there is nobody to print for.
pub(crate) fn pipe_closed() -> bool {
    PIPE_CLOSED.load(Relaxed)
}

/// Never show `values` again. Text of up to three characters is let through: masking it would garble every line.
pub(crate) fn hide(values: impl IntoIterator<Item = String>) {
    let mut all = SECRETS.write().unwrap_or_else(PoisonError::into_inner);
    for v in values.into_iter().filter(|v| v.chars().count() > 3 && v != MASK) {
        if !all.contains(&v) {
            all.push(v);
        }
    }
    // A secret that holds another one goes first.
    all.sort_by_key(|v| std::cmp::Reverse(v.len()));
}

/// `text` without any value given to [`hide`].
pub(crate) fn scrub(text: &str) -> Cow<'_, str> {
    let all = SECRETS.read().unwrap_or_else(PoisonError::into_inner);
    let mut out = Cow::Borrowed(text);
    for s in all.iter() {
        if out.contains(s.as_str()) {
            out = Cow::Owned(out.replace(s.as_str(), MASK));
        }
    }
    out
}

/// Lines go above `bars` until it is taken away again with `None`.
pub(crate) fn set_bars(bars: Option<MultiProgress>) {
    *BARS.lock().unwrap_or_else(PoisonError::into_inner) = bars;
}

/// One or more lines for people, scrubbed, to stderr.
pub(crate) fn line(text: &str) {
    let text = scrub(text);
    let bars = BARS.lock().unwrap_or_else(PoisonError::into_inner);
    match &*bars {
        // With nowhere to write there is nobody to tell.
        Some(b) => drop(b.suspend(|| writeln!(io::stderr(), "{text}"))),
        None => drop(writeln!(io::stderr(), "{text}")),
    }
}

/// A line that `--quiet` leaves out.
pub(crate) fn note(text: &str) {
    if !settings().quiet {
        line(text);
    }
}

/// Text for stdout, scrubbed: a listing, compiled SQL, a plan.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = Stdout::new();
    out.write_all(scrub(text).as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// stdout for rows. A closed pipe is remembered, so that the program can end quietly.
#[derive(Debug)]
pub(crate) struct Stdout(io::BufWriter<io::Stdout>);
impl Stdout {
    pub(crate) fn new() -> Self {
        Self(io::BufWriter::with_capacity(64 << 10, io::stdout()))
    }
}
impl Write for Stdout {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf).inspect_err(remember)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().inspect_err(remember)
    }
}
impl Drop for Stdout {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}
fn remember(e: &io::Error) {
    if e.kind() == io::ErrorKind::BrokenPipe {
        PIPE_CLOSED.store(true, Relaxed);
    }
}

/// Binary output on a terminal is never wanted.
pub(crate) fn refuse_terminal(format: &str) -> Result<()> {
    if !io::stdout().is_terminal() {
        return Ok(());
    }
    Err(Error::config(format!("{format} is binary and stdout is a terminal"))
        .hint(format!("send it to a file: --output {format} > rows.{format}")))
}

/// ANSI colour where it is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Paint {
    Red,
    Green,
    Yellow,
}
impl Paint {
    pub(crate) fn on(self, text: &str) -> String {
        if !settings().color {
            return text.into();
        }
        let code = match self {
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_secrets_are_masked_before_those_within_them() {
        hide(["hunter".into(), "hunter22".into(), "abc".into()]);
        assert_eq!(scrub("hunter22 hunter abc"), format!("{MASK} {MASK} abc"));
    }
}
