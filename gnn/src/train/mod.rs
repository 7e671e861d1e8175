//! Training of key models.
//!
//! [`pca_model`] makes a model from the vectors alone. [`train`] goes on from there: it collects what greedy search
//! scores for some queries ([`collect`]) and fits the projections, steps and biases so that estimates keep the order of
//! the near nodes ([`fit`]), and then what attention adds to it where [`Encoder::Attention`] asks for that. Gradients are
//! candle's, eigenvectors nalgebra's.
//!
//! Models that score links are trained elsewhere, on traced searches ([`collect_training_trajectories`]).

mod attention;
mod batch;
mod checkpoint;
mod constant;
mod corpus;
mod error;
mod estimate;
mod exact;
mod examples;
mod fit;
#[cfg(feature = "onnx")]
mod imported;
mod matrix;
mod neighborhood;
mod network;
mod optimizer;
mod options;
mod paths;
mod pca;
mod quality;
mod quantizer;
mod queries;
mod report;
mod search;
mod shares;
mod start;
mod storage;
mod straight_through;
mod trajectories;
mod vectors;

pub use checkpoint::Checkpoints;
#[cfg(feature = "gnn")]
pub(crate) use constant::times;
pub use corpus::Corpus;
pub use error::TrainError;
pub use fit::{fit, resume};
#[cfg(feature = "onnx")]
pub(crate) use imported::quantise;
#[cfg(feature = "gnn")]
pub(crate) use network::binary_cross_entropy;
pub use options::{
    AttentionOptions, Encoder, Losses, OnTrainProgress, PcaOptions, TrainOptions, TrainPhase, TrainProgress,
};
pub use paths::{PathTrajectory, TraceOptions, Tracer, TrajectoryExport, collect_training_trajectories};
pub use quality::{Quality, quality};
pub use queries::{Queries, synthesise};
pub use report::{Seconds, TrainReport, Trained};
pub use start::pca_model;
#[cfg(feature = "gnn")]
pub(crate) use storage::{numbers, with_numbers};
pub use trajectories::{Trajectories, collect};

/// Collects trajectories and trains a key model on them.
///
/// # Errors
/// Options out of range, a metric other than L2 and cosine, fewer than 256 linked nodes, queries that are too few, not
/// finite or of another dimension, or [`TrainError::Cancelled`].
pub fn train<C: Corpus>(
    corpus: &C,
    queries: &Queries<'_>,
    options: &TrainOptions,
    on_progress: OnTrainProgress<'_>,
) -> Result<Trained, TrainError> {
    let trajectories = collect(corpus, queries, options, on_progress)?;
    fit(corpus, &trajectories, options, on_progress)
}
