//! GraphSAGE: `W_l aggregate(N(v)) + b + W_r x_v`. Hamilton, Ying & Leskovec, NeurIPS 2017.

use super::convolution::{Weighting, convolve};
use super::degree::keep_one_loop;
use super::linear::Linear;
use super::lstm::Lstm;
use super::model::{Layer, Parameters};
use super::progress::Pass;
use super::rows::Rows;
use super::vector::{dot, maximum};
use super::{Edges, GnnError, Matrix, SageAggregator, SageDescription};

/// The layer of a description.
pub(super) fn build(
    description: &SageDescription,
    parameters: &Parameters<'_>,
) -> Result<Box<dyn Layer>, GnnError> {
    let left = parameters.linear("lin_l")?;
    let l2_normalize = description.l2_normalize;
    let with_self = description.aggregator == SageAggregator::Gcn;
    let right = if with_self { None } else { Some(parameters.linear("lin_r")?) };
    let ends = Ends { left, right, l2_normalize };
    Ok(match description.aggregator {
        SageAggregator::Mean | SageAggregator::Gcn => Box::new(MeanSage { ends, mean: Mean { with_self } }),
        SageAggregator::MaxPool => Box::new(PoolSage { ends, pool: parameters.linear("lin")? }),
        SageAggregator::Lstm => {
            let get = |name: &str| parameters.get(&format!("aggr_module.lstm.{name}_l0"));
            let width = description.input_dim;
            let lstm = Lstm::of(
                [get("weight_ih")?, get("weight_hh")?, get("bias_ih")?, get("bias_hh")?],
                width,
                width,
            );
            Box::new(LstmSage { ends, lstm })
        }
    })
}

/// What follows all aggregators.
struct Ends {
    left: Linear,
    right: Option<Linear>,
    l2_normalize: bool,
}

impl Ends {
    fn finish(&self, out: &mut [f32]) {
        if self.l2_normalize {
            for row in out.chunks_exact_mut(self.left.output) {
                // As torch.nn.functional.normalize: a row of zeros stays.
                let scale = 1.0 / dot(row, row).sqrt().max(1e-12);
                row.iter_mut().for_each(|number| *number *= scale);
            }
        }
    }

    /// `out = W_l aggregated + b + W_r own`.
    fn combine(&self, aggregated: &[f32], own: &[f32], out: &mut [f32]) {
        self.left.apply(aggregated, out);
        if let Some(right) = &self.right {
            right.add(own, out);
        }
        self.finish(out);
    }
}

struct MeanSage {
    ends: Ends,
    mean: Mean,
}

impl Layer for MeanSage {
    fn forward(&self, pass: &Pass<'_>, x: Rows<'_>) -> Result<Matrix, GnnError> {
        let Ends { left, right, .. } = &self.ends;
        convolve(pass, x, &self.mean, left, right.as_ref(), |out| self.ends.finish(out))
    }
}

/// The mean over the neighbours, or over them and the node. Weights of edges are not looked at.
struct Mean {
    with_self: bool,
}

impl Weighting for Mean {
    fn weigh(&self, node: u32, edges: &mut Edges) {
        edges.weights.clear();
        if self.with_self {
            keep_one_loop(node, edges);
        }
        let share = 1.0 / edges.len().max(1) as f32;
        edges.weights.clear();
        edges.weights.resize(edges.sources.len(), share);
    }
}

struct PoolSage {
    ends: Ends,
    pool: Linear,
}

#[derive(Default)]
struct Pooled {
    edges: Edges,
    largest: Vec<f32>,
    own: Vec<f32>,
}

impl Layer for PoolSage {
    fn forward(&self, pass: &Pass<'_>, x: Rows<'_>) -> Result<Matrix, GnnError> {
        let width = self.ends.left.output;
        let pooled = self.pool.materialise(pass, x, |out| self.pool.add_bias_relu(out))?;
        let mut out = pass.matrix(pass.rows, width);
        pass.blocks(out.data_mut(), width, |Pooled { edges, largest, own }: &mut Pooled, first, out| {
            let count = out.len() / width;
            largest.clear();
            // A node without neighbours has the maximum 0, which is also the least that ReLU gives.
            largest.resize(count * x.width, 0.0);
            for (largest, node) in largest.chunks_exact_mut(x.width).zip(first..) {
                pass.read(node, edges)?;
                for &source in &edges.sources {
                    maximum(largest, pooled.row(source as usize));
                }
            }
            self.ends.combine(largest, x.range(first, count, own)?, out);
            Ok(())
        })?;
        Ok(out)
    }
}

struct LstmSage {
    ends: Ends,
    lstm: Lstm,
}

#[derive(Default)]
struct Sequences {
    edges: Edges,
    rows: Vec<f32>,
    own: Vec<f32>,
    last: Vec<f32>,
    states: super::lstm::States,
}

impl Layer for LstmSage {
    fn forward(&self, pass: &Pass<'_>, x: Rows<'_>) -> Result<Matrix, GnnError> {
        let width = self.ends.left.output;
        let mut out = pass.matrix(pass.rows, width);
        pass.blocks(out.data_mut(), width, |scratch: &mut Sequences, first, out| {
            let Sequences { edges, rows, own, last, states } = scratch;
            let count = out.len() / width;
            last.resize(count * x.width, 0.0);
            for (last, node) in last.chunks_exact_mut(x.width).zip(first..) {
                pass.read(node, edges)?;
                x.copy(&edges.sources, rows)?;
                self.lstm.last(rows, states, last);
            }
            self.ends.combine(last, x.range(first, count, own)?, out);
            Ok(())
        })?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_over_a_node_and_its_neighbours_counts_its_own_loop_once() {
        let mut edges = Edges { sources: vec![1, 0, 2], ..Edges::default() };
        Mean { with_self: true }.weigh(0, &mut edges);
        assert_eq!(edges.sources, [1, 2, 0]);
        assert_eq!(edges.weights, [1.0 / 3.0; 3]);
    }
}
