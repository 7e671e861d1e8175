//! Policies that follow an ONNX model.

use std::path::Path;

use redknot_index::Metric;

use super::OnnxEdgeModel;
use crate::online::{EdgeScorer, GnnRoutingPolicy, PolicyError, RoutingConfig, ScoreError};

impl EdgeScorer for OnnxEdgeModel {
    fn node_dim(&self) -> usize {
        OnnxEdgeModel::node_dim(self)
    }

    fn edge_dim(&self) -> usize {
        OnnxEdgeModel::edge_dim(self)
    }

    fn query_dim(&self) -> usize {
        OnnxEdgeModel::query_dim(self)
    }

    fn metric(&self) -> Option<Metric> {
        OnnxEdgeModel::metric(self)
    }

    fn score(
        &self,
        node_features: &[f32],
        edge_features: &[f32],
        query: &[f32],
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError> {
        let scored = OnnxEdgeModel::score(self, node_features, edge_features, query, scores);
        scored.map_err(|error| ScoreError::Failed { source: Box::new(error) })
    }
}

impl GnnRoutingPolicy {
    /// A policy that follows the ONNX model of a file: see [`OnnxEdgeModel`] for its contract and
    /// [`crate::online::Layout`] for what its inputs mean.
    ///
    /// # Errors
    /// [`PolicyError::Onnx`] for a file that cannot be run, otherwise as [`GnnRoutingPolicy::new`].
    pub fn from_onnx(path: impl AsRef<Path>, config: RoutingConfig) -> Result<GnnRoutingPolicy, PolicyError> {
        GnnRoutingPolicy::new(OnnxEdgeModel::open(path)?, config)
    }
}
