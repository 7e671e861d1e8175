//! `redknot verify`

use std::io::{self, Write};

use serde::Serialize;

use super::Outcome;
use super::error::CliError;
use super::open::DatabaseArgs;
use super::output::{self, Output, Report};

/// Arguments of `redknot verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,

    /// Also check every page of the file against its checksums, which needs the file for itself.
    #[arg(long)]
    pages: bool,
}

#[derive(Debug, Serialize)]
struct Verified {
    file: String,
    clean: bool,
    collections: usize,
    rows: u64,
    /// Links of all graphs, in all layers.
    links: u64,
    /// Edges of all graphs over rows.
    edges: u64,
    /// With --pages: whether every page was sound. Pages that were not have been repaired as far as possible.
    pages_sound: Option<bool>,
    findings: Vec<String>,
}

impl Report for Verified {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        for finding in &self.findings {
            writeln!(out, "{finding}")?;
        }
        if self.pages_sound == Some(false) {
            writeln!(out, "pages of the file failed their checksums")?;
        }
        let verdict = if self.clean { "clean" } else { "damaged: restore a backup, or copy what is sound" };
        let (collections, rows, links) =
            (self.collections, output::count(self.rows), output::count(self.links));
        writeln!(out, "{}: {collections} collection(s), {rows} rows, {links} links, {verdict}", self.file)
    }
}

/// Runs `redknot verify`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = if args.pages { args.database.open_to_write()? } else { args.database.open_to_read()? };
    let pages_sound = if args.pages { Some(database.check_integrity()?) } else { None };
    let report = database.verify()?;
    let verified = Verified {
        file: args.database.file.display().to_string(),
        clean: report.findings.is_empty() && pages_sound != Some(false),
        collections: report.collections,
        rows: report.rows,
        links: report.links,
        edges: report.edges,
        pages_sound,
        findings: report.findings.iter().map(ToString::to_string).collect(),
    };
    args.output.show(&verified)?;
    Ok(if verified.clean { Outcome::Done } else { Outcome::Findings })
}
