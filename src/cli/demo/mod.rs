//! `redknot demo`: the whole life of a database on bundled data. Every number shown is measured in the run, and
//! what is claimed is checked: the exit code is 1 where a check fails.

mod crash;
mod data;
#[cfg(feature = "train")]
mod route;
mod speed;
mod texts;

use std::fmt::Arguments;
use std::path::{Path, PathBuf};

use redknot::Database;
use serde::Serialize;

use super::Outcome;
use super::bench::interpolate::Point;
use super::build::{Built, build};
use super::error::CliError;
use super::import::Imported;
use super::interrupt::Interrupt;
use super::memory;
use super::output::{self, Output};
use crash::Crashed;
use data::Data;

/// The collection of definitions, as `import` creates it.
const COLLECTION: &str = "definitions";

/// Rows shown for each query.
const K: usize = 10;

/// Arguments of `redknot demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) output: Output,

    /// The folder of the demo data [default: that of the source tree].
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,

    /// Keep the database in this file, which must not exist. Without it, it lives in a temporary folder.
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,

    /// Draw recall against queries/s here.
    #[arg(long, value_name = "OUT.svg", default_value = "redknot-demo.svg")]
    plot: PathBuf,

    /// Fewer queries and an earlier kill: a few seconds in all.
    #[arg(long)]
    quick: bool,
}

/// Everything the demo shows.
#[derive(Debug, Serialize)]
struct Facts {
    file: String,
    import: Imported,
    build: Built,
    /// Queries/s of looking at every row.
    exact_qps: f64,
    exact_recall: f64,
    points: Vec<Point>,
    /// Both ways of searching at several recall levels, on queries made up to calibrate with.
    #[cfg(feature = "train")]
    levels: Vec<redknot::routing::Level>,
    queries: Vec<texts::Answered>,
    crash: Crashed,
    size: Size,
    private_bytes: Option<u64>,
    plot: String,
    failed_checks: Vec<String>,
}

/// The size of the file.
#[derive(Debug, Serialize)]
struct Size {
    file_bytes: u64,
    compacted_bytes: u64,
}

/// Prints steps, and remembers the checks that failed.
struct Stage {
    output: Output,
    failed: Vec<String>,
}

impl Stage {
    fn title(&self, title: &str) {
        self.say(format_args!("\n{title}"));
    }

    fn say(&self, line: Arguments<'_>) {
        if !self.output.json {
            println!("{line}");
        }
    }

    fn check(&mut self, what: Arguments<'_>, holds: bool) {
        self.say(format_args!("  {} {what}", if holds { "ok:" } else { "FAILED:" }));
        if !holds {
            self.failed.push(what.to_string());
        }
    }
}

/// Runs `redknot demo`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let data = Data::find(args.data.as_deref())?;
    let folder =
        tempfile::tempdir().map_err(|source| CliError::System { what: "make a temporary folder", source })?;
    let path = args.keep.clone().unwrap_or_else(|| folder.path().join("demo.redknot"));
    let mut stage = Stage { output: args.output, failed: Vec::new() };
    let mut facts = play(args, &data, &path, &mut stage)?;
    match &args.keep {
        Some(kept) => stage.say(format_args!(
            "\nThe database is kept: try `redknot search {} -c {COLLECTION} --like 0`",
            kept.display()
        )),
        None => stage.say(format_args!("\nThe file was temporary; --keep FILE keeps it.")),
    }
    facts.failed_checks = stage.failed;
    if args.output.json {
        println!("{}", serde_json::to_string_pretty(&facts).map_err(std::io::Error::from)?);
    }
    Ok(if facts.failed_checks.is_empty() { Outcome::Done } else { Outcome::Findings })
}

fn play(args: &Args, data: &Data, path: &Path, stage: &mut Stage) -> Result<Facts, CliError> {
    stage.title("1. A database in one file");
    let database = Database::create(path)?;
    stage.say(format_args!("  created {}", path.display()));

    stage.title("2. Import: 12,000 dictionary definitions with their embeddings");
    let import = data.import(&database, args.output)?;
    stage.say(format_args!(
        "  {} rows with texts in {:.2} s: {} rows/s, durable",
        output::count(import.rows),
        import.seconds,
        output::rate(import.rows_per_second)
    ));
    stage.check(format_args!("every row of the file was read"), import.rows == data.rows());

    stage.title("3. Build: link the rows into an HNSW graph");
    let built = build(&database, COLLECTION, None, None, args.output, &Interrupt::never())?;
    stage.say(format_args!(
        "  {} rows linked in {:.2} s: {} rows/s",
        output::count(built.linked),
        built.seconds,
        output::rate(built.rows_per_second)
    ));
    stage.check(format_args!("every row is linked"), built.linked == import.rows);

    let speeds = speed::measure(&database, data, args.quick, stage)?;
    let plot = speeds.draw(&args.plot)?;
    stage.say(format_args!("  drawn in {plot}"));
    #[cfg(feature = "train")]
    let levels = route::learn(&database, data, args.quick, stage)?;
    let queries = texts::answer(&database, data, stage)?;
    let private_bytes = memory::private_bytes();

    // The writer that will be killed is another process, and needs the file.
    drop(database);
    let crash = crash::play(path, args.quick, stage)?;

    stage.title("8. What it takes");
    let size = Size::measure(path, import.rows, import.vector_bytes, stage)?;
    if let Some(private) = private_bytes {
        stage.say(format_args!(
            "  private memory of the process after the searches: {}",
            output::bytes(private)
        ));
    }
    Ok(Facts {
        file: path.display().to_string(),
        import,
        build: built,
        exact_qps: speeds.exact_qps,
        exact_recall: speeds.exact_recall,
        points: speeds.points,
        #[cfg(feature = "train")]
        levels,
        queries,
        crash,
        size,
        private_bytes,
        plot,
        failed_checks: Vec::new(),
    })
}

impl Size {
    fn measure(path: &Path, rows: u64, vector_bytes: u64, stage: &Stage) -> Result<Self, CliError> {
        let length = || {
            let metadata = std::fs::metadata(path);
            metadata
                .map(|metadata| metadata.len())
                .map_err(|source| CliError::System { what: "read the file's length", source })
        };
        let file_bytes = length()?;
        let database = Database::open(path)?;
        database.compact()?;
        drop(database);
        let compacted_bytes = length()?;
        stage.say(format_args!(
            "  file: {} with the space that the build no longer needs, {} compacted ({} bytes a row, {} of them the vector)",
            output::bytes(file_bytes),
            output::bytes(compacted_bytes),
            compacted_bytes / rows.max(1),
            vector_bytes / rows.max(1),
        ));
        Ok(Self { file_bytes, compacted_bytes })
    }
}
