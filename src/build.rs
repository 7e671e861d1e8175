//! Linking what was imported.

use std::fmt;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use redknot_index::{BuildOptions, BuildProgress, Permutation, build};
use redknot_storage::{Storage, WriteTxn};
use tracing::field::Empty;

use crate::catalog;
use crate::error::Result;
use crate::graph;
use crate::query::check_threads;
use crate::router::Routers;

/// What [`Build::run`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct BuildReport {
    /// Rows that were linked.
    pub linked: u64,
    /// Rows of them that an interrupted build had linked already.
    pub resumed: u64,
    /// Checkpoints that were taken.
    pub checkpoints: usize,
    /// Whether rows were renumbered so that neighbours share pages.
    pub reordered: bool,
    /// Whether the space of the old order was given back to the file system: not where a reader was alive, which
    /// [`crate::Database::compact`] can do later.
    pub compacted: bool,
    /// How long it took.
    pub elapsed: Duration,
}

/// A build under construction: `db.build(DOCS).threads(n).run()?`.
///
/// Links all rows of a collection that are not linked yet. It has the write role to the end: other writers wait,
/// readers go on and see the new graph with the last commit. Checkpoints bound what a crash or a cancelled build
/// loses; the next build goes on from there.
#[must_use = "a build does nothing until it is run"]
pub struct Build<'d> {
    storage: &'d Storage,
    routers: &'d Routers,
    name: String,
    options: BuildOptions,
    compact: bool,
    progress: Box<dyn Fn(BuildProgress) -> ControlFlow<()> + Sync + 'd>,
}

impl<'d> Build<'d> {
    pub(crate) fn new(storage: &'d Storage, routers: &'d Routers, name: &str) -> Build<'d> {
        Build {
            storage,
            routers,
            name: name.into(),
            options: BuildOptions::default(),
            compact: true,
            progress: Box::new(|_| ControlFlow::Continue(())),
        }
    }

    /// Threads that link; those of the current rayon pool by default.
    pub fn threads(mut self, threads: NonZero<usize>) -> Self {
        self.options.threads = Some(threads);
        self
    }

    /// After how long a checkpoint is taken; 30 seconds by default, `None` for no checkpoints.
    pub fn checkpoint_every(mut self, period: Option<Duration>) -> Self {
        self.options.checkpoint_every = period;
        self
    }

    /// Whether rows are renumbered so that neighbours share pages, which rewrites the vectors. By default where at
    /// least half of the rows are new.
    pub fn reorder(mut self, reorder: bool) -> Self {
        self.options.reorder = Some(reorder);
        self
    }

    /// Whether the space that the old order of the rows took is given back at the end, if no reader is alive then.
    /// It is by default.
    pub fn compact(mut self, compact: bool) -> Self {
        self.compact = compact;
        self
    }

    /// Called now and then, from any thread; breaking cancels the build with [`crate::Error::Cancelled`].
    pub fn progress(mut self, progress: impl Fn(BuildProgress) -> ControlFlow<()> + Sync + 'd) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Builds.
    pub fn run(self) -> Result<BuildReport> {
        let span = tracing::info_span!("build", collection = self.name, linked = Empty, resumed = Empty);
        let _entered = span.enter();
        let start = Instant::now();
        check_threads(self.options.threads)?;
        let txn = self.storage.begin_write()?;
        let name = self.name.as_str();
        let mut record = catalog::existing_in(&txn, name)?;
        let index = record.index.clone();
        let mut save = |txn: &mut WriteTxn, index: &_, permutation: Option<&Permutation>| -> Result<()> {
            record.index = Clone::clone(index);
            if let Some(permutation) = permutation {
                record.keys.renumber(txn, name, permutation, index.nodes(), record.key_width)?;
                graph::renumber_all(txn, name, permutation, index.nodes())?;
            }
            catalog::write_bytes(txn, name, &record.to_bytes())
        };
        let built = build(txn, index, &self.options, &*self.progress, &mut save)?;
        span.record("linked", built.linked).record("resumed", built.resumed);
        if built.linked > 0 && record.router.is_some() {
            self.make_keys_anew()?;
        }
        let compacted = built.reordered && self.compact && self.give_space_back()?;
        Ok(BuildReport {
            linked: built.linked as u64,
            resumed: built.resumed as u64,
            checkpoints: built.checkpoints,
            reordered: built.reordered,
            compacted,
            elapsed: start.elapsed(),
        })
    }

    /// The keys of a router are by node, and nodes have new numbers and neighbours.
    fn make_keys_anew(&self) -> Result<()> {
        let mut txn = self.storage.begin_write()?;
        let mut record = catalog::existing_in(&txn, &self.name)?;
        if self.routers.make_keys_anew(&mut txn, &self.name, &mut record)? {
            catalog::write_bytes(&txn, &self.name, &record.to_bytes())?;
            txn.commit()?;
        }
        Ok(())
    }

    fn give_space_back(&self) -> Result<bool> {
        match self.storage.compact() {
            Ok(shorter) => Ok(shorter),
            Err(redknot_storage::Error::SnapshotsLive { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl fmt::Debug for Build<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Build")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
