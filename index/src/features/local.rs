//! Features that need no more than a node and its neighbours, read from a stored index.

use super::clustering::coefficient;
use super::cosine::Cosine;
use super::{EdgeFeatures, NodeFeatures};
use crate::stored::{INCOMING, UNLINKED, level_of, words};
use crate::{Error, Reader};

/// The base layer of a stored index.
#[derive(Clone, Copy)]
pub(super) struct BaseLayer<'r, 'v> {
    reader: &'r Reader<'v>,
    cosine: Cosine,
}

impl<'r, 'v> BaseLayer<'r, 'v> {
    pub(super) fn new(reader: &'r Reader<'v>) -> Result<BaseLayer<'r, 'v>, Error> {
        Ok(BaseLayer { reader, cosine: Cosine::new(&reader.record.config)? })
    }

    /// Level code of a node, as the array of levels has it.
    pub(super) fn level_code(&self, node: u32) -> Result<u8, Error> {
        level_of(self.reader.levels, node)
    }

    /// The nodes that `node` links to, in the order of its row; none where it is not linked.
    pub(super) fn links(&self, node: u32) -> Result<impl Iterator<Item = u32> + Clone + use<'r, 'v>, Error> {
        Ok(self.row(node)?.take_while(|word| word & INCOMING == 0))
    }

    /// The nodes that `node` links to or that link to it, each once.
    pub(super) fn neighbors(
        &self,
        node: u32,
    ) -> Result<impl Iterator<Item = u32> + Clone + use<'r, 'v>, Error> {
        Ok(self.row(node)?.map(|word| word & !INCOMING))
    }

    fn row(&self, node: u32) -> Result<impl Iterator<Item = u32> + Clone + use<'r, 'v>, Error> {
        // In a file that had an index record of version 1, the row of a free node need not be empty.
        let is_linked = self.level_code(node)? < UNLINKED;
        Ok(words(if is_linked { self.reader.links.base.get(node)? } else { &[] }))
    }

    /// All features of a node but betweenness; none of a node that is not linked.
    pub(super) fn node(&self, node: u32) -> Result<NodeFeatures, Error> {
        let code = self.level_code(node)?;
        if code >= UNLINKED {
            return Ok(NodeFeatures::default());
        }
        let mut neighbors: Vec<u32> = self.neighbors(node)?.collect();
        neighbors.sort_unstable();
        let mut closed = 0;
        for other in &neighbors {
            let shared = self.neighbors(*other)?;
            closed += shared.filter(|third| neighbors.binary_search(third).is_ok()).count();
        }
        Ok(NodeFeatures {
            degree: self.links(node)?.count() as u16,
            level: Some(code),
            clustering: coefficient(closed, neighbors.len()) as f32,
            ..NodeFeatures::default()
        })
    }

    /// Distance, cosine and whether it crosses layers, of each of `links` of `node`; betweenness is 0.
    pub(super) fn edges(
        &self,
        node: u32,
        links: impl Iterator<Item = u32>,
        scratch: &mut Scratch<'v>,
    ) -> Result<impl Iterator<Item = EdgeFeatures>, Error> {
        scratch.clear();
        let level = self.level_code(node)?;
        for target in links {
            let other = self.level_code(target)?;
            if other >= UNLINKED || target >= self.reader.record.nodes {
                let what = format!("node {node} links to node {target}, which is not linked");
                return Err(Error::Damaged { what });
            }
            scratch.ends.push((target, other != level));
            scratch.rows.push(self.reader.vectors.get(target)?);
        }
        let row = self.reader.vectors.get(node)?;
        let kernel = &self.reader.kernel;
        scratch.distances.resize(scratch.rows.len(), 0.0);
        kernel.distances(row, kernel.scale(row), &scratch.rows, &mut scratch.distances);
        self.cosine.append(row, &scratch.rows, &scratch.distances, &mut scratch.cosines);
        let numbers = scratch.distances.iter().zip(&scratch.cosines);
        Ok(scratch.ends.iter().zip(numbers).map(|((target, is_cross_layer), (distance, cosine))| {
            let (distance, cosine, is_cross_layer) = (*distance, *cosine, *is_cross_layer);
            EdgeFeatures { target: *target, distance, cosine, betweenness: 0.0, is_cross_layer }
        }))
    }
}

/// The features of a node and of its links, in the order of its row, computed from the node and its neighbours alone:
/// betweenness, which takes the whole graph, is 0.
///
/// # Errors
/// [`Error::Damaged`] or [`Error::Storage`] where links or vectors cannot be read.
pub fn local_features(reader: &Reader<'_>, node: u32) -> Result<(NodeFeatures, Vec<EdgeFeatures>), Error> {
    let layer = BaseLayer::new(reader)?;
    let mut scratch = Scratch::default();
    let edges = layer.edges(node, layer.links(node)?, &mut scratch)?.collect();
    Ok((layer.node(node)?, edges))
}

/// Buffers for the links of one node.
#[derive(Default)]
pub(super) struct Scratch<'v> {
    /// Where each leads, and whether it crosses layers.
    ends: Vec<(u32, bool)>,
    rows: Vec<&'v [u8]>,
    distances: Vec<f32>,
    cosines: Vec<f32>,
}

impl Scratch<'_> {
    fn clear(&mut self) {
        self.ends.clear();
        self.rows.clear();
        self.distances.clear();
        self.cosines.clear();
    }
}
