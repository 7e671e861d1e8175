//! Reading a committed state.

use std::sync::Arc;

use redb::{ReadOnlyTable, TableDefinition};
use redknot_storage::Snapshot;

use crate::catalog;
use crate::collection::Collection;
use crate::definition::CollectionDefinition;
use crate::error::{Error, Result};
use crate::key::Key;

/// A committed state of the database, held: all reads through it see the same rows, whatever is written meanwhile.
///
/// Space that later commits free is not reused while it lives.
#[derive(Clone, Debug)]
pub struct ReadTransaction {
    snapshot: Arc<Snapshot>,
}

impl ReadTransaction {
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> ReadTransaction {
        ReadTransaction { snapshot }
    }

    /// Opens an ordinary redb table.
    pub fn open_table<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<ReadOnlyTable<K, V>> {
        catalog::check_name(redb::TableHandle::name(&definition))?;
        Ok(self.snapshot.open_table(definition)?)
    }

    /// Opens a collection.
    pub fn open_collection<K: Key, V: redb::Value + 'static>(
        &self,
        definition: CollectionDefinition<'_, K, V>,
    ) -> Result<Collection<K, V>> {
        let name = definition.name;
        let record = catalog::read(&self.snapshot, name)?.ok_or_else(|| self.unknown(name))?;
        record.check(&definition)?;
        Collection::new(self.snapshot.clone(), name, record)
    }

    /// Opens a collection of which only the name, the key type and the payload type are known.
    pub fn open_collection_named<K: Key, V: redb::Value + 'static>(
        &self,
        name: &str,
    ) -> Result<Collection<K, V>> {
        let record = catalog::read(&self.snapshot, name)?.ok_or_else(|| self.unknown(name))?;
        record.check_types::<K, V>(name)?;
        Collection::new(self.snapshot.clone(), name, record)
    }

    fn unknown(&self, name: &str) -> Error {
        let known = catalog::all(&self.snapshot).map(|all| all.into_iter().map(|(name, _)| name).collect());
        Error::UnknownCollection { name: name.into(), known: known.unwrap_or_default() }
    }
}
