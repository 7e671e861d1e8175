//! The nodes that a batch depends on, of each only some neighbours (Hamilton et al. 2017).

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use fastrand::Rng;

use crate::train::vectors::Vectors;
use crate::train::{Corpus, TrainError};

/// What the score of a place without a neighbour has added: its share is 0 then.
const NOBODY: f32 = -1e30;

/// Draws receptive fields.
pub(in crate::train) struct Fields<'c, C> {
    pub(in crate::train) vectors: Vectors<'c, C>,
    /// Layers of attention.
    pub(in crate::train) layers: usize,
    /// Neighbours of a node that are drawn.
    pub(in crate::train) neighbors: usize,
}

/// The receptive field of the nodes of a batch.
pub(in crate::train) struct SampledField {
    /// From the first layer to the last.
    pub(super) layers: Vec<Seen>,
    /// The row of the last layer of each place of the batch.
    pub(super) places: Tensor,
}

/// What each node of a layer sees of the layer before: itself, then neighbours.
pub(super) struct Seen {
    pub(super) nodes: usize,
    /// How many a node sees at most.
    pub(super) width: usize,
    /// Rows of the layer before, nodes · width of them.
    pub(super) rows: Tensor,
    /// Nodes × width × 1: 0, or where a node sees fewer, [`NOBODY`].
    pub(super) mask: Tensor,
}

/// Nodes, each once, and their places among them.
#[derive(Default)]
struct Numbered {
    nodes: Vec<u32>,
    places: HashMap<u32, u32>,
}

impl Numbered {
    fn place(&mut self, node: u32) -> u32 {
        *self.places.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            self.nodes.len() as u32 - 1
        })
    }
}

impl<C: Corpus> Fields<'_, C> {
    /// The field of the nodes of a batch. With `rng` some of the neighbours of each node are drawn, without all are in it.
    pub(in crate::train) fn draw(
        &self,
        nodes: &[u32],
        mut rng: Option<&mut Rng>,
    ) -> Result<SampledField, TrainError> {
        let mut asked = Numbered::default();
        let places: Vec<u32> = nodes.iter().map(|node| asked.place(*node)).collect();
        let mut layers = Vec::with_capacity(self.layers);
        for layer in (0..self.layers).rev() {
            let seen = self.seen(&asked.nodes, rng.as_deref_mut())?;
            let mut before = Numbered::default();
            // The first layer reads a table of all nodes.
            let mut row = |node: u32| if layer == 0 { node } else { before.place(node) };
            let width = seen.iter().map(Vec::len).max().unwrap_or(1);
            let (mut rows, mut mask) = (Vec::with_capacity(seen.len() * width), Vec::new());
            for seen in &seen {
                let missing = width - seen.len();
                rows.extend(seen.iter().map(|node| row(*node)));
                rows.extend(std::iter::repeat_n(row(seen[0]), missing));
                mask.extend(std::iter::repeat_n(0.0_f32, seen.len()));
                mask.extend(std::iter::repeat_n(NOBODY, missing));
            }
            let nodes = seen.len();
            layers.push(Seen {
                nodes,
                width,
                rows: Tensor::from_vec(rows, nodes * width, &Device::Cpu)?,
                mask: Tensor::from_vec(mask, (nodes, width, 1), &Device::Cpu)?,
            });
            asked = before;
        }
        layers.reverse();
        let count = places.len();
        Ok(SampledField { layers, places: Tensor::from_vec(places, count, &Device::Cpu)? })
    }

    /// Each node and the neighbours of it that it sees.
    fn seen(&self, nodes: &[u32], mut rng: Option<&mut Rng>) -> Result<Vec<Vec<u32>>, TrainError> {
        let mut neighbors = Vec::new();
        let look = |node: &u32| {
            self.vectors.corpus.read_neighbors(*node, &mut neighbors)?;
            if let Some(rng) = rng.as_deref_mut()
                && neighbors.len() > self.neighbors
            {
                neighbors = rng.choose_multiple(neighbors.iter().copied(), self.neighbors);
            }
            Ok(std::iter::once(*node).chain(neighbors.iter().copied()).collect())
        };
        nodes.iter().map(look).collect()
    }
}
