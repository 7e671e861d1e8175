//! Training a router on the database itself.

use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use redknot_gnn::routing::Level;
use redknot_gnn::train::{self, Corpus, Encoder, Queries, TrainError, TrainOptions, TrainReport};
use redknot_index::{Element, IndexConfig, Metric, Reader, decode};
use redknot_storage::{Snapshot, Storage};
use tracing::field::Empty;

use super::ablation::{self, Fitted, ablated};
use super::cache::Routers;
use super::gate::{Entrant, Gate, RouterProgress, Verdict};
use super::interrupted::Interrupted;
use super::questions::Questions;
use super::record::{Ablated, Training};
use crate::catalog;
use crate::error::{Error, Result};
use crate::query_log::QueryLogs;

/// Of the queries given, a tenth is held out for the calibration, at most this many.
const HELD_OUT: usize = 1000;
/// And up to a fifth, so that there are this many: a recall of .9 measured on fewer is off by a point and more.
const STEADY: usize = 500;
/// With fewer logged queries, the ones that are made up from the data say more.
const MIN_LOGGED: usize = 500;

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
    /// The same with the router that was there before, if there was one that could be used. Where that one stays, searches
    /// go by what was measured of it now.
    pub before: Option<Vec<Level>>,
    /// How the model came about.
    pub training: Training,
    /// Whether it went on with a training that was interrupted, with the same queries and options on the same rows.
    pub resumed: bool,
    /// What the fit says of itself.
    pub fit: TrainReport,
    /// All ways of making keys that were measured together, where there were several.
    pub ablation: Vec<Ablated>,
}

/// Where the queries to learn from come from.
#[derive(Clone, Copy, Debug)]
enum Source<'d> {
    /// From the log, if it has enough; else they are made up.
    LogIfAny,
    Log,
    MadeUp,
    Given(&'d [f32]),
}

/// A training under construction: `db.train_router(DOCS).queries(&log).run()?`.
///
/// Fits a key model to the collection and to queries like those to come, makes the key of every node, and measures
/// greedy and routed search on held-out queries at equal recall. Searches follow the router from then on wherever it
/// takes less time and fewer distances; if it does so nowhere, or less often than the router that is there, nothing
/// changes. Reading and writing go on meanwhile, but for the moments in which the keys are written.
///
/// Every ten seconds, and where it is cancelled, the file has what it takes to go on with the fit: run again with the same
/// queries and options, a training that was interrupted goes on there. Where the rows, the queries or the options have
/// changed, it begins anew.
#[must_use = "a training does nothing until it is run"]
pub struct RouterTraining<'d> {
    gate: Gate<'d>,
    logs: &'d QueryLogs,
    source: Source<'d>,
    held_out: Option<&'d [f32]>,
    options: TrainOptions,
    encoders: Vec<Encoder>,
    ablation: bool,
}

impl<'d> RouterTraining<'d> {
    pub(crate) fn new(
        storage: &'d Storage,
        routers: &'d Routers,
        logs: &'d QueryLogs,
        name: &str,
    ) -> RouterTraining<'d> {
        RouterTraining {
            gate: Gate::new(storage, routers, name),
            logs,
            source: Source::LogIfAny,
            held_out: None,
            options: TrainOptions::default(),
            encoders: Vec::new(),
            ablation: false,
        }
    }

    /// Queries like those to come, one behind the other, of as many numbers each as the collection has dimensions.
    /// Without, they are those of the log (see [`crate::Database::log_queries`]), if it has 500 different ones; else they
    /// are made up from the data.
    pub fn queries(mut self, queries: &'d [f32]) -> Self {
        self.source = Source::Given(queries);
        self
    }

    /// Learns from the log or not at all: [`Error::Router`] where it has fewer than 500 different queries.
    pub fn from_log(mut self) -> Self {
        self.source = Source::Log;
        self
    }

    /// Learns from queries that are made up from the data, whatever was logged.
    pub fn made_up(mut self) -> Self {
        self.source = Source::MadeUp;
        self
    }

    /// Queries to calibrate with, other than those that are learned from. Without, a tenth of those is set aside, a
    /// fifth where they are few.
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

    /// What makes the keys: a model is fitted with each of these, all are measured in the same rounds, and the best of
    /// them meets the gate. Without, [`TrainOptions::encoder`] alone is.
    pub fn encoders(mut self, encoders: &[Encoder]) -> Self {
        self.encoders = encoders.to_vec();
        self
    }

    /// Whether keys from principal axes alone and those of the other encoders are measured as well. They are none that
    /// searches could follow, but say what each step is worth: see [`crate::RouterInfo::ablation`].
    pub fn ablation(mut self, ablation: bool) -> Self {
        self.ablation = ablation;
        self
    }

    /// Called now and then, from any thread; breaking cancels the training with [`Error::Cancelled`]. Searches then go on as
    /// before.
    pub fn progress(mut self, progress: impl Fn(RouterProgress) -> ControlFlow<()> + Sync + 'd) -> Self {
        self.gate.progress = Box::new(progress);
        self
    }

    /// Trains.
    pub fn run(self) -> Result<TrainingReport> {
        let span = tracing::info_span!(
            "train",
            collection = self.gate.name,
            queries = Empty,
            resumed = Empty,
            accepted = Empty
        );
        let _entered = span.enter();
        crate::query::check_k(self.gate.k)?;
        let start = Instant::now();
        let Learned { mut fitted, questions: held_out, logged, interrupted } = self.learn()?;
        let entrants =
            fitted.iter().map(|fitted| Entrant { model: &fitted.model, candidate: fitted.fit.is_some() });
        let entrants: Vec<Entrant<'_>> = entrants.collect();
        let verdict = self.gate.pass(&entrants, &held_out, |measured| {
            let training = fitted[measured.best].fit.as_ref().map(|fit| Training {
                queries: fit.training_queries,
                synthesised: fit.synthesised,
                logged,
                held_out: held_out.rows.len(),
                order_before: fit.pca.order.into(),
                order_after: fit.learned.order.into(),
                seconds: start.elapsed().as_secs_f64(),
                rows: measured.rows,
            });
            (training.unwrap_or_default(), ablated(&fitted, &measured.calibrations, measured.best))
        })?;
        let Verdict { accepted, best, levels, before, training, ablation } = verdict;
        let resumed = interrupted.resumed;
        interrupted.forget();
        let fit = fitted.swap_remove(best).fit;
        let fit = fit.ok_or_else(|| Error::Router { why: "no encoder to fit: name at least one".into() })?;
        span.record("queries", fit.training_queries).record("resumed", resumed).record("accepted", accepted);
        Ok(TrainingReport { accepted, levels, before, training, resumed, fit, ablation })
    }

    /// Fits the models. The queries to calibrate with are not among those that they learn from.
    fn learn(&self) -> Result<Learned<'_>> {
        let snapshot = self.gate.storage.snapshot()?;
        let record = catalog::existing(&snapshot, &self.gate.name)?;
        let reader = Reader::open(&*snapshot, &record.index)?;
        let dim = record.index.config().dim;
        let logged = self.logged(&snapshot, &record.index.config())?;
        let source = match self.source {
            Source::Given(queries) => Some(queries),
            _ => logged.as_deref(),
        };
        let made_up;
        let (training, held_out) = match (source, self.held_out) {
            (Some(training), Some(held_out)) if are_among(held_out, training, dim) => {
                let why = "the queries to calibrate with are all among those to learn from: hold out others";
                return Err(Error::Router { why: why.into() });
            }
            (training, Some(held_out)) => (training, held_out),
            (Some(queries), None) => {
                let count = queries.len() / dim;
                let own = (count / 10).clamp((count / 5).min(STEADY), HELD_OUT) * dim;
                let (training, held_out) = queries.split_at(queries.len() - own);
                (Some(training), held_out)
            }
            (None, None) => {
                made_up = make_up(&reader, &record.index.config(), &self.options)?;
                (None, made_up.as_slice())
            }
        };
        let questions = self.gate.questions(&reader, &record, held_out)?;
        let queries = Queries { training, held_out: Some(held_out) };
        let report = |progress| (self.gate.progress)(RouterProgress::Learning(progress));
        let own = [self.options.encoder];
        let encoders = if self.encoders.is_empty() { &own[..] } else { &self.encoders };
        let trajectories = train::collect(&reader, &queries, &self.options, &report).map_err(from_train)?;
        let (storage, epoch) = (self.gate.storage, record.index.epoch());
        let mut interrupted = Interrupted::of(storage, &self.gate.name, &snapshot, epoch);
        let (options, ablation) = (&self.options, self.ablation);
        let fitted =
            ablation::fit(&reader, &trajectories, options, encoders, ablation, &mut interrupted, &report);
        Ok(Learned { fitted: fitted.map_err(from_train)?, questions, logged: logged.is_some(), interrupted })
    }

    /// The queries of the log, if they are to be learned from, in an order that says nothing of their time.
    fn logged(&self, snapshot: &Snapshot, config: &IndexConfig) -> Result<Option<Vec<f32>>> {
        let needed = match self.source {
            Source::Log => true,
            Source::LogIfAny => false,
            Source::MadeUp | Source::Given(_) => return Ok(None),
        };
        let mut queries = match self.logs.queries(snapshot, &self.gate.name) {
            Ok(queries) => queries,
            Err(error) if needed => return Err(error),
            Err(error) => {
                tracing::warn!(%error, collection = self.gate.name, "the log of queries cannot be learned from");
                return Ok(None);
            }
        };
        if queries.len() < MIN_LOGGED {
            let why = format!(
                "the log of collection {:?} has {} different queries, at least {MIN_LOGGED} are needed: log more (`Database::log_queries`), give some, or have them made up",
                self.gate.name,
                queries.len()
            );
            return if needed { Err(Error::Router { why }) } else { Ok(None) };
        }
        fastrand::Rng::with_seed(self.options.pca.seed).shuffle(&mut queries);
        let decoded = |query: Arc<[u8]>| decode(&query, config.dim, config.element);
        Ok(Some(queries.into_iter().flat_map(decoded).collect()))
    }
}

/// Whether each of these queries is one of those.
fn are_among(these: &[f32], those: &[f32], dim: usize) -> bool {
    let queries = |queries| bytemuck::cast_slice::<f32, u8>(queries).chunks(size_of::<f32>() * dim);
    let those: HashSet<&[u8]> = queries(those).collect();
    queries(these).all(|query| those.contains(query))
}

/// Models, and what they are calibrated with.
struct Learned<'d> {
    fitted: Vec<Fitted>,
    questions: Questions,
    /// Whether it learned from the log.
    logged: bool,
    interrupted: Interrupted<'d>,
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
