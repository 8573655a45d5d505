//! The live view: a line for each running node, below the lines of finished ones. Only on a terminal.

use super::text::{bytes, short, thousands};
use crate::console;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use xdb_runner::{NodeStart, Progress};

const REDRAW: Duration = Duration::from_millis(100);
const NAME: usize = 26;
const BAR: usize = 10;

#[derive(Debug)]
pub(crate) struct Live {
    multi: MultiProgress,
    running: Arc<Mutex<BTreeMap<String, Line>>>,
    ticker: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Line {
    bar: ProgressBar,
    name: String,
    progress: Arc<Progress>,
}

impl Live {
    /// Starts redrawing; call within the runtime.
    pub(crate) fn start() -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        console::set_bars(Some(multi.clone()));
        let running: Arc<Mutex<BTreeMap<String, Line>>> = Arc::default();
        let all = running.clone();
        let ticker = tokio::spawn(async move {
            let mut clock = tokio::time::interval(REDRAW);
            loop {
                clock.tick().await;
                for line in all.lock().unwrap_or_else(PoisonError::into_inner).values() {
                    line.bar.set_message(message(&line.name, &line.progress));
                    line.bar.tick();
                }
            }
        });
        Self { multi, running, ticker }
    }

    pub(crate) fn add(&self, node: &NodeStart) {
        self.add_named(&node.unique_id, &node.relation, node.progress.clone());
    }
    pub(crate) fn add_named(&self, id: &str, name: &str, progress: Arc<Progress>) {
        let bar = self.multi.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        let line = Line { bar, name: name.into(), progress };
        line.bar.set_message(message(&line.name, &line.progress));
        self.lock().insert(id.into(), line);
    }
    pub(crate) fn remove(&self, id: &str) {
        if let Some(line) = self.lock().remove(id) {
            line.bar.finish_and_clear();
            self.multi.remove(&line.bar);
        }
    }
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Line>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.ticker.abort();
        for line in self.lock().values() {
            line.bar.finish_and_clear();
        }
        console::set_bars(None);
    }
}

fn message(name: &str, p: &Progress) -> String {
    let reads = p.read_so_far();
    let rows: u64 = reads.iter().map(|r| r.1).sum();
    let size: u64 = reads.iter().map(|r| r.2).sum();
    let estimate = p.estimate.lock().ok().and_then(|e| *e);
    line(name, rows, size, p.written.rows(), estimate, p.started.elapsed())
}

/// At most 76 columns, so that it fits 80 with the spinner.
fn line(name: &str, rows: u64, size: u64, written: u64, estimate: Option<u64>, elapsed: Duration) -> String {
    let name = if name.chars().count() > NAME {
        // The end of a name says more than its start.
        let skip = name.chars().count() - NAME + 1;
        format!("…{}", name.chars().skip(skip).collect::<String>())
    } else {
        format!("{name:NAME$}")
    };
    let seconds = elapsed.as_secs_f64();
    let clock = if seconds < 60.0 {
        format!("{seconds:.0}s")
    } else {
        format!("{:.0}m{:02.0}s", (seconds / 60.0).floor(), seconds % 60.0)
    };
    if rows == 0 && written == 0 {
        return format!("{name} {clock}");
    }
    let bar = match estimate {
        Some(e) => {
            // Estimates are estimates: never show more than whole.
            let full = ((rows as f64 / e as f64).min(1.0) * BAR as f64).round() as usize;
            format!("{}{}", "━".repeat(full), "─".repeat(BAR - full))
        }
        None => " ".repeat(BAR),
    };
    let count = |n: u64| if n < 10_000_000 { thousands(n) } else { short(n as f64) };
    let rate = short(rows as f64 / seconds.max(0.05));
    format!("{name} {bar} {:>9} rows {rate:>5}/s {:>7} {clock:>5}", count(rows), bytes(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_eighty_columns() {
        for (rows, size, estimate) in
            [(1, 1, None), (9_999_999, 999_999_999, Some(10)), (6_001_215_000, 1 << 40, Some(1 << 40))]
        {
            let l = line("a_schema.a_very_long_name_of_a_model", rows, size, 0, estimate, Duration::from_secs(3599));
            assert!(l.chars().count() <= 76, "{} {l}", l.chars().count());
        }
        insta::assert_snapshot!(
            line("marts.cross_db_analysis", 1_234_567, 93_400_000, 0, Some(2_000_000), Duration::from_millis(1500)),
            @"marts.cross_db_analysis    ━━━━━━──── 1,234,567 rows  823k/s  93.4MB    2s"
        );
    }
}
