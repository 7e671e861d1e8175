//! Trajectories as numbers that gradients are computed with.

use std::collections::HashMap;

use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3;
use zerocopy::IntoBytes;

use super::matrix::Matrix;
use super::neighborhood::Neighborhoods;
use super::options::{OnTrainProgress, TrainPhase, report};
use super::start::Start;
use super::trajectories::Trajectories;
use super::vectors::{Vectors, dot, squared_length};
use super::{Corpus, TrainError};

/// Nodes whose routing vectors are in memory at once.
const NODES_PER_BLOCK: usize = 4096;
/// What is as near to a query as the node of this place, counted from 0, is near.
const THRESHOLD_PLACE: usize = 15;
/// The smallest threshold, in units of the mean squared length: queries that meet copies of themselves divide by it.
const MIN_THRESHOLD: f32 = 1e-3;

/// Queries, nodes and the distances between them, all in units of the scale of the vectors.
pub(super) struct Examples {
    /// `q − μ`.
    pub(super) queries: Matrix,
    pub(super) training: usize,
    /// As in [`Trajectories`].
    pub(super) starts: Vec<usize>,
    pub(super) near: usize,
    /// The nodes, each once.
    pub(super) nodes: Vec<u32>,
    /// The row in `coordinates` of each node of each query, which is its place in `nodes`.
    pub(super) rows: Vec<u32>,
    /// `(1 − λ)·‖q − x‖² + λ·‖q − m‖²`, what is to be estimated.
    pub(super) targets: Vec<f32>,
    /// `‖q − x‖²`, in the units of the vectors.
    pub(super) distances: Vec<f32>,
    /// Below this target a node is near, one for each query.
    pub(super) thresholds: Vec<f32>,
    /// `x' − μ` of each node along the principal axes.
    pub(super) coordinates: Matrix,
    /// `(1 − λ)·‖x − μ‖² + λ·‖m − μ‖²` of each node.
    pub(super) lengths: Vec<f32>,
    /// `m − μ` of each node along the principal axes, and `⟨m − μ, x' − μ⟩`.
    pub(super) means: Matrix,
    pub(super) products: Vec<f32>,
}

impl Examples {
    pub(super) fn new<C: Corpus>(
        vectors: Vectors<'_, C>,
        trajectories: &Trajectories,
        start: &Start,
        on_progress: OnTrainProgress<'_>,
    ) -> Result<Examples, TrainError> {
        let model = &start.model;
        let mut queries = trajectories.queries.clone();
        for row in queries.data.chunks_exact_mut(queries.cols) {
            row.iter_mut().zip(&model.mean).for_each(|(x, mean)| *x -= mean);
        }
        let (nodes, rows) = number(trajectories);
        let mut examples = Examples {
            training: trajectories.training,
            starts: trajectories.starts.clone(),
            near: trajectories.near,
            targets: vec![0.0; rows.len()],
            distances: trajectories.scored.iter().map(|scored| scored.distance).collect(),
            thresholds: Vec::new(),
            coordinates: Matrix::zeros(nodes.len(), start.axes.rows),
            lengths: Vec::with_capacity(nodes.len()),
            means: Matrix::zeros(nodes.len(), start.axes.rows),
            products: Vec::with_capacity(nodes.len()),
            queries,
            nodes: Vec::new(),
            rows,
        };
        let neighborhoods = Neighborhoods { vectors, lambda: model.lambda, mean: &model.mean };
        examples.fill(&neighborhoods, &nodes, start, on_progress)?;
        examples.nodes = nodes;
        examples.scale(start.scale);
        examples.thresholds = (0..examples.queries.rows).map(|query| examples.threshold(query)).collect();
        Ok(examples)
    }

    /// Reads each node once and computes its targets of all queries that have it.
    fn fill<C: Corpus>(
        &mut self,
        neighborhoods: &Neighborhoods<'_, '_, C>,
        nodes: &[u32],
        start: &Start,
        on_progress: OnTrainProgress<'_>,
    ) -> Result<(), TrainError> {
        let query_of: Vec<u32> = (0..self.queries.rows)
            .flat_map(|query| std::iter::repeat_n(query as u32, self.starts[query + 1] - self.starts[query]))
            .collect();
        let squares: Vec<f32> = self.queries.iter().map(squared_length).collect();
        let mut by_row: Vec<u32> = (0..self.rows.len() as u32).collect();
        by_row.sort_unstable_by_key(|&pair| self.rows[pair as usize]);
        let mut rest = by_row.as_slice();
        for (block, nodes_of_block) in nodes.chunks(NODES_PER_BLOCK).enumerate() {
            let first = block * NODES_PER_BLOCK;
            report(on_progress, TrainPhase::Nodes, first, nodes.len())?;
            let vectors = neighborhoods.gather(nodes_of_block)?;
            let end = first + nodes_of_block.len();
            let (pairs, others) =
                rest.split_at(rest.partition_point(|&pair| (self.rows[pair as usize] as usize) < end));
            rest = others;
            let targets: Vec<f32> = pairs
                .par_iter()
                .map(|&pair| {
                    let (row, query) =
                        (self.rows[pair as usize] as usize - first, query_of[pair as usize] as usize);
                    let product = dot(self.queries.row(query), vectors.centred.row(row));
                    squares[query] + vectors.lengths[row] - 2.0 * product
                })
                .collect();
            pairs.iter().zip(targets).for_each(|(&pair, target)| self.targets[pair as usize] = target);
            for (rows, along) in
                [(&vectors.centred, &mut self.coordinates), (&vectors.means, &mut self.means)]
            {
                let coordinates = rows.products(&start.axes);
                let cols = coordinates.cols;
                along.data[first * cols..end * cols].copy_from_slice(&coordinates.data);
            }
            let rows = vectors.means.iter().zip(vectors.centred.iter());
            self.products.extend(rows.map(|(mean, centred)| dot(mean, centred)));
            self.lengths.extend(vectors.lengths);
        }
        Ok(())
    }

    fn scale(&mut self, scale: f32) {
        let (once, twice) = (1.0 / scale, 1.0 / (scale * scale));
        let vectors = [&mut self.queries, &mut self.coordinates, &mut self.means];
        vectors.into_iter().flat_map(|rows| &mut rows.data).for_each(|x| *x *= once);
        let squares = [&mut self.targets, &mut self.lengths, &mut self.products];
        squares.into_iter().flatten().for_each(|x| *x *= twice);
    }

    /// A hash of all numbers that are learned from.
    pub(super) fn hash(&self, hasher: &mut Xxh3) {
        let vectors = [&self.queries, &self.coordinates, &self.means].map(|rows| rows.data.as_slice());
        let others = [&self.targets, &self.distances, &self.thresholds, &self.lengths, &self.products];
        for numbers in vectors.into_iter().chain(others.map(Vec::as_slice)) {
            hasher.update(&numbers.len().to_le_bytes());
            hasher.update(numbers.as_bytes());
        }
        for numbers in [&self.nodes, &self.rows] {
            hasher.update(&numbers.len().to_le_bytes());
            hasher.update(numbers.as_bytes());
        }
        for number in self.starts.iter().chain([&self.training, &self.near]) {
            hasher.update(&number.to_le_bytes());
        }
    }

    fn threshold(&self, query: usize) -> f32 {
        threshold(&self.targets[self.starts[query]..self.starts[query + 1]]).max(MIN_THRESHOLD)
    }
}

/// The distance below which a node is near, of all distances of a query.
pub(super) fn threshold(distances: &[f32]) -> f32 {
    let mut sorted = distances.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.get(THRESHOLD_PLACE).or(sorted.last()).copied().unwrap_or(0.0)
}

/// The distinct nodes of all queries in the order of their numbers, and the place of each node of each query among them.
fn number(trajectories: &Trajectories) -> (Vec<u32>, Vec<u32>) {
    let mut nodes: Vec<u32> = trajectories.scored.iter().map(|scored| scored.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let places: HashMap<u32, u32> = nodes.iter().copied().zip(0..).collect();
    let rows = trajectories.scored.iter().map(|scored| places[&scored.node]).collect();
    (nodes, rows)
}
