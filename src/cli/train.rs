//! `redknot train`

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;

use redknot::routing::Level;
use redknot::train::{AttentionOptions, Encoder, Losses, PcaOptions, TrainOptions, TrainPhase};
use redknot::{Ablated, Database, RouterProgress, Training, TrainingReport};
use serde::Serialize;

use super::Outcome;
use super::bench::measure::Queries;
use super::error::CliError;
use super::interrupt::Interrupt;
use super::open::{CollectionArgs, DatabaseArgs};
use super::output::{self, Output, Report};
use super::progress::Progress;
use super::router::{ablation_table, level_table, origin};

/// Arguments of `redknot train`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    collection: CollectionArgs,

    /// Queries like those to come (.npy, .fvecs, .bvecs or .jsonl); a tenth of them (a fifth of few) is held out to calibrate with.
    /// Without, they are those of the log (see `query-log`), if it has 500 different ones; else they are made up from the
    /// rows.
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,

    /// Learn from the log or not at all.
    #[arg(long, conflicts_with = "queries")]
    from_log: bool,

    /// Make queries up from the rows, whatever was logged.
    #[arg(long, conflicts_with_all = ["queries", "from_log"])]
    made_up: bool,

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

    /// What makes the keys.
    #[arg(long, value_enum, default_value_t)]
    encoder: Kind,

    /// Layers of attention: each reaches one hop further.
    #[arg(long, default_value_t = AttentionOptions::default().layers)]
    layers: usize,

    /// Heads of a layer of attention.
    #[arg(long, default_value_t = AttentionOptions::default().heads)]
    heads: usize,

    /// Numbers that a head of attention makes of a node.
    #[arg(long, default_value_t = AttentionOptions::default().hidden)]
    hidden: usize,

    /// Measure keys from principal axes alone and those of all encoders as well, to see what each is worth.
    #[arg(long)]
    ablation: bool,

    /// Seed of the sample, the order of queries and the made-up ones.
    #[arg(long, default_value_t = PcaOptions::default().seed)]
    seed: u64,
}

/// What makes the keys of a router.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Kind {
    /// The vector of a node alone.
    Linear,
    /// And the mean of its neighbours.
    #[default]
    Mean,
    /// And graph attention over its neighbourhood.
    Attention,
    /// All of these are trained one after the other, and the one that measures best is kept.
    Auto,
}

/// What training came to, as it is shown.
#[derive(Serialize)]
struct Shown {
    collection: String,
    accepted: bool,
    levels: Vec<Level>,
    before: Option<Vec<Level>>,
    training: Training,
    /// Whether it went on with one that was interrupted, and the steps that it did not have to do again.
    resumed: bool,
    resumed_steps: usize,
    best_step: usize,
    stopped_early: bool,
    ablation: Vec<Ablated>,
}

impl Report for Shown {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Training { queries, order_before, order_after, seconds, .. } = &self.training;
        writeln!(
            out,
            "{}: learned from {} {}queries in {seconds:.1} s; near pairs in the right order: {:.1} % before, {:.1} % after",
            self.collection,
            output::count(*queries as u64),
            origin(&self.training),
            order_before * 100.0,
            order_after * 100.0,
        )?;
        if self.resumed {
            writeln!(
                out,
                "went on with a training that was interrupted: {} steps were done",
                self.resumed_steps
            )?;
        }
        writeln!(out, "{}", level_table(&self.levels))?;
        if !self.ablation.is_empty() {
            writeln!(out, "{}", ablation_table(&self.ablation))?;
        }
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
    let queries = Queries::flat(args.queries.as_deref(), &info.config)?;
    let held_out = Queries::flat(args.held_out.as_deref(), &info.config)?;
    let pca = PcaOptions {
        key_bytes: args.key_bytes,
        lambda: args.lambda,
        seed: args.seed,
        ..PcaOptions::default()
    };
    let AttentionOptions { inputs, neighbors, steps, .. } = AttentionOptions::default();
    let (layers, heads, hidden) = (args.layers, args.heads, args.hidden);
    let attention =
        AttentionOptions { layers, heads, hidden, inputs, neighbors, steps: steps.min(args.steps) };
    let encoders = match args.encoder {
        Kind::Linear => vec![Encoder::Linear],
        Kind::Mean => vec![Encoder::Mean],
        Kind::Attention => vec![Encoder::Attention(attention)],
        Kind::Auto => vec![Encoder::Linear, Encoder::Mean, Encoder::Attention(attention)],
    };
    let options = TrainOptions { pca, queries: args.limit, steps: args.steps, ..TrainOptions::default() };
    let source = match &queries {
        Some(queries) => Source::Given(queries),
        None if args.from_log => Source::Log,
        None if args.made_up => Source::MadeUp,
        None => Source::LogIfAny,
    };
    let (held_out, ablation) = (held_out.as_deref(), args.ablation);
    let with = With { source, held_out, k: args.k, options, encoders: &encoders, ablation };
    let report = train(&database, &info.name, with, args.output, &interrupt)?;
    args.output.show(&Shown {
        collection: info.name,
        accepted: report.accepted,
        levels: report.levels,
        before: report.before,
        training: report.training,
        resumed: report.resumed,
        resumed_steps: report.fit.resumed,
        best_step: report.fit.best_step,
        stopped_early: report.fit.stopped_early,
        ablation: report.ablation,
    })?;
    Ok(Outcome::Done)
}

/// Where queries come from.
pub(super) enum Source<'a> {
    /// From the log, if it has enough; else they are made up.
    LogIfAny,
    Log,
    MadeUp,
    Given(&'a [f32]),
}

/// What to train with.
pub(super) struct With<'a> {
    pub(super) source: Source<'a>,
    pub(super) held_out: Option<&'a [f32]>,
    pub(super) k: usize,
    pub(super) options: TrainOptions,
    /// One of them is kept; without any, that of the options.
    pub(super) encoders: &'a [Encoder],
    pub(super) ablation: bool,
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
    training = training.encoders(with.encoders).ablation(with.ablation);
    training = match with.source {
        Source::LogIfAny => training,
        Source::Log => training.from_log(),
        Source::MadeUp => training.made_up(),
        Source::Given(queries) => training.queries(queries),
    };
    if let Some(queries) = with.held_out {
        training = training.held_out(queries);
    }
    let report = training
        .progress(|step| {
            if let Ok(mut progress) = progress.try_lock() {
                show(&mut progress, step);
            }
            interrupt.go_on()
        })
        .run();
    drop(progress);
    CliError::unless_interrupted(
        report,
        "searches go on as before; the same command goes on with this training",
    )
}

fn show(progress: &mut Progress, step: RouterProgress) {
    match step {
        RouterProgress::Learning(step) => {
            let phase = match step.phase {
                TrainPhase::Trajectories => "collecting trajectories",
                TrainPhase::Exact => "comparing queries with rows",
                TrainPhase::Nodes => "gathering nodes",
                TrainPhase::Fit => "fitting",
                TrainPhase::Attend => "fitting attention",
                _ => "train",
            };
            progress.phase(phase);
            if let Some(Losses { training, held_out, order, recall, .. }) = step.losses {
                progress.detail(format!(
                    ", loss {training:.4}, of held-out queries {held_out:.4} with {:.1} % of near pairs in order, {:.1} % of the 10 nearest among 20",
                    100.0 * order,
                    100.0 * recall,
                ));
            }
            progress.set(step.done as u64, Some(step.total as u64));
        }
        RouterProgress::Keys => progress.phase("making keys"),
        RouterProgress::Calibrating => progress.phase("calibrating"),
        _ => {}
    }
}
