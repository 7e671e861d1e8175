//! A router from an ONNX file.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Instant;

use redknot_gnn::onnx::{Imported, METRIC, Metadata, import_model};
use redknot_gnn::routing::{KeyModel, Level};
#[cfg(feature = "train")]
use redknot_gnn::train::{PcaOptions, TrainOptions};
use redknot_index::{IndexConfig, Metric, Reader};
use redknot_storage::Storage;

use super::cache::Routers;
use super::export::TRAINING;
use super::gate::{Entrant, Gate, OnProgress, RouterProgress, Verdict};
use super::questions::Questions;
use super::record::Training;
use crate::catalog;
use crate::error::{Error, Result};

/// What an import came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImportReport {
    /// Whether searches follow the imported router from now on.
    pub accepted: bool,
    /// Both ways of searching at several recall levels, on held-out queries.
    pub levels: Vec<Level>,
    /// The same with the router that was there before, if there was one that could be used.
    pub before: Option<Vec<Level>>,
    /// How the model came about, as far as the file says.
    pub training: Training,
    /// Whether slots and biases were fitted to the collection, because the file has none.
    pub fitted: bool,
    /// What else the file says.
    pub metadata: Metadata,
}

/// An import under construction: `db.import_router(DOCS, &bytes).held_out(&queries).run()?`.
///
/// Reads a key model that [`crate::Database::export_router`] wrote, or projections that another program trained
/// (docs/ONNX.md), makes the key of every node, and measures greedy and routed search on held-out queries at equal
/// recall, as a training does. Searches follow the router from then on wherever it takes less time and fewer distances;
/// if it does so nowhere, or less often than the router that is there, nothing changes.
#[must_use = "an import does nothing until it is run"]
pub struct RouterImport<'d> {
    gate: Gate<'d>,
    file: &'d [u8],
    held_out: Option<&'d [f32]>,
    #[cfg(feature = "train")]
    options: PcaOptions,
}

impl<'d> RouterImport<'d> {
    pub(crate) fn new(
        storage: &'d Storage,
        routers: &'d Routers,
        name: &str,
        file: &'d [u8],
    ) -> RouterImport<'d> {
        RouterImport {
            gate: Gate::new(storage, routers, name),
            file,
            held_out: None,
            #[cfg(feature = "train")]
            options: PcaOptions::default(),
        }
    }

    /// Queries to calibrate with, one behind the other, which the model did not learn from. Without, they are made up
    /// from the data, which takes the feature `train`.
    pub fn held_out(mut self, queries: &'d [f32]) -> Self {
        self.held_out = Some(queries);
        self
    }

    /// How many rows searches will ask for: efforts are calibrated for as many, and hold for fewer. 10 by default;
    /// searches for more are greedy.
    pub fn k(mut self, k: usize) -> Self {
        self.gate.k = k;
        self
    }

    /// How the quantiser is fitted where the file has none: all but λ, which the file has.
    #[cfg(feature = "train")]
    pub fn options(mut self, options: PcaOptions) -> Self {
        self.options = options;
        self
    }

    /// Called now and then, from any thread; breaking cancels the import with [`Error::Cancelled`], and nothing has
    /// changed.
    pub fn progress(mut self, progress: impl Fn(RouterProgress) -> ControlFlow<()> + Sync + 'd) -> Self {
        let progress: OnProgress<'d> = Box::new(progress);
        self.gate.progress = progress;
        self
    }

    /// Imports.
    ///
    /// # Errors
    /// [`Error::Onnx`] for a file that cannot be used, [`Error::Router`] where it is for another collection or there are
    /// too few queries to calibrate with. The collection is then as it was.
    pub fn run(self) -> Result<ImportReport> {
        crate::query::check_k(self.gate.k)?;
        let start = Instant::now();
        let (imported, mut metadata) = import_model(self.file)?;
        let fitted = matches!(imported, Imported::Projection(_));
        let (model, held_out) = self.prepare(imported, &metadata)?;
        // Of a file that somebody else wrote there are no figures.
        let recorded = metadata.remove(TRAINING).and_then(|text| serde_json::from_str(&text).ok());
        let recorded: Training = recorded.unwrap_or_default();
        let entrant = Entrant { model: &model, candidate: true };
        let verdict = self.gate.pass(&[entrant], &held_out, |measured| {
            let training = Training {
                held_out: held_out.rows.len(),
                seconds: recorded.seconds + start.elapsed().as_secs_f64(),
                rows: measured.rows,
                ..recorded
            };
            (training, Vec::new())
        })?;
        let Verdict { accepted, levels, before, training, .. } = verdict;
        Ok(ImportReport { accepted, levels, before, training, fitted, metadata })
    }

    /// The model, with a quantiser, and the queries to calibrate with.
    fn prepare(&self, imported: Imported, metadata: &Metadata) -> Result<(KeyModel, Questions)> {
        let snapshot = self.gate.storage.snapshot()?;
        let record = catalog::existing(&snapshot, &self.gate.name)?;
        let config = record.index.config();
        let dim = match &imported {
            Imported::KeyModel(model) => model.dim,
            Imported::Projection(projection) => projection.dim(),
        };
        check_fits(dim, metadata, &config)?;
        let reader = Reader::open(&*snapshot, &record.index)?;
        let model = match imported {
            Imported::KeyModel(model) => model,
            #[cfg(feature = "train")]
            Imported::Projection(projection) => {
                projection.fit(&reader, &self.options).map_err(super::train::from_train)?
            }
            #[cfg(not(feature = "train"))]
            Imported::Projection(_) => return Err(without_train("projections without a quantiser")),
        };
        let questions = match self.held_out {
            Some(held_out) => {
                if !held_out.len().is_multiple_of(config.dim) {
                    let (numbers, dim) = (held_out.len(), config.dim);
                    let why = format!("{numbers} numbers are no whole queries of {dim} components");
                    return Err(Error::Router { why });
                }
                self.gate.questions(&reader, &record, held_out)?
            }
            #[cfg(feature = "train")]
            None => {
                let options = TrainOptions { pca: self.options.clone(), ..TrainOptions::default() };
                let made_up = super::train::make_up(&reader, &config, &options)?;
                self.gate.questions(&reader, &record, &made_up)?
            }
            #[cfg(not(feature = "train"))]
            None => return Err(without_train("an import without queries to hold out")),
        };
        Ok((model, questions))
    }
}

/// Whether a model for vectors of `dim` components can serve a collection.
fn check_fits(dim: usize, metadata: &Metadata, config: &IndexConfig) -> Result<()> {
    let metric = config.metric;
    let why = if !matches!(metric, Metric::L2 | Metric::Cosine) {
        format!("keys route under l2 and cosine, the collection has {metric}: search it without a router")
    } else if dim != config.dim {
        format!("the model is for vectors of {dim} components, the collection has {}", config.dim)
    } else if let Some(other) = metadata.get(METRIC).filter(|other| **other != metric.to_string()) {
        format!("the model was trained for metric {other}, the collection has {metric}")
    } else {
        return Ok(());
    };
    Err(Error::Router { why })
}

#[cfg(not(feature = "train"))]
fn without_train(what: &str) -> Error {
    Error::Router { why: format!("{what} takes the feature `train`, which this program was built without") }
}

impl fmt::Debug for RouterImport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterImport")
            .field("name", &self.gate.name)
            .field("bytes", &self.file.len())
            .finish_non_exhaustive()
    }
}
