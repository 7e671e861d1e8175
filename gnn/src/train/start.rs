//! The model that training starts from: principal axes and water-filled slots.

use fastrand::Rng;

use crate::routing::KeyModel;

use super::attention::corrections;
use super::estimate::Estimator;
use super::matrix::Matrix;
use super::neighborhood::{Neighborhoods, RoutingVectors};
use super::pca::{mean, principal_axes};
use super::quantizer::fill_slots;
use super::shares::fit_shares;
use super::vectors::{Vectors, dot, squared_length};
use super::{Corpus, PcaOptions, TrainError};

/// Numbers that a sample may take: 128 MiB.
const MAX_SAMPLE_NUMBERS: usize = 32 << 20;
/// Biases are coded in the range of those of the sample, widened by this share on both sides.
const BIAS_MARGIN: f32 = 0.1;
/// Bytes of a key that hold its bias.
pub(super) const BIAS_BYTES: usize = 2;
/// Slots of a byte.
pub(super) const SLOTS_PER_BYTE: usize = 4;

/// What is known of the vectors before there are queries.
pub(super) struct Start {
    pub(super) model: KeyModel,
    /// The principal axes that coordinates are combined from, at least as many as there are coordinates.
    pub(super) axes: Matrix,
    /// Root of the mean of `‖x' − μ‖²`.
    pub(super) scale: f32,
    /// The nodes of the sample.
    nodes: Vec<u32>,
    /// Their routing vectors.
    sample: RoutingVectors,
}

/// The key model that principal component analysis yields, without any query.
///
/// # Errors
/// Options out of range, a metric other than L2 and cosine, fewer than 256 linked nodes, or vectors that are all equal.
pub fn pca_model<C: Corpus>(corpus: &C, options: &PcaOptions) -> Result<KeyModel, TrainError> {
    options.check()?;
    let vectors = Vectors::new(corpus)?;
    Ok(start(vectors, &vectors.linked()?, options, 0)?.model)
}

/// The same, with at least `subspace` principal axes where there are so many.
pub(super) fn start<C: Corpus>(
    vectors: Vectors<'_, C>,
    linked: &[u32],
    options: &PcaOptions,
    subspace: usize,
) -> Result<Start, TrainError> {
    let dim = vectors.dim();
    let nodes = draw(linked, options, dim);
    let zero = vec![0.0; dim];
    let mut sample = Neighborhoods { vectors, lambda: options.lambda, mean: &zero }.gather(&nodes)?;
    let mean = mean(&sample.centred);
    for row in sample.means.data.chunks_exact_mut(dim) {
        row.iter_mut().zip(&mean).for_each(|(x, mean)| *x -= mean);
    }
    for (row, length) in sample.centred.data.chunks_exact_mut(dim).zip(&mut sample.lengths) {
        // (1 − λ)‖x − μ‖² + λ‖m − μ‖² = (1 − λ)‖x‖² + λ‖m‖² − 2⟨x', μ⟩ + ‖μ‖².
        *length += squared_length(&mean) - 2.0 * dot(row, &mean);
        row.iter_mut().zip(&mean).for_each(|(x, mean)| *x -= mean);
    }
    let variance = sample.centred.iter().map(squared_length).sum::<f32>() / nodes.len() as f32;
    if variance.is_nan() || variance <= f32::MIN_POSITIVE {
        return Err(TrainError::NoVariance { sampled: nodes.len() });
    }
    let key_bytes = options.key_bytes_of(dim);
    let slots = (key_bytes - BIAS_BYTES) * SLOTS_PER_BYTE;
    let axes = principal_axes(&sample.centred, slots.max(subspace).min(dim))?;
    let slots = fill_slots(&sample.centred.products(&axes.clone().truncated(slots)), slots);
    let used = slots.iter().map(|slot| usize::from(slot.coordinate) + 1).max().unwrap_or(1);
    let projection = axes.clone().truncated(used).data;
    let model = KeyModel {
        dim,
        key_bytes,
        mean,
        nodes: projection.clone(),
        queries: projection,
        query_linear: vec![0.0; dim],
        query_constant: 0.0,
        slots,
        lambda: options.lambda,
        kappa: 0.0,
        nu: 0.0,
        bias_base: 0.0,
        bias_step: 1.0,
        attention: None,
    };
    let scale = variance.sqrt();
    let model = with_biases(vectors, &nodes, &sample, scale, model)?;
    Ok(Start { model, axes, scale, nodes, sample })
}

/// Nodes to look at, in a random order: as many as fit in memory with `numbers` for each.
pub(super) fn draw(linked: &[u32], options: &PcaOptions, numbers: usize) -> Vec<u32> {
    let mut rng = Rng::with_seed(options.seed);
    let count = options.sample.min(MAX_SAMPLE_NUMBERS / numbers).max(256);
    let mut nodes = rng.choose_multiple(linked.iter().copied(), count);
    rng.shuffle(&mut nodes);
    nodes
}

/// The model with κ, ν, the constant of queries and the range of biases that suit `nodes`, whose routing vectors `sample`
/// has.
pub(super) fn with_biases<C: Corpus>(
    vectors: Vectors<'_, C>,
    nodes: &[u32],
    sample: &RoutingVectors,
    scale: f32,
    mut model: KeyModel,
) -> Result<KeyModel, TrainError> {
    fit_shares(vectors, nodes, &mut model)?;
    fit_bias_range(vectors, nodes, sample, scale, &mut model)?;
    Ok(model)
}

impl Start {
    /// Sets the range of bias codes of `model` to what the biases of the sample take.
    pub(super) fn fit_bias_range<C: Corpus>(
        &self,
        vectors: Vectors<'_, C>,
        model: &mut KeyModel,
    ) -> Result<(), TrainError> {
        fit_bias_range(vectors, &self.nodes, &self.sample, self.scale, model)
    }
}

/// Sets the range of bias codes of `model` to what the biases of `nodes` take, whose routing vectors `sample` has.
fn fit_bias_range<C: Corpus>(
    vectors: Vectors<'_, C>,
    nodes: &[u32],
    sample: &RoutingVectors,
    scale: f32,
    model: &mut KeyModel,
) -> Result<(), TrainError> {
    let corrections = corrections(vectors, model, nodes)?;
    let estimator = Estimator::new(model);
    let kept = estimator.kept(&sample.centred, corrections.as_ref().map(|rows| rows.data.as_slice()));
    let (low, high) = estimator
        .biases(sample, &kept)
        .into_iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), bias| (low.min(bias), high.max(bias)));
    // Equal biases still need a step above 0.
    let span = (high - low).max(1e-6 * scale * scale);
    model.bias_base = low - BIAS_MARGIN * span;
    model.bias_step = span * (1.0 + 2.0 * BIAS_MARGIN) / f32::from(u16::MAX);
    Ok(())
}
