//! Row-major `f32` vectors, as every engine here takes them.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Immutable row-major vectors. `id` names the contents within this process, so that something which keeps
/// a copy of them elsewhere (the Python worker) needs only one.
pub(crate) struct Matrix {
    id: u64,
    dim: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// Takes rows of `dim` values laid end to end. A trailing partial row would be dropped, so callers give whole rows.
    pub(crate) fn new(values: Vec<f32>, dim: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        assert!(dim > 0 && values.len().is_multiple_of(dim), "{} values in rows of {dim}", values.len());
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), dim, values }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.dim
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.dim..(row + 1) * self.dim]
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Copies `rows` into a matrix of their own.
    pub(crate) fn copy_rows(&self, rows: Range<usize>) -> Self {
        Self::new(self.values[rows.start * self.dim..rows.end * self.dim].to_vec(), self.dim)
    }
}
