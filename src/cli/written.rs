//! Files that a command writes.

use std::io::Write;
use std::path::Path;

use super::error::CliError;

/// Writes the whole file or none. What is there and no file, such as a pipe or `/dev/null`, is written to and not replaced.
pub(super) fn write_whole(to: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let failed = |source| CliError::Write { path: to.to_owned(), source };
    if to.metadata().is_ok_and(|there| !there.is_file()) {
        return std::fs::write(to, bytes).map_err(failed);
    }
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut beside = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
    beside.write_all(bytes).map_err(failed)?;
    beside.persist(to).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
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
}
