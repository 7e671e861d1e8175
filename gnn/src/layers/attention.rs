//! Multi-head attention over rows (Vaswani et al., NeurIPS 2017; the parameters of `torch.nn.MultiheadAttention`),
//! without keys and values of its own.
//!
//! A head's score `q · (W_k x)` is `(W_kᵀ q) · x`, and its finding `Σ α W_v x` is `W_v Σ α x`: the maps of keys and
//! values are applied once to what asks, not to every row that is asked. Rows are attended to where they lie, and no
//! memory grows with their number. The bias of the keys adds the same to all scores of a query, which changes no share.

use super::GnnError;
use super::linear::Linear;
use super::model::Parameters;
use super::vector::{Table, add_rows, dots, softmax};

/// Attention of `heads` heads over rows of `width` numbers.
#[derive(Debug, Clone)]
pub(super) struct Attention {
    pub(super) heads: usize,
    pub(super) width: usize,
    /// From a row that asks to its queries, scaled by 1 / √(numbers of a head).
    query: Linear,
    /// Transposed maps of the keys, by head; none where `query` has it within.
    keys: Vec<Linear>,
    /// Maps of the values, by head; none where `output` has it within.
    values: Vec<Linear>,
    values_bias: Vec<f32>,
    /// From the findings of all heads to what is added to the row.
    pub(super) output: Linear,
}

/// What a thread keeps from block to block.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    queries: Vec<f32>,
    /// What each row asks of others, head after head: `heads × width` numbers a row.
    asked: Vec<f32>,
    /// What each row found, laid out alike.
    pub(super) found: Vec<f32>,
    shares: Vec<f32>,
    values: Vec<f32>,
}

impl Attention {
    /// The attention of `{name}.in_proj_weight`, `in_proj_bias`, `out_proj.weight` and `out_proj.bias`.
    pub(super) fn new(
        name: &str,
        heads: usize,
        width: usize,
        parameters: &Parameters<'_>,
    ) -> Result<Self, GnnError> {
        let weight = parameters.get(&format!("{name}.in_proj_weight"))?;
        let bias = parameters.get(&format!("{name}.in_proj_bias"))?;
        let output = parameters.linear(&format!("{name}.out_proj"))?;
        let head = width / heads;
        let scale = 1.0 / (head as f32).sqrt();
        let (query, rest) = weight.split_at(width * width);
        let (key, value) = rest.split_at(width * width);
        let scaled = |numbers: &[f32]| numbers.iter().map(|number| number * scale).collect::<Vec<_>>();
        let query = Linear::new(&scaled(query), width, width, Some(&scaled(&bias[..width])));
        let keys =
            key.chunks_exact(head * width).map(|rows| Linear::from_transposed(rows, head, width)).collect();
        let values =
            value.chunks_exact(head * width).map(|rows| Linear::new(rows, head, width, None)).collect();
        let values_bias = bias[2 * width..].to_vec();
        Ok(Self { heads, width, query, keys, values, values_bias, output }.composed())
    }

    /// With one head, the maps of queries and keys are one, and those of values and output.
    fn composed(mut self) -> Self {
        if self.heads == 1
            && let (Some(key), Some(mut value)) = (self.keys.pop(), self.values.pop())
        {
            value.bias = Some(std::mem::take(&mut self.values_bias));
            self.query = key.after(&self.query);
            self.output = self.output.after(&value);
        }
        self
    }

    /// Prepares what the rows of `x` ask.
    pub(super) fn ask(&self, x: &[f32], buffers: &mut Buffers) {
        let count = x.len() / self.width;
        buffers.asked.resize(x.len() * self.heads, 0.0);
        buffers.found.resize(x.len() * self.heads, 0.0);
        if self.keys.is_empty() {
            self.query.apply(x, &mut buffers.asked);
            return;
        }
        buffers.queries.resize(count * self.width, 0.0);
        self.query.apply(x, &mut buffers.queries);
        buffers.asked.fill(0.0);
        for (head, key) in self.keys.iter().enumerate() {
            key.add_columns(
                (&buffers.queries, self.width, head * key.input),
                (&mut buffers.asked, self.heads * self.width, head * self.width),
            );
        }
    }

    /// Has row `row` of those that asked attend to rows of a table.
    pub(super) fn attend(&self, row: usize, table: Table<'_>, sources: &[u32], buffers: &mut Buffers) {
        let Buffers { asked, found, shares, .. } = buffers;
        shares.resize(sources.len(), 0.0);
        let all = self.heads * self.width;
        let asked = asked[row * all..][..all].chunks_exact(self.width);
        for (asked, found) in asked.zip(found[row * all..][..all].chunks_exact_mut(self.width)) {
            dots(asked, table, sources, shares);
            softmax(shares);
            found.fill(0.0);
            add_rows(found, table, sources, shares);
        }
    }

    /// `out += output(values of what was found)`, for all rows that asked.
    pub(super) fn add_found(&self, buffers: &mut Buffers, out: &mut [f32]) {
        if self.values.is_empty() {
            self.output.add(&buffers.found, out);
        } else {
            let Buffers { found, values, .. } = buffers;
            values.clear();
            for _ in 0..out.len() / self.output.output {
                values.extend_from_slice(&self.values_bias);
            }
            for (head, value) in self.values.iter().enumerate() {
                value.add_columns(
                    (found, self.heads * self.width, head * self.width),
                    (values, self.width, head * value.output),
                );
            }
            self.output.add(values, out);
        }
        self.output.add_bias(out);
    }
}
