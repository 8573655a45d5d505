//! What a run looks like: dbt's lines, with what only a federated tool knows added.

use super::errors::{colored, fields};
use super::events::{json_line, say};
use super::progress::Live;
use super::table::people_width;
use super::text::{dotted, plural, thousands};
use crate::args::LogFormat;
use crate::console::{self, Paint};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use xdb_runner::{Event, EventSink, NodeResult, NodeStart, Progress, RunResults, Status};

/// Where the dots end; with the clock before it, column 80.
const WIDTH: usize = 70;
/// The clock before each line, and its two spaces.
const CLOCK: usize = 10;

/// Shows events of one run as they come.
#[derive(Debug)]
pub(crate) struct Reporter {
    live: Option<Live>,
}

impl Reporter {
    pub(crate) fn new() -> Arc<Self> {
        let s = console::settings();
        let live = s.live && !s.quiet && s.format == LogFormat::Text;
        Arc::new(Self { live: live.then(Live::start) })
    }
    pub(crate) fn sink(self: &Arc<Self>) -> EventSink {
        let me = self.clone();
        Arc::new(move |e| me.event(e))
    }

    fn event(&self, event: Event) {
        match event {
            Event::RunStart { total, threads } => {
                let text = format!("Concurrency: {}", plural(threads, "thread"));
                say("info", "run_start", &text, json!({"total": total, "threads": threads}));
                blank();
            }
            Event::NodeStart(n) => {
                let text =
                    format!("{} of {} START {}{}", n.index, n.total, subject(&n.materialized, &n.relation), engine(&n));
                let line = status_line(&text, "[RUN]", "[RUN]", people_width());
                let f = json!({
                    "index": n.index, "total": n.total, "unique_id": n.unique_id, "relation": n.relation,
                    "materialized": n.materialized, "engine": n.engine,
                });
                say("info", "node_start", &line, f);
                if let Some(live) = &self.live {
                    live.add(&n);
                }
            }
            Event::NodeEnd { index, total, result } => {
                if let Some(live) = &self.live {
                    live.remove(&result.unique_id);
                }
                node_end(index, total, &result);
            }
            Event::Message { text, warning } => match warning {
                true => super::events::warn(&text),
                false => super::events::info(&text),
            },
        }
    }
}

/// Progress of one query, until dropped.
#[derive(Debug)]
pub(crate) struct QueryProgress(Option<Live>);
impl QueryProgress {
    /// Only where rows don't go to the same terminal at once: they are printed when all are there, or to a file.
    pub(crate) fn start(name: &str, progress: Arc<Progress>) -> Self {
        let s = console::settings();
        let live = (s.live && !s.quiet && s.format == LogFormat::Text).then(Live::start);
        if let Some(l) = &live {
            l.add_named("query", name, progress);
        }
        Self(live)
    }
    pub(crate) fn stop(&mut self) {
        self.0 = None;
    }
}

fn subject(materialized: &str, relation: &str) -> String {
    match materialized {
        "seed" => format!("seed file {relation}"),
        // It failed before it was known what it is.
        "" => relation.into(),
        m => format!("{m} model {relation}"),
    }
}
fn engine(n: &NodeStart) -> String {
    n.engine.as_ref().map(|e| format!(" [{e}]")).unwrap_or_default()
}

fn node_end(index: usize, total: usize, r: &NodeResult) {
    let what = if r.relation.is_empty() { r.unique_id.clone() } else { r.relation.clone() };
    let what = subject(&r.materialized, &what);
    let (level, word, paint, end, rest) = match r.status {
        Status::Success => {
            let verb = if r.materialized == "seed" { "OK loaded" } else { "OK created" };
            ("info", verb, Paint::Green, summary(r), String::new())
        }
        Status::Error => ("error", "ERROR creating", Paint::Red, "ERROR".into(), format!(" in {:.2}s", r.seconds)),
        Status::Skipped => ("info", "SKIP", Paint::Yellow, "SKIP".into(), String::new()),
        Status::Cancelled => ("info", "CANCEL", Paint::Yellow, "CANCEL".into(), String::new()),
    };
    let line = status_line(
        &format!("{index} of {total} {word} {what}"),
        &format!("[{end}{rest}]"),
        &format!("[{}{rest}]", paint.on(&end)),
        people_width(),
    );
    let f = json!({
        "index": index, "total": total, "unique_id": r.unique_id, "status": r.status.as_str(),
        "relation": r.relation, "materialized": r.materialized, "engine": r.engine, "rows": r.rows, "read": r.reads,
        "bytes_written": r.bytes_written, "seconds": r.seconds, "notes": r.notes,
        "skipped_because": r.skipped_because, "error": r.error.as_ref().map(fields),
    });
    say(level, "node_end", &line, f);
    if console::settings().format == LogFormat::Text {
        r.notes.iter().for_each(|n| super::events::info(&format!("  note: {n}")));
    }
}

/// `text ..... [end]`. On a terminal too narrow for dbt's layout the dots give way, and what still doesn't fit goes to a
/// line of its own. `painted` is `end` with its colours.
fn status_line(text: &str, end: &str, painted: &str, terminal: Option<usize>) -> String {
    let (text_width, end_width) = (text.chars().count(), end.chars().count());
    let room = terminal.map_or(usize::MAX, |w| w.saturating_sub(CLOCK));
    if WIDTH + 1 + end_width <= room {
        format!("{} {painted}", dotted(text, WIDTH))
    } else if text_width + 3 + end_width <= room {
        format!("{} {painted}", dotted(text, room - 1 - end_width))
    } else {
        format!("{text}\n    {painted}")
    }
}

/// `99,996 rows; read postgres_prod 150,000, mysql_legacy 1,500,000 in 1.84s`
fn summary(r: &NodeResult) -> String {
    let rows = r.rows.map(|n| format!("{} {}", thousands(n), if n == 1 { "row" } else { "rows" }));
    let reads: Vec<String> = r.reads.iter().map(|x| format!("{} {}", x.connection, thousands(x.rows))).collect();
    let reads = (!reads.is_empty()).then(|| format!("read {}", reads.join(", ")));
    let parts: Vec<String> = rows.into_iter().chain(reads).collect();
    let what = if parts.is_empty() { "OK".to_string() } else { parts.join("; ") };
    format!("{what} in {:.2}s", r.seconds)
}

fn blank() {
    if console::settings().format == LogFormat::Text {
        super::events::info("");
    }
}

/// The end of a run: errors in full, then the counts.
pub(crate) fn finish(results: &RunResults) {
    let failed: Vec<&Arc<NodeResult>> = results.results.iter().filter(|r| r.status == Status::Error).collect();
    let cancelled = results.results.iter().filter(|r| r.status == Status::Cancelled);
    // One that was stopped while it ran did not succeed; one that never started was skipped.
    let stopped = cancelled.clone().filter(|r| r.seconds > 0.0).count();
    let not_started = cancelled.count() - stopped;
    let pass = results.count(Status::Success);
    let error = failed.len() + stopped;
    let skip = results.count(Status::Skipped) + not_started;
    let total = results.results.len();
    let counts = format!("Done. PASS={pass} WARN=0 ERROR={error} SKIP={skip} TOTAL={total}");
    if console::settings().format == LogFormat::Json {
        let f = json!({
            "pass": pass, "warn": 0, "error": error, "skip": skip, "total": total, "elapsed": results.elapsed,
            "interrupted": results.interrupted, "message": counts,
        });
        json_line(if results.is_success() { "info" } else { "error" }, "run_end", f);
        return;
    }
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    results.results.iter().for_each(|r| *kinds.entry(r.materialized.as_str()).or_default() += 1);
    let noun = |kind: &str| match kind {
        "seed" => "seed".to_string(),
        // These failed before it was known what they are.
        "" => "model".to_string(),
        kind => format!("{kind} model"),
    };
    let kind = |(k, n): (&&str, &usize)| plural(*n, &noun(k));
    let kinds: Vec<String> = kinds.iter().map(kind).collect();
    blank();
    super::events::info(&format!("Finished running {} in {:.2}s.", kinds.join(", "), results.elapsed));
    blank();
    if failed.is_empty() && !results.interrupted {
        super::events::info(&Paint::Green.on("Completed successfully"));
        blank();
    }
    for r in &failed {
        if let Some(e) = &r.error {
            console::line(&colored(&e.report()));
            console::line("");
        }
    }
    if results.interrupted {
        super::events::warn("interrupted; what had been built before stays, everything else is as it was");
    }
    // Asked for or not, a failed run says what it did.
    let level = if results.is_success() { "info" } else { "error" };
    say(level, "run_end", &counts, json!({}));
}

#[cfg(test)]
mod tests {
    use super::*;
    use xdb_runner::Read;

    #[test]
    fn lines_are_as_documented() {
        let start = format!("1 of 3 START {} [datafusion]", subject("table", "marts.cross_db_analysis"));
        assert_eq!(
            status_line(&start, "[RUN]", "[RUN]", None),
            "1 of 3 START table model marts.cross_db_analysis [datafusion] ........ [RUN]"
        );
        // With the clock before it, 80 columns.
        assert_eq!(
            status_line(&start, "[RUN]", "[RUN]", Some(80)),
            "1 of 3 START table model marts.cross_db_analysis [datafusion] .. [RUN]"
        );
        assert_eq!(
            status_line("2 of 3 OK", "[4 rows]", "<4 rows>", Some(80)),
            format!("{} <4 rows>", dotted("2 of 3 OK", 61))
        );
        assert_eq!(status_line("2 of 3 OK", "[4 rows]", "<4 rows>", Some(24)), "2 of 3 OK\n    <4 rows>");
        let read = |c: &str, rows| Read { connection: c.into(), rows, bytes: 1 };
        let r = NodeResult {
            unique_id: "model.x.y".into(),
            status: Status::Success,
            materialized: "table".into(),
            relation: "marts.cross_db_analysis".into(),
            engine: None,
            rows: Some(99_996),
            reads: vec![read("postgres_prod", 150_000), read("mysql_legacy", 1_500_000)],
            bytes_written: 0,
            seconds: 1.84,
            notes: vec![],
            error: None,
            skipped_because: None,
            compiled_path: None,
        };
        assert_eq!(summary(&r), "99,996 rows; read postgres_prod 150,000, mysql_legacy 1,500,000 in 1.84s");
    }
}
