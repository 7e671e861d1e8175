//! `redknot graph build-knn` and `build-eps`.

use std::io::{self, Write};
use std::num::NonZero;
use std::sync::Mutex;

use redknot::{Database, GraphBuild, GraphPhase};
use serde::Serialize;

use super::Target;
use crate::cli::Outcome;
use crate::cli::error::CliError;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::{self, Report};
use crate::cli::progress::Progress;

/// What both kinds of graphs have.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) target: Target,

    /// Effort of each search [default: 64, or twice the neighbours where that is more].
    #[arg(long)]
    ef: Option<usize>,

    /// Compare each row with every other one instead of searching the index.
    #[arg(long)]
    exact: bool,

    /// Replace a graph of this name.
    #[arg(long)]
    replace: bool,

    /// Rows that recall is measured on.
    #[arg(long, value_name = "ROWS", default_value_t = 1000)]
    recall_sample: usize,

    /// Threads [default: as many as there are processors].
    #[arg(short, long)]
    threads: Option<NonZero<usize>>,
}

/// Arguments of `redknot graph build-knn`.
#[derive(Debug, clap::Args)]
pub(super) struct KnnArgs {
    #[command(flatten)]
    pub(super) common: Common,

    /// Neighbours of each row, 1 to 65535.
    #[arg(short, default_value_t = 10)]
    k: usize,

    /// Join two rows where either is among the other's nearest, rather than lead from a row to its nearest.
    #[arg(long)]
    undirected: bool,
}

/// Arguments of `redknot graph build-eps`.
#[derive(Debug, clap::Args)]
pub(super) struct EpsArgs {
    #[command(flatten)]
    pub(super) common: Common,

    /// Join rows that are at most so far apart, in the metric of the collection.
    #[arg(long, allow_hyphen_values = true)]
    epsilon: f32,

    /// Join a row to so many at most, the nearest; the report says for how many rows there were more.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max_neighbors: usize,

    /// Let edges lead from a row to those within the distance, rather than join the two.
    #[arg(long)]
    directed: bool,
}

#[derive(Serialize)]
struct Built<'a> {
    collection: &'a str,
    graph: &'a str,
    rows: u64,
    edges: u64,
    /// Share of the true neighbours that were found, on the sampled rows; 1 where all rows were compared, null where none
    /// were to be.
    recall: Option<f64>,
    sampled_rows: u64,
    /// Rows with more neighbours than were allowed.
    cut_rows: u64,
    search_seconds: f64,
    seconds: f64,
}

impl Report for Built<'_> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{}: {} edges of {} rows of {} in {:.2} s",
            self.graph,
            output::count(self.edges),
            output::count(self.rows),
            self.collection,
            self.seconds
        )?;
        match (self.recall, self.sampled_rows) {
            (None, _) => writeln!(out, "recall was not measured")?,
            (Some(_), 0) => writeln!(out, "recall: all rows were compared")?,
            (Some(recall), rows) => writeln!(out, "recall {recall:.4}, on {} rows", output::count(rows))?,
        }
        if self.cut_rows > 0 {
            let rows = output::count(self.cut_rows);
            writeln!(out, "{rows} rows have more neighbours within the distance: raise --max-neighbors")?;
        }
        Ok(())
    }
}

/// Runs `redknot graph build-knn`.
pub(super) fn knn(args: &KnnArgs) -> Result<Outcome, CliError> {
    let Common { target, .. } = &args.common;
    run(&args.common, |database, collection| {
        database.build_knn_graph_named(collection, &target.graph, args.k).directed(!args.undirected)
    })
}

/// Runs `redknot graph build-eps`.
pub(super) fn eps(args: &EpsArgs) -> Result<Outcome, CliError> {
    let Common { target, .. } = &args.common;
    run(&args.common, |database, collection| {
        let build =
            database.build_eps_graph_named(collection, &target.graph, args.epsilon, args.max_neighbors);
        build.directed(args.directed)
    })
}

fn run(
    args: &Common,
    begin: impl for<'d> FnOnce(&'d Database, &str) -> GraphBuild<'d>,
) -> Result<Outcome, CliError> {
    let database = args.target.database.open_to_write()?;
    let collection = args.target.collection.find(&database)?.name;
    let interrupt = Interrupt::catch()?;
    let mut build = begin(&database, &collection).exact(args.exact).replace(args.replace);
    if let Some(ef) = args.ef {
        build = build.ef(ef);
    }
    if let Some(threads) = args.threads {
        build = build.threads(threads);
    }
    // Called from any thread of the build.
    let progress = Mutex::new(Progress::new(args.target.output, "search", "rows"));
    let report = build
        .recall_sample(args.recall_sample)
        .progress(|step| {
            if let Ok(mut progress) = progress.try_lock() {
                progress.phase(match step.phase {
                    GraphPhase::Search => "search",
                    GraphPhase::Measure => "recall",
                    _ => "writing",
                });
                progress.set(step.done as u64, Some(step.total as u64));
            }
            interrupt.go_on()
        })
        .run();
    std::mem::drop(progress);
    let report = CliError::unless_interrupted(report, "the graphs are as before")?;
    args.target.output.show(&Built {
        collection: &collection,
        graph: &args.target.graph,
        rows: report.rows,
        edges: report.edges,
        recall: report.recall,
        sampled_rows: report.sampled_rows,
        cut_rows: report.cut_rows,
        search_seconds: report.search.as_secs_f64(),
        seconds: report.elapsed.as_secs_f64(),
    })?;
    Ok(Outcome::Done)
}
