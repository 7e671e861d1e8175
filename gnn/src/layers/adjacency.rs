//! How layers see a graph and its features, wherever these are kept.

use super::{GnnError, Graph, Matrix};

/// The edges into one node. A caller keeps one and has it filled again for each node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edges {
    /// Where each edge comes from.
    pub sources: Vec<u32>,
    /// A weight for each edge, or nothing where all weigh 1.
    pub weights: Vec<f32>,
    /// Features edge after edge, or nothing.
    pub features: Vec<f32>,
}

impl Edges {
    /// Edges.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether no edge leads to the node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Removes all edges and keeps the memory.
    pub fn clear(&mut self) {
        self.sources.clear();
        self.weights.clear();
        self.features.clear();
    }

    /// Weight of an edge by its position among these.
    #[must_use]
    pub fn weight(&self, edge: usize) -> f32 {
        if self.weights.is_empty() { 1.0 } else { self.weights[edge] }
    }

    /// Features of an edge by its position among these, `width` numbers each.
    #[must_use]
    pub fn feature(&self, edge: usize, width: usize) -> &[f32] {
        &self.features[edge * width..(edge + 1) * width]
    }

    /// Appends what an implementation of [`Adjacency`] has for one edge.
    pub fn push(&mut self, source: u32, weight: Option<f32>, features: &[f32]) {
        self.sources.push(source);
        self.weights.extend(weight);
        self.features.extend_from_slice(features);
    }
}

/// A directed graph that is read node by node: messages flow from the source of an edge to its target, and a node
/// aggregates over the edges *into* it.
pub trait Adjacency: Sync {
    /// Nodes; they are numbered from 0.
    fn nodes(&self) -> u32;

    /// Numbers that describe each edge; 0 where edges have no features.
    fn edge_feature_width(&self) -> usize {
        0
    }

    /// Clears `edges` and fills it with the edges into `node`, in the graph's order. What is filled in fits together:
    /// `weights` is empty or as long as `sources`, `features` holds [`Adjacency::edge_feature_width`] numbers each.
    ///
    /// # Errors
    /// [`GnnError::MissingNode`] for a node that is not there, [`GnnError::Source`] where reading fails.
    fn read_edges(&self, node: u32, edges: &mut Edges) -> Result<(), GnnError>;
}

/// Rows of numbers by node, read where they are kept.
pub trait NodeFeatures: Sync {
    /// Rows; row `i` belongs to node `i`.
    fn rows(&self) -> usize;

    /// Numbers in a row.
    fn width(&self) -> usize;

    /// Writes the row of `node` into `out`, which is [`NodeFeatures::width`] long.
    ///
    /// # Errors
    /// [`GnnError::MissingNode`] for a row that is not there, [`GnnError::Source`] where reading fails.
    fn read(&self, node: u32, out: &mut [f32]) -> Result<(), GnnError>;

    /// All rows one after the other, where they lie so in memory: saves layers a copy of each row.
    fn contiguous(&self) -> Option<&[f32]> {
        None
    }
}

impl Adjacency for Graph {
    fn nodes(&self) -> u32 {
        Graph::nodes(self)
    }

    fn edge_feature_width(&self) -> usize {
        self.edge_features().map_or(0, Matrix::cols)
    }

    fn read_edges(&self, node: u32, edges: &mut Edges) -> Result<(), GnnError> {
        if node >= Graph::nodes(self) {
            return Err(GnnError::MissingNode { edge: 0, node, nodes: Graph::nodes(self) });
        }
        let range = self.edges_into(node);
        edges.clear();
        edges.sources.extend_from_slice(&self.sources()[range.clone()]);
        if let Some(weights) = self.weights() {
            edges.weights.extend_from_slice(&weights[range.clone()]);
        }
        if let Some(features) = self.edge_features() {
            let width = features.cols();
            edges.features.extend_from_slice(&features.data()[range.start * width..range.end * width]);
        }
        Ok(())
    }
}

impl NodeFeatures for Matrix {
    fn rows(&self) -> usize {
        Matrix::rows(self)
    }

    fn width(&self) -> usize {
        self.cols()
    }

    fn read(&self, node: u32, out: &mut [f32]) -> Result<(), GnnError> {
        if node as usize >= Matrix::rows(self) {
            return Err(GnnError::MissingNode { edge: 0, node, nodes: Matrix::rows(self) as u32 });
        }
        out.copy_from_slice(self.row(node as usize));
        Ok(())
    }

    fn contiguous(&self) -> Option<&[f32]> {
        Some(self.data())
    }
}
