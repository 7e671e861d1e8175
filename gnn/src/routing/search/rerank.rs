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
        self.trace.rerank();
        self.probe.request_vectors(self.scratch.shortlist.iter().map(|candidate| candidate.id));
        self.prefetch_vectors(0);
        for first in (0..self.scratch.shortlist.len()).step_by(BATCH) {
            self.prefetch_vectors(first + BATCH);
            let farthest = self.kth_exact().map_or(f32::INFINITY, |kth| widen(kth, self.effort.slack));
            let mut batch = [0; BATCH];
            let mut count = 0;
            let candidates = self.scratch.shortlist[first..].iter().take(BATCH);
            for candidate in candidates.take_while(|candidate| candidate.distance <= farthest) {
                batch[count] = candidate.id;
                count += 1;
            }
            self.add_exact(&batch[..count])?;
            if count < BATCH {
                break;
            }
        }
        Ok(())
    }

    fn prefetch_vectors(&self, first: usize) {
        for candidate in self.scratch.shortlist.iter().skip(first).take(BATCH) {
            self.probe.prefetch_vector(candidate.id);
        }
    }
}
