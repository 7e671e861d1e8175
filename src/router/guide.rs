//! How a search is answered: which plan, and what happens when it fails.

use std::sync::Arc;

use redknot_gnn::routing::{Calibration, Effort, Keys, Plan, RouteError, Router};
use redknot_index::{Found, Reader, SearchParams};
use redknot_storage::{ArrayId, Snapshot, View};

use super::RoutingMetrics;
use super::cache::{Loaded, Resident, Routers};
use crate::answer::Answer;
use crate::catalog::Record;
use crate::error::{Error, Result};
use crate::explain::Unrouted;
use crate::query::{Ask, Depth};

/// What guides the searches of a collection: its router, or nothing.
#[derive(Debug, Default)]
pub(crate) struct Guide {
    loaded: Option<Arc<Loaded>>,
    /// The array of keys, where it agrees with the index.
    keys: Option<ArrayId>,
    /// The graph and the keys in memory, if they were asked for.
    resident: Option<Arc<Resident>>,
}

/// What came of following the keys. Without an answer, greedy search has it.
enum Routing {
    Found(Answer),
    /// The query is unlike those that the calibration was made with.
    Strange,
    Failed,
}

/// What an explanation shows.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Why greedy search answers, if it does.
    pub(crate) unrouted: Option<Unrouted>,
    /// Effort of greedy search.
    pub(crate) greedy: usize,
    /// The same for a query unlike those that the calibration was made with.
    pub(crate) for_strangers: usize,
    /// Effort of the router, where its keys can be followed.
    pub(crate) effort: Option<Effort>,
}

impl Guide {
    /// What guides searches in a committed state.
    pub(crate) fn new(routers: &Routers, snapshot: &Snapshot, name: &str, record: &Record) -> Guide {
        let Some(router) = record.router else { return Guide::default() };
        let loaded = routers.get(snapshot, name, router);
        let resident = loaded.as_ref().and_then(|loaded| loaded.resident(record.index.epoch()));
        Guide { loaded, keys: record.fresh_router().map(|router| router.keys), resident }
    }

    /// The nearest rows, by whichever way `ask` or the calibration says.
    pub(crate) fn search(
        &self,
        view: &impl View,
        reader: &Reader<'_>,
        query: &[u8],
        ask: &Ask,
    ) -> Result<Answer> {
        let greedy = match self.plan(ask)? {
            Plan::Greedy(ef) => ef,
            Plan::Routed(effort) => match self.route(view, reader, query, ask.wanted(), &effort) {
                Routing::Found(answer) => return Ok(answer),
                Routing::Strange => self.effort_for_strangers(ask)?,
                Routing::Failed => self.greedy_effort(ask)?,
            },
        };
        let found = reader.search(query, SearchParams { k: ask.wanted(), ef: greedy })?;
        Ok(Answer::unrouted(found))
    }

    /// The effort of a greedy search that gives what `ask` wants.
    pub(crate) fn greedy_effort(&self, ask: &Ask) -> Result<usize> {
        match ask.depth {
            Depth::Recall(recall) => Ok(self.calibration(ask, recall)?.greedy_effort(recall).max(ask.k)),
            _ => Ok(ask.greedy_effort()),
        }
    }

    /// The same for a query unlike those that the calibration was made with. What reaches a recall for those says little here:
    /// the effort is the one that misses half as much of them.
    fn effort_for_strangers(&self, ask: &Ask) -> Result<usize> {
        match ask.depth {
            Depth::Recall(recall) => {
                let calibration = self.calibration(ask, recall)?;
                Ok(calibration.greedy_effort(recall.midpoint(1.0)).max(ask.k))
            }
            _ => self.greedy_effort(ask),
        }
    }

    /// Why greedy search would answer `ask`, and the efforts at which both ways of searching give as much.
    pub(crate) fn shown(&self, ask: &Ask) -> Result<Shown> {
        let (plan, greedy) = (self.plan(ask)?, self.greedy_effort(ask)?);
        let Some(loaded) = self.loaded.as_deref() else {
            let for_strangers = greedy;
            return Ok(Shown { unrouted: Some(Unrouted::NoRouter), greedy, for_strangers, effort: None });
        };
        let calibration = &loaded.record.calibration;
        let unrouted = match (self.keys, plan, ask.depth) {
            (None, ..) => Some(Unrouted::Behind),
            (_, Plan::Routed(_), _) => None,
            (.., Depth::Greedy(_)) => Some(Unrouted::Asked),
            _ if !loaded.record.enabled => Some(Unrouted::Disabled),
            _ if !loaded.active => Some(Unrouted::NoGain),
            _ if ask.k > calibration.k => Some(Unrouted::TooManyRows),
            _ => Some(Unrouted::Slower),
        };
        let effort = match (plan, ask.depth) {
            (Plan::Routed(effort), _) => effort,
            (_, Depth::Recall(recall)) => calibration.routed_effort(recall),
            _ => calibration.routed_effort(calibration.greedy_recall(greedy)),
        };
        let for_strangers = self.effort_for_strangers(ask)?;
        Ok(Shown { unrouted, greedy, for_strangers, effort: self.keys.map(|_| effort) })
    }

    /// The router and its keys, where they agree with the index.
    pub(crate) fn router(&self) -> Option<(&Router, ArrayId)> {
        Some((&self.loaded.as_deref()?.router, self.keys?))
    }

    /// What the router did so far.
    pub(crate) fn metrics(&self) -> Option<RoutingMetrics> {
        self.loaded.as_ref().map(|loaded| loaded.counts.get())
    }

    fn plan(&self, ask: &Ask) -> Result<Plan> {
        let active = self.loaded.as_deref().filter(|loaded| loaded.active && self.keys.is_some());
        match ask.depth {
            Depth::Greedy(_) => Ok(Plan::Greedy(ask.greedy_effort())),
            Depth::Routed(effort) if self.loaded.is_some() => Ok(Plan::Routed(effort)),
            Depth::Routed(_) => Err(Error::NoRouter { name: ask.name.into() }),
            Depth::Recall(recall) => match (self.calibration(ask, recall)?, active) {
                (calibration, Some(_)) => Ok(calibration.plan(recall).unwrap_or(Plan::Greedy(ask.k))),
                (calibration, None) => Ok(Plan::Greedy(calibration.greedy_effort(recall).max(ask.k))),
            },
            Depth::Ef(_) | Depth::Default => {
                let ef = ask.greedy_effort();
                // What was measured for k neighbours holds for fewer, not for more.
                let calibration = active.map(|loaded| &loaded.record.calibration);
                let calibration = calibration.filter(|calibration| ask.k <= calibration.k);
                Ok(calibration.map_or(Plan::Greedy(ef), |calibration| calibration.plan_for_ef(ef)))
            }
        }
    }

    fn calibration(&self, ask: &Ask, recall: f64) -> Result<&Calibration> {
        let loaded = self.loaded.as_ref();
        let calibration = loaded.map(|loaded| &loaded.record.calibration);
        calibration.filter(|calibration| ask.k <= calibration.k).ok_or_else(|| Error::NotCalibrated {
            name: ask.name.into(),
            recall,
            k: ask.k,
            calibrated: calibration.map(|calibration| calibration.k),
        })
    }

    /// Follows the keys.
    fn route(
        &self,
        view: &impl View,
        reader: &Reader<'_>,
        query: &[u8],
        k: usize,
        effort: &Effort,
    ) -> Routing {
        let (Some(loaded), Some(keys)) = (self.loaded.as_deref(), self.keys) else { return Routing::Failed };
        let rows = view.rows(keys).map_err(RouteError::Keys);
        let resident = self.resident.as_deref().map(|resident| &resident.graph);
        let keys = rows.map(|rows| Keys::new(rows).with_resident(resident));
        let routed = keys.and_then(|keys| loaded.router.search(reader, keys, query, k, effort));
        match routed {
            Ok(routed) => {
                loaded.counts.count(&routed);
                let key_scores = routed.key_scores;
                let found = Found {
                    neighbors: routed.neighbors,
                    exact: routed.exact,
                    distances: routed.distances,
                    hops: routed.hops,
                };
                Routing::Found(Answer { found, key_scores, inferences: 0, routed: true })
            }
            Err(RouteError::Strange { .. }) => {
                loaded.counts.count_strange();
                Routing::Strange
            }
            Err(error) => {
                loaded.counts.count_fallback();
                tracing::debug!(%error, "a search could not be routed and is answered greedily");
                Routing::Failed
            }
        }
    }
}
