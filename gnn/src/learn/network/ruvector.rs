//! RuVector: attention of each node over itself and its neighbours, hop by hop.

use candle_core::{Result, Tensor};

use super::{Dropout, Input, Parameters, Prepared};
use crate::layers::RuVectorDescription;
use crate::learn::sparse::{attend, edge_dots, softmax};

/// `num_hops` times `x + attention(x)`, and then a linear map.
pub(super) fn forward(
    layer: &RuVectorDescription,
    graph: &Prepared,
    parameters: Parameters<'_>,
    x: &Input,
    dropout: &mut Dropout,
) -> Result<Tensor> {
    let (heads, width) = (layer.heads, layer.input_dim);
    let scale = 1.0 / ((width / heads) as f64).sqrt();
    let mut x = x.clone();
    for _ in 0..layer.num_hops {
        let projected = x.linear(parameters.get("attention.in_proj_weight"))?;
        let projected = parameters.add("attention.in_proj_bias", projected)?;
        let part = |at: usize| projected.narrow(1, at * width, width);
        let logits = (edge_dots(&graph.edges, heads, &part(0)?, &part(1)?)? * scale)?;
        let shares = dropout.apply(&softmax(&graph.edges, &logits)?, layer.attention_dropout)?;
        let attended = attend(&graph.edges, &part(2)?, &shares)?;
        let attended = attended.matmul(&parameters.get("attention.out_proj.weight").t()?)?;
        x = Input::Hidden((x.dense()? + parameters.add("attention.out_proj.bias", attended)?)?);
    }
    parameters.add("lin.bias", x.linear(parameters.get("lin.weight"))?)
}
