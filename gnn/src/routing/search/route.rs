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
        let stop = self.follow()?;
        let listed = self.listed();
        let scratch = &mut *self.scratch;
        scratch.shortlist.clear();
        scratch.shortlist.extend(scratch.pool.iter().take(listed));
        self.rerank()?;
        Ok(stop)
    }
}
