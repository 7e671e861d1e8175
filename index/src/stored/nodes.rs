//! Going through all nodes.

use redknot_storage::View;

use super::links::{NodeLinks, parse_upper};
use super::reader::Reader;
use super::{FREE, UNLINKED, level_of};
use crate::{Error, IndexRecord};

/// Numbers of all nodes in use.
pub fn nodes_in_use(view: &impl View, record: &IndexRecord) -> Result<Vec<u32>, Error> {
    let levels = view.rows(record.arrays.levels)?;
    let mut nodes = Vec::with_capacity(record.live as usize);
    for node in 0..record.nodes {
        if level_of(levels, node)? != FREE {
            nodes.push(node);
        }
    }
    Ok(nodes)
}

/// Links of all linked nodes in all layers.
pub fn count_links(view: &impl View, record: &IndexRecord) -> Result<u64, Error> {
    let reader = Reader::open(view, record)?;
    let mut links = 0;
    for node in 0..record.nodes {
        if level_of(reader.levels, node)? >= UNLINKED {
            continue;
        }
        links += NodeLinks::parse(reader.links.base.get(node)?).out.len();
        for layer in parse_upper(node, reader.links.upper.get(node)?)? {
            links += layer.out.len();
        }
    }
    Ok(links as u64)
}

/// Numbers of the linked nodes that reach above the base layer, the highest first.
pub fn nodes_by_level(view: &impl View, record: &IndexRecord) -> Result<Vec<u32>, Error> {
    let levels = view.rows(record.arrays.levels)?;
    let mut nodes = Vec::new();
    for node in 0..record.nodes {
        let level = level_of(levels, node)?;
        if (1..UNLINKED).contains(&level) {
            nodes.push((level, node));
        }
    }
    nodes.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    Ok(nodes.into_iter().map(|(_, node)| node).collect())
}
