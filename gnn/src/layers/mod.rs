//! Layers of graph neural networks over graphs that are read where they are kept.
//!
//! A [`ModelDescription`] says what a model is, [`Weights`] hold its parameters under the names that PyTorch Geometric
//! has for them, and for the same weights the numbers that come out are PyTorch Geometric's. Graphs are seen through
//! [`Adjacency`] and rows of features through [`NodeFeatures`]: [`Graph`] and [`Matrix`] keep them in memory, and
//! nothing here knows what a file is. Messages flow from the source of an edge to its target.

#![cfg_attr(
    not(feature = "gnn-all"),
    allow(dead_code, reason = "layers share kernels, and not all are built")
)]

mod adjacency;
mod aggregator;
mod attention;
mod convolution;
mod degree;
mod description;
mod error;
mod field;
#[cfg(feature = "gnn-gat")]
mod gat;
#[cfg(feature = "gnn-gcn")]
mod gcn;
#[cfg(feature = "gnn-gin")]
mod gin;
mod graph;
mod initialise;
mod layer_description;
mod linear;
mod lstm;
mod matrix;
mod mean;
mod model;
mod progress;
mod propagate;
mod rows;
mod ruvector;
#[cfg(feature = "gnn-sage")]
mod sage;
mod sample;
mod self_loops;
mod vector;
mod weights;
mod with_query;

pub use adjacency::{Adjacency, Edges, NodeFeatures};
pub use aggregator::{Aggregator, AggregatorDescription, AggregatorScratch};
pub use convolution::sparse_mm;
pub use description::{Activation, LayerType, ModelDescription, SageAggregator};
pub use error::GnnError;
pub use graph::Graph;
pub use layer_description::{
    GatDescription, GcnDescription, GinDescription, LayerDescription, RuVectorDescription, SageDescription,
};
pub use matrix::Matrix;
pub use model::Model;
pub use progress::{OnProgress, Options, Progress};
pub use propagate::{Convolution, EdgeData, MessagePassing, MessagePassingEngine};
pub use weights::{Tensor, Weights};
pub use with_query::WithQuery;
