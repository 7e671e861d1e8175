//! Opening the file and the collection that a command names.

use std::path::PathBuf;

use redknot::{Builder, CollectionInfo, Database};

use super::error::CliError;

/// The file, and how to open it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// The database file.
    pub(crate) file: PathBuf,

    /// Memory for keys, payloads and open transactions, in MiB. Vectors and links need none.
    #[arg(long, value_name = "MIB", default_value_t = 128)]
    pub(crate) cache_mib: usize,
}

/// The collection, which need not be named in a file that has one.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CollectionArgs {
    /// The collection; may be left out where the file has one only.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) collection: Option<String>,
}

impl DatabaseArgs {
    fn builder(&self) -> Builder {
        Database::builder().cache_bytes(self.cache_mib.saturating_mul(1 << 20))
    }

    /// Creates the file.
    pub(crate) fn create(&self) -> Result<Database, CliError> {
        Ok(self.builder().create(&self.file)?)
    }

    /// Opens the file for reading, beside other readers. A file that was not closed cleanly is repaired first, which
    /// needs it for a moment alone and writable.
    pub(crate) fn open_to_read(&self) -> Result<Database, CliError> {
        match self.builder().open_read_only(&self.file) {
            Err(redknot::Error::Storage(redknot_storage::Error::NeedsRepair)) => {
                drop(self.open_to_write()?);
                Ok(self.builder().open_read_only(&self.file)?)
            }
            opened => Ok(opened?),
        }
    }

    /// Opens the file for reading and writing.
    pub(crate) fn open_to_write(&self) -> Result<Database, CliError> {
        Ok(self.builder().open(&self.file)?)
    }
}

impl CollectionArgs {
    /// What the file says of the collection.
    pub(crate) fn find(&self, database: &Database) -> Result<CollectionInfo, CliError> {
        let mut all = database.collections()?;
        let known = || all.iter().map(|info| info.name.clone()).collect::<Vec<_>>();
        let index = match &self.collection {
            Some(name) => all
                .iter()
                .position(|info| info.name == *name)
                .ok_or_else(|| redknot::Error::UnknownCollection { name: name.clone(), known: known() })?,
            None => match all.len() {
                0 => return Err(CliError::NoCollection),
                1 => 0,
                _ => return Err(CliError::WhichCollection { known: known() }),
            },
        };
        Ok(all.swap_remove(index))
    }
}
