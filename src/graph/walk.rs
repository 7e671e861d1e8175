//! Breadth-first search.

use redknot_index::Visited;

use super::neighborhoods::{Direction, Neighborhoods};
use crate::error::{Error, Result};

/// A node, and how many edges away it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) node: u32,
    pub(crate) hops: u32,
}

/// The nodes at most `hops` edges from `center`, the nearest first.
pub(crate) fn walk(edges: &Neighborhoods<'_>, nodes: u32, center: u32, hops: u32) -> Result<Vec<Hop>> {
    let mut seen = Seen::new(nodes);
    seen.add(center)?;
    let mut reached = vec![Hop { node: center, hops: 0 }];
    let mut links = Vec::new();
    let mut next = 0;
    while let Some(hop) = reached.get(next).copied().filter(|hop| hop.hops < hops) {
        next += 1;
        edges.read(hop.node, Direction::Out, &mut links)?;
        for link in &links {
            if seen.add(link.node)? {
                reached.push(Hop { node: link.node, hops: hop.hops + 1 });
            }
        }
    }
    Ok(reached)
}

/// A set of the nodes of a collection.
pub(crate) struct Seen {
    nodes: u32,
    set: Visited,
}

impl Seen {
    pub(crate) fn new(nodes: u32) -> Seen {
        let mut set = Visited::default();
        set.reset(nodes as usize);
        Seen { nodes, set }
    }

    /// Adds a node; whether it was not in the set.
    pub(crate) fn add(&mut self, node: u32) -> Result<bool> {
        let nodes = self.nodes;
        let outside = || Error::corrupt(format!("an edge leads to node {node}, the collection has {nodes}"));
        self.set.insert(node).ok_or_else(outside)
    }

    /// Whether a node is in the set.
    pub(crate) fn contains(&self, node: u32) -> bool {
        self.set.contains(node)
    }
}
