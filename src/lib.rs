//! redknot: an embedded, transactional key-value and vector database in one file.
//!
//! A program opens a database file as it would open SQLite, writes keys, values and vectors in one ACID
//! transaction, and asks for nearest neighbours. The HNSW graph lives in the file and is read in place through a
//! memory map; ordinary [redb](https://docs.rs/redb) tables live beside it and change in the same transaction.
//!
//! ```
//! use redb::TableDefinition;
//! use redknot::{CollectionDefinition, Database, Metric};
//!
//! const DOCS: CollectionDefinition<u64, &str> = CollectionDefinition::new("docs", 3, Metric::Cosine);
//! const AUTHORS: TableDefinition<&str, u64> = TableDefinition::new("authors");
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("library.redknot");
//! let db = Database::create(path)?;
//!
//! let mut txn = db.begin_write()?;
//! let mut docs = txn.open_collection(DOCS)?;
//! docs.insert(1, &[0.9, 0.1, 0.0], "on birds")?;
//! docs.insert(2, &[0.0, 0.2, 0.9], "on tides")?;
//! // Searches see the transaction's own changes.
//! assert_eq!(docs.search(&[1.0, 0.0, 0.0]).k(1).run()?.hits[0].key, 1);
//! txn.open_table(AUTHORS)?.insert("ada", 1)?;
//! txn.commit()?; // everything, durably, or nothing
//!
//! let read = db.begin_read()?;
//! let docs = read.open_collection(DOCS)?;
//! let found = docs.search(&[0.0, 0.0, 1.0]).k(2).ef(64).run()?;
//! assert_eq!(found.hits[0].key, 2);
//! assert_eq!(docs.get(2)?.expect("a hit has a row").value(), "on tides");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it is not
//! A server, a distributed system, an embedding model, an index in memory only.
//!
//! # What holds
//! - An acknowledged commit survives any crash; an unacknowledged one is whole or absent.
//! - Every committed row is found by searches: what was imported and is not linked yet is scanned.
//! - Bad input is an error that says what was expected, what was found and what to do, and changes nothing.
//!
//! # What it tells
//! Through [tracing](https://docs.rs/tracing), to whatever subscriber a program has: spans `build`, `train`, `search` and
//! `commit` (the first two at level info, the others at debug) with the collection and what it came to: rows linked,
//! distances, hops, keys scored, whether a router was followed, bytes written. Warnings where something goes on with less: a
//! router that cannot be used, a log that cannot be read, a file that could not be mapped.
//!
//! # Limits
//! - One writer at a time, in one process. Several processes may read a file that nobody has open for writing.
//! - Vectors have 1 to 65,536 dimensions, keys 1 to 4,096 bytes, a collection up to 2^31 rows.
//! - Mapped reading needs a 64-bit little-endian Unix; elsewhere blocks are read as copies.
//! - Something that cuts the file short from outside raises a signal in a process that reads it through the map
//!   (see [`Builder::owned_blocks`]).

mod answer;
mod batch;
mod build;
mod catalog;
mod collection;
mod collection_mut;
mod database;
mod definition;
mod error;
#[cfg(feature = "routing")]
mod explain;
mod features;
#[cfg(feature = "gnn")]
mod gnn;
mod graph;
mod info;
mod key;
mod keys;
mod query;
mod query_log;
mod read;
#[cfg_attr(not(feature = "routing"), path = "router/without.rs")]
mod router;
#[cfg(feature = "train")]
mod trajectories;
mod verify;
mod write;

pub use batch::BatchSearch;
pub use build::{Build, BuildReport};
pub use collection::{Collection, Payload};
pub use collection_mut::CollectionMut;
pub use database::{Builder, Database};
pub use definition::CollectionDefinition;
pub use error::{Error, Result};
#[cfg(feature = "routing")]
pub use explain::{Explanation, Hop, Node, Seen, Unrouted, Walk};
pub use features::{FeatureComputation, GraphFeatures};
#[cfg(feature = "gnn")]
pub use gnn::{Classified, DifferentiableSearch, Embeddings, Layers, ModelInfo, Scored};
#[cfg(all(feature = "train", feature = "gnn"))]
pub use gnn::{Label, Part};
pub use graph::{
    Adjacent, Edge, Edges, Graph, GraphBuild, GraphBuildReport, GraphInfo, GraphMut, GraphOptions,
    GraphOrigin, GraphPhase, GraphProgress, Reached, Subgraph, SubgraphEdge,
};
pub use info::CollectionInfo;
pub use key::{Key, MAX_KEY_BYTES};
pub use query::{Completeness, Hit, MAX_K, MAX_THREADS, Search, SearchResult, SearchStats};
pub use query_log::{MAX_LOGGED_QUERIES, QueryLogInfo};
pub use read::ReadTransaction;
pub use redknot_index::{
    BetweennessOptions, BuildPhase, BuildProgress, Element, FeatureFinding, FeaturePhase, FeatureProgress,
    Freshness, IndexConfig, Isa, MAX_DIM, Metric, Refreshed, VectorError, VectorRef,
};
pub use redknot_storage::{Disk, FORMAT_VERSION, Stats};
#[cfg(any(feature = "train", feature = "onnx"))]
pub use router::RouterProgress;
#[cfg(feature = "routing")]
pub use router::{
    Ablated, Drift, DriftLevel, DriftReport, RouterDrift, RouterInfo, RoutingLayout, RoutingMetrics, Training,
};
#[cfg(feature = "onnx")]
pub use router::{ImportReport, RouterImport};
#[cfg(feature = "train")]
pub use router::{RouterTraining, TrainingReport};
#[cfg(feature = "train")]
pub use trajectories::TrainingTrajectories;
pub use verify::{Finding, Report};
pub use write::WriteTransaction;

/// The table types of redb, which collections live beside.
pub use redb;
/// Layers of graph neural networks: models, graphs and features in memory or in a file.
#[cfg(feature = "gnn")]
pub use redknot_gnn::layers;
/// Training of models of layers.
#[cfg(all(feature = "train", feature = "gnn"))]
pub use redknot_gnn::learn;
/// Models that decide at each hop of a search where to look.
#[cfg(feature = "routing")]
pub use redknot_gnn::online;
/// Models as ONNX files, and the runtimes that run them.
#[cfg(feature = "onnx")]
pub use redknot_gnn::onnx;
/// Efforts, plans and calibrations of learned routing.
#[cfg(feature = "routing")]
pub use redknot_gnn::routing;
/// How routers are fitted.
#[cfg(feature = "train")]
pub use redknot_gnn::train;
