//! How the features of nodes and edges are laid out as the inputs of a model.

use super::PolicyError;

/// Numbers of a node beside its vector: degree, layer, clustering coefficient, distance from the query.
pub const NODE_NUMBERS: usize = 4;
/// Numbers of an edge without its target's vector: distance, angular similarity, betweenness, cross-layer (0 or 1).
pub const EDGE_NUMBERS: usize = 4;

/// The inputs of a model, for vectors of `dim` components (scaled to length 1 under cosine, as is the query):
///
/// | input | numbers |
/// |---|---|
/// | node | vector (`dim`), degree, layer, clustering coefficient, distance from the query |
/// | edge | distance, angular similarity, betweenness, cross-layer; if wide, the target's vector (`dim`) |
/// | query | `dim` |
///
/// Only a wide model can tell where a link leads, and not just how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    dim: usize,
    wide: bool,
}

impl Layout {
    /// The layout for vectors of `dim` components, with the target's vector in each edge or without.
    ///
    /// # Errors
    /// [`PolicyError::Layout`] for `dim` 0.
    pub fn new(dim: usize, wide: bool) -> Result<Layout, PolicyError> {
        let layout = Layout { dim, wide };
        Layout::of(layout.node_dim(), layout.edge_dim(), dim)
    }

    /// The layout of a model with inputs of these lengths.
    ///
    /// # Errors
    /// [`PolicyError::Layout`] where there is none.
    pub fn of(node_dim: usize, edge_dim: usize, query_dim: usize) -> Result<Layout, PolicyError> {
        let dim = node_dim.saturating_sub(NODE_NUMBERS);
        let wide = edge_dim == EDGE_NUMBERS + dim;
        if dim == 0 || query_dim != dim || !(wide || edge_dim == EDGE_NUMBERS) {
            return Err(PolicyError::Layout { node_dim, edge_dim, query_dim });
        }
        Ok(Layout { dim, wide })
    }

    /// Components of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Whether edges have the vector of their target.
    pub fn is_wide(&self) -> bool {
        self.wide
    }

    /// Numbers of a node.
    pub fn node_dim(&self) -> usize {
        self.dim + NODE_NUMBERS
    }

    /// Numbers of an edge.
    pub fn edge_dim(&self) -> usize {
        if self.wide { EDGE_NUMBERS + self.dim } else { EDGE_NUMBERS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_that_can_be_filled_are_told_from_others() {
        for wide in [false, true] {
            let layout = Layout::new(7, wide).unwrap();
            assert_eq!(Layout::of(layout.node_dim(), layout.edge_dim(), 7).unwrap(), layout);
        }
        for (node, edge, query) in [(11, 5, 7), (11, 4, 8), (4, 4, 0), (3, 4, 0), (11, 10, 7), (0, 0, 0)] {
            let refused = Layout::of(node, edge, query);
            assert!(matches!(refused, Err(PolicyError::Layout { .. })), "{node} {edge} {query}");
        }
        assert!(Layout::new(0, true).is_err());
    }
}
