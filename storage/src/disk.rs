//! The seam between a database and its medium: every byte that must survive a crash passes through [`Disk`].

use std::fmt::Debug;
use std::fs::File;
use std::io;

/// The medium under one database file.
///
/// The rules are those of a POSIX file on a disk with a volatile cache: a write is visible to every later
/// read and to the mapping of [`Disk::file`] at once, and survives a power loss only after the next
/// successful [`Disk::sync`]. Until then any 512-byte sector of it may be old, new or torn.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Length of the file in bytes.
    fn len(&self) -> io::Result<u64>;

    /// True where the file holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `out` from `offset`; an error of kind `UnexpectedEof` where the file is too short.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data` at `offset`, growing the file where needed.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Cuts or grows the file; new bytes are zero.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns once everything written so far would survive a power loss.
    fn sync(&self) -> io::Result<()>;

    /// The file to map for reading in place, or `None`: then every block is read as an owned copy.
    fn file(&self) -> Option<&File>;
}

/// A file of the operating system.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
}
