//! Files that a command writes.

use std::io::Write;
use std::path::Path;

use super::error::CliError;

/// Writes the whole file or none.
pub(super) fn write_whole(to: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let failed = |source| CliError::Write { path: to.to_owned(), source };
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut beside = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
    beside.write_all(bytes).map_err(failed)?;
    beside.persist(to).map_err(|error| failed(error.error))?;
    Ok(())
}
