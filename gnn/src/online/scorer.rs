//! What a model has to do.

use redknot_index::Metric;

use super::ScoreError;

/// A model that scores the links of one node for one query. Shared by all threads that search.
///
/// The tensors are those of an ONNX model with inputs `node_features [1, node_dim]`, `edge_features [E, edge_dim]` and
/// `query [1, query_dim]` and the output `edge_scores [E]`; [`crate::online::Layout`] says what their numbers mean.
pub trait EdgeScorer: Send + Sync {
    /// Numbers that describe a node.
    fn node_dim(&self) -> usize;

    /// Numbers that describe an edge.
    fn edge_dim(&self) -> usize;

    /// Numbers of a query.
    fn query_dim(&self) -> usize;

    /// The metric that it was trained for, where it is known: the distances that it is shown are those of the collection, and
    /// mean something else under another one.
    fn metric(&self) -> Option<Metric> {
        None
    }

    /// Replaces `scores` by one score from 0 to 1 for each of the E edges: the higher, the more it is worth following.
    /// `edge_features` holds the edges one behind the other, E · `edge_dim` numbers.
    ///
    /// # Errors
    /// [`ScoreError`] where there are none; the search is answered greedily then.
    fn score(
        &self,
        node_features: &[f32],
        edge_features: &[f32],
        query: &[f32],
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError>;
}

/// Checks the lengths of the inputs of `scorer`; the number of edges.
pub(super) fn check_inputs(
    scorer: &(impl EdgeScorer + ?Sized),
    node_features: &[f32],
    edge_features: &[f32],
    query: &[f32],
) -> Result<usize, ScoreError> {
    let shape = |what, expected, got| Err(ScoreError::Shape { what, expected, got });
    if node_features.len() != scorer.node_dim() {
        return shape("node_features", scorer.node_dim(), node_features.len());
    }
    if query.len() != scorer.query_dim() {
        return shape("query", scorer.query_dim(), query.len());
    }
    if !edge_features.len().is_multiple_of(scorer.edge_dim()) {
        return shape("edge_features", scorer.edge_dim(), edge_features.len());
    }
    Ok(edge_features.len() / scorer.edge_dim())
}
