//! Changing a collection inside the write transaction.

use std::fmt;
use std::marker::PhantomData;

use redb::Value;
use redknot_index::{IndexConfig, VectorRef, Writer, encode};
use redknot_storage::WriteTxn;

use crate::answer;
use crate::catalog::{Record, Values, values_name};
use crate::collection::Payload;
use crate::error::{Error, Result};
#[cfg(feature = "routing")]
use crate::explain::{self, Explanation};
use crate::graph::OpenGraphs;
use crate::key::{Key, number_of};
use crate::keys;
use crate::query::{Request, Search, SearchResult, Target};
use crate::router::Guide;

/// A collection in the write transaction. Reads and searches see what the transaction has changed.
///
/// An operation that fails on its input changes nothing. After one that fails half-way, on the file, the transaction
/// refuses to commit.
pub struct CollectionMut<'t, K: Key, V: Value + 'static> {
    txn: &'t mut WriteTxn,
    name: String,
    record: &'t mut Record,
    graphs: &'t mut OpenGraphs,
    torn: &'t mut bool,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'t, K: Key, V: Value + 'static> CollectionMut<'t, K, V> {
    pub(crate) fn new(
        txn: &'t mut WriteTxn,
        name: &str,
        record: &'t mut Record,
        graphs: &'t mut OpenGraphs,
        torn: &'t mut bool,
    ) -> Result<CollectionMut<'t, K, V>> {
        Ok(CollectionMut { txn, name: name.into(), record, graphs, torn, types: PhantomData })
    }

    /// Number of rows.
    pub fn len(&self) -> u64 {
        u64::from(self.record.index.live())
    }

    /// True where there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Dimension, metric, element type and the parameters of the graph.
    pub fn config(&self) -> IndexConfig {
        self.record.index.config()
    }

    /// Inserts a row and links it into the graph, or replaces the row that has this key. `true` if there was one.
    pub fn insert<'v, 'p>(
        &mut self,
        key: K::Ref<'_>,
        vector: impl Into<VectorRef<'v>>,
        value: V::SelfType<'p>,
    ) -> Result<bool> {
        let bytes = keys::encode::<K>(key)?;
        let row = self.encode(vector.into(), 1)?;
        self.change(|this| this.insert_row(&bytes, &row, &value))
    }

    /// Inserts many rows without linking them: at the speed of the medium, and complete to every search from the
    /// commit on, because what is not linked is scanned. [`crate::Database::build`] links them.
    ///
    /// `vectors` holds the rows one behind the other; `values` is one a key, or empty where the payload type is
    /// `()`. Keys that exist are replaced; of equal keys the last wins.
    pub fn import<'v>(
        &mut self,
        keys: &[K::Ref<'_>],
        vectors: impl Into<VectorRef<'v>>,
        values: &[V::SelfType<'_>],
    ) -> Result<()> {
        let rows = self.encode(vectors.into(), keys.len())?;
        if values.len() != keys.len() && !(values.is_empty() && stores_nothing::<V>()) {
            return Err(Error::WrongCount { what: "values", expected: keys.len(), got: values.len() });
        }
        let encoded = keys.iter().map(|key| keys::encode::<K>(*key)).collect::<Result<Vec<_>>>()?;
        self.change(|this| {
            if !this.import_numbered(&encoded, &rows)? {
                this.import_each(&encoded, &rows)?;
            }
            this.set_values(encoded.iter().map(Vec::as_slice).zip(values))
        })
    }

    /// Removes the row with this key: its links, vector, key and payload, and its edges in every graph. `true` if there was one.
    pub fn remove(&mut self, key: K::Ref<'_>) -> Result<bool> {
        let bytes = keys::encode::<K>(key)?;
        let Some(node) = self.record.keys.node(self.txn, &self.name, &bytes, self.number(&bytes))? else {
            return Ok(false);
        };
        self.change(|this| {
            Writer::open(this.txn, &mut this.record.index)?.delete(node)?;
            this.record.keys.remove(this.txn, &this.name, &bytes, this.number(&bytes), node)?;
            this.graphs.node_removed(this.txn, node)?;
            if !stores_nothing::<V>() {
                let mut table = this.txn.open_table(Values::new(&values_name(&this.name)))?;
                table.remove(bytes.as_slice()).map_err(Error::redb)?;
            }
            Ok(true)
        })
    }

    /// Whether there is a row with this key.
    pub fn contains(&self, key: K::Ref<'_>) -> Result<bool> {
        Ok(answer::node::<K>(self.txn, &self.name, self.record, key)?.is_some())
    }

    /// The payload of the row with this key.
    pub fn get(&self, key: K::Ref<'_>) -> Result<Option<Payload<V>>> {
        answer::payload::<K, V>(self.txn, &self.name, self.record, key)
    }

    /// The vector of the row with this key, as f32 (bits as 0 and 1).
    pub fn vector(&self, key: K::Ref<'_>) -> Result<Option<Vec<f32>>> {
        answer::vector::<K>(self.txn, &self.name, self.record, key)
    }

    /// Searches for the rows nearest to `query`, this transaction's own changes included. Always greedily: the keys of a
    /// router are brought up to date by the commit.
    pub fn search<'a>(&'a self, query: impl Into<VectorRef<'a>>) -> Search<'a, K> {
        Search::new(self, query.into())
    }

    fn insert_row(&mut self, bytes: &[u8], row: &[u8], value: &V::SelfType<'_>) -> Result<bool> {
        let old = self.record.keys.node(self.txn, &self.name, bytes, self.number(bytes))?;
        let node = {
            let mut writer = Writer::open(self.txn, &mut self.record.index)?;
            match old {
                Some(node) => writer.replace(node, row)?,
                None => writer.insert(row)?,
            }
        };
        match old {
            Some(old) if old == node => {}
            Some(old) => {
                self.record.keys.rename(self.txn, &self.name, bytes, self.number(bytes), node)?;
                self.graphs.node_renamed(self.txn, old, node)?;
            }
            None => self.record.keys.add(self.txn, &self.name, bytes, self.number(bytes), node)?,
        }
        self.set_values(std::iter::once((bytes, value)))?;
        Ok(old.is_some())
    }

    /// Runs a change whose input is checked: what fails now fails half-way.
    fn change<T>(&mut self, change: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let result = change(self);
        *self.torn |= result.is_err();
        result
    }

    fn number(&self, key: &[u8]) -> Option<u64> {
        number_of(&self.record.key_type, key)
    }

    /// The bytes of `count` rows, checked.
    fn encode(&self, vectors: VectorRef<'_>, count: usize) -> Result<Vec<u8>> {
        let config = self.config();
        let row_bytes = redknot_index::row_bytes(config.dim, config.element);
        let mut rows = Vec::with_capacity(count * row_bytes);
        if count == 1 {
            encode(vectors, config.dim, config.element, config.metric, row_bytes, &mut rows)?;
            return Ok(rows);
        }
        let mut split = vectors.rows(config.dim);
        for vector in split.by_ref().take(count) {
            encode(vector, config.dim, config.element, config.metric, row_bytes, &mut rows)?;
        }
        let got = rows.len() / row_bytes + split.count();
        if got != count {
            return Err(Error::WrongCount { what: "vectors", expected: count, got });
        }
        Ok(rows)
    }

    /// Keys counted on from the end of the dense array need no look-up. `false` where they are others.
    fn import_numbered(&mut self, encoded: &[Vec<u8>], rows: &[u8]) -> Result<bool> {
        let Some(first) = encoded.first().and_then(|key| self.number(key)) else {
            return Ok(encoded.is_empty());
        };
        let counted_on =
            encoded.iter().enumerate().all(|(i, key)| self.number(key) == first.checked_add(i as u64));
        let Some(width) = K::width().filter(|_| counted_on) else { return Ok(false) };
        let first_node = self.record.index.nodes();
        let flat = encoded.concat();
        if !self.record.keys.add_numbers(self.txn, first, first_node, &flat, width)? {
            return Ok(false);
        }
        Writer::open(self.txn, &mut self.record.index)?.append_unlinked(rows)?;
        Ok(true)
    }

    fn import_each(&mut self, encoded: &[Vec<u8>], rows: &[u8]) -> Result<()> {
        let row_bytes = self.config().row_bytes();
        for (bytes, row) in encoded.iter().zip(rows.chunks_exact(row_bytes)) {
            let number = self.number(bytes);
            let old = self.record.keys.node(self.txn, &self.name, bytes, number)?;
            let mut writer = Writer::open(self.txn, &mut self.record.index)?;
            if let Some(node) = old {
                writer.delete(node)?;
            }
            let node = writer.append_unlinked(row)?.start;
            match old {
                Some(old) => {
                    self.record.keys.rename(self.txn, &self.name, bytes, number, node)?;
                    self.graphs.node_renamed(self.txn, old, node)?;
                }
                None => self.record.keys.add(self.txn, &self.name, bytes, number, node)?,
            }
        }
        Ok(())
    }

    fn set_values<'a, 'p: 'a>(
        &mut self,
        pairs: impl Iterator<Item = (&'a [u8], &'a V::SelfType<'p>)>,
    ) -> Result<()> {
        if stores_nothing::<V>() {
            return Ok(());
        }
        let mut table = self.txn.open_table(Values::new(&values_name(&self.name)))?;
        for (key, value) in pairs {
            table.insert(key, V::as_bytes(value).as_ref()).map_err(Error::redb)?;
        }
        Ok(())
    }
}

/// Payloads of a type like `()` take no bytes and no entry.
pub(crate) fn stores_nothing<V: Value>() -> bool {
    V::fixed_width() == Some(0)
}

impl<K: Key, V: Value + 'static> Target<K> for CollectionMut<'_, K, V> {
    fn answer(&self, request: &Request<'_, K>) -> Result<SearchResult<K::Owned>> {
        answer::run(self.txn, &self.name, self.record, &Guide::default(), request)
    }

    #[cfg(feature = "routing")]
    fn explain(&self, request: &Request<'_, K>) -> Result<Explanation<K::Owned>> {
        let explained = explain::run(self.txn, &self.name, self.record, &Guide::default(), request)?;
        Ok(Explanation { unrouted: Some(explain::Unrouted::Writing), ..explained })
    }
}

impl<K: Key, V: Value + 'static> fmt::Debug for CollectionMut<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CollectionMut")
            .field("name", &self.name)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
