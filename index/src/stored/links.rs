//! The links of a node, both ways.
//!
//! A row of links holds first the nodes that this one links to, then, marked by the highest bit, the nodes that link
//! to this one and are not linked back. So the nodes that link to a node are known without a search: those of its
//! own links that link back, and the marked ones. Removing a node edits these rows and no others.

use redknot_storage::View;

use super::writer::Writer;
use super::{level_of, words};
use crate::Error;

/// Marks a node that links here and is not linked back.
pub(crate) const INCOMING: u32 = 1 << 31;

/// The links of one node in one layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeLinks {
    /// Nodes that it links to.
    pub(crate) out: Vec<u32>,
    /// Nodes that link to it and that it does not link to.
    pub(crate) incoming: Vec<u32>,
}

impl NodeLinks {
    pub(crate) fn parse(bytes: &[u8]) -> NodeLinks {
        let out = words(bytes).take_while(|word| word & INCOMING == 0).collect::<Vec<u32>>();
        let incoming = words(bytes).skip(out.len()).map(|word| word & !INCOMING).collect();
        NodeLinks { out, incoming }
    }

    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.out.iter().flat_map(|node| node.to_le_bytes()));
        bytes.extend(self.incoming.iter().flat_map(|node| (node | INCOMING).to_le_bytes()));
    }

    fn len(&self) -> usize {
        self.out.len() + self.incoming.len()
    }
}

/// The layers of a row of `upper`: for each layer from 1 on a count and that many words.
pub(crate) fn parse_upper(node: u32, row: &[u8]) -> Result<Vec<NodeLinks>, Error> {
    let damaged = || Error::Damaged { what: format!("the upper links of node {node} cannot be read") };
    let mut layers = Vec::new();
    let mut rest = row;
    while !rest.is_empty() {
        let count = words(rest).next().ok_or_else(damaged)? as usize;
        let end = count.checked_mul(4).and_then(|bytes| bytes.checked_add(4)).ok_or_else(damaged)?;
        layers.push(NodeLinks::parse(rest.get(4..end).ok_or_else(damaged)?));
        rest = &rest[end..];
    }
    Ok(layers)
}

pub(crate) fn encode_upper(layers: &[NodeLinks], bytes: &mut Vec<u8>) {
    for links in layers {
        bytes.extend_from_slice(&(links.len() as u32).to_le_bytes());
        links.encode(bytes);
    }
}

impl Writer<'_> {
    /// The links of a node in a layer; none where it does not reach that layer.
    pub(crate) fn links(&self, node: u32, layer: u8) -> Result<NodeLinks, Error> {
        if layer == 0 {
            return Ok(NodeLinks::parse(self.txn.csr(self.record.arrays.links)?.get(node)?));
        }
        let row = self.txn.csr(self.record.arrays.upper)?.get(node)?;
        Ok(parse_upper(node, row)?.into_iter().nth(usize::from(layer) - 1).unwrap_or_default())
    }

    /// Replaces the links of a node in a layer that it reaches.
    pub(crate) fn set_links(&mut self, node: u32, layer: u8, links: NodeLinks) -> Result<(), Error> {
        let mut bytes = Vec::with_capacity(4 * links.len());
        if layer == 0 {
            self.record.changes.relinked.insert(node);
            links.encode(&mut bytes);
            return Ok(self.txn.set_csr_row(self.record.arrays.links, node, &bytes)?);
        }
        let mut layers = parse_upper(node, self.txn.csr(self.record.arrays.upper)?.get(node)?)?;
        let slot = layers.get_mut(usize::from(layer) - 1).ok_or_else(|| Error::Damaged {
            what: format!("node {node} is linked in layer {layer}, which it does not reach"),
        })?;
        *slot = links;
        encode_upper(&layers, &mut bytes);
        Ok(self.txn.set_csr_row(self.record.arrays.upper, node, &bytes)?)
    }

    /// Adds the link `from → to`, which is not there.
    pub(crate) fn add_link(&mut self, from: u32, to: u32, layer: u8) -> Result<(), Error> {
        let mut links = self.links(from, layer)?;
        links.out.push(to);
        if let Some(at) = links.incoming.iter().position(|node| *node == to) {
            links.incoming.swap_remove(at);
            return self.set_links(from, layer, links);
        }
        self.set_links(from, layer, links)?;
        let mut back = self.links(to, layer)?;
        back.incoming.push(from);
        self.set_links(to, layer, back)
    }

    /// Removes the link `from → to`, which is there.
    pub(crate) fn remove_link(&mut self, from: u32, to: u32, layer: u8) -> Result<(), Error> {
        if layer == 0 {
            self.record.changes.suspects.insert(to);
        }
        let mut links = self.links(from, layer)?;
        links.out.retain(|node| *node != to);
        let mut back = self.links(to, layer)?;
        if back.out.contains(&from) {
            links.incoming.push(to);
            return self.set_links(from, layer, links);
        }
        self.set_links(from, layer, links)?;
        back.incoming.retain(|node| *node != from);
        self.set_links(to, layer, back)
    }

    /// The nodes that link to `node`, whose links are `links`.
    pub(crate) fn linking_to(&self, node: u32, links: &NodeLinks, layer: u8) -> Result<Vec<u32>, Error> {
        let mut from = links.incoming.clone();
        for other in &links.out {
            if self.links(*other, layer)?.out.contains(&node) {
                from.push(*other);
            }
        }
        Ok(from)
    }

    /// Whether any node but `except` links to `node`.
    pub(crate) fn is_linked_to(&self, node: u32, layer: u8, except: u32) -> Result<bool, Error> {
        let links = self.links(node, layer)?;
        if links.incoming.iter().any(|from| *from != except) {
            return Ok(true);
        }
        for other in links.out.into_iter().filter(|other| *other != except) {
            if self.links(other, layer)?.out.contains(&node) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The level code of a node.
    pub(crate) fn level(&self, node: u32) -> Result<u8, Error> {
        level_of(self.txn.rows(self.record.arrays.levels)?, node)
    }

    /// Links that a node may have in a layer.
    pub(crate) fn capacity(&self, layer: u8) -> usize {
        self.record.config.m * if layer == 0 { 2 } else { 1 }
    }
}
