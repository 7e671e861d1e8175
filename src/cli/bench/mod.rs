//! `redknot bench`: recall against queries/s, as docs and bars read it.

pub(super) mod interpolate;
pub(super) mod measure;
pub(super) mod plot;
mod report;
mod sweep;
pub(super) mod truth;

use std::num::NonZero;
use std::path::{Path, PathBuf};

use redknot::{Collection, CollectionInfo, Database, MAX_THREADS};

use super::Outcome;
use super::error::CliError;
use super::open::{CollectionArgs, DatabaseArgs};
use super::output::Output;
use super::progress::Progress;
use super::rows::{OnRows, RowKey, RowPayload, with_types_of};
use super::vectors::Neighbours;
use super::written::write_with;
use measure::{Calls, Effort, Queries};
use report::{Bench, Curve};
use sweep::{Ladder, Sweep};
use truth::{RowNames, Truth};

/// Arguments of `redknot bench`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    collection: CollectionArgs,

    /// The queries: .npy, .fvecs, .bvecs or .jsonl.
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,

    /// Exact nearest row numbers of each query, nearest first: .npy of integers or .ivecs. Computed by exact search
    /// where it is left out.
    #[arg(long, value_name = "FILE")]
    gt: Option<PathBuf>,

    /// For collections whose keys are texts: the file of keys that the rows were imported with. Row numbers are its lines.
    #[arg(long, value_name = "TEXT_FILE")]
    keys: Option<PathBuf>,

    /// How many rows a query asks for.
    #[arg(short, default_value_t = 10)]
    k: usize,

    /// The policies to compare, interleaved.
    #[arg(long, value_delimiter = ',', default_value = "greedy")]
    policy: Vec<Policy>,

    /// Recall levels to interpolate at.
    #[arg(long, value_delimiter = ',', default_value = "0.9,0.95,0.99")]
    recalls: Vec<f64>,

    /// Search efforts (ef) to measure [default: from k on by factors of √2, until the highest recall level is passed].
    #[arg(long, value_delimiter = ',', value_name = "EFS")]
    efforts: Vec<usize>,

    /// Threads that answer queries side by side.
    #[arg(long, default_value = "1")]
    threads: NonZero<usize>,

    /// Queries that are asked in one call. Each thread answers those of a call together; their latency is that of the call.
    #[arg(long, default_value = "1", value_name = "QUERIES")]
    batch: NonZero<usize>,

    /// Rounds; each measures every effort of every policy once, and medians are reported.
    #[arg(long, default_value = "5")]
    rounds: NonZero<usize>,

    /// Have routed searches read links and keys from a copy in memory, if it takes no more than so many MiB.
    #[cfg(feature = "routing")]
    #[arg(long, value_name = "MIB")]
    resident: Option<u64>,

    /// Use the first so many queries only.
    #[arg(long, value_name = "QUERIES")]
    limit: Option<NonZero<usize>>,

    /// Write the result as one JSON object to this file, or to stdout where no file is named.
    #[arg(long, value_name = "OUT", num_args = 0..=1, default_missing_value = "-")]
    pub(super) json: Option<PathBuf>,

    /// Write the row numbers that the middle effort returned, as an npy array of int32 (queries, k); -1 for none.
    #[arg(long, value_name = "IDS.npy")]
    results: Option<PathBuf>,

    /// Draw recall against queries/s as an SVG file.
    #[arg(long, value_name = "OUT.svg")]
    plot: Option<PathBuf>,
}

/// How the next node to look at is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Policy {
    /// The nearest candidate by distance: plain HNSW.
    Greedy,
    /// By the trained router: at each effort of its calibration, and as `recall` asks for it.
    Router,
}

/// Runs `redknot bench`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    check(args)?;
    let database = args.database.open_to_read()?;
    let info = args.collection.find(&database)?;
    let bench = with_types_of(&info, BenchOne { args, database: &database, info: &info })?;
    let to_stdout = args.json.as_deref() == Some(Path::new("-"));
    if let Some(path) = args.json.as_deref().filter(|_| !to_stdout) {
        write_json(path, &bench)?;
    }
    if let Some(path) = &args.plot {
        plot::draw(path, &bench.title(), &bench.series())?;
    }
    Output { json: to_stdout }.show(&bench)?;
    Ok(Outcome::Done)
}

/// Options that clap cannot judge.
fn check(args: &Args) -> Result<(), CliError> {
    if args.k == 0 {
        return Err(redknot::Error::InvalidParameter {
            name: "k",
            got: "0".into(),
            expected: "1 to 1048576",
        }
        .into());
    }
    if let Some(recall) = args.recalls.iter().find(|recall| !(**recall > 0.0 && **recall <= 1.0)) {
        let got = recall.to_string();
        return Err(CliError::Option { option: "--recalls", got, expected: "levels above 0, 1 at most" });
    }
    if args.threads.get() > MAX_THREADS {
        let (option, got) = ("--threads", args.threads.to_string());
        return Err(CliError::Option { option, got, expected: "1 to 1024" });
    }
    if args.efforts.contains(&0) {
        return Err(CliError::Option { option: "--efforts", got: "0".into(), expected: "1 or more" });
    }
    Ok(())
}

/// Efforts in the order in which neighbouring points bracket a recall level.
fn sorted(efforts: &[usize]) -> Vec<usize> {
    let mut efforts = efforts.to_vec();
    efforts.sort_unstable();
    efforts.dedup();
    efforts
}

fn write_json(path: &Path, bench: &Bench) -> Result<(), CliError> {
    write_with(path, |file| Ok(serde_json::to_writer_pretty(file, bench)?))
}

struct BenchOne<'a> {
    args: &'a Args,
    database: &'a Database,
    info: &'a CollectionInfo,
}

impl OnRows for BenchOne<'_> {
    type Output = Bench;

    fn run<K: RowKey, P: RowPayload>(self) -> Result<Bench, CliError> {
        let args = self.args;
        #[cfg(feature = "routing")]
        if let Some(mib) = args.resident {
            let layout = redknot::RoutingLayout::Resident { max_bytes: mib.saturating_mul(1 << 20) };
            self.database.set_routing_layout(&self.info.name, layout)?;
        }
        let collection = self.database.begin_read()?.open_collection_named::<K, P>(&self.info.name)?;
        let queries = Queries::load(&args.queries, args.limit, &self.info.config)?;
        let names = RowNames::<K>::load(args.keys.as_deref())?;
        let truth = self.truth(&collection, &queries, &names)?;
        let sweep = Sweep {
            collection: &collection,
            queries: &queries,
            truth: &truth,
            k: args.k,
            calls: Calls { threads: args.threads, batch: args.batch },
        };
        // Whether programs read the result or people do, a terminal can show how far it is.
        let progress = Progress::new(Output { json: args.json.is_some() }, "bench", "passes");
        let (curves, ladders): (Vec<Curve>, Vec<Ladder>) = self.curves()?.into_iter().unzip();
        let measured = sweep.run(&ladders, args.rounds, progress)?;
        if let Some(path) = &args.results {
            let points = measured.points.iter().find(|points| !points.is_empty());
            if let Some(middle) = points.map(|points| points[points.len() / 2].setting) {
                let table = names.table(args.k, &sweep.pass(middle)?.keys())?;
                write_with(path, |file| table.write_npy(file))?;
            }
        }
        Ok(Bench::new(args, self.database, self.info, queries.len(), curves, measured))
    }
}

impl BenchOne<'_> {
    /// What is measured for each policy.
    fn curves(&self) -> Result<Vec<(Curve, Ladder)>, CliError> {
        let args = self.args;
        let mut curves = Vec::new();
        for policy in &args.policy {
            match policy {
                Policy::Greedy => {
                    let highest = args.recalls.iter().copied().fold(0.0, f64::max);
                    let ladder = Ladder::Greedy { efforts: sorted(&args.efforts), highest };
                    curves.push((Curve::Swept("greedy"), ladder));
                }
                Policy::Router => {
                    let settings = router_settings(self.database, &self.info.name)?;
                    curves.push((Curve::Swept("router"), Ladder::Settings(settings)));
                    let asked = args.recalls.iter().map(|recall| Effort::Recall(*recall)).collect();
                    curves.push((Curve::Asked("router"), Ladder::Settings(asked)));
                }
            }
        }
        Ok(curves)
    }

    fn truth<K: RowKey, P: RowPayload>(
        &self,
        collection: &Collection<K, P>,
        queries: &Queries,
        names: &RowNames<K>,
    ) -> Result<Truth<K::Owned>, CliError> {
        match &self.args.gt {
            Some(path) => {
                let table = Neighbours::load(path)?;
                Truth::from_table(path, &table, queries.len(), self.args.k, collection, names)
            }
            None => Truth::compute(collection, queries, self.args.k, self.args.threads),
        }
    }
}

/// The efforts that the router's calibration found worth considering.
#[cfg(feature = "routing")]
fn router_settings(database: &Database, collection: &str) -> Result<Vec<Effort>, CliError> {
    use redknot::routing::Plan;
    let router = database.router(collection)?;
    let router = router.ok_or_else(|| redknot::Error::NoRouter { name: collection.to_owned() })?;
    let settings = router.calibration.routed.iter().filter_map(|point| match point.plan {
        Plan::Routed(effort) => Some(Effort::Routed(effort)),
        Plan::Greedy(_) => None,
    });
    Ok(settings.collect())
}

#[cfg(not(feature = "routing"))]
fn router_settings(_: &Database, _: &str) -> Result<Vec<Effort>, CliError> {
    Err(CliError::LeftOut { what: "routing" })
}

impl Bench {
    fn title(&self) -> String {
        format!("{}, {} rows: recall@{} of {} queries", self.collection, self.rows, self.k, self.queries)
    }
}
