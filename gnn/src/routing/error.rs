//! What can be wrong with a key model, a search's effort, or a routed search.

/// A key model that cannot be used, or bytes that are none.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Something has the wrong number of values.
    #[error(
        "{what} has {got} values, expected {expected}: the model is incomplete, train or export it again"
    )]
    Shape {
        /// Which part of the model, or which argument.
        what: &'static str,
        /// How many values it should have.
        expected: usize,
        /// How many it has.
        got: usize,
    },
    /// A number lies outside the range that works.
    #[error("{what} is {got}, expected {min} to {max}")]
    Range {
        /// Which number.
        what: &'static str,
        /// Its value.
        got: f64,
        /// The smallest value that works.
        min: f64,
        /// The largest value that works.
        max: f64,
    },
    /// A key length that the kernels do not know.
    #[error("keys of {got} bytes: use 32, 64, 96 or 128")]
    KeyBytes {
        /// Bytes of a key.
        got: usize,
    },
    /// A NaN or an infinity.
    #[error("{what}, value {index}, is NaN, infinite or too large to compute with")]
    NotFinite {
        /// Which part of the model, or which argument.
        what: &'static str,
        /// Which value of it.
        index: usize,
    },
    /// A slot refines a coordinate that the model does not have.
    #[error("slot {slot} refines coordinate {got}, the model has {coordinates}")]
    Coordinate {
        /// The slot.
        slot: usize,
        /// The coordinate it names.
        got: u16,
        /// Coordinates of the model.
        coordinates: usize,
    },
    /// A zero vector has no direction.
    #[error("a zero vector has no direction: leave it out, or use l2 instead of cosine")]
    ZeroVector,
    /// Bytes that are no key model.
    #[error("not a key model: {reason}")]
    Bytes {
        /// What does not fit.
        reason: &'static str,
    },
    /// A key model of a version that this program does not know.
    #[error(
        "the key model has format version {got}, this program reads {expected}: use a newer program, or train again"
    )]
    Version {
        /// The version that this program reads.
        expected: u32,
        /// The version of the bytes.
        got: u32,
    },
}

/// Why a search could not be routed. Greedy search still answers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// A setting of the search lies outside the range that works.
    #[error("{name} is {got}, expected {expected}")]
    Effort {
        /// Which setting.
        name: &'static str,
        /// Its value.
        got: f64,
        /// What would work.
        expected: &'static str,
    },
    /// Keys estimate squared distances, which say nothing of this metric.
    #[error("keys route under l2 and cosine, the index has metric {metric}: search greedily")]
    Metric {
        /// The metric of the index.
        metric: redknot_index::Metric,
    },
    /// The model was trained for vectors of another length.
    #[error(
        "the model routes vectors of {expected} components, the index has {got}: train a model for this index"
    )]
    Dimension {
        /// Components the model was trained for.
        expected: usize,
        /// Components of the vectors in the index.
        got: usize,
    },
    /// The keys were made by another model.
    #[error("the model has keys of {expected} bytes, the array has {got}: encode the keys with this model")]
    KeyBytes {
        /// Bytes of a key of the model.
        expected: usize,
        /// Bytes of a row of the array of keys.
        got: usize,
    },
    /// A copy of the graph and its keys would take more memory than it may.
    #[error(
        "the copy of the graph takes {needed} bytes, {max} are allowed: allow more, or have searches read the file"
    )]
    Memory {
        /// Bytes that it would take.
        needed: u64,
        /// Bytes that it may take.
        max: u64,
    },
    /// The system does not give the memory for a copy of the graph and its keys.
    #[error(
        "the copy of the graph takes {needed} bytes, which the system refuses ({source}): have searches read the file"
    )]
    Allocation {
        /// Bytes that it would take.
        needed: u64,
        /// What the system says.
        source: std::io::Error,
    },
    /// The copy of the graph was made of another graph.
    #[error(
        "the copy of the graph has {got} nodes, the index has {expected}: make it anew after the graph changed"
    )]
    Resident {
        /// Nodes of the index that have links.
        expected: u32,
        /// Nodes of the copy.
        got: u32,
    },
    /// The query is farther away from everything than those that the effort was calibrated with.
    #[error(
        "the nearest landmark is estimated at {got}, the effort was calibrated up to {farthest}: search greedily"
    )]
    Strange {
        /// The estimate, a squared distance.
        got: f32,
        /// The limit of [`Effort::farthest`](super::Effort::farthest).
        farthest: f32,
    },
    /// The query, as the model sees it, is no number.
    #[error("the query cannot be encoded: {0}")]
    Query(#[from] ModelError),
    /// A key could not be read; the array may not reach every node.
    #[error("a key could not be read: {0}")]
    Keys(redknot_storage::Error),
    /// The index below.
    #[error(transparent)]
    Index(#[from] redknot_index::Error),
}
