//! `redknot backup`

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use super::Outcome;
use super::error::CliError;
use super::open::DatabaseArgs;
use super::output::{self, Output, Report};

/// Arguments of `redknot backup`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,

    /// The new file.
    to: PathBuf,
}

#[derive(Debug, Serialize)]
struct BackedUp {
    file: String,
    backup: String,
    bytes: u64,
    seconds: f64,
}

impl Report for BackedUp {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let (file, backup) = (&self.file, &self.backup);
        writeln!(out, "copied {file} to {backup}: {} in {:.2} s", output::bytes(self.bytes), self.seconds)
    }
}

/// Runs `redknot backup`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = args.database.open_to_read()?;
    let start = Instant::now();
    database.backup(&args.to)?;
    let seconds = start.elapsed().as_secs_f64();
    let metadata = std::fs::metadata(&args.to);
    let metadata =
        metadata.map_err(|source| CliError::System { what: "read the backup's length", source })?;
    args.output.show(&BackedUp {
        file: args.database.file.display().to_string(),
        backup: args.to.display().to_string(),
        bytes: metadata.len(),
        seconds,
    })?;
    Ok(Outcome::Done)
}
