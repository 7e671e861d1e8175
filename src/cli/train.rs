//! `redknot train`

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;

use redknot::routing::Level;
use redknot::train::{PcaOptions, TrainOptions, TrainPhase};
use redknot::{Database, RouterProgress, Training, TrainingReport};
use serde::Serialize;

use super::Outcome;
use super::error::CliError;
use super::interrupt::Interrupt;
use super::open::{CollectionArgs, DatabaseArgs};
use super::output::{self, Output, Report};
use super::progress::Progress;
use super::router::{level_table, load_queries};

/// Arguments of `redknot train`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    collection: CollectionArgs,

    /// Queries like those to come (.npy, .fvecs, .bvecs or .jsonl); a tenth of them is held out to calibrate with.
    /// Without, queries are made up from the rows.
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,

    /// Other queries to calibrate with.
    #[arg(long, value_name = "FILE")]
    held_out: Option<PathBuf>,

    /// Rows that searches will ask for, at most.
    #[arg(short, default_value_t = 10)]
    k: usize,

    /// Queries to learn from, at most.
    #[arg(long, default_value_t = TrainOptions::default().queries)]
    limit: usize,

    /// Steps of gradient descent.
    #[arg(long, default_value_t = TrainOptions::default().steps)]
    steps: usize,

    /// Bytes of a key: 32, 64, 96 or 128 [default: 32 up to 128 dimensions, else 64].
    #[arg(long)]
    key_bytes: Option<usize>,

    /// The share of a node's neighbours in its key, 0 to 0.9.
    #[arg(long, default_value_t = PcaOptions::default().lambda)]
    lambda: f32,

    /// Seed of the sample, the order of queries and the made-up ones.
    #[arg(long, default_value_t = PcaOptions::default().seed)]
    seed: u64,
}

/// What training came to, as it is shown.
#[derive(Serialize)]
struct Shown {
    collection: String,
    accepted: bool,
    levels: Vec<Level>,
    before: Option<Vec<Level>>,
    training: Training,
    best_step: usize,
    stopped_early: bool,
}

impl Report for Shown {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Training { queries, order_before, order_after, seconds, .. } = &self.training;
        writeln!(
            out,
            "{}: learned from {} {}queries in {seconds:.1} s; near pairs in the right order: {:.1} % before, {:.1} % after",
            self.collection,
            output::count(*queries as u64),
            if self.training.synthesised { "made-up " } else { "" },
            order_before * 100.0,
            order_after * 100.0,
        )?;
        writeln!(out, "{}", level_table(&self.levels))?;
        let verdict = match (self.accepted, self.before.is_some()) {
            (true, _) => "searches follow the router wherever it is faster",
            (false, true) => "no gain over the router that is there: it stays",
            (false, false) => "no gain: searches stay greedy",
        };
        writeln!(out, "{verdict}")
    }
}

/// Runs `redknot train`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = args.database.open_to_write()?;
    let info = args.collection.find(&database)?;
    let interrupt = Interrupt::catch()?;
    let queries = load_queries(args.queries.as_ref(), &info)?;
    let held_out = load_queries(args.held_out.as_ref(), &info)?;
    let pca = PcaOptions {
        key_bytes: args.key_bytes,
        lambda: args.lambda,
        seed: args.seed,
        ..PcaOptions::default()
    };
    let options = TrainOptions { pca, queries: args.limit, steps: args.steps, ..TrainOptions::default() };
    let with = With { queries: queries.as_deref(), held_out: held_out.as_deref(), k: args.k, options };
    let report = train(&database, &info.name, with, args.output, &interrupt)?;
    args.output.show(&Shown {
        collection: info.name,
        accepted: report.accepted,
        levels: report.levels,
        before: report.before,
        training: report.training,
        best_step: report.fit.best_step,
        stopped_early: report.fit.stopped_early,
    })?;
    Ok(Outcome::Done)
}

/// What to train with.
pub(super) struct With<'a> {
    pub(super) queries: Option<&'a [f32]>,
    pub(super) held_out: Option<&'a [f32]>,
    pub(super) k: usize,
    pub(super) options: TrainOptions,
}

/// Trains the router of a collection, with progress.
pub(super) fn train(
    database: &Database,
    name: &str,
    with: With<'_>,
    output: Output,
    interrupt: &Interrupt,
) -> Result<TrainingReport, CliError> {
    // Called from any thread of the training.
    let progress = Mutex::new(Progress::new(output, "train", "steps"));
    let mut training = database.train_router_named(name).k(with.k).options(with.options);
    if let Some(queries) = with.queries {
        training = training.queries(queries);
    }
    if let Some(queries) = with.held_out {
        training = training.held_out(queries);
    }
    let report = training
        .progress(|step| {
            if let Ok(mut progress) = progress.try_lock() {
                show(&mut progress, step);
            }
            if interrupt.pressed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .run();
    drop(progress);
    match report {
        Err(redknot::Error::Cancelled) => {
            Err(CliError::Interrupted { done: "searches go on as before".to_owned() })
        }
        report => Ok(report?),
    }
}

fn show(progress: &mut Progress, step: RouterProgress) {
    match step {
        RouterProgress::Learning(step) => {
            progress.phase(match step.phase {
                TrainPhase::Trajectories => "collecting trajectories",
                TrainPhase::Exact => "comparing queries with rows",
                TrainPhase::Nodes => "gathering nodes",
                TrainPhase::Fit => "fitting",
                _ => "train",
            });
            progress.set(step.done as u64, Some(step.total as u64));
        }
        RouterProgress::Keys => progress.phase("making keys"),
        RouterProgress::Calibrating => progress.phase("calibrating"),
        _ => {}
    }
}
