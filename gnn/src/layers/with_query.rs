//! A query as one more node of a graph.

use super::{Adjacency, Edges, GnnError, NodeFeatures};

/// A graph and its features with one node more, the last: a query, which messages reach from the nodes it is near to and
/// from which none go out.
///
/// This is how a model that was trained on nodes says something of a row that is none: inductively, from the features of
/// the query and of its neighbours (Hamilton, Ying & Leskovec, NeurIPS 2017).
pub struct WithQuery<'a> {
    graph: &'a dyn Adjacency,
    features: &'a dyn NodeFeatures,
    query: &'a [f32],
    neighbors: &'a [u32],
}

impl<'a> WithQuery<'a> {
    /// Adds `query`, a row of features, with an edge of weight 1 from each of `neighbors`. Edges that have features have
    /// zeros there.
    ///
    /// # Errors
    /// [`GnnError::Shape`] for a query of another width than the features, or other than one row of features for each
    /// node; [`GnnError::NotFinite`] for a query that is not finite; [`GnnError::MissingNode`] for a neighbour that the
    /// graph does not have.
    pub fn new(
        graph: &'a dyn Adjacency,
        features: &'a dyn NodeFeatures,
        query: &'a [f32],
        neighbors: &'a [u32],
    ) -> Result<WithQuery<'a>, GnnError> {
        let shapes = [
            ("numbers of the query", features.width(), query.len()),
            ("rows of features", graph.nodes() as usize, features.rows()),
        ];
        if let Some((what, expected, got)) = shapes.into_iter().find(|(_, expected, got)| expected != got) {
            return Err(GnnError::Shape { what, expected, got });
        }
        if let Some(index) = query.iter().position(|number| !number.is_finite()) {
            return Err(GnnError::NotFinite { what: "number of the query", index, got: query[index] });
        }
        let nodes = graph.nodes();
        if let Some((edge, &node)) = neighbors.iter().enumerate().find(|(_, node)| **node >= nodes) {
            return Err(GnnError::MissingNode { edge, node, nodes });
        }
        Ok(WithQuery { graph, features, query, neighbors })
    }

    /// The node that the query is.
    #[must_use]
    pub fn node(&self) -> u32 {
        self.graph.nodes()
    }
}

impl Adjacency for WithQuery<'_> {
    fn nodes(&self) -> u32 {
        self.graph.nodes() + 1
    }

    fn edge_feature_width(&self) -> usize {
        self.graph.edge_feature_width()
    }

    fn read_edges(&self, node: u32, edges: &mut Edges) -> Result<(), GnnError> {
        if node != self.node() {
            return self.graph.read_edges(node, edges);
        }
        edges.clear();
        edges.sources.extend_from_slice(self.neighbors);
        edges.features.resize(self.neighbors.len() * self.edge_feature_width(), 0.0);
        Ok(())
    }
}

impl NodeFeatures for WithQuery<'_> {
    fn rows(&self) -> usize {
        self.features.rows() + 1
    }

    fn width(&self) -> usize {
        self.features.width()
    }

    fn read(&self, node: u32, out: &mut [f32]) -> Result<(), GnnError> {
        if node != self.node() {
            return self.features.read(node, out);
        }
        out.copy_from_slice(self.query);
        Ok(())
    }
}
