//! Reading a committed state.

use std::sync::Arc;

use redb::{ReadOnlyTable, TableDefinition};
use redknot_storage::Snapshot;

use crate::catalog;
use crate::collection::Collection;
use crate::definition::CollectionDefinition;
use crate::error::Result;
#[cfg(feature = "gnn")]
use crate::gnn;
use crate::graph::{self, Graph, GraphInfo, Source};
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

    /// Opens a graph over a collection.
    ///
    /// # Errors
    /// [`crate::Error::UnknownGraph`], [`crate::Error::UnknownCollection`], [`crate::Error::DefinitionMismatch`] for
    /// another type of keys.
    pub fn open_graph<K: Key, V: redb::Value + 'static>(
        &self,
        definition: CollectionDefinition<'_, K, V>,
        graph: &str,
    ) -> Result<Graph<K>> {
        self.open_graph_named(definition.name, graph)
    }

    /// As [`ReadTransaction::open_graph`], for a program that knows of the collection its name and the type of its keys
    /// only.
    pub fn open_graph_named<K: Key>(&self, collection: &str, graph: &str) -> Result<Graph<K>> {
        self.graph(collection, |snapshot| Ok(Source::Stored(graph::existing(snapshot, collection, graph)?)))
    }

    /// The base layer of the HNSW graph of a collection, read as a directed graph of links of weight 1. Rows that are not
    /// linked yet have none.
    ///
    /// # Errors
    /// [`crate::Error::UnknownCollection`], [`crate::Error::DefinitionMismatch`] for another type of keys.
    pub fn hnsw_graph<K: Key, V: redb::Value + 'static>(
        &self,
        definition: CollectionDefinition<'_, K, V>,
    ) -> Result<Graph<K>> {
        self.hnsw_graph_named(definition.name)
    }

    /// As [`ReadTransaction::hnsw_graph`], for a program that knows of the collection its name and the type of its keys
    /// only.
    pub fn hnsw_graph_named<K: Key>(&self, collection: &str) -> Result<Graph<K>> {
        self.graph(collection, |_| Ok(Source::Hnsw))
    }

    /// A model of layers that the file holds.
    ///
    /// # Errors
    /// [`crate::Error::UnknownModel`]; [`crate::Error::Gnn`] for one whose layers this build leaves out.
    #[cfg(feature = "gnn")]
    pub fn model(&self, name: &str) -> Result<redknot_gnn::layers::Model> {
        gnn::store::read(&self.snapshot, name)
    }

    /// What a model of layers is, and its weights.
    ///
    /// # Errors
    /// [`crate::Error::UnknownModel`].
    #[cfg(feature = "gnn")]
    pub fn model_weights(
        &self,
        name: &str,
    ) -> Result<(redknot_gnn::layers::ModelDescription, redknot_gnn::layers::Weights)> {
        gnn::store::read_weights(&self.snapshot, name)
    }

    /// The models of layers that the file holds, by name.
    #[cfg(feature = "gnn")]
    pub fn models(&self) -> Result<Vec<gnn::ModelInfo>> {
        gnn::store::infos(&self.snapshot)
    }

    /// The names of the models of layers that the file holds, which are not read.
    #[cfg(feature = "gnn")]
    pub fn model_names(&self) -> Result<Vec<String>> {
        gnn::store::names(&self.snapshot)
    }

    /// The graphs over a collection, by name.
    ///
    /// # Errors
    /// [`crate::Error::UnknownCollection`].
    pub fn graphs(&self, collection: &str) -> Result<Vec<GraphInfo>> {
        catalog::existing(&self.snapshot, collection)?;
        graph::infos(&self.snapshot, collection)
    }

    fn graph<K: Key>(
        &self,
        collection: &str,
        source: impl FnOnce(&Snapshot) -> Result<Source>,
    ) -> Result<Graph<K>> {
        let rows = catalog::existing(&self.snapshot, collection)?;
        rows.check_key_type::<K>(collection)?;
        Ok(Graph::new(self.snapshot.clone(), collection, rows, source(&self.snapshot)?))
    }
}
