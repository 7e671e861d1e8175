//! Reading a collection.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use redb::Value;
use redknot_index::{IndexConfig, VectorRef, decode};
use redknot_storage::{Snapshot, View};

use crate::answer;
use crate::batch::BatchSearch;
use crate::catalog::{Record, Values, values_name};
use crate::error::{Error, Result};
use crate::key::{Key, number_of};
use crate::keys;
use crate::query::{Request, Search, SearchResult, Target};

/// A collection in a committed state.
pub struct Collection<K: Key, V: Value + 'static> {
    snapshot: Arc<Snapshot>,
    name: String,
    record: Record,
    types: PhantomData<fn() -> (K, V)>,
}

/// The payload of a row.
pub struct Payload<V> {
    bytes: Vec<u8>,
    types: PhantomData<fn() -> V>,
}

impl<V: Value + 'static> Payload<V> {
    pub(crate) fn new(bytes: Vec<u8>) -> Payload<V> {
        Payload { bytes, types: PhantomData }
    }

    /// The value, which borrows the payload.
    pub fn value(&self) -> V::SelfType<'_> {
        V::from_bytes(&self.bytes)
    }
}

impl<V: Value + 'static> fmt::Debug for Payload<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Payload").field(&self.value()).finish()
    }
}

impl<K: Key, V: Value + 'static> Collection<K, V> {
    pub(crate) fn new(snapshot: Arc<Snapshot>, name: &str, record: Record) -> Result<Collection<K, V>> {
        Ok(Collection { snapshot, name: name.into(), record, types: PhantomData })
    }

    /// Number of rows.
    pub fn len(&self) -> u64 {
        u64::from(self.record.index.live())
    }

    /// True where there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows that were imported and not linked yet: every search looks at each of them.
    pub fn unlinked(&self) -> u64 {
        u64::from(self.record.index.unlinked())
    }

    /// Dimension, metric, element type and the parameters of the graph.
    pub fn config(&self) -> IndexConfig {
        self.record.index.config()
    }

    /// Whether there is a row with this key.
    pub fn contains(&self, key: K::Ref<'_>) -> Result<bool> {
        Ok(self.node(key)?.is_some())
    }

    /// The payload of the row with this key.
    pub fn get(&self, key: K::Ref<'_>) -> Result<Option<Payload<V>>> {
        if self.node(key)?.is_none() {
            return Ok(None);
        }
        if V::fixed_width() == Some(0) {
            return Ok(Some(Payload::new(Vec::new())));
        }
        let table = self.snapshot.open_table(Values::new(&values_name(&self.name)))?;
        let bytes = table.get(keys::encode::<K>(key)?.as_slice()).map_err(Error::redb)?;
        let bytes = bytes.ok_or_else(|| answer::no_payload(&self.name, &K::show(key)))?;
        Ok(Some(Payload::new(bytes.value().to_vec())))
    }

    /// The vector of the row with this key, as f32 (bits as 0 and 1).
    pub fn vector(&self, key: K::Ref<'_>) -> Result<Option<Vec<f32>>> {
        let Some(node) = self.node(key)? else { return Ok(None) };
        let config = self.config();
        let row = self.snapshot.rows(self.record.index.vectors())?.get(node)?;
        Ok(Some(decode(row, config.dim, config.element)))
    }

    /// Searches for the rows nearest to `query`.
    pub fn search<'a>(&'a self, query: impl Into<VectorRef<'a>>) -> Search<'a, K> {
        Search::new(self, query.into())
    }

    /// Searches for the rows nearest to each of several queries, on several threads.
    pub fn search_batch<'a, Q>(&'a self, queries: &'a [Q]) -> BatchSearch<'a, K, V, Q>
    where
        &'a Q: Into<VectorRef<'a>>,
        Q: Sync,
    {
        BatchSearch::new(self, queries)
    }

    /// All keys, in the order of the rows' internal numbers.
    pub fn keys(&self) -> Result<Vec<K::Owned>> {
        answer::all_keys::<K>(&*self.snapshot, &self.name, &self.record)
    }

    fn node(&self, key: K::Ref<'_>) -> Result<Option<u32>> {
        let bytes = keys::encode::<K>(key)?;
        self.record.keys.node(&*self.snapshot, &self.name, &bytes, number_of(&self.record.key_type, &bytes))
    }
}

impl<K: Key, V: Value + 'static> Target<K> for Collection<K, V> {
    fn answer(&self, request: &Request<'_, K>) -> Result<SearchResult<K::Owned>> {
        answer::run(&*self.snapshot, &self.name, &self.record, request)
    }
}

impl<K: Key, V: Value + 'static> fmt::Debug for Collection<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection")
            .field("name", &self.name)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
