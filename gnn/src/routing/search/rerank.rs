//! Exact distances for the candidates with the best estimates.

use redknot_index::Trace;

use super::walk::Walk;
use crate::routing::RouteError;
use crate::routing::effort::widen;

/// Rows whose distances are computed together, while the next ones are fetched.
const BATCH: usize = 8;

impl<T: Trace> Walk<'_, '_, T> {
    /// Computes the exact distances of `scratch.shortlist`, until an estimate is too far for the rest to matter.
    pub(super) fn rerank(&mut self) -> Result<(), RouteError> {
        self.begin_rerank();
        let mut next = Some(0);
        while let Some(first) = next {
            next = self.rerank_some(first)?;
        }
        Ok(())
    }

    /// Fetches the first vectors.
    pub(super) fn begin_rerank(&mut self) {
        self.trace.rerank();
        self.prefetch_vectors(0);
    }

    /// Computes the next few distances, those from place `first` of the shortlist on, and fetches the vectors after
    /// them. The place to go on from, or `None` where the rest does not matter.
    pub(super) fn rerank_some(&mut self, first: usize) -> Result<Option<usize>, RouteError> {
        self.prefetch_vectors(first + BATCH);
        let farthest = self.kth_exact().map_or(f32::INFINITY, |kth| widen(kth, self.effort.slack));
        let mut batch = [0; BATCH];
        let mut count = 0;
        let candidates = self.scratch.shortlist.iter().skip(first).take(BATCH);
        for candidate in candidates.take_while(|candidate| candidate.distance <= farthest) {
            batch[count] = candidate.id;
            count += 1;
        }
        self.add_exact(&batch[..count])?;
        Ok((count == BATCH).then_some(first + BATCH))
    }

    fn prefetch_vectors(&self, first: usize) {
        for candidate in self.scratch.shortlist.iter().skip(first).take(BATCH) {
            self.probe.prefetch_vector(candidate.id);
        }
    }
}
