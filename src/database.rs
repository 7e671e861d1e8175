//! The handle of one database file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redknot_index::Refreshed;
use redknot_storage::{Options, Stats, Storage};

use crate::build::Build;
use crate::catalog;
use crate::definition::CollectionDefinition;
use crate::error::Result;
use crate::features::{self, FeatureComputation, GraphFeatures};
use crate::graph::GraphBuild;
use crate::info::CollectionInfo;
use crate::key::Key;
use crate::query_log::{QueryLogInfo, QueryLogs};
use crate::read::ReadTransaction;
use crate::router::Routers;
use crate::verify::{self, Report};
use crate::write::WriteTransaction;

/// One open database file.
///
/// Shared by reference (or in an `Arc`) between threads: any number of them read while one writes. The file stays
/// locked until the handle and every transaction are dropped.
#[derive(Debug)]
pub struct Database {
    storage: Arc<Storage>,
    routers: Arc<Routers>,
    logs: Arc<QueryLogs>,
}

/// Options of a handle; all of them may differ from one opening of a file to the next.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    options: Options,
}

impl Database {
    /// Creates the file `path`, which must not exist, with default options.
    pub fn create(path: impl AsRef<Path>) -> Result<Database> {
        Database::builder().create(path)
    }

    /// Opens the file `path` for reading and writing, with default options.
    pub fn open(path: impl AsRef<Path>) -> Result<Database> {
        Database::builder().open(path)
    }

    /// Opens the file `path` for reading, with default options. Several processes may do so while none has it
    /// open for writing; [`Database::begin_write`] then fails.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Database> {
        Database::builder().open_read_only(path)
    }

    fn over(storage: Storage, writable: bool) -> Database {
        let logs = Arc::new(QueryLogs::new(writable));
        Database { storage: Arc::new(storage), routers: Arc::default(), logs }
    }

    /// Options other than the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The state of the last commit.
    pub fn begin_read(&self) -> Result<ReadTransaction> {
        Ok(ReadTransaction::new(self.storage.snapshot()?, self.routers.clone(), self.logs.clone()))
    }

    /// Begins the write transaction; waits while there is another.
    pub fn begin_write(&self) -> Result<WriteTransaction> {
        Ok(WriteTransaction::new(self.storage.begin_write()?, self.routers.clone(), self.logs.clone()))
    }

    /// Links the rows of a collection that were imported and not linked yet; see [`Build`].
    pub fn build<K: Key, V: redb::Value + 'static>(
        &self,
        definition: CollectionDefinition<'_, K, V>,
    ) -> Build<'_> {
        self.build_named(definition.name)
    }

    /// As [`Database::build`], for a program that knows a collection by its name only.
    pub fn build_named(&self, name: &str) -> Build<'_> {
        Build::new(&self.storage, &self.routers, name)
    }

    /// Trains a router for a collection from its own data; see [`crate::RouterTraining`].
    #[cfg(feature = "train")]
    pub fn train_router<K: Key, V: redb::Value + 'static>(
        &self,
        definition: CollectionDefinition<'_, K, V>,
    ) -> crate::RouterTraining<'_> {
        self.train_router_named(definition.name)
    }

    /// As [`Database::train_router`], for a program that knows a collection by its name only.
    #[cfg(feature = "train")]
    pub fn train_router_named(&self, name: &str) -> crate::RouterTraining<'_> {
        crate::RouterTraining::new(&self.storage, &self.routers, &self.logs, name)
    }

    /// Measures whether the router of a collection still gives what its calibration promised; see
    /// [`crate::RouterDrift`].
    #[cfg(feature = "routing")]
    pub fn router_drift(&self, name: &str) -> crate::RouterDrift<'_> {
        crate::RouterDrift::new(&self.storage, &self.routers, &self.logs, name)
    }

    /// Keeps a sample of the queries that are asked of a collection, `capacity` of them at most (1 to 100,000), or `None`
    /// for no log, which is the default. The log is kept in the file, and is what [`Database::train_router`] learns from and
    /// [`Database::router_drift`] measures with. Another capacity begins another log.
    ///
    /// Searches of collections that are opened from then on go in, through handles that can write; exact ones and those of
    /// a write transaction do not. What is sampled lies in memory, at most `capacity` queries, until the next commit of a
    /// write transaction that opened the collection, [`Database::flush_query_log`], or the end of the handle.
    ///
    /// # Errors
    /// [`crate::Error::UnknownCollection`], [`crate::Error::InvalidParameter`] for a capacity out of range.
    pub fn log_queries(&self, name: &str, capacity: Option<usize>) -> Result<()> {
        self.logs.set(&self.storage, name, capacity)
    }

    /// The log of queries of a collection; `None` where it is off.
    pub fn query_log(&self, name: &str) -> Result<Option<QueryLogInfo>> {
        self.logs.info(&*self.storage.snapshot()?, name)
    }

    /// Writes what was logged and is not in the file yet, in a transaction of its own; returns how many queries that were.
    /// Waits while there is another write transaction.
    pub fn flush_query_log(&self) -> Result<u64> {
        self.logs.flush(|| Ok(Some(self.storage.begin_write()?)))
    }

    /// The key model of the router of a collection as an ONNX file (docs/ONNX.md), which [`Database::import_router`]
    /// reads.
    ///
    /// # Errors
    /// [`crate::Error::NoRouter`] where there is none.
    #[cfg(feature = "onnx")]
    pub fn export_router(&self, name: &str) -> Result<Vec<u8>> {
        crate::router::export(&*self.storage.snapshot()?, name)
    }

    /// Makes a router from an ONNX file for a collection, if it gains; see [`crate::RouterImport`].
    #[cfg(feature = "onnx")]
    pub fn import_router<'d, K: Key, V: redb::Value + 'static>(
        &'d self,
        definition: CollectionDefinition<'_, K, V>,
        file: &'d [u8],
    ) -> crate::RouterImport<'d> {
        self.import_router_named(definition.name, file)
    }

    /// As [`Database::import_router`], for a program that knows a collection by its name only.
    #[cfg(feature = "onnx")]
    pub fn import_router_named<'d>(&'d self, name: &str, file: &'d [u8]) -> crate::RouterImport<'d> {
        crate::RouterImport::new(&self.storage, &self.routers, name, file)
    }

    /// Traces searches of a collection, to train models that score links; see [`crate::TrainingTrajectories`].
    #[cfg(feature = "train")]
    pub fn training_trajectories<K: Key, V: redb::Value + 'static>(
        &self,
        definition: CollectionDefinition<'_, K, V>,
    ) -> crate::TrainingTrajectories<'_> {
        self.training_trajectories_named(definition.name)
    }

    /// As [`Database::training_trajectories`], for a program that knows a collection by its name only.
    #[cfg(feature = "train")]
    pub fn training_trajectories_named(&self, name: &str) -> crate::TrainingTrajectories<'_> {
        crate::TrainingTrajectories::new(&self.storage, name)
    }

    /// The router of a collection, with the figures of its gate; `None` where it has none.
    #[cfg(feature = "routing")]
    pub fn router(&self, name: &str) -> Result<Option<crate::RouterInfo>> {
        let snapshot = self.storage.snapshot()?;
        let record = catalog::existing(&snapshot, name)?;
        crate::router::info(&snapshot, name, &record)
    }

    /// Lets searches follow the router of a collection where it gains (the default), or has them stay greedy.
    ///
    /// # Errors
    /// [`crate::Error::NoRouter`] where there is none.
    #[cfg(feature = "routing")]
    pub fn enable_router(&self, name: &str, enabled: bool) -> Result<()> {
        let mut txn = self.storage.begin_write()?;
        crate::router::set_enabled(&mut txn, name, enabled)?;
        Ok(txn.commit()?)
    }

    /// Where routed searches of transactions that begin from now on read keys. Returns the bytes of memory that it
    /// takes. Held by this handle, not by the file.
    ///
    /// # Errors
    /// [`crate::Error::NoRouter`] where there is none, or none whose keys agree with the index; [`crate::Error::Router`]
    /// where [`RoutingLayout::Resident`](crate::RoutingLayout::Resident) would take more than it may. Nothing has changed
    /// then.
    #[cfg(feature = "routing")]
    pub fn set_routing_layout(&self, name: &str, layout: crate::RoutingLayout) -> Result<u64> {
        crate::router::set_layout(&self.routers, &*self.storage.snapshot()?, name, layout)
    }

    /// Removes the router of a collection: its model, keys and calibration; `false` where there is none.
    pub fn drop_router(&self, name: &str) -> Result<bool> {
        let mut txn = self.storage.begin_write()?;
        let mut record = catalog::existing_in(&txn, name)?;
        let dropped = catalog::drop_router(&mut txn, name, &mut record)?;
        if dropped {
            catalog::write_bytes(&txn, name, &record.to_bytes())?;
            txn.commit()?;
        }
        Ok(dropped)
    }

    /// Computes and stores the graph features of a collection; see [`FeatureComputation`].
    pub fn compute_graph_features<K: Key, V: redb::Value + 'static>(
        &self,
        definition: CollectionDefinition<'_, K, V>,
    ) -> FeatureComputation<'_> {
        self.compute_graph_features_named(definition.name)
    }

    /// As [`Database::compute_graph_features`], for a program that knows a collection by its name only.
    pub fn compute_graph_features_named(&self, name: &str) -> FeatureComputation<'_> {
        FeatureComputation::new(&self.storage, name)
    }

    /// The graph features of a collection, and whether they are up to date; `None` where it has none.
    pub fn graph_features(&self, name: &str) -> Result<Option<GraphFeatures>> {
        let snapshot = self.storage.snapshot()?;
        let record = catalog::existing(&snapshot, name)?;
        features::info(&snapshot, name, &record)
    }

    /// Computes anew what changes since the last computation or refresh concern: all graph features but betweenness of the
    /// changed rows and their neighbours. Betweenness, which one link can change everywhere, stays as it was, 0 for new
    /// links ([`crate::Freshness::StaleBetweenness`]).
    ///
    /// # Errors
    /// [`crate::Error::NoFeatures`] where there are none; [`crate::Error::Index`] after a build, which writes all links anew:
    /// compute them then.
    pub fn refresh_graph_features(&self, name: &str) -> Result<Refreshed> {
        features::refresh(&self.storage, name)
    }

    /// Removes the graph features of a collection; `false` where there are none.
    pub fn drop_graph_features(&self, name: &str) -> Result<bool> {
        features::remove(&self.storage, name)
    }

    /// Builds a graph of the `k` nearest rows of each row of a collection; see [`GraphBuild`].
    pub fn build_knn_graph<K: Key, V: redb::Value + 'static>(
        &self,
        definition: CollectionDefinition<'_, K, V>,
        graph: &str,
        k: usize,
    ) -> GraphBuild<'_> {
        self.build_knn_graph_named(definition.name, graph, k)
    }

    /// As [`Database::build_knn_graph`], for a program that knows a collection by its name only.
    pub fn build_knn_graph_named(&self, collection: &str, graph: &str, k: usize) -> GraphBuild<'_> {
        GraphBuild::knn(&self.storage, collection, graph, k)
    }

    /// Builds a graph of the rows at most `epsilon` apart, in the metric of the collection; see [`GraphBuild`]. From each
    /// row at most the `max_neighbors` nearest are joined (1 to 65,535): [`crate::GraphBuildReport::cut_rows`] says for
    /// how many there are more.
    pub fn build_eps_graph<K: Key, V: redb::Value + 'static>(
        &self,
        definition: CollectionDefinition<'_, K, V>,
        graph: &str,
        epsilon: f32,
        max_neighbors: usize,
    ) -> GraphBuild<'_> {
        self.build_eps_graph_named(definition.name, graph, epsilon, max_neighbors)
    }

    /// As [`Database::build_eps_graph`], for a program that knows a collection by its name only.
    pub fn build_eps_graph_named(
        &self,
        collection: &str,
        graph: &str,
        epsilon: f32,
        max_neighbors: usize,
    ) -> GraphBuild<'_> {
        GraphBuild::eps(&self.storage, collection, graph, epsilon, max_neighbors)
    }

    /// The collections of the file.
    pub fn collections(&self) -> Result<Vec<CollectionInfo>> {
        let snapshot = self.storage.snapshot()?;
        let records = catalog::all(&snapshot)?;
        records.into_iter().map(|(name, record)| CollectionInfo::new(&snapshot, name, &record)).collect()
    }

    /// Checks the whole content: blocks and their checksums, the map of keys, every graph. What is wrong is in the
    /// report, not an error. Reads every byte of the arrays.
    pub fn verify(&self) -> Result<Report> {
        verify::run(&self.storage)
    }

    /// Has redb check every page of the file against its checksums; `true` where all is well. Needs the file for
    /// itself: fails where a read transaction is alive.
    pub fn check_integrity(&self) -> Result<bool> {
        Ok(self.storage.check_integrity()?)
    }

    /// Gives the space of removed rows back to the file system; `true` if the file got shorter. Needs the file for
    /// itself: fails where a read transaction is alive.
    pub fn compact(&self) -> Result<bool> {
        Ok(self.storage.compact()?)
    }

    /// Copies the last commit to the new file `path`, compacted, while writes go on.
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<()> {
        Ok(self.storage.backup(path)?)
    }

    /// Figures of the open file.
    pub fn stats(&self) -> Result<Stats> {
        Ok(self.storage.stats()?)
    }
}

/// Writes what was logged, where no write transaction is open: nothing to wait for, and nobody left to tell of an error.
impl Drop for Database {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Err(error) = self.logs.flush(|| Ok(self.storage.try_begin_write()?)) {
            tracing::warn!(%error, "logged queries could not be written");
        }
    }
}

impl Builder {
    /// Memory for the page cache of the small tables and of an open write transaction, in bytes; 1 MiB to 64 GiB,
    /// 128 MiB by default. Vectors and graphs are read through the map and do not use it.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Builder {
        self.options.cache_bytes = bytes;
        self
    }

    /// Address space to reserve for the map; 1 TiB by default, 0 for none.
    #[must_use]
    pub fn reserve_bytes(mut self, bytes: u64) -> Builder {
        self.options.reserve_bytes = bytes;
        self
    }

    /// Reads blocks as owned copies instead of through the map: slower and with more memory, but safe from signals
    /// when the file is cut from outside or the medium fails.
    #[must_use]
    pub fn owned_blocks(mut self, owned: bool) -> Builder {
        self.options.owned_blocks = owned;
        self
    }

    /// After how long without a commit the state is saved that makes reopening after a crash fast; `None` never.
    #[must_use]
    pub fn idle_commit(mut self, after: Option<Duration>) -> Builder {
        self.options.idle_commit = after;
        self
    }

    /// See [`Database::create`].
    pub fn create(&self, path: impl AsRef<Path>) -> Result<Database> {
        Ok(Database::over(Storage::create(path, &self.options)?, true))
    }

    /// See [`Database::open`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Database> {
        Ok(Database::over(Storage::open(path, &self.options)?, true))
    }

    /// See [`Database::open_read_only`].
    pub fn open_read_only(&self, path: impl AsRef<Path>) -> Result<Database> {
        Ok(Database::over(Storage::open_read_only(path, &self.options)?, false))
    }

    /// Opens the database on `disk`, or creates one where it is empty: for tests that own the disk.
    pub fn on_disk(&self, disk: Arc<dyn redknot_storage::Disk>) -> Result<Database> {
        Ok(Database::over(Storage::on_disk(disk, &self.options)?, true))
    }
}
