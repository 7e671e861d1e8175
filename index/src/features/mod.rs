//! Graph features: what the shape of the base layer says of each node and of each link.
//!
//! | feature | of | defined on |
//! |---|---|---|
//! | degree | node | links of the node in the base layer, as they are stored: directed |
//! | level | node | its highest layer |
//! | clustering | node | the undirected graph: u ~ v where either links to the other |
//! | betweenness | node, link | the undirected, unweighted graph, normalised as NetworkX does |
//! | distance | link | the metric of the index |
//! | cosine | link | the two vectors, whatever the metric |
//! | cross-layer | link | whether the two ends have different levels |
//!
//! With σ(s,t) shortest paths between s and t, of which σ(s,t|x) lead through the node or edge x, and the sum over all
//! ordered pairs of linked nodes s ≠ t (≠ v), betweenness is Σ σ(s,t|v) / σ(s,t) / ((n−1)(n−2)) of a node and
//! Σ σ(s,t|e) / σ(s,t) / (n(n−1)) of an edge: the share of pairs that it lies between. A link and the link back are one
//! edge and have the same value.
//!
//! The measures themselves ([`Undirected`], [`clustering`], [`betweenness`]) work on plain compressed sparse rows;
//! [`compute_features`] reads these from a stored index, [`Features::store`] writes the result into arrays of the file,
//! [`refresh_features`] follows edits, and [`FeatureReader`] reads rows in place.

mod betweenness;
mod check;
mod clustering;
mod compute;
mod cosine;
mod local;
mod reader;
mod record;
mod refresh;
mod row;
mod store;
#[cfg(test)]
mod tests;
mod undirected;

use std::ops::ControlFlow;

pub use betweenness::{Betweenness, BetweennessOptions, CONFIDENCE, Precision, betweenness};
pub use check::{FeatureFinding, verify_features};
pub use clustering::clustering;
pub use compute::{Features, compute_features};
pub use local::local_features;
pub use reader::FeatureReader;
pub use record::{FeatureRecord, Freshness};
pub use refresh::{Refreshed, refresh_features};
pub use undirected::Undirected;

/// The features of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NodeFeatures {
    /// Nodes that it links to in the base layer.
    pub degree: u16,
    /// Highest layer that it is in; `None` for a node that is not linked or not in use, whose other features are 0.
    pub level: Option<u8>,
    /// Share of the pairs of its neighbours that are neighbours of each other, 0 to 1; 0 with fewer than two of them.
    pub clustering: f32,
    /// Share of the pairs of other nodes that it lies between on shortest paths, 0 to 1.
    pub betweenness: f32,
    /// Its links have changed since betweenness was computed, which keeps the value from before, 0 for a new node.
    pub is_stale: bool,
}

/// The features of a link of the base layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EdgeFeatures {
    /// The node that it leads to.
    pub target: u32,
    /// Distance of its two ends in the metric of the index.
    pub distance: f32,
    /// Cosine of the angle between the two vectors, −1 to 1; 0 where one of them is zero.
    pub cosine: f32,
    /// Share of all pairs of nodes that it lies between on shortest paths, 0 to 1; 0 for a link that is newer than the
    /// last computation.
    pub betweenness: f32,
    /// The two ends have different levels.
    pub is_cross_layer: bool,
}

/// What a computation of features is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeaturePhase {
    /// Clustering, distances and what else needs only the neighbourhood; counted in nodes.
    Local,
    /// Betweenness; counted in searches from a node through the whole graph.
    Betweenness,
}

/// How far a computation of features is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeatureProgress {
    /// What it is doing.
    pub phase: FeaturePhase,
    /// Nodes or searches done in this phase.
    pub done: usize,
    /// Those of this phase in all.
    pub total: usize,
}

/// Told how far a computation is, from any thread; breaking cancels it.
pub type OnFeatureProgress<'p> = &'p (dyn Fn(FeatureProgress) -> ControlFlow<()> + Sync);
