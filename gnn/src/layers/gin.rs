//! Graph isomorphism network: `MLP((1 + ε) x_v + Σ x_u)`. Xu, Hu, Leskovec & Jegelka, ICLR 2019.

use super::convolution::{Scratch, Weighting};
use super::linear::Linear;
use super::model::{Layer, Parameters};
use super::progress::Pass;
use super::rows::Rows;
use super::{Edges, GinDescription, GnnError, Matrix};

pub(super) struct Gin {
    eps: f32,
    mlp: Vec<Linear>,
}

impl Gin {
    pub(super) fn new(description: &GinDescription, parameters: &Parameters<'_>) -> Result<Self, GnnError> {
        let eps = if description.train_eps { parameters.get("eps")?[0] } else { description.eps };
        let linear = |i: usize| parameters.linear(&format!("nn.{}", 2 * i));
        Ok(Self { eps, mlp: (0..description.mlp_layers).map(linear).collect::<Result<_, _>>()? })
    }
}

#[derive(Default)]
struct Hidden {
    scratch: Scratch,
    next: Vec<f32>,
}

impl Layer for Gin {
    fn forward(&self, pass: &Pass<'_>, x: Rows<'_>) -> Result<Matrix, GnnError> {
        let (last, hidden) = self.mlp.split_last().expect("a description has one linear map or more");
        let weighting = SumAndSelf { own: 1.0 + self.eps };
        let mut out = pass.matrix(pass.rows, last.output);
        pass.blocks(out.data_mut(), last.output, |Hidden { scratch, next }: &mut Hidden, first, out| {
            let count = out.len() / last.output;
            scratch.sum_block(pass, x, &weighting, first, count)?;
            for linear in hidden {
                next.resize(count * linear.output, 0.0);
                linear.apply_relu(&scratch.sums, next);
                std::mem::swap(&mut scratch.sums, next);
            }
            last.apply(&scratch.sums, out);
            Ok(())
        })?;
        Ok(out)
    }
}

/// All neighbours once, and the node itself. Weights of edges are not looked at.
struct SumAndSelf {
    own: f32,
}

impl Weighting for SumAndSelf {
    fn weigh(&self, node: u32, edges: &mut Edges) {
        edges.weights.clear();
        edges.weights.resize(edges.sources.len(), 1.0);
        edges.sources.push(node);
        edges.weights.push(self.own);
    }
}
