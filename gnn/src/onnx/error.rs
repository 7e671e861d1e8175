//! What can be wrong with an ONNX file, or with running one.

use super::Backend;
use crate::routing::ModelError;

/// A file that cannot be used, or a run that gave no scores. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The file cannot be read.
    #[error("the ONNX file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// The file is larger than a model of a router has reason to be.
    #[error("the ONNX file has {got} bytes, expected at most {limit}: export a smaller model")]
    TooLarge {
        /// Bytes of the file.
        got: u64,
        /// Most bytes that are read.
        limit: u64,
    },
    /// Keys that depend on more than a node and the mean of its neighbours.
    #[error(
        "the keys of this model depend on attention over the graph, which is written with the feature `gnn` alone: build with it, or train with the linear encoder or the neighbour mean"
    )]
    Attention,
    /// The bytes are no ONNX model.
    #[error("not an ONNX model: {0}; the file is damaged or of another kind")]
    Decode(#[from] prost::DecodeError),
    /// The graph is not one that can be run.
    #[error("the ONNX model is not valid: {what}")]
    Invalid {
        /// What does not fit, and where.
        what: String,
    },
    /// Written for operators that are too old.
    #[error("the ONNX model uses operator set {got}, expected {expected} or newer: export it again")]
    Opset {
        /// The oldest operator set that is read.
        expected: i64,
        /// The operator set of the file; 0 where it names none.
        got: i64,
    },
    /// An operator that is not run.
    #[error(
        "node {node:?} is {domain:?} {operator:?}, which is not run here: use the operators that docs/ONNX.md lists"
    )]
    Operator {
        /// The node.
        node: String,
        /// Its operator.
        operator: String,
        /// The domain of the operator; empty for that of ONNX.
        domain: String,
    },
    /// A Gather whose indices are not known to lie in range.
    #[error("the Gather {node:?} is not known to stay in range: {why}; use constant indices, or Slice")]
    Gather {
        /// The node.
        node: String,
        /// What is not known, or out of range.
        why: String,
    },
    /// Weights outside the file.
    #[error("tensor {tensor:?} lies outside the file: export the model with its weights inside")]
    ExternalData {
        /// The tensor.
        tensor: String,
    },
    /// Inputs or outputs other than the contract says.
    #[error("the ONNX model has {what} {got}, expected {expected}: see the contract in docs/ONNX.md")]
    Contract {
        /// What differs.
        what: &'static str,
        /// What the contract says.
        expected: String,
        /// What the model has.
        got: String,
    },
    /// Features of the wrong length.
    #[error("{what} has {got} numbers, expected {expected}")]
    Shape {
        /// Which argument.
        what: &'static str,
        /// How many numbers it should have.
        expected: usize,
        /// How many it has.
        got: usize,
    },
    /// The model was asked for more edges at a time than it is run with.
    #[error("{got} edges at a time, expected at most {limit}: score them in parts")]
    TooManyEdges {
        /// How many were asked for.
        got: usize,
        /// Most edges of a call.
        limit: usize,
    },
    /// The model returned something else than one score for each edge.
    #[error(
        "the model returned scores of shape {got:?} for {edges} edges, expected [{edges}] or [{edges}, 1]"
    )]
    Scores {
        /// Edges that were scored.
        edges: usize,
        /// Shape of what was returned.
        got: Vec<usize>,
    },
    /// A score, or a feature, that is NaN or infinite.
    #[error("{what}, value {index}, is NaN or infinite")]
    NotFinite {
        /// Which values.
        what: &'static str,
        /// Which of them.
        index: usize,
    },
    /// The runtime refused the model, or failed.
    #[error("{backend} failed: {why}")]
    Runtime {
        /// The runtime.
        backend: Backend,
        /// What it said.
        why: String,
    },
    /// The runtime that was asked for is not there.
    #[error("there is no {backend}: {why}; name its library in ORT_DYLIB_PATH, or use tract")]
    NoBackend {
        /// The runtime.
        backend: Backend,
        /// Why it cannot be used.
        why: String,
    },
    /// A file of another kind than was asked for.
    #[error("the ONNX file holds {got:?}, expected {expected} (metadata `redknot.kind`)")]
    Kind {
        /// The kinds that would do.
        expected: &'static str,
        /// The kind that the file names; empty where it names none.
        got: String,
    },
    /// A model of a format that this program does not know.
    #[error(
        "the model has ONNX format version {got:?}, this program reads {expected}: use a newer program, or export again"
    )]
    Version {
        /// The version that this program reads.
        expected: u32,
        /// The version of the file.
        got: String,
    },
    /// An entry of the metadata that is missing, doubled or not as expected.
    #[error("metadata {key:?} {why}")]
    Metadata {
        /// The entry.
        key: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A tensor of a key model that is missing or of another form.
    #[error("initialiser {name:?} {why}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The content is not what was written.
    #[error("the checksum of the model does not match: the file is damaged or was changed; export it again")]
    Checksum,
    /// The key model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model of layers cannot be used.
    #[cfg(feature = "gnn")]
    #[error(transparent)]
    Layers(#[from] crate::layers::GnnError),
    /// A model of layers that has no form as operators of ONNX.
    #[error(
        "this model cannot be written as an ONNX file: {what}; docs/ONNX.md lists what can, safetensors hold all"
    )]
    NotExported {
        /// What has no such form.
        what: &'static str,
    },
}

impl OnnxError {
    pub(super) fn invalid(what: impl Into<String>) -> OnnxError {
        OnnxError::Invalid { what: what.into() }
    }

    pub(super) fn tensor(name: &str, why: impl Into<String>) -> OnnxError {
        OnnxError::Tensor { name: name.into(), why: why.into() }
    }
}
