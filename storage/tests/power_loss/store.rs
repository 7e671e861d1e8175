//! The store under test, behind the few calls that the suite makes of it.

use std::error::Error;
use std::io;

use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, TableError};
use redknot_storage::Disk;
use redknot_storage::test_disk::TestDisk;

use crate::workload::{BlockKey, Change, Contents, Transaction};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Failure>;

const META: TableDefinition<(), u64> = TableDefinition::new("meta");
const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");
const BLOCKS: TableDefinition<BlockKey, &[u8]> = TableDefinition::new("blocks");

#[derive(Debug)]
struct Backend(TestDisk);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

pub(crate) struct Store {
    database: Database,
}

impl Store {
    /// Opens what the disk holds, recovering it if needed; an empty disk becomes an empty store.
    pub(crate) fn open(disk: &TestDisk, cache_bytes: usize) -> Result<Store> {
        let backend = Backend(disk.clone());
        let database = Database::builder().set_cache_size(cache_bytes).create_with_backend(backend)?;
        Ok(Store { database })
    }

    /// Makes the changes and commits them durably as `commit`, or makes them and aborts.
    pub(crate) fn run(&self, transaction: &Transaction) -> Result<()> {
        let mut write = self.database.begin_write()?;
        write.set_quick_repair(transaction.quick_repair);
        {
            let mut rows = write.open_table(ROWS)?;
            let mut blocks = write.open_table(BLOCKS)?;
            for change in &transaction.changes {
                match change {
                    Change::PutRow(key, value) => rows.insert(key, &**value).map(drop)?,
                    Change::RemoveRow(key) => rows.remove(key).map(drop)?,
                    Change::PutBlock(key, value) => blocks.insert(key, &**value).map(drop)?,
                    Change::RemoveBlock(key) => blocks.remove(key).map(drop)?,
                }
            }
            write.open_table(META)?.insert((), transaction.commit.unwrap_or(u64::MAX))?;
        }
        match transaction.commit {
            Some(_) => write.commit()?,
            None => write.abort()?,
        }
        Ok(())
    }

    /// The number of the last commit, and everything stored; 0 for a store without a commit.
    pub(crate) fn contents(&self) -> Result<(u64, Contents)> {
        let read = self.database.begin_read()?;
        let meta = match read.open_table(META) {
            Err(TableError::TableDoesNotExist(_)) => return Ok((0, Contents::default())),
            other => other?,
        };
        let commit = meta.get(())?.ok_or("the meta table has no commit number")?.value();
        let mut contents = Contents::default();
        for pair in read.open_table(ROWS)?.iter()? {
            let (key, value) = pair?;
            contents.rows.insert(key.value(), value.value().into());
        }
        for pair in read.open_table(BLOCKS)?.iter()? {
            let (key, value) = pair?;
            contents.blocks.insert(key.value(), value.value().into());
        }
        Ok((commit, contents))
    }

    /// Reads everything there is, checksums included.
    pub(crate) fn verify(&mut self) -> Result<()> {
        if self.database.check_integrity()? {
            Ok(())
        } else {
            Err("the integrity check repaired something".into())
        }
    }
}
