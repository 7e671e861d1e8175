//! `redknot router`

#[cfg_attr(not(feature = "onnx"), path = "router/without_onnx.rs")]
mod onnx;

use std::io::{self, Write};
use std::path::PathBuf;

use redknot::routing::{Figures, Level, Plan};
use redknot::{Ablated, RouterInfo, Training};
use serde::Serialize;

use super::Outcome;
use super::bench::measure::Queries;
use super::drift;
use super::error::CliError;
use super::open::{CollectionArgs, DatabaseArgs};
use super::output::{self, Dropped, Output, Report};

/// Arguments of `redknot router`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    collection: CollectionArgs,

    /// What to do with it; without, it is shown.
    #[arg(long, value_enum, conflicts_with_all = ["export", "import"])]
    set: Option<Setting>,

    /// Ask N queries again, the latest in the log or the first of --queries, and hold recall and cost against what
    /// calibration promised; ends with 1 where that does not hold.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "500", conflicts_with_all = ["set", "export", "import"])]
    drift: Option<usize>,

    /// Queries for --drift (.npy, .fvecs, .bvecs or .jsonl) instead of logged ones.
    #[arg(long, value_name = "FILE", requires = "drift")]
    queries: Option<PathBuf>,
    /// Write its key model to an ONNX file, in the place of what is there.
    #[arg(long, value_name = "FILE", conflicts_with = "import")]
    export: Option<PathBuf>,

    /// Make a router of an ONNX file, and keep it if it gains.
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,

    /// Queries to measure an imported router with (.npy, .fvecs, .bvecs or .jsonl). Without, they are made up from the
    /// rows.
    #[arg(long, value_name = "FILE", requires = "import")]
    held_out: Option<PathBuf>,

    /// Rows that searches will ask an imported router for, at most.
    #[arg(short, default_value_t = 10, requires = "import")]
    k: usize,
}

/// What can be done with a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Setting {
    /// Searches follow it wherever it gains.
    Enabled,
    /// Searches are greedy; the calibration still serves those that ask for a recall.
    Disabled,
    /// Remove its model, keys and calibration.
    Dropped,
}

/// Runs `redknot router`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    if let Some(to) = &args.export {
        return onnx::export(args, to);
    }
    if let Some(from) = &args.import {
        return onnx::import(args, from);
    }
    let database = match args.set {
        None => args.database.open_to_read()?,
        Some(_) => args.database.open_to_write()?,
    };
    let info = args.collection.find(&database)?;
    if let Some(sample) = args.drift {
        let queries = Queries::flat(args.queries.as_deref(), &info.config)?;
        return drift::run(&database, &info.name, queries.as_deref(), sample, args.output);
    }
    let name = info.name;
    match args.set {
        None => {}
        Some(Setting::Dropped) => {
            let dropped = database.drop_router(&name)?;
            let told =
                if dropped { "the router is gone; searches are greedy" } else { "there was no router" };
            args.output.show(&Dropped { collection: name, dropped, told })?;
            return Ok(if dropped { Outcome::Done } else { Outcome::Findings });
        }
        Some(setting) => database.enable_router(&name, setting == Setting::Enabled)?,
    }
    let router = database.router(&name)?.ok_or(redknot::Error::NoRouter { name })?;
    args.output.show(&Shown(router))?;
    Ok(Outcome::Done)
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown(RouterInfo);

impl Report for Shown {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let RouterInfo { collection, training, calibration, .. } = &self.0;
        let state = match &self.0 {
            router if !router.enabled => "disabled: searches are greedy",
            router if !router.fresh => {
                "behind the index: searches are greedy until the keys are made anew (build, or train)"
            }
            router if !router.gains => "no gain: searches are greedy",
            _ => "searches follow it wherever it is faster",
        };
        writeln!(out, "{collection}: {state}")?;
        writeln!(
            out,
            "keys of {} bytes ({}), λ = {}, {} in all; learned from {} {}queries on {} rows in {:.1} s",
            self.0.key_bytes,
            self.0.encoder,
            self.0.lambda,
            output::bytes(self.0.bytes),
            output::count(training.queries as u64),
            origin(training),
            output::count(training.rows),
            training.seconds,
        )?;
        writeln!(
            out,
            "calibrated for k ≤ {} with {} queries that it did not learn from:",
            calibration.k,
            output::count(calibration.queries as u64)
        )?;
        writeln!(out, "{}", level_table(&self.0.levels))?;
        if self.0.ablation.is_empty() {
            return Ok(());
        }
        writeln!(out, "measured beside it, on the same queries in the same rounds:")?;
        writeln!(out, "{}", ablation_table(&self.0.ablation))
    }
}

/// What kind of queries a router learned from.
pub(super) fn origin(training: &Training) -> &'static str {
    match training {
        training if training.synthesised => "made-up ",
        training if training.logged => "logged ",
        _ => "",
    }
}

/// Both ways of searching at each recall level.
pub(super) fn level_table(levels: &[Level]) -> String {
    let header =
        ["recall", "greedy µs", "router µs", "faster", "distances", "router's", "hops", "router's", "effort"];
    let mut table = output::table(&header, &[8]);
    for level in levels {
        let mut row = vec![format!("{:.3}", level.recall)];
        let figures = (level.greedy, level.routed.map(|routed| routed.figures));
        let pair = |of: fn(&redknot::routing::Figures) -> f64| {
            let show = |figures: Option<f64>| figures.map_or("-".to_owned(), |x| format!("{x:.0}"));
            [show(figures.0.as_ref().map(of)), show(figures.1.as_ref().map(of))]
        };
        row.extend(pair(|figures| figures.micros));
        row.push(match figures {
            (Some(greedy), Some(routed)) => format!("{:.2} ×", greedy.micros / routed.micros),
            _ => "-".to_owned(),
        });
        row.extend(pair(|figures| figures.distances));
        row.extend(pair(|figures| figures.hops));
        row.push(match level.routed.map(|routed| routed.plan) {
            Some(Plan::Routed(effort)) => {
                format!("{:?} γ {:.2} rerank {}", effort.mode, effort.gamma, effort.rerank)
            }
            _ => String::new(),
        });
        table.add_row(row);
    }
    table.trim_fmt()
}

/// What each way of making keys is worth at each recall level, greedy search first.
pub(super) fn ablation_table(ablation: &[Ablated]) -> String {
    let header = [
        "recall",
        "search",
        "queries/s",
        "÷ greedy",
        "distances",
        "key scores",
        "hops",
        "order",
        "fitted in",
    ];
    let mut table = output::table(&header, &[1]);
    let levels = ablation.first().map_or(0, |ablated| ablated.levels.len());
    for level in 0..levels {
        let greedy = ablation[0].levels[level].greedy;
        let mut add = |recall: f64, name: String, figures: Option<Figures>, rest: [String; 2]| {
            let mut row = vec![format!("{recall:.2}"), name];
            row.extend(match (figures, greedy) {
                (Some(figures), greedy) => [
                    format!("{:.0}", 1e6 / figures.micros),
                    greedy.map_or("-".into(), |greedy| format!("{:.2} ×", greedy.micros / figures.micros)),
                    format!("{:.0}", figures.distances),
                    format!("{:.0}", figures.key_scores),
                    format!("{:.1}", figures.hops),
                ],
                (None, _) => std::array::from_fn(|_| "-".into()),
            });
            row.extend(rest);
            table.add_row(row);
        };
        let recall = ablation[0].levels[level].recall;
        add(recall, "greedy".into(), greedy, Default::default());
        for ablated in ablation {
            let routed = ablated.levels.get(level).and_then(|level| level.routed);
            let name = format!("{}{}", ablated.encoder, if ablated.kept { " (kept)" } else { "" });
            let rest = [format!("{:.1} %", ablated.order * 100.0), format!("{:.1} s", ablated.seconds)];
            add(recall, name, routed.map(|routed| routed.figures), rest);
        }
    }
    table.trim_fmt()
}
