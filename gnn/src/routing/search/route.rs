//! Keys decide everything but the order of the results.

use super::StopReason;
use super::walk::Walk;
use crate::routing::{Landmarks, RouteError};

impl Walk<'_, '_> {
    /// Expands nodes in the order of their estimates, then re-ranks the best by exact distance.
    pub(super) fn route(&mut self, landmarks: &Landmarks) -> Result<StopReason, RouteError> {
        let Some(entry) = self.enter(landmarks)? else { return Ok(StopReason::NoGraph) };
        self.scratch.pool.insert(entry);
        let stop = self.follow_estimates()?;
        let listed = self.effort.rerank.max(self.k);
        let scratch = &mut *self.scratch;
        scratch.shortlist.clear();
        scratch.shortlist.extend(scratch.pool.iter().take(listed));
        self.rerank()?;
        Ok(stop)
    }

    fn follow_estimates(&mut self) -> Result<StopReason, RouteError> {
        let listed = self.effort.rerank.max(self.k);
        while let Some(next) = self.scratch.pool.peek() {
            let kth = self.scratch.pool.get(self.k - 1);
            if kth.is_some_and(|kth| next.distance > self.reach(kth.distance)) {
                return Ok(StopReason::Converged);
            }
            if self.hops >= self.effort.max_hops {
                return Ok(StopReason::HopLimit);
            }
            self.scratch.pool.expand_next();
            let fresh = self.expand(next.id)?;
            // What will neither be expanded nor re-ranked need not be kept.
            let pool = &self.scratch.pool;
            let bound = match (pool.get(self.k - 1), pool.get(listed - 1)) {
                (Some(kth), Some(last)) => self.reach(kth.distance).max(last.distance),
                _ => f32::INFINITY,
            };
            self.insert_estimates(fresh, bound);
            self.look_ahead()?;
        }
        Ok(StopReason::Exhausted)
    }
}
