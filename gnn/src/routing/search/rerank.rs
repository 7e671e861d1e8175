//! Exact distances for the candidates with the best estimates.

use redknot_index::Trace;

use super::walk::Walk;
use crate::routing::RouteError;
use crate::routing::effort::widen;

/// Vectors that are on their way while distances of others are computed.
const AHEAD: usize = 8;

impl<T: Trace> Walk<'_, '_, T> {
    /// Computes the exact distances of `scratch.shortlist`: of the first k, which have the best estimates, and then of those
    /// whose estimates do not say that they are too far to matter.
    pub(super) fn rerank(&mut self) -> Result<(), RouteError> {
        self.trace.rerank();
        self.probe.request_vectors(self.scratch.shortlist.iter().map(|candidate| candidate.id));
        let first = self.k.min(self.scratch.shortlist.len());
        self.measure_listed(0, first, f32::INFINITY)?;
        let farthest = self.kth_exact().map_or(f32::INFINITY, |kth| widen(kth, self.effort.slack));
        self.measure_listed(first, self.scratch.shortlist.len(), farthest)
    }

    /// Computes the distances of the candidates in some places of `scratch.shortlist` whose estimates are at most so far.
    fn measure_listed(&mut self, first: usize, end: usize, farthest: f32) -> Result<(), RouteError> {
        for candidate in self.scratch.shortlist[end..].iter().take(AHEAD) {
            self.probe.prefetch_vector(candidate.id);
        }
        let mut nodes = std::mem::take(&mut self.scratch.nodes);
        nodes.clear();
        let listed = self.scratch.shortlist[first..end].iter();
        nodes.extend(listed.filter(|candidate| candidate.distance <= farthest).map(|candidate| candidate.id));
        let measured = self.add_exact(&nodes);
        self.scratch.nodes = nodes;
        measured
    }
}
