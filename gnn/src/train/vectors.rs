//! Reading vectors in the form that squared distances are computed in.

use std::ops::Range;

use rayon::prelude::*;
use redknot_index::Metric;

use super::matrix::Matrix;
use super::{Corpus, TrainError};
pub(super) use crate::routing::sums::dot;
use crate::routing::sums::sum;

/// Fewer linked nodes than this are scanned faster than routed.
pub(super) const MIN_NODES: usize = 256;

/// A corpus whose vectors have length 1 under cosine: there ‖a − b‖² is twice the cosine distance.
pub(super) struct Vectors<'c, C> {
    pub(super) corpus: &'c C,
    unit: bool,
}

impl<C> Clone for Vectors<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Vectors<'_, C> {}

impl<'c, C: Corpus> Vectors<'c, C> {
    pub(super) fn new(corpus: &'c C) -> Result<Vectors<'c, C>, TrainError> {
        Ok(Vectors { corpus, unit: is_unit(corpus.metric())? })
    }

    pub(super) fn dim(&self) -> usize {
        self.corpus.dim()
    }

    pub(super) fn read(&self, node: u32, out: &mut [f32]) -> Result<(), TrainError> {
        self.corpus.read_vector(node, out)?;
        if self.unit {
            normalize(out);
        }
        Ok(())
    }

    /// The vectors of some nodes less `mean`, a row each; zeros of those that are not in the graph.
    pub(super) fn centred(&self, nodes: Range<u32>, mean: &[f32]) -> Result<Matrix, TrainError> {
        let mut rows = Matrix::zeros(nodes.len(), self.dim());
        let tasks = rows.data.par_chunks_exact_mut(self.dim()).zip(nodes);
        tasks.try_for_each(|(row, node)| {
            if self.corpus.is_linked(node)? {
                self.read(node, row)?;
                row.iter_mut().zip(mean).for_each(|(x, mean)| *x -= mean);
            }
            Ok::<_, TrainError>(())
        })?;
        Ok(rows)
    }

    /// The nodes in the graph, ascending.
    pub(super) fn linked(&self) -> Result<Vec<u32>, TrainError> {
        let mut linked = Vec::with_capacity(self.corpus.nodes() as usize);
        for node in 0..self.corpus.nodes() {
            if self.corpus.is_linked(node)? {
                linked.push(node);
            }
        }
        if linked.len() < MIN_NODES {
            return Err(TrainError::TooFewNodes { got: linked.len(), min: MIN_NODES });
        }
        Ok(linked)
    }
}

/// Whether vectors are scaled to length 1 under this metric.
pub(super) fn is_unit(metric: Metric) -> Result<bool, TrainError> {
    match metric {
        Metric::L2 => Ok(false),
        Metric::Cosine => Ok(true),
        got => Err(TrainError::Metric { got }),
    }
}

/// Scales a vector to length 1; a zero vector stays.
pub(super) fn normalize(vector: &mut [f32]) {
    let length = squared_length(vector).sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
}

/// `‖a‖²`.
pub(super) fn squared_length(a: &[f32]) -> f32 {
    dot(a, a)
}

/// `‖a − b‖²`.
pub(super) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    sum(a, b, |a, b| (a - b) * (a - b))
}
