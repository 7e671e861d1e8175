//! `redknot graph search`

use std::fmt::Display;
use std::io::{self, Write};

use redknot::{Database, Hit};
use serde::Serialize;

use super::{Target, open};
use crate::cli::Outcome;
use crate::cli::error::CliError;
use crate::cli::output::{self, Report};
use crate::cli::query::Source;
use crate::cli::rows::{OnRows, RowKey, RowPayload, with_types_of};

/// Arguments of `redknot graph search`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) target: Target,
    #[command(flatten)]
    query: Source,

    /// The row in the middle, which is one of those that are looked at.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    center: String,

    /// Edges on the way to a row, at most.
    #[arg(long, default_value_t = 3)]
    max_hops: u32,

    /// How many rows to find.
    #[arg(short, default_value_t = 10)]
    k: usize,
}

#[derive(Serialize)]
struct Found<K> {
    collection: String,
    graph: String,
    hits: Vec<Hit<K>>,
    /// Rows within the hops, all of which were looked at.
    reached: u64,
}

impl<K: Serialize + Display> Report for Found<K> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = output::table(&["rank", "distance", "key"], &[2]);
        for (rank, hit) in self.hits.iter().enumerate() {
            let (rank, distance) = ((rank + 1).to_string(), format!("{:.6}", hit.distance));
            table.add_row([rank, distance, hit.key.to_string()]);
        }
        writeln!(out, "{}", table.trim_fmt())?;
        writeln!(out, "{} of {} rows within the hops", self.hits.len(), output::count(self.reached))
    }
}

/// Runs `redknot graph search`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = args.target.database.open_to_read()?;
    let info = args.target.collection.find(&database)?;
    with_types_of(&info, SearchGraph { args, database: &database, collection: &info.name })?;
    Ok(Outcome::Done)
}

struct SearchGraph<'a> {
    args: &'a Args,
    database: &'a Database,
    collection: &'a str,
}

impl OnRows for SearchGraph<'_> {
    type Output = ();

    fn run<K: RowKey, P: RowPayload>(self) -> Result<(), CliError> {
        let Args { target, query, center, max_hops, k } = self.args;
        let read = self.database.begin_read()?;
        let graph = open::<K>(&read, self.collection, &target.graph)?;
        let rows = read.open_collection_named::<K, P>(self.collection)?;
        let query = query.read(self.collection, &rows)?;
        let center = K::parse(center)?;
        let values = query.values.as_vectors();
        let found = graph.subgraph_search(K::borrow(&center), values, *max_hops, *k)?;
        target.output.show(&Found {
            collection: self.collection.to_owned(),
            graph: target.graph.clone(),
            hits: found.hits,
            reached: found.stats.distances,
        })
    }
}
