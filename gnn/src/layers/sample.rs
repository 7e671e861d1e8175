//! Neighbour sampling: a graph of which each node sees a few of its edges.

use super::progress::read_checked;
use super::{Adjacency, Edges, GnnError};

/// A graph seen through a sample: at most `size` edges into each node, drawn uniformly without replacement, in the
/// graph's order. The draw depends on the seed, the layer and the node alone, not on which thread asks when.
pub(super) struct Sampled<'a> {
    graph: &'a dyn Adjacency,
    size: usize,
    seed: u64,
    numbers: &'a [u32],
}

impl<'a> Sampled<'a> {
    /// `numbers` are the numbers that decide a node's draw, its own where there are none.
    pub(super) fn new(
        graph: &'a dyn Adjacency,
        numbers: &'a [u32],
        size: usize,
        seed: u64,
        layer: usize,
    ) -> Self {
        let mut layers =
            fastrand::Rng::with_seed(seed ^ (layer as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { graph, size, seed: layers.u64(..), numbers }
    }
}

impl Adjacency for Sampled<'_> {
    fn nodes(&self) -> u32 {
        self.graph.nodes()
    }

    fn edge_feature_width(&self) -> usize {
        self.graph.edge_feature_width()
    }

    fn read_edges(&self, node: u32, edges: &mut Edges) -> Result<(), GnnError> {
        read_checked(self.graph, node, edges)?;
        if edges.len() <= self.size {
            return Ok(());
        }
        // The multiplication spreads neighbouring numbers of nodes over all seeds.
        let node = u64::from(self.numbers.get(node as usize).copied().unwrap_or(node));
        let mut rng = fastrand::Rng::with_seed(self.seed ^ (node + 1).wrapping_mul(0xd1b5_4a32_d192_ed03));
        let width = self.graph.edge_feature_width();
        // Knuth's selection sampling (TAOCP 2, algorithm S): each edge is taken with the probability left to it.
        let (mut kept, all) = (0, edges.len());
        for edge in 0..all {
            if rng.usize(..all - edge) < self.size - kept {
                edges.sources[kept] = edges.sources[edge];
                if !edges.weights.is_empty() {
                    edges.weights[kept] = edges.weights[edge];
                }
                edges.features.copy_within(edge * width..(edge + 1) * width, kept * width);
                kept += 1;
            }
        }
        edges.sources.truncate(kept);
        edges.weights.truncate(kept);
        edges.features.truncate(kept * width);
        Ok(())
    }
}
