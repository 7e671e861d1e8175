//! Keys decide everything but the order of the results.

use redknot_index::Trace;

use super::StopReason;
use super::walk::Walk;
use crate::routing::{Landmarks, RouteError};

impl<T: Trace> Walk<'_, '_, T> {
    /// Expands nodes in the order of their estimates, then re-ranks the best by exact distance.
    pub(super) fn route(&mut self, landmarks: &Landmarks) -> Result<StopReason, RouteError> {
        let Some(entry) = self.enter(landmarks)? else { return Ok(StopReason::NoGraph) };
        self.scratch.pool.insert(entry);
        let stop = self.follow_estimates()?;
        self.shortlist_best();
        self.rerank()?;
        Ok(stop)
    }

    fn follow_estimates(&mut self) -> Result<StopReason, RouteError> {
        loop {
            let node = match self.next_hop(self.kth_candidate()) {
                Ok(node) => node,
                Err(stop) => return Ok(stop),
            };
            let fresh = self.expand(node)?;
            self.insert_promising(fresh);
            self.look_ahead()?;
        }
    }

    /// Candidates that are re-ranked.
    fn listed(&self) -> usize {
        self.effort.rerank.max(self.k)
    }

    /// Adds those of the first `fresh` of `scratch.links` to the candidates that may yet be expanded or re-ranked.
    #[inline]
    pub(super) fn insert_promising(&mut self, fresh: usize) {
        let bound = match (self.kth_candidate(), self.scratch.pool.get(self.listed() - 1)) {
            (Some(kth), Some(last)) => self.reach(kth).max(last.distance),
            _ => f32::INFINITY,
        };
        self.insert_estimates(fresh, bound);
    }

    /// Puts the candidates that are to be re-ranked into the shortlist.
    pub(super) fn shortlist_best(&mut self) {
        let listed = self.listed();
        let scratch = &mut *self.scratch;
        scratch.shortlist.clear();
        scratch.shortlist.extend(scratch.pool.iter().take(listed));
    }
}
