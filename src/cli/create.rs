//! `redknot create`

use std::io::{self, Write};

use redknot::{CollectionDefinition, Database, Element, Metric};
use serde::Serialize;

use super::Outcome;
use super::error::CliError;
use super::open::DatabaseArgs;
use super::output::{Output, Report};
use super::rows::{KeyType, OnRows, PayloadType, RowKey, RowPayload, with_types};
use super::vectors::MAX_DIM;

/// Arguments of `redknot create`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    pub(super) output: Output,

    /// Also create a collection of this name. (`import` creates the collection it fills, too.)
    #[arg(short, long, value_name = "NAME", requires = "dim", requires = "metric")]
    collection: Option<String>,

    /// Coordinates of each vector.
    #[arg(long, requires = "collection")]
    dim: Option<usize>,

    /// How distances are computed: l2, cosine, ip, l1 or hamming.
    #[arg(long, requires = "collection")]
    metric: Option<Metric>,

    /// What coordinates are stored as: f32, f16, bf16, i8, u8 or bits.
    #[arg(long, default_value = "f32")]
    element: Element,

    /// What names a row.
    #[arg(long, value_name = "TYPE", default_value = "u64")]
    key_type: KeyType,

    /// What a row carries beside its vector.
    #[arg(long, value_name = "TYPE", default_value = "text")]
    payload: PayloadType,

    #[command(flatten)]
    graph: GraphArgs,
}

/// Parameters of the graph, fixed when a collection is created.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct GraphArgs {
    /// Links of a node in each upper layer of the graph; the base layer has twice as many [default: 16].
    #[arg(short, long, value_name = "LINKS")]
    pub(super) m: Option<usize>,

    /// Candidates that are looked at to link a node [default: 200].
    #[arg(long, value_name = "CANDIDATES")]
    pub(super) ef_construction: Option<usize>,
}

/// What a collection is created as.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewCollection<'a> {
    pub(super) name: &'a str,
    pub(super) dim: usize,
    pub(super) metric: Metric,
    pub(super) element: Element,
    pub(super) graph: GraphArgs,
}

impl<'a> NewCollection<'a> {
    /// Its definition, for rows of the types `K` and `P`.
    pub(super) fn definition<K: RowKey, P: RowPayload>(&self) -> CollectionDefinition<'a, K, P> {
        let mut definition =
            CollectionDefinition::new(self.name, self.dim, self.metric).element(self.element);
        if let Some(m) = self.graph.m {
            definition = definition.m(m);
        }
        if let Some(ef_construction) = self.graph.ef_construction {
            definition = definition.ef_construction(ef_construction);
        }
        definition
    }
}

#[derive(Serialize)]
struct Created<'a> {
    file: String,
    collection: Option<&'a str>,
}

impl Report for Created<'_> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.collection {
            Some(name) => writeln!(out, "created {} with collection {name}", self.file),
            None => writeln!(out, "created {}", self.file),
        }
    }
}

/// Runs `redknot create`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let file = &args.database.file;
    let new = match (&args.collection, args.dim, args.metric) {
        (Some(name), Some(dim), Some(metric)) => {
            if !(1..=MAX_DIM).contains(&dim) {
                return Err(CliError::Dimension { got: dim });
            }
            Some(NewCollection { name, dim, metric, element: args.element, graph: args.graph })
        }
        _ => None,
    };
    let database = args.database.create()?;
    if let Some(new) = &new {
        let created = with_types(args.key_type, args.payload, CreateCollection { database: &database, new });
        if let Err(error) = created {
            // The file was made a moment ago for this collection: without it, it would only be in the way.
            drop(database);
            let _ = std::fs::remove_file(file);
            return Err(error);
        }
    }
    args.output
        .show(&Created { file: file.display().to_string(), collection: args.collection.as_deref() })?;
    Ok(Outcome::Done)
}

struct CreateCollection<'a> {
    database: &'a Database,
    new: &'a NewCollection<'a>,
}

impl OnRows for CreateCollection<'_> {
    type Output = ();

    fn run<K: RowKey, P: RowPayload>(self) -> Result<(), CliError> {
        let mut transaction = self.database.begin_write()?;
        transaction.open_collection(self.new.definition::<K, P>())?;
        Ok(transaction.commit()?)
    }
}
