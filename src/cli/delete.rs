//! `redknot delete`

use std::io::{self, Write};

use redknot::Database;
use serde::Serialize;

use super::Outcome;
use super::error::CliError;
use super::open::{CollectionArgs, DatabaseArgs};
use super::output::{self, Output, Report};
use super::rows::{OnRows, RowKey, RowPayload, with_types_of};

/// Arguments of `redknot delete`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    collection: CollectionArgs,

    /// Keys of the rows; all are deleted in one transaction.
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Deleted {
    collection: String,
    deleted: u64,
    /// Keys that no row had.
    missing: Vec<String>,
}

impl Report for Deleted {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "deleted {} rows of {}", output::count(self.deleted), self.collection)?;
        if !self.missing.is_empty() {
            writeln!(out, "not there: {}", self.missing.join(", "))?;
        }
        Ok(())
    }
}

/// Runs `redknot delete`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = args.database.open_to_write()?;
    let info = args.collection.find(&database)?;
    let deleted = with_types_of(&info, DeleteAll { args, database: &database, name: &info.name })?;
    args.output.show(&deleted)?;
    Ok(if deleted.missing.is_empty() { Outcome::Done } else { Outcome::Findings })
}

struct DeleteAll<'a> {
    args: &'a Args,
    database: &'a Database,
    name: &'a str,
}

impl OnRows for DeleteAll<'_> {
    type Output = Deleted;

    fn run<K: RowKey, P: RowPayload>(self) -> Result<Deleted, CliError> {
        let keys = self.args.keys.iter().map(|key| K::parse(key)).collect::<Result<Vec<_>, _>>()?;
        let mut transaction = self.database.begin_write()?;
        let mut collection = transaction.open_collection_named::<K, P>(self.name)?;
        let mut deleted = Deleted { collection: self.name.to_owned(), deleted: 0, missing: Vec::new() };
        for key in &keys {
            if collection.remove(K::borrow(key))? {
                deleted.deleted += 1;
            } else {
                deleted.missing.push(key.to_string());
            }
        }
        transaction.commit()?;
        Ok(deleted)
    }
}
