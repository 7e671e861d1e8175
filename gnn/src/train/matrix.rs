//! A dense matrix, row by row.

use nalgebra::{DMatrixView, DMatrixViewMut};
use rayon::prelude::*;

/// Rows of a product that one thread takes on at a time.
const ROWS_PER_TASK: usize = 256;

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

    pub(super) fn transposed(&self) -> Matrix {
        let mut transposed = Matrix::zeros(self.cols, self.rows);
        for (at, row) in self.iter().enumerate() {
            row.iter().enumerate().for_each(|(col, &x)| transposed.data[col * self.rows + at] = x);
        }
        transposed
    }

    /// `self · otherᵀ`: the products of the rows of both.
    pub(super) fn products(&self, other: &Matrix) -> Matrix {
        self.times(&other.transposed())
    }

    /// `self · other`, on the threads of the current pool.
    pub(super) fn times(&self, other: &Matrix) -> Matrix {
        let mut product = Matrix::zeros(self.rows, other.cols);
        if !product.data.is_empty() && self.cols > 0 {
            let tasks = product.data.par_chunks_mut(ROWS_PER_TASK * other.cols);
            let tasks = tasks.zip(self.data.par_chunks(ROWS_PER_TASK * self.cols));
            tasks.for_each(|(to, rows)| multiply(to, rows, other));
        }
        product
    }
}

/// `to = rows · other`, row by row, on this thread. There is at least one row, and `other` is not empty.
pub(super) fn multiply(to: &mut [f32], rows: &[f32], other: &Matrix) {
    let (inner, cols) = (other.rows, other.cols);
    let count = rows.len() / inner;
    // nalgebra reads column by column: what is row by row here is transposed there, and so is the product.
    let rows = DMatrixView::from_slice(rows, inner, count);
    let other = DMatrixView::from_slice(&other.data, cols, inner);
    DMatrixViewMut::from_slice(to, cols, count).gemm(1.0, &other, &rows, 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_rows() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut random = |rows: usize, cols: usize| {
            let data = (0..rows * cols).map(|_| rng.f32() - 0.5).collect();
            Matrix { rows, cols, data }
        };
        for (rows, others, cols) in [(600, 33, 70), (3, 2, 1), (1, 300, 9), (0, 4, 5)] {
            let (a, b) = (random(rows, cols), random(others, cols));
            let products = a.products(&b);
            assert_eq!((products.rows, products.cols), (rows, others));
            for (row, products) in a.iter().zip(products.iter()) {
                for (other, product) in b.iter().zip(products) {
                    let expected: f32 = row.iter().zip(other).map(|(x, y)| x * y).sum();
                    assert!((product - expected).abs() < 1e-4, "{product} {expected}");
                }
            }
        }
    }
}
