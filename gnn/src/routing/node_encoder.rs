//! From nodes to keys.

use super::attention::AttentionEncoder;
use super::model::{BIAS_BYTES, MAX_SLOTS};
use super::projection::Projection;
use super::sums::dot;
use super::{KeyModel, ModelError};

/// Nodes that are projected together, always as many: a key then does not depend on what is encoded beside it.
const GROUP: usize = 4;

/// Makes keys with a [`KeyModel`]. Shared by threads, each with a scratch of its own.
pub struct KeyEncoder {
    dim: usize,
    key_bytes: usize,
    lambda: f32,
    kappa: f32,
    bias_base: f32,
    bias_scale: f32,
    mean: Vec<f32>,
    projection: Projection,
    /// 2·ν, with the projection of queries, which means of neighbours meet; `None` where ν is 0.
    queries: Option<(f32, Projection)>,
    slots: Vec<NodeSlot>,
    attention: Option<AttentionEncoder>,
}

#[derive(Clone, Copy)]
struct NodeSlot {
    coordinate: u32,
    step: f32,
    /// 1 / step.
    inverse: f32,
}

/// The working memory of a [`KeyEncoder`]: nothing is allocated per node once it has grown.
#[derive(Debug, Default)]
pub struct EncodeScratch {
    /// `x' − μ` of a group of nodes.
    centred: Vec<f32>,
    /// Their coordinates.
    coordinates: Vec<f32>,
    means: Means,
    /// What the slots so far have left over of the coordinates of a node.
    residual: Vec<f32>,
}

/// The means of the neighbours of a group of nodes, where the bias wants them.
#[derive(Debug, Default)]
struct Means {
    /// `m − μ`.
    centred: Vec<f32>,
    /// The coordinates that they have as queries.
    queried: Vec<f32>,
}

impl KeyEncoder {
    /// An encoder for this model.
    ///
    /// # Errors
    /// What [`KeyModel::check`] finds.
    pub fn new(model: &KeyModel) -> Result<KeyEncoder, ModelError> {
        model.check()?;
        let slot = |slot: &super::Slot| NodeSlot {
            coordinate: slot.coordinate.into(),
            step: slot.step,
            inverse: 1.0 / slot.step,
        };
        let attention = model.attention.as_ref();
        let projection = |rows: &[f32]| Projection::new(model.dim, rows.chunks_exact(model.dim));
        Ok(KeyEncoder {
            attention: attention.and_then(|it| AttentionEncoder::new(it, &model.mean, model.coordinates())),
            dim: model.dim,
            key_bytes: model.key_bytes,
            lambda: model.lambda,
            kappa: model.kappa,
            bias_base: model.bias_base,
            bias_scale: 1.0 / model.bias_step,
            mean: model.mean.clone(),
            projection: projection(&model.nodes),
            queries: (model.nu != 0.0).then(|| (2.0 * model.nu, projection(&model.queries))),
            slots: model.slots.iter().map(slot).collect(),
        })
    }

    /// Components of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Bytes of a key.
    pub fn key_bytes(&self) -> usize {
        self.key_bytes
    }

    /// How many hops away the nodes lie that a key depends on.
    pub fn hops(&self) -> usize {
        self.attention.as_ref().map_or(1, AttentionEncoder::hops)
    }

    /// Whether keys depend on attention: those of many nodes are then best made in one call.
    pub fn attends(&self) -> bool {
        self.attention.is_some()
    }

    /// What corrects coordinates, where the model has it.
    pub(super) fn attention(&self) -> Option<&AttentionEncoder> {
        self.attention.as_ref()
    }

    /// Writes the keys of nodes that lie one behind the other: `x` holds their vectors and `means` the means of the
    /// vectors of their neighbours in the base layer, `dim` numbers a node each, under cosine of vectors scaled to
    /// length 1. A node without neighbours has its own vector for a mean. `out` takes [`KeyEncoder::key_bytes`] a node.
    ///
    /// A node has the same key whatever is encoded with it and on however many threads. Attention, which is no matter of
    /// a node and its neighbours alone, is left out: [`encode_nodes`](super::encode_nodes) makes the keys of a model
    /// that has it.
    ///
    /// # Errors
    /// [`ModelError::Shape`] where the lengths do not fit, [`ModelError::NotFinite`] with the number of the node where
    /// a vector or mean is not finite, or so long that its square is not. `out` may then be written in part.
    pub fn encode(
        &self,
        x: &[f32],
        means: &[f32],
        out: &mut [u8],
        scratch: &mut EncodeScratch,
    ) -> Result<(), ModelError> {
        self.encode_corrected(x, means, None, out, scratch)
    }

    /// The same with what attention adds to the coordinates, as many numbers a node as there are coordinates.
    pub(super) fn encode_corrected(
        &self,
        x: &[f32],
        means: &[f32],
        corrections: Option<&[f32]>,
        out: &mut [u8],
        scratch: &mut EncodeScratch,
    ) -> Result<(), ModelError> {
        let nodes = out.len() / self.key_bytes;
        for (what, got) in [("the vectors", x.len()), ("the means of neighbours", means.len())] {
            if got != nodes * self.dim {
                return Err(ModelError::Shape { what, expected: nodes * self.dim, got });
            }
        }
        if out.len() != nodes * self.key_bytes {
            let expected = nodes * self.key_bytes;
            return Err(ModelError::Shape { what: "the room for keys", expected, got: out.len() });
        }
        scratch.centred.resize(GROUP * self.dim, 0.0);
        scratch.coordinates.resize(GROUP * self.projection.outputs(), 0.0);
        let vectors = x.chunks(GROUP * self.dim).zip(means.chunks(GROUP * self.dim));
        for (number, ((x, means), out)) in vectors.zip(out.chunks_mut(GROUP * self.key_bytes)).enumerate() {
            let first = number * GROUP;
            let corrections = corrections.map(|all| &all[all.len() / nodes * first..]);
            self.encode_group(first, [x, means], corrections, out, scratch)?;
        }
        Ok(())
    }

    fn encode_group(
        &self,
        first: usize,
        [x, means]: [&[f32]; 2],
        corrections: Option<&[f32]>,
        out: &mut [u8],
        scratch: &mut EncodeScratch,
    ) -> Result<(), ModelError> {
        let EncodeScratch { centred, coordinates, .. } = &mut *scratch;
        let mut squares = [0.0; GROUP];
        let nodes = x.chunks_exact(self.dim).zip(means.chunks_exact(self.dim));
        for ((x, m), (centred, square)) in nodes.zip(centred.chunks_exact_mut(self.dim).zip(&mut squares)) {
            *square = self.centre(x, m, centred);
        }
        self.projection.apply(centred, coordinates);
        if let (Some(corrections), Some(attention)) = (corrections, &self.attention) {
            let rows = coordinates.chunks_exact_mut(self.projection.outputs());
            for (row, correction) in rows.zip(corrections.chunks_exact(attention.coordinates())) {
                row.iter_mut().zip(correction).for_each(|(x, correction)| *x += correction);
            }
        }
        self.query_means(means, &mut scratch.means);
        let EncodeScratch { centred, coordinates, residual, means } = scratch;
        let coordinates = coordinates.chunks_exact(self.projection.outputs());
        let keys = out.chunks_exact_mut(self.key_bytes);
        for (node, ((key, coordinates), square)) in keys.zip(coordinates).zip(squares).enumerate() {
            residual.clear();
            residual.extend_from_slice(coordinates);
            self.quantise(residual, key);
            // What the slots keep.
            residual.iter_mut().zip(coordinates).for_each(|(left, whole)| *left = whole - *left);
            let recovered: f32 = residual.iter().map(|kept| kept * kept).sum();
            let mut bias = recovered + self.kappa * (square - recovered);
            if let Some((share, projection)) = &self.queries {
                let of_codes = dot(row(&means.queried, node, projection.outputs()), residual);
                bias += share
                    * (of_codes - dot(row(&means.centred, node, self.dim), row(centred, node, self.dim)));
            }
            if !bias.is_finite() {
                return Err(ModelError::NotFinite {
                    what: "the vector or mean of a node",
                    index: first + node,
                });
            }
            // Saturates where the model has seen no such bias.
            let code = ((bias - self.bias_base) * self.bias_scale).round_ties_even() as u16;
            key[self.key_bytes - BIAS_BYTES..].copy_from_slice(&code.to_le_bytes());
        }
        Ok(())
    }

    /// Writes `m − μ` of a group of nodes, and what it is projected to as a query, if that is needed.
    fn query_means(&self, means: &[f32], out: &mut Means) {
        let Some((_, projection)) = &self.queries else { return };
        out.centred.resize(GROUP * self.dim, 0.0);
        out.queried.resize(GROUP * projection.outputs(), 0.0);
        for (centred, m) in out.centred.chunks_exact_mut(self.dim).zip(means.chunks_exact(self.dim)) {
            let less_mean = m.iter().zip(&self.mean).map(|(m, mean)| m - mean);
            centred.iter_mut().zip(less_mean).for_each(|(centred, x)| *centred = x);
        }
        projection.apply(&out.centred, &mut out.queried);
    }

    /// Writes `x' − μ`; returns `(1 − λ)·‖x − μ‖² + λ·‖m − μ‖²`.
    fn centre(&self, x: &[f32], m: &[f32], out: &mut [f32]) -> f32 {
        const LANES: usize = 16;
        let (own, share) = (1.0 - self.lambda, self.lambda);
        let step = |x: f32, m: f32, mean: f32| {
            let (x, m) = (x - mean, m - mean);
            (own * x + share * m, own * (x * x) + share * (m * m))
        };
        // As many sums as let the compiler use vectors.
        let mut squares = [0.0; LANES];
        let inputs = x.as_chunks::<LANES>().0.iter().zip(m.as_chunks::<LANES>().0);
        let inputs = inputs.zip(self.mean.as_chunks::<LANES>().0);
        for (((x, m), mean), out) in inputs.zip(out.as_chunks_mut::<LANES>().0) {
            for lane in 0..LANES {
                let (value, square) = step(x[lane], m[lane], mean[lane]);
                out[lane] = value;
                squares[lane] += square;
            }
        }
        for at in x.len() / LANES * LANES..x.len() {
            let (value, square) = step(x[at], m[at], self.mean[at]);
            out[at] = value;
            squares[0] += square;
        }
        squares.iter().sum()
    }

    /// The coordinates of a node, for comparison with those of an exported model.
    #[cfg(all(test, feature = "onnx"))]
    pub(crate) fn coordinates(&self, x: &[f32], m: &[f32]) -> Vec<f32> {
        let mut centred = vec![0.0; self.dim];
        self.centre(x, m, &mut centred);
        let mut coordinates = vec![0.0; self.projection.outputs()];
        self.projection.apply(&centred, &mut coordinates);
        coordinates
    }

    /// Writes the levels of the slots, and takes what they stand for from `residual`.
    fn quantise(&self, residual: &mut [f32], key: &mut [u8]) {
        let columns = self.key_bytes - BIAS_BYTES;
        let mut levels = [0u8; MAX_SLOTS];
        for (slot, level) in self.slots.iter().zip(&mut levels) {
            let left = &mut residual[slot.coordinate as usize];
            // The cast truncates, which rounds down all that is not clamped, and makes 0 of NaN.
            let nearest = ((*left * slot.inverse + 2.0) as i32).clamp(0, 3);
            *left -= slot.step * (nearest as f32 - 1.5);
            *level = nearest as u8;
        }
        let key = &mut key[..columns];
        key.fill(0);
        for (plane, levels) in levels[..self.slots.len()].chunks_exact(columns).enumerate() {
            for (byte, level) in key.iter_mut().zip(levels) {
                *byte |= level << (2 * plane);
            }
        }
    }
}

/// A row of rows of so many numbers.
fn row(rows: &[f32], number: usize, width: usize) -> &[f32] {
    &rows[number * width..][..width]
}

impl std::fmt::Debug for KeyEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { dim, key_bytes, lambda, .. } = self;
        f.debug_struct("KeyEncoder")
            .field("dim", dim)
            .field("key_bytes", key_bytes)
            .field("lambda", lambda)
            .finish_non_exhaustive()
    }
}
