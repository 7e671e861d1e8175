//! Dense rows of numbers.

use super::GnnError;

/// A row-major matrix: row `i` is `data[i * cols..(i + 1) * cols]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    data: Vec<f32>,
}

impl Matrix {
    /// A matrix over `data`, which holds `rows × cols` numbers.
    ///
    /// # Errors
    /// [`GnnError::Shape`] when it holds more or fewer.
    pub fn new(rows: usize, cols: usize, data: Vec<f32>) -> Result<Self, GnnError> {
        match rows.checked_mul(cols) {
            Some(expected) if expected == data.len() => Ok(Self { rows, cols, data }),
            expected => Err(GnnError::Shape {
                what: "numbers of a matrix",
                expected: expected.unwrap_or(usize::MAX),
                got: data.len(),
            }),
        }
    }

    /// `rows × cols` zeros.
    ///
    /// # Panics
    /// When `rows × cols` numbers are more than memory can address.
    #[must_use]
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, data: vec![0.0; rows * cols] }
    }

    /// A matrix in the memory of `spare`, whose numbers it has until they are written over.
    pub(super) fn reusing(mut spare: Vec<f32>, rows: usize, cols: usize) -> Self {
        spare.resize(rows * cols, 0.0);
        Self { rows, cols, data: spare }
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in a row.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// All numbers, row after row.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// All numbers, to be written.
    #[must_use]
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// One row.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.cols..(row + 1) * self.cols]
    }

    /// The numbers, without the shape.
    #[must_use]
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }
}
