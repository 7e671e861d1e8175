//! Watching a search.

use super::Neighbor;

/// Watches a search, step by step. All distances are in the unit of the index.
///
/// Searches take it as a type, and none of its methods does anything by default: a search with `()`, as all are that
/// nobody asked to explain, is compiled without it.
pub trait Trace {
    /// Whether anybody watches: loops that only tell are left out where nobody does.
    const WATCHES: bool = true;

    /// The search begins at this node.
    #[inline(always)]
    fn enter(&mut self, _node: u32) {}

    /// Greedy descent: the links of `node` in `layer` are looked at next.
    #[inline(always)]
    fn descend(&mut self, _layer: u8, _node: u32) {}

    /// Best-first search in the base layer: the links of `node` are looked at next. A node farther than `bound` would
    /// not be expanded any more; `None` while any would.
    #[inline(always)]
    fn expand(&mut self, _node: u32, _bound: Option<f32>) {}

    /// The estimate of a node that was not seen before. `kept` says whether it goes on from here: as a candidate or, where
    /// keys are a filter, to have its distance computed.
    #[inline(always)]
    fn score(&mut self, _neighbor: Neighbor, _kept: bool) {}

    /// The distance of a node. `kept` says whether it became a candidate or is, for now, among the results; of greedy
    /// descent, whether it is the nearest node so far.
    #[inline(always)]
    fn measure(&mut self, _neighbor: Neighbor, _kept: bool) {}

    /// The walk is over; the distances that follow are of candidates that are re-ranked.
    #[inline(always)]
    fn rerank(&mut self) {}
}

impl Trace for () {
    const WATCHES: bool = false;
}

impl<T: Trace> Trace for &mut T {
    const WATCHES: bool = T::WATCHES;

    #[inline(always)]
    fn enter(&mut self, node: u32) {
        (**self).enter(node);
    }

    #[inline(always)]
    fn descend(&mut self, layer: u8, node: u32) {
        (**self).descend(layer, node);
    }

    #[inline(always)]
    fn expand(&mut self, node: u32, bound: Option<f32>) {
        (**self).expand(node, bound);
    }

    #[inline(always)]
    fn score(&mut self, neighbor: Neighbor, kept: bool) {
        (**self).score(neighbor, kept);
    }

    #[inline(always)]
    fn measure(&mut self, neighbor: Neighbor, kept: bool) {
        (**self).measure(neighbor, kept);
    }

    #[inline(always)]
    fn rerank(&mut self) {
        (**self).rerank();
    }
}
