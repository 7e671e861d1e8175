//! What a file says of its collections.

use redknot_index::IndexConfig;
use redknot_storage::{Snapshot, array_bytes};

use crate::catalog::Record;
use crate::error::Result;
use crate::graph::{self, GraphInfo};

/// A collection as the file describes it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CollectionInfo {
    /// Its name.
    pub name: String,
    /// Name of the key type, such as `u64` or `str`.
    pub key_type: String,
    /// Name of the payload type.
    pub value_type: String,
    /// Dimension, metric, element type and the parameters of the graph.
    pub config: IndexConfig,
    /// Rows.
    pub rows: u64,
    /// Rows that were imported and not linked yet.
    pub unlinked: u64,
    /// Highest layer of the graph.
    pub top_level: u8,
    /// Bytes that the vectors take in the file.
    pub vector_bytes: u64,
    /// Bytes that the graph (links of all layers, levels) takes in the file.
    pub graph_bytes: u64,
    /// Bytes that the arrays of keys take in the file (trees of keys and payloads are not counted).
    pub key_bytes: u64,
    /// Graphs over its rows, by name.
    pub graphs: Vec<GraphInfo>,
}

impl CollectionInfo {
    pub(crate) fn new(snapshot: &Snapshot, name: String, record: &Record) -> Result<CollectionInfo> {
        let mut graph_bytes = 0;
        for array in record.index.arrays().into_iter().filter(|array| *array != record.index.vectors()) {
            graph_bytes += array_bytes(snapshot, array)?;
        }
        let mut key_bytes = 0;
        for array in [record.keys.of_nodes, record.keys.dense] {
            key_bytes += array_bytes(snapshot, array)?;
        }
        Ok(CollectionInfo {
            graphs: graph::infos(snapshot, &name)?,
            name,
            key_type: record.key_type.clone(),
            value_type: record.value_type.clone(),
            config: record.index.config(),
            rows: u64::from(record.index.live()),
            unlinked: u64::from(record.index.unlinked()),
            top_level: record.index.top_level(),
            vector_bytes: array_bytes(snapshot, record.index.vectors())?,
            graph_bytes,
            key_bytes,
        })
    }
}
