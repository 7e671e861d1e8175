//! The opt-in log of queries: a sample of what is asked of a collection, for training its router and for measuring
//! whether the router keeps what its calibration promised.
//!
//! The log is a reservoir of fixed size. Searches decide without a lock whether their query goes in; those that do are
//! held in memory until a commit writes them. A search never waits for the file, and never fails because of the log.

mod reservoir;
mod stored;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use redknot_storage::{Snapshot, Storage, WriteTxn};
use serde::Serialize;

use crate::catalog;
use crate::error::{Error, Result};
pub(crate) use reservoir::Reservoir;
pub(crate) use stored::drop_log;

/// Most queries that a log keeps.
pub const MAX_LOGGED_QUERIES: usize = 100_000;

/// A log of queries as [`crate::Database::query_log`] describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueryLogInfo {
    /// The collection.
    pub collection: String,
    /// Queries that it keeps at most.
    pub capacity: usize,
    /// Searches since it was switched on, as far as this handle and the file know.
    pub seen: u64,
    /// Queries that it holds: those in the file, and those that this handle has not written yet.
    pub kept: usize,
    /// Those that it has not written yet.
    pub unwritten: usize,
}

/// The logs of an open file, by collection.
#[derive(Debug)]
pub(crate) struct QueryLogs {
    /// A handle that cannot write keeps no log.
    writable: bool,
    open: Mutex<HashMap<String, Option<Arc<Reservoir>>>>,
}

/// Queries that a transaction writes. They are forgotten once it has committed, and not before.
#[must_use = "what is written has to be forgotten once it is durable"]
pub(crate) struct Written {
    reservoir: Arc<Reservoir>,
    seen: u64,
    slots: Vec<(u32, u64)>,
}

impl Written {
    /// The transaction has committed. Returns how many queries it wrote.
    pub(crate) fn done(self) -> u64 {
        self.reservoir.forget(&self.slots, self.seen);
        self.slots.len() as u64
    }
}

impl QueryLogs {
    pub(crate) fn new(writable: bool) -> QueryLogs {
        QueryLogs { writable, open: Mutex::default() }
    }

    /// Where the queries of a collection go; `None` where they are not logged.
    pub(crate) fn get(&self, snapshot: &Snapshot, name: &str) -> Option<Arc<Reservoir>> {
        if !self.writable {
            return None;
        }
        if let Some(known) = self.open.lock().get(name) {
            return known.clone();
        }
        let found = stored::header(snapshot, name).unwrap_or_else(|error| {
            tracing::warn!(%error, collection = name, "the log of queries cannot be read: nothing is logged");
            None
        });
        let found = found.map(|header| Arc::new(Reservoir::new(header)));
        // Unless it was switched on or off meanwhile.
        self.open.lock().entry(name.into()).or_insert(found).clone()
    }

    /// Switches the log of a collection on, with this capacity, or off.
    pub(crate) fn set(&self, storage: &Storage, name: &str, capacity: Option<usize>) -> Result<()> {
        if let Some(got) = capacity.filter(|capacity| !(1..=MAX_LOGGED_QUERIES).contains(capacity)) {
            let got = got.to_string();
            return Err(Error::InvalidParameter { name: "capacity", got, expected: "1 to 100000" });
        }
        let mut txn = storage.begin_write()?;
        let config = catalog::existing_in(&txn, name)?.index.config();
        let Some(capacity) = capacity else {
            drop_log(&mut txn, name)?;
            txn.commit()?;
            self.open.lock().insert(name.into(), None);
            return Ok(());
        };
        let header = stored::Header {
            capacity: capacity as u32,
            row_bytes: config.row_bytes() as u32,
            seed: config.seed,
            seen: 0,
        };
        if stored::header_in(&txn, name)?.is_some_and(|there| there.is_of(&header)) {
            return Ok(());
        }
        // A sample of one size cannot be made one of another size.
        drop_log(&mut txn, name)?;
        stored::create(&txn, name, &header)?;
        txn.commit()?;
        self.open.lock().insert(name.into(), Some(Arc::new(Reservoir::new(header))));
        Ok(())
    }

    /// Writes what is new in the log of a collection; `None` where nothing is.
    pub(crate) fn write(&self, txn: &WriteTxn, name: &str) -> Result<Option<Written>> {
        let Some(reservoir) = self.open.lock().get(name).cloned().flatten() else { return Ok(None) };
        let (seen, waiting) = reservoir.waiting();
        if seen == reservoir.written() {
            return Ok(None);
        }
        let header = stored::header_in(txn, name).unwrap_or_else(|error| {
            tracing::warn!(%error, collection = name, "the log of queries cannot be read: nothing is logged");
            None
        });
        if !header.is_some_and(|header| header.is_of(reservoir.header())) {
            // The collection was removed, and maybe made anew, since.
            self.open.lock().remove(name);
            return Ok(None);
        }
        stored::write(txn, name, reservoir.header(), seen, &waiting)?;
        let slots = waiting.iter().map(|(slot, query)| (*slot, query.number)).collect();
        Ok(Some(Written { reservoir, seen, slots }))
    }

    /// Writes what is new in all logs, and returns how many queries that are.
    pub(crate) fn flush(&self, begin: impl FnOnce() -> Result<Option<WriteTxn>>) -> Result<u64> {
        let open = self.open.lock();
        let changed = |reservoir: &Option<Arc<Reservoir>>| reservoir.as_ref().is_some_and(|it| it.changed());
        let names: Vec<String> =
            open.iter().filter(|(_, it)| changed(it)).map(|(name, _)| name.clone()).collect();
        drop(open);
        if names.is_empty() {
            return Ok(0);
        }
        let Some(txn) = begin()? else { return Ok(0) };
        let mut written = Vec::new();
        for name in names {
            written.extend(self.write(&txn, &name)?);
        }
        txn.commit()?;
        Ok(written.into_iter().map(Written::done).sum())
    }

    /// What the log of a collection holds; `None` where there is none.
    pub(crate) fn info(&self, snapshot: &Snapshot, name: &str) -> Result<Option<QueryLogInfo>> {
        catalog::existing(snapshot, name)?;
        let Some(header) = stored::header(snapshot, name)? else { return Ok(None) };
        let mut slots: HashSet<u32> = stored::read(snapshot, name, &header)?.into_keys().collect();
        let mut info = QueryLogInfo {
            collection: name.into(),
            capacity: header.capacity as usize,
            seen: header.seen,
            kept: 0,
            unwritten: 0,
        };
        if let Some(reservoir) = self.get(snapshot, name) {
            let (seen, waiting) = reservoir.waiting();
            (info.seen, info.unwritten) = (seen, waiting.len());
            slots.extend(waiting.into_keys());
        }
        info.kept = slots.len();
        Ok(Some(info))
    }

    /// The queries in the log of a collection, encoded as its rows are, no two of them equal, the latest first. Those that
    /// are not written yet are among them.
    #[cfg(feature = "routing")]
    pub(crate) fn queries(&self, snapshot: &Snapshot, name: &str) -> Result<Vec<Arc<[u8]>>> {
        let Some(header) = stored::header(snapshot, name)? else { return Ok(Vec::new()) };
        let mut queries = stored::read(snapshot, name, &header)?;
        if let Some(reservoir) = self.get(snapshot, name) {
            queries.extend(reservoir.waiting().1);
        }
        let mut queries: Vec<_> = queries.into_values().collect();
        queries.sort_unstable_by_key(|query| std::cmp::Reverse(query.number));
        let mut known = HashSet::new();
        queries.retain(|query| known.insert(query.bytes.clone()));
        Ok(queries.into_iter().map(|query| query.bytes).collect())
    }
}
