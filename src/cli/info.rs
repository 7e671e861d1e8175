//! `redknot info`

use std::io::{self, Write};

use redknot::CollectionInfo;
use serde::Serialize;

use super::Outcome;
use super::error::CliError;
use super::graph;
use super::open::DatabaseArgs;
use super::output::{self, Output, Report};

/// Arguments of `redknot info`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(Debug, Serialize)]
struct Info {
    file: String,
    file_bytes: u64,
    format: u32,
    /// Whether vectors and links are read in place, through a memory map.
    reads_in_place: bool,
    collections: Vec<Collection>,
    /// Models of layers, by name.
    #[cfg(feature = "gnn")]
    models: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Collection {
    name: String,
    rows: u64,
    /// Rows that were imported and not linked yet: searches look at each of them.
    unlinked: u64,
    dim: usize,
    metric: String,
    element: String,
    key_type: String,
    payload_type: String,
    m: usize,
    ef_construction: usize,
    top_level: u8,
    vector_bytes: u64,
    graph_bytes: u64,
    key_bytes: u64,
    graphs: Vec<graph::Shown>,
}

impl From<CollectionInfo> for Collection {
    fn from(info: CollectionInfo) -> Collection {
        Collection {
            name: info.name,
            rows: info.rows,
            unlinked: info.unlinked,
            dim: info.config.dim,
            metric: info.config.metric.to_string(),
            element: info.config.element.to_string(),
            key_type: info.key_type,
            payload_type: info.value_type,
            m: info.config.m,
            ef_construction: info.config.ef_construction,
            top_level: info.top_level,
            vector_bytes: info.vector_bytes,
            graph_bytes: info.graph_bytes,
            key_bytes: info.key_bytes,
            graphs: info.graphs.into_iter().map(graph::Shown::from).collect(),
        }
    }
}

impl Report for Info {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{}: {}, format {}, read {}",
            self.file,
            output::bytes(self.file_bytes),
            self.format,
            if self.reads_in_place { "in place" } else { "as owned copies" }
        )?;
        #[cfg(feature = "gnn")]
        if !self.models.is_empty() {
            writeln!(out, "models of layers: {}", self.models.join(", "))?;
        }
        if self.collections.is_empty() {
            return writeln!(out, "no collections");
        }
        let header = [
            "collection",
            "rows",
            "unlinked",
            "dim",
            "metric",
            "element",
            "keys",
            "payloads",
            "m",
            "vectors",
            "graph",
        ];
        let mut table = output::table(&header, &[0, 4, 5, 6, 7]);
        for info in &self.collections {
            table.add_row([
                info.name.clone(),
                output::count(info.rows),
                output::count(info.unlinked),
                info.dim.to_string(),
                info.metric.clone(),
                info.element.clone(),
                info.key_type.clone(),
                info.payload_type.clone(),
                info.m.to_string(),
                output::bytes(info.vector_bytes),
                output::bytes(info.graph_bytes),
            ]);
        }
        writeln!(out, "{}", table.trim_fmt())?;
        if self.collections.iter().any(|info| !info.graphs.is_empty()) {
            writeln!(out)?;
            graph::print(self.collections.iter().flat_map(|info| &info.graphs), out)?;
        }
        Ok(())
    }
}

/// Runs `redknot info`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = args.database.open_to_read()?;
    let stats = database.stats()?;
    args.output.show(&Info {
        file: args.database.file.display().to_string(),
        file_bytes: stats.file_bytes,
        format: redknot_storage::FORMAT_VERSION,
        reads_in_place: stats.reads_in_place,
        collections: database.collections()?.into_iter().map(Collection::from).collect(),
        #[cfg(feature = "gnn")]
        models: database.begin_read()?.model_names()?,
    })?;
    Ok(Outcome::Done)
}
