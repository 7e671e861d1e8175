//! What the engines are asked to minimise, and the slow, exact distance that judges their answers.

use serde::Serialize;

/// The distance by which neighbours are nearest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Metric {
    /// Squared Euclidean distance.
    L2,
    /// One minus the cosine of the angle.
    Cosine,
}

impl Metric {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::Cosine => "cosine",
        }
    }

    /// The distance in `f64`. Whole numbers, as the stored data sets hold, give whole squared distances and
    /// whole dot products without rounding, so that equal rows are equally far.
    pub(crate) fn distance(self, a: &[f32], b: &[f32]) -> f64 {
        match self {
            Self::L2 => a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum(),
            Self::Cosine => {
                let dot = |a: &[f32], b: &[f32]| -> f64 {
                    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
                };
                1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
            }
        }
    }
}
