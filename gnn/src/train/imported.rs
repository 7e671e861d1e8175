//! The quantiser of projections that somebody else trained.

use crate::onnx::Projection;
use crate::routing::{KeyModel, ModelError};

use super::matrix::Matrix;
use super::neighborhood::Neighborhoods;
use super::quantizer::fill_slots;
use super::start::{BIAS_BYTES, SLOTS_PER_BYTE, draw, with_biases};
use super::vectors::{Vectors, squared_length};
use super::{Corpus, PcaOptions, TrainError};

/// The key model of projections that somebody else trained: with slots, κ and biases that suit the collection.
/// Coordinates that no slot refines are left out.
pub(crate) fn quantise<C: Corpus>(
    corpus: &C,
    projection: Projection,
    options: &PcaOptions,
) -> Result<KeyModel, TrainError> {
    options.check()?;
    let vectors = Vectors::new(corpus)?;
    let dim = vectors.dim();
    let Projection { mean, nodes, queries, lambda } = projection;
    if mean.len() != dim {
        return Err(TrainError::ProjectionDimension { expected: dim, got: mean.len() });
    }
    let coordinates = nodes.len() / dim;
    let sampled = draw(&vectors.linked()?, options, dim.max(coordinates));
    let sample = Neighborhoods { vectors, lambda, mean: &mean }.gather(&sampled)?;
    let matrix = Matrix { rows: coordinates, cols: dim, data: nodes.clone() };
    let projected = sample.centred.products(&matrix);
    let variance = projected.iter().map(squared_length).sum::<f32>() / sampled.len() as f32;
    if !variance.is_finite() {
        return Err(ModelError::NotFinite { what: "the projected vectors", index: 0 }.into());
    }
    if variance <= f32::MIN_POSITIVE {
        return Err(TrainError::NoVariance { sampled: sampled.len() });
    }
    let key_bytes = options.key_bytes_of(dim);
    let mut slots = fill_slots(&projected, (key_bytes - BIAS_BYTES) * SLOTS_PER_BYTE);
    let mut used: Vec<u16> = slots.iter().map(|slot| slot.coordinate).collect();
    used.sort_unstable();
    used.dedup();
    for slot in &mut slots {
        slot.coordinate = used.partition_point(|coordinate| *coordinate < slot.coordinate) as u16;
    }
    let kept = |rows: &[f32]| -> Vec<f32> {
        used.iter().flat_map(|row| &rows[usize::from(*row) * dim..][..dim]).copied().collect()
    };
    let model = KeyModel {
        dim,
        key_bytes,
        mean,
        nodes: kept(&nodes),
        queries: kept(&queries),
        query_linear: vec![0.0; dim],
        query_constant: 0.0,
        slots,
        lambda,
        kappa: 0.0,
        nu: 0.0,
        bias_base: 0.0,
        bias_step: 1.0,
        attention: None,
    };
    let model = with_biases(vectors, &sampled, &sample, variance.sqrt(), model)?;
    model.check()?;
    Ok(model)
}
