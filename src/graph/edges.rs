//! All edges, one after the other.

use std::fmt;

use super::neighborhoods::{Direction, Neighborhoods};
use super::read::{Edge, Graph};
use super::row::Link;
use crate::error::Result;
use crate::key::Key;

/// The edges of a graph ([`Graph::edges`]). Ends with the first error.
pub struct Edges<'g, K: Key> {
    graph: &'g Graph<K>,
    neighborhoods: Neighborhoods<'g>,
    node: u32,
    /// Edges of the node before `node` that are yet to come, the last first.
    links: Vec<Link>,
}

impl<'g, K: Key> Edges<'g, K> {
    pub(crate) fn new(graph: &'g Graph<K>, neighborhoods: Neighborhoods<'g>) -> Edges<'g, K> {
        Edges { graph, neighborhoods, node: 0, links: Vec::new() }
    }

    /// The next edge, by the number of its source.
    fn advance(&mut self) -> Result<Option<(u32, Link)>> {
        loop {
            if let Some(link) = self.links.pop() {
                return Ok(Some((self.node - 1, link)));
            }
            if self.node >= self.neighborhoods.end() {
                return Ok(None);
            }
            self.neighborhoods.read(self.node, Direction::Out, &mut self.links)?;
            if !self.graph.is_directed() {
                let node = self.node;
                self.links.retain(|link| node <= link.node);
            }
            self.links.reverse();
            self.node += 1;
        }
    }
}

impl<K: Key> Iterator for Edges<'_, K> {
    type Item = Result<Edge<K::Owned>>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose()?;
        let edge = next.and_then(|(source, link)| self.graph.edge_of(source, link));
        if edge.is_err() {
            self.links.clear();
            self.node = self.neighborhoods.end();
        }
        Some(edge)
    }
}

impl<K: Key> fmt::Debug for Edges<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edges").field("graph", &self.graph).field("node", &self.node).finish_non_exhaustive()
    }
}
