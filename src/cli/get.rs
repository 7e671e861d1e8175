//! `redknot get`

use std::io::{self, Write};

use redknot::Database;
use serde::Serialize;

use super::Outcome;
use super::error::CliError;
use super::open::{CollectionArgs, DatabaseArgs};
use super::output::{Output, Report};
use super::rows::{OnRows, RowKey, RowPayload, with_types_of};

/// Arguments of `redknot get`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    collection: CollectionArgs,

    /// Key of the row.
    key: String,

    /// Show the vector, too.
    #[arg(long)]
    vector: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    collection: String,
    key: String,
    found: bool,
    payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<Vec<f32>>,
}

impl Report for Row {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        if !self.found {
            return writeln!(out, "there is no row {} in {}", self.key, self.collection);
        }
        writeln!(out, "{}", self.payload.as_deref().unwrap_or("(no payload)"))?;
        if let Some(vector) = &self.vector {
            let numbers: Vec<String> = vector.iter().map(f32::to_string).collect();
            writeln!(out, "[{}]", numbers.join(", "))?;
        }
        Ok(())
    }
}

/// Runs `redknot get`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = args.database.open_to_read()?;
    let info = args.collection.find(&database)?;
    let row = with_types_of(&info, GetOne { args, database: &database, name: &info.name })?;
    args.output.show(&row)?;
    Ok(if row.found { Outcome::Done } else { Outcome::Findings })
}

struct GetOne<'a> {
    args: &'a Args,
    database: &'a Database,
    name: &'a str,
}

impl OnRows for GetOne<'_> {
    type Output = Row;

    fn run<K: RowKey, P: RowPayload>(self) -> Result<Row, CliError> {
        let collection = self.database.begin_read()?.open_collection_named::<K, P>(self.name)?;
        let key = K::parse(&self.args.key)?;
        let payload = collection.get(K::borrow(&key))?;
        let vector = if self.args.vector { collection.vector(K::borrow(&key))? } else { None };
        Ok(Row {
            collection: self.name.to_owned(),
            key: key.to_string(),
            found: payload.is_some(),
            payload: payload.and_then(|payload| P::text(&payload.value())),
            vector,
        })
    }
}
