//! A dense matrix, row by row.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// `rows` × `cols` numbers, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrix {
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) data: Vec<f32>,
}

impl Matrix {
    pub(super) fn zeros(rows: usize, cols: usize) -> Matrix {
        Matrix { rows, cols, data: vec![0.0; rows * cols] }
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.cols..][..self.cols]
    }

    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.cols..][..self.cols]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[f32]> {
        (0..self.rows).map(|row| self.row(row))
    }

    /// The first `rows` rows.
    pub(super) fn truncated(mut self, rows: usize) -> Matrix {
        self.rows = self.rows.min(rows);
        self.data.truncate(self.rows * self.cols);
        self
    }

    pub(super) fn view(&self) -> MatRef<'_, f32> {
        MatRef::from_row_major_slice(&self.data, self.rows, self.cols)
    }

    pub(super) fn view_mut(&mut self) -> MatMut<'_, f32> {
        MatMut::from_row_major_slice_mut(&mut self.data, self.rows, self.cols)
    }

    pub(super) fn transposed(&self) -> Matrix {
        let mut transposed = Matrix::zeros(self.cols, self.rows);
        for (at, row) in self.iter().enumerate() {
            row.iter().enumerate().for_each(|(col, &x)| transposed.data[col * self.rows + at] = x);
        }
        transposed
    }

    /// `self · otherᵀ`: the products of the rows of both.
    pub(super) fn products(&self, other: &Matrix) -> Matrix {
        let mut products = Matrix::zeros(self.rows, other.rows);
        multiply(products.view_mut(), self.view(), other.view().transpose());
        products
    }
}

/// `to = a · b`, on the threads of the current pool.
pub(super) fn multiply(to: MatMut<'_, f32>, a: MatRef<'_, f32>, b: MatRef<'_, f32>) {
    matmul(to, Accum::Replace, a, b, 1.0, Par::rayon(0));
}
