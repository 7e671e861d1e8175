//! What can be wrong with a graph, a description of a model, its weights, or one call of it.

/// Why a graph, a model or a forward pass was refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GnnError {
    /// A type of layer that nobody knows.
    #[error("layer type {got:?} is unknown: use one of {}", known.join(", "))]
    UnknownLayer {
        /// What the description says.
        got: String,
        /// The types that there are.
        known: Vec<&'static str>,
    },
    /// A type of layer that this build leaves out.
    #[error("layer type {layer:?} is not compiled in: build with the cargo feature {feature:?}")]
    NotCompiled {
        /// The type.
        layer: &'static str,
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// A field of a description or an option outside the range that works.
    #[error("{name} is {got}, expected {expected}")]
    Config {
        /// Which field.
        name: &'static str,
        /// Its value.
        got: String,
        /// What works.
        expected: String,
    },
    /// A description that is no JSON object of the known fields.
    #[error("the description of the model cannot be read: {0}")]
    Description(#[source] serde_json::Error),
    /// A description written for another version of this library.
    #[error(
        "the description has version {got}, this library reads version {expected}: export the model anew"
    )]
    Version {
        /// The version that is read.
        expected: u32,
        /// The version in the description.
        got: u32,
    },
    /// Rows or arrays of another length than expected.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// Which rows, which array.
        what: &'static str,
        /// The length that would fit.
        expected: usize,
        /// The length that came.
        got: usize,
    },
    /// An edge from or to a node that the graph does not have.
    #[error(
        "edge {edge} names node {node}, the graph has nodes 0 to {nodes} (exclusive): add the node first"
    )]
    MissingNode {
        /// Position of the edge in what was passed.
        edge: usize,
        /// The node that is not there.
        node: u32,
        /// Nodes of the graph.
        nodes: u32,
    },
    /// A number that is NaN or infinite where only finite numbers make sense.
    #[error("{what} {index} is {got}, expected a finite number")]
    NotFinite {
        /// What holds the number.
        what: &'static str,
        /// Which of them: of an edge, of a row.
        index: usize,
        /// The number.
        got: f32,
    },
    /// Weights of edges whose sum over a node is negative have no symmetric normalisation.
    #[error(
        "the weights of the edges into node {node} sum to {got}: symmetric normalisation needs sums of 0 or more, \
         set normalize to false or pass weights that are not negative"
    )]
    NegativeDegree {
        /// The node.
        node: u32,
        /// The sum.
        got: f32,
    },
    /// A parameter that the model needs and the weights lack.
    #[error(
        "parameter {name:?} of shape {expected:?} is missing: weights are loaded or trained, never invented"
    )]
    MissingParameter {
        /// Its name.
        name: String,
        /// Its shape.
        expected: Vec<usize>,
    },
    /// A parameter that the model has no use for.
    #[error("parameter {name:?} is not one of the model's: the weights are those of another description")]
    UnknownParameter {
        /// Its name.
        name: String,
    },
    /// A parameter of another shape.
    #[error("parameter {name:?} has shape {got:?}, the model takes {expected:?}")]
    ParameterShape {
        /// Its name.
        name: String,
        /// The shape that the model takes.
        expected: Vec<usize>,
        /// The shape that came.
        got: Vec<usize>,
    },
    /// A parameter that holds NaN or an infinity.
    #[error("parameter {name:?} holds {got} at {index}, expected finite numbers")]
    ParameterNotFinite {
        /// Its name.
        name: String,
        /// Where in its row-major data.
        index: usize,
        /// The number.
        got: f32,
    },
    /// Bytes that are no safetensors file of `F32` tensors.
    #[error("the weights cannot be read: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
    /// A tensor of another type of numbers.
    #[error("tensor {name:?} holds {got}, expected F32: convert it before it is saved")]
    TensorType {
        /// Its name.
        name: String,
        /// Its type.
        got: String,
    },
    /// The caller's callback asked to stop.
    #[error("cancelled by the caller after {done} of {total} nodes")]
    Cancelled {
        /// Nodes that were finished.
        done: usize,
        /// Nodes of the pass.
        total: usize,
    },
    /// A graph or features read from elsewhere failed.
    #[error("the graph or its features cannot be read: {0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
}
