//! `redknot graph import`

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use redknot::{CollectionInfo, Database, GraphOptions};
use serde::Serialize;

use super::{Target, is_npy};
use crate::cli::Outcome;
use crate::cli::error::CliError;
use crate::cli::output::{self, Report};
use crate::cli::rows::{OnRows, RowKey, RowPayload, with_types_of};
use crate::cli::vectors::{EdgeArray, FileEdge, Key, read_edge_list};

/// Arguments of `redknot graph import`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) target: Target,

    /// An edge list (source, target and, if wanted, weight and type between tabs; lines that begin with # are left out),
    /// or an npy array of whole numbers of shape (2, edges): sources, then targets.
    edges: PathBuf,

    /// With an npy array: an npy array of f4 of shape (edges,). Weights are 1 without it.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,

    /// Where there is no graph of this name yet: create one whose edges join two rows, rather than lead from one to the
    /// other.
    #[arg(long)]
    undirected: bool,
}

#[derive(Serialize)]
struct Imported {
    collection: String,
    graph: String,
    created: bool,
    /// Edges read and committed.
    edges: u64,
    /// Of them, edges that took the place of one that was there before.
    replaced: u64,
    /// Edges of the graph now.
    total: u64,
    seconds: f64,
}

impl Report for Imported {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let (edges, total) = (output::count(self.edges), output::count(self.total));
        writeln!(out, "imported {edges} edges into {} in {:.2} s; it has {total}", self.graph, self.seconds)?;
        if self.replaced > 0 {
            writeln!(out, "{} of them replaced edges between the same rows", output::count(self.replaced))?;
        }
        Ok(())
    }
}

/// Runs `redknot graph import`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let start = Instant::now();
    let edges = match (is_npy(&args.edges), &args.weights) {
        (true, weights) => EdgeArray::load(&args.edges, weights.as_deref())?.into_edges(),
        (false, None) => read_edge_list(&args.edges)?,
        (false, Some(_)) => {
            let got = "given with an edge list".to_owned();
            let expected = "an npy array as EDGES; the lines of an edge list have their own weights";
            return Err(CliError::Option { option: "--weights", got, expected });
        }
    };
    let database = args.target.database.open_to_write()?;
    let info = args.target.collection.find(&database)?;
    let import = Import { args, database: &database, info: &info, edges, start };
    args.target.output.show(&with_types_of(&info, import)?)?;
    Ok(Outcome::Done)
}

struct Import<'a> {
    args: &'a Args,
    database: &'a Database,
    info: &'a CollectionInfo,
    edges: Vec<FileEdge>,
    start: Instant,
}

impl OnRows for Import<'_> {
    type Output = Imported;

    fn run<K: RowKey, P: RowPayload>(self) -> Result<Imported, CliError> {
        let (collection, graph) = (&self.info.name, &self.args.target.graph);
        let mut txn = self.database.begin_write()?;
        let existing = self.info.graphs.iter().find(|info| info.name == *graph);
        let mut graph_mut = match existing {
            Some(info) if info.directed && self.args.undirected => {
                return Err(CliError::Differs {
                    name: graph.clone(),
                    what: "the direction",
                    found: "directed".into(),
                    asked: "undirected".into(),
                });
            }
            Some(_) => txn.open_graph_named::<K>(collection, graph)?,
            None => {
                let options = GraphOptions { directed: !self.args.undirected };
                txn.create_graph_named::<K>(collection, graph, options)?
            }
        };
        let mut edges = Vec::with_capacity(self.edges.len());
        let places: Vec<u64> = self.edges.iter().map(|edge| edge.place).collect();
        for edge in self.edges {
            let key = |key: Key| K::from_file(key);
            edges.push((key(edge.source)?, key(edge.target)?, edge.weight, edge.edge_type));
        }
        // What is asked for last is the edge at fault.
        let mut asked_for = 0;
        let replaced = graph_mut.insert_edges(edges.iter().map(|(source, target, weight, edge_type)| {
            asked_for += 1;
            (K::borrow(source), K::borrow(target), *weight, edge_type.as_deref())
        }));
        let replaced = replaced.map_err(|error| at_edge(&self.args.edges, &places, asked_for, error))?;
        let total = graph_mut.len();
        txn.commit()?;
        Ok(Imported {
            collection: collection.clone(),
            graph: graph.clone(),
            created: existing.is_none(),
            edges: edges.len() as u64,
            replaced,
            total,
            seconds: self.start.elapsed().as_secs_f64(),
        })
    }
}

/// Says which line of the file has an edge that is refused.
fn at_edge(path: &Path, places: &[u64], asked_for: usize, error: redknot::Error) -> CliError {
    use redknot::Error::{InvalidParameter, UnknownKey};
    let place = asked_for.checked_sub(1).and_then(|at| places.get(at));
    match (error, place) {
        (error @ (InvalidParameter { .. } | UnknownKey { .. }), Some(place)) => {
            let unit = if is_npy(path) { "edge" } else { "line" };
            CliError::Edge { path: path.to_owned(), unit, place: *place, source: Box::new(error) }
        }
        (error, _) => error.into(),
    }
}
