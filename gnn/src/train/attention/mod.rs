//! Graph attention with gradients: the twin of [`crate::routing::Attention`].

mod field;
mod stack;

use rayon::prelude::*;

pub(super) use field::{Fields, SampledField};
pub(super) use stack::Stack;

use crate::routing::KeyModel;
use crate::routing::attention::{AttentionEncoder, CorrectScratch, NodeSource};

use super::matrix::Matrix;
use super::vectors::Vectors;
use super::{Corpus, TrainError};

/// Nodes that one thread takes on at a time.
const NODES_PER_TASK: usize = 64;

impl<C: Corpus> NodeSource for Vectors<'_, C> {
    type Error = TrainError;

    fn vector(&self, node: u32, out: &mut [f32]) -> Result<(), TrainError> {
        self.read(node, out)
    }

    fn neighbors(&self, node: u32, out: &mut Vec<u32>) -> Result<(), TrainError> {
        let mut neighbors = Vec::new();
        self.corpus.read_neighbors(node, &mut neighbors)?;
        out.append(&mut neighbors);
        Ok(())
    }
}

/// What the attention of `model` adds to the coordinates of `nodes`, a row each; `None` where it has no attention.
pub(super) fn corrections<C: Corpus>(
    vectors: Vectors<'_, C>,
    model: &KeyModel,
    nodes: &[u32],
) -> Result<Option<Matrix>, TrainError> {
    let coordinates = model.coordinates();
    let attention = model.attention.as_ref();
    let encoder = attention.and_then(|it| AttentionEncoder::new(it, &model.mean, coordinates));
    let Some(encoder) = encoder else { return Ok(None) };
    let surroundings = encoder.surroundings(&vectors, nodes)?;
    let mut rows = Matrix::zeros(nodes.len(), coordinates);
    rows.data.par_chunks_mut(NODES_PER_TASK * coordinates).enumerate().for_each_init(
        Default::default,
        |(out, scratch): &mut (Vec<f32>, CorrectScratch), (task, rows)| {
            surroundings.correct(task * NODES_PER_TASK, rows.len() / coordinates, out, scratch);
            rows.copy_from_slice(out);
        },
    );
    Ok(Some(rows))
}
