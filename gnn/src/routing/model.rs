//! The key model.

use super::{Attention, ModelError};

/// One 2-bit slot of a key: a stage of the quantiser of one coordinate.
///
/// Slots are filled like water: each goes to the coordinate with the largest residual variance, and a repeated
/// coordinate encodes what the stages before it left over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// The coordinate that this slot refines, below the number of coordinates of the model.
    pub coordinate: u16,
    /// The width of one of the four levels, which stand for -1.5, -0.5, 0.5 and 1.5 steps.
    pub step: f32,
}

/// What turns nodes into keys and queries into what keys are scored with.
///
/// Vectors are f32 of `dim` components; under cosine, node vectors and queries are scaled to length 1 first. With μ =
/// `mean`, a node `v` with vector `x` and base-layer neighbours of mean `m` has the routing vector
/// `x' = (1 − λ)·x + λ·m` and the coordinates `p = nodes·(x' − μ) + G_v`, which the slots quantise in stages: slot `s`
/// of coordinate `c` holds the level `z_s` in 0..=3 of what the earlier slots of `c` left, and `rec_c = Σ step_s·(z_s −
/// 1.5)` over the slots of `c`. The bias of the node is
/// `‖rec‖² + κ·((1 − λ)·‖x − μ‖² + λ·‖m − μ‖² − ‖rec‖²) + ν·u`, kept as `bias_base + bias_step·u16`, with
/// `u = 2·(⟨queries·(m − μ), rec⟩ − ⟨m − μ, x' − μ⟩)`.
///
/// Queries for whom the node matters lie near it, where its neighbours are too. With κ = ν = 1 the estimate is exact at the
/// mean of these, whatever the quantiser lost, up to the two corrections of the query; κ and ν below 1 say how far a query's
/// error may be expected to be theirs.
///
/// `G_v` is what [`Attention`] makes of the neighbourhood of the node, and 0 without. With it `rec` is no longer a
/// projection of `x' − μ`: the share of κ in the bias is then not the length that projection and code lost, but the
/// difference between the squared lengths of the routing vector and of what stands for it, and may be negative. The
/// bias remains what makes the estimate the squared distance from `rec`, and κ is trained with the rest.
///
/// The estimate for a query `q` with `h = queries·(q − μ)` is the squared distance to the routing vector, up to what
/// the quantiser lost:
///
/// `est(q, v) = ‖q − μ‖² + query_linear·(q − μ) + query_constant + bias_v − 2·Σ_s h_{c(s)}·step_s·(z_s − 1.5)`
#[derive(Clone, Debug, PartialEq)]
pub struct KeyModel {
    /// Components of a vector.
    pub dim: usize,
    /// Bytes of a key: `(key_bytes − 2)·4` slots and a bias of two bytes. A multiple of 32, at most 128.
    pub key_bytes: usize,
    /// μ: `dim` numbers.
    pub mean: Vec<f32>,
    /// The projection of nodes: coordinates × `dim`, row by row.
    pub nodes: Vec<f32>,
    /// The projection of queries: coordinates × `dim`, row by row.
    pub queries: Vec<f32>,
    /// Correction of the estimate that is linear in the query: `dim` numbers.
    pub query_linear: Vec<f32>,
    /// Constant correction of the estimate.
    pub query_constant: f32,
    /// The slots, in the order of the key: slot `j` lies in byte `j mod (key_bytes − 2)` at bit `2·⌊j / (key_bytes − 2)⌋`.
    pub slots: Vec<Slot>,
    /// λ: the share of the neighbours' mean in a routing vector, 0 to 1.
    pub lambda: f32,
    /// κ: the share of the squared length lost in the code that the bias gives back.
    pub kappa: f32,
    /// ν: the share of the product lost in the code, with the mean of the neighbours, that the bias gives back. 0 in models
    /// of before.
    pub nu: f32,
    /// The bias that the code 0 stands for.
    pub bias_base: f32,
    /// What one unit of a bias code adds.
    pub bias_step: f32,
    /// What makes `G`, where there is one.
    pub attention: Option<Attention>,
}

/// Most components of a vector that a model is made for, as in the index.
const MAX_DIM: usize = redknot_index::MAX_DIM;
/// Coordinates are numbered in 16 bits.
const MAX_COORDINATES: usize = 1 << 16;
/// Bytes of a key behind its slots: the code of the bias.
pub(crate) const BIAS_BYTES: usize = 2;
/// Slots in a byte of a key.
pub(crate) const SLOTS_PER_BYTE: usize = 4;
/// Longest key that the kernels know.
pub(crate) const MAX_KEY_BYTES: usize = 128;
/// Most slots of a key.
pub(crate) const MAX_SLOTS: usize = (MAX_KEY_BYTES - BIAS_BYTES) * SLOTS_PER_BYTE;

impl KeyModel {
    /// Number of coordinates.
    pub fn coordinates(&self) -> usize {
        self.nodes.len() / self.dim.max(1)
    }

    /// Whether keys can be made and read with this model: shapes that agree, slots that refine coordinates of the
    /// model, and numbers that are finite and in range.
    ///
    /// # Errors
    /// [`ModelError`], which names the first part that is wrong.
    pub fn check(&self) -> Result<(), ModelError> {
        within("dim", self.dim as f64, 1.0, MAX_DIM as f64)?;
        if !self.key_bytes.is_multiple_of(32) || !(32..=MAX_KEY_BYTES).contains(&self.key_bytes) {
            return Err(ModelError::KeyBytes { got: self.key_bytes });
        }
        let coordinates = self.coordinates();
        within("the number of coordinates", coordinates as f64, 1.0, MAX_COORDINATES as f64)?;
        has_len("mean", &self.mean, self.dim)?;
        has_len("nodes", &self.nodes, coordinates * self.dim)?;
        has_len("queries", &self.queries, coordinates * self.dim)?;
        has_len("query_linear", &self.query_linear, self.dim)?;
        has_len("slots", &self.slots, (self.key_bytes - BIAS_BYTES) * SLOTS_PER_BYTE)?;
        all_finite("mean", &self.mean)?;
        all_finite("nodes", &self.nodes)?;
        all_finite("queries", &self.queries)?;
        all_finite("query_linear", &self.query_linear)?;
        let shares = [self.query_constant, self.kappa, self.nu, self.bias_base];
        all_finite("query_constant, kappa, nu, bias_base", &shares)?;
        within("lambda", self.lambda.into(), 0.0, 1.0)?;
        within("bias_step", self.bias_step.into(), MIN_STEP.into(), f32::MAX.into())?;
        all_finite("the largest bias", &[self.bias_base + self.bias_step * f32::from(u16::MAX)])?;
        for (number, slot) in self.slots.iter().enumerate() {
            if usize::from(slot.coordinate) >= coordinates {
                return Err(ModelError::Coordinate { slot: number, got: slot.coordinate, coordinates });
            }
            within("the step of a slot", slot.step.into(), MIN_STEP.into(), f32::MAX.into())?;
        }
        self.attention.as_ref().map_or(Ok(()), |attention| attention.check(self.dim, coordinates))
    }
}

/// Steps are divided by: a smaller one is no normal number, and its inverse none at all.
const MIN_STEP: f32 = f32::MIN_POSITIVE;

/// NaN is in no range.
pub(crate) fn within(what: &'static str, got: f64, min: f64, max: f64) -> Result<(), ModelError> {
    if (min..=max).contains(&got) { Ok(()) } else { Err(ModelError::Range { what, got, min, max }) }
}

pub(crate) fn has_len<T>(what: &'static str, values: &[T], expected: usize) -> Result<(), ModelError> {
    if values.len() == expected {
        return Ok(());
    }
    Err(ModelError::Shape { what, expected, got: values.len() })
}

pub(crate) fn all_finite(what: &'static str, values: &[f32]) -> Result<(), ModelError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(ModelError::NotFinite { what, index }),
        None => Ok(()),
    }
}
