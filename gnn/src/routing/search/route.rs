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
        let listed = self.effort.rerank.max(self.k);
        let stop = self.follow_estimates(listed)?;
        let scratch = &mut *self.scratch;
        scratch.shortlist.clear();
        scratch.shortlist.extend(scratch.pool.iter().take(listed));
        self.rerank()?;
        Ok(stop)
    }

    fn follow_estimates(&mut self, listed: usize) -> Result<StopReason, RouteError> {
        loop {
            let node = match self.next_hop(self.kth_candidate()) {
                Ok(node) => node,
                Err(stop) => return Ok(stop),
            };
            let fresh = self.expand(node)?;
            // What will neither be expanded nor re-ranked need not be kept.
            let bound = match (self.kth_candidate(), self.scratch.pool.get(listed - 1)) {
                (Some(kth), Some(last)) => self.reach(kth).max(last.distance),
                _ => f32::INFINITY,
            };
            self.insert_estimates(fresh, bound);
            self.look_ahead()?;
        }
    }
}
