//! Everything that can go wrong in this crate.

/// An error of the index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter lies outside the range that works.
    #[error("{name} is {got}, expected {min} to {max}")]
    Parameter {
        /// Which parameter.
        name: &'static str,
        /// The value that was given.
        got: u64,
        /// The smallest value that works.
        min: u64,
        /// The largest value that works.
        max: u64,
    },
    /// More rows than a graph can number.
    #[error("a graph holds at most {max} rows, got {got}: split the collection")]
    TooManyRows {
        /// How many rows were given.
        got: u32,
        /// How many rows fit.
        max: u32,
    },
    /// A row number that the graph or its vectors do not have.
    #[error("row {id} is out of range: the graph has {len} rows")]
    RowOutOfRange {
        /// The row that was asked for.
        id: u32,
        /// How many rows there are.
        len: u32,
    },
    /// A row that is to be linked is in the graph already, or was named twice.
    #[error("row {id} is linked already or named twice: pass each unlinked row once")]
    AlreadyLinked {
        /// The row.
        id: u32,
    },
    /// Links that are no valid row of a graph: too many, to a row of a lower level, to itself, or repeated.
    #[error("the links of row {id} in layer {layer} are invalid: {reason}")]
    InvalidLinks {
        /// The row whose links they are.
        id: u32,
        /// The layer they belong to.
        layer: u8,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// A permutation that leaves out or repeats a row.
    #[error("not a permutation of {len} rows: row {id} is missing, repeated or out of range")]
    InvalidPermutation {
        /// How many rows there are.
        len: u32,
        /// The first row at fault.
        id: u32,
    },
    /// The caller asked to stop. What was linked until then stays valid.
    #[error("cancelled")]
    Cancelled,
    /// The source of the vectors failed.
    #[error("cannot read vector {id}: {source}")]
    Row {
        /// The row that was asked for.
        id: u32,
        /// What the source reported.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A query whose bytes are not those of a row.
    #[error("the query has {got} bytes, rows have {expected}: encode it as the rows are")]
    RowLength {
        /// Bytes of a row.
        expected: usize,
        /// Bytes of the query.
        got: usize,
    },
    /// Threads could not be started.
    #[error("threads could not be started: {source}")]
    Threads {
        /// What the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A node that is not in use.
    #[error("row {id} is not in use: it was deleted, or never inserted")]
    NotInUse {
        /// The row.
        id: u32,
    },
    /// Compressed sparse rows that describe no graph.
    #[error("not the rows of a graph: {what}")]
    InvalidGraph {
        /// What is wrong, with the numbers.
        what: String,
    },
    /// Graph features of a graph that is no longer the index's: a build has written it anew.
    #[error(
        "the features were computed for the links of array {got}, the index has array {expected}: compute them anew"
    )]
    FeaturesOfOtherGraph {
        /// The array that holds the base layer.
        expected: u64,
        /// The array that the features are of.
        got: u64,
    },
    /// The stored index contradicts itself.
    #[error("the index is damaged: {what}; run `verify`, and restore a backup if it confirms this")]
    Damaged {
        /// What does not fit.
        what: String,
    },
    /// A metric that cannot be computed over an element type.
    #[error(transparent)]
    UnsupportedPair(#[from] crate::UnsupportedPair),
    /// The file below.
    #[error(transparent)]
    Storage(#[from] redknot_storage::Error),
}
