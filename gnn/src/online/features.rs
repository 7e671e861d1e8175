//! What models see of nodes and edges.

use super::NODE_NUMBERS;

/// The features of a node, for one query.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeFeatures {
    /// Its vector; of length 1 under cosine.
    pub embedding: Vec<f32>,
    /// Nodes that it links to in the base layer.
    pub degree: usize,
    /// Highest layer that it is in.
    pub layer: usize,
    /// Share of the pairs of its neighbours that are neighbours of each other, 0 to 1.
    pub clustering_coef: f32,
    /// Distance from the query, in the metric of the index.
    pub query_distance: f32,
}

impl NodeFeatures {
    /// Appends them as the model takes them.
    pub fn append_to(&self, tensor: &mut Vec<f32>) {
        tensor.extend_from_slice(&self.embedding);
        let numbers: [f32; NODE_NUMBERS] =
            [self.degree as f32, self.layer as f32, self.clustering_coef, self.query_distance];
        tensor.extend_from_slice(&numbers);
    }
}

/// The features of a link of the base layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EdgeFeatures {
    /// Distance of its two ends in the metric of the index.
    pub distance: f32,
    /// Cosine of the angle between the vectors of its ends, −1 to 1; 0 where one of them is zero.
    pub angular_similarity: f32,
    /// Share of all pairs of nodes that it lies between on shortest paths, as it was computed last; 0 where the
    /// collection has no usable graph features ([`crate::online::Graph`]).
    pub betweenness: f32,
    /// Whether the highest layers of its ends differ.
    pub cross_layer: bool,
}

impl EdgeFeatures {
    /// As the model takes them, but for the target's vector.
    pub fn numbers(&self) -> [f32; super::EDGE_NUMBERS] {
        [self.distance, self.angular_similarity, self.betweenness, f32::from(u8::from(self.cross_layer))]
    }
}
