//! Graph attention: Veličković et al., ICLR 2018.

use candle_core::{D, Result, Tensor};

use super::{Dropout, Input, Parameters, Prepared};
use crate::layers::GatDescription;
use crate::learn::sparse::{attend, softmax, sum_of_ends};

/// Sums of rows by the softmax of `leaky_relu(aₛ·Wxⱼ + aₜ·Wxᵢ + aₑ·Wₑe)`, head by head.
pub(super) fn forward(
    layer: &GatDescription,
    graph: &Prepared,
    parameters: Parameters<'_>,
    x: &Input,
    dropout: &mut Dropout,
) -> Result<Tensor> {
    let (heads, width) = (layer.heads, layer.head_dim);
    let scores = |rows: &Tensor, name: &str| {
        rows.reshape(((), heads, width))?.broadcast_mul(parameters.get(name))?.sum(D::Minus1)
    };
    let rows = x.linear(parameters.get("lin.weight"))?;
    let mut logits = sum_of_ends(&graph.edges, &scores(&rows, "att_dst")?, &scores(&rows, "att_src")?)?;
    if let Some(features) = &graph.edge_features {
        let mapped = features.matmul(&parameters.get("lin_edge.weight").t()?)?;
        logits = (logits + scores(&mapped, "att_edge")?)?;
    }
    let slope = f64::from(layer.negative_slope);
    let logits = ((logits.relu()? * (1.0 - slope))? + (logits * slope)?)?;
    let shares = dropout.apply(&softmax(&graph.edges, &logits)?, layer.attention_dropout)?;
    let mut sums = attend(&graph.edges, &rows, &shares)?;
    if !layer.concat {
        sums = sums.reshape(((), heads, width))?.mean(1)?;
    }
    parameters.add("bias", sums)
}
