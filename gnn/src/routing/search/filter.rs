//! Exact distances decide the order of expansion; keys only decide which nodes get one.

use redknot_index::{Neighbor, Trace};

use super::walk::Walk;
use super::{Scratch, StopReason};
use crate::routing::effort::widen;
use crate::routing::{Landmarks, RouteError};

impl<T: Trace> Walk<'_, '_, T> {
    /// Best-first search as the greedy one, which passes over nodes whose estimate is too far.
    pub(super) fn filter(&mut self, landmarks: &Landmarks) -> Result<StopReason, RouteError> {
        let Some(entry) = self.enter(landmarks)? else { return Ok(StopReason::NoGraph) };
        self.measure(&[entry.id])?;
        loop {
            let hop = match self.next_hop(self.kth_candidate()) {
                Ok(hop) => hop,
                Err(stop) => return Ok(stop),
            };
            let fresh = self.expand(hop)?;
            let kept = self.keep_promising(fresh);
            let links = std::mem::take(&mut self.scratch.links);
            let measured = self.measure(&links[..kept]);
            self.scratch.links = links;
            measured?;
            self.look_ahead()?;
        }
    }

    /// Moves those of the first `fresh` of `scratch.links` to the front that are worth a distance; returns how many.
    fn keep_promising(&mut self, fresh: usize) -> usize {
        let bound = self.bound();
        let mut kept = 0;
        for place in 0..fresh {
            let Scratch { links, estimates, .. } = &mut *self.scratch;
            let (id, estimate) = (links[place], estimates[place]);
            links[kept] = id;
            let keep = estimate < bound;
            kept += usize::from(keep);
            self.trace.score(self.in_distances(Neighbor { id, distance: estimate }), keep);
        }
        kept
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
        self.probe.request_vectors(nodes.iter().copied());
        self.distances += nodes.len() as u64;
        let pool = &mut self.scratch.pool;
        let trace = &mut self.trace;
        Ok(self.probe.distances(nodes, |neighbor: Neighbor| {
            let place = pool.insert(neighbor);
            trace.measure(neighbor, place.is_some());
        })?)
    }
}
