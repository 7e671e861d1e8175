//! GraphSAGE: Hamilton, Ying & Leskovec, NeurIPS 2017.

use candle_core::{D, Result, Tensor};

use super::{Dropout, Input, Parameters, Prepared};
use crate::layers::{SageAggregator, SageDescription};
use crate::learn::sparse::{lstm, maximum, product};

/// Lengths below this count as 0, as in torch's `normalize`.
const SHORTEST: f64 = 1e-12;

/// `Wₗ aggregate(x) + b + Wᵣ x`; the aggregator `gcn` has no `Wᵣ`.
pub(super) fn forward(
    layer: &SageDescription,
    graph: &Prepared,
    parameters: Parameters<'_>,
    x: &Input,
    dropout: &mut Dropout,
) -> Result<Tensor> {
    let drawn = match (layer.sample_size, dropout.rng()) {
        (Some(most), Some(rng)) => Some(graph.sampled(most, rng)),
        _ => None,
    };
    let graph = drawn.as_ref().unwrap_or(graph);
    let (edges, map) = (&graph.edges, parameters.get("lin_l.weight"));
    let aggregated = match layer.aggregator {
        // Means of maps are maps of means, and have fewer numbers.
        SageAggregator::Mean | SageAggregator::Gcn => {
            product(edges, graph.weights.as_ref(), &x.linear(map)?)?
        }
        SageAggregator::MaxPool => {
            let pooled = parameters.add("lin.bias", x.linear(parameters.get("lin.weight"))?)?.relu()?;
            maximum(edges, &pooled)?.matmul(&map.t()?)?
        }
        SageAggregator::Lstm => {
            let [input, recurrent, input_bias, recurrent_bias] =
                ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
                    .map(|name| format!("aggr_module.lstm.{name}"));
            let inputs = parameters.add(&input_bias, x.linear(parameters.get(&input))?)?;
            let inputs = parameters.add(&recurrent_bias, inputs)?;
            lstm(edges, &inputs, parameters.get(&recurrent))?.matmul(&map.t()?)?
        }
    };
    let mut rows = parameters.add("lin_l.bias", aggregated)?;
    if layer.aggregator != SageAggregator::Gcn {
        rows = (rows + x.linear(parameters.get("lin_r.weight"))?)?;
    }
    if layer.l2_normalize {
        // The square keeps the gradient of the root finite where a row is 0.
        let lengths = (rows.sqr()?.sum_keepdim(D::Minus1)? + SHORTEST * SHORTEST)?.sqrt()?;
        rows = rows.broadcast_div(&lengths)?;
    }
    Ok(rows)
}
