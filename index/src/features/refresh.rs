//! Following edits: what depends on a neighbourhood is recomputed exactly, betweenness is kept and marked.
//!
//! Betweenness can change everywhere with one link, so an exact update costs as much as a computation. What can be had
//! cheaply is this: a link that is still there keeps its value, a new one has 0, and nodes whose links changed say
//! so until the next [`crate::compute_features`].

use rayon::prelude::*;
use redknot_storage::WriteTxn;
use roaring::RoaringBitmap;

use super::local::{BaseLayer, Scratch};
use super::{EdgeFeatures, FeatureReader, FeatureRecord, NodeFeatures, row};
use crate::{Error, IndexRecord, Reader};

/// What a refresh has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refreshed {
    /// Nodes whose features were computed anew.
    pub nodes: usize,
    /// Links whose features were computed anew.
    pub edges: usize,
}

/// Brings degree, level, clustering, distance, cosine and cross-layer to what the index in `txn` says, given the nodes
/// that have changed since the last refresh: those whose row of links in the base layer was written (also where only the
/// marked words changed), and those whose level or vector changed. Nodes that [`FeatureRecord::mark_changed`] remembered and nodes
/// without features are added. The caller writes the record back.
///
/// An edit touches its node and about as many others as it has links, and clustering is recomputed for their neighbours.
///
/// # Errors
/// [`Error::FeaturesOfOtherGraph`] after a build; [`Error::RowOutOfRange`] for a node that the index does not have. Nothing
/// has changed then.
pub fn refresh_features(
    txn: &mut WriteTxn,
    index: &IndexRecord,
    record: &mut FeatureRecord,
    changed: &RoaringBitmap,
) -> Result<Refreshed, Error> {
    record.check_graph(index)?;
    let plan = Plan::new(txn, index, record, changed)?;
    let refreshed =
        Refreshed { nodes: plan.nodes.len(), edges: plan.edges.iter().map(|(_, edges)| edges.len()).sum() };
    plan.write(txn, index.nodes, record)?;
    record.epoch = index.epoch;
    record.pending.clear();
    Ok(refreshed)
}

/// Rows to be written, by node.
struct Plan {
    nodes: Vec<(u32, NodeFeatures)>,
    edges: Vec<(u32, Vec<EdgeFeatures>)>,
    stale_nodes: u32,
}

impl Plan {
    fn new(
        txn: &WriteTxn,
        index: &IndexRecord,
        record: &FeatureRecord,
        changed: &RoaringBitmap,
    ) -> Result<Plan, Error> {
        let reader = Reader::open(txn, index)?;
        let around = Around { layer: BaseLayer::new(&reader)?, stored: FeatureReader::open(txn, record)? };
        let mut changed = changed | &record.pending;
        if let Some(id) = changed.max().filter(|id| *id >= index.nodes) {
            return Err(Error::RowOutOfRange { id, len: index.nodes });
        }
        changed.insert_range(around.stored.len()..index.nodes.max(around.stored.len()));
        let edges: Vec<(u32, Vec<EdgeFeatures>)> = collect(&changed, |node| around.edges(node))?;
        let touched = around.touched(&changed, index.nodes)?;
        let mut nodes = collect(&touched, |node| around.layer.node(node))?;
        let mut stale_nodes = i64::from(record.stale_nodes);
        for (node, features) in &mut nodes {
            let before = around.before(*node)?;
            features.betweenness = before.betweenness;
            features.is_stale = before.is_stale && features.level.is_some();
            if let Ok(at) = edges.binary_search_by_key(node, |(changed, _)| *changed) {
                let is_known = around.keeps_any(*node, &edges[at].1)?;
                features.betweenness = if is_known { before.betweenness } else { 0.0 };
                features.is_stale = features.level.is_some();
            }
            stale_nodes += i64::from(features.is_stale) - i64::from(before.is_stale);
        }
        Ok(Plan { nodes, edges, stale_nodes: u32::try_from(stale_nodes).unwrap_or(0) })
    }

    fn write(self, txn: &mut WriteTxn, nodes: u32, record: &mut FeatureRecord) -> Result<(), Error> {
        for array in record.arrays() {
            txn.set_len(array, nodes)?;
        }
        let mut bytes = Vec::new();
        for (node, edges) in &self.edges {
            bytes.clear();
            row::encode_edges(edges, &mut bytes);
            txn.set_csr_row(record.edges, *node, &bytes)?;
        }
        for (node, features) in &self.nodes {
            bytes.clear();
            row::encode_node(features, &mut bytes);
            txn.set_row(record.nodes, *node, &bytes)?;
        }
        record.stale_nodes = self.stale_nodes;
        Ok(())
    }
}

/// One answer a node, in the order of the nodes.
fn collect<T: Send>(
    nodes: &RoaringBitmap,
    of: impl Fn(u32) -> Result<T, Error> + Sync,
) -> Result<Vec<(u32, T)>, Error> {
    let nodes: Vec<u32> = nodes.iter().collect();
    nodes.into_par_iter().map(|node| Ok((node, of(node)?))).collect()
}

/// The graph as it is beside the features as they were.
struct Around<'r, 'v> {
    layer: BaseLayer<'r, 'v>,
    stored: FeatureReader<'r>,
}

impl Around<'_, '_> {
    /// Nodes whose clustering can be another: the changed ones, their neighbours, and those that they linked to before.
    /// A pair of neighbours of any other node is linked as it was.
    fn touched(&self, changed: &RoaringBitmap, nodes: u32) -> Result<RoaringBitmap, Error> {
        let mut touched = changed.clone();
        for node in changed {
            touched.extend(self.layer.neighbors(node)?);
            if node < self.stored.len() {
                touched.extend(self.stored.edges(node)?.map(|edge| edge.target));
            }
        }
        touched.remove_range(nodes..);
        Ok(touched)
    }

    /// The links of a node, those that were there before with their betweenness.
    fn edges(&self, node: u32) -> Result<Vec<EdgeFeatures>, Error> {
        let mut scratch = Scratch::default();
        let mut edges: Vec<EdgeFeatures> =
            self.layer.edges(node, self.layer.links(node)?, &mut scratch)?.collect();
        for edge in &mut edges {
            if let Some(before) = self.same_before(node, edge)? {
                edge.betweenness = before.betweenness;
            }
        }
        Ok(edges)
    }

    fn before(&self, node: u32) -> Result<NodeFeatures, Error> {
        if node < self.stored.len() { self.stored.node(node) } else { Ok(NodeFeatures::default()) }
    }

    /// Whether any of the links of a node was there before. If none was, its number has been given to a new node.
    fn keeps_any(&self, node: u32, edges: &[EdgeFeatures]) -> Result<bool, Error> {
        for edge in edges {
            if self.same_before(node, edge)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The link of `node` that was there before and leads as far to the same number: numbers of removed nodes are
    /// used again, but hardly for a vector at the same distance.
    fn same_before(&self, node: u32, edge: &EdgeFeatures) -> Result<Option<EdgeFeatures>, Error> {
        if node >= self.stored.len() {
            return Ok(None);
        }
        let mut before = self.stored.edges(node)?;
        Ok(before.find(|before| before.target == edge.target && is_near(before.distance, edge.distance)))
    }
}

/// Equal but for what another instruction set rounds differently.
pub(super) fn is_near(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-6 + 1e-4 * a.abs().max(b.abs())
}
