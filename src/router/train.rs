//! Training a router on the database itself.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Instant;

use redknot_gnn::routing::Level;
use redknot_gnn::train::{self, Corpus, Queries, TrainError, TrainOptions, TrainReport, Trained};
use redknot_index::{Element, IndexConfig, Metric, Reader};
use redknot_storage::Storage;

use super::cache::Routers;
use super::gate::{Gate, Questions, RouterProgress, Verdict};
use super::record::Training;
use crate::catalog;
use crate::error::{Error, Result};

/// Of the queries given, a tenth is held out for the calibration, at most this many.
const HELD_OUT: usize = 1000;
/// Queries made up to calibrate with lie about as far from the data as its rows do from each other: nearer ones are easier
/// to answer than real ones, and promise too much.
const CALIBRATION_NOISE: f32 = 1.0;

/// What training came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TrainingReport {
    /// Whether searches follow the new router from now on.
    pub accepted: bool,
    /// Both ways of searching at several recall levels, on held-out queries.
    pub levels: Vec<Level>,
    /// The same with the router that was there before, if there was one that could be used.
    pub before: Option<Vec<Level>>,
    /// How the model came about.
    pub training: Training,
    /// What the fit says of itself.
    pub fit: TrainReport,
}

/// A training under construction: `db.train_router(DOCS).queries(&log).run()?`.
///
/// Fits a key model to the collection and to queries like those to come, makes the key of every node, and measures
/// greedy and routed search on held-out queries at equal recall. Searches follow the router from then on wherever it
/// takes less time and fewer distances; if it does so nowhere, or less often than the router that is there, nothing
/// changes. Reading and writing go on meanwhile, but for the moments in which the keys are written.
#[must_use = "a training does nothing until it is run"]
pub struct RouterTraining<'d> {
    gate: Gate<'d>,
    queries: Option<&'d [f32]>,
    held_out: Option<&'d [f32]>,
    options: TrainOptions,
}

impl<'d> RouterTraining<'d> {
    pub(crate) fn new(storage: &'d Storage, routers: &'d Routers, name: &str) -> RouterTraining<'d> {
        let gate = Gate::new(storage, routers, name);
        RouterTraining { gate, queries: None, held_out: None, options: TrainOptions::default() }
    }

    /// Queries like those to come, one behind the other, of as many numbers each as the collection has dimensions.
    /// Without, they are made up from the data.
    pub fn queries(mut self, queries: &'d [f32]) -> Self {
        self.queries = Some(queries);
        self
    }

    /// Queries to calibrate with, other than those that are learned from. Without, a tenth of those is set aside.
    pub fn held_out(mut self, queries: &'d [f32]) -> Self {
        self.held_out = Some(queries);
        self
    }

    /// How many rows searches will ask for: efforts are calibrated for as many, and hold for fewer. 10 by default;
    /// searches for more are greedy.
    pub fn k(mut self, k: usize) -> Self {
        self.gate.k = k;
        self
    }

    /// How to fit.
    pub fn options(mut self, options: TrainOptions) -> Self {
        self.options = options;
        self
    }

    /// Called now and then, from any thread; breaking cancels the training with [`Error::Cancelled`], and nothing has
    /// changed.
    pub fn progress(mut self, progress: impl Fn(RouterProgress) -> ControlFlow<()> + Sync + 'd) -> Self {
        self.gate.progress = Box::new(progress);
        self
    }

    /// Trains.
    pub fn run(self) -> Result<TrainingReport> {
        crate::query::check_k(self.gate.k)?;
        let start = Instant::now();
        let (trained, held_out) = self.learn()?;
        let Trained { model, report: fit } = trained;
        let verdict = self.gate.pass(&model, &held_out, |rows| Training {
            queries: fit.training_queries,
            synthesised: fit.synthesised,
            held_out: held_out.rows.len(),
            order_before: fit.pca.order.into(),
            order_after: fit.learned.order.into(),
            seconds: start.elapsed().as_secs_f64(),
            rows,
        })?;
        let Verdict { accepted, levels, before, training } = verdict;
        Ok(TrainingReport { accepted, levels, before, training, fit })
    }

    /// Fits the model. The queries to calibrate with are not among those that it learns from.
    fn learn(&self) -> Result<(Trained, Questions)> {
        let snapshot = self.gate.storage.snapshot()?;
        let record = catalog::existing(&snapshot, &self.gate.name)?;
        let reader = Reader::open(&*snapshot, &record.index)?;
        let dim = record.index.config().dim;
        let made_up;
        let (training, held_out) = match (self.queries, self.held_out) {
            (Some(training), Some(held_out)) => (Some(training), held_out),
            (Some(queries), None) => {
                let count = queries.len() / dim;
                let own = (count / 10).min(HELD_OUT) * dim;
                let (training, held_out) = queries.split_at(queries.len() - own);
                (Some(training), held_out)
            }
            (None, Some(held_out)) => (None, held_out),
            (None, None) => {
                made_up = make_up(&reader, &record.index.config(), &self.options)?;
                (None, made_up.as_slice())
            }
        };
        let questions = self.gate.questions(&reader, &record, held_out)?;
        let queries = Queries { training, held_out: Some(held_out) };
        let report = |progress| (self.gate.progress)(RouterProgress::Learning(progress));
        let trained = train::train(&reader, &queries, &self.options, &report).map_err(from_train)?;
        Ok((trained, questions))
    }
}

/// Queries to calibrate with, where none are given.
pub(super) fn make_up(
    corpus: &impl Corpus,
    config: &IndexConfig,
    options: &TrainOptions,
) -> Result<Vec<f32>> {
    let options = TrainOptions { noise: CALIBRATION_NOISE, ..options.clone() };
    let rows = train::synthesise(corpus, HELD_OUT, &options).map_err(from_train)?;
    Ok(representable(rows, config))
}

/// Made-up queries as a search can ask for them: rounded to whole numbers where the collection holds such.
fn representable(mut rows: Vec<f32>, config: &IndexConfig) -> Vec<f32> {
    let (min, max) = match config.element {
        Element::I8 => (-128.0, 127.0),
        Element::U8 => (0.0, 255.0),
        _ => return rows,
    };
    for row in rows.chunks_mut(config.dim) {
        // Under cosine the length is of no matter; the longer, the less is lost.
        let longest = row.iter().fold(0.0_f32, |longest, x| longest.max(x.abs()));
        let scale = if config.metric == Metric::Cosine && longest > 0.0 { max / longest } else { 1.0 };
        row.iter_mut().for_each(|x| *x = (*x * scale).round().clamp(min, max));
    }
    rows
}

pub(super) fn from_train(error: TrainError) -> Error {
    match error {
        TrainError::Cancelled => Error::Cancelled,
        other => Error::Router { why: other.to_string() },
    }
}

impl fmt::Debug for RouterTraining<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterTraining")
            .field("name", &self.gate.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
