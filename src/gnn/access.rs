//! What layers read of a file: edges, and vectors as features. Nothing is copied out of it but the rows at hand.

use std::cell::RefCell;

use redknot_gnn::layers::{Adjacency, Edges, GnnError, NodeFeatures};
use redknot_index::{Element, Reader, decode_into};
use redknot_storage::View;

use crate::catalog::Record;
use crate::error::Result;
use crate::graph::{Direction, Link, Neighborhoods, Source};

thread_local! {
    /// Links of the node that a thread is at.
    static LINKS: RefCell<Vec<Link>> = const { RefCell::new(Vec::new()) };
}

/// The edges of a graph by node, in place.
pub(super) struct FileGraph<'v> {
    edges: Neighborhoods<'v>,
    direction: Direction,
    nodes: u32,
    /// Types of edges.
    types: usize,
    weighted: bool,
}

impl<'v> FileGraph<'v> {
    /// Of a stored graph, messages come along the edges that lead to a node; of the HNSW graph, from the nodes that it
    /// links to.
    pub(super) fn open(
        view: &'v impl View,
        rows: &'v Record,
        source: &Source,
        weighted: bool,
    ) -> Result<FileGraph<'v>> {
        let (direction, types) = match source {
            Source::Stored(graph) => (Direction::In, graph.types.len()),
            Source::Hnsw => (Direction::Out, 0),
        };
        let edges = Neighborhoods::open(view, rows, source)?;
        Ok(FileGraph { edges, direction, nodes: rows.index.nodes(), types, weighted })
    }
}

impl FileGraph<'_> {
    /// Has edges have no features, for models that do not look at them.
    #[cfg(feature = "train")]
    pub(super) fn leave_out_features(&mut self) {
        self.types = 0;
    }
}

impl Adjacency for FileGraph<'_> {
    fn nodes(&self) -> u32 {
        self.nodes
    }

    /// The weight, and a 1 in the place of the type.
    fn edge_feature_width(&self) -> usize {
        if self.types == 0 { 0 } else { 1 + self.types }
    }

    fn read_edges(&self, node: u32, edges: &mut Edges) -> Result<(), GnnError> {
        edges.clear();
        LINKS.with_borrow_mut(|links| {
            self.edges.read(node, self.direction, links).map_err(source)?;
            for link in links.iter() {
                edges.push(link.node, self.weighted.then_some(link.weight), &[]);
                if self.types > 0 {
                    edges.features.push(link.weight);
                    // Type 0 is none.
                    edges
                        .features
                        .extend((1..=self.types).map(|kind| f32::from(u8::from(link.kind as usize == kind))));
                }
            }
            Ok(())
        })
    }
}

/// The vectors of a collection as rows of f32.
pub(super) struct Vectors<'v> {
    reader: Reader<'v>,
    dim: usize,
    element: Element,
}

impl<'v> Vectors<'v> {
    pub(super) fn new(reader: Reader<'v>) -> Vectors<'v> {
        let config = reader.config();
        Vectors { reader, dim: config.dim, element: config.element }
    }
}

impl NodeFeatures for Vectors<'_> {
    fn rows(&self) -> usize {
        self.reader.nodes() as usize
    }

    fn width(&self) -> usize {
        self.dim
    }

    fn read(&self, node: u32, out: &mut [f32]) -> Result<(), GnnError> {
        decode_into(self.reader.vector(node).map_err(source)?, self.element, out);
        Ok(())
    }
}

fn source(error: impl std::error::Error + Send + Sync + 'static) -> GnnError {
    GnnError::Source(Box::new(error))
}
