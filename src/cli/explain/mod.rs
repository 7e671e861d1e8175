//! `redknot explain`

mod page;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;

use redknot::routing::{Plan, StopReason};
use redknot::{Database, Explanation, Hit, Walk};
use serde::Serialize;

use super::Outcome;
use super::error::CliError;
use super::open::{CollectionArgs, DatabaseArgs};
use super::output::{self, Output, Report};
use super::query::QueryArgs;
use super::rows::{OnRows, RowKey, RowPayload, with_types_of};
use super::written::write_whole;

/// Arguments of `redknot explain`.
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

    /// Draw both searches, hop by hop, on a page of HTML that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Runs `redknot explain`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = args.database.open_to_read()?;
    let info = args.collection.find(&database)?;
    with_types_of(&info, ExplainOne { args, database: &database, name: &info.name })?;
    Ok(Outcome::Done)
}

struct ExplainOne<'a> {
    args: &'a Args,
    database: &'a Database,
    name: &'a str,
}

impl OnRows for ExplainOne<'_> {
    type Output = ();

    fn run<K: RowKey, P: RowPayload>(self) -> Result<(), CliError> {
        let args = self.args;
        let collection = self.database.begin_read()?.open_collection_named::<K, P>(self.name)?;
        let query = args.query.read(self.name, &collection)?;
        let explained = args.query.ask(collection.search(query.values.as_vectors())).explain()?;
        if let Some(path) = &args.html {
            let payload = |key: &K::Owned| -> Result<String, CliError> {
                let payload = collection.get(K::borrow(key))?;
                Ok(payload.and_then(|payload| P::text(&payload.value())).unwrap_or_default())
            };
            let page = page::render(&explained, args.query.describe(), payload)?;
            write_whole(path, page.as_bytes())?;
        }
        args.output.show(&Shown { explained, html: args.html.clone() })
    }
}

/// What is printed.
#[derive(Serialize)]
struct Shown<K> {
    #[serde(flatten)]
    explained: Explanation<K>,
    /// The page that was written.
    html: Option<PathBuf>,
}

impl<K: Serialize + Display + PartialEq> Report for Shown<K> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Explanation { greedy, router, .. } = &self.explained;
        writeln!(out, "{}", verdict(&self.explained))?;
        let mut table =
            output::table(&["search", "effort", "hops", "distances", "keys scored", "stopped"], &[0, 1, 5]);
        for (name, walk) in walks(greedy, router.as_ref()) {
            table.add_row([
                name.to_owned(),
                effort(&walk.plan),
                output::count(walk.hops.len() as u64),
                output::count(walk.distances),
                output::count(walk.key_scores),
                stopped(walk.stop).to_owned(),
            ]);
        }
        writeln!(out, "{}", table.trim_fmt())?;
        let mut table = output::table(&["rank", "greedy's", "distance", "router's", "distance"], &[1, 3]);
        let routed = router.as_ref().map_or(&[][..], |walk| &walk.hits);
        for rank in 0..greedy.hits.len().max(routed.len()) {
            let mut row = vec![(rank + 1).to_string()];
            row.extend(hit(greedy.hits.get(rank)));
            row.extend(hit(routed.get(rank)));
            table.add_row(row);
        }
        writeln!(out, "{}", table.trim_fmt())?;
        match &self.html {
            Some(path) => writeln!(out, "drawn in {}", path.display()),
            None => Ok(()),
        }
    }
}

fn hit<K: Display>(hit: Option<&Hit<K>>) -> [String; 2] {
    hit.map_or_else(Default::default, |hit| [hit.key.to_string(), format!("{:.6}", hit.distance)])
}

/// The walks there are, with their names.
fn walks<'e, K>(
    greedy: &'e Walk<K>,
    router: Option<&'e Walk<K>>,
) -> impl Iterator<Item = (&'static str, &'e Walk<K>)> {
    std::iter::once(("Greedy search", greedy)).chain(router.map(|walk| ("Router", walk)))
}

/// Who answers, and what that saves.
fn verdict<K>(explained: &Explanation<K>) -> String {
    let mut told = match &explained.unrouted {
        None => "The router answers this search".to_owned(),
        Some(why) => format!("Greedy search answers: {why}"),
    };
    if let Some(saved) = explained.distances_saved {
        let share = 100.0 * saved as f64 / (explained.greedy.distances as f64).max(1.0);
        let save = if explained.unrouted.is_none() { "saves" } else { "would save" };
        told += &format!("; following keys {save} {saved} distances ({share:.0} %)");
    }
    told + "."
}

fn effort(plan: &Plan) -> String {
    match plan {
        Plan::Greedy(ef) => format!("ef {ef}"),
        Plan::Routed(effort) => {
            format!("{:?}, γ {:.2}, rerank {}", effort.mode, effort.gamma, effort.rerank)
        }
    }
}

fn stopped(stop: StopReason) -> &'static str {
    match stop {
        StopReason::Converged => "no candidate lay within the bound",
        StopReason::Exhausted => "no candidate was left",
        StopReason::HopLimit => "the limit of hops was reached",
        StopReason::NoGraph => "nothing is in the graph: every row was looked at",
        StopReason::Scanned => "the graph led to too few rows: every row was looked at",
        _ => "for a reason that this program does not know",
    }
}
