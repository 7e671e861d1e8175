//! Edges from nodes to themselves, and the normalisation of GCN, as PyTorch Geometric has them.

use super::{GnnError, Graph, Matrix};

impl Graph {
    /// The graph without edges from a node to itself.
    #[must_use]
    pub fn without_self_loops(&self) -> Self {
        self.rebuilt(false, None, None)
    }

    /// The graph with exactly one edge from each node to itself, behind the node's other edges. Where there was
    /// one, the last keeps its weight, and a new one weighs `weight`. (PyTorch Geometric's
    /// `add_remaining_self_loops`.)
    ///
    /// # Errors
    /// [`GnnError::NotFinite`] for a `weight` that is NaN or infinite; [`GnnError::Config`] where edges have
    /// features, for which [`Graph::with_mean_self_loops`] is meant.
    pub fn with_remaining_self_loops(&self, weight: f32) -> Result<Self, GnnError> {
        if !weight.is_finite() {
            return Err(GnnError::NotFinite { what: "weight of new self-loop", index: 0, got: weight });
        }
        if self.edge_features().is_some() {
            return Err(GnnError::Config {
                name: "edge_features",
                got: "features of edges".into(),
                expected: "none: with_mean_self_loops says what features a new loop has".into(),
            });
        }
        let weights = self.weights().map(|weights| {
            let mut loops = vec![weight; self.nodes() as usize];
            for node in 0..self.nodes() {
                for edge in self.edges_into(node).filter(|&edge| self.sources()[edge] == node) {
                    loops[node as usize] = weights[edge];
                }
            }
            loops
        });
        // Loops that weigh other than 1 need weights for all edges.
        let weights = weights.or_else(|| (weight != 1.0).then(|| vec![weight; self.nodes() as usize]));
        Ok(self.rebuilt(true, weights, None))
    }

    /// The graph with exactly one edge from each node to itself, behind the node's other edges; its weight and its
    /// features are the mean over the other edges into the node, 0 where there are none. (PyTorch Geometric's
    /// `remove_self_loops` and then `add_self_loops` with `fill_value="mean"`, as its GAT does.)
    #[must_use]
    pub fn with_mean_self_loops(&self) -> Self {
        let mean = |data: &[f32], width: usize| {
            let mut means = vec![0.0f32; self.nodes() as usize * width];
            for node in 0..self.nodes() {
                let mean = &mut means[node as usize * width..(node as usize + 1) * width];
                let mut edges = 0usize;
                for edge in self.edges_into(node).filter(|&edge| self.sources()[edge] != node) {
                    edges += 1;
                    for (sum, feature) in mean.iter_mut().zip(&data[edge * width..(edge + 1) * width]) {
                        *sum += feature;
                    }
                }
                mean.iter_mut().for_each(|sum| *sum /= edges.max(1) as f32);
            }
            means
        };
        let weights = self.weights().map(|weights| mean(weights, 1));
        let features = self.edge_features().map(|rows| mean(rows.data(), rows.cols()));
        self.rebuilt(true, weights, features)
    }

    /// Â = D^-½ (A + I) D^-½ by edge: the loops of [`Graph::with_remaining_self_loops`] if `self_loops`, and then
    /// every weight divided by the square roots of the degrees of both its ends, where the degree of a node is the
    /// sum of the weights of the edges into it (0 divides to 0). Kipf & Welling, ICLR 2017; PyTorch Geometric's
    /// `gcn_norm`.
    ///
    /// # Errors
    /// [`GnnError::NegativeDegree`] where negative weights leave nothing to take a root of.
    pub fn gcn_normalised(&self, self_loops: bool) -> Result<Self, GnnError> {
        let graph = if self_loops {
            let plain = Self::from_csr(
                self.indptr().to_vec(),
                self.sources().to_vec(),
                self.weights().map(<[f32]>::to_vec),
                None,
            )?;
            plain.with_remaining_self_loops(1.0)?
        } else {
            self.clone()
        };
        let weight = |edge: usize| graph.weights().map_or(1.0, |weights| weights[edge]);
        let mut scale = Vec::with_capacity(graph.nodes() as usize);
        for node in 0..graph.nodes() {
            scale.push(inverse_root(node, graph.edges_into(node).map(weight).sum())?);
        }
        let weights = (0..graph.nodes())
            .flat_map(|target| graph.edges_into(target).map(move |edge| (edge, target)))
            .map(|(edge, target)| {
                scale[graph.sources()[edge] as usize] * weight(edge) * scale[target as usize]
            })
            .collect();
        Self::from_csr(graph.indptr().to_vec(), graph.sources().to_vec(), Some(weights), None)
    }

    /// The edges without self-loops and, where `add` says so, a loop last: `weights` and `features` are by node.
    fn rebuilt(&self, add: bool, weights: Option<Vec<f32>>, features: Option<Vec<f32>>) -> Self {
        let width = self.edge_features().map_or(0, Matrix::cols);
        let mut indptr = vec![0];
        let mut sources = Vec::with_capacity(self.edges() + self.nodes() as usize);
        let mut new_weights = Vec::new();
        let mut new_features = Vec::new();
        for node in 0..self.nodes() {
            for edge in self.edges_into(node).filter(|&edge| self.sources()[edge] != node) {
                sources.push(self.sources()[edge]);
                new_weights.push(self.weights().map_or(1.0, |weights| weights[edge]));
                new_features.extend_from_slice(self.edge_features().map_or(&[], |rows| rows.row(edge)));
            }
            if add {
                sources.push(node);
                new_weights.push(weights.as_ref().map_or(1.0, |weights| weights[node as usize]));
                if let Some(features) = &features {
                    new_features
                        .extend_from_slice(&features[node as usize * width..(node as usize + 1) * width]);
                }
            }
            indptr.push(sources.len());
        }
        let weights = (weights.is_some() || self.weights().is_some()).then_some(new_weights);
        let features = self.edge_features().map(|_| {
            Matrix::new(sources.len(), width, new_features).expect("one row was pushed with each edge")
        });
        Self::from_csr(indptr, sources, weights, features)
            .expect("edges and loops of a checked graph are within it")
    }
}

/// 1 / √degree, and 0 for a degree of 0.
pub(super) fn inverse_root(node: u32, degree: f32) -> Result<f32, GnnError> {
    if degree < 0.0 {
        return Err(GnnError::NegativeDegree { node, got: degree });
    }
    Ok(if degree == 0.0 { 0.0 } else { 1.0 / degree.sqrt() })
}
