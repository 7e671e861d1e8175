//! `redknot graph create`, `list` and `drop`.

use std::io::{self, Write};

use redknot::{Database, GraphInfo, GraphOptions, GraphOrigin};
use serde::Serialize;

use super::Target;
use crate::cli::Outcome;
use crate::cli::error::CliError;
use crate::cli::open::{CollectionArgs, DatabaseArgs};
use crate::cli::output::{self, Dropped, Output, Report};
use crate::cli::rows::{OnRows, RowKey, RowPayload, with_types_of};

/// Arguments of `redknot graph create`.
#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    pub(super) target: Target,

    /// Edges join two rows, rather than lead from one to the other.
    #[arg(long)]
    undirected: bool,
}

/// Arguments of `redknot graph list`.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    collection: CollectionArgs,
}

/// Arguments of `redknot graph drop`.
#[derive(Debug, clap::Args)]
pub(super) struct DropArgs {
    #[command(flatten)]
    pub(super) target: Target,
}

/// A graph, as `list` and `info` show it.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Shown {
    collection: String,
    name: String,
    directed: bool,
    edges: u64,
    edge_types: Vec<String>,
    /// `edges`, `knn` or `eps`.
    origin: &'static str,
    /// Neighbours of each row that were looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    neighbors: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epsilon: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exact: Option<bool>,
    bytes: u64,
}

impl From<GraphInfo> for Shown {
    fn from(info: GraphInfo) -> Shown {
        let (origin, neighbors, epsilon, exact) = match info.origin {
            GraphOrigin::Knn { k, exact } => ("knn", Some(k), None, Some(exact)),
            GraphOrigin::Eps { epsilon, max_neighbors, exact } => {
                ("eps", Some(max_neighbors), Some(epsilon), Some(exact))
            }
            _ => ("edges", None, None, None),
        };
        Shown {
            collection: info.collection,
            name: info.name,
            directed: info.directed,
            edges: info.edges,
            edge_types: info.edge_types,
            origin,
            neighbors,
            epsilon,
            exact,
            bytes: info.bytes,
        }
    }
}

/// A table of graphs.
pub(in crate::cli) fn print<'s>(
    graphs: impl IntoIterator<Item = &'s Shown>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let header = ["graph", "collection", "edges", "direction", "made of", "types", "size"];
    let mut table = output::table(&header, &[0, 1, 3, 4, 5]);
    for graph in graphs {
        let made_of = match (graph.neighbors, graph.epsilon) {
            (Some(most), Some(epsilon)) => format!("rows within {epsilon}, {most} at most"),
            (Some(k), None) => format!("{k} nearest rows"),
            _ => "edges".to_owned(),
        };
        table.add_row([
            graph.name.clone(),
            graph.collection.clone(),
            output::count(graph.edges),
            if graph.directed { "directed" } else { "undirected" }.to_owned(),
            made_of,
            graph.edge_types.join(", "),
            output::bytes(graph.bytes),
        ]);
    }
    writeln!(out, "{}", table.trim_fmt())
}

#[derive(Serialize)]
struct Listed {
    graphs: Vec<Shown>,
}

impl Report for Listed {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.graphs.is_empty() {
            return writeln!(out, "no graphs");
        }
        print(&self.graphs, out)
    }
}

#[derive(Serialize)]
struct Created<'a> {
    collection: &'a str,
    graph: &'a str,
    directed: bool,
}

impl Report for Created<'_> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "created graph {} over {}", self.graph, self.collection)
    }
}

/// Runs `redknot graph create`.
pub(super) fn create(args: &CreateArgs) -> Result<Outcome, CliError> {
    let database = args.target.database.open_to_write()?;
    let info = args.target.collection.find(&database)?;
    let options = GraphOptions { directed: !args.undirected };
    let (collection, graph) = (info.name.as_str(), args.target.graph.as_str());
    with_types_of(&info, Create { database: &database, collection, graph, options })?;
    args.target.output.show(&Created { collection, graph, directed: options.directed })?;
    Ok(Outcome::Done)
}

struct Create<'a> {
    database: &'a Database,
    collection: &'a str,
    graph: &'a str,
    options: GraphOptions,
}

impl OnRows for Create<'_> {
    type Output = ();

    fn run<K: RowKey, P: RowPayload>(self) -> Result<(), CliError> {
        let mut txn = self.database.begin_write()?;
        txn.create_graph_named::<K>(self.collection, self.graph, self.options)?;
        Ok(txn.commit()?)
    }
}

/// Runs `redknot graph list`.
pub(super) fn list(args: &ListArgs) -> Result<Outcome, CliError> {
    let database = args.database.open_to_read()?;
    let info = args.collection.find(&database)?;
    args.output.show(&Listed { graphs: info.graphs.into_iter().map(Shown::from).collect() })?;
    Ok(Outcome::Done)
}

/// Runs `redknot graph drop`.
pub(super) fn drop(args: &DropArgs) -> Result<Outcome, CliError> {
    let database = args.target.database.open_to_write()?;
    let collection = args.target.collection.find(&database)?.name;
    let mut txn = database.begin_write()?;
    let dropped = txn.delete_graph(&collection, &args.target.graph)?;
    txn.commit()?;
    let told = if dropped { "the graph is gone" } else { "there was no such graph" };
    args.target.output.show(&Dropped { collection, dropped, told })?;
    Ok(if dropped { Outcome::Done } else { Outcome::Findings })
}
