//! `redknot build`

use std::io::{self, Write};
use std::num::NonZero;
use std::sync::Mutex;
use std::time::Duration;

use redknot::{BuildPhase, Database};
use serde::Serialize;

use super::Outcome;
use super::error::CliError;
use super::interrupt::Interrupt;
use super::open::{CollectionArgs, DatabaseArgs};
use super::output::{self, Output, Report};
use super::progress::Progress;

/// Arguments of `redknot build`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    collection: CollectionArgs,

    /// Threads [default: as many as there are processors].
    #[arg(short, long)]
    threads: Option<NonZero<usize>>,

    /// Save the work done so far after each so many seconds, from which a build that was stopped goes on; 0 never does.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    checkpoint_seconds: u64,
}

/// What a build did.
#[derive(Debug, Serialize)]
pub(super) struct Built {
    pub(super) collection: String,
    /// Rows that were linked.
    pub(super) linked: u64,
    /// Of them, rows that a build which was stopped had linked already.
    resumed: u64,
    checkpoints: usize,
    /// Whether rows were laid out anew so that neighbours share pages.
    reordered: bool,
    pub(super) seconds: f64,
    pub(super) rows_per_second: f64,
}

impl Report for Built {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.linked == 0 {
            return writeln!(out, "{}: all rows are linked already", self.collection);
        }
        writeln!(
            out,
            "{}: linked {} rows in {:.2} s, {} rows/s",
            self.collection,
            output::count(self.linked),
            self.seconds,
            output::rate(self.rows_per_second)
        )
    }
}

/// Runs `redknot build`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = args.database.open_to_write()?;
    let info = args.collection.find(&database)?;
    let interrupt = Interrupt::catch()?;
    let checkpoint = (args.checkpoint_seconds > 0).then(|| Duration::from_secs(args.checkpoint_seconds));
    let built = build(&database, &info.name, args.threads, checkpoint, args.output, &interrupt)?;
    args.output.show(&built)?;
    Ok(Outcome::Done)
}

/// Links the rows of a collection, with progress.
pub(super) fn build(
    database: &Database,
    name: &str,
    threads: Option<NonZero<usize>>,
    checkpoint: Option<Duration>,
    output: Output,
    interrupt: &Interrupt,
) -> Result<Built, CliError> {
    // Called from any thread of the build.
    let progress = Mutex::new(Progress::new(output, "build", "rows"));
    let mut build = database.build_named(name).checkpoint_every(checkpoint);
    if let Some(threads) = threads {
        build = build.threads(threads);
    }
    let report = build
        .progress(|step| {
            if let Ok(mut progress) = progress.try_lock() {
                progress.phase(phase_name(step.phase));
                progress.set(step.done as u64, Some(step.total as u64));
            }
            interrupt.go_on()
        })
        .run();
    drop(progress);
    let report = CliError::unless_interrupted(
        report,
        "all rows stay and are found, and the next `redknot build` goes on from the last checkpoint",
    )?;
    let seconds = report.elapsed.as_secs_f64();
    Ok(Built {
        collection: name.to_owned(),
        linked: report.linked,
        resumed: report.resumed,
        checkpoints: report.checkpoints,
        reordered: report.reordered,
        seconds,
        rows_per_second: report.linked as f64 / seconds.max(1e-9),
    })
}

/// What a person reads beside the bar.
fn phase_name(phase: BuildPhase) -> &'static str {
    match phase {
        BuildPhase::Link => "linking",
        BuildPhase::Write => "writing",
        _ => "build",
    }
}
