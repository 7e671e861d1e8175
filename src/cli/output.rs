//! Printing: for people, or as one JSON object for programs.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use super::error::CliError;

/// How a command prints.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Output {
    /// Print one JSON object on stdout instead of text; errors become an object on stderr.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a command has to tell.
pub(crate) trait Report: Serialize {
    /// Writes it for people.
    fn print(&self, out: &mut dyn Write) -> io::Result<()>;
}

impl Output {
    /// Prints a report on stdout.
    pub(crate) fn show(self, report: &impl Report) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, report).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            report.print(&mut out)?;
        }
        Ok(out.flush()?)
    }
}

/// Something of a collection that was to be removed.
#[derive(Serialize)]
pub(crate) struct Dropped {
    pub(crate) collection: String,
    /// Whether it was there.
    pub(crate) dropped: bool,
    /// The same for people.
    #[serde(skip)]
    pub(crate) told: &'static str,
}

impl Report for Dropped {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}: {}", self.collection, self.told)
    }
}

/// Whether progress bars can be drawn.
pub(crate) fn on_terminal() -> bool {
    io::stderr().is_terminal()
}

/// A table without lines, whose columns are aligned to the right except those named in `left`.
pub(crate) fn table(header: &[&str], left: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    for (index, column) in table.column_iter_mut().enumerate() {
        if !left.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// `12,345`.
pub(crate) fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// `12,345` of a quantity that is not whole.
pub(crate) fn rate(number: f64) -> String {
    // Saturates: rates have no sign, and none is near 2^64.
    count(number.round() as u64)
}

/// `1.50 MiB`.
pub(crate) fn bytes(number: u64) -> String {
    HumanBytes(number).to_string()
}

/// `12.3 ms`, `4.56 s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 100.0 => format!("{s:.2} s"),
        s => format!("{s:.0} s"),
    }
}
