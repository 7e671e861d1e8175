//! What the modes of search share: the way in, the next hop, and scoring.

use redknot_index::{Neighbor, Probe, Trace};
use redknot_storage::prefetch;

use super::{Keys, Scratch, Setting, StopReason};
use crate::routing::effort::widen;
use crate::routing::{Effort, Landmarks, Mode, QueryEncoder, RouteError};

/// Keys scored in one call of the kernel.
pub(super) const BATCH: usize = 32;
/// The links of so many candidates are about to be read.
const SOON: usize = 4;

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
    keys: Keys<'v>,
    pub(super) scratch: &'w mut Scratch,
    /// At least 1 once the search runs.
    pub(super) k: usize,
    pub(super) effort: Effort,
    unit: f32,
    pub(super) distances: u64,
    pub(super) key_scores: u64,
    pub(super) hops: u64,
    /// The keys of `scratch.links`, of a hop whose keys were fetched.
    fetched: Vec<&'v [u8]>,
    /// The keys of `scratch.next_links`.
    next_fetched: Vec<&'v [u8]>,
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
        scratch.pool.reset(effort.ef.max(effort.rerank).max(k));
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
            fetched: Vec::with_capacity(BATCH),
            next_fetched: Vec::with_capacity(BATCH),
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

    fn entered(&mut self, entry: Neighbor) -> Neighbor {
        self.trace.enter(entry.id);
        self.trace.score(self.in_distances(entry), true);
        entry
    }

    /// What to expand next, taken from the candidates; or why there is nothing. `kth` is how far the k-th is, in the order
    /// that candidates are in.
    #[inline]
    pub(super) fn next_hop(&mut self, kth: Option<f32>) -> Result<Hop, StopReason> {
        let Some(next) = self.scratch.pool.peek() else { return Err(StopReason::Exhausted) };
        let bound = kth.map(|kth| self.reach(kth));
        if bound.is_some_and(|bound| next.distance > bound) {
            return Err(StopReason::Converged);
        }
        if self.hops >= self.effort.max_hops {
            return Err(StopReason::HopLimit);
        }
        self.scratch.pool.expand_next();
        self.hops += 1;
        Ok(Hop { node: next.id, bound })
    }

    /// Tells that what is seen from here on are the links of `hop`.
    #[inline]
    fn tell(&mut self, hop: Hop) {
        let unit = self.order_unit();
        self.trace.expand(hop.node, hop.bound.map(|bound| bound / unit));
    }

    /// How far the k-th candidate is, once there are k.
    #[inline]
    pub(super) fn kth_candidate(&self) -> Option<f32> {
        self.scratch.pool.get(self.k - 1).map(|kth| kth.distance)
    }

    /// Looks at the links of a node. Returns how many nodes were not seen before: they are the first of
    /// `scratch.links`, with their estimates in `scratch.estimates`.
    #[inline]
    pub(super) fn expand(&mut self, hop: Hop) -> Result<usize, RouteError> {
        let count = self.fetch_keys(hop)?;
        self.take_fetched();
        self.score_fetched(hop, count)
    }

    /// The first half of [`Walk::expand`], a hop ahead: finds the nodes that were not seen before and fetches their keys,
    /// into `next_links` and `next_fetched`. Returns how many they are.
    #[inline]
    pub(super) fn fetch_keys(&mut self, hop: Hop) -> Result<usize, RouteError> {
        let Scratch { visited, next_links, .. } = &mut *self.scratch;
        let fetched = &mut self.next_fetched;
        match self.keys.resident {
            Some(resident) => {
                let fresh = self.probe.unvisited(resident.links(hop.node), visited, next_links)?;
                fetch(fresh, fetched, |node| Ok(resident.key(node)))
            }
            None => {
                let fresh = self.probe.unvisited_links(hop.node, visited, next_links)?;
                fetch(fresh, fetched, |node| self.keys.rows.get(node))
            }
        }
    }

    /// Has what [`Walk::fetch_keys`] found be what [`Walk::score_fetched`] scores.
    #[inline]
    pub(super) fn take_fetched(&mut self) {
        std::mem::swap(&mut self.scratch.links, &mut self.scratch.next_links);
        std::mem::swap(&mut self.fetched, &mut self.next_fetched);
    }

    /// The second half of [`Walk::expand`], for a hop whose `count` keys were fetched.
    #[inline]
    pub(super) fn score_fetched(&mut self, hop: Hop, count: usize) -> Result<usize, RouteError> {
        self.tell(hop);
        let Scratch { estimates, encoded, .. } = &mut *self.scratch;
        if estimates.len() < count {
            estimates.resize(count, 0.0);
        }
        self.encoder.estimates(encoded, &self.fetched, &mut estimates[..count]);
        self.key_scores += count as u64;
        Ok(count)
    }

    /// Fetches what [`Walk::expand`] reads first.
    #[inline]
    pub(super) fn prefetch_links(&self, node: u32) {
        match self.keys.resident {
            Some(resident) => resident.prefetch_links(node),
            None => self.probe.prefetch_links(node),
        }
    }

    /// Adds those of the first `count` of `scratch.links` to the candidates whose estimates lie below `bound`.
    #[inline]
    pub(super) fn insert_estimates(&mut self, count: usize, bound: f32) {
        let Scratch { pool, links, estimates, .. } = &mut *self.scratch;
        let bound = pool.bound().map_or(bound, |last| bound.min(last));
        // Which are near enough cannot be foreseen, so they are picked without a branch and inserted after that.
        let mut promising = 0;
        for at in 0..count {
            let (id, distance) = (links[at], estimates[at]);
            let keep = distance < bound;
            self.trace.score(Neighbor { id, distance: distance / self.unit }, keep);
            (links[promising], estimates[promising]) = (id, distance);
            promising += usize::from(keep);
        }
        let promising = links[..promising].iter().zip(&*estimates);
        pool.insert_all(promising.map(|(&id, &distance)| Neighbor { id, distance }));
        // In memory, the place of links is known.
        if self.keys.resident.is_none() {
            pool.unexpanded().take(SOON).for_each(|soon| self.probe.prefetch_place(soon));
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

/// Has the keys of `nodes` fetched into the cache; `into` says where they are. Returns how many they are.
#[inline]
fn fetch<'v>(
    nodes: &[u32],
    into: &mut Vec<&'v [u8]>,
    key: impl Fn(u32) -> Result<&'v [u8], redknot_storage::Error>,
) -> Result<usize, RouteError> {
    into.clear();
    for &node in nodes {
        let key = key(node).map_err(RouteError::Keys)?;
        prefetch(key);
        into.push(key);
    }
    Ok(nodes.len())
}

/// The nearest of some nodes and its place; the first of equals.
pub(super) fn nearest(nodes: &[Neighbor]) -> Option<(usize, Neighbor)> {
    nodes.iter().copied().enumerate().reduce(
        |best, next| {
            if next.1.distance < best.1.distance { next } else { best }
        },
    )
}
