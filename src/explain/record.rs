//! What a search tells while it runs, kept.

use std::collections::HashMap;

use redknot_index::{Neighbor, Trace};

/// The steps of a search, with nodes by their numbers.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) entry: Option<u32>,
    pub(super) hops: Vec<Step>,
    /// Nodes that were re-ranked, and whether they were then among the results.
    pub(super) reranked: Vec<(u32, bool)>,
    pub(super) estimates: HashMap<u32, f32>,
    pub(super) distances: HashMap<u32, f32>,
    reranking: bool,
}

/// A hop.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) layer: u8,
    pub(super) node: u32,
    pub(super) bound: Option<f32>,
    /// Nodes that it led to, and whether they were kept.
    pub(super) seen: Vec<(u32, bool)>,
}

impl Recorder {
    /// All nodes that were told of, each at least once.
    pub(super) fn nodes(&self) -> impl Iterator<Item = u32> + '_ {
        let node = |(node, _): &(u32, bool)| *node;
        let of_step = move |step| {
            let Step { node: expanded, seen, .. }: &Step = step;
            std::iter::once(*expanded).chain(seen.iter().map(node))
        };
        self.entry.into_iter().chain(self.hops.iter().flat_map(of_step)).chain(self.reranked.iter().map(node))
    }

    fn step(&mut self, layer: u8, node: u32, bound: Option<f32>) {
        self.hops.push(Step { layer, node, bound, seen: Vec::new() });
    }
}

impl Trace for Recorder {
    fn enter(&mut self, node: u32) {
        self.entry = Some(node);
    }

    fn descend(&mut self, layer: u8, node: u32) {
        self.step(layer, node, None);
    }

    fn expand(&mut self, node: u32, bound: Option<f32>) {
        self.step(0, node, bound);
    }

    fn score(&mut self, neighbor: Neighbor, kept: bool) {
        self.estimates.insert(neighbor.id, neighbor.distance);
        if let Some(step) = self.hops.last_mut() {
            step.seen.push((neighbor.id, kept));
        }
    }

    fn measure(&mut self, neighbor: Neighbor, kept: bool) {
        self.distances.insert(neighbor.id, neighbor.distance);
        if self.reranking {
            self.reranked.push((neighbor.id, kept));
            return;
        }
        let Some(step) = self.hops.last_mut() else { return };
        if !self.estimates.contains_key(&neighbor.id) {
            step.seen.push((neighbor.id, kept));
        } else if let Some(seen) = step.seen.iter_mut().find(|(node, _)| *node == neighbor.id) {
            // Its key let it pass; the distance decides.
            seen.1 = kept;
        }
    }

    fn rerank(&mut self) {
        self.reranking = true;
    }
}
