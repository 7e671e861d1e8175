//! Degrees and loops of nodes whose edges are read one node at a time. [`super::Graph::gcn_normalised`] does the same to a
//! graph in memory.

use rayon::prelude::*;

use super::progress::read_checked;
use super::self_loops::inverse_root;
use super::{Adjacency, Edges, GnnError};

/// Nodes whose edges one thread reads before it looks for more.
const NODES_PER_TASK: usize = 512;

/// 1 / √degree of `nodes`, where a node's degree is the sum of the weights of the edges into it, its own loop among
/// them if `self_loops`.
pub(super) fn degree_scales(
    graph: &dyn Adjacency,
    nodes: impl IndexedParallelIterator<Item = u32>,
    self_loops: bool,
) -> Result<Vec<f32>, GnnError> {
    nodes
        .with_min_len(NODES_PER_TASK)
        .map_init(Edges::default, |edges, node| {
            read_checked(graph, node, edges)?;
            if self_loops {
                keep_one_loop(node, edges);
            }
            let degree =
                if edges.weights.is_empty() { edges.len() as f32 } else { edges.weights.iter().sum() };
            inverse_root(node, degree)
        })
        .collect()
}

/// Leaves one edge from `node` to itself, the last: with the weight of the last that was there, or 1.
pub(super) fn keep_one_loop(node: u32, edges: &mut Edges) {
    let mut weight = 1.0;
    if edges.sources.contains(&node) {
        let mut kept = 0;
        for edge in 0..edges.len() {
            if edges.sources[edge] == node {
                weight = edges.weight(edge);
                continue;
            }
            edges.sources[kept] = edges.sources[edge];
            if !edges.weights.is_empty() {
                edges.weights[kept] = edges.weights[edge];
            }
            kept += 1;
        }
        edges.sources.truncate(kept);
        edges.weights.truncate(kept);
    }
    // Without weights all edges weigh 1; a node without other edges has none to say whether there are weights.
    if edges.weights.len() == edges.len() && (!edges.is_empty() || weight != 1.0) {
        edges.weights.push(weight);
    }
    edges.sources.push(node);
}
