//! What "near" means.

/// How the distance of two vectors is computed. Smaller is nearer for every metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Metric {
    /// Squared Euclidean distance, `Σ (a−b)²`.
    L2,
    /// Cosine distance, `1 − a·b / (|a| |b|)`, from 0 to 2. A zero vector has no direction and is refused.
    Cosine,
    /// Negative inner product, `−a·b`, so that the largest product is the nearest.
    InnerProduct,
    /// Manhattan distance, `Σ |a−b|`.
    L1,
    /// Number of differing bits; for [`crate::Element::Bits`] only.
    Hamming,
}
