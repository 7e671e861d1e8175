//! Layers of graph neural networks over the graphs of a file.
//!
//! The nodes of a graph are the rows of its collection and their features are its vectors, so a model reads both where they
//! lie. [`redknot_gnn::layers`] computes; here are keys, files and transactions.

mod access;
mod embeddings;
mod passing;
mod query;
pub(crate) mod store;
#[cfg(feature = "train")]
mod train;

pub use embeddings::Embeddings;
pub use passing::{Classified, Layers};
pub use query::{DifferentiableSearch, Scored};
pub use store::ModelInfo;
#[cfg(feature = "train")]
pub use train::{Label, Part};
