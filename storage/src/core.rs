//! What snapshots, transactions and the handle share of one open file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase};

use crate::error::{Error, Result};
use crate::medium::Medium;
use crate::options::Options;

/// The redb database under a handle.
pub(crate) enum Redb {
    Writable(Database),
    ReadOnly(ReadOnlyDatabase),
}

/// One open file. Dropped, and the file unlocked, with the last snapshot, transaction and handle.
pub(crate) struct Core {
    /// Written to only by what needs redb for itself: compaction and the integrity check.
    pub(crate) redb: RwLock<Redb>,
    pub(crate) medium: Arc<Medium>,
    pub(crate) options: Options,
    pub(crate) path: PathBuf,
    poison: OnceLock<String>,
    live: Mutex<Live>,
}

/// A snapshot's place among those alive, and its hold on the open file.
pub(crate) struct Registration {
    pub(crate) core: Arc<Core>,
    number: u64,
    pub(crate) since: Instant,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.core.live.lock().since.remove(&self.number);
    }
}

#[derive(Default)]
struct Live {
    next: u64,
    since: BTreeMap<u64, Instant>,
}

impl Core {
    pub(crate) fn new(redb: Redb, medium: Arc<Medium>, options: Options, path: PathBuf) -> Core {
        Core {
            redb: RwLock::new(redb),
            medium,
            options,
            path,
            poison: OnceLock::new(),
            live: Mutex::new(Live::default()),
        }
    }

    pub(crate) fn begin_read(&self) -> Result<ReadTransaction> {
        match &*self.redb.read() {
            Redb::Writable(db) => db.begin_read(),
            Redb::ReadOnly(db) => db.begin_read(),
        }
        .map_err(Error::from_redb)
    }

    /// Fails once a write has failed: what the disk holds since then is unknown until it is opened again.
    pub(crate) fn check_poison(&self) -> Result<()> {
        match self.poison.get() {
            None => Ok(()),
            Some(cause) => Err(Error::Poisoned { cause: cause.clone() }),
        }
    }

    /// Passes `error` on, and stops the database if it says that the disk did not do as told.
    pub(crate) fn note(&self, error: Error) -> Error {
        let failed = match &error {
            Error::Io { .. } | Error::NoSpace => true,
            Error::Redb(inner) => matches!(**inner, redb::Error::PreviousIo | redb::Error::LockPoisoned(_)),
            _ => false,
        };
        if failed {
            self.poison(&error);
        }
        error
    }

    pub(crate) fn poison(&self, cause: &Error) {
        if self.poison.set(cause.to_string()).is_ok() {
            tracing::error!(path = %self.path.display(), %cause, "the database stops after a failed write");
        }
    }

    /// Counts a snapshot as alive until the value is dropped.
    pub(crate) fn register_snapshot(self: &Arc<Core>) -> Registration {
        let since = Instant::now();
        let mut live = self.live.lock();
        live.next += 1;
        let number = live.next;
        live.since.insert(number, since);
        Registration { core: self.clone(), number, since }
    }

    /// Snapshots alive, and the age of the oldest.
    pub(crate) fn live_snapshots(&self) -> (usize, Duration) {
        let live = self.live.lock();
        let oldest = live.since.values().next().map_or(Duration::ZERO, Instant::elapsed);
        (live.since.len(), oldest)
    }
}
