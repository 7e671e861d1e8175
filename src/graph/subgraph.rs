//! A part of a graph, taken out of it.

use std::collections::HashMap;
use std::sync::Arc;

use super::neighborhoods::{Direction, Neighborhoods};
use super::read::Graph;
use super::row::Link;
use super::walk::Hop;
use crate::error::Result;
use crate::key::Key;

/// Some rows of a graph, and edges between them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Subgraph<K> {
    /// The rows, each once, nearest to the centre or the seeds first.
    pub keys: Vec<K>,
    /// For each row, how many edges away it is.
    pub hops: Vec<u32>,
    /// The edges. Of an undirected graph, those of [`Graph::subgraph`] come once each.
    pub edges: Vec<SubgraphEdge>,
}

/// An edge between two rows of a [`Subgraph`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SubgraphEdge {
    /// Place in [`Subgraph::keys`] of the row that it leads from.
    pub source: usize,
    /// Place of the row that it leads to.
    pub target: usize,
    /// Its weight.
    pub weight: f32,
    /// Its type, if it has one.
    pub edge_type: Option<Arc<str>>,
}

/// The nodes of a subgraph with their places, while it is collected.
#[derive(Default)]
pub(crate) struct Places {
    nodes: Vec<Hop>,
    places: HashMap<u32, usize>,
}

impl Places {
    /// The place of a node, and whether it is new.
    pub(crate) fn add(&mut self, hop: Hop) -> (usize, bool) {
        let next = self.nodes.len();
        let place = *self.places.entry(hop.node).or_insert(next);
        if place == next {
            self.nodes.push(hop);
        }
        (place, place == next)
    }

    /// The place of a node that is there.
    fn of(&self, node: u32) -> Option<usize> {
        self.places.get(&node).copied()
    }

    /// What lies from `first` on.
    pub(crate) fn since(&self, first: usize) -> &[Hop] {
        &self.nodes[first..]
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn finish<K: Key>(
        self,
        graph: &Graph<K>,
        edges: Vec<SubgraphEdge>,
    ) -> Result<Subgraph<K::Owned>> {
        Ok(Subgraph {
            keys: self.nodes.iter().map(|hop| graph.key(hop.node)).collect::<Result<_>>()?,
            hops: self.nodes.iter().map(|hop| hop.hops).collect(),
            edges,
        })
    }
}

/// The subgraph of `nodes` with all edges between them.
pub(crate) fn induced<K: Key>(
    graph: &Graph<K>,
    neighborhoods: &Neighborhoods<'_>,
    nodes: &[Hop],
) -> Result<Subgraph<K::Owned>> {
    let mut places = Places::default();
    for hop in nodes {
        places.add(*hop);
    }
    let (mut edges, mut links) = (Vec::new(), Vec::new());
    for (source, hop) in nodes.iter().enumerate() {
        neighborhoods.read(hop.node, Direction::Out, &mut links)?;
        for link in &links {
            // An undirected edge is at both of its ends.
            match places.of(link.node) {
                Some(target) if graph.is_directed() || source <= target => {
                    edges.push(edge(graph, source, target, *link)?);
                }
                _ => {}
            }
        }
    }
    places.finish(graph, edges)
}

pub(crate) fn edge<K: Key>(
    graph: &Graph<K>,
    source: usize,
    target: usize,
    link: Link,
) -> Result<SubgraphEdge> {
    Ok(SubgraphEdge { source, target, weight: link.weight, edge_type: graph.type_name(link)? })
}
