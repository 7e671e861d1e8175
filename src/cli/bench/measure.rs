//! One pass over the queries at one effort: answers, and the time each took.

use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use redknot::{Collection, IndexConfig, SearchResult, SearchStats, VectorRef};
use serde::Serialize;

use crate::cli::disk::Reads;
use crate::cli::error::CliError;
use crate::cli::rows::{RowKey, RowPayload};
use crate::cli::vectors::{Values, VectorFile};

/// Queries of one dimension, in the type that their file holds.
#[derive(Debug)]
pub(in crate::cli) struct Queries {
    values: Values,
    dim: usize,
}

impl Queries {
    /// Loads the first `limit` queries of a file, for a collection with this configuration.
    pub(in crate::cli) fn load(
        path: &Path,
        limit: Option<NonZero<usize>>,
        config: &IndexConfig,
    ) -> Result<Self, CliError> {
        let mut file = VectorFile::open(path)?;
        let dim = file.dim();
        if dim != config.dim {
            let (expected, got) = (config.dim, dim);
            return Err(CliError::FileDimension { path: path.to_owned(), expected, got });
        }
        let mut values = file.read_all()?.values;
        if let Some(limit) = limit {
            values.truncate(limit.get().saturating_mul(dim));
        }
        Ok(Self { values, dim })
    }

    /// Number of queries.
    pub(in crate::cli) fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Query `index`.
    pub(in crate::cli) fn get(&self, index: usize) -> VectorRef<'_> {
        self.values.row(index, self.dim)
    }

    /// The coordinates of query `index`.
    pub(in crate::cli) fn coordinates(&self, index: usize) -> Vec<f32> {
        self.values.row_as_f32(index, self.dim)
    }

    /// The queries of the file that an option names, if one does, one behind the other.
    #[cfg(feature = "routing")]
    pub(in crate::cli) fn flat(
        path: Option<&Path>,
        config: &IndexConfig,
    ) -> Result<Option<Vec<f32>>, CliError> {
        let Some(path) = path else { return Ok(None) };
        Ok(Some(Queries::load(path, None, config)?.all()))
    }

    /// The coordinates of all queries, one behind the other.
    #[cfg(feature = "routing")]
    pub(in crate::cli) fn all(&self) -> Vec<f32> {
        (0..self.len()).flat_map(|index| self.coordinates(index)).collect()
    }
}

/// How hard to look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum Effort {
    /// As hard as greedy search with so many candidates, by whatever way is calibrated to be fastest.
    Ef(usize),
    /// Greedily, with so many candidates.
    Greedy(usize),
    /// Until this recall is reached, by what was calibrated.
    Recall(f64),
    /// By the router, with these settings.
    #[cfg(feature = "routing")]
    Routed(redknot::routing::Effort),
    /// At every row.
    Exact,
}

impl Effort {
    /// The number that is turned up for more recall.
    pub(super) fn dial(self) -> f64 {
        match self {
            Effort::Ef(ef) | Effort::Greedy(ef) => ef as f64,
            Effort::Recall(recall) => recall,
            #[cfg(feature = "routing")]
            Effort::Routed(effort) => effort.gamma.into(),
            Effort::Exact => f64::INFINITY,
        }
    }
}

/// What a pass yielded.
#[derive(Debug)]
pub(in crate::cli) struct Pass<K> {
    /// The answer to each query.
    pub(in crate::cli) results: Vec<SearchResult<K>>,
    /// The time each answer took, in the order of the queries.
    latencies: Vec<Duration>,
    /// The time of all of them, on all threads.
    wall: Duration,
    /// What a query read from disks, on average.
    reads: Option<Reads>,
}

/// What a query costs, on average.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Costs {
    /// Distances computed.
    pub(in crate::cli) distances: f64,
    /// Nodes whose links were looked at.
    pub(in crate::cli) hops: f64,
    /// Keys scored.
    pub(in crate::cli) key_scores: f64,
}

/// The speed of a pass.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Speed {
    /// Queries a second, on all threads together.
    pub(in crate::cli) qps: f64,
    /// Median time of a query.
    pub(in crate::cli) p50_us: f64,
    /// The time that one query in a hundred exceeds.
    pub(in crate::cli) p99_us: f64,
    /// What a query read from disks, on average.
    pub(in crate::cli) reads: Option<Reads>,
}

impl<K> Pass<K> {
    /// Its speed.
    pub(in crate::cli) fn speed(&self) -> Speed {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let quantile = |q: f64| {
            let rank = (q * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.saturating_sub(1)).map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        let qps = self.results.len() as f64 / self.wall.as_secs_f64().max(1e-9);
        Speed { qps, p50_us: quantile(0.5), p99_us: quantile(0.99), reads: self.reads }
    }

    /// What a query cost, on average.
    pub(in crate::cli) fn costs(&self) -> Costs {
        let queries = self.results.len().max(1) as f64;
        let mean = |of: fn(&SearchStats) -> u64| {
            self.results.iter().map(|result| of(&result.stats)).sum::<u64>() as f64 / queries
        };
        Costs {
            distances: mean(|stats| stats.distances),
            hops: mean(|stats| stats.hops),
            key_scores: mean(|stats| stats.key_scores),
        }
    }

    /// The keys found for each query, nearest first.
    pub(in crate::cli) fn keys(self) -> Vec<Vec<K>> {
        let keys = |result: SearchResult<K>| result.hits.into_iter().map(|hit| hit.key).collect();
        self.results.into_iter().map(keys).collect()
    }
}

/// A search of one query or of many, told how hard to look.
macro_rules! with_effort {
    ($search:expr, $effort:expr) => {
        match $effort {
            Effort::Ef(ef) => $search.ef(ef),
            Effort::Greedy(ef) => $search.greedy(Some(ef)),
            Effort::Recall(recall) => $search.recall(recall),
            #[cfg(feature = "routing")]
            Effort::Routed(effort) => $search.routed(effort),
            Effort::Exact => $search.exact(),
        }
    };
}

/// How queries are handed to the collection.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Calls {
    /// Threads that ask side by side.
    pub(in crate::cli) threads: NonZero<usize>,
    /// Queries of one call: 1 for a search, more for a batch.
    pub(in crate::cli) batch: NonZero<usize>,
}

impl Calls {
    /// One query a call, one call at a time.
    pub(in crate::cli) const ONE: Calls = Calls::of_one(NonZero::<usize>::MIN);

    /// One query a call, on so many threads.
    pub(in crate::cli) const fn of_one(threads: NonZero<usize>) -> Calls {
        Calls { threads, batch: NonZero::<usize>::MIN }
    }
}

/// Answers every query once.
pub(in crate::cli) fn pass<K: RowKey, P: RowPayload>(
    collection: &Collection<K, P>,
    queries: &Queries,
    k: usize,
    effort: Effort,
    calls: Calls,
) -> Result<Pass<K::Owned>, CliError> {
    let threads = calls.threads;
    let batch = calls.batch.get().min(queries.len()).max(1);
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<_>, CliError> {
        let mut answers = Vec::with_capacity(queries.len() / threads);
        loop {
            let index = next.fetch_add(batch, Relaxed);
            if index >= queries.len() {
                return Ok(answers);
            }
            if batch > 1 {
                let indices = index..queries.len().min(index + batch);
                let vectors: Vec<VectorRef<'_>> = indices.clone().map(|index| queries.get(index)).collect();
                let search = collection.search_batch(&vectors).k(k).threads(NonZero::<usize>::MIN);
                let search = with_effort!(search, effort);
                let start = Instant::now();
                let results = search.run()?;
                let time = start.elapsed();
                answers.extend(indices.zip(results).map(|(index, result)| (index, result, time)));
                continue;
            }
            let search = collection.search(queries.get(index)).k(k);
            let search = with_effort!(search, effort);
            let start = Instant::now();
            let result = search.run()?;
            answers.push((index, result, start.elapsed()));
        }
    };
    let before = Reads::now();
    let start = Instant::now();
    let mut answers = if threads.get() == 1 { work()? } else { on_threads(threads, &work)? };
    let wall = start.elapsed();
    let share = 1.0 / queries.len().max(1) as f64;
    let reads = Reads::now().zip(before);
    let reads = reads.map(|(after, before)| after.with(before, |after, before| share * (after - before)));
    answers.sort_unstable_by_key(|(index, ..)| *index);
    let (results, latencies) = answers.into_iter().map(|(_, result, time)| (result, time)).unzip();
    Ok(Pass { results, latencies, wall, reads })
}

/// Runs `work` on each of `threads` threads and puts together what they return.
fn on_threads<T: Send>(
    threads: NonZero<usize>,
    work: &(impl Fn() -> Result<Vec<T>, CliError> + Sync),
) -> Result<Vec<T>, CliError> {
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads.get()).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for handle in handles {
            match handle.join() {
                Ok(part) => all.extend(part?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}
