//! Graph convolution: `Â X Wᵀ + b` with Â = D^-½ (A + I) D^-½. Kipf & Welling, ICLR 2017.

use super::convolution::{Weighting, convolve};
use super::degree::keep_one_loop;
use super::linear::Linear;
use super::model::{Layer, Parameters};
use super::progress::Pass;
use super::rows::Rows;
use super::{Edges, GcnDescription, GnnError, Matrix};

pub(super) struct Gcn {
    description: GcnDescription,
    linear: Linear,
}

impl Gcn {
    pub(super) fn new(description: &GcnDescription, parameters: &Parameters<'_>) -> Result<Self, GnnError> {
        let (input, output) = (description.input_dim, description.output_dim);
        let bias = description.bias.then(|| parameters.get("bias")).transpose()?;
        let linear = Linear::new(parameters.get("lin.weight")?, output, input, bias);
        Ok(Self { description: description.clone(), linear })
    }
}

impl Layer for Gcn {
    fn forward(&self, pass: &Pass<'_>, x: Rows<'_>) -> Result<Matrix, GnnError> {
        let weighting = Normalised { description: &self.description, scales: pass.scales };
        convolve(pass, x, &weighting, &self.linear, None, |_| {})
    }

    fn normalises(&self) -> Option<bool> {
        self.description.normalize.then_some(self.description.self_loops)
    }
}

struct Normalised<'a> {
    description: &'a GcnDescription,
    scales: &'a [f32],
}

impl Weighting for Normalised<'_> {
    fn weigh(&self, node: u32, edges: &mut Edges) {
        if self.description.self_loops {
            keep_one_loop(node, edges);
        }
        edges.weights.resize(edges.sources.len(), 1.0);
        if self.description.normalize {
            let own = self.scales[node as usize];
            for (weight, &source) in edges.weights.iter_mut().zip(&edges.sources) {
                *weight *= self.scales[source as usize] * own;
            }
        }
    }
}
