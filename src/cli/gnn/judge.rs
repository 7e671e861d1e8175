//! `redknot gnn search`, `score`

use std::io::{self, Write};

use redknot::{CollectionInfo, Database, Scored};
use serde::Serialize;

use super::{GraphArgs, ModelArgs};
use crate::cli::Outcome;
use crate::cli::error::CliError;
use crate::cli::output::{self, Report};
use crate::cli::query::QueryArgs;
use crate::cli::rows::{OnRows, RowKey, RowPayload, with_types_of};

/// Arguments of `redknot gnn search`.
#[derive(Debug, clap::Args)]
pub(super) struct SearchArgs {
    #[command(flatten)]
    pub(super) graph: GraphArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    query: QueryArgs,

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
    query: QueryArgs,

    /// The rows.
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
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
    judge(&args.graph, &args.model, &args.query, What::Near { temperature: args.temperature })
}

/// Runs `redknot gnn score`.
pub(super) fn score(args: &ScoreArgs) -> Result<Outcome, CliError> {
    judge(&args.graph, &args.model, &args.query, What::These { keys: &args.keys })
}

/// The rows that are compared with the query.
#[derive(Clone, Copy)]
enum What<'a> {
    /// The best of those that are near to it.
    Near { temperature: Option<f32> },
    /// Given ones.
    These { keys: &'a [String] },
}

fn judge(
    graph: &GraphArgs,
    model: &ModelArgs,
    query: &QueryArgs,
    what: What<'_>,
) -> Result<Outcome, CliError> {
    let database = graph.database.open_to_read()?;
    let info = graph.collection.find(&database)?;
    with_types_of(&info, Judge { graph, model, query, what, database: &database, info: &info })?;
    Ok(Outcome::Done)
}

struct Judge<'a> {
    graph: &'a GraphArgs,
    model: &'a ModelArgs,
    query: &'a QueryArgs,
    what: What<'a>,
    database: &'a Database,
    info: &'a CollectionInfo,
}

impl OnRows for Judge<'_> {
    type Output = ();

    fn run<K: RowKey, P: RowPayload>(self) -> Result<(), CliError> {
        let read = self.database.begin_read()?;
        let collection = read.open_collection_named::<K, P>(&self.info.name)?;
        let query = self.query.read(&self.info.name, &collection)?;
        let model = self.model.open(&read, self.info.config.dim)?;
        let graph = self.graph.open::<K>(&read, &self.info.name)?;
        let layers = self.query.effort(self.graph.layers(&graph))?;
        let (query, k) = (query.values.as_vectors(), self.query.k());
        let mut embedding = None;
        let rows = match self.what {
            What::Near { temperature: None } => layers.graphsage_search(&model, query, k)?,
            What::Near { temperature: Some(temperature) } => {
                let found = layers.differentiable_search(&model, query, k, temperature)?;
                embedding = Some(found.embedding);
                found.hits
            }
            What::These { keys } => {
                let keys = keys.iter().map(|key| K::parse(key)).collect::<Result<Vec<_>, _>>()?;
                let borrowed: Vec<K::Ref<'_>> = keys.iter().map(K::borrow).collect();
                let scores = layers.gnn_score(&model, query, &borrowed)?;
                let scored = |(key, score): (&K::Owned, f32)| Scored { key: key.clone(), score };
                let mut rows: Vec<_> = keys.iter().zip(scores).map(scored).collect();
                rows.sort_by(|a, b| b.score.total_cmp(&a.score));
                rows
            }
        };
        let rows = rows.into_iter().map(Row::from).collect();
        self.graph.output.show(&Judged { collection: self.info.name.clone(), rows, embedding })
    }
}
