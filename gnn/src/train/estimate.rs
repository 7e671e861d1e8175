//! The estimate of a key model in plain floating point: what the kernels of the search are compared with.

use rayon::prelude::*;

use crate::routing::KeyModel;

use super::matrix::Matrix;
use super::neighborhood::RoutingVectors;
use super::quantizer::reconstruct;
use super::vectors::{dot, squared_length};

/// The largest code of a bias.
const MAX_BIAS: f32 = u16::MAX as f32;

/// A model, its projections as matrices.
pub(super) struct Estimator<'m> {
    model: &'m KeyModel,
    nodes: Matrix,
    queries: Matrix,
}

/// What the keys of some nodes say of them.
pub(super) struct Keys {
    /// `rec`, a row a node.
    pub(super) kept: Matrix,
    /// The biases, as precise as their codes.
    pub(super) biases: Vec<f32>,
}

/// A query as keys are scored with it.
pub(super) struct EncodedQuery {
    pub(super) coordinates: Vec<f32>,
    /// Terms that do not depend on the node.
    constant: f32,
}

impl<'m> Estimator<'m> {
    pub(super) fn new(model: &'m KeyModel) -> Estimator<'m> {
        let projection =
            |data: &Vec<f32>| Matrix { rows: model.coordinates(), cols: model.dim, data: data.clone() };
        Estimator { model, nodes: projection(&model.nodes), queries: projection(&model.queries) }
    }

    /// The keys of nodes, whose coordinates have `corrections` added where there are any.
    pub(super) fn keys(&self, nodes: &RoutingVectors, corrections: Option<&[f32]>) -> Keys {
        let kept = self.kept(&nodes.centred, corrections);
        let biases = self.biases(nodes, &kept).into_iter().map(|bias| {
            let code = ((bias - self.model.bias_base) / self.model.bias_step).round().clamp(0.0, MAX_BIAS);
            self.model.bias_base + self.model.bias_step * code
        });
        Keys { biases: biases.collect(), kept }
    }

    /// What the slots keep of the coordinates of rows `x' − μ`, with `corrections` added where there are any.
    pub(super) fn kept(&self, centred: &Matrix, corrections: Option<&[f32]>) -> Matrix {
        let mut coordinates = centred.products(&self.nodes);
        if let Some(corrections) = corrections {
            coordinates.data.iter_mut().zip(corrections).for_each(|(x, correction)| *x += correction);
        }
        let mut kept = Matrix::zeros(coordinates.rows, coordinates.cols);
        let cols = coordinates.cols.max(1);
        let rows = kept.data.par_chunks_exact_mut(cols).zip(coordinates.data.par_chunks_exact(cols));
        rows.for_each(|(kept, coordinates)| reconstruct(&self.model.slots, coordinates, kept));
        kept
    }

    /// The biases of nodes, of whose coordinates `kept` is what the slots keep.
    pub(super) fn biases(&self, nodes: &RoutingVectors, kept: &Matrix) -> Vec<f32> {
        let KeyModel { kappa, nu, .. } = *self.model;
        let missing = if nu == 0.0 { vec![0.0; kept.rows] } else { self.missing(nodes, kept) };
        let rows = kept.iter().map(squared_length).zip(&nodes.lengths).zip(missing);
        rows.map(|((kept, length), missing)| kept + kappa * (length - kept) + nu * missing).collect()
    }

    /// `u` of nodes, see [`KeyModel`].
    pub(super) fn missing(&self, nodes: &RoutingVectors, kept: &Matrix) -> Vec<f32> {
        let queried = nodes.means.products(&self.queries);
        let rows = queried.iter().zip(kept.iter()).zip(nodes.means.iter().zip(nodes.centred.iter()));
        rows.map(|((queried, kept), (mean, centred))| 2.0 * (dot(queried, kept) - dot(mean, centred)))
            .collect()
    }

    /// Encodes `q − μ`.
    pub(super) fn query(&self, centred: &[f32]) -> EncodedQuery {
        EncodedQuery {
            coordinates: self.queries.iter().map(|row| dot(row, centred)).collect(),
            constant: squared_length(centred)
                + dot(&self.model.query_linear, centred)
                + self.model.query_constant,
        }
    }
}

impl Keys {
    /// The estimate of a node.
    pub(super) fn estimate(&self, query: &EncodedQuery, row: usize) -> f32 {
        query.constant + self.biases[row] - 2.0 * dot(&query.coordinates, self.kept.row(row))
    }
}
