//! The local clustering coefficient (Watts & Strogatz 1998).

use rayon::prelude::*;

use super::Undirected;

/// For each row of `graph` the share of the pairs of its neighbours that are neighbours of each other; 0 with fewer than
/// two neighbours. Works on the threads of the current rayon pool.
pub fn clustering(graph: &Undirected) -> Vec<f64> {
    (0..graph.rows()).into_par_iter().map(|node| of_node(graph, node)).collect()
}

pub(super) fn of_node(graph: &Undirected, node: u32) -> f64 {
    let neighbors = graph.neighbors(node);
    let closed = neighbors.iter().map(|other| common(neighbors, graph.neighbors(*other))).sum();
    coefficient(closed, neighbors.len())
}

/// `closed` counts the neighbours of each neighbour that are neighbours of the node: each closed pair twice.
pub(super) fn coefficient(closed: usize, neighbors: usize) -> f64 {
    if neighbors < 2 { 0.0 } else { closed as f64 / (neighbors as f64 * (neighbors as f64 - 1.0)) }
}

/// How many numbers two ascending rows share.
fn common(a: &[u32], b: &[u32]) -> usize {
    let (mut i, mut j, mut count) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        count += usize::from(a[i] == b[j]);
        let (next_i, next_j) = (i + usize::from(a[i] <= b[j]), j + usize::from(b[j] <= a[i]));
        (i, j) = (next_i, next_j);
    }
    count
}
