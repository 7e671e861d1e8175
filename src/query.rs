//! Asking for the nearest rows.

use std::fmt;

use redknot_index::VectorRef;

use crate::error::{Error, Result};
use crate::key::Key;

/// Largest `k`.
pub const MAX_K: usize = 1 << 20;

/// A found row.
#[derive(Clone, Debug, PartialEq)]
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
    pub(crate) ef: Option<usize>,
    pub(crate) within: Option<f32>,
    pub(crate) exact: bool,
    pub(crate) filter: Option<Filter<'a, K>>,
}

/// Who answers.
pub(crate) trait Target<K: Key> {
    fn answer(&self, request: &Request<'_, K>) -> Result<SearchResult<K::Owned>>;
}

impl<'a, K: Key> Search<'a, K> {
    pub(crate) fn new(target: &'a dyn Target<K>, query: VectorRef<'a>) -> Search<'a, K> {
        let request = Request { query, k: 10, ef: None, within: None, exact: false, filter: None };
        Search { target, request }
    }

    /// How many rows to return; 1 to 2^20, 10 by default.
    pub fn k(mut self, k: usize) -> Self {
        self.request.k = k;
        self
    }

    /// Search effort: candidates that are kept while the graph is searched, 1 to 2^20, and `k` where that is
    /// more. 64 by default, or 2·k where that is more. More raises recall and cost.
    pub fn ef(mut self, ef: usize) -> Self {
        self.request.ef = Some(ef);
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

    /// Runs the query.
    pub fn run(self) -> Result<SearchResult<K::Owned>> {
        self.request.check()?;
        self.target.answer(&self.request)
    }
}

impl<K: Key> Request<'_, K> {
    pub(crate) fn check(&self) -> Result<()> {
        check_k(self.k)?;
        if let Some(ef) = self.ef.filter(|ef| !(1..=MAX_K).contains(ef)) {
            return Err(Error::InvalidParameter {
                name: "ef",
                got: ef.to_string(),
                expected: "1 to 1048576",
            });
        }
        if let Some(radius) = self.within
            && radius.is_nan()
        {
            return Err(Error::InvalidParameter { name: "within", got: "NaN".into(), expected: "a number" });
        }
        Ok(())
    }

    /// The effort asked for, or the default.
    pub(crate) fn effort(&self) -> usize {
        self.ef.unwrap_or_else(|| default_effort(self.k)).max(self.k)
    }
}

pub(crate) fn check_k(k: usize) -> Result<()> {
    if (1..=MAX_K).contains(&k) {
        return Ok(());
    }
    Err(Error::InvalidParameter { name: "k", got: k.to_string(), expected: "1 to 1048576" })
}

pub(crate) fn default_effort(k: usize) -> usize {
    (2 * k).max(64)
}

impl<K: Key> fmt::Debug for Search<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search")
            .field("k", &self.request.k)
            .field("ef", &self.request.ef)
            .finish_non_exhaustive()
    }
}
