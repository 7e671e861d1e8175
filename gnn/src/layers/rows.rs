//! Rows of features, lent where they lie in memory and read into a buffer where they do not.

use rayon::prelude::*;

use super::vector::{Table, add_rows, add_scaled, first_not_finite};
use super::{Adjacency, Edges, GnnError, NodeFeatures};

/// Rows of features by node.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    features: &'a dyn NodeFeatures,
    contiguous: Option<&'a [f32]>,
    pub(super) count: usize,
    pub(super) width: usize,
}

impl<'a> Rows<'a> {
    /// The rows of `nodes` nodes, `width` numbers each.
    pub(super) fn new(features: &'a dyn NodeFeatures, nodes: usize, width: usize) -> Result<Self, GnnError> {
        if features.width() != width {
            return Err(GnnError::Shape {
                what: "numbers in a row of features",
                expected: width,
                got: features.width(),
            });
        }
        if features.rows() < nodes {
            return Err(GnnError::Shape { what: "rows of features", expected: nodes, got: features.rows() });
        }
        let contiguous = features.contiguous();
        if let Some(rows) = contiguous.filter(|rows| rows.len() != features.rows() * width) {
            let expected = features.rows() * width;
            return Err(GnnError::Shape {
                what: "numbers in contiguous features",
                expected,
                got: rows.len(),
            });
        }
        Ok(Self { features, contiguous, count: features.rows(), width })
    }

    /// One row for each node of the graph, no more and no fewer.
    pub(super) fn of_all(
        features: &'a dyn NodeFeatures,
        graph: &dyn Adjacency,
        width: usize,
    ) -> Result<Self, GnnError> {
        let expected = graph.nodes() as usize;
        if features.rows() != expected {
            return Err(GnnError::Shape { what: "rows of features", expected, got: features.rows() });
        }
        Self::new(features, expected, width)
    }

    /// Refuses NaN and infinities among rows in memory; rows that are read are checked as they come.
    pub(super) fn check_finite(&self) -> Result<(), GnnError> {
        let Some(rows) = self.contiguous else { return Ok(()) };
        let wrong = rows
            .par_chunks(1 << 14)
            .enumerate()
            .filter_map(|(chunk, numbers)| Some((chunk << 14) + first_not_finite(numbers)?))
            .min();
        match wrong {
            Some(at) => {
                Err(GnnError::NotFinite { what: "feature of node", index: at / self.width, got: rows[at] })
            }
            None => Ok(()),
        }
    }

    /// One row, through `buffer` where it has to be read.
    pub(super) fn row<'s>(&'s self, node: u32, buffer: &'s mut Vec<f32>) -> Result<&'s [f32], GnnError> {
        if let Some(rows) = self.contiguous {
            return Ok(&rows[node as usize * self.width..][..self.width]);
        }
        buffer.resize(self.width, 0.0);
        self.read_checked(node, buffer)?;
        Ok(buffer)
    }

    /// The rows from `first` on, as many as `count`, through `buffer` where they have to be read.
    pub(super) fn range<'s>(
        &'s self,
        first: u32,
        count: usize,
        buffer: &'s mut Vec<f32>,
    ) -> Result<&'s [f32], GnnError> {
        if let Some(rows) = self.contiguous {
            return Ok(&rows[first as usize * self.width..][..count * self.width]);
        }
        buffer.resize(count * self.width, 0.0);
        for (row, node) in buffer.chunks_exact_mut(self.width).zip(first..) {
            self.read_checked(node, row)?;
        }
        Ok(buffer)
    }

    /// The rows of `nodes` one after the other, copied into `buffer`.
    pub(super) fn copy(&self, nodes: &[u32], buffer: &mut Vec<f32>) -> Result<(), GnnError> {
        buffer.resize(nodes.len() * self.width, 0.0);
        for (row, &node) in buffer.chunks_exact_mut(self.width).zip(nodes) {
            match self.contiguous {
                Some(rows) => row.copy_from_slice(&rows[node as usize * self.width..][..self.width]),
                None => self.read_checked(node, row)?,
            }
        }
        Ok(())
    }

    /// A table of the rows that `sources` name: of all rows where these lie in memory, and of copies in `buffer` where
    /// they do not; `sources` are then numbered anew.
    pub(super) fn table<'s>(
        &'s self,
        sources: &mut [u32],
        buffer: &'s mut Vec<f32>,
    ) -> Result<Table<'s>, GnnError> {
        let numbers = match self.contiguous {
            Some(rows) => rows,
            None => {
                self.copy(sources, buffer)?;
                sources.iter_mut().zip(0..).for_each(|(source, at)| *source = at);
                buffer
            }
        };
        Ok(Table { numbers, stride: self.width, first: 0 })
    }

    /// `out = Σ weights[e] × row(sources[e])`.
    pub(super) fn weighted_sum(
        &self,
        edges: &Edges,
        buffer: &mut Vec<f32>,
        out: &mut [f32],
    ) -> Result<(), GnnError> {
        out.fill(0.0);
        if let Some(rows) = self.contiguous {
            let table = Table { numbers: rows, stride: self.width, first: 0 };
            add_rows(out, table, &edges.sources, &edges.weights);
            return Ok(());
        }
        for (&source, &weight) in edges.sources.iter().zip(&edges.weights) {
            add_scaled(out, weight, self.row(source, buffer)?);
        }
        Ok(())
    }

    fn read_checked(&self, node: u32, row: &mut [f32]) -> Result<(), GnnError> {
        self.features.read(node, row)?;
        match first_not_finite(row) {
            Some(at) => {
                Err(GnnError::NotFinite { what: "feature of node", index: node as usize, got: row[at] })
            }
            None => Ok(()),
        }
    }
}
