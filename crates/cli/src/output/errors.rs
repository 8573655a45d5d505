//! Errors: how they look, and the exit code they mean.

use crate::args::LogFormat;
use crate::console::{self, Paint};
use serde_json::json;
use xdb_core::{Error, ErrorKind};

/// 0 is success.
pub(crate) const FAILED: u8 = 1;
pub(crate) const UNEXPECTED: u8 = 2;

/// 1: the input is wrong or something it needs isn't there; 2: a bug, or interrupted.
pub(crate) fn exit_code(e: &Error) -> u8 {
    match e.kind() {
        ErrorKind::Internal | ErrorKind::Cancelled => UNEXPECTED,
        _ => FAILED,
    }
}

/// The whole report, or one JSON event.
pub(crate) fn print(e: &Error) {
    if console::settings().format == LogFormat::Json {
        super::events::json_line("error", "error", fields(e));
    } else {
        console::line(&colored(&e.report()));
    }
}

pub(crate) fn fields(e: &Error) -> serde_json::Value {
    let c = e.context();
    json!({
        "kind": e.kind().as_str(), "message": e.message(), "causes": e.causes(), "hint": e.hint_text(),
        "at": c.location, "model": c.model, "connection": c.connection, "relation": c.relation,
        "code": c.code, "sql": c.sql,
    })
}

/// `error:` and `hint:` stand out.
pub(crate) fn colored(report: &str) -> String {
    let line = |l: &str| match l {
        l if l.starts_with("error:") => format!("{}{}", Paint::Red.on("error:"), &l[6..]),
        l if l.starts_with("hint:") => format!("{}{}", Paint::Green.on("hint:"), &l[5..]),
        l => l.to_string(),
    };
    report.lines().map(line).collect::<Vec<_>>().join("\n")
}
