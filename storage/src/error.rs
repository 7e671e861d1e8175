//! What can go wrong below the index: every error says what was expected, what was found, and what to do.

use std::io;
use std::path::PathBuf;

use crate::array::ArrayId;

/// An error of the storage layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is not a redknot database.
    #[error(
        "{path} is not a redknot database: {found}; name another file, or create a database in a new one"
    )]
    NotRedknot {
        /// The file that was opened.
        path: PathBuf,
        /// What it holds instead.
        found: String,
    },
    /// A file that should be new exists already.
    #[error("{path} exists already; open it, or choose another name")]
    AlreadyExists {
        /// The file that was to be created.
        path: PathBuf,
    },
    /// The file does not exist.
    #[error("{path} does not exist; create it first, or correct the path")]
    NotFound {
        /// The file that was to be opened.
        path: PathBuf,
    },
    /// The file was written by a newer redknot.
    #[error(
        "the file has format {found}, this redknot reads formats up to {supported}; open it with a newer redknot"
    )]
    NewerFormat {
        /// Format version in the file.
        found: u32,
        /// Newest format version that this library reads.
        supported: u32,
    },
    /// Another handle holds the file.
    #[error(
        "the file is open elsewhere: one process may write a file, or several may read it, not both; close the other handle first"
    )]
    AlreadyOpen,
    /// A file that was not closed cleanly cannot be repaired by a reader.
    #[error(
        "the file was not closed cleanly and a read-only handle cannot repair it; open it once for writing"
    )]
    NeedsRepair,
    /// The handle was opened read-only.
    #[error("the database was opened read-only; open it for writing to change it")]
    ReadOnly,
    /// An earlier write failed in a way that leaves the state of the disk unknown.
    #[error(
        "the database stopped after a failed write ({cause}); every acknowledged commit is safe: close it, mend the cause and open it again"
    )]
    Poisoned {
        /// The failure, as it was reported first.
        cause: String,
    },
    /// The medium has no space left.
    #[error(
        "no space left on the medium; every acknowledged commit is safe: free some space and open the database again"
    )]
    NoSpace,
    /// The content of the file contradicts itself.
    #[error("the file is damaged: {what}; run `verify`, and restore a backup if it confirms this")]
    Corrupt {
        /// What does not fit.
        what: String,
    },
    /// A block that an array must have is absent.
    #[error(
        "the file is damaged: block {block} of array {array} is missing; run `verify`, and restore a backup if it confirms this"
    )]
    MissingBlock {
        /// The array.
        array: ArrayId,
        /// Number of the block in its array.
        block: u32,
    },
    /// No such array.
    #[error("array {0} does not exist in this snapshot or transaction")]
    UnknownArray(ArrayId),
    /// A row number beyond the end of its array.
    #[error("array {array} has {rows} rows, row {row} was asked for")]
    RowOutOfRange {
        /// The array.
        array: ArrayId,
        /// The row asked for.
        row: u32,
        /// Rows in the array.
        rows: u32,
    },
    /// Bytes of the wrong length for a row.
    #[error("rows of array {array} are multiples of {expected} bytes, got {got}")]
    WrongRowBytes {
        /// The array.
        array: ArrayId,
        /// Bytes of one row (or of one item of a row).
        expected: usize,
        /// Bytes handed over.
        got: usize,
    },
    /// A row that does not fit in the largest block of its array.
    #[error(
        "row {row} of array {array} cannot take {items} items: its block would hold {total}, the most is {limit}; use shorter rows"
    )]
    RowTooLong {
        /// The array.
        array: ArrayId,
        /// The row.
        row: u32,
        /// Items of the new row.
        items: usize,
        /// Items that the block would hold in all.
        total: usize,
        /// Most items that a block can hold.
        limit: usize,
    },
    /// A specification that no array can have.
    #[error("not a valid array: {0}")]
    InvalidSpec(String),
    /// An array has no room for more rows.
    #[error("array {0} is full: row numbers are 32 bits wide")]
    TooManyRows(ArrayId),
    /// An option out of its range.
    #[error("option {name} = {got} is not allowed; expected {expected}")]
    InvalidOption {
        /// Name of the option.
        name: &'static str,
        /// The value handed over.
        got: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// Compaction needs the file for itself.
    #[error(
        "compaction needs the file for itself, but {live} snapshot(s) are alive; drop them and try again"
    )]
    SnapshotsLive {
        /// Snapshots alive.
        live: usize,
    },
    /// An error of the operating system.
    #[error("{context}: {source}")]
    Io {
        /// What was being done.
        context: &'static str,
        /// The error itself.
        source: io::Error,
    },
    /// A table that holds the arrays was to be changed by hand.
    #[error(
        "table {name} holds what the array calls write; change arrays through those, or name another table"
    )]
    ReservedTable {
        /// Name of the table.
        name: String,
    },
    /// A table was opened with another type, twice at a time, and the like.
    #[error(transparent)]
    Table(redb::TableError),
    /// Any other error of redb.
    #[error("{0}")]
    Redb(Box<redb::Error>),
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn corrupt(what: impl Into<String>) -> Error {
        Error::Corrupt { what: what.into() }
    }

    pub(crate) fn io(context: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::NoSpace,
            _ => Error::Io { context, source },
        }
    }

    /// Sorts an error of redb into the cases that a caller can act on.
    pub(crate) fn from_redb(error: impl Into<redb::Error>) -> Error {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => Error::AlreadyOpen,
            redb::Error::RepairAborted => Error::NeedsRepair,
            redb::Error::Corrupted(what) => Error::Corrupt { what },
            redb::Error::Io(source) => Error::io("reading or writing the database file")(source),
            other => Error::Redb(Box::new(other)),
        }
    }
}

impl From<redb::TableError> for Error {
    fn from(error: redb::TableError) -> Error {
        match error {
            redb::TableError::Storage(error) => Error::from_redb(error),
            other => Error::Table(other),
        }
    }
}

impl From<redb::StorageError> for Error {
    fn from(error: redb::StorageError) -> Error {
        Error::from_redb(error)
    }
}
