//! The vectors and the graph that a router is trained for.

use redknot_index::{Metric, Reader};

use super::TrainError;

/// Vectors and the base layer of their graph, read from many threads.
pub trait Corpus: Sync {
    /// What near means.
    fn metric(&self) -> Metric;

    /// Components of a vector.
    fn dim(&self) -> usize;

    /// Nodes are numbered below this. Not all numbers need be in use.
    fn nodes(&self) -> u32;

    /// Whether a node is in the graph.
    fn is_linked(&self, node: u32) -> Result<bool, TrainError>;

    /// Writes the vector of a node in use to `out`, which has `dim` components; it need not be of length 1 under cosine.
    fn read_vector(&self, node: u32, out: &mut [f32]) -> Result<(), TrainError>;

    /// Replaces `out` by the nodes that a linked node links to in the base layer.
    fn read_neighbors(&self, node: u32, out: &mut Vec<u32>) -> Result<(), TrainError>;
}

impl Corpus for Reader<'_> {
    fn metric(&self) -> Metric {
        self.config().metric
    }

    fn dim(&self) -> usize {
        self.config().dim
    }

    fn nodes(&self) -> u32 {
        self.nodes()
    }

    fn is_linked(&self, node: u32) -> Result<bool, TrainError> {
        Ok(self.is_linked(node)?)
    }

    fn read_vector(&self, node: u32, out: &mut [f32]) -> Result<(), TrainError> {
        redknot_index::decode_into(self.vector(node)?, self.config().element, out);
        Ok(())
    }

    fn read_neighbors(&self, node: u32, out: &mut Vec<u32>) -> Result<(), TrainError> {
        out.clear();
        out.extend(self.neighbors(node)?);
        Ok(())
    }
}
