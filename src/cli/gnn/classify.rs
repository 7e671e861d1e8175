//! `redknot gnn classify`

use std::io::{self, Write};

use redknot::{CollectionInfo, Database};
use serde::Serialize;

use super::{GraphArgs, ModelArgs};
use crate::cli::Outcome;
use crate::cli::error::CliError;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::{self, Report};
use crate::cli::rows::{OnRows, RowKey, RowPayload, with_types_of};

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
    let database = args.graph.database.open_to_read()?;
    let info = args.graph.collection.find(&database)?;
    with_types_of(&info, Classify { args, database: &database, info: &info })?;
    Ok(Outcome::Done)
}

struct Classify<'a> {
    args: &'a Args,
    database: &'a Database,
    info: &'a CollectionInfo,
}

impl OnRows for Classify<'_> {
    type Output = ();

    fn run<K: RowKey, P: RowPayload>(self) -> Result<(), CliError> {
        let Classify { args, database, info } = self;
        let interrupt = Interrupt::catch()?;
        let read = database.begin_read()?;
        let model = args.model.open(&read, info.config.dim)?;
        let graph = args.graph.open::<K>(&read, &info.name)?;
        let layers = args.graph.layers(&graph).progress(|_| interrupt.go_on());
        let classified = CliError::unless_interrupted(layers.classify(&model), "nothing was changed")?;
        let row = |row: redknot::Classified<K::Owned>| Row {
            key: row.key,
            class: row.class,
            probability: row.probability,
        };
        let rows = classified.into_iter().map(row).collect();
        args.graph.output.show(&Classes { collection: info.name.clone(), rows })
    }
}
