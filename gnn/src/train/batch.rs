//! What one step of gradient descent looks at.

use candle_core::{Device, Tensor};
use fastrand::Rng;

use super::TrainError;
use super::attention::SampledField;
use super::examples::Examples;

/// One node of so many is drawn from all that a query has, the others from the near ones.
const FAR_SHARE: usize = 4;

/// Some queries with as many nodes each.
pub(super) struct Batch {
    /// `q − μ`, queries × components.
    pub(super) queries: Tensor,
    /// `x' − μ` along the principal axes, (queries · nodes) × axes.
    pub(super) coordinates: Tensor,
    /// `m − μ` along the principal axes, as many rows.
    pub(super) means: Tensor,
    /// Queries × nodes, as in [`Examples`].
    pub(super) products: Tensor,
    pub(super) lengths: Tensor,
    pub(super) targets: Tensor,
    /// Queries × 1.
    pub(super) thresholds: Tensor,
    /// The node in each place, queries · nodes.
    pub(super) nodes: Vec<u32>,
    /// What attention reads, where there is any.
    pub(super) field: Option<SampledField>,
}

impl Batch {
    /// Random training queries with random nodes of theirs.
    pub(super) fn random(
        examples: &Examples,
        queries: usize,
        nodes: usize,
        rng: &mut Rng,
    ) -> Result<Batch, TrainError> {
        let chosen: Vec<usize> = (0..queries).map(|_| rng.usize(..examples.training)).collect();
        Batch::new(examples, &chosen, nodes, |at, count| {
            rng.usize(..if at % FAR_SHARE == 0 { count } else { count.min(examples.near) })
        })
    }

    /// The given queries, all with their first `nodes` nodes; where one has fewer, they repeat.
    pub(super) fn of(examples: &Examples, chosen: &[usize], nodes: usize) -> Result<Batch, TrainError> {
        Batch::new(examples, chosen, nodes, |at, count| at % count)
    }

    /// `pick(at, count)` says which of the `count` nodes of a query is taken in place `at`.
    fn new(
        examples: &Examples,
        chosen: &[usize],
        nodes: usize,
        mut pick: impl FnMut(usize, usize) -> usize,
    ) -> Result<Batch, TrainError> {
        let (dim, axes) = (examples.queries.cols, examples.coordinates.cols);
        let count = chosen.len() * nodes;
        let mut queries = Vec::with_capacity(chosen.len() * dim);
        let (mut coordinates, mut means) =
            (Vec::with_capacity(count * axes), Vec::with_capacity(count * axes));
        let (mut lengths, mut targets) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut products = Vec::with_capacity(count);
        let mut thresholds = Vec::with_capacity(chosen.len());
        let mut numbers = Vec::with_capacity(count);
        for &query in chosen {
            queries.extend_from_slice(examples.queries.row(query));
            thresholds.push(examples.thresholds[query]);
            let (start, end) = (examples.starts[query], examples.starts[query + 1]);
            for at in 0..nodes {
                let pair = start + pick(at, end - start);
                let row = examples.rows[pair] as usize;
                coordinates.extend_from_slice(examples.coordinates.row(row));
                means.extend_from_slice(examples.means.row(row));
                products.push(examples.products[row]);
                numbers.push(examples.nodes[row]);
                lengths.push(examples.lengths[row]);
                targets.push(examples.targets[pair]);
            }
        }
        let device = &Device::Cpu;
        Ok(Batch {
            queries: Tensor::from_vec(queries, (chosen.len(), dim), device)?,
            coordinates: Tensor::from_vec(coordinates, (count, axes), device)?,
            means: Tensor::from_vec(means, (count, axes), device)?,
            products: Tensor::from_vec(products, (chosen.len(), nodes), device)?,
            lengths: Tensor::from_vec(lengths, (chosen.len(), nodes), device)?,
            targets: Tensor::from_vec(targets, (chosen.len(), nodes), device)?,
            thresholds: Tensor::from_vec(thresholds, (chosen.len(), 1), device)?,
            nodes: numbers,
            field: None,
        })
    }
}
