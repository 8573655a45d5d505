//! Lines about what goes on: with a clock in front for people, one JSON object each for programs.

use crate::args::LogFormat;
use crate::{console, logging};
use serde_json::{Value, json};

/// `--log-format json`: time, level, event, and the event's own fields.
pub(crate) fn json_line(level: &str, event: &str, fields: Value) {
    let ts = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let mut all = json!({"ts": ts, "level": level, "event": event});
    if let (Some(all), Value::Object(fields)) = (all.as_object_mut(), fields) {
        all.extend(fields);
    }
    if level == "error" || !console::settings().quiet {
        console::line(&all.to_string());
    }
}

/// `14:02:11  text`, or a JSON event with the text as `message`.
pub(crate) fn say(level: &str, event: &str, text: &str, fields: Value) {
    tracing::info!(target: logging::UI, "{text}");
    match console::settings().format {
        LogFormat::Json => {
            let mut fields = fields;
            if let Some(f) = fields.as_object_mut() {
                f.insert("message".into(), text.into());
            }
            json_line(level, event, fields);
        }
        LogFormat::Text => {
            let clock = chrono::Local::now().format("%H:%M:%S");
            let stamped = text.lines().map(|l| format!("{clock}  {l}").trim_end().to_string()).collect::<Vec<_>>();
            let text = if stamped.is_empty() { clock.to_string() } else { stamped.join("\n") };
            if level == "info" { console::note(&text) } else { console::line(&text) }
        }
    }
}

/// A plain remark.
pub(crate) fn info(text: &str) {
    say("info", "message", text, json!({}));
}
pub(crate) fn warn(text: &str) {
    say("warn", "message", &format!("{} {text}", console::Paint::Yellow.on("warning:")), json!({}));
}
