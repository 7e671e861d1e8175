//! Asking for the nearest rows.

use std::fmt;
use std::num::NonZero;

#[cfg(feature = "routing")]
use redknot_gnn::{online::GnnRoutingPolicy, routing::Effort};
use redknot_index::VectorRef;
use serde::Serialize;

use crate::error::{Error, Result};
#[cfg(feature = "routing")]
use crate::explain::{self, Explanation};
use crate::key::Key;

/// Most threads that one operation starts.
pub const MAX_THREADS: usize = 1024;

/// Checks a number of threads.
pub(crate) fn check_threads(threads: Option<NonZero<usize>>) -> Result<()> {
    match threads.map(NonZero::get) {
        Some(got) if got > MAX_THREADS => {
            Err(Error::InvalidParameter { name: "threads", got: got.to_string(), expected: "1 to 1024" })
        }
        _ => Ok(()),
    }
}

/// Largest `k`.
pub const MAX_K: usize = 1 << 20;

/// A found row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit<K> {
    /// Its key.
    pub key: K,
    /// Its distance to the query, in the unit of the collection's metric; smaller is nearer.
    pub distance: f32,
}

/// How far a result can be trusted to be the true nearest rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Completeness {
    /// Every row that qualifies was looked at.
    Exact,
    /// The graph was searched: nearer rows may have been missed, with the recall that the effort buys.
    Approximate,
    /// Fewer rows than asked for qualify; these are all of them.
    Short,
}

/// What a search cost. The counts do not depend on the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchStats {
    /// Distances computed between the query and stored vectors.
    pub distances: u64,
    /// Nodes whose links were looked at, in the base layer and above.
    pub hops: u64,
    /// Keys scored by a learned router.
    pub key_scores: u64,
    /// Calls of the model of an online policy.
    pub inferences: u64,
    /// Whether a learned router, or a policy, decided where to look.
    pub routed: bool,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchResult<K> {
    /// Nearest first; rows at the same distance in the order of their internal numbers.
    pub hits: Vec<Hit<K>>,
    /// How far the hits can be trusted.
    pub completeness: Completeness,
    /// What it cost.
    pub stats: SearchStats,
}

pub(crate) type Filter<'a, K> = Box<dyn Fn(<K as Key>::Ref<'_>) -> bool + Sync + 'a>;

/// A query under construction: `collection.search(&vector).k(10).ef(64).run()?`.
#[must_use = "a query does nothing until it is run"]
pub struct Search<'a, K: Key> {
    target: &'a dyn Target<K>,
    pub(crate) request: Request<'a, K>,
}

/// What is asked.
pub(crate) struct Request<'a, K: Key> {
    pub(crate) query: VectorRef<'a>,
    pub(crate) k: usize,
    pub(crate) depth: Depth,
    pub(crate) within: Option<f32>,
    pub(crate) exact: bool,
    pub(crate) filter: Option<Filter<'a, K>>,
    pub(crate) left_out: Option<K::Ref<'a>>,
    #[cfg(feature = "routing")]
    pub(crate) policy: Option<&'a GnnRoutingPolicy>,
}

/// How hard to look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Depth {
    /// As hard as greedy search with the default effort, and as it does so or faster.
    Default,
    /// As hard as greedy search with that effort, and as it does so or faster.
    Ef(usize),
    /// Until this recall is reached, by what was calibrated.
    Recall(f64),
    /// Greedy search, whatever has been trained.
    Greedy(Option<usize>),
    /// Routed search.
    #[cfg(feature = "routing")]
    Routed(Effort),
}

/// What of a request decides how it is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    /// The collection.
    pub(crate) name: &'a str,
    pub(crate) k: usize,
    pub(crate) depth: Depth,
    /// Whether one row more is to be found, as one is left out after that.
    pub(crate) one_more: bool,
}

impl Ask<'_> {
    /// How many rows are to be found.
    pub(crate) fn wanted(&self) -> usize {
        self.k + usize::from(self.one_more)
    }

    /// The effort of a greedy search, where none was calibrated.
    pub(crate) fn greedy_effort(&self) -> usize {
        match self.depth {
            Depth::Ef(ef) | Depth::Greedy(Some(ef)) => ef.max(self.k),
            _ => (2 * self.k).max(64),
        }
    }
}

/// Who answers.
pub(crate) trait Target<K: Key> {
    fn answer(&self, request: &Request<'_, K>) -> Result<SearchResult<K::Owned>>;

    /// How it is answered.
    #[cfg(feature = "routing")]
    fn explain(&self, request: &Request<'_, K>) -> Result<Explanation<K::Owned>>;
}

impl<'a, K: Key> Search<'a, K> {
    pub(crate) fn new(target: &'a dyn Target<K>, query: VectorRef<'a>) -> Search<'a, K> {
        let request = Request {
            query,
            k: 10,
            depth: Depth::Default,
            within: None,
            exact: false,
            filter: None,
            left_out: None,
            #[cfg(feature = "routing")]
            policy: None,
        };
        Search { target, request }
    }

    /// How many rows to return; 1 to 2^20, 10 by default.
    pub fn k(mut self, k: usize) -> Self {
        self.request.k = k;
        self
    }

    /// Search effort: candidates that are kept while the graph is searched, 1 to 2^20, and `k` where that is
    /// more. 64 by default, or 2·k where that is more. More raises recall and cost. Where a router has been trained
    /// and reaches the recall of this effort in less time, it answers.
    pub fn ef(mut self, ef: usize) -> Self {
        self.request.depth = Depth::Ef(ef);
        self
    }

    /// As little effort as reaches this recall (0 to 1) on average, instead of [`Search::ef`]: by what was calibrated
    /// when the router of the collection was trained, whether or not searches follow it.
    ///
    /// # Errors
    /// [`Error::NotCalibrated`] when it is run, where nothing was, or not for as many as `k` rows.
    pub fn recall(mut self, recall: f64) -> Self {
        self.request.depth = Depth::Recall(recall);
        self
    }

    /// Searches greedily, whatever has been trained, with the given effort or the default of [`Search::ef`].
    pub fn greedy(mut self, ef: Option<usize>) -> Self {
        self.request.depth = Depth::Greedy(ef);
        self
    }

    /// Follows the router with these settings, whatever was calibrated. Greedily where the router's keys are behind the
    /// index or it fails.
    ///
    /// # Errors
    /// [`Error::NoRouter`] when it is run, where the collection has none that can be used.
    #[cfg(feature = "routing")]
    pub fn routed(mut self, effort: Effort) -> Self {
        self.request.depth = Depth::Routed(effort);
        self
    }

    /// Has a model decide at each hop which links get a distance, with the effort of [`Search::ef`], instead of following
    /// keys. The graph features of the collection are used where they are stored and not behind
    /// ([`crate::Database::compute_graph_features`]). Searches with [`Search::filter`] or [`Search::exact`] do without.
    /// Where the policy fails, the answer is that of greedy search ([`GnnRoutingPolicy::metrics`] counts it).
    #[cfg(feature = "routing")]
    pub fn policy(mut self, policy: &'a GnnRoutingPolicy) -> Self {
        self.request.policy = Some(policy);
        self
    }

    /// Only rows at a distance of at most `radius` (the `k` nearest of them).
    pub fn within(mut self, radius: f32) -> Self {
        self.request.within = Some(radius);
        self
    }

    /// Looks at every row instead of searching the graph.
    pub fn exact(mut self) -> Self {
        self.request.exact = true;
        self
    }

    /// Only rows whose key satisfies `predicate`. If few rows do, the search widens until it has found `k` or
    /// looked at all of them.
    pub fn filter(mut self, predicate: impl Fn(K::Ref<'_>) -> bool + Sync + 'a) -> Self {
        self.request.filter = Some(Box::new(predicate));
        self
    }

    /// All but the row with this key, for more like a row that is there. Costs next to nothing, where [`Search::filter`]
    /// has searches be greedy. A key without a row changes nothing.
    pub fn leave_out(mut self, key: K::Ref<'a>) -> Self {
        self.request.left_out = Some(key);
        self
    }

    /// Runs the query.
    pub fn run(self) -> Result<SearchResult<K::Owned>> {
        self.request.check()?;
        self.target.answer(&self.request)
    }

    /// Runs the query greedily and, where there is a router, by its keys, and tells each step of both: the nodes
    /// expanded, what their links led to and what was kept of it, distances and estimates, and why each search ended.
    /// Costs far more than the query; searches that are run are not slower for it.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for a query with [`Search::exact`], [`Search::filter`] or [`Search::leave_out`], otherwise as
    /// [`Search::run`].
    #[cfg(feature = "routing")]
    pub fn explain(self) -> Result<Explanation<K::Owned>> {
        self.request.check()?;
        explain::check(&self.request)?;
        self.target.explain(&self.request)
    }
}

impl<K: Key> Request<'_, K> {
    pub(crate) fn check(&self) -> Result<()> {
        check_k(self.k)?;
        let wrong = |name, got: String, expected| Err(Error::InvalidParameter { name, got, expected });
        match self.depth {
            Depth::Ef(ef) | Depth::Greedy(Some(ef)) => check_ef(ef)?,
            Depth::Recall(recall) if !(recall > 0.0 && recall <= 1.0) => {
                return wrong("recall", recall.to_string(), "more than 0, at most 1");
            }
            #[cfg(feature = "routing")]
            Depth::Routed(effort) => {
                if let Err(error) = effort.check() {
                    return wrong("effort", error.to_string(), "settings that a search can be made with");
                }
            }
            _ => {}
        }
        if let Some(radius) = self.within
            && radius.is_nan()
        {
            return Err(Error::InvalidParameter { name: "within", got: "NaN".into(), expected: "a number" });
        }
        Ok(())
    }

    /// What decides how it is answered.
    pub(crate) fn ask<'a>(&self, name: &'a str) -> Ask<'a> {
        Ask { name, k: self.k, depth: self.depth, one_more: false }
    }
}

/// Checks the effort of a greedy search.
pub(crate) fn check_ef(ef: usize) -> Result<()> {
    if (1..=MAX_K).contains(&ef) {
        return Ok(());
    }
    Err(Error::InvalidParameter { name: "ef", got: ef.to_string(), expected: "1 to 1048576" })
}

pub(crate) fn check_k(k: usize) -> Result<()> {
    if (1..=MAX_K).contains(&k) {
        return Ok(());
    }
    Err(Error::InvalidParameter { name: "k", got: k.to_string(), expected: "1 to 1048576" })
}

impl<K: Key> fmt::Debug for Search<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search")
            .field("k", &self.request.k)
            .field("depth", &self.request.depth)
            .finish_non_exhaustive()
    }
}
