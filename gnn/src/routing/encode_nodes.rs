//! Keys of nodes of an index.

use rayon::prelude::*;
use redknot_index::{Metric, Reader, decode_into};

use super::attention::{CorrectScratch, NodeSource, Surroundings};
use super::{EncodeScratch, KeyEncoder, ModelError, RouteError, normalize};

/// Nodes that a thread encodes together.
const BATCH: usize = 64;

/// Vectors and means of the nodes of a batch.
#[derive(Default)]
struct Batch {
    vectors: Vec<f32>,
    means: Vec<f32>,
    neighbor: Vec<f32>,
    scratch: EncodeScratch,
    corrections: Vec<f32>,
    correct: CorrectScratch,
}

/// Writes the keys of these nodes, one behind the other, to `out`; of a node that is not in the graph, zeros. Works on
/// the threads of the current rayon pool.
///
/// With attention, the key of a node depends on all nodes up to [`KeyEncoder::hops`] away. Those are read and computed
/// once for all of `nodes`: keys of a whole graph are best made in one call. Where only some keys are made anew after a
/// change, those of nodes that merely have the change within their reach stay as they were. Such a key estimates
/// distances a little worse, which may cost recall; it is never wrong otherwise, as distances are compared in the end.
///
/// # Errors
/// [`ModelError::Shape`] where `out` has not room for as many keys, and what reading the index fails with.
pub fn encode_nodes(
    reader: &Reader<'_>,
    encoder: &KeyEncoder,
    nodes: &[u32],
    out: &mut [u8],
) -> Result<(), RouteError> {
    let expected = nodes.len() * encoder.key_bytes();
    if out.len() != expected {
        let got = out.len();
        return Err(ModelError::Shape { what: "the room for keys", expected, got }.into());
    }
    let surroundings = encoder.attention().map(|attention| attention.surroundings(&Nodes(reader), nodes));
    let surroundings = surroundings.transpose()?;
    let batches = nodes.par_chunks(BATCH).zip(out.par_chunks_mut(BATCH * encoder.key_bytes()));
    batches.enumerate().try_for_each_init(Batch::default, |batch, (number, (nodes, out))| {
        if let Some(surroundings) = &surroundings {
            batch.correct(surroundings, number * BATCH, nodes.len());
        }
        batch.encode(reader, encoder, nodes, out)
    })
}

/// The nodes of an index as attention reads them; those that are not in the graph are zero and alone.
struct Nodes<'r, 'v>(&'r Reader<'v>);

impl NodeSource for Nodes<'_, '_> {
    type Error = RouteError;

    fn vector(&self, node: u32, out: &mut [f32]) -> Result<(), RouteError> {
        if self.0.is_linked(node)? {
            return read(self.0, node, out);
        }
        out.fill(0.0);
        Ok(())
    }

    fn neighbors(&self, node: u32, out: &mut Vec<u32>) -> Result<(), RouteError> {
        if self.0.is_linked(node)? {
            out.extend(self.0.neighbors(node)?);
        }
        Ok(())
    }
}

impl Batch {
    /// Notes what attention adds to the coordinates of the nodes of the batch.
    fn correct(&mut self, surroundings: &Surroundings<'_>, first: usize, count: usize) {
        surroundings.correct(first, count, &mut self.corrections, &mut self.correct);
    }

    fn encode(
        &mut self,
        reader: &Reader<'_>,
        encoder: &KeyEncoder,
        nodes: &[u32],
        out: &mut [u8],
    ) -> Result<(), RouteError> {
        let dim = reader.config().dim;
        self.vectors.resize(nodes.len() * dim, 0.0);
        self.means.resize(nodes.len() * dim, 0.0);
        self.neighbor.resize(dim, 0.0);
        let mut linked = [false; BATCH];
        for (at, &node) in nodes.iter().enumerate() {
            let here = at * dim..(at + 1) * dim;
            let (vector, mean) = (&mut self.vectors[here.clone()], &mut self.means[here]);
            mean.fill(0.0);
            vector.fill(0.0);
            linked[at] = reader.is_linked(node)?;
            if !linked[at] {
                continue;
            }
            read(reader, node, vector)?;
            let mut count = 0_u32;
            for other in reader.neighbors(node)? {
                read(reader, other, &mut self.neighbor)?;
                mean.iter_mut().zip(&self.neighbor).for_each(|(sum, x)| *sum += x);
                count += 1;
            }
            match count {
                // A node alone is its own neighbourhood.
                0 => mean.copy_from_slice(vector),
                count => {
                    let share = 1.0 / count as f32;
                    mean.iter_mut().for_each(|sum| *sum *= share);
                }
            }
        }
        let corrections = encoder.attention().map(|_| self.corrections.as_slice());
        encoder.encode_corrected(&self.vectors, &self.means, corrections, out, &mut self.scratch)?;
        for (key, _) in out.chunks_exact_mut(encoder.key_bytes()).zip(linked).filter(|(_, linked)| !linked) {
            key.fill(0);
        }
        Ok(())
    }
}

/// A vector as the model sees it.
fn read(reader: &Reader<'_>, node: u32, out: &mut [f32]) -> Result<(), RouteError> {
    decode_into(reader.vector(node)?, reader.config().element, out);
    if reader.config().metric == Metric::Cosine {
        normalize(out)?;
    }
    Ok(())
}
