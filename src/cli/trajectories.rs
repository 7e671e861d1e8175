//! `redknot trajectories`

use std::io::{self, Write};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Mutex;

use redknot::train::{TraceOptions, TrajectoryExport};
use serde::Serialize;

use super::Outcome;
use super::bench::measure::Queries;
use super::error::CliError;
use super::interrupt::Interrupt;
use super::open::{CollectionArgs, DatabaseArgs};
use super::output::{self, Output, Report};
use super::progress::Progress;

/// Arguments of `redknot trajectories`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    collection: CollectionArgs,

    /// Queries like those to come (.npy, .fvecs, .bvecs or .jsonl).
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,

    /// The folder for the npy files; created where it does not exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// The first so many queries only.
    #[arg(long)]
    limit: Option<NonZero<usize>>,

    /// Exact answers that paths lead to.
    #[arg(short, default_value_t = TraceOptions::default().k)]
    k: usize,

    /// Candidates of the traced searches.
    #[arg(long, default_value_t = TraceOptions::default().ef)]
    ef: usize,
}

#[derive(Serialize)]
struct Shown {
    collection: String,
    folder: String,
    #[serde(flatten)]
    export: TrajectoryExport,
}

impl Report for Shown {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let TrajectoryExport { queries, steps, edges, right_edges, .. } = self.export;
        writeln!(
            out,
            "{}: {} trajectories of {} steps with {} links, of which {:.1} % begin a shortest path to an answer",
            self.folder,
            output::count(queries as u64),
            output::count(steps as u64),
            output::count(edges as u64),
            right_edges as f64 / edges.max(1) as f64 * 100.0,
        )?;
        match self.export.stored_features {
            true => Ok(()),
            false => writeln!(
                out,
                "betweenness is 0: {} has no graph features that are up to date (redknot features --compute)",
                self.collection
            ),
        }
    }
}

/// Runs `redknot trajectories`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = args.database.open_to_read()?;
    let info = args.collection.find(&database)?;
    let queries = Queries::load(&args.queries, args.limit, &info.config)?;
    let interrupt = Interrupt::catch()?;
    let progress = Mutex::new(Progress::new(args.output, "tracing", "queries"));
    let written = database
        .training_trajectories_named(&info.name)
        .options(TraceOptions { k: args.k, ef: args.ef })
        .progress(|step| {
            if let Ok(mut progress) = progress.try_lock() {
                progress.set(step.done as u64, Some(step.total as u64));
            }
            interrupt.go_on()
        })
        .write(&queries.all(), &args.out);
    drop(progress);
    let export = CliError::unless_interrupted(written, "the folder holds no complete export")?;
    let folder = args.out.display().to_string();
    args.output.show(&Shown { collection: info.name, folder, export })?;
    Ok(Outcome::Done)
}
