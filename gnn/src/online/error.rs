//! What can be wrong with a policy, a model, or one call of it.

use redknot_index::Metric;

/// Why a policy cannot be made, or a hop not be scored. A search that meets it is answered greedily.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A field of the configuration outside the range that works.
    #[error("{name} is {got}, expected {expected}")]
    Config {
        /// Which field.
        name: &'static str,
        /// Its value.
        got: String,
        /// What works.
        expected: String,
    },
    /// A model whose inputs are none that the features can fill.
    #[error(
        "the model takes node features of {node_dim}, edge features of {edge_dim} and a query of {query_dim} numbers: \
         for vectors of n components they are n + 4, then 4 or (with the target's vector) n + 4, then n"
    )]
    Layout {
        /// Numbers of a node.
        node_dim: usize,
        /// Numbers of an edge.
        edge_dim: usize,
        /// Numbers of a query.
        query_dim: usize,
    },
    /// A model for vectors of another length.
    #[error(
        "the model is for vectors of {expected} components, the index has {got}: use one trained for this index"
    )]
    Dimension {
        /// Components that the model is for.
        expected: usize,
        /// Components of the vectors of the index.
        got: usize,
    },
    /// A model that was trained with distances of another kind.
    #[error(
        "the model was trained for metric {expected}, the index has {got}: use one trained for this index"
    )]
    Metric {
        /// The metric that the model is for.
        expected: Metric,
        /// The metric of the index.
        got: Metric,
    },
    /// A node that is not in the graph has no links to score.
    #[error("node {node} is not in the graph: pass nodes that are linked")]
    NotLinked {
        /// The node.
        node: u32,
    },
    /// Two nodes without a link from one to the other.
    #[error("node {source_node} does not link to node {target} in the base layer: pass links of the graph")]
    NoEdge {
        /// Where the link was to begin.
        source_node: u32,
        /// Where it was to end.
        target: u32,
    },
    /// A vector without a direction where only directions count, or one that is not finite.
    #[error("a vector or the query cannot be shown to the model: {0}")]
    Vector(#[from] crate::routing::ModelError),
    /// The model failed, or said what cannot be.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// The calls of the model took more than the budget of the query.
    #[error("inference took {spent_us} µs, the budget of the query is {allowed_us} µs")]
    OverBudget {
        /// Microseconds that the calls took so far.
        spent_us: u64,
        /// Microseconds that they may take.
        allowed_us: u64,
    },
    /// Selected links led to fewer rows than asked for.
    #[error("the selected links led to {got} rows, {expected} were asked for")]
    TooFew {
        /// Rows asked for.
        expected: usize,
        /// Rows found.
        got: usize,
    },
    /// An ONNX file that cannot be run.
    #[cfg(feature = "onnx")]
    #[error(transparent)]
    Onnx(#[from] crate::onnx::OnnxError),
    /// The index below.
    #[error(transparent)]
    Index(#[from] redknot_index::Error),
}

/// Why a model gave no usable scores.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// An input of another length than the model takes.
    #[error("{what} has {got} numbers, the model takes {expected}")]
    Shape {
        /// Which input.
        what: &'static str,
        /// Numbers that the model takes (a multiple of it, for edge features).
        expected: usize,
        /// Numbers that were given.
        got: usize,
    },
    /// More or fewer scores than edges.
    #[error("the model gave {got} scores for {expected} edges")]
    Count {
        /// Edges that were to be scored.
        expected: usize,
        /// Scores that came.
        got: usize,
    },
    /// A score that is no share: NaN, infinite, or outside 0 to 1.
    #[error("the score of edge {edge} is {got}, expected 0 to 1: the model's last step has to be a sigmoid")]
    Score {
        /// Which edge of the call.
        edge: usize,
        /// Its score.
        got: f32,
    },
    /// Weights that do not fit together, or are no numbers.
    #[error("{what}: got {got}, expected {expected}")]
    Weights {
        /// Which weights.
        what: &'static str,
        /// What they are.
        got: String,
        /// What would work.
        expected: String,
    },
    /// What runs the model failed.
    #[error("the model failed: {source}")]
    Failed {
        /// What it reported.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
