//! Distances and an HNSW graph that lives in the blocks of a redknot file.
//! This crate knows graphs, not models.

mod build;
mod distance;
mod element;
mod error;
mod features;
mod mem_graph;
mod metric;
mod record;
mod reorder;
mod rows;
mod search;
mod stored;
mod vector;

pub use build::{BuildParams, Builder, OnLinked};
pub use distance::{Isa, Kernel, UnsupportedPair};
pub use element::{Element, MAX_DIM, row_bytes};
pub use error::Error;
pub use features::{
    Betweenness, BetweennessOptions, CONFIDENCE, EdgeFeatures, FeatureFinding, FeaturePhase, FeatureProgress,
    FeatureReader, FeatureRecord, Features, Freshness, NodeFeatures, OnFeatureProgress, Precision, Refreshed,
    Undirected, betweenness, clustering, compute_features, local_features, refresh_features, verify_features,
};
pub use mem_graph::MemGraph;
pub use metric::{Metric, UnknownName};
pub use record::{IndexConfig, IndexRecord};
pub use reorder::Permutation;
pub use rows::VectorRows;
pub use search::{Candidates, Frontier, Nearest, Neighbor, Scratch, ScratchPool, Trace, Visited};
pub use stored::{
    BuildOptions, BuildPhase, BuildProgress, Built, Finding, Found, OnProgress, Probe, Reader, Save,
    SearchParams, Writer, build, count_links, nodes_by_level, nodes_in_use, verify,
};
pub use vector::{VectorError, VectorRef, decode, decode_into, encode};
