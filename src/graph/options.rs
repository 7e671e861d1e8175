//! What a graph is, and how it came to be.

/// Most bytes of the name of an edge type.
pub(crate) const MAX_TYPE_BYTES: usize = 255;
/// Most edges that lead from a row, and most that lead to one.
pub(crate) const MAX_EDGES_OF_ROW: usize = u16::MAX as usize;

/// How a graph is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphOptions {
    /// Whether an edge leads from one row to another, or joins the two; true by default.
    pub directed: bool,
}

impl Default for GraphOptions {
    fn default() -> GraphOptions {
        GraphOptions { directed: true }
    }
}

/// Where the edges of a graph came from when it was made. Edges may have been inserted and removed since.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum GraphOrigin {
    /// The program.
    Edges,
    /// [`crate::Database::build_knn_graph`].
    Knn {
        /// Neighbours of each row.
        k: u32,
        /// Whether every row was compared with every other one.
        exact: bool,
    },
    /// [`crate::Database::build_eps_graph`].
    Eps {
        /// Rows at most this far apart are joined.
        epsilon: f32,
        /// Most neighbours that were looked for from a row.
        max_neighbors: u32,
        /// Whether every row was compared with every other one.
        exact: bool,
    },
    /// The base layer of the HNSW graph.
    Hnsw,
}
