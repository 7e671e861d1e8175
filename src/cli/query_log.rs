//! `redknot query-log`

use std::io::{self, Write};

use redknot::QueryLogInfo;
use serde::Serialize;

use super::Outcome;
use super::error::CliError;
use super::open::{CollectionArgs, DatabaseArgs};
use super::output::{self, Output, Report};

/// Arguments of `redknot query-log`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    collection: CollectionArgs,

    /// Keep a sample of so many queries, 1 to 100000, or `off`: switch the log off and forget it. Without, it is shown.
    #[arg(long, value_name = "N", value_parser = capacity)]
    set: Option<Capacity>,
}

#[derive(Clone, Copy, Debug)]
struct Capacity(Option<usize>);

fn capacity(text: &str) -> Result<Capacity, String> {
    match text {
        "off" => Ok(Capacity(None)),
        number => {
            number.parse().map(|number| Capacity(Some(number))).map_err(|_| "expected a number or off".into())
        }
    }
}

/// Runs `redknot query-log`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = match args.set {
        None => args.database.open_to_read()?,
        Some(_) => args.database.open_to_write()?,
    };
    let collection = args.collection.find(&database)?.name;
    if let Some(Capacity(capacity)) = args.set {
        database.log_queries(&collection, capacity)?;
    }
    let log = database.query_log(&collection)?;
    args.output.show(&Shown { collection, log })?;
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Shown {
    collection: String,
    /// Null where it is off.
    log: Option<QueryLogInfo>,
}

impl Report for Shown {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.log {
            None => writeln!(out, "{}: queries are not logged", self.collection),
            Some(QueryLogInfo { capacity, seen, kept, .. }) => writeln!(
                out,
                "{}: {} of {} queries seen are kept, at most {}",
                self.collection,
                output::count(*kept as u64),
                output::count(*seen),
                output::count(*capacity as u64)
            ),
        }
    }
}
