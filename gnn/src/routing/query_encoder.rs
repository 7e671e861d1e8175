//! From a query to what keys are scored with.

use super::kernel::{KeyKernel, MAX_QUERY_VALUE, MAX_SHORT_VALUE, Planes, Terms};
use super::model::{BIAS_BYTES, MAX_SLOTS};
use super::projection::{Projection, ShortProjection, nearest_integer};
use super::{KeyModel, ModelError};

/// As many sums as let the compiler use vectors.
const LANES: usize = 16;
/// Integers of one byte may add so much to the variance that estimates have by the rounding of keys.
const SHORT_LOSS: f32 = 0.03;
/// What rounding a coordinate to the levels of a slot leaves of it, over the square of the slot's step: that of a normal
/// variable with the best step (Max 1960).
const SLOT_VARIANCE: f32 = 0.118;

/// Encodes queries with a [`KeyModel`], and scores keys against them. Shared by threads.
pub struct QueryEncoder {
    dim: usize,
    /// μ, padded.
    mean: Vec<f32>,
    /// `query_linear`, padded.
    linear: Vec<f32>,
    projection: Projection,
    /// The same matrix in bytes, where the machine multiplies these.
    short: Option<ShortProjection>,
    query_constant: f32,
    slots: Vec<QuerySlot>,
    /// For each slot what its rounding adds to the variance of estimates, over the square of a query's value: nothing where
    /// a finer slot of the same coordinate keeps what this one rounds away.
    losses: Vec<f32>,
    bias_base: f32,
    bias_step: f32,
    kernel: KeyKernel,
    key_bytes: usize,
}

#[derive(Clone, Copy)]
struct QuerySlot {
    coordinate: u32,
    /// −2·step.
    weight: f32,
}

/// A query as keys are scored with it. Reused from one query to the next.
pub struct EncodedQuery {
    planes: Planes,
    /// `base` is what a key of score 0 and bias code 0 is estimated at, `scale` what one unit of the score adds.
    terms: Terms,
    /// `q − μ`, padded.
    centred: Vec<f32>,
    projected: Vec<f32>,
    /// `q − μ` in bytes, four components each.
    quads: Vec<u32>,
}

impl Default for EncodedQuery {
    fn default() -> EncodedQuery {
        EncodedQuery {
            planes: Planes::ZERO,
            terms: Terms::default(),
            centred: Vec::new(),
            projected: Vec::new(),
            quads: Vec::new(),
        }
    }
}

impl QueryEncoder {
    /// An encoder for this model, with the best kernel of this machine. Where the machine multiplies bytes by the dozen, the
    /// weights `queries` and the queries they meet are rounded to bytes, unless they are so uneven that it would matter.
    ///
    /// # Errors
    /// What [`KeyModel::check`] finds.
    pub fn new(model: &KeyModel) -> Result<QueryEncoder, ModelError> {
        model.check()?;
        let rows = || model.queries.chunks_exact(model.dim);
        let mut finest = vec![f32::INFINITY; model.coordinates()];
        for slot in &model.slots {
            let finest = &mut finest[usize::from(slot.coordinate)];
            *finest = finest.min(slot.step);
        }
        let slot =
            |slot: &super::Slot| QuerySlot { coordinate: slot.coordinate.into(), weight: -2.0 * slot.step };
        let loss = |slot: &super::Slot| {
            if slot.step <= finest[usize::from(slot.coordinate)] { SLOT_VARIANCE } else { 0.0 }
        };
        let kernel = KeyKernel::new(model.key_bytes).ok_or(ModelError::KeyBytes { got: model.key_bytes })?;
        Ok(QueryEncoder {
            dim: model.dim,
            mean: padded(&model.mean),
            linear: padded(&model.query_linear),
            projection: Projection::new(model.dim, rows()),
            short: ShortProjection::new(model.dim, rows()),
            query_constant: model.query_constant,
            slots: model.slots.iter().map(slot).collect(),
            losses: model.slots.iter().map(loss).collect(),
            bias_base: model.bias_base,
            bias_step: model.bias_step,
            kernel,
            key_bytes: model.key_bytes,
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

    /// The instruction set that keys are scored with.
    pub fn isa(&self) -> redknot_index::Isa {
        self.kernel.isa()
    }

    /// Encodes a query of `dim` components, under cosine scaled to length 1.
    ///
    /// # Errors
    /// [`ModelError::Shape`] where it has another length; [`ModelError::NotFinite`] where some key could be estimated
    /// at NaN or infinity. After success, every estimate of every key is finite.
    pub fn encode(&self, query: &[f32], out: &mut EncodedQuery) -> Result<(), ModelError> {
        if query.len() != self.dim {
            return Err(ModelError::Shape { what: "the query", expected: self.dim, got: query.len() });
        }
        out.centred.clear();
        out.centred.extend_from_slice(query);
        out.centred.resize(self.mean.len(), 0.0);
        let Centred { square, linear, largest } = centre(&mut out.centred, &self.mean, &self.linear);
        out.projected.resize(self.projection.outputs(), 0.0);
        let facts = [largest, square];
        let short = self.short.as_ref();
        if !short.is_some_and(|short| short.apply(&out.centred, facts, &mut out.quads, &mut out.projected)) {
            self.projection.apply(&out.centred[..self.dim], &mut out.projected);
        }
        self.weigh(square + linear + self.query_constant, out)
    }

    /// Encodes the point at these coordinates: estimates are then of squared distances between nodes.
    ///
    /// # Errors
    /// As [`QueryEncoder::encode`].
    pub(super) fn encode_coordinates(
        &self,
        coordinates: &[f32],
        out: &mut EncodedQuery,
    ) -> Result<(), ModelError> {
        out.projected.clear();
        out.projected.extend_from_slice(coordinates);
        self.weigh(coordinates.iter().map(|x| x * x).sum(), out)
    }

    /// From `out.projected` to what keys are scored with, `constant` being what estimates have beside that.
    fn weigh(&self, constant: f32, out: &mut EncodedQuery) -> Result<(), ModelError> {
        let mut values = [0.0; MAX_SLOTS];
        let values = &mut values[..self.slots.len()];
        for (value, slot) in values.iter_mut().zip(&self.slots) {
            *value = out.projected[slot.coordinate as usize] * slot.weight;
        }
        // The largest passes over NaN, the total does not.
        let Totals { largest, total, variance } = totals(values, &self.losses);
        let not_finite = ModelError::NotFinite { what: "the query", index: 0 };
        if !total.is_finite() {
            return Err(not_finite);
        }
        // Rounding the query to one byte adds 1/12 unit² for each slot, times the variance of its levels, 5/4 at most.
        let unit = largest / MAX_SHORT_VALUE;
        out.planes.short = values.len() as f32 * (5.0 / 48.0) * unit * unit <= SHORT_LOSS * variance;
        let most = if out.planes.short { MAX_SHORT_VALUE } else { MAX_QUERY_VALUE };
        let scale = largest / most;
        // No value is worth a unit where the largest is next to nothing.
        let inverse = if largest > f32::MIN_POSITIVE * MAX_QUERY_VALUE { 1.0 / scale } else { 0.0 };
        let sum = split(values, inverse, self.key_bytes - BIAS_BYTES, &mut out.planes);
        // Levels are −1.5, −0.5, 0.5 and 1.5 steps; keys hold 0 to 3.
        let base = constant + self.bias_base - scale * (1.5 * sum as f32);
        out.terms = Terms { base, bias_step: self.bias_step, scale };
        // Every estimate, and every intermediate sum of it, is at most this far from 0.
        let bound = base.abs() + f32::from(u16::MAX) * self.bias_step + 4.0 * total;
        if bound.is_finite() { Ok(()) } else { Err(not_finite) }
    }

    /// The coordinates of a query and its terms beside its length, for comparison with those of an exported model.
    #[cfg(all(test, feature = "onnx"))]
    pub(crate) fn numbers(&self, query: &[f32]) -> Result<(Vec<f32>, f32), ModelError> {
        let mut out = EncodedQuery::default();
        self.encode(query, &mut out)?;
        let mut centred = padded(query);
        let Centred { linear, .. } = centre(&mut centred, &self.mean, &self.linear);
        Ok((out.projected, linear + self.query_constant))
    }

    /// `out[i]` = the estimate of the squared distance of the query to the node of `keys[i]`: finite, and the same on
    /// every machine up to the rounding of the query's projection.
    ///
    /// # Panics
    /// If a key does not have [`QueryEncoder::key_bytes`], or `out` not as many entries as `keys`.
    #[inline]
    pub fn estimates(&self, query: &EncodedQuery, keys: &[&[u8]], out: &mut [f32]) {
        self.kernel.estimates(&query.planes, &query.terms, keys, out);
    }
}

/// Of a query less the mean.
struct Centred {
    /// The square of its length.
    square: f32,
    /// Its product with `query_linear`.
    linear: f32,
    /// Its largest magnitude.
    largest: f32,
}

/// Subtracts `mean` from a query. All end in zeros up to a multiple of [`LANES`].
fn centre(query: &mut [f32], mean: &[f32], linear: &[f32]) -> Centred {
    let (mut squares, mut products, mut largest) = ([0.0; LANES], [0.0; LANES], [0.0f32; LANES]);
    let inputs = mean.as_chunks::<LANES>().0.iter().zip(linear.as_chunks::<LANES>().0);
    for (query, (mean, linear)) in query.as_chunks_mut::<LANES>().0.iter_mut().zip(inputs) {
        for lane in 0..LANES {
            query[lane] -= mean[lane];
            squares[lane] += query[lane] * query[lane];
            products[lane] += query[lane] * linear[lane];
            let magnitude = query[lane].abs();
            largest[lane] = if magnitude > largest[lane] { magnitude } else { largest[lane] };
        }
    }
    Centred {
        square: squares.iter().sum(),
        linear: products.iter().sum(),
        largest: largest.into_iter().fold(0.0, f32::max),
    }
}

/// The numbers and zeros up to a multiple of [`LANES`].
fn padded(numbers: &[f32]) -> Vec<f32> {
    let mut padded = numbers.to_vec();
    padded.resize(numbers.len().next_multiple_of(LANES), 0.0);
    padded
}

/// Of a query's values.
struct Totals {
    /// The largest magnitude.
    largest: f32,
    /// The sum of all magnitudes.
    total: f32,
    /// What the rounding of keys adds to the variance of estimates.
    variance: f32,
}

/// Of a multiple of 8 values, which the slots of a key are.
fn totals(values: &[f32], losses: &[f32]) -> Totals {
    let (mut largest, mut total, mut variance) = ([0.0f32; 8], [0.0f32; 8], [0.0f32; 8]);
    for (values, losses) in values.as_chunks::<8>().0.iter().zip(losses.as_chunks::<8>().0) {
        for lane in 0..8 {
            let magnitude = values[lane].abs();
            largest[lane] = if magnitude > largest[lane] { magnitude } else { largest[lane] };
            total[lane] += magnitude;
            variance[lane] += losses[lane] * values[lane] * values[lane];
        }
    }
    Totals {
        largest: largest.into_iter().fold(0.0, f32::max),
        total: total.iter().sum(),
        variance: variance.iter().sum(),
    }
}

/// Rounds `values · inverse` to integers of as many bytes as `planes` says, `columns` values to a plane; returns their sum.
fn split(values: &[f32], inverse: f32, columns: usize, planes: &mut Planes) -> i32 {
    let mut sum = 0;
    let short = planes.short;
    let planes = planes.low.iter_mut().zip(&mut planes.high);
    for (values, (low, high)) in values.chunks_exact(columns).zip(planes) {
        if short {
            for (value, low) in values.iter().zip(&mut low.0) {
                let integer = nearest_integer(value * inverse);
                *low = integer as i8;
                sum += integer;
            }
        } else {
            for ((value, low), high) in values.iter().zip(&mut low.0).zip(&mut high.0) {
                let integer = nearest_integer(value * inverse);
                let upper = (integer + 64) >> 7;
                *high = upper as i8;
                *low = (integer - (upper << 7)) as i8;
                sum += integer;
            }
        }
        // Another model may have had longer keys.
        low.0[columns..].fill(0);
        high.0[columns..].fill(0);
    }
    sum
}

impl std::fmt::Debug for QueryEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryEncoder")
            .field("dim", &self.dim)
            .field("kernel", &self.kernel)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for EncodedQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncodedQuery").field("terms", &self.terms).finish_non_exhaustive()
    }
}
