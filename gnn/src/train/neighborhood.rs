//! Routing vectors: a node's vector mixed with the mean of its neighbours'.

use rayon::prelude::*;

use super::matrix::Matrix;
use super::vectors::{Vectors, squared_distance};
use super::{Corpus, TrainError};

/// Nodes that one thread takes on at a time.
const NODES_PER_TASK: usize = 64;

/// Computes `x' = (1 − λ)·x + λ·m`, see [`crate::routing::KeyModel`].
pub(super) struct Neighborhoods<'c, 'm, C> {
    pub(super) vectors: Vectors<'c, C>,
    pub(super) lambda: f32,
    /// μ.
    pub(super) mean: &'m [f32],
}

/// Routing vectors of some nodes.
pub(super) struct RoutingVectors {
    /// `x' − μ`, a row each.
    pub(super) centred: Matrix,
    /// `m − μ`, a row each; where λ is 0, which leaves neighbours out, `x − μ`.
    pub(super) means: Matrix,
    /// `(1 − λ)·‖x − μ‖² + λ·‖m − μ‖²`: with it `(1 − λ)·‖q − x‖² + λ·‖q − m‖²` is linear in `q`, up to `‖q − μ‖²`.
    pub(super) lengths: Vec<f32>,
}

/// What one thread reads into.
struct Buffers {
    neighbors: Vec<u32>,
    vector: Vec<f32>,
}

impl<C: Corpus> Neighborhoods<'_, '_, C> {
    /// The routing vectors of `nodes`, in their order, computed in parallel.
    pub(super) fn gather(&self, nodes: &[u32]) -> Result<RoutingVectors, TrainError> {
        let dim = self.vectors.dim();
        let (mut centred, mut means) = (Matrix::zeros(nodes.len(), dim), Matrix::zeros(nodes.len(), dim));
        let mut lengths = vec![0.0; nodes.len()];
        let tasks = nodes
            .par_chunks(NODES_PER_TASK)
            .zip(centred.data.par_chunks_mut(NODES_PER_TASK * dim))
            .zip(means.data.par_chunks_mut(NODES_PER_TASK * dim))
            .zip(lengths.par_chunks_mut(NODES_PER_TASK));
        let buffers = || Buffers { neighbors: Vec::new(), vector: vec![0.0; dim] };
        tasks.try_for_each_init(buffers, |buffers, (((nodes, rows), means), lengths)| {
            let rows = rows.chunks_exact_mut(dim).zip(means.chunks_exact_mut(dim));
            for ((node, (row, mean)), length) in nodes.iter().zip(rows).zip(lengths) {
                *length = self.read(*node, row, mean, buffers)?;
            }
            Ok::<_, TrainError>(())
        })?;
        Ok(RoutingVectors { centred, means, lengths })
    }

    /// Writes `x' − μ` and `m − μ` of a node to `row` and `mean`, and returns the length that belongs to it.
    fn read(
        &self,
        node: u32,
        row: &mut [f32],
        mean: &mut [f32],
        buffers: &mut Buffers,
    ) -> Result<f32, TrainError> {
        self.vectors.read(node, row)?;
        let Buffers { neighbors, vector } = buffers;
        neighbors.clear();
        if self.lambda > 0.0 {
            self.vectors.corpus.read_neighbors(node, neighbors)?;
        }
        // A node without neighbours is its own neighbourhood.
        if neighbors.is_empty() {
            mean.copy_from_slice(row);
        } else {
            mean.fill(0.0);
            for &neighbor in neighbors.iter() {
                self.vectors.read(neighbor, vector)?;
                mean.iter_mut().zip(vector.iter()).for_each(|(sum, x)| *sum += x);
            }
            let share = 1.0 / neighbors.len() as f32;
            mean.iter_mut().for_each(|sum| *sum *= share);
        }
        let own = squared_distance(row, self.mean);
        let length = (1.0 - self.lambda) * own + self.lambda * squared_distance(mean, self.mean);
        row.iter_mut().zip(mean.iter()).for_each(|(x, m)| *x += self.lambda * (m - *x));
        for vector in [row, mean] {
            vector.iter_mut().zip(self.mean).for_each(|(x, mean)| *x -= mean);
        }
        Ok(length)
    }
}
