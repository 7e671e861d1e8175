//! Graph isomorphism: Xu et al., ICLR 2019.

use candle_core::{Result, Tensor};

use super::{Input, Parameters, Prepared};
use crate::layers::GinDescription;
use crate::learn::sparse::product;

/// `mlp((1 + ε) x + Σ x)`.
pub(super) fn forward(
    layer: &GinDescription,
    graph: &Prepared,
    parameters: Parameters<'_>,
    x: &Input,
) -> Result<Tensor> {
    // The first map of the perceptron goes before the sum, which it is linear in: most often it makes rows shorter.
    let mapped = x.linear(parameters.get("nn.0.weight"))?;
    let itself = match layer.train_eps {
        true => mapped.broadcast_mul(&(parameters.get("eps").as_tensor() + 1.0)?)?,
        false => (&mapped * (1.0 + f64::from(layer.eps)))?,
    };
    let mut rows = (itself + product(&graph.edges, None, &mapped)?)?;
    rows = parameters.add("nn.0.bias", rows)?;
    for at in 1..layer.mlp_layers {
        let (weight, bias) = (format!("nn.{}.weight", 2 * at), format!("nn.{}.bias", 2 * at));
        rows = parameters.add(&bias, rows.relu()?.matmul(&parameters.get(&weight).t()?)?)?;
    }
    Ok(rows)
}
