//! Nodes spread over the data, with a copy of their keys in one place: where searches look for a way in.

use super::ModelError;

/// A table of nodes and their keys, which every search scans for its entry point.
///
/// A few hundred, spread over the data; the nodes of the upper layers are. Scanning keys that lie side by side costs
/// little, and saves the moves through the upper layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landmarks {
    nodes: Vec<u32>,
    keys: Vec<u8>,
    key_bytes: usize,
}

impl Landmarks {
    /// The table of these nodes, whose keys of `key_bytes` lie one behind the other. An empty one is allowed: searches
    /// then begin at the entry point of the graph. Nodes that are no longer in the graph are passed over.
    ///
    /// # Errors
    /// [`ModelError::KeyBytes`] for a length that keys do not have, [`ModelError::Shape`] where there is not one key for
    /// each node.
    pub fn new(nodes: Vec<u32>, keys: Vec<u8>, key_bytes: usize) -> Result<Landmarks, ModelError> {
        if ![32, 64, 96, 128].contains(&key_bytes) {
            return Err(ModelError::KeyBytes { got: key_bytes });
        }
        if keys.len() != nodes.len() * key_bytes {
            let expected = nodes.len() * key_bytes;
            return Err(ModelError::Shape { what: "the keys of landmarks", expected, got: keys.len() });
        }
        Ok(Landmarks { nodes, keys, key_bytes })
    }

    /// The nodes.
    pub fn nodes(&self) -> &[u32] {
        &self.nodes
    }

    /// Their keys, one behind the other.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.keys.chunks_exact(self.key_bytes)
    }

    /// Bytes of a key.
    pub fn key_bytes(&self) -> usize {
        self.key_bytes
    }

    /// Number of landmarks.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}
