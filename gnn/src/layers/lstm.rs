//! A long short-term memory that reads a sequence of rows. Hochreiter & Schmidhuber 1997, as `torch.nn.LSTM`.

use super::linear::Linear;

/// One layer of it, in one direction.
#[derive(Debug, Clone)]
pub(super) struct Lstm {
    /// From a row to the gates, with both biases: input, forget, cell, output.
    input: Linear,
    /// From the state before.
    hidden: Linear,
}

/// What a thread keeps from sequence to sequence.
#[derive(Debug, Default)]
pub(super) struct States {
    gates: Vec<f32>,
    cell: Vec<f32>,
}

impl Lstm {
    /// From `weight_ih [4·hidden × input]`, `weight_hh [4·hidden × hidden]`, `bias_ih` and `bias_hh`.
    pub(super) fn of(parameters: [&[f32]; 4], input: usize, hidden: usize) -> Self {
        let [weight_ih, weight_hh, bias_ih, bias_hh] = parameters;
        let bias: Vec<f32> = bias_ih.iter().zip(bias_hh).map(|(a, b)| a + b).collect();
        Self {
            input: Linear::new(weight_ih, 4 * hidden, input, Some(&bias)),
            hidden: Linear::new(weight_hh, 4 * hidden, hidden, None),
        }
    }

    /// Numbers in its state.
    pub(super) fn width(&self) -> usize {
        self.hidden.input
    }

    /// The state after the last of `rows`, zeros for an empty sequence.
    pub(super) fn last(&self, rows: &[f32], states: &mut States, out: &mut [f32]) {
        out.fill(0.0);
        states.cell.clear();
        states.cell.resize(self.width(), 0.0);
        states.gates.resize(rows.len() / self.input.input * self.input.output, 0.0);
        // What rows bring to the gates does not depend on states: one product for the whole sequence.
        let mut gates = std::mem::take(&mut states.gates);
        self.input.apply(rows, &mut gates);
        for gates in gates.chunks_exact_mut(self.input.output) {
            self.hidden.add(out, gates);
            step(gates, &mut states.cell, out);
        }
        states.gates = gates;
    }

    /// One step: `state` and `cell` follow `row`.
    pub(super) fn step(&self, row: &[f32], states: &mut States, cell: &mut [f32], state: &mut [f32]) {
        states.gates.resize(self.input.output, 0.0);
        self.input.apply(row, &mut states.gates);
        self.hidden.add(state, &mut states.gates);
        step(&states.gates, cell, state);
    }
}

/// `c ← σ(f) c + σ(i) tanh(g)`, `h ← σ(o) tanh(c)`.
fn step(gates: &[f32], cell: &mut [f32], state: &mut [f32]) {
    let width = cell.len();
    let (input, rest) = gates.split_at(width);
    let (forget, rest) = rest.split_at(width);
    let (candidate, output) = rest.split_at(width);
    for i in 0..width {
        cell[i] = sigmoid(forget[i]) * cell[i] + sigmoid(input[i]) * candidate[i].tanh();
        state[i] = sigmoid(output[i]) * cell[i].tanh();
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
