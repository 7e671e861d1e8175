//! Linear maps of blocks of rows: `y = W x + b`, as `torch.nn.Linear`.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::progress::Pass;
use super::rows::Rows;
use super::vector::{add_to_rows, add_to_rows_relu, relu};
use super::{GnnError, Matrix, NodeFeatures};

/// A linear map. Its matrix is kept transposed, `[input × output]`: products then read rows on both sides.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    transposed: Vec<f32>,
    pub(super) bias: Option<Vec<f32>>,
    pub(super) input: usize,
    pub(super) output: usize,
}

impl Linear {
    /// The map of a matrix of `output` rows of `input` numbers.
    pub(super) fn new(weight: &[f32], output: usize, input: usize, bias: Option<&[f32]>) -> Self {
        let mut transposed = vec![0.0; input * output];
        for (o, row) in weight.chunks_exact(input).enumerate() {
            for (i, &number) in row.iter().enumerate() {
                transposed[i * output + o] = number;
            }
        }
        Self { transposed, bias: bias.map(<[f32]>::to_vec), input, output }
    }

    /// The map, without a bias, whose transposed matrix is `transposed`: `input` rows of `output` numbers.
    pub(super) fn from_transposed(transposed: &[f32], input: usize, output: usize) -> Self {
        Self { transposed: transposed.to_vec(), bias: None, input, output }
    }

    /// `out = W x + b` for each row of `x`.
    pub(super) fn apply(&self, x: &[f32], out: &mut [f32]) {
        self.multiply(x, out, Accum::Replace);
        self.add_bias(out);
    }

    /// `out = max(W x + b, 0)` for each row of `x`.
    pub(super) fn apply_relu(&self, x: &[f32], out: &mut [f32]) {
        self.multiply(x, out, Accum::Replace);
        self.add_bias_relu(out);
    }

    /// `out += W x` for each row of `x`: no bias.
    pub(super) fn add(&self, x: &[f32], out: &mut [f32]) {
        self.multiply(x, out, Accum::Add);
    }

    fn multiply(&self, x: &[f32], out: &mut [f32], accumulate: Accum) {
        let rows = out.len() / self.output;
        matmul(
            MatMut::from_row_major_slice_mut(out, rows, self.output),
            accumulate,
            MatRef::from_row_major_slice(x, rows, self.input),
            MatRef::from_row_major_slice(&self.transposed, self.input, self.output),
            1.0,
            Par::Seq,
        );
    }

    /// `out += W x` where `x` and `out` are columns of wider rows, from `x_first` and `out_first` on.
    pub(super) fn add_columns(
        &self,
        (x, x_width, x_first): (&[f32], usize, usize),
        (out, out_width, out_first): (&mut [f32], usize, usize),
    ) {
        let rows = out.len() / out_width;
        matmul(
            MatMut::from_row_major_slice_mut(out, rows, out_width).subcols_mut(out_first, self.output),
            Accum::Add,
            MatRef::from_row_major_slice(x, rows, x_width).subcols(x_first, self.input),
            MatRef::from_row_major_slice(&self.transposed, self.input, self.output),
            1.0,
            Par::Seq,
        );
    }

    /// The map that applies `first` and then this one. It is made in f64, so that it rounds once.
    pub(super) fn after(&self, first: &Self) -> Self {
        let wide = |map: &Self| {
            Mat::from_fn(map.input, map.output, |i, o| f64::from(map.transposed[i * map.output + o]))
        };
        let own = wide(self);
        let product = wide(first) * &own;
        let bias = (0..self.output).map(|o| {
            let through = first.bias.iter().flatten().enumerate().map(|(i, &b)| f64::from(b) * own[(i, o)]);
            let sum: f64 = through.sum();
            (sum + self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[o]))) as f32
        });
        Self {
            bias: (first.bias.is_some() || self.bias.is_some()).then(|| bias.collect()),
            transposed: (0..first.input)
                .flat_map(|i| (0..self.output).map(move |o| (i, o)))
                .map(|at| product[at] as f32)
                .collect(),
            input: first.input,
            output: self.output,
        }
    }

    /// The map of all rows of `x`, with `then` applied to each block, all in memory. The bias is left to `then`.
    pub(super) fn materialise(
        &self,
        pass: &Pass<'_>,
        x: Rows<'_>,
        then: impl Fn(&mut [f32]) + Sync,
    ) -> Result<Matrix, GnnError> {
        let mut out = pass.matrix(x.count, self.output);
        pass.blocks(out.data_mut(), self.output, |buffer: &mut Vec<f32>, first, out| {
            let count = out.len() / self.output;
            self.multiply(x.range(first, count, buffer)?, out, Accum::Replace);
            then(out);
            Ok(())
        })?;
        Ok(out)
    }

    /// Adds the bias to each row.
    pub(super) fn add_bias(&self, out: &mut [f32]) {
        if let Some(bias) = &self.bias {
            add_to_rows(out, bias);
        }
    }

    /// Adds the bias to each row, and cuts off what is below 0.
    pub(super) fn add_bias_relu(&self, out: &mut [f32]) {
        match &self.bias {
            Some(bias) => add_to_rows_relu(out, bias),
            None => relu(out),
        }
    }
}

/// Rows that a layer made for the next step, which are as many as the graph's nodes that are left to see.
pub(super) fn rows_of(made: &Matrix) -> Result<Rows<'_>, GnnError> {
    Rows::new(made, Matrix::rows(made), made.width())
}
