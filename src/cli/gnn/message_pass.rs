//! `redknot gnn message-pass`

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use redknot::{CollectionDefinition, CollectionInfo, Database, Metric};
use serde::Serialize;

use super::{GraphArgs, ModelArgs};
use crate::cli::Outcome;
use crate::cli::error::CliError;
use crate::cli::interrupt::Interrupt;
use crate::cli::memory::Peak;
use crate::cli::output::{self, Report};
use crate::cli::progress::Progress;
use crate::cli::rows::{OnRows, RowKey, RowPayload, with_types_of};
use crate::cli::vectors::write_matrix;
use crate::cli::written::{write_whole, write_with};

/// Arguments of `redknot gnn message-pass`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) graph: GraphArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    to: To,

    /// Metric of the collection that --into makes.
    #[arg(long, requires = "into", default_value_t = Metric::Cosine)]
    metric: Metric,
}

/// Where the result goes.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct To {
    /// A collection of the same file, with the keys of the rows; made where there is none, in the transaction that the
    /// result was computed in.
    #[arg(long, value_name = "COLLECTION")]
    into: Option<String>,

    /// An npy file of float32 (rows, width), in the order of --keys.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// With --out: the keys of its rows, one a line.
    #[arg(long, value_name = "FILE", requires = "out")]
    keys: Option<PathBuf>,
}

#[derive(Serialize)]
struct Passed {
    collection: String,
    rows: usize,
    dim: usize,
    into: Option<String>,
    out: Option<PathBuf>,
    seconds: f64,
    /// Of which the rows of the result are `rows × dim × 4`.
    peak_private_bytes: Option<u64>,
}

impl Report for Passed {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let (rows, time) =
            (output::count(self.rows as u64), output::duration(Duration::from_secs_f64(self.seconds)));
        let memory = self
            .peak_private_bytes
            .map_or(String::new(), |bytes| format!(", {} of memory", output::bytes(bytes)));
        writeln!(out, "{}: {rows} rows of {} numbers in {time}{memory}", self.collection, self.dim)?;
        if let Some(into) = &self.into {
            writeln!(out, "written to collection {into}: link its rows with `redknot build`")?;
        }
        match &self.out {
            Some(path) => writeln!(out, "written to {}", path.display()),
            None => Ok(()),
        }
    }
}

/// Runs `redknot gnn message-pass`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = match args.to.into {
        Some(_) => args.graph.database.open_to_write()?,
        None => args.graph.database.open_to_read()?,
    };
    let info = args.graph.collection.find(&database)?;
    with_types_of(&info, Pass { args, database: &database, info: &info })?;
    Ok(Outcome::Done)
}

struct Pass<'a> {
    args: &'a Args,
    database: &'a Database,
    info: &'a CollectionInfo,
}

impl OnRows for Pass<'_> {
    type Output = ();

    fn run<K: RowKey, P: RowPayload>(self) -> Result<(), CliError> {
        let Pass { args, database, info } = self;
        let interrupt = Interrupt::catch()?;
        let start = Instant::now();
        if args.to.into.as_ref() == Some(&info.name) {
            let expected = "another collection: the vectors of this one would be replaced";
            return Err(CliError::Option { option: "--into", got: info.name.clone(), expected });
        }
        let mut txn = args.to.into.as_ref().map(|_| database.begin_write()).transpose()?;
        let read = match &txn {
            Some(txn) => txn.last_commit(),
            None => database.begin_read()?,
        };
        let model = args.model.open(&read, info.config.dim)?;
        let graph = args.graph.open::<K>(&read, &info.name)?;
        // Called from any thread.
        let progress = Mutex::new(Progress::new(args.graph.output, "message passing", "rows"));
        let peak = Peak::new();
        let layers = args.graph.layers(&graph).progress(|step| {
            peak.look();
            if let Ok(mut progress) = progress.try_lock() {
                progress.phase(&format!("layer {} of {}", step.layer + 1, step.layers));
                progress.set(step.done as u64, Some(step.total as u64));
            }
            interrupt.go_on()
        });
        let embeddings = CliError::unless_interrupted(layers.message_pass(&model), "nothing was written")?;
        drop(layers);
        drop(progress);
        if let (Some(into), Some(txn)) = (&args.to.into, &mut txn) {
            let definition = CollectionDefinition::<K, ()>::new(into, embeddings.dim(), args.metric);
            txn.write_embeddings(definition, &embeddings)?;
        }
        // Before the commit, so that nothing has changed where a file cannot be written.
        if let Some(path) = &args.to.out {
            let rows = embeddings.iter().map(|(_, row)| row);
            write_with(path, |file| write_matrix(file, embeddings.dim(), rows))?;
        }
        if let Some(path) = &args.to.keys {
            write_whole(path, lines(embeddings.keys())?.as_bytes())?;
        }
        if let Some(txn) = txn {
            txn.commit()?;
        }
        args.graph.output.show(&Passed {
            collection: info.name.clone(),
            rows: embeddings.len(),
            dim: embeddings.dim(),
            into: args.to.into.clone(),
            out: args.to.out.clone(),
            seconds: start.elapsed().as_secs_f64(),
            peak_private_bytes: peak.bytes(),
        })
    }
}

/// Keys, one a line.
fn lines<K: Display>(keys: &[K]) -> Result<String, CliError> {
    let mut lines = String::new();
    for key in keys {
        let text = key.to_string();
        if text.is_empty() || text.contains(['\n', '\r']) {
            return Err(CliError::Key { key: text, expected: "written one a line: without line breaks" });
        }
        lines.push_str(&text);
        lines.push('\n');
    }
    Ok(lines)
}
