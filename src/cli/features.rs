//! `redknot features`

use std::io::{self, Write};
use std::sync::Mutex;

use redknot::{BetweennessOptions, Database, FeaturePhase, FeatureProgress, Freshness, GraphFeatures};
use serde::Serialize;

use super::Outcome;
use super::error::CliError;
use super::interrupt::Interrupt;
use super::open::{CollectionArgs, DatabaseArgs};
use super::output::{self, Dropped, Output, Report};
use super::progress::Progress;

/// Arguments of `redknot features`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    collection: CollectionArgs,

    /// Compute all features anew and store them.
    #[arg(long, group = "what")]
    compute: bool,

    /// Bring all but betweenness up to date after changes.
    #[arg(long, group = "what")]
    refresh: bool,

    /// Remove them.
    #[arg(long, group = "what")]
    drop: bool,

    /// With --compute: up to so many linked rows, betweenness is exact.
    #[arg(long, requires = "compute", default_value_t = BetweennessOptions::default().exact_up_to)]
    exact_up_to: u32,

    /// With --compute: rows that betweenness is estimated from above that.
    #[arg(long, requires = "compute", default_value_t = BetweennessOptions::default().pivots)]
    pivots: u32,
}

/// Runs `redknot features`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let writes = args.compute || args.refresh || args.drop;
    let database = if writes { args.database.open_to_write()? } else { args.database.open_to_read()? };
    let name = args.collection.find(&database)?.name;
    if args.drop {
        let dropped = database.drop_graph_features(&name)?;
        let told = if dropped { "the graph features are gone" } else { "there were no graph features" };
        args.output.show(&Dropped { collection: name, dropped, told })?;
        return Ok(if dropped { Outcome::Done } else { Outcome::Findings });
    }
    if args.compute {
        compute(args, &database, &name)?;
    }
    if args.refresh {
        database.refresh_graph_features(&name)?;
    }
    let features = database.graph_features(&name)?.ok_or(redknot::Error::NoFeatures { name })?;
    args.output.show(&Shown::new(features))?;
    Ok(Outcome::Done)
}

fn compute(args: &Args, database: &Database, name: &str) -> Result<(), CliError> {
    let interrupt = Interrupt::catch()?;
    let options =
        BetweennessOptions { exact_up_to: args.exact_up_to, pivots: args.pivots, ..Default::default() };
    // Called from any thread of the computation.
    let progress = Mutex::new(Progress::new(args.output, "features", "rows"));
    let on_progress = |step: FeatureProgress| {
        if let Ok(mut progress) = progress.try_lock() {
            progress.phase(match step.phase {
                FeaturePhase::Betweenness => "betweenness",
                _ => "neighbourhoods",
            });
            progress.set(step.done as u64, Some(step.total as u64));
        }
        interrupt.go_on()
    };
    let computed =
        database.compute_graph_features_named(name).betweenness(options).progress(on_progress).run();
    CliError::unless_interrupted(computed, "the features are as before")?;
    Ok(())
}

#[derive(Serialize)]
struct Shown {
    collection: String,
    #[serde(skip)]
    state: Freshness,
    freshness: &'static str,
    rows: u32,
    pivots: u32,
    exact: bool,
    bound: f64,
    node_standard_error: f64,
    edge_standard_error: f64,
    stale_rows: u32,
    changed_rows: u64,
    bytes: u64,
}

impl Shown {
    fn new(features: GraphFeatures) -> Shown {
        Shown {
            state: features.freshness,
            freshness: match features.freshness {
                Freshness::Fresh => "fresh",
                Freshness::StaleBetweenness => "stale betweenness",
                Freshness::Unrefreshed => "unrefreshed",
                _ => "other graph",
            },
            exact: features.pivots == features.rows,
            collection: features.collection,
            rows: features.rows,
            pivots: features.pivots,
            bound: features.bound,
            node_standard_error: features.node_standard_error,
            edge_standard_error: features.edge_standard_error,
            stale_rows: features.stale_rows,
            changed_rows: features.changed_rows,
            bytes: features.bytes,
        }
    }
}

impl Report for Shown {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let state = match self.state {
            Freshness::Fresh => "fresh".to_owned(),
            Freshness::StaleBetweenness => format!(
                "fresh but for betweenness, which is from before the links of {} rows changed",
                output::count(self.stale_rows.into())
            ),
            Freshness::Unrefreshed => {
                format!("behind the index by {} changed rows: --refresh", output::count(self.changed_rows))
            }
            _ => "of links that a build has replaced: --compute".to_owned(),
        };
        writeln!(out, "{}: {state}; {}", self.collection, output::bytes(self.bytes))?;
        let rows = output::count(self.rows.into());
        if self.exact {
            return writeln!(out, "betweenness: exact, over {rows} rows");
        }
        writeln!(
            out,
            "betweenness: from {} of {rows} rows; off by at most {:.2e} with probability 0.95, standard error of rows {:.1e}, of links {:.1e}",
            output::count(self.pivots.into()),
            self.bound,
            self.node_standard_error,
            self.edge_standard_error,
        )
    }
}
