//! The gate that every new router has to pass.

use std::collections::HashSet;
use std::ops::ControlFlow;

use redknot_gnn::routing::{
    Calibration, KeyEncoder, KeyModel, Keyed, Keys, Level, RouteError, Router, calibrate,
};
#[cfg(feature = "train")]
use redknot_gnn::train::TrainProgress;
use redknot_index::Reader;
use redknot_storage::{ArrayId, Snapshot, Storage, View};

use super::cache::{Routers, router_of};
use super::encode::{from_route, landmarks, make_keys};
use super::questions::{Questions, check_count, encode_all};
use super::record::{Ablated, RouterRecord, Training, levels, read, write};
use crate::catalog::{self, Record, RouterKeys};
use crate::error::{Error, Result};

/// What is being done to a router.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RouterProgress {
    /// Fitting the model.
    #[cfg(feature = "train")]
    Learning(TrainProgress),
    /// Making the key of every node.
    Keys,
    /// Searching for held-out queries with many efforts.
    Calibrating,
}

/// Told what is being done; breaking cancels it.
pub(super) type OnProgress<'d> = Box<dyn Fn(RouterProgress) -> ControlFlow<()> + Sync + 'd>;

/// Measures models against greedy search, each other and the router that is there, and adopts the best if it gains.
pub(super) struct Gate<'d> {
    pub(super) storage: &'d Storage,
    pub(super) routers: &'d Routers,
    pub(super) name: String,
    /// How many rows searches will ask for.
    pub(super) k: usize,
    pub(super) progress: OnProgress<'d>,
}

/// A model at the gate.
pub(super) struct Entrant<'m> {
    pub(super) model: &'m KeyModel,
    /// Whether it may be adopted; others are measured for comparison.
    pub(super) candidate: bool,
}

/// What was measured of the models at the gate.
pub(super) struct Measurements {
    /// The place of the best of those that may be adopted.
    pub(super) best: usize,
    /// One for each model.
    pub(super) calibrations: Vec<Calibration>,
    before: Option<Calibration>,
    /// Rows of the collection.
    pub(super) rows: u64,
}

/// What the gate says.
pub(super) struct Verdict {
    pub(super) accepted: bool,
    /// The place of the best model.
    pub(super) best: usize,
    pub(super) levels: Vec<Level>,
    pub(super) before: Option<Vec<Level>>,
    pub(super) training: Training,
    pub(super) ablation: Vec<Ablated>,
}

impl<'d> Gate<'d> {
    pub(super) fn new(storage: &'d Storage, routers: &'d Routers, name: &str) -> Gate<'d> {
        let progress: OnProgress<'d> = Box::new(|_| ControlFlow::Continue(()));
        Gate { storage, routers, name: name.into(), k: 10, progress }
    }

    /// Makes the keys of all nodes by each model, measures all in the same rounds, and adopts the best if it gains.
    /// `about` says what is to be kept of the best, and of all, given what was measured.
    ///
    /// On every error the collection is as it was.
    pub(super) fn pass(
        &self,
        entrants: &[Entrant<'_>],
        held_out: &Questions,
        about: impl FnOnce(&Measurements) -> (Training, Vec<Ablated>),
    ) -> Result<Verdict> {
        // Candidates of another run would be dropped, and what is there replaced while it is measured against.
        let _turn = self.routers.take_turn();
        let (mut candidates, mut measured) = match self.measure(entrants, held_out) {
            Ok(measured) => measured,
            Err(error) => {
                self.drop_candidates()?;
                return Err(error);
            }
        };
        let (training, ablation) = about(&measured);
        let best = measured.best;
        let Candidate { keys, landmarks, epoch, .. } = candidates.swap_remove(best);
        let calibration = measured.calibrations.swap_remove(best);
        let mut router = RouterRecord::new(landmarks, calibration, training.clone());
        router.ablation.clone_from(&ablation);
        let new = router.levels();
        let before = measured.before.as_ref().map(levels);
        let accepted = router.gains() && before.as_ref().is_none_or(|before| better(&new, before));
        let verdict = Verdict { accepted, best, levels: new, before, training, ablation };
        // A verdict is kept even if it is "no gain", unless it would take the place of a router that does gain.
        match measured.before {
            Some(before) if !accepted => self.keep(before)?,
            _ => self.adopt(entrants[best].model, router, keys, epoch)?,
        }
        Ok(verdict)
    }

    fn measure(
        &self,
        entrants: &[Entrant<'_>],
        held_out: &Questions,
    ) -> Result<(Vec<Candidate>, Measurements)> {
        // Those of a training that came to nothing.
        self.drop_candidates()?;
        let candidates = entrants.iter().map(|entrant| self.write_candidate(entrant.model));
        let candidates = candidates.collect::<Result<Vec<_>>>()?;
        let measured = self.judge(entrants, &candidates, held_out)?;
        Ok((candidates, measured))
    }

    pub(super) fn go_on(&self, progress: RouterProgress) -> Result<()> {
        if (self.progress)(progress).is_break() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// The queries to calibrate with, and the distances of their true k-th neighbours.
    pub(super) fn questions(
        &self,
        reader: &Reader<'_>,
        record: &Record,
        queries: &[f32],
    ) -> Result<Questions> {
        let mut rows = encode_all(queries, &record.index.config())?;
        // The same query once more says nothing, and would make the recall seem surer than it is.
        let mut seen = HashSet::with_capacity(rows.len());
        rows.retain(|row| seen.insert(row.clone()));
        let instead = "give ten times as many to train with, or others to hold out";
        check_count(rows.len(), "different queries to calibrate with", instead)?;
        Questions::answer(reader, rows, self.k, &|| self.go_on(RouterProgress::Calibrating))
    }

    /// Writes the keys of all nodes, which nothing refers to yet.
    fn write_candidate(&self, model: &KeyModel) -> Result<Candidate> {
        self.go_on(RouterProgress::Keys)?;
        let encoder = KeyEncoder::new(model).map_err(|error| from_route(error.into()))?;
        let mut txn = self.storage.begin_write()?;
        let record = catalog::existing_in(&txn, &self.name)?;
        let keys = make_keys(&mut txn, &record.index, &encoder)?;
        let landmarks = landmarks(&**txn.base(), &record.index)?;
        catalog::set_candidate(&txn, &self.name, keys)?;
        txn.commit()?;
        let (epoch, rows) = (record.index.epoch(), record.index.live().into());
        Ok(Candidate { keys, landmarks, epoch, rows })
    }

    fn drop_candidates(&self) -> Result<()> {
        let mut txn = self.storage.begin_write()?;
        catalog::drop_candidates(&mut txn, &self.name)?;
        Ok(txn.commit()?)
    }

    /// Measures greedy search, the new routers, and the one that is there.
    fn judge(
        &self,
        entrants: &[Entrant<'_>],
        candidates: &[Candidate],
        held_out: &Questions,
    ) -> Result<Measurements> {
        let snapshot = self.storage.snapshot()?;
        let record = catalog::existing(&snapshot, &self.name)?;
        let reader = Reader::open(&*snapshot, &record.index)?;
        let router = |(entrant, candidate): (&Entrant<'_>, &Candidate)| {
            let keys = snapshot.rows(candidate.keys)?;
            Ok((router_of(entrant.model, &candidate.landmarks, keys)?, Keys::new(keys)))
        };
        let routers = entrants.iter().zip(candidates).map(router).collect::<Result<Vec<_>>>()?;
        let mut keyed: Vec<Keyed<'_>> =
            routers.iter().map(|(router, keys)| Keyed { router, keys: *keys }).collect();
        let current = match candidates.first() {
            Some(candidate) => self.current(&snapshot, &record, &candidate.landmarks)?,
            None => None,
        };
        if let Some((router, keys)) = &current {
            keyed.push(Keyed { router, keys: *keys });
        }
        let questions = held_out.held_out(self.k);
        let go_on = || (self.progress)(RouterProgress::Calibrating).is_continue();
        let measured = match calibrate(&reader, &keyed, questions, &go_on) {
            Err(RouteError::Index(redknot_index::Error::Cancelled)) => return Err(Error::Cancelled),
            // A router that cannot be measured is no reason to keep it.
            Err(_) if current.is_some() => calibrate(&reader, &keyed[..routers.len()], questions, &go_on),
            measured => measured,
        };
        let mut calibrations = measured.map_err(from_route)?;
        let before = calibrations.split_off(routers.len()).pop();
        let best = best(entrants, &calibrations)
            .ok_or_else(|| Error::Router { why: "no model that may be kept: name an encoder".into() })?;
        let rows = candidates.first().map_or(0, |candidate| candidate.rows);
        Ok(Measurements { best, calibrations, before, rows })
    }

    /// The router that is there, if searches can follow it and gain by it, with its keys. It enters the graph at the same
    /// landmarks as the new ones: some of its own may have gone.
    fn current<'s>(
        &self,
        snapshot: &'s Snapshot,
        record: &Record,
        landmarks: &[u32],
    ) -> Result<Option<(Router, Keys<'s>)>> {
        let Some(keys) = record.fresh_router() else { return Ok(None) };
        // One that cannot be read is no reason to refuse those that come.
        let Ok((current, model)) = read(snapshot, &self.name) else { return Ok(None) };
        if !current.gains() {
            return Ok(None);
        }
        let keys = snapshot.rows(keys.keys)?;
        Ok(router_of(&model, landmarks, keys).ok().map(|router| (router, Keys::new(keys))))
    }

    /// Has the router that is there stay, with what was measured of it now.
    fn keep(&self, calibration: Calibration) -> Result<()> {
        let mut txn = self.storage.begin_write()?;
        catalog::drop_candidates(&mut txn, &self.name)?;
        let mut record = catalog::existing_in(&txn, &self.name)?;
        if let Some(there) = &mut record.router
            && let Some(loaded) = self.routers.get(txn.base(), &self.name, *there)
        {
            let mut router = loaded.record.clone();
            router.calibration = calibration;
            router.landmarks = landmarks(&**txn.base(), &record.index)?;
            write(&txn, &self.name, &router, None)?;
            there.serial += 1;
            catalog::write_bytes(&txn, &self.name, &record.to_bytes())?;
        }
        Ok(txn.commit()?)
    }

    /// Makes the new router that of the collection.
    fn adopt(&self, model: &KeyModel, mut router: RouterRecord, mut keys: ArrayId, epoch: u64) -> Result<()> {
        let mut txn = self.storage.begin_write()?;
        let mut record = catalog::existing_in(&txn, &self.name)?;
        if let Some(there) = record.router
            && let Some(loaded) = self.routers.get(txn.base(), &self.name, there)
        {
            // Who switched the router off does so for the next one as well.
            router.enabled = loaded.record.enabled;
        }
        if record.index.epoch() == epoch && txn.array(keys).is_ok() {
            catalog::keep_candidate(&mut txn, &self.name, keys)?;
        } else {
            // Somebody wrote meanwhile, or dropped the collection and made another of that name.
            catalog::drop_candidates(&mut txn, &self.name)?;
            let encoder = KeyEncoder::new(model).map_err(|error| from_route(error.into()))?;
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

/// Keys that are written and not in use.
struct Candidate {
    keys: ArrayId,
    landmarks: Vec<u32>,
    epoch: u64,
    rows: u64,
}

/// The place of the best of the models that may be adopted: the first that no later one is better than.
fn best(entrants: &[Entrant<'_>], calibrations: &[Calibration]) -> Option<usize> {
    let places = (0..entrants.len()).filter(|place| entrants[*place].candidate);
    let measured = places.map(|place| (place, levels(&calibrations[place])));
    measured.reduce(|best, next| if better(&next.1, &best.1) { next } else { best }).map(|(place, _)| place)
}

/// Whether one router takes less time than another at more levels than the other way round.
fn better(new: &[Level], old: &[Level]) -> bool {
    let micros = |level: &Level| level.routed.map_or(f64::INFINITY, |routed| routed.figures.micros);
    let wins = |a: &[Level], b: &[Level]| a.iter().zip(b).filter(|(a, b)| micros(a) < micros(b)).count();
    wins(new, old) > wins(old, new)
}
