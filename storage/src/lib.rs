//! One file, transactions, snapshots, and arrays read in place from memory-mapped redb pages.
//! This crate knows bytes, not vectors.
//!
//! A file is a [redb](https://docs.rs/redb) database. Beside ordinary redb tables it holds *arrays*: rows of one
//! width ([`Rows`]) or of any length ([`Csr`]), cut into blocks that each fill one redb page and are read
//! through a memory map without being copied. `docs/FORMAT.md` draws the bytes.
//!
//! ```
//! use redknot_storage::{ArraySpec, Options, PageSize, Storage, View};
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("example.redknot");
//! let storage = Storage::create(path, &Options::default())?;
//! let mut txn = storage.begin_write()?;
//! let points = txn.create_array(ArraySpec::rows(8, PageSize::KIB_4)?)?;
//! txn.push_rows(points, &[1; 24])?;
//! txn.commit()?;
//!
//! let snapshot = storage.snapshot()?;
//! assert_eq!(snapshot.rows(points)?.get(2)?, &[1; 8]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//! - One writer at a time, in one process; several processes may read a file that nobody writes.
//! - An array has at most 2^32 − 1 rows; a page at most 16 MiB.
//! - Something that cuts the file short from outside, or a failing medium under the map, raises SIGBUS in a
//!   reader of mapped blocks; [`Options::owned_blocks`] reads copies instead.
//! - Snapshots are cheap to take and dear to keep: pages freed since stay in the file.

mod ahead;
mod array;
mod backup;
mod block;
mod btree;
mod check;
mod contain;
mod core;
mod csr;
mod disk;
mod error;
mod header;
mod idle;
mod map;
mod medium;
mod memory;
mod options;
mod snapshot;
mod storage;
mod tables;
#[cfg(feature = "test-disk")]
pub mod test_disk;
#[cfg(feature = "test-disk")]
#[doc(hidden)]
pub mod unpinned;
mod verify;
mod write;

pub use array::{ArrayId, ArrayInfo, ArraySpec, Kind, Rows, RowsInOrder};
pub use block::PageSize;
pub use csr::Csr;
pub use disk::{Disk, FileDisk};
pub use error::{Error, Result};
pub use header::is_redb;
pub use memory::prefetch;
pub use options::Options;
pub use snapshot::{Snapshot, View};
pub use storage::{Stats, Storage};
pub use tables::{FORMAT_VERSION, RESERVED_PREFIX};
pub use verify::{Finding, array_bytes};
pub use write::WriteTxn;
