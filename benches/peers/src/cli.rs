//! The command line: which engines, which data, what is measured, where the outcome goes.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::json;

use crate::cache::build_or_load;
use crate::dataset::Dataset;
use crate::engine::{BuildPlan, Engine, Exact, Hannoy, Python, Redknot, Usearch, Worker};
use crate::error::{Error, Result};
use crate::insert::{self, Insertion};
use crate::matrix::Matrix;
use crate::metric::Metric;
use crate::rounds::{self, Measurement, Point};
use crate::{npy, report};

/// Runs other nearest-neighbour engines beside redknot: the same data in the same run, interleaved.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds every engine, then compares recall and queries per second.
    Search(SearchOptions),
    /// Builds over all but the last rows, then compares the rate at which those are added.
    Insert(InsertOptions),
}

#[derive(Args)]
struct Common {
    /// Base vectors: npy of u8, i8, f16 or f32, searched as f32.
    #[arg(long)]
    base: PathBuf,
    /// Query vectors, as the base.
    #[arg(long)]
    queries: PathBuf,
    /// Exact nearest base rows of each query, nearest first: npy of i32.
    #[arg(long)]
    gt: PathBuf,
    #[arg(long, value_enum, default_value = "l2")]
    metric: Metric,
    /// The first is the one that ratios refer to.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "hnswlib,faiss,usearch,hannoy")]
    engines: Vec<EngineName>,
    #[arg(short, default_value_t = 10)]
    k: usize,
    /// Queries that the router learns from, like those to come and none of them: npy, as the base.
    #[arg(long)]
    training: Option<PathBuf>,
    /// Threads that search or insert.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    build_threads: u16,
    /// Use only the first queries.
    #[arg(long)]
    queries_limit: Option<usize>,
    /// Interpreter that has the libraries of requirements.txt.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Folder that keeps built indexes for later runs.
    #[arg(long)]
    cache: Option<PathBuf>,
    /// Write the outcome here as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct SearchOptions {
    #[command(flatten)]
    common: Common,
    /// Efforts to measure, ascending; an engine stops at the first that reaches the highest of --recalls.
    #[arg(long, value_delimiter = ',', default_value = "10,14,20,28,40,56,80,112,160,224,320,448,640")]
    efs: Vec<usize>,
    #[arg(long, value_delimiter = ',', default_value = "0.9,0.95,0.99")]
    recalls: Vec<f64>,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Ask hnswlib and faiss one query a call; otherwise one call answers all.
    #[arg(long)]
    single_calls: bool,
    /// Write the row numbers each engine returned to this folder, as ENGINE-efEF.npy of u32.
    #[arg(long)]
    results: Option<PathBuf>,
}

#[derive(Args)]
struct InsertOptions {
    #[command(flatten)]
    common: Common,
    /// Rows to add.
    #[arg(long, default_value_t = 10_000)]
    rows: usize,
    /// Rows in one call.
    #[arg(long, default_value_t = 1_000)]
    batch: usize,
    /// Effort of the search that checks the outcome.
    #[arg(long, default_value_t = 100)]
    ef: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EngineName {
    Hnswlib,
    Faiss,
    Usearch,
    Hannoy,
    Exact,
    Redknot,
    /// redknot, whose searches follow a router: see --training.
    Router,
}

impl Cli {
    pub(crate) fn run(self) -> Result<()> {
        match self.command {
            Task::Search(options) => options.run(),
            Task::Insert(options) => options.run(),
        }
    }
}

impl SearchOptions {
    fn run(&self) -> Result<()> {
        self.check()?;
        let (common, load_before) = (&self.common, report::load_average());
        let data = common.read()?;
        let mut engines = common.open_engines(self.single_calls)?;
        let plan = BuildPlan {
            metric: data.metric,
            threads: common.build_threads.into(),
            capacity: data.base.rows(),
        };
        let mut built = Vec::new();
        for engine in &mut engines {
            let build = build_or_load(engine.as_mut(), &data.base, plan, common.cache.as_deref())?;
            eprintln!("{}: {:.1} s", engine.name(), build.seconds);
            built.push((engine.name(), engine.details()?, build));
        }
        let what = Measurement {
            k: common.k,
            efs: &self.efs,
            highest_recall: self.recalls.iter().copied().fold(0.0, f64::max),
            rounds: self.rounds.into(),
            threads: common.threads.into(),
        };
        let points = rounds::measure(&mut engines, &data, &what)?;
        if let Some(folder) = &self.results {
            write_answers(folder, &engines, &points)?;
        }
        let reports = report::reports(built, &points, &self.recalls);
        report::print_table(&reports);
        common.write_json(json!({
            "command": "search", "rounds": self.rounds, "single_calls": self.single_calls,
            "load_before": load_before, "engines": reports,
        }))
    }

    fn check(&self) -> Result<()> {
        let refuse = |option, reason: &str| Err(Error::Option { option, reason: reason.into() });
        if !self.efs.is_sorted_by(|a, b| a < b) || self.efs.first().is_none_or(|&ef| ef < self.common.k) {
            return refuse("--efs", "expected ascending numbers, none below k");
        }
        if self.recalls.is_empty() || self.recalls.iter().any(|recall| !(0.0..=1.0).contains(recall)) {
            return refuse("--recalls", "expected numbers from 0 to 1");
        }
        Ok(())
    }
}

impl InsertOptions {
    fn run(&self) -> Result<()> {
        let (common, load_before) = (&self.common, report::load_average());
        let data = common.read()?;
        let mut engines = common.open_engines(false)?;
        let what = Insertion {
            rows: self.rows,
            batch: self.batch,
            threads: common.threads.into(),
            build_threads: common.build_threads.into(),
            k: common.k,
            ef: self.ef,
            cache: common.cache.as_deref(),
        };
        let reports = insert::measure(&mut engines, &data, &what)?;
        insert::print_table(&reports, self.ef);
        common.write_json(json!({
            "command": "insert", "rows": self.rows, "batch": self.batch, "ef": self.ef,
            "load_before": load_before, "engines": reports,
        }))
    }
}

impl Common {
    fn read(&self) -> Result<Dataset> {
        Dataset::read((&self.base, &self.queries, &self.gt), self.metric, self.k, self.queries_limit)
    }

    /// Opens the engines asked for; those in Python share one worker process.
    fn open_engines(&self, single_calls: bool) -> Result<Vec<Box<dyn Engine>>> {
        let mut worker = None;
        let mut python = |name| -> Result<Box<dyn Engine>> {
            let worker = match &worker {
                Some(worker) => Rc::clone(worker),
                None => Rc::clone(worker.insert(Rc::new(RefCell::new(Worker::start(&self.python)?)))),
            };
            Ok(Box::new(Python::new(name, worker, single_calls)))
        };
        let open = |name: &EngineName| -> Result<Box<dyn Engine>> {
            match name {
                EngineName::Hnswlib => python("hnswlib"),
                EngineName::Faiss => python("faiss"),
                EngineName::Usearch => Ok(Box::new(Usearch::default())),
                EngineName::Hannoy => Ok(Box::new(Hannoy::default())),
                EngineName::Exact => Ok(Box::new(Exact::default())),
                EngineName::Redknot => Ok(Box::new(Redknot::new()?)),
                EngineName::Router => Ok(Box::new(Redknot::routed(self.training_queries()?)?)),
            }
        };
        self.engines.iter().map(open).collect()
    }

    fn training_queries(&self) -> Result<Matrix> {
        let reason = "the engine `router` needs queries to learn from, other than --queries".into();
        let path = self.training.as_ref().ok_or(Error::Option { option: "--training", reason })?;
        npy::read_matrix(path)
    }

    /// Adds what the run was made of to `outcome` and writes it, if that was asked for.
    fn write_json(&self, mut outcome: serde_json::Value) -> Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        outcome["commit"] = report::commit().into();
        outcome["load_after"] = report::load_average().into();
        outcome["base"] = json!(self.base);
        outcome["queries"] = json!(self.queries);
        outcome["queries_limit"] = json!(self.queries_limit);
        outcome["gt"] = json!(self.gt);
        outcome["training"] = json!(self.training);
        outcome["metric"] = json!(self.metric);
        outcome["k"] = json!(self.k);
        outcome["threads"] = json!(self.threads);
        std::fs::write(path, format!("{outcome:#}\n")).map_err(Error::io(path))
    }
}

fn write_answers(folder: &Path, engines: &[Box<dyn Engine>], points: &[Vec<Point>]) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    for (engine, points) in engines.iter().zip(points) {
        for point in points {
            npy::write_neighbours(
                &folder.join(format!("{}-ef{}.npy", engine.name(), point.ef)),
                &point.answers,
            )?;
        }
    }
    Ok(())
}
