//! The key model.

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
/// `x' = (1 − λ)·x + λ·m` and the coordinates `p = nodes·(x' − μ)`, which the slots quantise in stages: slot `s` of
/// coordinate `c` holds the level `z_s` in 0..=3 of what the earlier slots of `c` left, and `rec_c = Σ step_s·(z_s −
/// 1.5)` over the slots of `c`. The bias of the node is
/// `‖rec‖² + κ·((1 − λ)·‖x − μ‖² + λ·‖m − μ‖² − ‖rec‖²)`, kept as `bias_base + bias_step·u16`.
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
    /// The bias that the code 0 stands for.
    pub bias_base: f32,
    /// What one unit of a bias code adds.
    pub bias_step: f32,
}

impl KeyModel {
    /// Number of coordinates.
    pub fn coordinates(&self) -> usize {
        self.nodes.len() / self.dim.max(1)
    }
}
