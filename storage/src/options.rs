//! How a file is opened.

use std::time::Duration;

use crate::error::{Error, Result};

/// Options of an open database file. They are properties of the handle, not of the file.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of memory for redb's page cache, which serves the small tables (keys, payloads, catalogue) and
    /// buffers the pages of an open write transaction. Blocks read through the map do not use it.
    /// 1 MiB to 64 GiB; 128 MiB by default.
    pub cache_bytes: usize,
    /// Address space reserved for the map, so that the file can grow without being mapped again. Where the
    /// reservation is refused, exact-size maps are used. 1 TiB by default; 0 never reserves.
    pub reserve_bytes: u64,
    /// Read every block as an owned copy instead of through the map: slower, and the memory used grows with
    /// what is read, but neither truncation of the file from outside nor a failing medium can raise a signal.
    pub owned_blocks: bool,
    /// Before redb reads a file, verify the checksums of everything in it but the blocks of arrays, which are
    /// verified when they are first read. This reads the ordinary tables once, so its cost grows with them; without
    /// it a damaged page in them may give wrong answers, or a panic inside redb that becomes an error. True by
    /// default.
    pub check_on_open: bool,
    /// After this long without a commit, one commit is made that lets the file be reopened after a crash
    /// without scanning it (redb's quick repair). `None` never makes one. One second by default.
    pub idle_commit: Option<Duration>,
    /// Before the file is closed, and if a quarter of it was rewritten since it was opened or last compacted, move
    /// what is used to its front and give the rest back, as [`crate::Storage::compact`] does. Closing then takes as
    /// long as writing what has to move. Files below 16 MiB are left as they are. True by default.
    pub compact_on_close: bool,
    /// A snapshot that is held longer than this is reported by a warning at the next commit, because every page
    /// freed since it was taken stays in the file. One minute by default.
    pub snapshot_age_warning: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cache_bytes: 128 << 20,
            reserve_bytes: 1 << 40,
            owned_blocks: false,
            check_on_open: true,
            idle_commit: Some(Duration::from_secs(1)),
            compact_on_close: true,
            snapshot_age_warning: Duration::from_secs(60),
        }
    }
}

impl Options {
    pub(crate) fn validate(&self) -> Result<()> {
        if !(1 << 20..=64 << 30).contains(&self.cache_bytes) {
            return Err(Error::InvalidOption {
                name: "cache_bytes",
                got: self.cache_bytes.to_string(),
                expected: "1 MiB to 64 GiB",
            });
        }
        if self.reserve_bytes > 1 << 46 {
            return Err(Error::InvalidOption {
                name: "reserve_bytes",
                got: self.reserve_bytes.to_string(),
                expected: "at most 64 TiB",
            });
        }
        Ok(())
    }
}
