//! `redknot graph export`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use npyz::WriterBuilder;
use redknot::{Database, Edge, Graph};
use serde::Serialize;

use super::{Target, is_npy, open};
use crate::cli::Outcome;
use crate::cli::error::CliError;
use crate::cli::output::{self, Report};
use crate::cli::progress::Progress;
use crate::cli::rows::{OnRows, RowKey, RowPayload, with_types_of};
use crate::cli::written::Written;

/// Edges between two steps of the progress.
const STEP: u64 = 1 << 14;

/// Arguments of `redknot graph export`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) target: Target,

    /// The file to write: with the extension .npy an array of i8 (int64) of shape (2, edges), without types; otherwise an
    /// edge list of source, target, weight and type between tabs. Both can be imported again. An undirected edge comes once.
    out: PathBuf,

    /// With an npy array: also write the weights, an npy array of f4 of shape (edges,).
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

#[derive(Serialize)]
struct Exported {
    collection: String,
    graph: String,
    edges: u64,
    file: String,
}

impl Report for Exported {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "wrote {} edges of {} to {}", output::count(self.edges), self.graph, self.file)
    }
}

/// Runs `redknot graph export`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = args.target.database.open_to_read()?;
    let info = args.target.collection.find(&database)?;
    let edges = with_types_of(&info, Export { args, database: &database, collection: &info.name })?;
    let file = args.out.display().to_string();
    let graph = args.target.graph.clone();
    args.target.output.show(&Exported { collection: info.name, graph, edges, file })?;
    Ok(Outcome::Done)
}

struct Export<'a> {
    args: &'a Args,
    database: &'a Database,
    collection: &'a str,
}

impl OnRows for Export<'_> {
    type Output = u64;

    fn run<K: RowKey, P: RowPayload>(self) -> Result<u64, CliError> {
        let args = self.args;
        let graph = open::<K>(&self.database.begin_read()?, self.collection, &args.target.graph)?;
        let mut progress = Progress::new(args.target.output, "export", "edges");
        if !is_npy(&args.out) {
            if args.weights.is_some() {
                let got = "given with an edge list".to_owned();
                let expected = "an npy array as OUT; the lines of an edge list have their weights";
                return Err(CliError::Option { option: "--weights", got, expected });
            }
            return write_list(&graph, &args.out, &mut progress);
        }
        let total = graph.len()?;
        let key = |key: &K::Owned| {
            let number = K::row_number(key).and_then(|number| i64::try_from(number).ok());
            number.ok_or_else(|| CliError::Key {
                key: key.to_string(),
                expected: "whole numbers below 2^63 to fit in an npy array",
            })
        };
        write_array(&graph, &args.out, &[2, total], |edge| key(&edge.source), |edge| key(&edge.target))?;
        if let Some(path) = &args.weights {
            write_weights(&graph, path, total)?;
        }
        Ok(total)
    }
}

fn write_list<K: RowKey>(graph: &Graph<K>, path: &Path, progress: &mut Progress) -> Result<u64, CliError> {
    let wrong = |source| CliError::Write { path: path.into(), source };
    let mut file = Written::create(path).map_err(wrong)?;
    let total = graph.len()?;
    let mut edges = 0;
    for edge in graph.edges()? {
        let edge = edge?;
        let [source, target] = [field(&edge.source)?, field(&edge.target)?];
        let edge_type = match &edge.edge_type {
            Some(name) => format!("\t{}", field(name)?),
            None => String::new(),
        };
        writeln!(file, "{source}\t{target}\t{}{edge_type}", edge.weight).map_err(wrong)?;
        edges += 1;
        if edges % STEP == 0 {
            progress.set(edges, Some(total));
        }
    }
    file.finish().map_err(wrong)?;
    Ok(edges)
}

/// A key or the name of a type, unless it would read as something else.
fn field(value: &impl std::fmt::Display) -> Result<String, CliError> {
    let text = value.to_string();
    if text.starts_with('#') || text.is_empty() || text.contains(['\t', '\n', '\r']) {
        return Err(CliError::Key {
            key: text,
            expected: "texts without tabs and line ends that do not begin with # to fit in an edge list",
        });
    }
    Ok(text)
}

/// Writes two rows of whole numbers, one after the other, from two passes over the edges.
fn write_array<K: RowKey>(
    graph: &Graph<K>,
    path: &Path,
    shape: &[u64],
    source: impl Fn(&Edge<K::Owned>) -> Result<i64, CliError>,
    target: impl Fn(&Edge<K::Owned>) -> Result<i64, CliError>,
) -> Result<(), CliError> {
    let wrong = |source| CliError::Write { path: path.into(), source };
    let options = npyz::WriteOptions::new().default_dtype().shape(shape);
    let mut file = Written::create(path).map_err(wrong)?;
    let mut writer = options.writer(&mut file).begin_nd().map_err(wrong)?;
    for edge in graph.edges()? {
        writer.push(&source(&edge?)?).map_err(wrong)?;
    }
    for edge in graph.edges()? {
        writer.push(&target(&edge?)?).map_err(wrong)?;
    }
    writer.finish().map_err(wrong)?;
    file.finish().map_err(wrong)
}

fn write_weights<K: RowKey>(graph: &Graph<K>, path: &Path, total: u64) -> Result<(), CliError> {
    let wrong = |source| CliError::Write { path: path.into(), source };
    let options = npyz::WriteOptions::new().default_dtype().shape(&[total]);
    let mut file = Written::create(path).map_err(wrong)?;
    let mut writer = options.writer(&mut file).begin_nd().map_err(wrong)?;
    for edge in graph.edges()? {
        writer.push(&edge?.weight).map_err(wrong)?;
    }
    writer.finish().map_err(wrong)?;
    file.finish().map_err(wrong)
}
