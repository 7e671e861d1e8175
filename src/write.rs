//! Changing the database.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use redb::{Table, TableDefinition};
use redknot_index::{IndexConfig, IndexRecord, Writer};
use redknot_storage::WriteTxn;

use crate::catalog::{self, Record, RouterKeys, Values, values_name};
use crate::collection_mut::CollectionMut;
use crate::definition::CollectionDefinition;
use crate::error::{Error, Result};
use crate::graph::{self, GraphMut, GraphOptions, OpenGraphs};
use crate::key::Key;
use crate::keys::KeyMaps;
use crate::query_log::{QueryLogs, Written, drop_log};
use crate::read::ReadTransaction;
use crate::router::Routers;

/// The write transaction: tables and collections change together, or not at all.
///
/// Reads through it see its own changes, searches included. Dropped without [`WriteTransaction::commit`], it
/// changes nothing.
pub struct WriteTransaction {
    pub(crate) txn: WriteTxn,
    /// Records of the collections that were opened.
    open: BTreeMap<String, OpenRecord>,
    routers: Arc<Routers>,
    logs: Arc<QueryLogs>,
}

struct OpenRecord {
    record: Record,
    graphs: OpenGraphs,
    before: Vec<u8>,
    /// The router whose keys agreed with the index before.
    router: Option<RouterKeys>,
    /// An operation failed half-way.
    torn: bool,
}

impl WriteTransaction {
    pub(crate) fn new(txn: WriteTxn, routers: Arc<Routers>, logs: Arc<QueryLogs>) -> WriteTransaction {
        WriteTransaction { txn, open: BTreeMap::new(), routers, logs }
    }

    /// Opens an ordinary redb table, creating it where it does not exist.
    pub fn open_table<'t, K: redb::Key + 'static, V: redb::Value + 'static>(
        &'t self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<Table<'t, K, V>> {
        catalog::check_name(redb::TableHandle::name(&definition))?;
        Ok(self.txn.open_table(definition)?)
    }

    /// Opens a collection, creating it where it does not exist.
    pub fn open_collection<K: Key, V: redb::Value + 'static>(
        &mut self,
        definition: CollectionDefinition<'_, K, V>,
    ) -> Result<CollectionMut<'_, K, V>> {
        let name = definition.name;
        catalog::check_name(name)?;
        if !self.open.contains_key(name) {
            let record = match catalog::read_in(&self.txn, name)? {
                Some(record) => record,
                None => self.create(&definition)?,
            };
            self.remember(name, record)?;
        }
        self.opened(name)?.check(&definition)?;
        self.collection_mut(name)
    }

    /// Opens an existing collection of which only the name, the key type and the payload type are known.
    pub fn open_collection_named<K: Key, V: redb::Value + 'static>(
        &mut self,
        name: &str,
    ) -> Result<CollectionMut<'_, K, V>> {
        self.open_existing(name)?.record.check_types::<K, V>(name)?;
        self.collection_mut(name)
    }

    /// Creates a graph over a collection, which must exist. Its nodes are the rows of the collection.
    ///
    /// # Errors
    /// [`Error::GraphExists`], [`Error::UnknownCollection`], [`Error::InvalidName`].
    pub fn create_graph<K: Key, V: redb::Value + 'static>(
        &mut self,
        definition: CollectionDefinition<'_, K, V>,
        graph: &str,
        options: GraphOptions,
    ) -> Result<GraphMut<'_, K>> {
        self.create_graph_named(definition.name, graph, options)
    }

    /// As [`WriteTransaction::create_graph`], for a program that knows of the collection its name and the type of its
    /// keys only.
    pub fn create_graph_named<K: Key>(
        &mut self,
        collection: &str,
        graph: &str,
        options: GraphOptions,
    ) -> Result<GraphMut<'_, K>> {
        self.open_existing(collection)?.record.check_key_type::<K>(collection)?;
        if let Some(open) = self.open.get_mut(collection) {
            open.graphs.create(&mut self.txn, collection, graph, options)?;
        }
        self.open_graph_named(collection, graph)
    }

    /// Opens a graph over a collection.
    ///
    /// # Errors
    /// [`Error::UnknownGraph`], [`Error::UnknownCollection`], [`Error::DefinitionMismatch`] for another type of keys.
    pub fn open_graph<K: Key, V: redb::Value + 'static>(
        &mut self,
        definition: CollectionDefinition<'_, K, V>,
        graph: &str,
    ) -> Result<GraphMut<'_, K>> {
        self.open_graph_named(definition.name, graph)
    }

    /// As [`WriteTransaction::open_graph`], for a program that knows of the collection its name and the type of its keys
    /// only.
    pub fn open_graph_named<K: Key>(&mut self, collection: &str, graph: &str) -> Result<GraphMut<'_, K>> {
        self.open_existing(collection)?.record.check_key_type::<K>(collection)?;
        let unknown = self.unknown(collection);
        let OpenRecord { record, graphs, torn, .. } = self.open.get_mut(collection).ok_or(unknown)?;
        let opened = graphs.get_mut(collection, graph)?;
        Ok(GraphMut::new(&mut self.txn, (collection, graph), record, opened, torn))
    }

    /// Removes a graph with its edges; `false` where the collection has none of that name.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`].
    pub fn delete_graph(&mut self, collection: &str, graph: &str) -> Result<bool> {
        self.open_existing(collection)?;
        match self.open.get_mut(collection) {
            Some(open) => open.graphs.delete(&mut self.txn, collection, graph),
            None => Ok(false),
        }
    }

    /// Removes a collection with all of its rows; `false` where there is none of that name.
    pub fn delete_collection(&mut self, name: &str) -> Result<bool> {
        let mut record = match self.open.remove(name) {
            Some(open) => open.record,
            None => match catalog::read_in(&self.txn, name)? {
                Some(record) => record,
                None => return Ok(false),
            },
        };
        for array in record.index.arrays() {
            self.txn.drop_array(array)?;
        }
        catalog::drop_router(&mut self.txn, name, &mut record)?;
        catalog::drop_candidates(&mut self.txn, name)?;
        catalog::drop_training(&self.txn, name)?;
        drop_log(&mut self.txn, name)?;
        catalog::drop_features(&mut self.txn, &mut record)?;
        graph::drop_all(&mut self.txn, name)?;
        record.keys.delete(&mut self.txn, name)?;
        self.txn.delete_table(Values::new(&values_name(name)))?;
        catalog::remove(&self.txn, name)?;
        Ok(true)
    }

    /// Writes a model of layers under a name, in place of the one that has it; `true` if there was one.
    ///
    /// # Errors
    /// [`Error::Gnn`] where the weights are not those of the description, [`Error::InvalidName`].
    #[cfg(feature = "gnn")]
    pub fn write_model(
        &self,
        name: &str,
        description: &redknot_gnn::layers::ModelDescription,
        weights: &redknot_gnn::layers::Weights,
    ) -> Result<bool> {
        crate::gnn::store::write(&self.txn, name, description, weights)
    }

    /// Removes a model of layers; `false` where there is none of that name.
    #[cfg(feature = "gnn")]
    pub fn delete_model(&self, name: &str) -> Result<bool> {
        crate::gnn::store::remove(&self.txn, name)
    }

    /// The state that this transaction builds on, without its own changes. Nobody else writes while the transaction is
    /// open, so what is computed from that state is up to date when it is written.
    pub fn last_commit(&self) -> ReadTransaction {
        ReadTransaction::new(self.txn.base().clone(), self.routers.clone(), self.logs.clone())
    }

    /// Makes everything durable, or returns an error. After one the transaction is gone; where the disk may hold it
    /// or not, the database has to be opened again, and has then all of it or nothing.
    pub fn commit(mut self) -> Result<()> {
        let _entered = tracing::debug_span!("commit", dirty_bytes = self.txn.dirty_bytes()).entered();
        let mut logged = Vec::new();
        for (name, mut open) in std::mem::take(&mut self.open) {
            if open.torn {
                return Err(Error::TornTransaction { name });
            }
            if open.record.to_bytes() != open.before {
                Writer::open(&mut self.txn, &mut open.record.index)?.finish()?;
                // Before the router, which takes the changed nodes with it.
                if let Some(features) = &mut open.record.features {
                    features.follow(&open.record.index);
                }
                if let Some(router) = open.router {
                    self.routers.keep_keys(&mut self.txn, &name, &mut open.record, router)?;
                }
            }
            let after = open.record.to_bytes();
            if after != open.before {
                catalog::write_bytes(&self.txn, &name, &after)?;
            }
            open.graphs.write(&self.txn, &name)?;
            logged.extend(self.logs.write(&self.txn, &name)?);
        }
        self.txn.commit()?;
        logged.into_iter().for_each(|written: Written| {
            written.done();
        });
        Ok(())
    }

    /// Gives up the transaction; dropping it does the same.
    pub fn abort(self) -> Result<()> {
        Ok(self.txn.abort()?)
    }

    /// Bytes of changed blocks that the transaction holds in memory.
    pub fn dirty_bytes(&self) -> usize {
        self.txn.dirty_bytes()
    }

    fn create<K: Key, V: redb::Value + 'static>(
        &mut self,
        definition: &CollectionDefinition<'_, K, V>,
    ) -> Result<Record> {
        let config = IndexConfig {
            dim: definition.dim,
            metric: definition.metric,
            element: definition.element,
            m: definition.m,
            ef_construction: definition.ef_construction,
            seed: definition.seed,
        };
        let index = IndexRecord::create(&mut self.txn, &config)?;
        let record = Record {
            key_width: K::width(),
            keys: KeyMaps::create(&mut self.txn, K::width())?,
            key_type: K::type_name(),
            value_type: V::type_name().name().into(),
            index,
            router: None,
            features: None,
        };
        // So that a reader of the new collection finds its tables, empty as they may be.
        self.txn.open_table(Values::new(&values_name(definition.name)))?;
        self.txn.open_table(crate::keys::Tree::new(&crate::keys::tree_name(definition.name)))?;
        catalog::write_bytes(&self.txn, definition.name, &record.to_bytes())?;
        Ok(record)
    }

    fn remember(&mut self, name: &str, record: Record) -> Result<()> {
        let (before, router) = (record.to_bytes(), record.fresh_router());
        let graphs = OpenGraphs::load(&self.txn, name)?;
        self.open.insert(name.into(), OpenRecord { record, graphs, before, router, torn: false });
        Ok(())
    }

    /// Opens a collection that has to be there.
    fn open_existing(&mut self, name: &str) -> Result<&OpenRecord> {
        if !self.open.contains_key(name) {
            let record = catalog::read_in(&self.txn, name)?;
            let record = record.ok_or_else(|| self.unknown(name))?;
            self.remember(name, record)?;
        }
        self.open.get(name).ok_or_else(|| self.unknown(name))
    }

    fn opened(&self, name: &str) -> Result<&Record> {
        self.open.get(name).map(|open| &open.record).ok_or_else(|| self.unknown(name))
    }

    fn collection_mut<K: Key, V: redb::Value + 'static>(
        &mut self,
        name: &str,
    ) -> Result<CollectionMut<'_, K, V>> {
        let unknown = self.unknown(name);
        let open = self.open.get_mut(name).ok_or(unknown)?;
        let OpenRecord { record, graphs, torn, .. } = open;
        CollectionMut::new(&mut self.txn, name, record, graphs, torn)
    }

    fn unknown(&self, name: &str) -> Error {
        Error::UnknownCollection {
            name: name.into(),
            known: catalog::names_in(&self.txn).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for WriteTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteTransaction").field("dirty_bytes", &self.dirty_bytes()).finish_non_exhaustive()
    }
}
