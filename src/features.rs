//! Graph features of a collection: computed, kept up to date, described.

use std::fmt;
use std::ops::ControlFlow;

use redknot_index::{
    BetweennessOptions, FeatureProgress, Freshness, Reader, Refreshed, compute_features, refresh_features,
};
use redknot_storage::{Snapshot, Storage, array_bytes};

use crate::catalog::{self, Record};
use crate::error::{Error, Result};

/// The graph features of a collection, as the file describes them.
///
/// They are stored per node (degree, layer, clustering coefficient, betweenness) and per link of the base layer (distance,
/// cosine, betweenness, whether it crosses layers).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GraphFeatures {
    /// The collection.
    pub collection: String,
    /// Whether they are those of the graph as it is.
    pub freshness: Freshness,
    /// Linked rows when betweenness was computed.
    pub rows: u32,
    /// Rows that betweenness was computed from: all of them where it is exact.
    pub pivots: u32,
    /// No value of betweenness was off by more, with probability 0.95; 0 where it is exact.
    pub bound: f64,
    /// The largest standard error of the betweenness of a row, as estimated; 0 where it is exact.
    pub node_standard_error: f64,
    /// The largest standard error of the betweenness of a link.
    pub edge_standard_error: f64,
    /// Rows whose links have changed since betweenness was computed, as far as they were refreshed.
    pub stale_rows: u32,
    /// Rows that have changed and are not refreshed.
    pub changed_rows: u64,
    /// Bytes in the file.
    pub bytes: u64,
}

/// A computation of graph features under construction: `db.compute_graph_features(DOCS).run()?`.
///
/// Computes all features of the collection's graph on the threads of the current rayon pool, and stores them in place of
/// those that are there. Reading goes on meanwhile; writers wait. Takes in memory about 32 bytes a row and 32 a link, and
/// for betweenness what [`BetweennessOptions::memory_bytes`] allows.
#[must_use = "a computation does nothing until it is run"]
pub struct FeatureComputation<'d> {
    storage: &'d Storage,
    name: String,
    options: BetweennessOptions,
    progress: Box<dyn Fn(FeatureProgress) -> ControlFlow<()> + Sync + 'd>,
}

impl<'d> FeatureComputation<'d> {
    pub(crate) fn new(storage: &'d Storage, name: &str) -> FeatureComputation<'d> {
        FeatureComputation {
            storage,
            name: name.into(),
            options: BetweennessOptions::default(),
            progress: Box::new(|_| ControlFlow::Continue(())),
        }
    }

    /// How betweenness is computed: exactly up to a number of rows, 20,000 by default, and from pivots above it.
    pub fn betweenness(mut self, options: BetweennessOptions) -> Self {
        self.options = options;
        self
    }

    /// Called now and then, from any thread; breaking cancels the computation with [`Error::Cancelled`], and nothing has
    /// changed.
    pub fn progress(mut self, progress: impl Fn(FeatureProgress) -> ControlFlow<()> + Sync + 'd) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Computes and stores.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`], [`Error::Cancelled`], or what reading or writing the file fails with. Nothing has
    /// changed then.
    pub fn run(self) -> Result<GraphFeatures> {
        let mut txn = self.storage.begin_write()?;
        let mut record = catalog::existing_in(&txn, &self.name)?;
        let base = txn.base().clone();
        let computed = {
            let reader = Reader::open(&*base, &record.index)?;
            compute_features(&reader, &self.options, &*self.progress)?
        };
        catalog::drop_features(&mut txn, &mut record)?;
        record.features = Some(computed.store(&mut txn)?);
        catalog::write_bytes(&txn, &self.name, &record.to_bytes())?;
        txn.commit()?;
        existing_info(self.storage, &self.name)
    }
}

impl fmt::Debug for FeatureComputation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeatureComputation")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Brings all features but betweenness up to date.
pub(crate) fn refresh(storage: &Storage, name: &str) -> Result<Refreshed> {
    let mut txn = storage.begin_write()?;
    let mut record = catalog::existing_in(&txn, name)?;
    let Some(features) = &mut record.features else { return Err(Error::NoFeatures { name: name.into() }) };
    // What has changed is in the record: each commit notes it there.
    let refreshed = refresh_features(&mut txn, &record.index, features, &Default::default())?;
    catalog::write_bytes(&txn, name, &record.to_bytes())?;
    txn.commit()?;
    Ok(refreshed)
}

/// Removes the features of a collection; `false` where it has none.
pub(crate) fn remove(storage: &Storage, name: &str) -> Result<bool> {
    let mut txn = storage.begin_write()?;
    let mut record = catalog::existing_in(&txn, name)?;
    let removed = catalog::drop_features(&mut txn, &mut record)?;
    if removed {
        catalog::write_bytes(&txn, name, &record.to_bytes())?;
        txn.commit()?;
    }
    Ok(removed)
}

/// What a file says of the features of a collection, if it has any.
pub(crate) fn info(snapshot: &Snapshot, name: &str, record: &Record) -> Result<Option<GraphFeatures>> {
    let Some(features) = &record.features else { return Ok(None) };
    let mut bytes = 0;
    for array in features.arrays() {
        bytes += array_bytes(snapshot, array)?;
    }
    let precision = features.precision();
    Ok(Some(GraphFeatures {
        collection: name.into(),
        freshness: features.freshness(&record.index),
        rows: precision.nodes,
        pivots: precision.pivots,
        bound: precision.bound,
        node_standard_error: precision.node_standard_error,
        edge_standard_error: precision.edge_standard_error,
        stale_rows: features.stale_nodes(),
        changed_rows: features.pending().len(),
        bytes,
    }))
}

fn existing_info(storage: &Storage, name: &str) -> Result<GraphFeatures> {
    let snapshot = storage.snapshot()?;
    let record = catalog::existing(&snapshot, name)?;
    info(&snapshot, name, &record)?.ok_or_else(|| Error::NoFeatures { name: name.into() })
}
