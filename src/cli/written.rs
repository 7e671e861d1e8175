//! Files that a command writes: whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::CliError;

/// A file that is being written. [`Written::finish`] puts it in its place; without, what was there stays.
///
/// What is there and no file, such as a pipe or `/dev/null`, is written to and not replaced.
pub(crate) struct Written {
    to: PathBuf,
    place: BufWriter<Place>,
}

enum Place {
    /// Next to where the file will be: on the same disk, so that it can be renamed.
    Beside(NamedTempFile),
    There(File),
}

impl Written {
    /// Begins to write a file.
    pub(crate) fn create(to: &Path) -> io::Result<Written> {
        if is_database(to) {
            return Err(io::Error::other("it is a database, which would be lost: choose another file"));
        }
        let place = if to.metadata().is_ok_and(|there| !there.is_file()) {
            Place::There(File::options().write(true).open(to)?)
        } else {
            let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
            Place::Beside(beside(folder.unwrap_or(Path::new(".")))?)
        };
        Ok(Written { to: to.to_owned(), place: BufWriter::new(place) })
    }

    /// Has the file be there.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self.place.into_inner().map_err(io::IntoInnerError::into_error)? {
            Place::Beside(file) => {
                file.persist(self.to).map_err(|error| error.error)?;
            }
            Place::There(_) => {}
        }
        Ok(())
    }
}

/// Whether a file begins as those of redb do.
fn is_database(path: &Path) -> bool {
    let mut start = Vec::new();
    let mut read = || File::open(path).and_then(|file| file.take(16).read_to_end(&mut start));
    // A pipe is not read from.
    path.is_file() && read().is_ok() && redknot_storage::is_redb(&start)
}

/// A new file that others may read as far as they may read other new files.
fn beside(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.place.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.place.flush()
    }
}

impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Place::Beside(file) => file.write(bytes),
            Place::There(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Place::Beside(file) => file.flush(),
            Place::There(file) => file.flush(),
        }
    }
}

/// Writes a file from what is in memory.
pub(super) fn write_whole(to: &Path, bytes: &[u8]) -> Result<(), CliError> {
    write_with(to, |file| file.write_all(bytes))
}

/// Writes a file by `write`.
pub(super) fn write_with(
    to: &Path,
    write: impl FnOnce(&mut Written) -> io::Result<()>,
) -> Result<(), CliError> {
    let written = Written::create(to).and_then(|mut file| {
        write(&mut file)?;
        file.finish()
    });
    written.map_err(|source| CliError::Write { path: to.to_owned(), source })
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (sink, file) = (folder.path().join("sink"), folder.path().join("file"));
        std::os::unix::fs::symlink("/dev/null", &sink).unwrap();
        for _ in 0..2 {
            write_whole(&sink, b"gone").unwrap();
            write_whole(&file, b"kept").unwrap();
        }
        assert!(sink.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read(file).unwrap(), b"kept");
        assert!(matches!(write_whole(folder.path(), b""), Err(CliError::Write { .. })));
    }

    #[test]
    fn a_file_that_is_not_finished_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("out");
        for before in [None, Some("before")] {
            if let Some(before) = before {
                std::fs::write(&to, before).unwrap();
            }
            let mut file = Written::create(&to).unwrap();
            file.write_all(&[7; 100_000]).unwrap();
            drop(file);
            assert_eq!(std::fs::read_to_string(&to).ok().as_deref(), before);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), usize::from(before.is_some()));
        }
        let mut file = Written::create(&to).unwrap();
        file.write_all(b"after").unwrap();
        file.finish().unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"after");
    }

    #[test]
    fn others_may_read_it_as_far_as_they_may_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, own) = (folder.path().join("plain"), folder.path().join("own"));
        std::fs::write(&plain, b"").unwrap();
        write_whole(&own, b"").unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(own), mode(plain));
    }
}
