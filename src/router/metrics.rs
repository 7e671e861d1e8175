//! What routing did since the file was opened.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use redknot_gnn::routing::Routed;

/// What routing did in one collection since the file was opened or its router changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoutingMetrics {
    /// Searches that a router answered.
    pub routed: u64,
    /// Searches that were answered greedily because a router failed.
    pub fallbacks: u64,
    /// Searches that were answered greedily because the query is unlike those that the router was calibrated with.
    pub strange: u64,
    /// Full-precision distances of routed searches.
    pub distances: u64,
    /// Keys scored.
    pub key_scores: u64,
    /// Nodes whose links routed searches looked at.
    pub hops: u64,
    /// Keys that commits made anew, of nodes whose links they changed.
    pub keys_made: u64,
    /// What that took, as a part of those commits.
    pub keys_time: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    routed: AtomicU64,
    fallbacks: AtomicU64,
    strange: AtomicU64,
    distances: AtomicU64,
    key_scores: AtomicU64,
    hops: AtomicU64,
    keys_made: AtomicU64,
    keys_nanos: AtomicU64,
}

impl Counts {
    pub(crate) fn count(&self, routed: &Routed) {
        self.routed.fetch_add(1, Relaxed);
        self.distances.fetch_add(routed.distances, Relaxed);
        self.key_scores.fetch_add(routed.key_scores, Relaxed);
        self.hops.fetch_add(routed.hops, Relaxed);
    }

    pub(crate) fn count_fallback(&self) {
        self.fallbacks.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_strange(&self) {
        self.strange.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_keys(&self, made: usize, time: Duration) {
        self.keys_made.fetch_add(made as u64, Relaxed);
        self.keys_nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn get(&self) -> RoutingMetrics {
        RoutingMetrics {
            routed: self.routed.load(Relaxed),
            fallbacks: self.fallbacks.load(Relaxed),
            strange: self.strange.load(Relaxed),
            distances: self.distances.load(Relaxed),
            key_scores: self.key_scores.load(Relaxed),
            hops: self.hops.load(Relaxed),
            keys_made: self.keys_made.load(Relaxed),
            keys_time: Duration::from_nanos(self.keys_nanos.load(Relaxed)),
        }
    }
}
