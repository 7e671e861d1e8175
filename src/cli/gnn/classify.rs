//! `redknot gnn classify`

use std::io::{self, Write};

use serde::Serialize;

use super::{GraphArgs, ModelArgs, OnModel, Opened, with_model};
use crate::cli::Outcome;
use crate::cli::error::CliError;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::{self, Report};
use crate::cli::rows::{RowKey, RowPayload};

/// Arguments of `redknot gnn classify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) graph: GraphArgs,
    #[command(flatten)]
    model: ModelArgs,
}

#[derive(Serialize)]
struct Classes<K> {
    collection: String,
    rows: Vec<Row<K>>,
}

#[derive(Serialize)]
struct Row<K> {
    key: K,
    class: usize,
    probability: f32,
}

impl<K: Serialize + std::fmt::Display> Report for Classes<K> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = output::table(&["key", "class", "probability"], &[0]);
        for Row { key, class, probability } in &self.rows {
            table.add_row([key.to_string(), class.to_string(), format!("{probability:.4}")]);
        }
        writeln!(out, "{}", table.trim_fmt())
    }
}

/// Runs `redknot gnn classify`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    with_model(&args.graph, &args.model, Classify(args))
}

struct Classify<'a>(&'a Args);

impl OnModel for Classify<'_> {
    fn run<K: RowKey, P: RowPayload>(self, opened: &Opened<'_, K>) -> Result<(), CliError> {
        let Classify(args) = self;
        let interrupt = Interrupt::catch()?;
        let layers = args.graph.layers(&opened.graph).progress(|_| interrupt.go_on());
        let classified = CliError::unless_interrupted(layers.classify(&opened.model), "nothing was changed")?;
        let row = |row: redknot::Classified<K::Owned>| Row {
            key: row.key,
            class: row.class,
            probability: row.probability,
        };
        let rows = classified.into_iter().map(row).collect();
        args.graph.output.show(&Classes { collection: opened.collection.to_owned(), rows })
    }
}
