//! One file, transactions, snapshots, and arrays read in place from memory-mapped redb pages.
//! This crate knows bytes, not vectors.

mod disk;

pub use disk::{Disk, FileDisk};
