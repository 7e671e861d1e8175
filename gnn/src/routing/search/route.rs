//! Keys decide everything but the order of the results.

use redknot_index::Trace;

use super::StopReason;
use super::walk::Walk;
use crate::routing::{Landmarks, RouteError};

impl<T: Trace> Walk<'_, '_, T> {
    /// Expands nodes in the order of their estimates, then re-ranks the best by exact distance.
    pub(super) fn route(&mut self, landmarks: &Landmarks) -> Result<StopReason, RouteError> {
        let Some(entry) = self.enter(landmarks)? else { return Ok(StopReason::NoGraph) };
        let stop = self.follow(entry)?;
        self.list_best(self.effort.rerank.max(self.k));
        self.rerank()?;
        Ok(stop)
    }
}
