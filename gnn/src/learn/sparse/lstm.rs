//! The sources of each target as a sequence, read by an LSTM (Hochreiter & Schmidhuber 1997).

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::Incidence;
use super::kernel::{by_row, sum_into_sources};
use crate::train::{numbers, with_numbers};

/// `(inputs [sources, 4·h], recurrent [4·h, h]) → [targets, h]`: the last state of each target, 0 where it has no sources.
///
/// `inputs` is what the gates get of a source, biases included; gates come in torch's order: input, forget, cell, output.
/// Sources are read in the order of the edges.
pub(crate) fn lstm(edges: &Arc<Incidence>, inputs: &Tensor, recurrent: &Tensor) -> Result<Tensor> {
    inputs.contiguous()?.apply_op2(&recurrent.contiguous()?, Lstm { edges: edges.clone() })
}

struct Lstm {
    edges: Arc<Incidence>,
}

/// A state of an LSTM of `width` units.
#[derive(Clone)]
struct State {
    hidden: Vec<f32>,
    cell: Vec<f32>,
}

/// What a step leaves for the way back.
struct Step {
    before: State,
    /// The four gates, after their activations.
    gates: Vec<f32>,
    cell: Vec<f32>,
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl State {
    fn new(width: usize) -> State {
        State { hidden: vec![0.0; width], cell: vec![0.0; width] }
    }

    /// Reads one source; returns the activated gates.
    fn advance(&mut self, input: &[f32], recurrent: &[f32]) -> Vec<f32> {
        let width = self.hidden.len();
        let rows = recurrent.chunks_exact(width);
        let dot = |row: &[f32]| row.iter().zip(&self.hidden).map(|(w, h)| w * h).sum::<f32>();
        let mut gates: Vec<f32> = input.iter().zip(rows).map(|(x, row)| x + dot(row)).collect();
        for (at, gate) in gates.iter_mut().enumerate() {
            *gate = if at / width == 2 { gate.tanh() } else { sigmoid(*gate) };
        }
        for unit in 0..width {
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate| gates[gate * width + unit]);
            self.cell[unit] = f * self.cell[unit] + i * g;
            self.hidden[unit] = o * self.cell[unit].tanh();
        }
        gates
    }
}

impl Lstm {
    /// The gradients of the gates before activation at each edge of a target, and the hidden state before each.
    fn back(
        &self,
        target: usize,
        inputs: &[f32],
        recurrent: &[f32],
        gradient: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let width = gradient.len();
        let mut state = State::new(width);
        let steps: Vec<Step> = (self.edges.incoming(target))
            .map(|(_, source)| {
                let before = state.clone();
                let gates = state.advance(&inputs[source * 4 * width..][..4 * width], recurrent);
                Step { before, gates, cell: state.cell.clone() }
            })
            .collect();
        let mut of_gates = vec![0.0; steps.len() * 4 * width];
        let (mut of_hidden, mut of_cell) = (gradient.to_vec(), vec![0.0; width]);
        for (step, to) in steps.iter().zip(of_gates.chunks_exact_mut(4 * width)).rev() {
            for unit in 0..width {
                let [i, f, g, o] = [0, 1, 2, 3].map(|gate| step.gates[gate * width + unit]);
                let (hidden, tanh) = (of_hidden[unit], step.cell[unit].tanh());
                let cell = of_cell[unit] + hidden * o * (1.0 - tanh * tanh);
                to[unit] = cell * g * i * (1.0 - i);
                to[width + unit] = cell * step.before.cell[unit] * f * (1.0 - f);
                to[2 * width + unit] = cell * i * (1.0 - g * g);
                to[3 * width + unit] = hidden * tanh * o * (1.0 - o);
                of_cell[unit] = cell * f;
            }
            of_hidden.fill(0.0);
            for (gradient, row) in to.iter().zip(recurrent.chunks_exact(width)) {
                of_hidden.iter_mut().zip(row).for_each(|(sum, w)| *sum += gradient * w);
            }
        }
        (of_gates, steps.into_iter().flat_map(|step| step.before.hidden).collect())
    }
}

impl CustomOp2 for Lstm {
    fn name(&self) -> &'static str {
        "lstm"
    }

    fn cpu_fwd(
        &self,
        inputs: &CpuStorage,
        layout: &Layout,
        recurrent: &CpuStorage,
        recurrent_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (edges, width) = (&self.edges, recurrent_layout.dims()[1]);
        let inputs = numbers(inputs, layout, self.name())?;
        let recurrent = numbers(recurrent, recurrent_layout, self.name())?;
        let last = by_row(edges.target_count(), width, |target, last| {
            let mut state = State::new(width);
            for (_, source) in edges.incoming(target) {
                state.advance(&inputs[source * 4 * width..][..4 * width], recurrent);
            }
            last.copy_from_slice(&state.hidden);
        });
        Ok((CpuStorage::F32(last), (edges.target_count(), width).into()))
    }

    fn bwd(
        &self,
        inputs: &Tensor,
        recurrent: &Tensor,
        _last: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (edges, width, name) = (&self.edges, recurrent.dim(1)?, self.name());
        let of_targets: Vec<(Vec<f32>, Vec<f32>)> = with_numbers(inputs, name, |inputs| {
            with_numbers(recurrent, name, |recurrent| {
                with_numbers(gradient, name, |g| {
                    let targets = (0..edges.target_count()).into_par_iter();
                    Ok(targets
                        .map(|target| self.back(target, inputs, recurrent, &g[target * width..][..width]))
                        .collect())
                })
            })
        })?;
        let (of_gates, hidden): (Vec<_>, Vec<_>) = of_targets.into_iter().unzip();
        let (of_gates, hidden) = (of_gates.concat(), hidden.concat());
        let of_inputs = sum_into_sources(edges, &of_gates, 4 * width);
        let device = inputs.device();
        let of_recurrent = if edges.edge_count() == 0 {
            recurrent.zeros_like()?
        } else {
            let of_gates = Tensor::from_vec(of_gates, (edges.edge_count(), 4 * width), device)?;
            of_gates.t()?.matmul(&Tensor::from_vec(hidden, (edges.edge_count(), width), device)?)?
        };
        Ok((Some(Tensor::from_vec(of_inputs, inputs.shape(), device)?), Some(of_recurrent)))
    }
}
