//! The read-only mapping of the database file.

use std::fs::File;
use std::io;
use std::sync::Arc;

use memmap2::{Mmap, MmapOptions};

use crate::ahead::{ReadAhead, waits_for_disk};

/// A shared, read-only mapping of the file from its first byte, usually longer than the file: pages become
/// valid as the file grows (Linux and macOS; LMDB relies on the same).
#[derive(Debug)]
pub(crate) struct Map {
    map: Mmap,
    read_ahead: ReadAhead,
}

impl Map {
    /// Maps `bytes` of address space onto `file`.
    pub(crate) fn new(file: &File, bytes: u64) -> io::Result<Map> {
        let len = usize::try_from(bytes).map_err(io::Error::other)?;
        // SAFETY: the mapping itself is never handed out as a slice. Bytes are read only through
        // `PinnedPages`, whose contract covers both hazards of a file mapping: change and truncation.
        #[expect(unsafe_code, reason = "mapping a file")]
        let map = unsafe { MmapOptions::new().len(len).map(file)? };
        let read_ahead = ReadAhead::new(&map, file.metadata()?.len());
        Ok(Map { map, read_ahead })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.map.len() as u64
    }
}

/// The pages that one redb read transaction keeps from being reused, read in place.
#[derive(Debug)]
pub(crate) struct PinnedPages {
    map: Arc<Map>,
    /// Length of the file when the transaction began: later truncation takes only free pages behind every
    /// page that the transaction can reach.
    file_bytes: u64,
}

impl PinnedPages {
    /// # Safety
    /// - A redb read transaction that began before this call, on the file that `map` shows, must outlive the
    ///   value, and `file_bytes` must have been the length of the file or less at that time.
    /// - Only pages that are reachable from that transaction's root may be asked for: redb neither rewrites nor
    ///   cuts off those while the transaction lives (docs/FORMAT.md, "What is assumed of redb").
    #[expect(unsafe_code, reason = "the contract of a mapping cannot be checked by the compiler")]
    pub(crate) unsafe fn new(map: Arc<Map>, file_bytes: u64) -> PinnedPages {
        let file_bytes = file_bytes.min(map.bytes());
        PinnedPages { map, file_bytes }
    }

    /// The bytes of a page, or `None` where it would lie outside the file.
    pub(crate) fn page(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let end = offset.checked_add(len as u64)?;
        if end > self.file_bytes {
            return None;
        }
        // SAFETY: the range lies in the mapping and in the file (checked above); by the contract of `new` its
        // bytes do not change while `self` is borrowed.
        #[expect(unsafe_code, reason = "reading a mapped page in place")]
        let page = unsafe { std::slice::from_raw_parts(self.map.map.as_ptr().add(offset as usize), len) };
        Some(page)
    }

    /// Whether reading pages lately had to wait for the disk, and will again: where the file does not stay in memory. Then
    /// [`PinnedPages::request`] saves most of the waiting; elsewhere it would only cost calls to the system.
    pub(crate) fn waits_for_disk(&self) -> bool {
        waits_for_disk() && self.map.read_ahead.is_by_page(&self.map.map, self.file_bytes)
    }

    /// Has the system read `bytes`, if they lie in the map, without waiting for it; and what lies with them in the aligned
    /// runs of `run` bytes, a power of two.
    pub(crate) fn request(&self, bytes: &[u8], run: usize) {
        #[cfg(unix)]
        if let Some(offset) = bytes.as_ptr().addr().checked_sub(self.map.map.as_ptr().addr())
            && offset < self.map.map.len()
        {
            let start = offset & !(run - 1);
            let end = (offset + bytes.len()).next_multiple_of(run).min(self.map.map.len());
            // An advice: where it is not taken, reading waits for each page.
            self.map.map.advise_range(memmap2::Advice::WillNeed, start, end - start).ok();
        }
        #[cfg(not(unix))]
        let _ = (bytes, run);
    }

    #[cfg(feature = "test-disk")]
    pub(crate) fn map(&self) -> Arc<Map> {
        self.map.clone()
    }

    pub(crate) fn same_map(&self, other: &PinnedPages) -> bool {
        Arc::ptr_eq(&self.map, &other.map)
    }
}
