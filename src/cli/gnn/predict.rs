//! `redknot gnn predict`

use std::io::{self, Write};

use serde::Serialize;

use super::{GraphArgs, ModelArgs, OnModel, Opened, with_model};
use crate::cli::Outcome;
use crate::cli::error::CliError;
use crate::cli::output::{self, Report};
use crate::cli::rows::{RowKey, RowPayload};

/// Arguments of `redknot gnn predict`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) graph: GraphArgs,
    #[command(flatten)]
    model: ModelArgs,

    /// The rows: pairs of keys.
    #[arg(required = true, num_args = 2.., value_name = "KEY")]
    keys: Vec<String>,
}

#[derive(Serialize)]
struct Predicted<K> {
    collection: String,
    pairs: Vec<Pair<K>>,
}

#[derive(Serialize)]
struct Pair<K> {
    keys: [K; 2],
    probability: f32,
}

impl<K: Serialize + std::fmt::Display> Report for Predicted<K> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = output::table(&["probability", "key", "key"], &[1, 2]);
        for Pair { keys: [a, b], probability } in &self.pairs {
            table.add_row([format!("{probability:.4}"), a.to_string(), b.to_string()]);
        }
        writeln!(out, "{}", table.trim_fmt())
    }
}

/// Runs `redknot gnn predict`.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    if !args.keys.len().is_multiple_of(2) {
        let got = format!("{} keys", args.keys.len());
        return Err(CliError::Option { option: "KEY", got, expected: "pairs of keys" });
    }
    with_model(&args.graph, &args.model, Predict(args))
}

struct Predict<'a>(&'a Args);

impl OnModel for Predict<'_> {
    fn run<K: RowKey, P: RowPayload>(self, opened: &Opened<'_, K>) -> Result<(), CliError> {
        let Predict(args) = self;
        let keys = args.keys.iter().map(|key| K::parse(key)).collect::<Result<Vec<_>, _>>()?;
        let (keys, _) = keys.as_chunks::<2>();
        let pairs: Vec<_> = keys.iter().map(|[a, b]| (K::borrow(a), K::borrow(b))).collect();
        let predicted = args.graph.layers(&opened.graph).predict_links(&opened.model, &pairs)?;
        let pair = |(keys, probability): (&[K::Owned; 2], f32)| Pair { keys: keys.clone(), probability };
        let pairs = keys.iter().zip(predicted).map(pair).collect();
        args.graph.output.show(&Predicted { collection: opened.collection.to_owned(), pairs })
    }
}
