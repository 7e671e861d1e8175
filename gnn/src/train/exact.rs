//! Exact nearest nodes of many queries at once, by comparing them with every node.

use rayon::prelude::*;

use super::matrix::{Matrix, multiply};
use super::options::{OnTrainProgress, TrainPhase, report};
use super::trajectories::Scored;
use super::vectors::{Vectors, squared_distance, squared_length};
use super::{Corpus, TrainError};

/// Nodes that are compared with all queries in one product.
const NODES_PER_BLOCK: usize = 1024;
/// Queries that one thread takes on at a time.
const QUERIES_PER_TASK: usize = 256;

/// The `k` nodes of `linked` nearest to each row of `queries`, nearest first.
pub(super) fn nearest<C: Corpus>(
    vectors: Vectors<'_, C>,
    linked: &[u32],
    queries: &Matrix,
    k: usize,
    on_progress: OnTrainProgress<'_>,
) -> Result<Vec<Vec<Scored>>, TrainError> {
    let dim = vectors.dim();
    let mut nearest: Vec<Vec<Scored>> = vec![Vec::with_capacity(k + 1); queries.rows];
    let mut block = Matrix::zeros(NODES_PER_BLOCK, dim);
    for (at, nodes) in linked.chunks(NODES_PER_BLOCK).enumerate() {
        report(on_progress, TrainPhase::Exact, at * NODES_PER_BLOCK, linked.len())?;
        let rows = block.data.par_chunks_exact_mut(dim).zip(nodes);
        rows.try_for_each(|(row, &node)| vectors.read(node, row))?;
        let lengths: Vec<f32> = block.iter().take(nodes.len()).map(squared_length).collect();
        let columns = block.transposed();
        let tasks = nearest.par_chunks_mut(QUERIES_PER_TASK);
        let tasks = tasks.zip(queries.data.par_chunks(QUERIES_PER_TASK * dim));
        tasks.for_each_init(Vec::new, |products, (nearest, queries)| {
            products.resize(nearest.len() * NODES_PER_BLOCK, 0.0_f32);
            multiply(products, queries, &columns);
            for (nearest, products) in nearest.iter_mut().zip(products.chunks_exact(NODES_PER_BLOCK)) {
                merge(nearest, k, nodes, products, &lengths);
            }
        });
    }
    // Distances that were computed by way of products are a little off.
    nearest.par_iter_mut().enumerate().try_for_each_init(
        || vec![0.0; dim],
        |vector, (query, nearest)| {
            for scored in nearest.iter_mut() {
                vectors.read(scored.node, vector)?;
                scored.distance = squared_distance(queries.row(query), vector);
            }
            nearest.sort_by(Scored::order);
            Ok::<_, TrainError>(())
        },
    )?;
    Ok(nearest)
}

/// Merges the nodes of a block in the sorted `nearest`, by `‖x‖² − 2⟨q, x⟩`.
fn merge(nearest: &mut Vec<Scored>, k: usize, nodes: &[u32], products: &[f32], lengths: &[f32]) {
    let mut worst = if nearest.len() < k { f32::INFINITY } else { nearest[k - 1].distance };
    for ((&node, product), length) in nodes.iter().zip(products).zip(lengths) {
        let distance = length - 2.0 * product;
        if distance < worst {
            let found = Scored { node, distance };
            let at = nearest.partition_point(|other| other.order(&found).is_lt());
            nearest.insert(at, found);
            nearest.truncate(k);
            worst = if nearest.len() < k { f32::INFINITY } else { nearest[k - 1].distance };
        }
    }
}
