//! How a search found its way: both walks through the graph, step by step.

mod project;
mod record;
mod walk;

use std::fmt;

use redknot_gnn::routing::{Plan, StopReason};
use serde::Serialize;

use crate::query::Hit;

pub(crate) use walk::{check, run};

/// How a query is answered: greedy search and the router, side by side. Made by [`crate::Search::explain`].
///
/// Distances are in the unit of the collection's metric, and so are estimates, which come from keys.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation<K> {
    /// The collection.
    pub collection: String,
    /// How many rows were asked for.
    pub k: usize,
    /// Why the search itself is answered greedily; `None` where the router answers it.
    pub unrouted: Option<Unrouted>,
    /// Greedy search, at the effort that gives what was asked for.
    pub greedy: Walk<K>,
    /// The router's search, at the effort calibrated for as much. Also where it does not answer; `None` where there is no
    /// router, its keys are behind the index, or it failed, as `unrouted` says.
    pub router: Option<Walk<K>>,
    /// Full-precision distances that the router saves: greedy search's less its own.
    pub distances_saved: Option<i64>,
    /// All nodes that either walk saw. Walks name them by their places here.
    pub nodes: Vec<Node<K>>,
    /// Share of the squared distances from the query that the plane of the nodes' `x` and `y` shows, 0 to 1.
    pub plane_share: f64,
}

/// A node that a walk saw.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Node<K> {
    /// Its key.
    pub key: K,
    /// Its exact distance from the query, whether or not a walk computed it.
    pub distance: f32,
    /// Its place in the plane of the two principal axes of all nodes seen; the query is at (0, 0).
    pub x: f32,
    /// The other coordinate.
    pub y: f32,
}

/// One search, step by step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Walk<K> {
    /// What kind of search, at which effort.
    pub plan: Plan,
    /// What it found, nearest first.
    pub hits: Vec<Hit<K>>,
    /// Where it began; `None` where nothing is in the graph. The router's is its best landmark.
    pub entry: Option<usize>,
    /// Its hops in their order, greedy search's in the upper layers first.
    pub hops: Vec<Hop>,
    /// Candidates whose distances were computed after the last hop, in that order.
    pub reranked: Vec<Seen>,
    /// Why it ended.
    pub stop: StopReason,
    /// Whether every row was looked at.
    pub exact: bool,
    /// Full-precision distances computed, those of scanned rows included.
    pub distances: u64,
    /// Keys scored, those of the landmarks included.
    pub key_scores: u64,
}

/// A node whose links were looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Hop {
    /// The layer of the links; 0 is the base layer.
    pub layer: u8,
    /// The node.
    pub node: usize,
    /// Its estimate, where its key was scored.
    pub estimate: Option<f32>,
    /// Its distance, where the search computed it at some time.
    pub distance: Option<f32>,
    /// How far a node may be to be expanded at this point; `None` while any is, and in the upper layers.
    pub bound: Option<f32>,
    /// What its links led to: in the base layer the nodes not seen before.
    pub seen: Vec<Seen>,
}

/// A node that was compared with the query.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Seen {
    /// The node.
    pub node: usize,
    /// Its estimate, where its key was scored.
    pub estimate: Option<f32>,
    /// Its distance, where the search computed it at some time.
    pub distance: Option<f32>,
    /// Whether it became a candidate; of a re-ranked one, whether it was then among the k nearest.
    pub kept: bool,
}

/// Why greedy search answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unrouted {
    /// The collection has no router, or none that can be read.
    NoRouter,
    /// The keys of the router do not agree with the index.
    Behind,
    /// It is switched off.
    Disabled,
    /// It is not worth its while at any recall level.
    NoGain,
    /// More rows are asked for than it was calibrated for.
    TooManyRows,
    /// Greedy search was asked for.
    Asked,
    /// Greedy search takes less time here, as calibrated.
    Slower,
    /// The query is farther away from everything than those that the router was calibrated with.
    Strange,
    /// Inside the write transaction keys are not up to date.
    Writing,
    /// It failed.
    Failed(String),
}

impl fmt::Display for Unrouted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unrouted::NoRouter => "the collection has no router that can be used",
            Unrouted::Behind => "the keys of the router are behind the index",
            Unrouted::Disabled => "the router is switched off",
            Unrouted::NoGain => "the router gains nothing at any recall",
            Unrouted::TooManyRows => "the router was calibrated for fewer rows",
            Unrouted::Asked => "greedy search was asked for",
            Unrouted::Slower => "greedy search takes less time at this effort",
            Unrouted::Strange => "the query is unlike those that the router was calibrated with",
            Unrouted::Writing => "searches inside the write transaction are greedy",
            Unrouted::Failed(why) => return write!(f, "the router failed: {why}"),
        })
    }
}
