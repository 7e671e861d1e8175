//! Training of models of layers: classes of nodes, and links.
//!
//! [`NodeClassification`] and [`LinkPrediction`] start from [`Weights::initialised`](crate::layers::Weights::initialised)
//! and return the weights of the epoch that does best on a validation part. An epoch is one step of AdamW on the whole
//! graph, which has to fit in memory with all that the layers make of it ([`LearnOptions::memory_bytes`]). What is
//! computed is what [`crate::layers`] computes, with dropout; gradients are exact. GraphSAGE with a `sample_size` draws
//! neighbours anew in each epoch, and is validated and tested with all of them. The same seed gives the same weights on
//! the same machine.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use redknot_gnn::layers::{Graph, LayerType, Matrix, ModelDescription};
//! use redknot_gnn::learn::{Features, LearnOptions, NodeClassification};
//!
//! // Two triangles, of which one node each has a known label, and features that say nothing but who is who.
//! let edges = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)];
//! let both_ways: Vec<(u32, u32)> = edges.iter().flat_map(|&(a, b)| [(a, b), (b, a)]).collect();
//! let graph = Graph::from_edges(6, &both_ways, None, None)?;
//! let identity = (0..36).map(|at| f32::from(u8::from(at % 7 == 0))).collect();
//! let features = Matrix::new(6, 6, identity)?;
//! let task = NodeClassification {
//!     graph: &graph,
//!     features: Features::Dense(&features),
//!     labels: &[0, 0, 0, 1, 1, 1],
//!     training: &[0, 3],
//!     validation: &[1, 4],
//!     test: &[2, 5],
//! };
//! let model = ModelDescription::new(LayerType::Gcn, 2, 6, 8, 2);
//! let learned = task.train(&model, &LearnOptions::default(), &|_| ControlFlow::Continue(()))?;
//! assert_eq!(learned.report.test_score, Some(1.0));
//! # Ok::<(), redknot_gnn::learn::LearnError>(())
//! ```

mod classification;
mod error;
mod features;
mod fit;
mod link_split;
mod links;
mod memory;
mod metrics;
mod network;
mod options;
mod parts;
mod sparse;

pub use classification::NodeClassification;
pub use error::LearnError;
pub use features::{Features, SparseMatrix};
pub use link_split::{LinkSplit, split_links};
pub use links::LinkPrediction;
pub use metrics::area_under_curve;
pub use options::{Epoch, L2, LearnOptions, LearnProgress, LearnReport, Learned, OnLearnProgress, Selection};
