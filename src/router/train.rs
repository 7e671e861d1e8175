//! Training a router on the database itself, and the gate that it has to pass.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use redknot_gnn::routing::{Calibration, HeldOut, KeyEncoder, KeyModel, Keys, Level, RouteError, calibrate};
use redknot_gnn::train::{self, Queries, TrainError, TrainOptions, TrainProgress, TrainReport, Trained};
use redknot_index::{Element, IndexConfig, Metric, Reader, decode};
use redknot_storage::{ArrayId, Snapshot, Storage, View};

use super::cache::{Routers, router_of};
use super::encode::{from_route, landmarks, make_keys};
use super::questions::{Questions, check_count, encode_all};
use super::record::{RouterRecord, Training, levels, write};
use crate::catalog::{self, Record, RouterKeys};
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

/// What training is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RouterProgress {
    /// Fitting the model.
    Learning(TrainProgress),
    /// Making the key of every node.
    Keys,
    /// Searching for held-out queries with many efforts.
    Calibrating,
}

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
#[must_use = "a training does nothing until it is run"]
pub struct RouterTraining<'d> {
    storage: &'d Storage,
    routers: &'d Routers,
    logs: &'d QueryLogs,
    name: String,
    source: Source<'d>,
    held_out: Option<&'d [f32]>,
    k: usize,
    options: TrainOptions,
    progress: Box<dyn Fn(RouterProgress) -> ControlFlow<()> + Sync + 'd>,
}

impl<'d> RouterTraining<'d> {
    pub(crate) fn new(
        storage: &'d Storage,
        routers: &'d Routers,
        logs: &'d QueryLogs,
        name: &str,
    ) -> RouterTraining<'d> {
        RouterTraining {
            storage,
            routers,
            logs,
            name: name.into(),
            source: Source::LogIfAny,
            held_out: None,
            k: 10,
            options: TrainOptions::default(),
            progress: Box::new(|_| ControlFlow::Continue(())),
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
        self.k = k;
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
        self.progress = Box::new(progress);
        self
    }

    /// Trains.
    pub fn run(self) -> Result<TrainingReport> {
        crate::query::check_k(self.k)?;
        let start = Instant::now();
        let Learned { trained, questions: held_out, logged } = self.learn()?;
        let Trained { model, report: fit } = trained;
        let candidate = self.write_candidate(&model)?;
        let judged = self.judge(&model, &candidate, &held_out);
        let (calibration, before) = match judged {
            Ok(judged) => judged,
            Err(error) => {
                self.drop_candidate()?;
                return Err(error);
            }
        };
        let training = Training {
            queries: fit.training_queries,
            synthesised: fit.synthesised,
            logged,
            held_out: held_out.rows.len(),
            order_before: fit.pca.order.into(),
            order_after: fit.learned.order.into(),
            seconds: start.elapsed().as_secs_f64(),
            rows: candidate.rows,
        };
        let router = RouterRecord::new(candidate.landmarks, calibration, training);
        let new = router.levels();
        let before = before.as_ref().map(levels);
        let accepted = router.gains() && before.as_ref().is_none_or(|before| better(&new, before));
        let report = TrainingReport { accepted, levels: new, before, training: router.training.clone(), fit };
        // A verdict is kept even if it is "no gain", unless it would take the place of a router that does gain.
        if accepted || report.before.is_none() {
            self.adopt(&model, router, candidate.keys, candidate.epoch)?;
        } else {
            self.drop_candidate()?;
        }
        Ok(report)
    }

    fn go_on(&self, progress: RouterProgress) -> Result<()> {
        if (self.progress)(progress).is_break() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Fits the model. The queries to calibrate with are not among those that it learns from.
    fn learn(&self) -> Result<Learned> {
        let snapshot = self.storage.snapshot()?;
        let record = catalog::existing(&snapshot, &self.name)?;
        let reader = Reader::open(&*snapshot, &record.index)?;
        let dim = record.index.config().dim;
        let logged = self.logged(&snapshot, &record.index.config())?;
        let source = match self.source {
            Source::Given(queries) => Some(queries),
            _ => logged.as_deref(),
        };
        let made_up;
        let (training, held_out) = match (source, self.held_out) {
            (training, Some(held_out)) => (training, held_out),
            (Some(queries), None) => {
                let count = queries.len() / dim;
                let own = (count / 10).clamp((count / 5).min(STEADY), HELD_OUT) * dim;
                let (training, held_out) = queries.split_at(queries.len() - own);
                (Some(training), held_out)
            }
            (None, None) => {
                let options = TrainOptions { noise: CALIBRATION_NOISE, ..self.options.clone() };
                let rows = train::synthesise(&reader, HELD_OUT, &options).map_err(from_train)?;
                made_up = representable(rows, &record.index.config());
                (None, made_up.as_slice())
            }
        };
        let rows = encode_all(held_out, &record.index.config())?;
        let instead = "give ten times as many to train with, or others to hold out";
        check_count(rows.len(), "queries to calibrate with", instead)?;
        let go_on = || self.go_on(RouterProgress::Calibrating);
        let questions = Questions::answer(&reader, rows, self.k, &go_on)?;
        let queries = Queries { training, held_out: Some(held_out) };
        let report = |progress| (self.progress)(RouterProgress::Learning(progress));
        let trained = train::train(&reader, &queries, &self.options, &report).map_err(from_train)?;
        Ok(Learned { trained, questions, logged: logged.is_some() })
    }

    /// The queries of the log, if they are to be learned from, in an order that says nothing of their time.
    fn logged(&self, snapshot: &Snapshot, config: &IndexConfig) -> Result<Option<Vec<f32>>> {
        let needed = match self.source {
            Source::Log => true,
            Source::LogIfAny => false,
            Source::MadeUp | Source::Given(_) => return Ok(None),
        };
        let mut queries = match self.logs.queries(snapshot, &self.name) {
            Ok(queries) => queries,
            Err(error) if needed => return Err(error),
            Err(error) => {
                tracing::warn!(%error, collection = self.name, "the log of queries cannot be learned from");
                return Ok(None);
            }
        };
        if queries.len() < MIN_LOGGED {
            let why = format!(
                "the log of collection {:?} has {} different queries, at least {MIN_LOGGED} are needed: log more (`Database::log_queries`), give some, or have them made up",
                self.name,
                queries.len()
            );
            return if needed { Err(Error::Router { why }) } else { Ok(None) };
        }
        fastrand::Rng::with_seed(self.options.pca.seed).shuffle(&mut queries);
        let decoded = |query: Arc<[u8]>| decode(&query, config.dim, config.element);
        Ok(Some(queries.into_iter().flat_map(decoded).collect()))
    }

    /// Writes the keys of all nodes, which nothing refers to yet.
    fn write_candidate(&self, model: &KeyModel) -> Result<Candidate> {
        self.go_on(RouterProgress::Keys)?;
        let encoder = KeyEncoder::new(model).map_err(|error| from_route(error.into()))?;
        let mut txn = self.storage.begin_write()?;
        let record = catalog::existing_in(&txn, &self.name)?;
        catalog::drop_candidate(&mut txn, &self.name)?;
        let keys = make_keys(&mut txn, &record.index, &encoder)?;
        let landmarks = landmarks(&**txn.base(), &record.index)?;
        catalog::set_candidate(&txn, &self.name, keys)?;
        txn.commit()?;
        let (epoch, rows) = (record.index.epoch(), record.index.live().into());
        Ok(Candidate { keys, landmarks, epoch, rows })
    }

    fn drop_candidate(&self) -> Result<()> {
        let mut txn = self.storage.begin_write()?;
        catalog::drop_candidate(&mut txn, &self.name)?;
        Ok(txn.commit()?)
    }

    /// Measures greedy search, the new router, and the one that is there.
    fn judge(
        &self,
        model: &KeyModel,
        candidate: &Candidate,
        held_out: &Questions,
    ) -> Result<(Calibration, Option<Calibration>)> {
        let snapshot = self.storage.snapshot()?;
        let record = catalog::existing(&snapshot, &self.name)?;
        let reader = Reader::open(&*snapshot, &record.index)?;
        let keys = snapshot.rows(candidate.keys)?;
        let router = router_of(model, &candidate.landmarks, keys)?;
        let keys = Keys::new(keys);
        let questions = held_out.held_out(self.k);
        let go_on = || (self.progress)(RouterProgress::Calibrating).is_continue();
        let new = calibrate(&reader, keys, &router, questions, &go_on).map_err(from_route)?;
        let before = self.measure_current(&snapshot, &record, &reader, questions)?;
        Ok((new, before))
    }

    fn measure_current(
        &self,
        snapshot: &Snapshot,
        record: &Record,
        reader: &Reader<'_>,
        questions: HeldOut<'_>,
    ) -> Result<Option<Calibration>> {
        let Some(keys) = record.fresh_router() else { return Ok(None) };
        let Some(current) = self.routers.get(snapshot, &self.name, keys) else { return Ok(None) };
        if !current.record.gains() {
            return Ok(None);
        }
        let go_on = || (self.progress)(RouterProgress::Calibrating).is_continue();
        match calibrate(reader, Keys::new(snapshot.rows(keys.keys)?), &current.router, questions, &go_on) {
            Ok(calibration) => Ok(Some(calibration)),
            Err(RouteError::Index(redknot_index::Error::Cancelled)) => Err(Error::Cancelled),
            // What cannot be measured is no reason to keep it.
            Err(_) => Ok(None),
        }
    }

    /// Makes the new router that of the collection.
    fn adopt(&self, model: &KeyModel, mut router: RouterRecord, mut keys: ArrayId, epoch: u64) -> Result<()> {
        let mut txn = self.storage.begin_write()?;
        let mut record = catalog::existing_in(&txn, &self.name)?;
        catalog::forget_candidate(&txn, &self.name)?;
        if record.index.epoch() != epoch {
            // Somebody wrote meanwhile.
            let encoder = KeyEncoder::new(model).map_err(|error| from_route(error.into()))?;
            txn.drop_array(keys)?;
            keys = make_keys(&mut txn, &record.index, &encoder)?;
            router.landmarks = landmarks(&**txn.base(), &record.index)?;
        }
        let serial = record.router.map_or(0, |old| old.serial) + 1;
        catalog::drop_router(&mut txn, &self.name, &mut record)?;
        write(&txn, &self.name, &router, Some(model))?;
        record.router = Some(RouterKeys { keys, epoch: record.index.epoch(), serial });
        catalog::write_bytes(&txn, &self.name, &record.to_bytes())?;
        Ok(txn.commit()?)
    }
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

/// A model, and what it is calibrated with.
struct Learned {
    trained: Trained,
    questions: Questions,
    /// Whether it learned from the log.
    logged: bool,
}

/// Keys that are written and not in use.
struct Candidate {
    keys: ArrayId,
    landmarks: Vec<u32>,
    epoch: u64,
    rows: u64,
}

/// Whether one router takes less time than another at more levels than the other way round.
fn better(new: &[Level], old: &[Level]) -> bool {
    let micros = |level: &Level| level.routed.map_or(f64::INFINITY, |routed| routed.figures.micros);
    let wins = |a: &[Level], b: &[Level]| a.iter().zip(b).filter(|(a, b)| micros(a) < micros(b)).count();
    wins(new, old) > wins(old, new)
}

fn from_train(error: TrainError) -> Error {
    match error {
        TrainError::Cancelled => Error::Cancelled,
        other => Error::Router { why: other.to_string() },
    }
}

impl fmt::Debug for RouterTraining<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterTraining")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
