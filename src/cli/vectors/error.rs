//! What can be wrong with a user's file.

use std::io;
use std::path::{Path, PathBuf};

/// A file that cannot be read as what it should hold, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub(crate) struct VectorFileError {
    /// The file.
    pub(crate) path: PathBuf,
    /// What is wrong with it.
    pub(crate) problem: Problem,
}

/// What is wrong with a file's content. Rows and byte offsets count from 0, lines from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Problem {
    #[error(transparent)]
    Io(#[from] io::Error),

    #[error(
        "the extension {extension:?} says nothing about the format; expected one of {expected}: rename or convert the file"
    )]
    UnknownExtension { extension: String, expected: &'static str },

    #[error(
        "the first bytes are {got}, expected {expected}: the file is of another format than its extension says, or is damaged"
    )]
    Magic { expected: &'static str, got: String },

    #[error("the npy header cannot be understood ({message}): save the array again with numpy.save")]
    Header { message: String },

    #[error(
        "the array is in Fortran (column-major) order, expected C order: save numpy.ascontiguousarray(array)"
    )]
    FortranOrder,

    #[error(
        "the values are big-endian (dtype {dtype}), expected little-endian: save array.astype(array.dtype.newbyteorder('<'))"
    )]
    BigEndian { dtype: String },

    #[error("the dtype is {got}, expected one of {expected}: convert with array.astype")]
    Dtype { expected: &'static str, got: String },

    #[error("the array's shape is {got:?}, expected {expected}")]
    Shape { expected: &'static str, got: Vec<u64> },

    #[error("there is no row in the file, so its dimension is unknown; expected at least one")]
    Empty,

    #[error(
        "row {row} at byte {offset} has dimension {got}, expected 1 to {max}: the file is damaged, or of another format than its extension says"
    )]
    Dimension { row: u64, offset: u64, got: i128, max: usize },

    #[error(
        "row {row} at byte {offset} has dimension {got}, expected {expected} as in row 0: all vectors of a collection have one dimension"
    )]
    RaggedRow { row: u64, offset: u64, expected: usize, got: i128 },

    #[error(
        "the file is truncated in row {row}: the row needs bytes {offset} to {end}, the file ends at byte {got}: fetch or write it again"
    )]
    Truncated { row: u64, offset: u64, end: u64, got: u64 },

    #[error(
        "the file is {got} bytes long, expected {expected} for the shape in its header: is it still being written, or does it hold several arrays?"
    )]
    Length { expected: u64, got: u64 },

    #[error(
        "row {row}, coordinate {coordinate} is {value:e}, beyond the range of f32 (±3.4e38): scale the vectors"
    )]
    OutOfRange { row: u64, coordinate: usize, value: f64 },

    #[error("row {row}, rank {rank} names row {value}, expected −1 (none) to 2147483647")]
    Neighbour { row: u64, rank: usize, value: i128 },

    #[error(
        "line {line}: {message}; expected {{\"vector\": [numbers], \"key\": string or integer, \"payload\": any}}, where key and payload may be left out"
    )]
    Json { line: u64, message: String },

    #[error(
        "line {line} has {got} coordinates, expected {expected} as on line {first_line}: all vectors of a collection have one dimension"
    )]
    RaggedLine { line: u64, first_line: u64, expected: usize, got: usize },

    #[error("line {line} has {} key, though line {first_line} has {}: give every line a key, or none", if *.keyed { "a" } else { "no" }, if *.keyed { "none" } else { "one" })]
    MixedKeys { line: u64, first_line: u64, keyed: bool },

    #[error(
        "line {line}: {message}; expected SOURCE, TARGET and, if wanted, WEIGHT and TYPE, with a tab between each two"
    )]
    EdgeLine { line: u64, message: String },

    #[error("an end of an edge is {value}, expected keys, which are not below 0")]
    EdgeEnd { value: i64 },

    #[error("line {line} is not UTF-8 at byte {offset} of the file: convert it to UTF-8")]
    NotUtf8 { line: u64, offset: u64 },

    #[error("line {line} is longer than {limit} bytes: is this a text file?")]
    LineTooLong { line: u64, limit: u64 },

    #[error("{got} lines, expected {expected}: one line for every row of {}", vectors.display())]
    LineCount { expected: u64, got: u64, vectors: PathBuf },

    #[error("the lines of {} carry their own keys and payloads: leave this file out", vectors.display())]
    ColumnTwice { vectors: PathBuf },
}

impl Problem {
    /// Says in which file the problem is.
    pub(super) fn in_file(self, path: &Path) -> VectorFileError {
        VectorFileError { path: path.to_owned(), problem: self }
    }
}
