//! The router: key models, key codes, and search that follows them.

pub(crate) mod attention;
mod calibrate;
mod effort;
mod encode_nodes;
mod error;
mod format;
mod kernel;
mod landmarks;
mod model;
mod node_encoder;
mod normalize;
mod projection;
mod query_encoder;
mod resident;
mod search;
pub(crate) mod sums;

pub use attention::{Attention, AttentionLayer};
pub use calibrate::{
    Calibration, Figures, HeldOut, Keyed, Level, Measured, Plan, calibrate, measure, worth_considering,
};
pub use effort::{Effort, Mode};
pub use encode_nodes::encode_nodes;
pub use error::{ModelError, RouteError};
pub use landmarks::Landmarks;
pub use model::{KeyModel, Slot};
#[cfg(feature = "onnx")]
pub(crate) use model::{all_finite, has_len, within};
pub use node_encoder::{EncodeScratch, KeyEncoder};
pub use normalize::normalize;
pub use query_encoder::{EncodedQuery, QueryEncoder};
pub use resident::ResidentGraph;
pub use search::{Keys, Routed, Router, StopReason};
