//! Online routing: a model scores the links of every node that a search expands.
//!
//! The model runs at each hop, so it pays where it saves far more distances than it costs, or where distances are dear
//! (long vectors, pages that have to be read). The keys of [`crate::routing`] serve the same end without a model
//! at each hop.
//!
//! - [`EdgeScorer`] is what a model has to do: [`LinearScorer`] does it in plain Rust, and with the feature `onnx` any ONNX
//!   model of its contract (`GnnRoutingPolicy::from_onnx`).
//! - [`FeatureExtractor`] reads what models see of a [`Graph`]: vectors, links and, where they are stored and fresh, the
//!   graph features; [`FeatureCache`] keeps what does not depend on the query.
//! - [`GnnRoutingPolicy`] ties both to a [`RoutingConfig`] and searches. Whatever goes wrong on its side (an error, a NaN,
//!   a budget that is used up), the query is answered greedily, with exactly the answer of greedy search.

mod cache;
mod config;
mod error;
mod extractor;
mod features;
mod graph;
mod layout;
mod linear;
mod metrics;
mod policy;
mod reference;
mod scorer;
mod scoring;
mod search;
mod select;

pub use cache::FeatureCache;
pub use config::{Budget, RoutingConfig};
pub use error::{PolicyError, ScoreError};
pub use extractor::FeatureExtractor;
pub use features::{EdgeFeatures, NodeFeatures};
pub use graph::Graph;
pub use layout::{EDGE_NUMBERS, Layout, NODE_NUMBERS};
pub use linear::{Gap, LinearScorer};
pub use metrics::PolicyMetrics;
pub use policy::GnnRoutingPolicy;
pub use scorer::EdgeScorer;
pub use scoring::EdgeScore;
pub use search::Guided;
