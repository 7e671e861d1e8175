//! What a file says of its graphs.

use redknot_storage::{Snapshot, array_bytes};

use super::options::GraphOrigin;
use super::record::GraphRecord;
use super::table;
use crate::error::Result;

/// A graph as the file describes it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GraphInfo {
    /// The collection whose rows are its nodes.
    pub collection: String,
    /// Its name.
    pub name: String,
    /// Whether edges lead from one row to another, or join the two.
    pub directed: bool,
    /// Edges; those of an undirected graph count once.
    pub edges: u64,
    /// Names of the edge types.
    pub edge_types: Vec<String>,
    /// How it was made.
    pub origin: GraphOrigin,
    /// Bytes in the file.
    pub bytes: u64,
}

/// The graphs of a collection, by name.
pub(crate) fn infos(snapshot: &Snapshot, collection: &str) -> Result<Vec<GraphInfo>> {
    let graphs = table::all(snapshot, collection)?;
    graphs.iter().map(|(name, graph)| describe(snapshot, collection, name, graph)).collect()
}

fn describe(snapshot: &Snapshot, collection: &str, name: &str, graph: &GraphRecord) -> Result<GraphInfo> {
    let mut bytes = 0;
    for array in graph.arrays() {
        bytes += array_bytes(snapshot, array)?;
    }
    Ok(GraphInfo {
        collection: collection.into(),
        name: name.into(),
        directed: graph.directed,
        edges: graph.edges,
        edge_types: graph.types.iter().map(|name| name.to_string()).collect(),
        origin: graph.origin,
        bytes,
    })
}
