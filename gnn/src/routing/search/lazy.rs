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
        self.scratch.pool.insert(entry);
        let stop = self.follow_and_measure()?;
        let scratch = &mut *self.scratch;
        scratch.shortlist.clear();
        scratch.shortlist.extend(scratch.pool.unexpanded_neighbors().take(self.effort.rerank));
        self.rerank()?;
        Ok(stop)
    }

    fn follow_and_measure(&mut self) -> Result<StopReason, RouteError> {
        let listed = self.effort.rerank.max(self.k);
        // A distance is computed a hop after its node was expanded, when the vector has arrived.
        let mut expanded = None;
        let stop = loop {
            let node = match self.next_hop(self.kth_exact()) {
                Ok(node) => node,
                Err(stop) => break stop,
            };
            self.probe.prefetch_vector(node);
            let fresh = self.expand(node)?;
            if let Some(before) = expanded.replace(node) {
                self.add_exact(&[before])?;
            }
            let bound = match (self.kth_exact(), self.scratch.pool.get(listed - 1)) {
                (Some(kth), Some(last)) => self.reach(kth).max(last.distance),
                _ => f32::INFINITY,
            };
            self.insert_estimates(fresh, bound);
            self.look_ahead()?;
        };
        if let Some(last) = expanded {
            self.add_exact(&[last])?;
        }
        Ok(stop)
    }
}
