//! `redknot gnn search`, `score`

use std::io::{self, Write};

use redknot::Scored;
use serde::Serialize;

use super::{GraphArgs, ModelArgs, OnModel, Opened, with_model};
use crate::cli::Outcome;
use crate::cli::error::CliError;
use crate::cli::output::{self, Report};
use crate::cli::query::Source;
use crate::cli::rows::{RowKey, RowPayload};

/// Arguments of `redknot gnn search`.
#[derive(Debug, clap::Args)]
pub(super) struct SearchArgs {
    #[command(flatten)]
    pub(super) graph: GraphArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    query: Query,

    /// How many rows to find.
    #[arg(short, default_value_t = 10)]
    k: usize,

    /// Show the attention that each row gets from the query instead of its similarity, by a softmax of this temperature.
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
}

/// Arguments of `redknot gnn score`.
#[derive(Debug, clap::Args)]
pub(super) struct ScoreArgs {
    #[command(flatten)]
    pub(super) graph: GraphArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    query: Query,

    /// The rows.
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
}

/// What rows are compared with.
#[derive(Debug, clap::Args)]
struct Query {
    #[command(flatten)]
    source: Source,

    /// Effort of the search for the rows that the query is near to: candidates kept while the graph is searched [default: 64].
    #[arg(long)]
    ef: Option<usize>,
}

#[derive(Serialize)]
struct Judged<K> {
    collection: String,
    rows: Vec<Row<K>>,
    /// What the query became, where attention was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<Vec<f32>>,
}

#[derive(Serialize)]
struct Row<K> {
    key: K,
    score: f32,
}

impl<K> From<Scored<K>> for Row<K> {
    fn from(scored: Scored<K>) -> Row<K> {
        Row { key: scored.key, score: scored.score }
    }
}

impl<K: Serialize + std::fmt::Display> Report for Judged<K> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = output::table(&["rank", "score", "key"], &[2]);
        for (rank, Row { key, score }) in self.rows.iter().enumerate() {
            table.add_row([(rank + 1).to_string(), format!("{score:.6}"), key.to_string()]);
        }
        writeln!(out, "{}", table.trim_fmt())
    }
}

/// Runs `redknot gnn search`.
pub(super) fn search(args: &SearchArgs) -> Result<Outcome, CliError> {
    let what = What::Near { k: args.k, temperature: args.temperature };
    with_model(&args.graph, &args.model, Judge { graph: &args.graph, query: &args.query, what })
}

/// Runs `redknot gnn score`.
pub(super) fn score(args: &ScoreArgs) -> Result<Outcome, CliError> {
    let what = What::These { keys: &args.keys };
    with_model(&args.graph, &args.model, Judge { graph: &args.graph, query: &args.query, what })
}

/// The rows that are compared with the query.
#[derive(Clone, Copy)]
enum What<'a> {
    /// The best of those that are near to it.
    Near { k: usize, temperature: Option<f32> },
    /// Given ones.
    These { keys: &'a [String] },
}

struct Judge<'a> {
    graph: &'a GraphArgs,
    query: &'a Query,
    what: What<'a>,
}

impl OnModel for Judge<'_> {
    fn run<K: RowKey, P: RowPayload>(self, opened: &Opened<'_, K>) -> Result<(), CliError> {
        let Opened { collection: name, read, model, graph } = opened;
        let collection = read.open_collection_named::<K, P>(name)?;
        let query = self.query.source.read(name, &collection)?;
        let layers = self.graph.layers(graph);
        let layers = match self.query.ef {
            Some(ef) => layers.ef(ef),
            None => layers,
        };
        let query = query.values.as_vectors();
        let mut embedding = None;
        let rows = match self.what {
            What::Near { k, temperature: None } => layers.graphsage_search(model, query, k)?,
            What::Near { k, temperature: Some(temperature) } => {
                let found = layers.differentiable_search(model, query, k, temperature)?;
                embedding = Some(found.embedding);
                found.hits
            }
            What::These { keys } => {
                let keys = keys.iter().map(|key| K::parse(key)).collect::<Result<Vec<_>, _>>()?;
                let borrowed: Vec<K::Ref<'_>> = keys.iter().map(K::borrow).collect();
                let scores = layers.gnn_score(model, query, &borrowed)?;
                let scored = |(key, score): (&K::Owned, f32)| Scored { key: key.clone(), score };
                let mut rows: Vec<_> = keys.iter().zip(scores).map(scored).collect();
                rows.sort_by(|a, b| b.score.total_cmp(&a.score));
                rows
            }
        };
        let rows = rows.into_iter().map(Row::from).collect();
        self.graph.output.show(&Judged { collection: (*name).to_owned(), rows, embedding })
    }
}
