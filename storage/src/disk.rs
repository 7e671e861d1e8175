//! The seam between a database and its medium: every byte that must survive a crash passes through [`Disk`].

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use redb::backends::FileBackend;

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

    /// Where the locks that keep a second writer out are taken, or `None` where nobody else can open the disk.
    fn locks(&self) -> Option<&FileBackend> {
        None
    }
}

/// A file of the operating system.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
    locks: FileBackend,
}

impl FileDisk {
    /// Opens `path` for reading and writing.
    pub fn open(path: &Path) -> io::Result<FileDisk> {
        FileDisk::new(OpenOptions::new().read(true).write(true).open(path)?)
    }

    /// Opens `path` for reading.
    pub fn open_read_only(path: &Path) -> io::Result<FileDisk> {
        FileDisk::new(OpenOptions::new().read(true).open(path)?)
    }

    /// Creates `path`, which must not exist.
    pub fn create_new(path: &Path) -> io::Result<FileDisk> {
        FileDisk::new(OpenOptions::new().read(true).write(true).create_new(true).open(path)?)
    }

    fn new(file: File) -> io::Result<FileDisk> {
        let locks = FileBackend::new(file.try_clone()?).map_err(io::Error::other)?;
        Ok(FileDisk { file, locks })
    }
}

impl Disk for FileDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    // `pread`, not the map: a failing medium is then an error and not a signal.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        positioned::read_exact_at(&self.file, out, offset)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        positioned::write_all_at(&self.file, data, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    // A mapped file cannot be cut on Windows, and redb cuts files: owned blocks there.
    fn file(&self) -> Option<&File> {
        cfg!(unix).then_some(&self.file)
    }

    fn locks(&self) -> Option<&FileBackend> {
        Some(&self.locks)
    }
}

#[cfg(unix)]
mod positioned {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;

    pub(super) fn read_exact_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<()> {
        file.read_exact_at(out, offset)
    }

    pub(super) fn write_all_at(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(data, offset)
    }
}

#[cfg(windows)]
mod positioned {
    use std::fs::File;
    use std::io;
    use std::os::windows::fs::FileExt;

    pub(super) fn read_exact_at(file: &File, mut out: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !out.is_empty() {
            match file.seek_read(out, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => {
                    out = &mut out[n..];
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }

    pub(super) fn write_all_at(file: &File, mut data: &[u8], mut offset: u64) -> io::Result<()> {
        while !data.is_empty() {
            match file.seek_write(data, offset)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => {
                    data = &data[n..];
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }
}
