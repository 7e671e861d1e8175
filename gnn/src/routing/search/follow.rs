//! The walk that follows estimates, several hops at a time.

use std::ops::Range;

use redknot_index::{Neighbor, Trace};

use super::walk::{Hop, Walk};
use super::{Scratch, StopReason};
use crate::routing::effort::widen;
use crate::routing::{Mode, RouteError};

/// The links of so many candidates are about to be read.
const SOON: usize = 4;

impl<T: Trace> Walk<'_, '_, T> {
    /// Expands candidates in the order of their estimates until none is worth it, beginning with `entry`.
    ///
    /// A hop waits for memory three times: for the place of the links, for the links, and for the keys that they lead to.
    /// So three hops are under way: while the nodes of one are scored, the keys of the next are fetched, and the links of
    /// the one after. Which node comes next is decided two hops before its links are scored, without what those find. It
    /// rarely matters, because what is near enough gets expanded sooner or later: a few hops in a hundred more at the same
    /// recall, each in two thirds of the time.
    pub(super) fn follow(&mut self, entry: Neighbor) -> Result<StopReason, RouteError> {
        self.scratch.frontier.insert(Neighbor { id: 0, ..entry });
        let (mut chosen, mut fetched): (Option<Hop>, Option<(Hop, usize)>) = (None, None);
        loop {
            let next = self.next_hop();
            // What is under way may find more.
            if let Err(stop) = next
                && chosen.is_none()
                && fetched.is_none()
            {
                return Ok(stop);
            }
            let arriving = match chosen {
                Some(hop) => Some((hop, self.fetch_keys(hop)?)),
                None => None,
            };
            // Only now: this reads the place of the links, which may have been asked for a moment ago.
            if let Ok(hop) = next {
                self.prefetch_links(hop.node);
                if self.effort.mode == Mode::Lazy {
                    self.probe.request_vectors(std::iter::once(hop.node));
                    self.probe.prefetch_vector(hop.node);
                }
            }
            if let Some((hop, count)) = fetched {
                let scored = self.score_fetched(hop, count);
                if self.effort.mode == Mode::Lazy {
                    self.add_exact(&[hop.node])?;
                }
                self.insert_promising(scored);
            }
            self.take_fetched();
            (chosen, fetched) = (next.ok(), arriving);
        }
    }

    /// What to expand next, taken from the candidates; or why there is nothing.
    #[inline]
    fn next_hop(&mut self) -> Result<Hop, StopReason> {
        let next = self.scratch.frontier.peek();
        let node = |place: Neighbor| Neighbor { id: self.scratch.visited.seen()[place.id as usize], ..place };
        let hop = self.hop_to(next.map(node), self.kth())?;
        let Scratch { frontier, estimates, .. } = &mut *self.scratch;
        frontier.pop();
        if let (Mode::Lazy, Some(place)) = (self.effort.mode, next) {
            // Its distance is about to be computed.
            estimates[place.id as usize] = f32::INFINITY;
        }
        Ok(hop)
    }

    /// How far the k-th is: by exact distances in [`Mode::Lazy`], else by estimates.
    #[inline]
    fn kth(&self) -> Option<f32> {
        if self.effort.mode == Mode::Lazy { self.kth_exact() } else { self.scratch.frontier.kth() }
    }

    /// Has those of the nodes at some places of `scratch.visited` wait that are near enough to be expanded, and notes those
    /// that may be worth re-ranking.
    #[inline]
    fn insert_promising(&mut self, scored: Range<usize>) {
        let kth = self.kth();
        let reach = kth.map_or(f32::INFINITY, |kth| self.reach(kth));
        let near = kth.map_or(f32::INFINITY, |kth| self.near(kth));
        if T::WATCHES {
            for place in scored.clone() {
                let (id, distance) = (self.scratch.visited.seen()[place], self.scratch.estimates[place]);
                self.trace.score(self.in_distances(Neighbor { id, distance }), distance < reach);
            }
        }
        let Scratch { frontier, visited, estimates, near: noted, .. } = &mut *self.scratch;
        // Which are near enough cannot be foreseen, so they are picked without a branch and looked at after that.
        let start = self.near;
        if noted.len() < start + scored.len() {
            noted.resize(start + scored.len(), 0);
        }
        let room = &mut noted[start..];
        let mut count = 0;
        for (place, &estimate) in (scored.start as u32..).zip(&estimates[scored]) {
            room[count] = place;
            count += usize::from(estimate < near);
        }
        self.near = start + count;
        for &place in &noted[start..self.near] {
            let distance = estimates[place as usize];
            if distance < reach {
                let queued = frontier.insert(Neighbor { id: place, distance });
                // In memory, the place of links is known.
                if queued < SOON && self.keys.resident.is_none() {
                    self.probe.prefetch_place(visited.seen()[place as usize]);
                }
            }
        }
    }

    /// An estimate may be so far to be worth re-ranking, once the k-th is this far, and is at least so far if it is not worth
    /// expanding.
    #[inline]
    fn near(&self, kth: f32) -> f32 {
        widen(kth, self.effort.gamma.max(self.effort.slack))
    }

    /// Has the best of the nodes that were scored be those that are re-ranked, the best k of them first.
    pub(super) fn list_best(&mut self, wanted: usize) {
        let bound = self.kth().map_or(f32::INFINITY, |kth| self.near(kth));
        let Scratch { best, shortlist, visited, estimates, near, .. } = &mut *self.scratch;
        let scored =
            |place: u32| Neighbor { id: visited.seen()[place as usize], distance: estimates[place as usize] };
        shortlist.clear();
        shortlist.extend(best.of(wanted, near[..self.near].iter().map(|place| scored(*place)), bound));
        if shortlist.len() < wanted {
            shortlist.clear();
            shortlist.extend(best.of(wanted, (0..self.scored as u32).map(scored), f32::INFINITY));
        }
        if self.k < shortlist.len() {
            shortlist.select_nth_unstable_by(self.k, |a, b| a.distance.total_cmp(&b.distance));
        }
    }
}
