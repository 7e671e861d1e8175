//! Whether a router still keeps what its calibration promised.

use std::fmt;
use std::ops::ControlFlow;

use redknot_gnn::routing::{Calibration, Figures, Keys, Measured, Plan, measure};
use redknot_index::Reader;
use redknot_storage::{Storage, View};
use serde::Serialize;

use super::cache::Routers;
use super::encode::from_route;
use super::questions::{Questions, check_count, encode_all};
use super::record::LEVELS;
use crate::catalog;
use crate::error::{Error, Result};
use crate::query_log::QueryLogs;

/// Queries that are measured with, where nothing else is said.
const SAMPLE: usize = 500;
/// A recall that is less than promised by no more than this, and two standard errors, is as promised.
const RECALL: f64 = 0.01;
/// Distances that are no more than this many times those promised are as promised.
const DISTANCES: f64 = 1.25;

/// What a calibration promised, beside what was measured anew. Made by [`crate::Database::router_drift`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DriftReport {
    /// The collection.
    pub collection: String,
    /// Queries that were measured with.
    pub queries: usize,
    /// Whether these are logged ones.
    pub logged: bool,
    /// How many rows each asked for: as many as in the calibration.
    pub k: usize,
    /// Both ways of searching at the recall levels of the gate.
    pub levels: Vec<DriftLevel>,
    /// Whether everything is as promised. Where it is not, train again.
    pub holds: bool,
}

/// A recall level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DriftLevel {
    /// The recall.
    pub recall: f64,
    /// Greedy search at the effort that was calibrated to reach it; `None` where none does.
    pub greedy: Option<Drift>,
    /// The router's search at the effort that was calibrated to reach it; `None` where none does.
    pub router: Option<Drift>,
}

/// One effort, then and now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Drift {
    /// The effort.
    pub plan: Plan,
    /// What the calibration measured.
    pub promised: Figures,
    /// What was measured now. Times are those of this machine, and are not judged.
    pub measured: Figures,
    /// How much less than promised the recall may be: 0.01, and two standard errors of the difference between two means of
    /// as many queries. Of numbers between 0 and 1 with mean r, the standard deviation is at most √(r(1−r)).
    pub tolerance: f64,
    /// Whether the recall is within the tolerance of what was promised, or above, and the distances are at most 1.25 times
    /// as many.
    pub holds: bool,
}

/// A measurement under construction: `db.router_drift("docs").sample(500).run()?`.
///
/// Asks queries again that were logged of late (see [`crate::Database::log_queries`]) or others, compares the answers with
/// exact ones, and holds recall and cost against what the calibration of the router promised. Changes nothing.
#[must_use = "nothing is measured until it is run"]
pub struct RouterDrift<'d> {
    storage: &'d Storage,
    routers: &'d Routers,
    logs: &'d QueryLogs,
    name: String,
    queries: Option<&'d [f32]>,
    sample: usize,
    progress: Box<dyn Fn() -> ControlFlow<()> + Sync + 'd>,
}

impl<'d> RouterDrift<'d> {
    pub(crate) fn new(
        storage: &'d Storage,
        routers: &'d Routers,
        logs: &'d QueryLogs,
        name: &str,
    ) -> RouterDrift<'d> {
        RouterDrift {
            storage,
            routers,
            logs,
            name: name.into(),
            queries: None,
            sample: SAMPLE,
            progress: Box::new(|| ControlFlow::Continue(())),
        }
    }

    /// Queries to measure with instead of logged ones, one behind the other.
    pub fn queries(mut self, queries: &'d [f32]) -> Self {
        self.queries = Some(queries);
        self
    }

    /// How many queries to measure with, at most: the latest of the log, or the first of those given. 500 by default, at
    /// least 50.
    pub fn sample(mut self, queries: usize) -> Self {
        self.sample = queries;
        self
    }

    /// Called now and then, from any thread; breaking ends the measurement with [`Error::Cancelled`].
    pub fn progress(mut self, progress: impl Fn() -> ControlFlow<()> + Sync + 'd) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Measures.
    ///
    /// # Errors
    /// [`Error::NoRouter`] where the collection has no router that can be used; [`Error::Router`] where its keys are behind
    /// the index, or there are fewer than 50 queries.
    pub fn run(self) -> Result<DriftReport> {
        let snapshot = self.storage.snapshot()?;
        let record = catalog::existing(&snapshot, &self.name)?;
        let no_router = || Error::NoRouter { name: self.name.clone() };
        let keys = record.router.ok_or_else(no_router)?;
        let loaded = self.routers.get(&snapshot, &self.name, keys).ok_or_else(no_router)?;
        if record.fresh_router().is_none() {
            return Err(Error::Router {
                why: "its keys are behind the index, so searches are greedy: build or train first".into(),
            });
        }
        let mut rows = match self.queries {
            Some(queries) => encode_all(queries, &record.index.config())?,
            None => self.logs.queries(&snapshot, &self.name)?.iter().map(|query| query.to_vec()).collect(),
        };
        rows.truncate(self.sample);
        let instead = "log queries with `Database::log_queries` or give some, and a sample as large";
        check_count(rows.len(), "different queries to measure with", instead)?;
        let reader = Reader::open(&*snapshot, &record.index)?;
        let go_on = || if (self.progress)().is_break() { Err(Error::Cancelled) } else { Ok(()) };
        let calibration = &loaded.record.calibration;
        let questions = Questions::answer(&reader, rows, calibration.k, &go_on)?;

        let promised = promises(calibration);
        let mut plans: Vec<Plan> = Vec::new();
        for measured in promised.iter().flat_map(|(_, both)| both.iter().flatten()) {
            if !plans.contains(&measured.plan) {
                plans.push(measured.plan);
            }
        }
        let keys = Keys::new(snapshot.rows(keys.keys)?);
        let go_on = || (self.progress)().is_continue();
        let held_out = questions.held_out(calibration.k);
        let now = measure(&reader, keys, &loaded.router, held_out, &plans, &go_on).map_err(from_route)?;
        let levels = levels(&promised, &now, [calibration.queries, questions.rows.len()]);
        let holds = levels.iter().flat_map(|level| [level.greedy, level.router]).flatten().all(|it| it.holds);
        Ok(DriftReport {
            collection: self.name.clone(),
            queries: questions.rows.len(),
            logged: self.queries.is_none(),
            k: calibration.k,
            levels,
            holds,
        })
    }
}

/// What greedy search and the router were measured to give at each level.
fn promises(calibration: &Calibration) -> Vec<(f64, [Option<Measured>; 2])> {
    let greedy = |recall| calibration.greedy.iter().find(|point| point.figures.recall >= recall).copied();
    let both = |recall: &f64| (*recall, [greedy(*recall), calibration.level(*recall).routed]);
    LEVELS.iter().map(both).collect()
}

fn levels(
    promised: &[(f64, [Option<Measured>; 2])],
    now: &[Measured],
    queries: [usize; 2],
) -> Vec<DriftLevel> {
    let compare = |then: Option<Measured>| -> Option<Drift> {
        let then = then?;
        let now = now.iter().find(|now| now.plan == then.plan)?;
        Some(Drift::new(then, now.figures, queries))
    };
    let level = |(recall, both): &(f64, [Option<Measured>; 2])| {
        let [greedy, router] = both.map(compare);
        DriftLevel { recall: *recall, greedy, router }
    };
    promised.iter().map(level).collect()
}

impl Drift {
    fn new(then: Measured, measured: Figures, queries: [usize; 2]) -> Drift {
        let Measured { plan, figures: promised } = then;
        // A recall measured as 1 is not known to be 1.
        let variance = (promised.recall * (1.0 - promised.recall)).max(0.01 * 0.99);
        let per_query: f64 = queries.iter().map(|count| 1.0 / (*count).max(1) as f64).sum();
        let tolerance = RECALL + 2.0 * (variance * per_query).sqrt();
        let holds = measured.recall >= promised.recall - tolerance
            && measured.distances <= DISTANCES * promised.distances;
        Drift { plan, promised, measured, tolerance, holds }
    }
}

impl fmt::Debug for RouterDrift<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterDrift")
            .field("name", &self.name)
            .field("sample", &self.sample)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(recall: f64, distances: f64) -> Figures {
        Figures { recall, distances, ..Figures::default() }
    }

    #[test]
    fn a_promise_holds_within_its_tolerance_and_not_beyond() {
        let then = Measured { plan: Plan::Greedy(40), figures: figures(0.95, 100.0) };
        let drift = |recall, distances| Drift::new(then, figures(recall, distances), [1000, 250]);
        // Two standard errors: 2·√(0.95·0.05·(1/1000 + 1/250)).
        let tolerance = 0.01 + 2.0 * (0.0475_f64 * 0.005).sqrt();
        assert!((drift(0.95, 100.0).tolerance - tolerance).abs() < 1e-12);
        assert!(drift(0.95 - tolerance + 1e-6, 125.0).holds);
        assert!(drift(1.0, 10.0).holds, "more for less breaks no promise");
        assert!(!drift(0.95 - tolerance - 1e-6, 100.0).holds);
        assert!(!drift(0.95, 126.0).holds);
        let sure = Measured { figures: figures(1.0, 100.0), ..then };
        assert!(Drift::new(sure, figures(0.97, 100.0), [100, 100]).holds);
    }
}
