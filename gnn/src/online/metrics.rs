//! What a policy did.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What a policy did since it was made or its metrics were reset.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PolicyMetrics {
    /// Searches that were answered, in whichever way.
    pub queries: u64,
    /// Searches that were answered greedily because the policy failed.
    pub fallbacks: u64,
    /// Searches that were answered greedily to learn how long that takes ([`crate::online::Budget::Share`]).
    pub references: u64,
    /// Calls of the model.
    pub total_inferences: u64,
    /// Mean time of a call, in microseconds.
    pub avg_inference_us: f64,
    /// Full-precision distances between queries and rows, of all searches: those of attempts that failed, too.
    pub distance_computations: u64,
    /// Nodes whose links were looked at, in all layers, by search.
    pub avg_hops: f64,
    /// Share of the look-ups of features that the cache answered.
    pub feature_cache_hit_rate: f64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    queries: AtomicU64,
    fallbacks: AtomicU64,
    references: AtomicU64,
    inferences: AtomicU64,
    inference_ns: AtomicU64,
    distances: AtomicU64,
    hops: AtomicU64,
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// As it was meant to: by the policy, or greedily where that is switched off.
    Answered,
    Fallback,
    Reference,
}

impl Counts {
    pub(super) fn count(&self, ending: Ending, distances: u64, hops: u64) {
        self.queries.fetch_add(1, Relaxed);
        self.fallbacks.fetch_add((ending == Ending::Fallback).into(), Relaxed);
        self.references.fetch_add((ending == Ending::Reference).into(), Relaxed);
        self.distances.fetch_add(distances, Relaxed);
        self.hops.fetch_add(hops, Relaxed);
    }

    pub(super) fn count_inference(&self, time: Duration) {
        self.inferences.fetch_add(1, Relaxed);
        self.inference_ns.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    pub(super) fn reset(&self) {
        let Counts { queries, fallbacks, references, inferences, inference_ns, distances, hops } = self;
        for count in [queries, fallbacks, references, inferences, inference_ns, distances, hops] {
            count.store(0, Relaxed);
        }
    }

    pub(super) fn get(&self, feature_cache_hit_rate: f64) -> PolicyMetrics {
        let mean = |sum: f64, count: u64| if count == 0 { 0.0 } else { sum / count as f64 };
        let (queries, inferences) = (self.queries.load(Relaxed), self.inferences.load(Relaxed));
        PolicyMetrics {
            queries,
            fallbacks: self.fallbacks.load(Relaxed),
            references: self.references.load(Relaxed),
            total_inferences: inferences,
            avg_inference_us: mean(self.inference_ns.load(Relaxed) as f64 / 1e3, inferences),
            distance_computations: self.distances.load(Relaxed),
            avg_hops: mean(self.hops.load(Relaxed) as f64, queries),
            feature_cache_hit_rate,
        }
    }
}
