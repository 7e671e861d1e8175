//! What can go wrong in training.

use std::io;
use std::path::PathBuf;

use redknot_index::{Metric, VectorError};

use crate::online::PolicyError;

/// An error of training. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Keys estimate squared distances, which other metrics are not made of.
    #[error(
        "there is no router for metric {got}: expected l2 or cosine; search this collection without a router"
    )]
    Metric {
        /// The metric of the collection.
        got: Metric,
    },
    /// An option outside the range that works.
    #[error("option {name} is {got}, expected {expected}")]
    Option {
        /// Which option.
        name: &'static str,
        /// The value that was given.
        got: String,
        /// What works.
        expected: String,
    },
    /// Queries that are no rows of as many components as the vectors have.
    #[error(
        "{got} numbers are no rows of {dim} components: pass whole queries of the collection's dimension"
    )]
    Dimension {
        /// Components of a vector.
        dim: usize,
        /// How many numbers were given.
        got: usize,
    },
    /// Projections for vectors of another dimension.
    #[error(
        "the projections are for vectors of {got} components, the collection has {expected}: train them for it"
    )]
    ProjectionDimension {
        /// Components of a vector of the collection.
        expected: usize,
        /// Components that the projections are for.
        got: usize,
    },
    /// Projections that no key can be made with.
    #[error("the projections cannot be used: {0}")]
    Projection(#[from] crate::routing::ModelError),
    /// A query with a component that is NaN or infinite.
    #[error(
        "component {component} of query {query} is {value}, expected a finite number: leave the query out"
    )]
    NotFinite {
        /// Which query.
        query: usize,
        /// Which of its components.
        component: usize,
        /// What it is.
        value: f32,
    },
    /// A query without a direction, under cosine.
    #[error("query {query} is zero, which has no direction under cosine: leave the query out")]
    ZeroQuery {
        /// Which query.
        query: usize,
    },
    /// Fewer queries than training can learn from.
    #[error("{got} queries to {purpose}, expected at least {min}: log more, or let them be synthesised")]
    TooFewQueries {
        /// What they are for.
        purpose: &'static str,
        /// How many there are.
        got: usize,
        /// How many it takes.
        min: usize,
    },
    /// Fewer linked nodes than keys pay for.
    #[error(
        "{got} nodes are linked, expected at least {min}: so few rows are scanned faster than routed (rows that were imported are linked by `redknot build`, `Database::build`)"
    )]
    TooFewNodes {
        /// How many there are.
        got: usize,
        /// How many it takes.
        min: usize,
    },
    /// All sampled vectors are the same: there is nothing to tell nodes apart by.
    #[error("all {sampled} sampled vectors are equal: expected vectors that differ")]
    NoVariance {
        /// How many were looked at.
        sampled: usize,
    },
    /// Trajectories of a collection of another dimension or metric, or with nodes that this one does not have.
    #[error("the trajectories do not belong to this collection: {reason}; collect them again")]
    ForeignTrajectories {
        /// What does not fit.
        reason: &'static str,
    },
    /// The loss is not a number any more.
    #[error("the loss is {loss} at step {step}: lower the learning rate")]
    Diverged {
        /// The step.
        step: usize,
        /// The loss.
        loss: f32,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The covariance of the vectors has no eigenvectors that could be computed.
    #[error("the eigenvectors of the covariance did not converge: check the vectors for huge components")]
    Eigenvectors,
    /// The tensors of the network.
    #[error("computing a gradient failed: {source}")]
    Tensor {
        /// What the tensor library reported.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A query that the collection could not hold.
    #[error("query {query} is not usable here: {source}")]
    Query {
        /// Which query.
        query: usize,
        /// What is wrong with it.
        source: VectorError,
    },
    /// The features of a node or link could not be had.
    #[error(transparent)]
    Features(#[from] PolicyError),
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file, or the folder that it is in.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The index below.
    #[error(transparent)]
    Index(#[from] redknot_index::Error),
}

impl TrainError {
    /// That something could not be done with tensors.
    pub(super) fn tensor(source: impl std::error::Error + Send + Sync + 'static) -> TrainError {
        TrainError::Tensor { source: Box::new(source) }
    }
}

impl From<candle_core::Error> for TrainError {
    fn from(source: candle_core::Error) -> TrainError {
        TrainError::tensor(source)
    }
}
