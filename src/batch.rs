//! Many queries at a time.

use std::fmt;
use std::num::NonZero;

use rayon::prelude::*;
use redb::Value;
#[cfg(feature = "routing")]
use redknot_gnn::{online::GnnRoutingPolicy, routing::Effort};
use redknot_index::VectorRef;

use crate::collection::Collection;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::query::{Depth, Search, SearchResult, check_threads};

/// Queries under construction: `collection.search_batch(&queries).k(10).run()?`.
#[must_use = "queries do nothing until they are run"]
pub struct BatchSearch<'a, K: Key, V: Value + 'static, Q> {
    collection: &'a Collection<K, V>,
    queries: &'a [Q],
    k: usize,
    depth: Depth,
    exact: bool,
    threads: Option<NonZero<usize>>,
    #[cfg(feature = "routing")]
    policy: Option<&'a GnnRoutingPolicy>,
}

impl<'a, K: Key, V: Value + 'static, Q: Sync> BatchSearch<'a, K, V, Q>
where
    &'a Q: Into<VectorRef<'a>>,
{
    pub(crate) fn new(collection: &'a Collection<K, V>, queries: &'a [Q]) -> Self {
        BatchSearch {
            collection,
            queries,
            k: 10,
            depth: Depth::Default,
            exact: false,
            threads: None,
            #[cfg(feature = "routing")]
            policy: None,
        }
    }

    /// How many rows to return for each query; see [`Search::k`].
    pub fn k(mut self, k: usize) -> Self {
        self.k = k;
        self
    }

    /// Search effort; see [`Search::ef`].
    pub fn ef(mut self, ef: usize) -> Self {
        self.depth = Depth::Ef(ef);
        self
    }

    /// As little effort as reaches this recall; see [`Search::recall`].
    pub fn recall(mut self, recall: f64) -> Self {
        self.depth = Depth::Recall(recall);
        self
    }

    /// Searches greedily, whatever has been trained; see [`Search::greedy`].
    pub fn greedy(mut self, ef: Option<usize>) -> Self {
        self.depth = Depth::Greedy(ef);
        self
    }

    /// Follows the router with these settings; see [`Search::routed`].
    #[cfg(feature = "routing")]
    pub fn routed(mut self, effort: Effort) -> Self {
        self.depth = Depth::Routed(effort);
        self
    }

    /// Has a model decide at each hop which links get a distance; see [`Search::policy`].
    #[cfg(feature = "routing")]
    pub fn policy(mut self, policy: &'a GnnRoutingPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Looks at every row instead of searching the graph.
    pub fn exact(mut self) -> Self {
        self.exact = true;
        self
    }

    /// Threads to use; those of the current rayon pool by default.
    pub fn threads(mut self, threads: NonZero<usize>) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Runs the queries; results in their order, each what [`Search::run`] would have found. The first query that is
    /// refused fails the batch.
    pub fn run(self) -> Result<Vec<SearchResult<K::Owned>>> {
        check_threads(self.threads)?;
        match self.threads {
            Some(threads) if threads.get() == 1 => self.queries.iter().map(|query| self.one(query)).collect(),
            None => self.on_pool(),
            Some(threads) => {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads.get())
                    .build()
                    .map_err(|error| Error::Threads { source: Box::new(error) })?;
                pool.install(|| self.on_pool())
            }
        }
    }

    /// The answer to one of the queries.
    fn one(&self, query: &'a Q) -> Result<SearchResult<K::Owned>> {
        let mut search: Search<'_, K> = self.collection.search(query).k(self.k);
        search.request.depth = self.depth;
        search.request.exact = self.exact;
        #[cfg(feature = "routing")]
        if let Some(policy) = self.policy {
            search = search.policy(policy);
        }
        search.run()
    }

    /// Runs the queries on all threads of the current pool.
    fn on_pool(&self) -> Result<Vec<SearchResult<K::Owned>>> {
        self.queries.par_iter().map(|query| self.one(query)).collect()
    }
}

impl<K: Key, V: Value + 'static, Q> fmt::Debug for BatchSearch<'_, K, V, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchSearch")
            .field("queries", &self.queries.len())
            .field("k", &self.k)
            .finish_non_exhaustive()
    }
}
