//! Models over all rows of a collection.

use std::fmt;
use std::ops::ControlFlow;

use redknot_gnn::layers::{Adjacency, GnnError, Model, NodeFeatures, Options, Progress};
use redknot_index::Reader;

use super::access::{FileGraph, Vectors};
use super::embeddings::Embeddings;
use crate::error::{Error, Result};
use crate::graph::{Graph, GraphOrigin};
use crate::key::Key;

type OnProgress<'g> = Box<dyn Fn(Progress) -> ControlFlow<()> + Sync + 'g>;

/// Models over a graph and the vectors of its collection: `graph.layers().message_pass(&model)?`.
pub struct Layers<'g, K: Key> {
    pub(super) graph: &'g Graph<K>,
    weighted: bool,
    pub(super) ef: usize,
    progress: OnProgress<'g>,
}

/// A row, and the class that a model puts it in.
#[derive(Clone, Debug, PartialEq)]
pub struct Classified<K> {
    /// The row.
    pub key: K,
    /// The class, counted from 0: the place of the largest number of the model's output.
    pub class: usize,
    /// The share of the class among all, by softmax.
    pub probability: f32,
}

impl<K: Key> Graph<K> {
    /// Models of layers over this graph, with the vectors of the collection as features.
    pub fn layers(&self) -> Layers<'_, K> {
        Layers {
            graph: self,
            // The weights of these are distances: the nearer, the less.
            weighted: matches!(self.origin(), GraphOrigin::Edges),
            ef: 64,
            progress: Box::new(|_| ControlFlow::Continue(())),
        }
    }
}

impl<'g, K: Key> Layers<'g, K> {
    /// Whether the weights of edges count. By default they do in graphs that a program made, and not where they are
    /// distances: in k-nearest-neighbour and ε-neighbourhood graphs.
    pub fn weighted(mut self, weighted: bool) -> Self {
        self.weighted = weighted;
        self
    }

    /// Effort of the searches that find the rows a query is near to; 64 by default.
    pub fn ef(mut self, ef: usize) -> Self {
        self.ef = ef;
        self
    }

    /// Called now and then, from any thread, with how far a model is; breaking ends the work with [`Error::Cancelled`].
    pub fn progress(mut self, progress: impl Fn(Progress) -> ControlFlow<()> + Sync + 'g) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// What `model` makes of every row: its vector and those of its neighbourhood, as many hops wide as the model has
    /// layers. Reads the graph and the vectors in place: memory is that of the result and of one layer before it.
    ///
    /// # Errors
    /// [`Error::Gnn`] where the model takes another width, [`Error::Row`] for a row that its numbers become too large in,
    /// [`Error::Cancelled`].
    pub fn message_pass(&self, model: &Model) -> Result<Embeddings<K>> {
        let (graph, vectors) = self.open()?;
        let matrix = model.forward(&graph, &vectors, &self.options()).map_err(|error| self.explain(error))?;
        let nodes = redknot_index::nodes_in_use(&*self.graph.snapshot, &self.graph.rows.index)?;
        for node in &nodes {
            self.check_finite(*node, matrix.row(*node as usize))?;
        }
        let keys = nodes.iter().map(|node| self.graph.key(*node)).collect::<Result<Vec<_>>>()?;
        Ok(Embeddings::new(keys, nodes, matrix))
    }

    /// The class of every row, by a model whose output has a number for each class.
    ///
    /// # Errors
    /// As [`Layers::message_pass`].
    pub fn classify(&self, model: &Model) -> Result<Vec<Classified<K::Owned>>> {
        let embeddings = self.message_pass(model)?;
        Ok(embeddings.iter().map(|(key, row)| classified(key.clone(), row)).collect())
    }

    pub(super) fn open(&self) -> Result<(FileGraph<'_>, Vectors<'_>)> {
        let Graph { snapshot, rows, source, .. } = self.graph;
        let graph = FileGraph::open(&**snapshot, rows, source, self.weighted)?;
        Ok((graph, Vectors::new(Reader::open(&**snapshot, &rows.index)?)))
    }

    /// The edges as a layer of one's own reads them, with [`redknot_gnn::layers::MessagePassingEngine`] or
    /// [`redknot_gnn::layers::sparse_mm`]: nodes are the internal numbers of the rows, and where rows were removed there are
    /// nodes without edges.
    ///
    /// # Errors
    /// [`Error::Storage`] where the file cannot be read.
    pub fn adjacency(&self) -> Result<impl Adjacency + '_> {
        Ok(self.open()?.0)
    }

    /// The vectors as a layer of one's own reads them, by the same numbers.
    ///
    /// # Errors
    /// [`Error::Storage`] where the file cannot be read.
    pub fn features(&self) -> Result<impl NodeFeatures + '_> {
        Ok(self.open()?.1)
    }

    /// Says of which row an error is.
    pub(super) fn explain(&self, error: GnnError) -> Error {
        match error {
            GnnError::NegativeDegree { node, got } => self.of_row(
                node,
                format!(
                    "has edges to it whose weights sum to {got}: symmetric normalisation needs sums of 0 or more; let the \
                     weights not count, or set normalize to false in the description of the model"
                ),
            ),
            error => from_gnn(error),
        }
    }

    pub(super) fn of_row(&self, node: u32, why: String) -> Error {
        match self.graph.key(node) {
            Ok(key) => Error::Row { key: K::show(K::borrow(&key)), why },
            Err(error) => error,
        }
    }

    /// Whether the numbers that a model made of a row are some.
    pub(super) fn check_finite(&self, node: u32, row: &[f32]) -> Result<()> {
        match row.iter().find(|x| !x.is_finite()) {
            Some(got) => Err(self.of_row(
                node,
                format!("becomes {got} in the model: its weights, or those of the edges, are too large"),
            )),
            None => Ok(()),
        }
    }

    pub(super) fn options(&self) -> Options<'_> {
        Options { on_progress: Some(&*self.progress), ..Options::default() }
    }
}

fn classified<K>(key: K, row: &[f32]) -> Classified<K> {
    let largest = row.iter().copied().enumerate().reduce(|a, b| if b.1 > a.1 { b } else { a });
    let (class, most) = largest.unwrap_or((0, 0.0));
    let sum: f32 = row.iter().map(|number| (number - most).exp()).sum();
    Classified { key, class, probability: sum.recip() }
}

pub(super) fn from_gnn(error: GnnError) -> Error {
    match error {
        GnnError::Cancelled { .. } => Error::Cancelled,
        error => error.into(),
    }
}

impl<K: Key> fmt::Debug for Layers<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers")
            .field("graph", &self.graph)
            .field("weighted", &self.weighted)
            .finish_non_exhaustive()
    }
}
