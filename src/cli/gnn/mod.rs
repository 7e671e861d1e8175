//! `redknot gnn`

mod classify;
mod judge;
mod message_pass;
mod models;
mod predict;
#[cfg(feature = "train")]
mod train;

use clap::Subcommand;
use redknot::layers::Model;
use redknot::{CollectionInfo, Database, Graph, Layers, ReadTransaction};

use super::Outcome;
use super::error::CliError;
use super::graph;
use super::open::{CollectionArgs, DatabaseArgs};
use super::output::Output;
use super::rows::{OnRows, RowKey, RowPayload, with_types_of};

/// Arguments of `redknot gnn`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the models of layers that a file holds.
    Models(models::ListArgs),
    /// Write a model into a file: from safetensors with a description, or from ONNX.
    Import(models::ImportArgs),
    /// Write a model of a file as safetensors, or as ONNX.
    Export(models::ExportArgs),
    /// Remove a model from a file.
    Drop(models::DropArgs),
    /// Compute what a model makes of every row, from its vector and its neighbourhood.
    MessagePass(message_pass::Args),
    /// Find the rows whose neighbourhoods are most similar to a query's, by a model.
    Search(judge::SearchArgs),
    /// Say how similar some rows and their neighbourhoods are to a query, by a model.
    Score(judge::ScoreArgs),
    /// Put every row in a class, by a model.
    Classify(classify::Args),
    /// Say how likely an edge joins the rows of some pairs, by a model that was trained to tell.
    Predict(predict::Args),
    /// Train a model to classify rows, or to predict edges, and keep it in the file.
    #[cfg(feature = "train")]
    Train(train::Args),
}

/// Runs `redknot gnn`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    match &args.command {
        Command::Models(args) => models::list(args),
        Command::Import(args) => models::import(args),
        Command::Export(args) => models::export(args),
        Command::Drop(args) => models::drop(args),
        Command::MessagePass(args) => message_pass::run(args),
        Command::Search(args) => judge::search(args),
        Command::Score(args) => judge::score(args),
        Command::Classify(args) => classify::run(args),
        Command::Predict(args) => predict::run(args),
        #[cfg(feature = "train")]
        Command::Train(args) => train::run(args),
    }
}

/// Whether the command is to print JSON.
pub(super) fn wants_json(args: &Args) -> bool {
    match &args.command {
        Command::Models(args) => args.output.json,
        Command::Import(args) => args.output.json,
        Command::Export(args) => args.output.json,
        Command::Drop(args) => args.output.json,
        Command::MessagePass(args) => args.graph.output.json,
        Command::Search(args) => args.graph.output.json,
        Command::Score(args) => args.graph.output.json,
        Command::Classify(args) => args.graph.output.json,
        Command::Predict(args) => args.graph.output.json,
        #[cfg(feature = "train")]
        Command::Train(args) => args.graph.output.json,
    }
}

/// The graph that messages pass along.
#[derive(Debug, clap::Args)]
struct GraphArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    collection: CollectionArgs,

    /// A graph over the collection; `redknot.hnsw` is the links of the index.
    #[arg(long, value_name = "NAME", default_value = graph::HNSW)]
    graph: String,

    /// Let the weights of edges count in models that look at them: gcn [default: in graphs that a program made, not in those
    /// of nearest neighbours, whose weights are distances].
    #[arg(long, value_name = "BOOL")]
    weighted: Option<bool>,
}

impl GraphArgs {
    fn open<K: RowKey>(&self, read: &ReadTransaction, collection: &str) -> Result<Graph<K>, CliError> {
        graph::open(read, collection, &self.graph)
    }

    fn layers<'g, K: RowKey>(&self, graph: &'g Graph<K>) -> Layers<'g, K> {
        let layers = graph.layers();
        match self.weighted {
            Some(weighted) => layers.weighted(weighted),
            None => layers,
        }
    }
}

/// The model that is asked.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct ModelArgs {
    /// A model of the file.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// Without a model: take the mean of each row and its neighbours, so many times.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    hops: Option<u8>,
}

impl ModelArgs {
    /// `dim` is the dimension of the collection.
    fn open(&self, read: &ReadTransaction, dim: usize) -> Result<Model, CliError> {
        match &self.model {
            Some(name) => Ok(read.model(name)?),
            None => {
                let hops = self.hops.unwrap_or(1).into();
                Ok(Model::mean(dim, hops).map_err(redknot::Error::from)?)
            }
        }
    }
}

/// What a command does that only reads, once the model, the graph and the types of rows are known.
trait OnModel {
    fn run<K: RowKey, P: RowPayload>(self, opened: &Opened<'_, K>) -> Result<(), CliError>;
}

/// What such a command works on.
struct Opened<'a, K: RowKey> {
    collection: &'a str,
    read: ReadTransaction,
    model: Model,
    graph: Graph<K>,
}

/// Opens what `graph` and `model` name, and runs `command` on it.
fn with_model(graph: &GraphArgs, model: &ModelArgs, command: impl OnModel) -> Result<Outcome, CliError> {
    let database = graph.database.open_to_read()?;
    let info = graph.collection.find(&database)?;
    with_types_of(&info, Open { graph, model, command, database: &database, info: &info })?;
    Ok(Outcome::Done)
}

struct Open<'a, C> {
    graph: &'a GraphArgs,
    model: &'a ModelArgs,
    command: C,
    database: &'a Database,
    info: &'a CollectionInfo,
}

impl<C: OnModel> OnRows for Open<'_, C> {
    type Output = ();

    fn run<K: RowKey, P: RowPayload>(self) -> Result<(), CliError> {
        let read = self.database.begin_read()?;
        let collection = self.info.name.as_str();
        let model = self.model.open(&read, self.info.config.dim)?;
        let graph = self.graph.open::<K>(&read, collection)?;
        self.command.run::<K, P>(&Opened { collection, read, model, graph })
    }
}
