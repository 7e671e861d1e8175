//! Reading a committed state.

use std::sync::Arc;

use redb::{ReadOnlyTable, TableDefinition};
use redknot_storage::Snapshot;

use crate::catalog;
use crate::collection::Collection;
use crate::definition::CollectionDefinition;
use crate::error::Result;
use crate::key::Key;
use crate::query_log::QueryLogs;
use crate::router::Routers;

/// A committed state of the database, held: all reads through it see the same rows, whatever is written meanwhile.
///
/// Space that later commits free is not reused while it lives.
#[derive(Clone, Debug)]
pub struct ReadTransaction {
    snapshot: Arc<Snapshot>,
    routers: Arc<Routers>,
    logs: Arc<QueryLogs>,
}

impl ReadTransaction {
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        routers: Arc<Routers>,
        logs: Arc<QueryLogs>,
    ) -> ReadTransaction {
        ReadTransaction { snapshot, routers, logs }
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
        let record = catalog::existing(&self.snapshot, name)?;
        record.check(&definition)?;
        Ok(Collection::new(self.snapshot.clone(), name, record, &self.routers, &self.logs))
    }

    /// Opens a collection of which only the name, the key type and the payload type are known.
    pub fn open_collection_named<K: Key, V: redb::Value + 'static>(
        &self,
        name: &str,
    ) -> Result<Collection<K, V>> {
        let record = catalog::existing(&self.snapshot, name)?;
        record.check_types::<K, V>(name)?;
        Ok(Collection::new(self.snapshot.clone(), name, record, &self.routers, &self.logs))
    }
}
