//! Projections that a key model can be made from.

use crate::routing::{ModelError, all_finite, has_len, within};

/// The part of a key model that is learned, without the quantiser: what a program that is not redknot trains.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// μ: as many numbers as vectors have components.
    pub mean: Vec<f32>,
    /// The projection of nodes: coordinates × dim, row by row.
    pub nodes: Vec<f32>,
    /// The projection of queries: coordinates × dim, row by row.
    pub queries: Vec<f32>,
    /// λ: the share of the neighbours' mean in a routing vector, 0 to 1.
    pub lambda: f32,
}

impl Projection {
    /// Components of a vector.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// Number of coordinates.
    pub fn coordinates(&self) -> usize {
        self.nodes.len() / self.mean.len().max(1)
    }

    /// Whether the shapes agree and the numbers are finite and in range.
    ///
    /// # Errors
    /// [`ModelError`], which names the first part that is wrong.
    pub fn check(&self) -> Result<(), ModelError> {
        within("dim", self.dim() as f64, 1.0, redknot_index::MAX_DIM as f64)?;
        within("the number of coordinates", self.coordinates() as f64, 1.0, f64::from(1 << 16))?;
        has_len("nodes", &self.nodes, self.coordinates() * self.dim())?;
        has_len("queries", &self.queries, self.nodes.len())?;
        all_finite("mean", &self.mean)?;
        all_finite("nodes", &self.nodes)?;
        all_finite("queries", &self.queries)?;
        within("lambda", self.lambda.into(), 0.0, 1.0)
    }

    /// The key model that these projections and a quantiser fitted to the collection make. Of `options` all but the λ
    /// counts.
    ///
    /// # Errors
    /// Projections that [`Projection::check`] refuses or of another dimension, options out of range, a metric other
    /// than L2 and cosine, fewer than 256 linked nodes, or vectors that the projections do not tell apart.
    #[cfg(feature = "train")]
    pub fn fit<C: crate::train::Corpus>(
        self,
        corpus: &C,
        options: &crate::train::PcaOptions,
    ) -> Result<crate::routing::KeyModel, crate::train::TrainError> {
        self.check()?;
        crate::train::quantise(corpus, self, options)
    }
}
