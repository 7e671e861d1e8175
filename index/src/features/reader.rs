//! Reading features in place.

use redknot_storage::{Csr, Rows, View};

use super::row::{self, NODE_BYTES};
use super::{EdgeFeatures, FeatureRecord, NodeFeatures};
use crate::Error;

/// The features of an index in a snapshot or an open transaction.
///
/// Nodes that were added and not refreshed have no row yet; see [`FeatureRecord::freshness`].
#[derive(Clone, Copy, Debug)]
pub struct FeatureReader<'v> {
    nodes: Rows<'v>,
    edges: Csr<'v>,
    record: &'v FeatureRecord,
}

impl<'v> FeatureReader<'v> {
    /// Opens the features that `record` describes.
    pub fn open(view: &'v impl View, record: &'v FeatureRecord) -> Result<FeatureReader<'v>, Error> {
        let (nodes, edges) = (view.rows(record.nodes)?, view.csr(record.edges)?);
        if nodes.row_bytes() != NODE_BYTES || nodes.len() != edges.len() {
            let what = "the arrays of the graph features have another shape than they ought to".into();
            return Err(Error::Damaged { what });
        }
        Ok(FeatureReader { nodes, edges, record })
    }

    /// Nodes that have features, those not in use included; their numbers are below it.
    pub fn len(&self) -> u32 {
        self.nodes.len()
    }

    /// Whether no node has features.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The features of a node.
    ///
    /// # Errors
    /// [`Error::RowOutOfRange`] for a node beyond [`FeatureReader::len`].
    pub fn node(&self, node: u32) -> Result<NodeFeatures, Error> {
        self.check(node)?;
        row::decode_node(self.nodes.get(node)?).ok_or_else(|| Error::Damaged {
            what: format!("row {node} of array {} is no row of features", self.record.nodes),
        })
    }

    /// The features of the links of a node, in the order of its row in the base layer.
    ///
    /// # Errors
    /// [`Error::RowOutOfRange`] for a node beyond [`FeatureReader::len`].
    pub fn edges(&self, node: u32) -> Result<impl ExactSizeIterator<Item = EdgeFeatures> + use<'v>, Error> {
        self.check(node)?;
        row::decode_edges(self.record.edges, node, self.edges.get(node)?)
    }

    fn check(&self, node: u32) -> Result<(), Error> {
        if node < self.len() { Ok(()) } else { Err(Error::RowOutOfRange { id: node, len: self.len() }) }
    }
}
