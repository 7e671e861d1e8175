//! What can go wrong: every error says what was expected, what was found, and what to do.

use redknot_index::VectorError;

/// An error of redknot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file, the medium, or a table.
    #[error(transparent)]
    Storage(#[from] redknot_storage::Error),
    /// The index.
    #[error(transparent)]
    Index(redknot_index::Error),
    /// A vector that the collection cannot hold or compare.
    #[error("the vector is not usable here: {0}")]
    Vector(#[from] VectorError),
    /// The collection does not exist.
    #[error("there is no collection {name:?}; {}", existing(.known))]
    UnknownCollection {
        /// The name asked for.
        name: String,
        /// The collections that there are.
        known: Vec<String>,
    },
    /// The definition says something else than the file.
    #[error(
        "collection {name:?} was created with {what} {found}, the definition says {expected}; use the definition it was created with, or another name"
    )]
    DefinitionMismatch {
        /// The collection.
        name: String,
        /// What differs.
        what: &'static str,
        /// What the definition says.
        expected: String,
        /// What the file says.
        found: String,
    },
    /// A name that no collection or table can have.
    #[error("{name:?} cannot be a name: {why}; choose another")]
    InvalidName {
        /// The name.
        name: String,
        /// The rule it breaks.
        why: String,
    },
    /// A key without bytes.
    #[error("the key is empty; keys have 1 to 4096 bytes")]
    EmptyKey,
    /// A key that is too long.
    #[error("the key has {got} bytes, at most {limit} are allowed; use a shorter key, such as a hash of it")]
    KeyTooLong {
        /// Bytes of the key.
        got: usize,
        /// Most bytes of a key.
        limit: usize,
    },
    /// A parameter of a query or an operation out of its range.
    #[error("{name} = {got} is not allowed; expected {expected}")]
    InvalidParameter {
        /// The parameter.
        name: &'static str,
        /// The value handed over.
        got: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// As many of one thing as of another are needed.
    #[error("expected {expected} {what}, one for each key, got {got}")]
    WrongCount {
        /// What was counted.
        what: &'static str,
        /// How many were expected.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A key that names no row, where one is needed.
    #[error("there is no row with key {key} in collection {name:?}; insert it first, or check the key")]
    UnknownKey {
        /// The collection.
        name: String,
        /// The key.
        key: String,
    },
    /// The collection has no graph of that name.
    #[error("collection {collection:?} has no graph {name:?}; {}", existing_graphs(.known))]
    UnknownGraph {
        /// The collection.
        collection: String,
        /// The name asked for.
        name: String,
        /// The graphs that there are.
        known: Vec<String>,
    },
    /// A graph is to be created that is there already.
    #[error(
        "collection {collection:?} has a graph {name:?} already; open it, delete it first, or choose another name"
    )]
    GraphExists {
        /// The collection.
        collection: String,
        /// The graph.
        name: String,
    },
    /// A row with more edges than one row of a graph can hold.
    #[error(
        "the row with key {key} would have more than {limit} edges in one direction of graph {graph:?}; leave some out"
    )]
    TooManyEdges {
        /// The graph.
        graph: String,
        /// The key of the row.
        key: String,
        /// Most edges of a row in one direction.
        limit: usize,
    },
    /// A change failed half-way, so the transaction cannot be committed.
    #[error(
        "an earlier change of collection {name:?} in this transaction failed half-way; drop the transaction and begin another"
    )]
    TornTransaction {
        /// The collection.
        name: String,
    },
    /// The collection has no router, or none that can be read.
    #[error(
        "collection {name:?} has no router to follow: train one (`Database::train_router`, `redknot train`)"
    )]
    NoRouter {
        /// The collection.
        name: String,
    },
    /// The collection has no graph features.
    #[error(
        "collection {name:?} has no graph features: compute them (`Database::compute_graph_features`, `redknot features --compute`)"
    )]
    NoFeatures {
        /// The collection.
        name: String,
    },
    /// A recall was asked for, and nothing says what effort reaches it.
    #[error(
        "nothing says what effort reaches a recall of {recall} in collection {name:?} for k = {k}{}: train a router, which calibrates both ways of searching, or ask with ef",
        calibrated.map(|k| format!(" (it was calibrated for up to {k} rows)")).unwrap_or_default()
    )]
    NotCalibrated {
        /// The collection.
        name: String,
        /// The recall asked for.
        recall: f64,
        /// The rows asked for.
        k: usize,
        /// The number of rows that was calibrated for, if one was.
        calibrated: Option<usize>,
    },
    /// A router could not be trained, or its keys not be made.
    #[error("the router: {why}")]
    Router {
        /// What went wrong, and what to do.
        why: String,
    },
    /// The file has no model of layers of that name.
    #[cfg(feature = "gnn")]
    #[error("there is no model {name:?}; {}", existing(.known))]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// The models that there are.
        known: Vec<String>,
    },
    /// A model of layers, a graph or features that cannot be used together.
    #[cfg(feature = "gnn")]
    #[error(transparent)]
    Gnn(#[from] redknot_gnn::layers::GnnError),
    /// A row that a model of layers cannot be trained with or used on.
    #[cfg(feature = "gnn")]
    #[error("the row with key {key} {why}")]
    Row {
        /// The key of the row.
        key: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// A model of layers could not be trained.
    #[cfg(all(feature = "train", feature = "gnn"))]
    #[error(transparent)]
    Learn(redknot_gnn::learn::LearnError),
    /// An ONNX file that no router can be made from, or a router that fits in none.
    #[cfg(feature = "onnx")]
    #[error(transparent)]
    Onnx(#[from] redknot_gnn::onnx::OnnxError),
    /// Searches could not be traced, or what was traced not be written.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Trajectories {
        /// What went wrong.
        source: redknot_gnn::train::TrainError,
    },
    /// Threads could not be started.
    #[error("threads could not be started: {source}")]
    Threads {
        /// What the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The caller asked for an end. What was committed before stays.
    #[error("cancelled; what was committed before is kept")]
    Cancelled,
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn redb(error: redb::StorageError) -> Error {
        Error::Storage(error.into())
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Error {
        Error::Storage(redknot_storage::Error::Corrupt { what: what.into() })
    }
}

impl From<redknot_index::Error> for Error {
    fn from(error: redknot_index::Error) -> Error {
        match error {
            redknot_index::Error::Cancelled => Error::Cancelled,
            other => Error::Index(other),
        }
    }
}

fn existing_graphs(known: &[String]) -> String {
    match known {
        [] => "it has none: create one first".into(),
        names => format!("it has {}", names.join(", ")),
    }
}

fn existing(known: &[String]) -> String {
    match known {
        [] => "the file has none: create it first".into(),
        names => format!("the file has {}", names.join(", ")),
    }
}
