//! `redknot router --export`, `--import`

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Mutex;

use redknot::onnx::{MAX_FILE_BYTES, Metadata};
use redknot::routing::Level;
use redknot::{RouterProgress, Training};
use serde::Serialize;

use super::super::Outcome;
use super::super::bench::measure::Queries;
use super::super::error::CliError;
use super::super::interrupt::Interrupt;
use super::super::output::{self, Report};
use super::super::progress::Progress;
use super::super::written::write_whole;
use super::{Args, level_table};

#[derive(Serialize)]
struct Exported {
    collection: String,
    file: String,
    bytes: usize,
}

impl Report for Exported {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let bytes = output::bytes(self.bytes as u64);
        writeln!(out, "{}: wrote the router to {}, {bytes}", self.collection, self.file)
    }
}

/// Writes the whole file or none.
pub(super) fn export(args: &Args, to: &Path) -> Result<Outcome, CliError> {
    let database = args.database.open_to_read()?;
    let collection = args.collection.find(&database)?.name;
    let file = database.export_router(&collection)?;
    write_whole(to, &file)?;
    args.output.show(&Exported { collection, file: to.display().to_string(), bytes: file.len() })?;
    Ok(Outcome::Done)
}

/// What an import came to, as it is shown.
#[derive(Serialize)]
struct Imported {
    collection: String,
    accepted: bool,
    fitted: bool,
    levels: Vec<Level>,
    before: Option<Vec<Level>>,
    training: Training,
    metadata: Metadata,
}

impl Report for Imported {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let quantiser = if self.fitted { "fitted to the rows" } else { "from the file" };
        let held_out = output::count(self.training.held_out as u64);
        writeln!(out, "{}: quantiser {quantiser}, measured with {held_out} queries", self.collection)?;
        writeln!(out, "{}", level_table(&self.levels))?;
        let verdict = match (self.accepted, self.before.is_some()) {
            (true, _) => "searches follow the imported router wherever it is faster",
            (false, true) => "no gain over the router that is there: it stays",
            (false, false) => "no gain: searches stay greedy",
        };
        writeln!(out, "{verdict}")
    }
}

/// Imports with progress.
pub(super) fn import(args: &Args, from: &Path) -> Result<Outcome, CliError> {
    let file = read(from)?;
    let database = args.database.open_to_write()?;
    let info = args.collection.find(&database)?;
    let held_out = Queries::flat(args.held_out.as_deref(), &info.config)?;
    let interrupt = Interrupt::catch()?;
    // Called from any thread of the import.
    let progress = Mutex::new(Progress::new(args.output, "import", "steps"));
    let mut import = database.import_router_named(&info.name, &file).k(args.k);
    if let Some(held_out) = &held_out {
        import = import.held_out(held_out);
    }
    let report = import
        .progress(|step| {
            if let Ok(mut progress) = progress.try_lock() {
                progress.phase(match step {
                    RouterProgress::Keys => "making keys",
                    _ => "calibrating",
                });
            }
            interrupt.go_on()
        })
        .run();
    drop(progress);
    let report = CliError::unless_interrupted(report, "searches go on as before")?;
    args.output.show(&Imported {
        collection: info.name,
        accepted: report.accepted,
        fitted: report.fitted,
        levels: report.levels,
        before: report.before,
        training: report.training,
        metadata: report.metadata,
    })?;
    Ok(Outcome::Done)
}

/// The bytes of a file that is not too large.
fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let failed = |source| CliError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    // One byte more than a model may have: the library then says that it is too large.
    std::fs::File::open(path)
        .map_err(failed)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}
