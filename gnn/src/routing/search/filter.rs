//! Exact distances decide the order of expansion; keys only decide which nodes get one.

use redknot_index::Neighbor;

use super::StopReason;
use super::walk::Walk;
use crate::routing::effort::widen;
use crate::routing::{Landmarks, RouteError};

impl Walk<'_, '_> {
    /// Best-first search as the greedy one, which passes over nodes whose estimate is too far.
    pub(super) fn filter(&mut self, landmarks: &Landmarks) -> Result<StopReason, RouteError> {
        let Some(entry) = self.enter(landmarks)? else { return Ok(StopReason::NoGraph) };
        self.measure(&[entry.id])?;
        loop {
            let node = match self.next_hop(self.kth_candidate()) {
                Ok(node) => node,
                Err(stop) => return Ok(stop),
            };
            let fresh = self.expand(node)?;
            let bound = self.bound();
            let scratch = &mut *self.scratch;
            let mut kept = 0;
            for place in 0..fresh {
                scratch.links[kept] = scratch.links[place];
                kept += usize::from(scratch.estimates[place] < bound);
            }
            let links = std::mem::take(&mut scratch.links);
            let measured = self.measure(&links[..kept]);
            self.scratch.links = links;
            measured?;
            self.look_ahead()?;
        }
    }

    /// Estimates from here on are not worth a distance.
    fn bound(&self) -> f32 {
        let pool = &self.scratch.pool;
        let last = pool.get(pool.len().saturating_sub(1)).filter(|_| pool.is_full());
        let kth = self.kth_candidate().map(|kth| self.reach(kth));
        let farthest = last.map_or(f32::INFINITY, |last| last.distance).min(kth.unwrap_or(f32::INFINITY));
        widen(self.in_estimates(farthest), self.effort.slack)
    }

    /// Makes candidates of nodes by their exact distances.
    fn measure(&mut self, nodes: &[u32]) -> Result<(), RouteError> {
        self.distances += nodes.len() as u64;
        let pool = &mut self.scratch.pool;
        Ok(self.probe.distances(nodes, |neighbor: Neighbor| {
            pool.insert(neighbor);
        })?)
    }
}
