//! One layer of attention, ready to be computed.

use rayon::prelude::*;

use super::field::Field;
use super::{AttentionLayer, LEAK};
use crate::routing::projection::Projection;

/// Nodes that a thread takes on at a time.
pub(super) const BATCH: usize = 64;
/// Rows are multiplied in groups of so many, the last one filled up: numbers of a node then do not depend on its company.
const GROUP: usize = 4;

/// Numbers of the nodes of a field.
pub(super) struct States {
    /// Numbers of a node.
    pub(super) width: usize,
    /// The nodes one behind the other.
    pub(super) rows: Vec<f32>,
}

impl States {
    fn row(&self, place: usize) -> &[f32] {
        &self.rows[place * self.width..][..self.width]
    }
}

/// A layer with its matrices in the form that products are computed with.
///
/// `Σ share_u·(W·h_u)` is computed as `W·(Σ share_u·h_u)`, and scores with `source·W` and `target·W`: then nothing but
/// `h` is kept of a node.
pub(super) struct Layer {
    heads: usize,
    width: usize,
    /// `source·W` of each head, then `target·W` of each.
    scores: Projection,
    weights: Vec<Projection>,
    bias: Vec<f32>,
    is_last: bool,
}

/// What a thread works in.
#[derive(Default)]
pub(super) struct LayerScratch {
    shares: Vec<f32>,
    /// Sums of a batch: head by head, node by node.
    sums: Vec<f32>,
    products: Vec<f32>,
}

impl Layer {
    pub(super) fn new(layer: &AttentionLayer, is_last: bool) -> Layer {
        let (heads, width) = (layer.heads, layer.width);
        let inputs = layer.weights.len() / (heads * width);
        let of_head =
            |head: usize| layer.weights[head * width * inputs..][..width * inputs].chunks_exact(inputs);
        let folded = [&layer.source, &layer.target].into_iter().flat_map(|factors| {
            (0..heads).map(|head| {
                let mut sum = vec![0.0; inputs];
                for (factor, row) in factors[head * width..].iter().zip(of_head(head)) {
                    add(&mut sum, *factor, row);
                }
                sum
            })
        });
        let folded: Vec<Vec<f32>> = folded.collect();
        Layer {
            heads,
            width,
            scores: Projection::new(inputs, folded.iter().map(Vec::as_slice)),
            weights: (0..heads).map(|head| Projection::new(inputs, of_head(head))).collect(),
            bias: layer.bias.clone(),
            is_last,
        }
    }

    /// Numbers that the layer makes of a node.
    pub(super) fn outputs(&self) -> usize {
        AttentionLayer::biases(self.heads, self.width, self.is_last)
    }

    /// The scores of all nodes: for each, one a head as a neighbour, then one a head as the node that looks.
    pub(super) fn scores(&self, inputs: &States) -> States {
        let width = 2 * self.heads;
        let mut rows = vec![0.0; inputs.rows.len() / inputs.width * width];
        let tasks = rows.par_chunks_mut(BATCH * width).zip(inputs.rows.par_chunks(BATCH * inputs.width));
        tasks.for_each_init(Default::default, |(x, products): &mut (Vec<f32>, Vec<f32>), (to, from)| {
            x.clear();
            x.extend_from_slice(from);
            project(&self.scores, inputs.width, x, products);
            let products = products.chunks_exact(self.scores.outputs());
            to.chunks_exact_mut(width).zip(products).for_each(|(to, row)| to.copy_from_slice(&row[..width]));
        });
        States { width, rows }
    }

    /// The layer, for the first `nodes` places of `field`.
    pub(super) fn apply(&self, field: &Field, inputs: &States, nodes: usize) -> States {
        let scores = self.scores(inputs);
        let width = self.outputs();
        let mut rows = vec![0.0; nodes * width];
        rows.par_chunks_mut(BATCH * width).enumerate().for_each_init(
            LayerScratch::default,
            |scratch, (batch, rows)| {
                let first = batch * BATCH;
                let places = (first..first + rows.len() / width).map(|place| place as u32);
                self.apply_to(field, inputs, &scores, places, rows, scratch);
            },
        );
        States { width, rows }
    }

    /// The layer, for these places; writes [`Layer::outputs`] numbers for each.
    pub(super) fn apply_to(
        &self,
        field: &Field,
        inputs: &States,
        scores: &States,
        places: impl ExactSizeIterator<Item = u32>,
        rows: &mut [f32],
        scratch: &mut LayerScratch,
    ) {
        let LayerScratch { shares, sums, products } = scratch;
        let stride = places.len().next_multiple_of(GROUP) * inputs.width;
        sums.clear();
        sums.resize(self.heads * stride, 0.0);
        for (at, place) in places.enumerate() {
            let place = place as usize;
            self.share(field, scores, place, shares);
            let others = field.neighbors(place).iter().map(|other| *other as usize);
            for (other, shares) in std::iter::once(place).chain(others).zip(shares.chunks_exact(self.heads)) {
                let row = inputs.row(other);
                for (head, share) in shares.iter().enumerate() {
                    add(&mut sums[head * stride + at * inputs.width..][..inputs.width], *share, row);
                }
            }
        }
        let outputs = self.outputs();
        rows.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(&self.bias));
        for (head, weights) in self.weights.iter().enumerate() {
            products.resize(stride / inputs.width * weights.outputs(), 0.0);
            weights.apply(&sums[head * stride..][..stride], products);
            let (to, share) =
                if self.is_last { (0, 1.0 / self.heads as f32) } else { (head * self.width, 1.0) };
            for (row, product) in rows.chunks_exact_mut(outputs).zip(products.chunks_exact(weights.outputs()))
            {
                add(&mut row[to..][..self.width], share, product);
            }
        }
        if !self.is_last {
            rows.iter_mut().filter(|x| **x < 0.0).for_each(|x| *x = x.exp_m1());
        }
    }

    /// The shares of the node in `place` itself and of its neighbours, those of all heads for each.
    fn share(&self, field: &Field, scores: &States, place: usize, shares: &mut Vec<f32>) {
        let heads = self.heads;
        let target = &scores.row(place)[heads..];
        shares.clear();
        let others = field.neighbors(place).iter().map(|other| *other as usize);
        for other in std::iter::once(place).chain(others) {
            let sums = scores.row(other)[..heads].iter().zip(target).map(|(source, target)| source + target);
            shares.extend(sums.map(|sum| sum.max(LEAK * sum)));
        }
        let len = shares.len();
        for head in 0..heads {
            let of_head = || (head..len).step_by(heads);
            // Less the largest score no power overflows, and the largest is 1.
            let largest = of_head().map(|at| shares[at]).fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for at in of_head() {
                shares[at] = (shares[at] - largest).exp();
                sum += shares[at];
            }
            of_head().for_each(|at| shares[at] /= sum);
        }
    }
}

/// Multiplies rows of `width` numbers; `x` is filled up to whole groups.
pub(super) fn project(projection: &Projection, width: usize, x: &mut Vec<f32>, products: &mut Vec<f32>) {
    let rows = (x.len() / width).next_multiple_of(GROUP);
    x.resize(rows * width, 0.0);
    products.resize(rows * projection.outputs(), 0.0);
    projection.apply(x, products);
}

/// Adds `share·row` to `to`, which is no longer than `row`.
#[inline(always)]
fn add(to: &mut [f32], share: f32, row: &[f32]) {
    to.iter_mut().zip(row).for_each(|(to, x)| *to += share * x);
}
