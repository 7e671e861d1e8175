//! The kernel of all layers whose aggregation is a weighted sum: GCN, GraphSAGE's mean, GIN, and the sparse product.

use super::linear::{Linear, rows_of};
use super::progress::{Options, Pass};
use super::rows::Rows;
use super::{Adjacency, Edges, GnnError, Matrix, NodeFeatures};

/// Turns the edges into a node into the terms of its sum: one weight for each source, loops added or taken out.
pub(super) trait Weighting: Sync {
    fn weigh(&self, node: u32, edges: &mut Edges);
}

/// What a thread keeps from block to block.
#[derive(Default)]
pub(super) struct Scratch {
    edges: Edges,
    row: Vec<f32>,
    /// Sums of a block, which a linear map then reads from the cache.
    pub(super) sums: Vec<f32>,
    /// Rows of the block's own nodes, where they have to be read.
    pub(super) own: Vec<f32>,
}

impl Scratch {
    /// Writes the weighted sums of the nodes from `first` on into `out`.
    pub(super) fn sum(
        &mut self,
        pass: &Pass<'_>,
        x: Rows<'_>,
        weighting: &dyn Weighting,
        first: u32,
        out: &mut [f32],
    ) -> Result<(), GnnError> {
        for (out, node) in out.chunks_exact_mut(x.width).zip(first..) {
            pass.read(node, &mut self.edges)?;
            weighting.weigh(node, &mut self.edges);
            x.weighted_sum(&self.edges, &mut self.row, out)?;
        }
        Ok(())
    }

    /// As [`Scratch::sum`], into `self.sums`.
    pub(super) fn sum_block(
        &mut self,
        pass: &Pass<'_>,
        x: Rows<'_>,
        weighting: &dyn Weighting,
        first: u32,
        count: usize,
    ) -> Result<(), GnnError> {
        let mut sums = std::mem::take(&mut self.sums);
        sums.resize(count * x.width, 0.0);
        let result = self.sum(pass, x, weighting, first, &mut sums);
        self.sums = sums;
        result
    }
}

/// `linear(Σ w x) + root(x)` for each node of the pass, then `finish` on each block. The sum of a block is made in the
/// cache and mapped from there; where the map narrows rows, it goes first, and sums are of the narrow rows.
pub(super) fn convolve(
    pass: &Pass<'_>,
    x: Rows<'_>,
    weighting: &dyn Weighting,
    linear: &Linear,
    root: Option<&Linear>,
    finish: impl Fn(&mut [f32]) + Sync,
) -> Result<Matrix, GnnError> {
    let width = linear.output;
    let narrowed = if width < linear.input { Some(linear.materialise(pass, x, |_| {})?) } else { None };
    let narrow = narrowed.as_ref().map(rows_of).transpose()?;
    let mut out = pass.matrix(pass.rows, width);
    pass.blocks(out.data_mut(), width, |scratch: &mut Scratch, first, out| {
        let count = out.len() / width;
        if let Some(narrow) = narrow {
            scratch.sum(pass, narrow, weighting, first, out)?;
            linear.add_bias(out);
        } else {
            scratch.sum_block(pass, x, weighting, first, count)?;
            linear.apply(&scratch.sums, out);
        }
        if let Some(root) = root {
            root.add(x.range(first, count, &mut scratch.own)?, out);
        }
        finish(out);
        Ok(())
    })?;
    Ok(out)
}

/// Weights as the graph has them.
struct Plain;

impl Weighting for Plain {
    fn weigh(&self, _: u32, edges: &mut Edges) {
        if edges.weights.is_empty() {
            edges.weights.resize(edges.sources.len(), 1.0);
        }
    }
}

/// The product of the graph's matrix and the rows of `features`: row `v` is `Σ w(u → v) × features[u]` over the edges
/// into `v`, zeros for a node without any.
///
/// # Errors
/// [`GnnError::Shape`] where features are not one row a node, [`GnnError::NotFinite`] for NaN and infinities,
/// [`GnnError::Cancelled`], and what the graph or the features report.
pub fn sparse_mm(
    graph: &dyn Adjacency,
    features: &dyn NodeFeatures,
    options: &Options<'_>,
) -> Result<Matrix, GnnError> {
    options.check()?;
    let pass = Pass::single(graph, options);
    let x = Rows::of_all(features, graph, features.width())?;
    x.check_finite()?;
    let mut out = Matrix::zeros(pass.rows, x.width);
    if x.width > 0 {
        pass.blocks(out.data_mut(), x.width, |scratch: &mut Scratch, first, out| {
            scratch.sum(&pass, x, &Plain, first, out)
        })?;
    }
    Ok(out)
}
