//! What training says of itself.

use crate::routing::KeyModel;

use super::options::Losses;
use super::quality::Quality;

/// A trained model and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The model.
    pub model: KeyModel,
    /// How it came about.
    pub report: TrainReport,
}

/// How a model came about.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TrainReport {
    /// Queries that were learned from.
    pub training_queries: usize,
    /// Queries that were held out.
    pub held_out_queries: usize,
    /// Queries of both that were compared with every node.
    pub exact_queries: usize,
    /// Whether the queries to learn from were made up from the data.
    pub synthesised: bool,
    /// Nodes of all queries.
    pub pairs: usize,
    /// The losses at each look at the held-out queries, from the start on.
    pub losses: Vec<Losses>,
    /// The step whose parameters the model has.
    pub best_step: usize,
    /// Steps that an interrupted fit had done, which were not done again.
    pub resumed: usize,
    /// Whether training ended because the held-out queries gained nothing more.
    pub stopped_early: bool,
    /// The quality of the model that training started from.
    pub pca: Quality,
    /// The quality of the trained model before it had attention, where it has some.
    pub without_attention: Option<Quality>,
    /// The quality of the trained model.
    pub learned: Quality,
    /// How long each part took.
    pub seconds: Seconds,
}

/// Seconds by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seconds {
    /// Searching for the nodes to learn from, and comparing queries with every node.
    pub trajectories: f64,
    /// Principal axes and slots.
    pub pca: f64,
    /// Routing vectors of the nodes to learn from.
    pub nodes: f64,
    /// Gradient descent, with attention where there is some.
    pub fit: f64,
}
