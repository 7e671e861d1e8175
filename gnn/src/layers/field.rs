//! The part of a graph that the rows of a few nodes depend on.

use std::collections::HashMap;

use super::progress::read_checked;
use super::{Adjacency, Edges, GnnError, NodeFeatures};

/// The nodes within some hops of a few targets, against the direction of edges, numbered anew in the order of their
/// distance: the nodes within fewer hops come first. It reads edges from the graph below, where these stay.
pub(super) struct Field<'a> {
    graph: &'a dyn Adjacency,
    nodes: Vec<u32>,
    local: HashMap<u32, u32>,
    /// How many nodes are within each number of hops.
    within: Vec<usize>,
    positions: Vec<u32>,
}

impl<'a> Field<'a> {
    /// The field of `targets` (repeated ones count once) up to `hops` away.
    pub(super) fn around(graph: &'a dyn Adjacency, targets: &[u32], hops: usize) -> Result<Self, GnnError> {
        let mut field = Self {
            graph,
            nodes: Vec::new(),
            local: HashMap::new(),
            within: Vec::new(),
            positions: Vec::new(),
        };
        for (edge, &node) in targets.iter().enumerate() {
            if node >= graph.nodes() {
                return Err(GnnError::MissingNode { edge, node, nodes: graph.nodes() });
            }
            let position = field.number(node);
            field.positions.push(position);
        }
        field.within.push(field.nodes.len());
        let mut edges = Edges::default();
        let mut first = 0;
        for _ in 0..hops {
            let end = field.nodes.len();
            for at in first..end {
                read_checked(graph, field.nodes[at], &mut edges)?;
                for &source in &edges.sources {
                    field.number(source);
                }
            }
            first = end;
            field.within.push(field.nodes.len());
        }
        Ok(field)
    }

    /// The graph's numbers of the nodes.
    pub(super) fn nodes(&self) -> &[u32] {
        &self.nodes
    }

    /// How many nodes are at most `hops` away: those before that number.
    pub(super) fn within(&self, hops: usize) -> usize {
        self.within[hops]
    }

    /// The field's number of each target.
    pub(super) fn positions(&self) -> &[u32] {
        &self.positions
    }

    fn number(&mut self, node: u32) -> u32 {
        *self.local.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        })
    }
}

impl Adjacency for Field<'_> {
    fn nodes(&self) -> u32 {
        self.nodes.len() as u32
    }

    fn edge_feature_width(&self) -> usize {
        self.graph.edge_feature_width()
    }

    fn read_edges(&self, node: u32, edges: &mut Edges) -> Result<(), GnnError> {
        read_checked(self.graph, self.nodes[node as usize], edges)?;
        for source in &mut edges.sources {
            // A graph that changed since the field was drawn.
            let missing = GnnError::MissingNode { edge: 0, node: *source, nodes: self.graph.nodes() };
            *source = *self.local.get(source).ok_or(missing)?;
        }
        Ok(())
    }
}

/// The rows of a field's nodes.
pub(super) struct Selected<'a> {
    features: &'a dyn NodeFeatures,
    nodes: &'a [u32],
}

impl<'a> Selected<'a> {
    pub(super) fn new(features: &'a dyn NodeFeatures, field: &'a Field<'_>) -> Self {
        Self { features, nodes: field.nodes() }
    }
}

impl NodeFeatures for Selected<'_> {
    fn rows(&self) -> usize {
        self.nodes.len()
    }

    fn width(&self) -> usize {
        self.features.width()
    }

    fn read(&self, node: u32, out: &mut [f32]) -> Result<(), GnnError> {
        self.features.read(self.nodes[node as usize], out)
    }
}
