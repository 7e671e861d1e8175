//! The disk and its mapping, as redb sees them.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::RwLock;
use redb::{BackendError, StorageBackend};

use crate::disk::Disk;
use crate::map::Map;

/// A disk, the map of its file, and counts of what went through.
#[derive(Debug)]
pub(crate) struct Medium {
    pub(crate) disk: Arc<dyn Disk>,
    map: RwLock<Option<Arc<Map>>>,
    reserve_bytes: u64,
    pub(crate) counts: Counts,
}

/// What redb asked of the disk since it was opened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) bytes_read: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) syncs: AtomicU64,
}

impl Medium {
    /// `mapped` false never maps: every block is then an owned copy.
    pub(crate) fn new(disk: Arc<dyn Disk>, reserve_bytes: u64, mapped: bool) -> io::Result<Medium> {
        let medium = Medium { disk, map: RwLock::new(None), reserve_bytes, counts: Counts::default() };
        if mapped {
            medium.cover(medium.disk.len()?.max(4096));
        }
        Ok(medium)
    }

    /// The current map; `None` where blocks are owned copies.
    pub(crate) fn map(&self) -> Option<Arc<Map>> {
        self.map.read().clone()
    }

    /// Replaces the map by one of at least `bytes`, reserving more where the system allows it. Snapshots keep
    /// the map they began with. Where nothing can be mapped, blocks are owned copies from here on.
    fn cover(&self, bytes: u64) {
        let Some(file) = self.disk.file() else { return };
        let reserved = bytes.max(self.reserve_bytes);
        let map = Map::new(file, reserved).or_else(|refused| {
            tracing::debug!(%refused, reserved, "address space was not reserved; mapping the file as it is");
            Map::new(file, bytes)
        });
        *self.map.write() = match map {
            Ok(map) => Some(Arc::new(map)),
            Err(error) => {
                tracing::warn!(%error, bytes, "the file cannot be mapped; blocks are read as owned copies");
                None
            }
        };
    }
}

/// What redb is given.
#[derive(Clone, Debug)]
pub(crate) struct Backend(pub(crate) Arc<Medium>);

impl Backend {
    fn locks<T>(
        &self,
        unlocked: T,
        call: impl FnOnce(&redb::backends::FileBackend) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        self.0.disk.locks().map_or(Ok(unlocked), call)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.counts.bytes_read.fetch_add(out.len() as u64, Relaxed);
        self.0.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.disk.set_len(len)?;
        if self.0.map().is_some_and(|map| map.bytes() < len) {
            self.0.cover(len);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.counts.syncs.fetch_add(1, Relaxed);
        self.0.disk.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.counts.bytes_written.fetch_add(data.len() as u64, Relaxed);
        self.0.disk.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.disk.locks().map_or(Ok(()), |locks| locks.close())
    }

    // The defaults of the lock methods are "unsupported"; without these six a second writer would get in.
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks(true, |locks| locks.try_lock_range(start, end))
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks(true, |locks| locks.try_lock_shared_range(start, end))
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks((), |locks| locks.lock_range(start, end))
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks((), |locks| locks.lock_shared_range(start, end))
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks((), |locks| locks.unlock_range(start, end))
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks(false, |locks| locks.query_lock_range(start, end))
    }
}
