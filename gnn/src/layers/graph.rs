//! A graph in memory: the edges into each node, as compressed sparse rows.

use std::ops::Range;

use super::{GnnError, Matrix};

/// A directed graph by target: the edges into node `v` are `indptr[v]..indptr[v + 1]`, and `sources`, `weights` and
/// `edge_features` are indexed by *edge*. Several edges between two nodes and edges from a node to itself are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    indptr: Vec<usize>,
    sources: Vec<u32>,
    weights: Option<Vec<f32>>,
    edge_features: Option<Matrix>,
}

impl Graph {
    /// A graph of `nodes` nodes with the edges `(source, target)`; `weights[i]` and row `i` of `edge_features` belong
    /// to `edges[i]`. Edges into one node keep their order.
    ///
    /// # Errors
    /// [`GnnError::MissingNode`] for an edge from or to a node that is not there, [`GnnError::Shape`] where weights
    /// or features are not as many as edges, [`GnnError::NotFinite`] for NaN and infinities.
    pub fn from_edges(
        nodes: u32,
        edges: &[(u32, u32)],
        weights: Option<&[f32]>,
        edge_features: Option<&Matrix>,
    ) -> Result<Self, GnnError> {
        let mut indptr = vec![0usize; nodes as usize + 1];
        for (edge, &(source, target)) in edges.iter().enumerate() {
            for node in [source, target] {
                if node >= nodes {
                    return Err(GnnError::MissingNode { edge, node, nodes });
                }
            }
            indptr[target as usize + 1] += 1;
        }
        check_edge_data(edges.len(), weights, edge_features)?;
        for node in 0..nodes as usize {
            indptr[node + 1] += indptr[node];
        }
        // A stable counting sort: `order[i]` is where edge i of the input goes.
        let mut next = indptr.clone();
        let mut from = vec![0usize; edges.len()];
        for (edge, &(_, target)) in edges.iter().enumerate() {
            from[next[target as usize]] = edge;
            next[target as usize] += 1;
        }
        Ok(Self {
            indptr,
            sources: from.iter().map(|&edge| edges[edge].0).collect(),
            weights: weights.map(|weights| from.iter().map(|&edge| weights[edge]).collect()),
            edge_features: edge_features.map(|rows| select_rows(rows, &from)),
        })
    }

    /// A graph from its compressed sparse rows.
    ///
    /// # Errors
    /// As [`Graph::from_edges`]; [`GnnError::Config`] where `indptr` does not rise from 0 to the number of edges.
    pub fn from_csr(
        indptr: Vec<usize>,
        sources: Vec<u32>,
        weights: Option<Vec<f32>>,
        edge_features: Option<Matrix>,
    ) -> Result<Self, GnnError> {
        let rises = indptr.first() == Some(&0)
            && indptr.last() == Some(&sources.len())
            && indptr.windows(2).all(|pair| pair[0] <= pair[1])
            && u32::try_from(indptr.len() - 1).is_ok();
        if !rises {
            return Err(GnnError::Config {
                name: "indptr",
                got: format!("{} offsets, the last {:?}", indptr.len(), indptr.last()),
                expected: format!("offsets that rise from 0 to the {} edges", sources.len()),
            });
        }
        let nodes = (indptr.len() - 1) as u32;
        if let Some((edge, &node)) = sources.iter().enumerate().find(|&(_, &source)| source >= nodes) {
            return Err(GnnError::MissingNode { edge, node, nodes });
        }
        check_edge_data(sources.len(), weights.as_deref(), edge_features.as_ref())?;
        Ok(Self { indptr, sources, weights, edge_features })
    }

    /// Nodes.
    #[must_use]
    pub fn nodes(&self) -> u32 {
        (self.indptr.len() - 1) as u32
    }

    /// Edges.
    #[must_use]
    pub fn edges(&self) -> usize {
        self.sources.len()
    }

    /// Where the edges into each node begin and end, nodes + 1 offsets.
    #[must_use]
    pub fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// Where each edge comes from.
    #[must_use]
    pub fn sources(&self) -> &[u32] {
        &self.sources
    }

    /// The weight of each edge; without them all weigh 1.
    #[must_use]
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// A row of features for each edge.
    #[must_use]
    pub fn edge_features(&self) -> Option<&Matrix> {
        self.edge_features.as_ref()
    }

    /// Positions of the edges into `node`.
    ///
    /// # Panics
    /// When there is no such node.
    #[must_use]
    pub fn edges_into(&self, node: u32) -> Range<usize> {
        self.indptr[node as usize]..self.indptr[node as usize + 1]
    }

    /// All edges as `(source, target)`, by target.
    #[must_use]
    pub fn edge_list(&self) -> Vec<(u32, u32)> {
        (0..self.nodes())
            .flat_map(|target| self.edges_into(target).map(move |edge| (self.sources[edge], target)))
            .collect()
    }

    /// The graph with every edge turned around; weights and features stay with their edges.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let turned: Vec<(u32, u32)> =
            self.edge_list().into_iter().map(|(source, target)| (target, source)).collect();
        Self::from_edges(self.nodes(), &turned, self.weights(), self.edge_features())
            .expect("the edges of a checked graph, turned around, are within it")
    }
}

fn check_edge_data(edges: usize, weights: Option<&[f32]>, features: Option<&Matrix>) -> Result<(), GnnError> {
    if let Some(weights) = weights {
        if weights.len() != edges {
            return Err(GnnError::Shape { what: "weights of edges", expected: edges, got: weights.len() });
        }
        check_finite("weight of edge", weights, 1)?;
    }
    if let Some(features) = features {
        if features.rows() != edges {
            return Err(GnnError::Shape { what: "features of edges", expected: edges, got: features.rows() });
        }
        check_finite("feature of edge", features.data(), features.cols())?;
    }
    Ok(())
}

/// Refuses NaN and infinities in rows of `width` numbers.
pub(super) fn check_finite(what: &'static str, data: &[f32], width: usize) -> Result<(), GnnError> {
    match data.iter().position(|number| !number.is_finite()) {
        Some(at) => Err(GnnError::NotFinite { what, index: at / width, got: data[at] }),
        None => Ok(()),
    }
}

fn select_rows(rows: &Matrix, from: &[usize]) -> Matrix {
    let data = from.iter().flat_map(|&row| rows.row(row).iter().copied()).collect();
    Matrix::new(from.len(), rows.cols(), data).expect("as many rows of the same width were selected")
}
