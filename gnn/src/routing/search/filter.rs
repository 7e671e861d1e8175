//! Exact distances decide the order of expansion; keys only decide which nodes get one.

use std::ops::Range;

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
            let kth = self.kth_candidate();
            let next = self.scratch.pool.peek();
            let hop = match self.hop_to(next, kth) {
                Ok(hop) => hop,
                Err(stop) => return Ok(stop),
            };
            self.scratch.pool.expand_next();
            let scored = self.expand(hop)?;
            self.pick_promising(scored);
            let nodes = std::mem::take(&mut self.scratch.nodes);
            let measured = self.measure(&nodes);
            self.scratch.nodes = nodes;
            measured?;
            self.look_ahead()?;
        }
    }

    /// Picks those of the nodes at some places of `scratch.visited` that are worth a distance.
    fn pick_promising(&mut self, scored: Range<usize>) {
        let bound = self.bound();
        self.scratch.nodes.clear();
        for place in scored {
            let Scratch { visited, estimates, nodes, .. } = &mut *self.scratch;
            let (id, estimate) = (visited.seen()[place], estimates[place]);
            let keep = estimate < bound;
            if keep {
                nodes.push(id);
            }
            self.trace.score(self.in_distances(Neighbor { id, distance: estimate }), keep);
        }
    }

    /// How far the k-th candidate is, once there are k.
    fn kth_candidate(&self) -> Option<f32> {
        self.scratch.pool.get(self.k - 1).map(|kth| kth.distance)
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
