//! `redknot graph neighbors` and `subgraph`.

use std::fmt::Display;
use std::io::{self, Write};

use redknot::Database;
use serde::Serialize;

use super::{Target, open};
use crate::cli::Outcome;
use crate::cli::error::CliError;
use crate::cli::output::{self, Report};
use crate::cli::rows::{OnRows, RowKey, RowPayload, with_types_of};

/// Arguments of `redknot graph neighbors`.
#[derive(Debug, clap::Args)]
pub(super) struct NeighborsArgs {
    #[command(flatten)]
    pub(super) target: Target,

    /// The row.
    #[arg(allow_hyphen_values = true)]
    key: String,

    /// Those that edges lead from, to this row, rather than those that edges lead to.
    #[arg(long)]
    incoming: bool,
}

/// Arguments of `redknot graph subgraph`.
#[derive(Debug, clap::Args)]
pub(super) struct SubgraphArgs {
    #[command(flatten)]
    pub(super) target: Target,

    /// The row in the middle.
    #[arg(allow_hyphen_values = true)]
    center: String,

    /// Edges on the way to a row, at most.
    #[arg(long, default_value_t = 1)]
    hops: u32,
}

#[derive(Serialize)]
struct Neighbors<K> {
    collection: String,
    graph: String,
    neighbors: Vec<Neighbor<K>>,
}

#[derive(Serialize)]
struct Neighbor<K> {
    key: K,
    weight: f32,
    #[serde(rename = "type")]
    edge_type: Option<String>,
}

impl<K: Serialize + Display> Report for Neighbors<K> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = output::table(&["key", "weight", "type"], &[0, 2]);
        for next in &self.neighbors {
            let edge_type = next.edge_type.clone().unwrap_or_default();
            table.add_row([next.key.to_string(), next.weight.to_string(), edge_type]);
        }
        writeln!(out, "{}", table.trim_fmt())
    }
}

#[derive(Serialize)]
struct Subgraph<K> {
    collection: String,
    graph: String,
    rows: Vec<Row<K>>,
    edges: Vec<Edge<K>>,
}

#[derive(Serialize)]
struct Row<K> {
    key: K,
    hops: u32,
}

#[derive(Serialize)]
struct Edge<K> {
    source: K,
    target: K,
    weight: f32,
    #[serde(rename = "type")]
    edge_type: Option<String>,
}

impl<K: Serialize + Display> Report for Subgraph<K> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut rows = output::table(&["key", "hops"], &[0]);
        for row in &self.rows {
            rows.add_row([row.key.to_string(), row.hops.to_string()]);
        }
        writeln!(out, "{}\n", rows.trim_fmt())?;
        let mut edges = output::table(&["source", "target", "weight", "type"], &[0, 1, 3]);
        for edge in &self.edges {
            let edge_type = edge.edge_type.clone().unwrap_or_default();
            let (source, target) = (edge.source.to_string(), edge.target.to_string());
            edges.add_row([source, target, edge.weight.to_string(), edge_type]);
        }
        writeln!(out, "{}", edges.trim_fmt())
    }
}

/// Runs `redknot graph neighbors`.
pub(super) fn neighbors(args: &NeighborsArgs) -> Result<Outcome, CliError> {
    let database = args.target.database.open_to_read()?;
    let info = args.target.collection.find(&database)?;
    with_types_of(&info, ShowNeighbors { args, database: &database, collection: &info.name })?;
    Ok(Outcome::Done)
}

struct ShowNeighbors<'a> {
    args: &'a NeighborsArgs,
    database: &'a Database,
    collection: &'a str,
}

impl OnRows for ShowNeighbors<'_> {
    type Output = ();

    fn run<K: RowKey, P: RowPayload>(self) -> Result<(), CliError> {
        let target = &self.args.target;
        let graph = open::<K>(&self.database.begin_read()?, self.collection, &target.graph)?;
        let key = K::parse(&self.args.key)?;
        let found = match self.args.incoming {
            true => graph.incoming(K::borrow(&key))?,
            false => graph.neighbors(K::borrow(&key))?,
        };
        let shown = found.into_iter().map(|next| Neighbor {
            key: next.key,
            weight: next.weight,
            edge_type: next.edge_type.as_deref().map(str::to_owned),
        });
        target.output.show(&Neighbors {
            collection: self.collection.to_owned(),
            graph: target.graph.clone(),
            neighbors: shown.collect(),
        })
    }
}

/// Runs `redknot graph subgraph`.
pub(super) fn subgraph(args: &SubgraphArgs) -> Result<Outcome, CliError> {
    let database = args.target.database.open_to_read()?;
    let info = args.target.collection.find(&database)?;
    with_types_of(&info, ShowSubgraph { args, database: &database, collection: &info.name })?;
    Ok(Outcome::Done)
}

struct ShowSubgraph<'a> {
    args: &'a SubgraphArgs,
    database: &'a Database,
    collection: &'a str,
}

impl OnRows for ShowSubgraph<'_> {
    type Output = ();

    fn run<K: RowKey, P: RowPayload>(self) -> Result<(), CliError> {
        let target = &self.args.target;
        let graph = open::<K>(&self.database.begin_read()?, self.collection, &target.graph)?;
        let center = K::parse(&self.args.center)?;
        let found = graph.subgraph(K::borrow(&center), self.args.hops)?;
        let edges = found.edges.iter().map(|edge| Edge {
            source: found.keys[edge.source].clone(),
            target: found.keys[edge.target].clone(),
            weight: edge.weight,
            edge_type: edge.edge_type.as_deref().map(str::to_owned),
        });
        let edges = edges.collect();
        let rows = found.keys.into_iter().zip(found.hops).map(|(key, hops)| Row { key, hops }).collect();
        let (collection, graph) = (self.collection.to_owned(), target.graph.clone());
        target.output.show(&Subgraph { collection, graph, rows, edges })
    }
}
