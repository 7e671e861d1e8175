//! Models as ONNX files: docs/ONNX.md.
//!
//! Key models leave and enter as files whose graph is the two encoders ([`export_key_model`], [`import_model`]).
//! With the feature `gnn`, models of layers do so too (`export_layers`, `import_layers`). [`OnnxEdgeModel`] runs anybody's model that scores the edges of a node. Every file is validated before a runtime sees
//! it ([`validate_onnx_model`]): what is not known to be safe is refused. Two runtimes are known, see [`Backend`].

mod edge_model;
mod error;
mod export;
mod facts;
mod graph;
mod import;
#[cfg(feature = "gnn")]
mod layers;
mod metadata;
mod ort_session;
mod policy;
mod pool;
mod projection;
mod runtime;
mod safety;
mod tensor;
mod tract_session;
mod validate;

pub use edge_model::{MAX_EDGES, OnnxEdgeModel};
pub use error::OnnxError;
pub use export::export_key_model;
pub use import::{Imported, import_key_model, import_model};
#[cfg(feature = "gnn")]
pub use layers::{export_layers, import_layers};
pub use metadata::{FORMAT_VERSION, METRIC, Metadata};
pub use projection::Projection;
pub use runtime::{Backend, onnx_runtime_problem};
pub use validate::{MAX_FILE_BYTES, MIN_OPSET, ModelInfo, validate_onnx_bytes, validate_onnx_model};
