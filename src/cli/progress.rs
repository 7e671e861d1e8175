//! Progress of long work: a bar with rate and ETA on a terminal, a line now and then elsewhere.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::output::{Output, count, duration, on_terminal, rate};

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress of one step.
pub(crate) struct Progress {
    shown: Shown,
    what: String,
    /// What follows it where progress is shown.
    detail: String,
    unit: &'static str,
    start: Instant,
    /// What was done at the start: a build that goes on from a checkpoint did not do that work now.
    base: Option<u64>,
    last_line: Instant,
}

enum Shown {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Progress {
    /// Progress of `what`, counted in `unit`. Programs (`--json`) that are not at a terminal see nothing.
    pub(crate) fn new(output: Output, what: &str, unit: &'static str) -> Self {
        let shown = match (on_terminal(), output.json) {
            (true, _) => Shown::Bar(bar(what, unit)),
            (false, false) => Shown::Lines,
            (false, true) => Shown::Nothing,
        };
        let now = Instant::now();
        Self {
            shown,
            what: what.to_owned(),
            detail: String::new(),
            unit,
            start: now,
            base: None,
            last_line: now,
        }
    }

    /// `done` of `total` is done, where the total is known. The first call of a phase says what was done before it.
    pub(crate) fn set(&mut self, done: u64, total: Option<u64>) {
        let first = self.base.is_none();
        let base = *self.base.get_or_insert(done);
        match &self.shown {
            Shown::Bar(bar) => {
                if let Some(total) = total {
                    bar.set_length(total);
                }
                bar.set_position(done);
                if first {
                    bar.reset_eta();
                }
            }
            Shown::Lines if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                let what = format!("{}{}", self.what, self.detail);
                eprintln!("{}", line(&what, self.unit, base..done, total, self.start.elapsed()));
            }
            Shown::Lines | Shown::Nothing => {}
        }
    }

    /// Work went on to another phase, whose rate has nothing to do with the one before.
    pub(crate) fn phase(&mut self, what: &str) {
        if self.what == what {
            return;
        }
        self.what = what.to_owned();
        self.detail.clear();
        self.start = Instant::now();
        self.base = None;
        if let Shown::Bar(bar) = &self.shown {
            bar.reset();
            bar.set_message(what.to_owned());
        }
    }

    /// What there is to say of the phase now.
    #[cfg(feature = "train")]
    pub(crate) fn detail(&mut self, detail: String) {
        self.detail = detail;
        if let Shown::Bar(bar) = &self.shown {
            bar.set_message(format!("{}{}", self.what, self.detail));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &str, unit: &str) -> ProgressBar {
    let template =
        format!("{{msg}} [{{bar:30}}] {{human_pos}} of {{human_len}} {unit}, {{rate}}/s, {{eta}} left");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    // The one that indicatif knows has four decimals.
    let style = style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
        // A bar has no way to tell that it could not be drawn.
        let _ = out.write_str(&rate(state.per_sec()));
    });
    ProgressBar::no_length().with_style(style.progress_chars("=> ")).with_message(what.to_owned())
}

/// `done` begins with what was done before the time that `elapsed` measures.
fn line(what: &str, unit: &str, done: Range<u64>, total: Option<u64>, elapsed: Duration) -> String {
    let per_second = (done.end - done.start.min(done.end)) as f64 / elapsed.as_secs_f64().max(1e-9);
    let (done, head) = (done.end, format!("{what}: {}", count(done.end)));
    match total {
        Some(total) if per_second > 0.0 => {
            let left = Duration::from_secs_f64(total.saturating_sub(done) as f64 / per_second);
            format!("{head} of {} {unit}, {}/s, {} left", count(total), rate(per_second), duration(left))
        }
        _ => format!("{head} {unit}, {}/s", rate(per_second)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_rate_and_time_left() {
        let ten = Duration::from_secs(10);
        assert_eq!(
            line("import", "rows", 0..1000, Some(3000), ten),
            "import: 1,000 of 3,000 rows, 100/s, 20.00 s left"
        );
        assert_eq!(line("import", "rows", 0..1000, None, ten), "import: 1,000 rows, 100/s");
        assert_eq!(line("import", "rows", 0..0, Some(5), ten), "import: 0 rows, 0/s");
        // What an earlier build has done is not this one's speed.
        assert_eq!(
            line("linking", "rows", 500..1000, Some(1500), ten),
            "linking: 1,000 of 1,500 rows, 50/s, 10.00 s left"
        );
    }
}
