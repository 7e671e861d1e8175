//! Best-first search in one layer of a graph, shared by building and querying.

mod beam;
mod candidates;
mod frontier;
mod nearest;
mod scratch;
mod trace;
mod visited;

pub(crate) use beam::{Adjacency, Query, Searcher};
pub use candidates::Candidates;
pub(crate) use candidates::MAX_ROWS;
pub use frontier::Frontier;
pub use nearest::Nearest;
pub use scratch::{Scratch, ScratchPool};
pub use trace::Trace;
pub use visited::Visited;

/// Scratches of all searches of the process.
pub(crate) static SCRATCHES: ScratchPool = ScratchPool::new();

/// A row and its distance from the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbor {
    /// Row number.
    pub id: u32,
    /// Distance from the query, in the unit of the metric; smaller is nearer.
    pub distance: f32,
}

impl Neighbor {
    /// The nearer first; equal distances by row number.
    pub(crate) fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.distance.total_cmp(&other.distance).then(self.id.cmp(&other.id))
    }
}
