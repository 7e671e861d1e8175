//! `redknot import`: a file of vectors into a collection, a batch a transaction.

mod load;

use std::io::{self, Write};
use std::path::PathBuf;

use redknot::{CollectionInfo, Database, Element, Metric};
use serde::Serialize;

use super::Outcome;
use super::create::{GraphArgs, NewCollection};
use super::error::CliError;
use super::interrupt::Interrupt;
use super::open::DatabaseArgs;
use super::output::{self, Output, Report};
use super::progress::Progress;
use super::rows::{KeyType, PayloadType, types_of, with_types};
use super::vectors::{self, Batch, VectorFile};
pub(super) use load::Load;

/// Arguments of `redknot import`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,

    /// The vectors: .npy, .fvecs, .bvecs, or .jsonl with a line like {"vector": [0.1, 2], "key": "a", "payload": "text"}.
    vectors: PathBuf,

    /// The collection; created where the file has none of this name.
    #[arg(short, long, value_name = "NAME")]
    collection: String,

    /// How distances are computed: l2, cosine, ip, l1 or hamming; needed for a new collection.
    #[arg(long)]
    metric: Option<Metric>,

    /// What coordinates are stored as: f32, f16, bf16, i8, u8 or bits [default: as the file has them].
    #[arg(long)]
    element: Option<Element>,

    /// A text file whose line i is the key of row i.
    #[arg(long, value_name = "TEXT_FILE")]
    keys: Option<PathBuf>,

    /// What keys are [default: str with --keys or where the JSON lines have texts, else u64].
    #[arg(long, value_name = "TYPE")]
    key_type: Option<KeyType>,

    /// Without keys of its own, row i gets the key N + i. 0 in an empty collection.
    #[arg(long, value_name = "N", conflicts_with = "keys")]
    first_key: Option<u64>,

    /// A text file whose line i is the payload of row i.
    #[arg(long, value_name = "TEXT_FILE")]
    payloads: Option<PathBuf>,

    #[command(flatten)]
    graph: GraphArgs,
}

/// What an import did.
#[derive(Debug, Serialize)]
pub(super) struct Imported {
    pub(super) collection: String,
    pub(super) created: bool,
    /// Rows read and committed.
    pub(super) rows: u64,
    /// Of them, rows whose key was there before.
    pub(super) replaced: u64,
    /// Bytes of the rows' vectors, as they are stored.
    pub(super) vector_bytes: u64,
    pub(super) seconds: f64,
    pub(super) rows_per_second: f64,
    pub(super) bytes_per_second: f64,
}

impl Report for Imported {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "imported {} rows into {} in {:.2} s: {} rows/s, {}/s of vectors",
            output::count(self.rows),
            self.collection,
            self.seconds,
            output::rate(self.rows_per_second),
            output::bytes(self.bytes_per_second as u64),
        )?;
        if self.replaced > 0 {
            writeln!(out, "{} of them replaced rows of the same key", output::count(self.replaced))?;
        }
        writeln!(
            out,
            "searches find them now; `redknot build` links them into the graph, which makes searches fast"
        )
    }
}

/// Runs `redknot import`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let file = open(args)?;
    // A pipe can be read only once.
    let check = if args.vectors.is_file() { Some(open(args)?) } else { None };
    let database = args.database.open_to_write()?;
    let imported = import(&database, args, file, check, &Interrupt::catch()?)?;
    args.output.show(&imported)?;
    Ok(Outcome::Done)
}

fn open(args: &Args) -> Result<VectorFile, CliError> {
    let mut file = VectorFile::open(&args.vectors)?;
    if let Some(keys) = &args.keys {
        file = file.with_keys(keys)?;
    }
    if let Some(payloads) = &args.payloads {
        file = file.with_payloads(payloads)?;
    }
    Ok(file)
}

fn import(
    database: &Database,
    args: &Args,
    mut file: VectorFile,
    check: Option<VectorFile>,
    interrupt: &Interrupt,
) -> Result<Imported, CliError> {
    let existing = database.collections()?.into_iter().find(|info| info.name == args.collection);
    let mut batch = Batch::default();
    file.read(Load::batch_rows(&file), &mut batch)?;
    let (target, key_type, payload_type) = match &existing {
        Some(info) if file.dim() != info.config.dim => {
            let (expected, got) = (info.config.dim, file.dim());
            return Err(CliError::FileDimension { path: args.vectors.clone(), expected, got });
        }
        Some(info) => (existing_target(args, info)?, types_of(info)?.0, types_of(info)?.1),
        None => {
            let (key_type, payload_type) = types_for(args, &file, &batch);
            (new_target(args, &file)?, key_type, payload_type)
        }
    };
    let first_key = match (args.first_key, &existing) {
        (Some(first), _) => first,
        (None, Some(info)) if info.rows > 0 && key_type == KeyType::U64 && batch.keys.is_empty() => {
            return Err(CliError::FirstKeyNeeded { rows: info.rows });
        }
        _ => 0,
    };
    let progress = Progress::new(args.output, "import", "rows");
    let load =
        Load { database, target, path: &args.vectors, file, batch, check, first_key, progress, interrupt };
    let loaded = with_types(key_type, payload_type, load)?;
    Ok(loaded.report(&args.collection, existing.is_none()))
}

/// The collection as the file has it, where the options do not say otherwise.
fn existing_target<'a>(args: &'a Args, info: &CollectionInfo) -> Result<NewCollection<'a>, CliError> {
    let config = &info.config;
    let key_type = types_of(info)?.0;
    let compared = [
        ("metric", config.metric.to_string(), args.metric.map(|metric| metric.to_string())),
        ("element type", config.element.to_string(), args.element.map(|element| element.to_string())),
        ("m", config.m.to_string(), args.graph.m.map(|m| m.to_string())),
        (
            "ef_construction",
            config.ef_construction.to_string(),
            args.graph.ef_construction.map(|candidates| candidates.to_string()),
        ),
        ("key type", key_type.name().to_owned(), args.key_type.map(|asked| asked.name().to_owned())),
    ];
    for (what, found, asked) in compared {
        if let Some(asked) = asked.filter(|asked| *asked != found) {
            return Err(CliError::Differs { name: info.name.clone(), what, found, asked });
        }
    }
    Ok(NewCollection {
        name: &args.collection,
        dim: config.dim,
        metric: config.metric,
        element: config.element,
        graph: GraphArgs { m: Some(config.m), ef_construction: Some(config.ef_construction) },
    })
}

/// The collection that the file of vectors and the options describe.
fn new_target<'a>(args: &'a Args, file: &VectorFile) -> Result<NewCollection<'a>, CliError> {
    let metric = args.metric.ok_or(CliError::Missing {
        option: "--metric",
        why: "there is no collection of this name yet; say how distances are computed: l2, cosine, ip, l1 or hamming",
    })?;
    Ok(NewCollection {
        name: &args.collection,
        dim: file.dim(),
        metric,
        element: args.element.unwrap_or(file.element()),
        graph: args.graph,
    })
}

/// The types of a new collection, from the options and the first rows of the file.
fn types_for(args: &Args, file: &VectorFile, batch: &Batch) -> (KeyType, PayloadType) {
    let key_type = args.key_type.unwrap_or(match batch.keys.first() {
        Some(vectors::Key::Text(_)) => KeyType::Str,
        Some(vectors::Key::Integer(_)) | None => KeyType::U64,
    });
    let has_payloads = args.payloads.is_some() || file.describes_rows();
    (key_type, if has_payloads { PayloadType::Text } else { PayloadType::None })
}
