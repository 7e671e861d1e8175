//! The learned router of a collection: what the file keeps of it, and when a search follows it.
//!
//! A router is a key model, an array with the key of every node, landmarks, and a calibration: what each effort gave and
//! cost on held-out queries. The keys agree with one epoch of the index; commits keep them up to date. Whatever is wrong
//! with a router (its keys are of another epoch, its model cannot be read, a search with it fails) means greedy search.

#[cfg(feature = "train")]
mod ablation;
mod cache;
mod drift;
mod encode;
#[cfg(feature = "onnx")]
mod export;
#[cfg(any(feature = "train", feature = "onnx"))]
mod gate;
mod guide;
#[cfg(feature = "onnx")]
mod import;
mod info;
#[cfg(feature = "train")]
mod interrupted;
mod layout;
mod metrics;
mod policy;
mod questions;
mod record;
mod switch;
#[cfg(feature = "train")]
mod train;

pub(crate) use cache::{Routers, verify};
pub use drift::{Drift, DriftLevel, DriftReport, RouterDrift};
#[cfg(feature = "onnx")]
pub(crate) use export::export;
#[cfg(any(feature = "train", feature = "onnx"))]
pub use gate::RouterProgress;
pub(crate) use guide::Guide;
#[cfg(feature = "onnx")]
pub use import::{ImportReport, RouterImport};
pub use info::RouterInfo;
pub(crate) use info::info;
pub use layout::RoutingLayout;
pub(crate) use layout::set_layout;
pub use metrics::RoutingMetrics;
pub(crate) use policy::follow;
#[cfg(feature = "train")]
pub(crate) use policy::graph;
pub use record::{Ablated, Training};
pub(crate) use switch::set_enabled;
#[cfg(feature = "train")]
pub use train::{RouterTraining, TrainingReport};
