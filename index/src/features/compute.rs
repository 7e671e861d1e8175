//! All features of a stored index.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rayon::prelude::*;
use redknot_storage::ArrayId;

use super::clustering::of_node;
use super::local::{BaseLayer, Scratch};
use super::{
    Betweenness, BetweennessOptions, EdgeFeatures, FeaturePhase, FeatureProgress, NodeFeatures,
    OnFeatureProgress, Precision, Undirected, betweenness,
};
use crate::stored::UNLINKED;
use crate::{Error, Reader};

/// Nodes that a thread takes at a time; progress is reported as often.
const NODES_PER_CHUNK: u32 = 1024;

/// The features of an index in one state, in memory: about 16 bytes a node and 16 a link.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    pub(super) nodes: Vec<NodeFeatures>,
    /// Links of node v: `offsets[v]..offsets[v + 1]`.
    pub(super) offsets: Vec<usize>,
    pub(super) edges: Vec<EdgeFeatures>,
    pub(super) precision: Precision,
    /// The array of the base layer that they are of.
    pub(super) links: ArrayId,
    pub(super) epoch: u64,
}

impl Features {
    /// By node number, those not in use included.
    pub fn nodes(&self) -> &[NodeFeatures] {
        &self.nodes
    }

    /// Of the links of `node`, in their stored order.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn edges(&self, node: u32) -> &[EdgeFeatures] {
        &self.edges[self.offsets[node as usize]..self.offsets[node as usize + 1]]
    }

    /// How betweenness was computed and how far it may be off.
    pub fn precision(&self) -> &Precision {
        &self.precision
    }

    /// The epoch of the index that they were computed in.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Computes all features of the index that `reader` reads, on the threads of the current rayon pool. The result is the
/// same for every number of threads.
///
/// In memory at once: the base layer both ways (about 4 bytes a link and direction), [`Features`], and what
/// [`BetweennessOptions::memory_bytes`] allows.
///
/// # Errors
/// [`Error::Cancelled`] if `progress` broke, [`Error::Damaged`] where links lead out of the graph.
pub fn compute_features(
    reader: &Reader<'_>,
    options: &BetweennessOptions,
    progress: OnFeatureProgress<'_>,
) -> Result<Features, Error> {
    let layer = BaseLayer::new(reader)?;
    let links = Links::read(&layer, reader.record.nodes)?;
    let linked = (0..).zip(&links.levels).filter(|(_, code)| **code < UNLINKED).map(|(node, _)| node);
    let graph = Undirected::from_links(&links.offsets, &links.targets)
        .and_then(|graph| graph.with_members(linked.collect()))
        .map_err(|error| Error::Damaged { what: error.to_string() })?;
    let (mut nodes, mut edges) = local_features(&layer, &graph, &links, progress)?;
    let Links { offsets, .. } = links;
    let Betweenness { nodes: of_nodes, edges: of_edges, precision } = betweenness(&graph, options, progress)?;
    for (node, value) in nodes.iter_mut().zip(&of_nodes) {
        node.betweenness = *value as f32;
    }
    for node in 0..graph.rows() {
        for edge in &mut edges[offsets[node as usize]..offsets[node as usize + 1]] {
            // A link that a damaged row has to the node itself is no edge.
            edge.betweenness = graph.slot(node, edge.target).map_or(0.0, |slot| of_edges[slot] as f32);
        }
    }
    let (links, epoch) = (reader.record.arrays.links, reader.record.epoch);
    Ok(Features { nodes, offsets, edges, precision, links, epoch })
}

/// Links of the base layer in memory.
struct Links {
    /// Level codes of all nodes.
    levels: Vec<u8>,
    /// Links of node v: `targets[offsets[v]..offsets[v + 1]]`.
    offsets: Vec<usize>,
    targets: Vec<u32>,
}

impl Links {
    fn read(layer: &BaseLayer<'_, '_>, nodes: u32) -> Result<Links, Error> {
        let mut links = Links {
            levels: Vec::with_capacity(nodes as usize),
            offsets: Vec::with_capacity(nodes as usize + 1),
            targets: Vec::new(),
        };
        links.offsets.push(0);
        for node in 0..nodes {
            links.levels.push(layer.level_code(node)?);
            links.targets.extend(layer.links(node)?);
            links.offsets.push(links.targets.len());
        }
        Ok(links)
    }

    fn of(&self, node: u32) -> &[u32] {
        &self.targets[self.offsets[node as usize]..self.offsets[node as usize + 1]]
    }
}

/// Everything but betweenness.
fn local_features(
    layer: &BaseLayer<'_, '_>,
    graph: &Undirected,
    links: &Links,
    progress: OnFeatureProgress<'_>,
) -> Result<(Vec<NodeFeatures>, Vec<EdgeFeatures>), Error> {
    let total = links.levels.len();
    let done = AtomicUsize::new(0);
    let chunk = |first: u32| {
        let end = graph.rows().min(first + NODES_PER_CHUNK);
        let mut nodes = Vec::with_capacity((end - first) as usize);
        let mut edges = Vec::with_capacity(links.offsets[end as usize] - links.offsets[first as usize]);
        let mut scratch = Scratch::default();
        for node in first..end {
            let row = links.of(node);
            if !row.is_empty() {
                edges.extend(layer.edges(node, row.iter().copied(), &mut scratch)?);
            }
            nodes.push(NodeFeatures {
                degree: row.len() as u16,
                level: Some(links.levels[node as usize]).filter(|code| *code < UNLINKED),
                clustering: of_node(graph, node) as f32,
                ..NodeFeatures::default()
            });
        }
        let now = done.fetch_add(nodes.len(), Relaxed) + nodes.len();
        let now = FeatureProgress { phase: FeaturePhase::Local, done: now, total };
        if progress(now).is_break() { Err(Error::Cancelled) } else { Ok((nodes, edges)) }
    };
    let chunks: Vec<(Vec<NodeFeatures>, Vec<EdgeFeatures>)> = (0..graph.rows().div_ceil(NODES_PER_CHUNK))
        .into_par_iter()
        .map(|number| chunk(number * NODES_PER_CHUNK))
        .collect::<Result<_, Error>>()?;
    let (mut nodes, mut edges) = (Vec::with_capacity(total), Vec::with_capacity(links.targets.len()));
    for (some_nodes, some_edges) in chunks {
        nodes.extend(some_nodes);
        edges.extend(some_edges);
    }
    Ok((nodes, edges))
}
