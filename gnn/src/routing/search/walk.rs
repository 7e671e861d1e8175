//! What the modes of search share: the way in, the next hop, and scoring.

use std::ops::Range;

use redknot_index::{Neighbor, Probe, Trace};

use super::{Keys, Scratch, Setting, StopReason};
use crate::routing::effort::widen;
use crate::routing::{Effort, Landmarks, Mode, QueryEncoder, RouteError};

/// Keys scored in one call of the kernel.
pub(super) const BATCH: usize = 32;

/// A node whose links are looked at.
#[derive(Clone, Copy)]
pub(super) struct Hop {
    pub(super) node: u32,
    /// How far it could have been, in the order that candidates are in, when it was chosen.
    bound: Option<f32>,
}

/// One search under way.
pub(super) struct Walk<'w, 'v, T> {
    encoder: &'w QueryEncoder,
    pub(super) probe: Probe<'w, 'v>,
    pub(super) keys: Keys<'v>,
    pub(super) scratch: &'w mut Scratch,
    /// At least 1 once the search runs.
    pub(super) k: usize,
    pub(super) effort: Effort,
    pub(super) unit: f32,
    pub(super) distances: u64,
    pub(super) key_scores: u64,
    pub(super) hops: u64,
    /// How many of the nodes that were seen are scored: all but those that come last.
    pub(super) scored: usize,
    /// How many of `scratch.near` are of this search.
    pub(super) near: usize,
    /// The keys of nodes that were found and not scored yet: of one hop, and of the one before it.
    fetched: Vec<&'v [u8]>,
    fetched_before: Vec<&'v [u8]>,
    pub(super) trace: T,
}

impl<'w, 'v, T: Trace> Walk<'w, 'v, T> {
    /// A search for the query that was encoded into `scratch` last.
    pub(super) fn new(
        setting: &Setting<'w, 'v>,
        probe: Probe<'w, 'v>,
        scratch: &'w mut Scratch,
        trace: T,
    ) -> Walk<'w, 'v, T> {
        let &Setting { router, keys, k, effort, unit, .. } = setting;
        probe.reset(&mut scratch.visited);
        let ef = effort.ef.max(effort.rerank).max(k);
        match effort.mode {
            Mode::Route => scratch.frontier.reset(ef, k),
            // Exact distances say how far the k-th is.
            Mode::Lazy => scratch.frontier.reset(ef, 0),
            Mode::Filter => scratch.pool.reset(ef),
        }
        scratch.nearest.reset(k);
        let encoder = &router.encoder;
        Walk {
            encoder,
            probe,
            keys,
            scratch,
            k,
            effort,
            unit,
            distances: 0,
            key_scores: 0,
            hops: 0,
            scored: 0,
            near: 0,
            fetched: Vec::with_capacity(BATCH),
            fetched_before: Vec::with_capacity(BATCH),
            trace,
        }
    }

    /// The node to begin with, with its estimate, marked as visited: the best landmark that is still in the graph, else
    /// where greedy searches begin. `None` where nothing is linked.
    pub(super) fn enter(&mut self, landmarks: &Landmarks) -> Result<Option<Neighbor>, RouteError> {
        let Some(entry) = self.probe.entry() else { return Ok(None) };
        self.key_scores += self.scratch.score_landmarks(self.encoder, landmarks);
        let mut best = nearest(&self.scratch.shortlist);
        if let (Some(farthest), Some((_, landmark))) = (self.effort.farthest, best)
            && landmark.distance > farthest
        {
            return Err(RouteError::Strange { got: landmark.distance, farthest });
        }
        while let Some((place, landmark)) = best {
            if self.probe.is_linked(landmark.id)? {
                self.scratch.visited.insert(landmark.id);
                return Ok(Some(self.entered(landmark)));
            }
            self.scratch.shortlist.swap_remove(place);
            best = nearest(&self.scratch.shortlist);
        }
        self.scratch.visited.insert(entry);
        let key = self.keys.rows.get(entry).map_err(RouteError::Keys)?;
        let mut estimate = [0.0];
        self.encoder.estimates(&self.scratch.encoded, &[key], &mut estimate);
        self.key_scores += 1;
        Ok(Some(self.entered(Neighbor { id: entry, distance: estimate[0] })))
    }

    /// Has the search begin at a node, which is the first in the places that [`Walk::expand`] speaks of.
    fn entered(&mut self, entry: Neighbor) -> Neighbor {
        self.trace.enter(entry.id);
        self.trace.score(self.in_distances(entry), true);
        let Scratch { estimates, near, .. } = &mut *self.scratch;
        if estimates.is_empty() {
            estimates.push(0.0);
        }
        if near.is_empty() {
            near.push(0);
        }
        (estimates[0], near[0]) = (entry.distance, 0);
        (self.scored, self.near) = (1, 1);
        entry
    }

    /// The hop to `next`, or why there is none. `kth` is how far the k-th is, in the order that candidates are in. Whoever
    /// asks takes `next` from the candidates.
    #[inline]
    pub(super) fn hop_to(&mut self, next: Option<Neighbor>, kth: Option<f32>) -> Result<Hop, StopReason> {
        let Some(next) = next else { return Err(StopReason::Exhausted) };
        let bound = kth.map(|kth| self.reach(kth));
        if bound.is_some_and(|bound| next.distance > bound) {
            return Err(StopReason::Converged);
        }
        if self.hops >= self.effort.max_hops {
            return Err(StopReason::HopLimit);
        }
        self.hops += 1;
        Ok(Hop { node: next.id, bound })
    }

    /// Tells that what is seen from here on are the links of `hop`.
    #[inline]
    fn tell(&mut self, hop: Hop) {
        let unit = self.order_unit();
        self.trace.expand(hop.node, hop.bound.map(|bound| bound / unit));
    }

    /// Looks at the links of a node. Returns the places in `scratch.visited` of nodes that were not seen before, whose
    /// estimates are at the same places of `scratch.estimates`.
    #[inline]
    pub(super) fn expand(&mut self, hop: Hop) -> Result<Range<usize>, RouteError> {
        let count = self.fetch_keys(hop)?;
        self.take_fetched();
        Ok(self.score_fetched(hop, count))
    }

    /// The first half of [`Walk::expand`], a hop ahead: finds the nodes that were not seen before and fetches their keys.
    /// Returns how many they are.
    #[inline]
    pub(super) fn fetch_keys(&mut self, hop: Hop) -> Result<usize, RouteError> {
        let visited = &mut self.scratch.visited;
        let nodes = match self.keys.resident {
            Some(resident) => visited.insert_all(resident.links(hop.node))?,
            None => visited.insert_all(self.probe.links_both_ways(hop.node)?)?,
        };
        if self.fetched.len() < nodes.len() {
            self.fetched.resize(nodes.len(), &[]);
        }
        let fetched = &mut self.fetched[..nodes.len()];
        match self.keys.resident {
            Some(resident) => resident.fetch_keys(nodes, fetched),
            None => self.keys.rows.fetch(nodes, fetched).map_err(RouteError::Keys)?,
        }
        Ok(nodes.len())
    }

    /// Has what [`Walk::fetch_keys`] found be what [`Walk::score_fetched`] scores.
    #[inline]
    pub(super) fn take_fetched(&mut self) {
        std::mem::swap(&mut self.fetched, &mut self.fetched_before);
    }

    /// The second half of [`Walk::expand`], for a hop whose `count` keys were fetched: hops are scored in the order in
    /// which their keys were.
    #[inline]
    pub(super) fn score_fetched(&mut self, hop: Hop, count: usize) -> Range<usize> {
        self.tell(hop);
        let scored = self.scored..self.scored + count;
        let Scratch { estimates, encoded, .. } = &mut *self.scratch;
        if estimates.len() < scored.end {
            estimates.resize(scored.end, 0.0);
        }
        self.encoder.estimates(encoded, &self.fetched_before[..count], &mut estimates[scored.clone()]);
        self.scored = scored.end;
        self.key_scores += count as u64;
        scored
    }

    /// Fetches what [`Walk::expand`] reads first.
    #[inline]
    pub(super) fn prefetch_links(&self, node: u32) {
        match self.keys.resident {
            Some(resident) => resident.prefetch_links(node),
            None => self.probe.prefetch_links(node),
        }
    }

    /// Fetches what the next hops read: the links of the best candidate and of the third, and the keys that the second
    /// one leads to, whose links were fetched a hop ago, where they are in the file.
    #[inline]
    pub(super) fn look_ahead(&mut self) -> Result<(), RouteError> {
        let mut next = self.scratch.pool.unexpanded();
        let (best, second, third) = (next.next(), next.next(), next.next());
        for soon in [best, third].into_iter().flatten() {
            self.prefetch_links(soon);
        }
        if let (Some(second), None) = (second, self.keys.resident) {
            for id in self.probe.links(second)? {
                if !self.scratch.visited.contains(id) {
                    self.keys.rows.prefetch(id);
                }
            }
        }
        Ok(())
    }

    /// The k-th exact distance in units of an estimate, once k are known.
    #[inline]
    pub(super) fn kth_exact(&self) -> Option<f32> {
        self.scratch.nearest.get(self.k - 1).map(|kth| kth.distance * self.unit)
    }

    /// A distance of the index in units of an estimate.
    #[inline]
    pub(super) fn in_estimates(&self, distance: f32) -> f32 {
        distance * self.unit
    }

    /// A node with its estimate, as a distance of the index.
    #[inline]
    pub(super) fn in_distances(&self, estimate: Neighbor) -> Neighbor {
        Neighbor { id: estimate.id, distance: estimate.distance / self.unit }
    }

    /// What candidates are ordered by, over a distance of the index.
    #[inline]
    fn order_unit(&self) -> f32 {
        if self.effort.mode == Mode::Filter { 1.0 } else { self.unit }
    }

    /// How far a node may be to be worth expanding, once the k-th is this far.
    #[inline]
    pub(super) fn reach(&self, kth: f32) -> f32 {
        widen(kth, self.effort.gamma)
    }

    /// Computes the exact distance of nodes, which become results if they are among the k nearest.
    #[inline]
    pub(super) fn add_exact(&mut self, nodes: &[u32]) -> Result<(), RouteError> {
        self.distances += nodes.len() as u64;
        let nearest = &mut self.scratch.nearest;
        let trace = &mut self.trace;
        Ok(self.probe.distances(nodes, |neighbor| {
            let place = nearest.insert(neighbor);
            trace.measure(neighbor, place.is_some());
        })?)
    }
}

/// The nearest of some nodes and its place; the first of equals.
pub(super) fn nearest(nodes: &[Neighbor]) -> Option<(usize, Neighbor)> {
    nodes.iter().copied().enumerate().reduce(
        |best, next| {
            if next.1.distance < best.1.distance { next } else { best }
        },
    )
}
