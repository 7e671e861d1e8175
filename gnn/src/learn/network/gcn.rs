//! Graph convolution: Kipf & Welling, ICLR 2017.

use candle_core::{Result, Tensor};

use super::{Input, Parameters, Prepared};
use crate::learn::sparse::product;

/// `Â x Wᵀ + b`.
pub(super) fn forward(graph: &Prepared, parameters: Parameters<'_>, x: &Input) -> Result<Tensor> {
    let rows = x.linear(parameters.get("lin.weight"))?;
    parameters.add("bias", product(&graph.edges, graph.weights.as_ref(), &rows)?)
}
