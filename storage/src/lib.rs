//! One file, transactions, snapshots, and arrays read in place from memory-mapped redb pages.
//! This crate knows bytes, not vectors.

mod disk;
#[cfg(feature = "test-disk")]
pub mod test_disk;

pub use disk::{Disk, FileDisk};
