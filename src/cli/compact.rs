//! `redknot compact`

use std::io::{self, Write};

use serde::Serialize;

use super::Outcome;
use super::error::CliError;
use super::open::DatabaseArgs;
use super::output::{self, Output, Report};

/// Arguments of `redknot compact`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(Debug, Serialize)]
struct Compacted {
    file: String,
    bytes_before: u64,
    bytes_after: u64,
}

impl Report for Compacted {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let (before, after) = (output::bytes(self.bytes_before), output::bytes(self.bytes_after));
        writeln!(out, "{}: {before} before, {after} now", self.file)
    }
}

/// Runs `redknot compact`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = args.database.open_to_write()?;
    let bytes_before = database.stats()?.file_bytes;
    database.compact()?;
    let bytes_after = database.stats()?.file_bytes;
    args.output.show(&Compacted {
        file: args.database.file.display().to_string(),
        bytes_before,
        bytes_after,
    })?;
    Ok(Outcome::Done)
}
