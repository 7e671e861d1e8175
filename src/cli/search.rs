//! `redknot search`

use std::io::{self, Write};
use std::time::Instant;

use redknot::{Completeness, Database};
use serde::Serialize;

use super::Outcome;
use super::error::CliError;
use super::open::{CollectionArgs, DatabaseArgs};
use super::output::{self, Output, Report};
use super::query::QueryArgs;
use super::rows::{OnRows, RowKey, RowPayload, with_types_of};

/// Arguments of `redknot search`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    collection: CollectionArgs,
    #[command(flatten)]
    query: QueryArgs,

    /// Look at every row instead of searching the graph.
    #[arg(long)]
    exact: bool,

    /// Only rows at this distance or nearer.
    #[arg(long, value_name = "DISTANCE")]
    within: Option<f32>,
}

#[derive(Debug, Serialize)]
struct Found<K> {
    collection: String,
    hits: Vec<FoundRow<K>>,
    /// `exact`, `approximate` or `short` (fewer rows qualify than were asked for; these are all).
    completeness: &'static str,
    distances: u64,
    hops: u64,
    /// Keys scored by a router.
    key_scores: u64,
    /// Whether a router decided where to look.
    routed: bool,
    search_us: f64,
}

#[derive(Debug, Serialize)]
struct FoundRow<K> {
    key: K,
    distance: f32,
    payload: Option<String>,
}

impl<K: Serialize + std::fmt::Display> Report for Found<K> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = output::table(&["rank", "distance", "key", "payload"], &[2, 3]);
        for (rank, hit) in self.hits.iter().enumerate() {
            let payload = hit.payload.clone().unwrap_or_default();
            let (rank, distance) = ((rank + 1).to_string(), format!("{:.6}", hit.distance));
            table.add_row([rank, distance, hit.key.to_string(), payload]);
        }
        writeln!(out, "{}", table.trim_fmt())?;
        writeln!(
            out,
            "{} rows, {}, {} distances in {:.0} µs",
            self.hits.len(),
            self.completeness,
            output::count(self.distances),
            self.search_us
        )
    }
}

/// Runs `redknot search`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = args.database.open_to_read()?;
    let info = args.collection.find(&database)?;
    with_types_of(&info, SearchOne { args, database: &database, name: &info.name })?;
    Ok(Outcome::Done)
}

struct SearchOne<'a> {
    args: &'a Args,
    database: &'a Database,
    name: &'a str,
}

impl OnRows for SearchOne<'_> {
    type Output = ();

    fn run<K: RowKey, P: RowPayload>(self) -> Result<(), CliError> {
        let args = self.args;
        let collection = self.database.begin_read()?.open_collection_named::<K, P>(self.name)?;
        let query = args.query.read(self.name, &collection)?;
        let mut search = args.query.ask(collection.search(query.values.as_vectors()));
        if args.exact {
            search = search.exact();
        }
        if let Some(radius) = args.within {
            search = search.within(radius);
        }
        if let Some(like) = &query.like {
            search = search.leave_out(K::borrow(like));
        }
        let start = Instant::now();
        let result = search.run()?;
        let search_us = start.elapsed().as_secs_f64() * 1e6;
        let mut hits = Vec::with_capacity(result.hits.len());
        for hit in result.hits {
            let payload = collection.get(K::borrow(&hit.key))?;
            let payload = payload.and_then(|payload| P::text(&payload.value()));
            hits.push(FoundRow { key: hit.key, distance: hit.distance, payload });
        }
        args.output.show(&Found {
            collection: self.name.to_owned(),
            hits,
            completeness: completeness(result.completeness),
            distances: result.stats.distances,
            hops: result.stats.hops,
            key_scores: result.stats.key_scores,
            routed: result.stats.routed,
            search_us,
        })
    }
}

fn completeness(completeness: Completeness) -> &'static str {
    match completeness {
        Completeness::Exact => "exact",
        Completeness::Approximate => "approximate",
        Completeness::Short => "short",
        _ => "unknown",
    }
}
