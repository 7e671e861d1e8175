//! Keys decide the order of expansion; exact distances of what is expanded decide when to stop.

use redknot_index::Trace;

use super::StopReason;
use super::walk::Walk;
use crate::routing::{Landmarks, RouteError};

impl<T: Trace> Walk<'_, '_, T> {
    /// Expands nodes in the order of their estimates and computes the exact distance of each, then re-ranks the best
    /// of those that were not expanded.
    pub(super) fn lazy(&mut self, landmarks: &Landmarks) -> Result<StopReason, RouteError> {
        let Some(entry) = self.enter(landmarks)? else { return Ok(StopReason::NoGraph) };
        let stop = self.follow(entry)?;
        self.list_best(self.effort.rerank);
        self.rerank()?;
        Ok(stop)
    }
}
