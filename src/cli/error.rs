//! Why a command ended without doing what it was asked.

use std::io;
use std::path::PathBuf;

use redknot_index::{MAX_DIM, UnsupportedPair};

use super::vectors::VectorFileError;

/// Every way a command can fail. The message says what was expected, what was found, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    #[error(transparent)]
    Database(#[from] redknot::Error),

    #[error(transparent)]
    VectorFile(#[from] VectorFileError),

    #[error(transparent)]
    UnsupportedPair(#[from] UnsupportedPair),

    #[error("the file has no collection yet: import vectors into one with `redknot import`")]
    NoCollection,

    #[error("the file has the collections {}: choose one with --collection", .known.join(", "))]
    WhichCollection { known: Vec<String> },

    #[error("{option} is needed: {why}")]
    Missing { option: &'static str, why: &'static str },

    #[error(
        "collection {name:?} has {what} {found}, the command says {asked}: leave the option out, or use another collection"
    )]
    Differs { name: String, what: &'static str, found: String, asked: String },

    #[error("the dimension is {got}, expected 1 to {MAX_DIM}")]
    Dimension { got: usize },

    #[error(
        "collection {name:?} has {what} of type {found}, the command line handles {handled}: use it from a Rust program"
    )]
    Type { name: String, what: &'static str, found: String, handled: &'static str },

    #[error("{key:?} cannot be a key here: the collection's keys are {expected}")]
    Key { key: String, expected: &'static str },

    #[error(
        "the collection's keys are texts, and the file has none: name a file of one key a line with --keys"
    )]
    KeysNeeded,

    #[error(
        "the collection has {rows} rows, which row numbers counted from 0 would replace: number on with --first-key {rows} (or another number), replace with --first-key 0, or bring keys with --keys"
    )]
    FirstKeyNeeded { rows: u64 },

    #[error("the row numbers from {first} on exceed 2^64 - 1: choose a smaller --first-key")]
    FirstKeyTooLarge { first: u64 },

    #[error(
        "the collection was created without payloads and cannot take any: import into a new collection, or leave the payloads out"
    )]
    NoPayloads,

    #[error("row {row} of {}: {source}", path.display())]
    Row { path: PathBuf, row: u64, source: redknot::VectorError },

    #[error("{unit} {place} of {}: {source}", path.display())]
    Edge { path: PathBuf, unit: &'static str, place: u64, source: Box<redknot::Error> },

    #[error("{source}; the {rows} rows before were committed and stay")]
    ImportStopped { rows: u64, source: Box<CliError> },

    #[error("{} has {rows} rows, counted from 0; row {row} was asked for", path.display())]
    NoSuchRow { path: PathBuf, row: u64, rows: u64 },

    #[error("{text:?} is not a vector ({source}): write numbers between commas, as in 0.1,-2,3")]
    Vector { text: String, source: serde_json::Error },

    #[cfg(all(feature = "train", feature = "gnn"))]
    #[error("{}, line {line}: expected a key, a class counted from 0, and train, val or test with tabs between, got {got:?}", path.display())]
    Label { path: PathBuf, line: usize, got: String },

    #[cfg(not(feature = "onnx"))]
    #[error("this redknot was built without the feature {what:?}: build it with, or do without")]
    LeftOut { what: &'static str },

    #[error("{} has vectors of dimension {got}, the collection has {expected}: use a file of the same dimension, or another collection", path.display())]
    FileDimension { path: PathBuf, expected: usize, got: usize },

    #[error("the ground truth {} {what}: expected {expected}, got {got}", path.display())]
    GroundTruth { path: PathBuf, what: &'static str, expected: String, got: String },

    #[error("{option} is {got}, expected {expected}")]
    Option { option: &'static str, got: String, expected: &'static str },

    #[error(
        "at effort {effort}, two runs returned different rows: the file is being changed by something other than redknot, or this is a bug of redknot"
    )]
    AnswersDiffer { effort: String },

    #[cfg(any(feature = "onnx", feature = "gnn"))]
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },

    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },

    #[error("cannot print: {0}")]
    Print(#[from] io::Error),

    #[error("cannot draw {}: {source}", path.display())]
    Draw { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },

    #[error("cannot {what}: {source}")]
    System { what: &'static str, source: io::Error },

    #[error("the demo's {what}: expected {expected}, got {got}")]
    Demo { what: &'static str, expected: String, got: String },

    #[error("{} does not have the demo's data: name the folder data/demo of the source tree with --data", folder.display())]
    DemoData { folder: PathBuf },

    #[error("stopped; {done}")]
    Interrupted { done: String },
}

impl CliError {
    /// What work came to that Ctrl-C may have cancelled; `done` says what is left of it then.
    pub(crate) fn unless_interrupted<T>(result: redknot::Result<T>, done: &str) -> Result<T, CliError> {
        result.map_err(|error| match error {
            redknot::Error::Cancelled => CliError::Interrupted { done: done.to_owned() },
            error => error.into(),
        })
    }

    /// As the help of the command line documents.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Database(error) => database_exit_code(error),
            Self::VectorFile(_)
            | Self::DemoData { .. }
            | Self::Row { .. }
            | Self::Edge { .. }
            | Self::NoSuchRow { .. }
            | Self::GroundTruth { .. } => 4,
            Self::NoPayloads | Self::FileDimension { .. } | Self::Vector { .. } | Self::KeysNeeded => 4,
            Self::ImportStopped { source, .. } => source.exit_code(),
            Self::Write { .. } | Self::Print(_) | Self::Draw { .. } | Self::System { .. } => 5,
            #[cfg(all(feature = "train", feature = "gnn"))]
            Self::Label { .. } => 4,
            #[cfg(any(feature = "onnx", feature = "gnn"))]
            Self::Read { .. } => 4,
            Self::AnswersDiffer { .. } => 3,
            Self::Demo { .. } => 1,
            Self::Interrupted { .. } => 130,
            _ => 2,
        }
    }
}

fn database_exit_code(error: &redknot::Error) -> u8 {
    use redknot::Error::*;
    match error {
        Vector(_) => 4,
        UnknownKey { .. } => 1,
        Cancelled => 130,
        UnknownGraph { .. } | GraphExists { .. } => 2,
        TooManyEdges { .. } => 4,
        UnknownCollection { .. } | DefinitionMismatch { .. } | InvalidName { .. } | EmptyKey => 2,
        KeyTooLong { .. } | InvalidParameter { .. } | NoRouter { .. } | NotCalibrated { .. } => 2,
        NoFeatures { .. } => 2,
        #[cfg(feature = "train")]
        Trajectories { source: redknot::train::TrainError::Write { .. } } => 5,
        #[cfg(feature = "train")]
        Trajectories { source: redknot::train::TrainError::Option { .. } } => 2,
        #[cfg(feature = "train")]
        Trajectories { .. } => 4,
        Index(redknot_index::Error::FeaturesOfOtherGraph { .. }) => 2,
        #[cfg(feature = "gnn")]
        UnknownModel { .. } => 2,
        #[cfg(feature = "gnn")]
        Gnn(error) => gnn_exit_code(error),
        #[cfg(feature = "gnn")]
        Row { .. } => 4,
        #[cfg(all(feature = "train", feature = "gnn"))]
        Learn(redknot::learn::LearnError::Gnn(error)) => gnn_exit_code(error),
        #[cfg(all(feature = "train", feature = "gnn"))]
        Learn(_) => 4,
        // Queries that nothing can be learned from.
        Router { .. } => 4,
        #[cfg(feature = "onnx")]
        Onnx(_) => 4,
        Storage(redknot_storage::Error::InvalidOption { .. }) => 2,
        Index(redknot_index::Error::Parameter { .. } | redknot_index::Error::UnsupportedPair(_)) => 2,
        _ => 3,
    }
}

#[cfg(feature = "gnn")]
fn gnn_exit_code(error: &redknot::layers::GnnError) -> u8 {
    use redknot::layers::GnnError::*;
    match error {
        UnknownLayer { .. } | Config { .. } | NotCompiled { .. } => 2,
        Source(_) => 3,
        // A model that does not fit the collection or the graph.
        _ => 4,
    }
}
