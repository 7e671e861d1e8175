//! What can go wrong, in one enum.

use std::io;
use std::path::PathBuf;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a comparison could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: expected a two-dimensional row-major npy array of {expected}, got {got}")]
    Npy { path: PathBuf, expected: &'static str, got: String },
    #[error("data set: {0}")]
    Dataset(String),
    #[error("option {option}: {reason}")]
    Option { option: &'static str, reason: String },
    #[error("engine {engine}: {source}")]
    Engine { engine: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(
        "engine {engine} returned {got} for query {query}: expected at most {k} distinct rows below {rows}"
    )]
    Answer { engine: &'static str, query: usize, got: String, k: usize, rows: usize },
    #[error(
        "Python worker: {0}; install its libraries with `pip install -r requirements.txt`, see README.md"
    )]
    Worker(String),
}

impl Error {
    /// For `map_err`: says which file an I/O error is about.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// For `map_err`: says which engine failed.
    pub(crate) fn engine<E>(engine: &'static str) -> impl Fn(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Engine { engine, source: Box::new(source) }
    }
}
