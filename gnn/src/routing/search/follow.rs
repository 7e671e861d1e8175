//! The walk that follows estimates, several hops at a time.

use redknot_index::Trace;

use super::StopReason;
use super::walk::{Hop, Walk};
use crate::routing::{Mode, RouteError};

impl<T: Trace> Walk<'_, '_, T> {
    /// Expands candidates in the order of their estimates until none is worth it.
    ///
    /// A hop waits for memory three times: for the place of the links, for the links, and for the keys that they lead to.
    /// So three hops are under way: while the nodes of one are scored, the keys of the next are fetched, and the links of
    /// the one after. Which node comes next is decided two hops before its links are scored, without what those find. It
    /// rarely matters, because what is near enough gets expanded sooner or later: a few hops in a hundred more at the same
    /// recall, each in two thirds of the time.
    pub(super) fn follow(&mut self) -> Result<StopReason, RouteError> {
        let (mut chosen, mut fetched): (Option<Hop>, Option<(Hop, usize)>) = (None, None);
        loop {
            let next = self.next_hop(self.kth());
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
                let count = self.score_fetched(hop, count)?;
                if self.effort.mode == Mode::Lazy {
                    self.add_exact(&[hop.node])?;
                }
                self.insert_promising(count);
            }
            self.take_fetched();
            (chosen, fetched) = (next.ok(), arriving);
        }
    }

    /// How far the k-th is: by exact distances in [`Mode::Lazy`], else by estimates.
    #[inline]
    fn kth(&self) -> Option<f32> {
        if self.effort.mode == Mode::Lazy { self.kth_exact() } else { self.kth_candidate() }
    }

    /// Adds those of the first `count` of `scratch.links` to the candidates that may yet be expanded or re-ranked.
    #[inline]
    fn insert_promising(&mut self, count: usize) {
        let bound = match (self.kth(), self.scratch.pool.get(self.listed() - 1)) {
            (Some(kth), Some(last)) => self.reach(kth).max(last.distance),
            _ => f32::INFINITY,
        };
        self.insert_estimates(count, bound);
    }

    /// Candidates that are re-ranked, in [`Mode::Route`].
    pub(super) fn listed(&self) -> usize {
        self.effort.rerank.max(self.k)
    }
}
