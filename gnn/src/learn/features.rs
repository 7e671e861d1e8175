//! Features of nodes, dense or sparse.

use crate::layers::{GnnError, Matrix, NodeFeatures};

/// A sparse matrix by row: bags of words, for example.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseMatrix {
    cols: usize,
    indptr: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl SparseMatrix {
    /// From compressed rows: row `i` has `values[k]` in column `columns[k]` for `k` in `indptr[i]..indptr[i + 1]`.
    /// Entries of the same place add up.
    ///
    /// # Errors
    /// [`GnnError::Config`] where `indptr` does not rise from 0 to the number of values or a column is not there,
    /// [`GnnError::Shape`] where columns and values are not as many, [`GnnError::NotFinite`] for NaN and infinities.
    pub fn new(
        cols: usize,
        indptr: Vec<usize>,
        columns: Vec<u32>,
        values: Vec<f32>,
    ) -> Result<SparseMatrix, GnnError> {
        if columns.len() != values.len() {
            let what = "values of a sparse matrix";
            return Err(GnnError::Shape { what, expected: columns.len(), got: values.len() });
        }
        let rises = indptr.first() == Some(&0)
            && indptr.last() == Some(&values.len())
            && indptr.windows(2).all(|pair| pair[0] <= pair[1])
            && u32::try_from(values.len()).is_ok();
        if !rises {
            return Err(GnnError::Config {
                name: "indptr",
                got: format!("{} offsets, the last {:?}", indptr.len(), indptr.last()),
                expected: format!("offsets that rise from 0 to the {} values, fewer than 2^32", values.len()),
            });
        }
        if let Some(column) = columns.iter().find(|column| **column as usize >= cols) {
            let expected = format!("columns 0 to {cols} (exclusive)");
            return Err(GnnError::Config { name: "columns", got: column.to_string(), expected });
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(GnnError::NotFinite { what: "value of sparse matrix", index, got: values[index] });
        }
        Ok(SparseMatrix { cols, indptr, columns, values })
    }

    /// With each row divided by the sum of its values, where that is not 0.
    #[must_use]
    pub fn row_normalised(mut self) -> SparseMatrix {
        for row in self.indptr.windows(2) {
            let values = &mut self.values[row[0]..row[1]];
            let sum: f32 = values.iter().sum();
            if sum != 0.0 {
                values.iter_mut().for_each(|value| *value /= sum);
            }
        }
        self
    }

    pub(super) fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    pub(super) fn columns(&self) -> &[u32] {
        &self.columns
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }
}

impl NodeFeatures for SparseMatrix {
    fn rows(&self) -> usize {
        self.indptr.len() - 1
    }

    fn width(&self) -> usize {
        self.cols
    }

    fn read(&self, node: u32, out: &mut [f32]) -> Result<(), GnnError> {
        let at = node as usize;
        if at >= self.rows() {
            return Err(GnnError::MissingNode { edge: 0, node, nodes: self.rows() as u32 });
        }
        out.fill(0.0);
        for entry in self.indptr[at]..self.indptr[at + 1] {
            out[self.columns[entry] as usize] += self.values[entry];
        }
        Ok(())
    }
}

/// Features to train on; row `i` belongs to node `i`.
#[derive(Clone, Copy, Debug)]
pub enum Features<'f> {
    /// Rows of numbers.
    Dense(&'f Matrix),
    /// Rows that are mostly 0.
    Sparse(&'f SparseMatrix),
}

impl Features<'_> {
    pub(super) fn rows(&self) -> usize {
        match self {
            Features::Dense(matrix) => matrix.rows(),
            Features::Sparse(matrix) => matrix.rows(),
        }
    }

    pub(super) fn width(&self) -> usize {
        match self {
            Features::Dense(matrix) => matrix.cols(),
            Features::Sparse(matrix) => matrix.width(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed call fails the test")]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_normalised() {
        let matrix =
            SparseMatrix::new(3, vec![0, 2, 2, 4], vec![2, 0, 1, 1], vec![1.0, 3.0, 1.0, 1.0]).unwrap();
        let matrix = matrix.row_normalised();
        let expected = [[0.75, 0.0, 0.25], [0.0; 3], [0.0, 1.0, 0.0]];
        for (node, expected) in (0..3).zip(expected) {
            let mut row = [9.0; 3];
            matrix.read(node, &mut row).unwrap();
            assert_eq!(row, expected);
        }
        assert!(matches!(matrix.read(3, &mut [0.0; 3]), Err(GnnError::MissingNode { node: 3, .. })));
    }

    #[test]
    fn damaged_rows_are_refused() {
        let new = |indptr: &[usize], columns: &[u32], values: &[f32]| {
            SparseMatrix::new(3, indptr.to_vec(), columns.to_vec(), values.to_vec()).unwrap_err()
        };
        assert!(matches!(new(&[0, 1], &[3], &[1.0]), GnnError::Config { name: "columns", .. }));
        assert!(matches!(new(&[0, 2], &[1], &[1.0]), GnnError::Config { name: "indptr", .. }));
        assert!(matches!(new(&[], &[], &[]), GnnError::Config { name: "indptr", .. }));
        assert!(matches!(new(&[0, 1], &[1], &[]), GnnError::Shape { .. }));
        assert!(matches!(new(&[0, 1], &[1], &[f32::NAN]), GnnError::NotFinite { .. }));
    }
}
