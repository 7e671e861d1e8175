//! What the shortest paths from one node contribute (Brandes 2001, algorithm 1; weighted as by Geisberger, Sanders &
//! Schultes 2008).
//!
//! The pair s, t is seen from s and from t. Brandes lets both count 1 for each node and edge between them. Here what lies at
//! the share x of the way counts 2 x from s, and 2 (1 − x) from t: in all the same, so sums over all sources are the same and
//! those over pivots are unbiased. But a pivot no longer counts in full for what happens to lie beside it, where far more
//! of its paths lead through than of anybody else's, which is most of the error of unweighted estimates.

use super::{Sums, Undirected};

const UNSEEN: u32 = u32::MAX;
/// Numbers of paths grow exponentially with the distance and would leave f64. Only their ratios from one ring to the
/// next matter, so a ring in which one exceeds this lends its numbers to the next scaled down.
const MANY_PATHS: f64 = (1_u128 << 120) as f64 * (1_u128 << 120) as f64 * (1_u128 << 120) as f64;
/// Scaled numbers stay above this, which keeps ratios finite. What is cut off are paths outnumbered 10^200 to 1.
const FEW_PATHS: f64 = 1e-200;

/// A breadth-first search that counts shortest paths; reused from source to source.
pub(super) struct Source<'g> {
    graph: &'g Undirected,
    /// Edges between the source and each node.
    distance: Vec<u32>,
    /// Shortest paths from the source to each node, in the scale of the node's ring.
    paths: Vec<f64>,
    /// (1 / distance + dependency) / paths of each node that is done on the way back.
    share: Vec<f64>,
    /// Nodes as they were reached.
    order: Vec<u32>,
    rings: Vec<Ring>,
}

/// Nodes at the same distance.
struct Ring {
    /// Its first node in `order`.
    start: usize,
    /// What its numbers of paths are multiplied by for the next ring: a power of two.
    scale: f64,
}

impl<'g> Source<'g> {
    pub(super) fn new(graph: &'g Undirected) -> Source<'g> {
        let rows = graph.rows() as usize;
        Source {
            graph,
            distance: vec![UNSEEN; rows],
            paths: vec![0.0; rows],
            share: vec![0.0; rows],
            order: Vec::with_capacity(rows),
            rings: Vec::new(),
        }
    }

    /// Adds what `source` contributes to each node, and to the slot of v → w for what is reached through it.
    pub(super) fn add(&mut self, source: u32, sums: &mut Sums) {
        self.count_paths(source);
        self.add_dependencies(sums);
        for node in &self.order {
            self.distance[*node as usize] = UNSEEN;
        }
    }

    fn count_paths(&mut self, source: u32) {
        self.order.clear();
        self.rings.clear();
        self.order.push(source);
        self.distance[source as usize] = 0;
        self.paths[source as usize] = 1.0;
        let mut ring = 0..1;
        while !ring.is_empty() {
            let next = self.rings.len() as u32 + 1;
            let most = self.order[ring.clone()].iter().map(|node| self.paths[*node as usize]);
            let scale = if most.fold(0.0, f64::max) > MANY_PATHS { 1.0 / MANY_PATHS } else { 1.0 };
            self.rings.push(Ring { start: ring.start, scale });
            for at in ring.clone() {
                let node = self.order[at];
                let paths = scaled(self.paths[node as usize], scale);
                for neighbor in self.graph.neighbors(node) {
                    let distance = &mut self.distance[*neighbor as usize];
                    if *distance == UNSEEN {
                        *distance = next;
                        self.paths[*neighbor as usize] = paths;
                        self.order.push(*neighbor);
                    } else if *distance == next {
                        self.paths[*neighbor as usize] += paths;
                    }
                }
            }
            ring = ring.end..self.order.len();
        }
    }

    /// From the farthest ring to the source. Each node asks those behind it, so that nothing is written but its own.
    fn add_dependencies(&mut self, sums: &mut Sums) {
        let mut end = self.order.len();
        for (at, ring) in self.rings.iter().enumerate().rev() {
            let behind = at as u32 + 1;
            // Twice the distance of a node of this ring, and of the middle of an edge to the next. Dependencies hold one
            // over the distance of what depends, so the products are twice the share of the way.
            let (to_node, to_edge) = (2.0 * at as f64, 2.0 * at as f64 + 1.0);
            let own = if at > 0 { 1.0 / at as f64 } else { 0.0 };
            for node in &self.order[ring.start..end] {
                let paths = self.paths[*node as usize];
                let lent = scaled(paths, ring.scale);
                let mut dependency = 0.0;
                let slots = self.graph.slots(*node);
                let neighbors = &self.graph.targets()[slots.clone()];
                for (neighbor, sum) in neighbors.iter().zip(&mut sums.slots[slots]) {
                    if self.distance[*neighbor as usize] == behind {
                        let part = lent * self.share[*neighbor as usize];
                        *sum += part * to_edge;
                        dependency += part;
                    }
                }
                self.share[*node as usize] = (own + dependency) / paths;
                sums.nodes[*node as usize] += dependency * to_node;
            }
            end = ring.start;
        }
    }
}

#[inline]
fn scaled(paths: f64, scale: f64) -> f64 {
    (paths * scale).max(FEW_PATHS)
}
