//! `redknot graph`: graphs over the rows of a collection.

mod build;
mod export;
mod import;
mod manage;
mod search;
mod show;

use std::path::Path;

use clap::Subcommand;
pub(super) use manage::{Shown, print};
use redknot::{Graph, ReadTransaction};

use super::Outcome;
use super::error::CliError;
use super::open::{CollectionArgs, DatabaseArgs};
use super::output::Output;
use super::rows::RowKey;

/// The base layer of the HNSW graph, where a graph is read. No other can have this name.
pub(super) const HNSW: &str = "redknot.hnsw";

/// Arguments of `redknot graph`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create an empty graph.
    Create(manage::CreateArgs),
    /// Join each row to its nearest ones.
    BuildKnn(build::KnnArgs),
    /// Join the rows that are at most a distance apart.
    BuildEps(build::EpsArgs),
    /// Insert the edges of a file: an edge list, or an npy array.
    Import(import::Args),
    /// Write all edges into a file: an edge list, or an npy array.
    Export(export::Args),
    /// Show the rows that edges join to a row.
    Neighbors(show::NeighborsArgs),
    /// Show the rows within a few edges of a row, and the edges between them.
    Subgraph(show::SubgraphArgs),
    /// Find the rows nearest to a vector among those within a few edges of a row.
    Search(search::Args),
    /// Show the graphs of a collection.
    List(manage::ListArgs),
    /// Remove a graph with its edges.
    Drop(manage::DropArgs),
}

/// The graph that a command is about.
#[derive(Debug, clap::Args)]
struct Target {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    collection: CollectionArgs,

    /// The graph. Commands that only read also know `redknot.hnsw`, the links of the index.
    graph: String,
}

impl Args {
    /// Whether the command prints JSON.
    pub(super) fn json(&self) -> bool {
        match &self.action {
            Action::Create(args) => args.target.output.json,
            Action::BuildKnn(args) => args.common.target.output.json,
            Action::BuildEps(args) => args.common.target.output.json,
            Action::Import(args) => args.target.output.json,
            Action::Export(args) => args.target.output.json,
            Action::Neighbors(args) => args.target.output.json,
            Action::Subgraph(args) => args.target.output.json,
            Action::Search(args) => args.target.output.json,
            Action::List(args) => args.output.json,
            Action::Drop(args) => args.target.output.json,
        }
    }
}

/// Runs `redknot graph`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    match &args.action {
        Action::Create(args) => manage::create(args),
        Action::BuildKnn(args) => build::knn(args),
        Action::BuildEps(args) => build::eps(args),
        Action::Import(args) => import::run(args),
        Action::Export(args) => export::run(args),
        Action::Neighbors(args) => show::neighbors(args),
        Action::Subgraph(args) => show::subgraph(args),
        Action::Search(args) => search::run(args),
        Action::List(args) => manage::list(args),
        Action::Drop(args) => manage::drop(args),
    }
}

/// Opens a graph for reading.
pub(super) fn open<K: RowKey>(
    read: &ReadTransaction,
    collection: &str,
    graph: &str,
) -> Result<Graph<K>, CliError> {
    Ok(match graph {
        HNSW => read.hnsw_graph_named::<K>(collection)?,
        _ => read.open_graph_named::<K>(collection, graph)?,
    })
}

/// Whether a file of edges is an npy array, by its extension.
fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy"))
}
