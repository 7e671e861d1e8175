//! What can go wrong in training a model of layers.

use crate::layers::GnnError;

/// An error of training. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// A graph, a description, weights or an option that cannot be used.
    #[error(transparent)]
    Gnn(#[from] GnnError),
    /// A label that the model has no output for.
    #[error(
        "node {node} has label {got}, the model has outputs for labels 0 to {classes} (exclusive): raise output_dim"
    )]
    Label {
        /// The node.
        node: u32,
        /// Its label.
        got: u32,
        /// Outputs of the model.
        classes: usize,
    },
    /// Nodes or links to learn from or to judge by that are none.
    #[error("there are no {what}: expected at least one")]
    Empty {
        /// What is missing.
        what: &'static str,
    },
    /// The same nodes or links in two parts of a split: what is judged by would be learned from.
    #[error("{item} is both in {first} and in {second}: each may be in one part of the split only")]
    Overlap {
        /// Which node or link.
        item: String,
        /// The part it came up in first.
        first: &'static str,
        /// The part it came up in again.
        second: &'static str,
    },
    /// A node of a split that the graph does not have.
    #[error("{part} names node {node}, the graph has nodes 0 to {nodes} (exclusive)")]
    MissingNode {
        /// The part of the split.
        part: &'static str,
        /// The node.
        node: u32,
        /// Nodes of the graph.
        nodes: u32,
    },
    /// A graph in which too few pairs of nodes are not linked to draw negatives from.
    #[error("{got} of {wanted} pairs without a link were found: the graph is too dense to learn links from")]
    TooDense {
        /// Pairs that were asked for.
        wanted: usize,
        /// Pairs that were found.
        got: usize,
    },
    /// A graph that full-batch training has not the memory for.
    #[error(
        "an epoch would take about {needed} bytes, memory_bytes allows {limit}: raise it, or train a narrower model or \
         on a sampled subgraph"
    )]
    Memory {
        /// Bytes that an epoch would take, estimated.
        needed: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// The loss is not a number any more.
    #[error("the loss is {loss} in epoch {epoch}: lower the learning rate, or normalise the features")]
    Diverged {
        /// The epoch.
        epoch: usize,
        /// The loss.
        loss: f32,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The tensors of the network.
    #[error("computing a gradient failed: {source}")]
    Tensor {
        /// What the tensor library reported.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<candle_core::Error> for LearnError {
    fn from(source: candle_core::Error) -> LearnError {
        LearnError::Tensor { source: Box::new(source) }
    }
}
