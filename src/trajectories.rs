//! Traced searches of a collection, for training models elsewhere.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use redknot_gnn::train::{
    TraceOptions, TrainError, TrainProgress, TrajectoryExport, collect_training_trajectories,
};
use redknot_index::Reader;
use redknot_storage::Storage;

use crate::catalog;
use crate::error::{Error, Result};
use crate::router::graph;

/// Trajectories under construction: `db.training_trajectories(DOCS).write(&queries, "folder")?`.
///
/// Searches the last commit greedily for each query, and writes which links each step could take and which would have been
/// right: those that begin a path of fewest hops to an exact answer. Graph features are those that are stored, where they
/// are up to date. `docs/TRAJECTORIES.md` describes the files.
#[must_use = "nothing is traced until it is written"]
pub struct TrainingTrajectories<'d> {
    storage: &'d Storage,
    name: String,
    options: TraceOptions,
    progress: Box<dyn Fn(TrainProgress) -> ControlFlow<()> + Sync + 'd>,
}

impl<'d> TrainingTrajectories<'d> {
    pub(crate) fn new(storage: &'d Storage, name: &str) -> TrainingTrajectories<'d> {
        TrainingTrajectories {
            storage,
            name: name.into(),
            options: TraceOptions::default(),
            progress: Box::new(|_| ControlFlow::Continue(())),
        }
    }

    /// Exact answers that paths lead to, and candidates of the traced searches.
    pub fn options(mut self, options: TraceOptions) -> Self {
        self.options = options;
        self
    }

    /// Called now and then; breaking cancels with [`Error::Cancelled`].
    pub fn progress(mut self, progress: impl Fn(TrainProgress) -> ControlFlow<()> + Sync + 'd) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Traces and writes. `queries` holds rows of as many numbers as the collection has dimensions.
    ///
    /// # Errors
    /// [`Error::Trajectories`] for queries that cannot be traced or files that cannot be written, [`Error::Cancelled`]. Files
    /// may be there then, but no `meta.json`.
    pub fn write(self, queries: &[f32], folder: impl AsRef<Path>) -> Result<TrajectoryExport> {
        let snapshot = self.storage.snapshot()?;
        let record = catalog::existing(&snapshot, &self.name)?;
        let reader = Reader::open(&*snapshot, &record.index)?;
        let graph = graph(reader, &*snapshot, &record);
        let (folder, options) = (folder.as_ref(), &self.options);
        collect_training_trajectories(&graph, queries, folder, options, &*self.progress).map_err(|error| {
            match error {
                TrainError::Cancelled => Error::Cancelled,
                TrainError::Index(error) => error.into(),
                source => Error::Trajectories { source },
            }
        })
    }
}

impl fmt::Debug for TrainingTrajectories<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrainingTrajectories")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
