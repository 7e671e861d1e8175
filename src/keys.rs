//! Which key a node has, and which node a key names.
//!
//! - Node → key: an array with one row a node; rows of one width for keys of one width, CSR rows of bytes otherwise.
//! - Key → node: a tree; for integer keys counted up from zero, an array indexed by the key, which takes 4 bytes a
//!   key where a tree takes 24 and is filled at the speed of memory.

use redb::{ReadableTable, TableDefinition};
use redknot_index::Permutation;
use redknot_storage::{ArrayId, ArraySpec, Csr, Kind, PageSize, Rows, Snapshot, View, WriteTxn};

use crate::catalog::Values;
use crate::error::{Error, Result};
use crate::key::{Key, MAX_KEY_BYTES};

/// Entry of the dense array for a number that names no node.
const NONE: u32 = u32::MAX;

/// The two maps of a collection, as its record keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyMaps {
    /// Node → key.
    pub(crate) of_nodes: ArrayId,
    /// Number → node, for the numbers below the length of the array.
    pub(crate) dense: ArrayId,
    /// Keys in the tree.
    pub(crate) in_tree: u64,
}

/// Node → key, to be read.
pub(crate) enum NodeKeys<'v> {
    /// Keys of one width, which rows are padded to.
    Fixed { rows: Rows<'v>, width: usize },
    /// Keys of any length.
    Varying(Csr<'v>),
}

impl<'v> NodeKeys<'v> {
    /// The key of `node`; empty where it has none.
    pub(crate) fn get(&self, node: u32) -> Result<&'v [u8]> {
        Ok(match self {
            NodeKeys::Fixed { rows, width } => &rows.get(node)?[..*width],
            NodeKeys::Varying(rows) => rows.get(node)?,
        })
    }

    /// Fetches the keys of several nodes into the cache, all at once.
    pub(crate) fn prefetch(&self, nodes: impl Iterator<Item = u32> + Clone) {
        match self {
            NodeKeys::Fixed { rows, .. } => nodes.for_each(|node| rows.prefetch(node)),
            NodeKeys::Varying(rows) => {
                nodes.clone().for_each(|node| rows.prefetch_ends(node));
                nodes.for_each(|node| rows.prefetch(node));
            }
        }
    }
}

pub(crate) type Tree<'a> = TableDefinition<'a, &'static [u8], u32>;

/// Name of the tree of collection `name`.
pub(crate) fn tree_name(name: &str) -> String {
    format!("{}keys.{name}", redknot_storage::RESERVED_PREFIX)
}

/// Bytes of a row of the node → key array for keys of `width` bytes.
fn row_bytes(width: usize) -> usize {
    width.next_multiple_of(4)
}

/// The bytes of `key`, refused where it is empty or too long.
pub(crate) fn encode<K: Key>(key: K::Ref<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(16);
    K::encode(key, &mut bytes);
    match bytes.len() {
        0 => Err(Error::EmptyKey),
        got if got > MAX_KEY_BYTES => Err(Error::KeyTooLong { got, limit: MAX_KEY_BYTES }),
        _ => Ok(bytes),
    }
}

/// A view in which the tree of keys and the payloads can be read too.
pub(crate) trait KeyView: View {
    /// The node of `key` in the tree of collection `name`.
    fn in_tree(&self, name: &str, key: &[u8]) -> Result<Option<u32>>;

    /// The payload of `key` in the table of them.
    fn value(&self, values: Values<'_>, key: &[u8]) -> Result<Option<Vec<u8>>>;
}

impl KeyView for Snapshot {
    fn in_tree(&self, name: &str, key: &[u8]) -> Result<Option<u32>> {
        let node = self.open_table(Tree::new(&tree_name(name)))?.get(key).map_err(Error::redb)?;
        Ok(node.map(|node| node.value()))
    }

    fn value(&self, values: Values<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let value = self.open_table(values)?.get(key).map_err(Error::redb)?;
        Ok(value.map(|value| value.value().to_vec()))
    }
}

impl KeyView for WriteTxn {
    fn in_tree(&self, name: &str, key: &[u8]) -> Result<Option<u32>> {
        let table = self.open_table(Tree::new(&tree_name(name)))?;
        let node = table.get(key).map_err(Error::redb)?;
        Ok(node.map(|node| node.value()))
    }

    fn value(&self, values: Values<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let table = self.open_table(values)?;
        let value = table.get(key).map_err(Error::redb)?;
        Ok(value.map(|value| value.value().to_vec()))
    }
}

impl KeyMaps {
    pub(crate) fn create(txn: &mut WriteTxn, width: Option<usize>) -> Result<KeyMaps> {
        let of_nodes = match width {
            Some(width) => ArraySpec::rows(row_bytes(width), PageSize::KIB_4)?,
            None => ArraySpec::csr(1, 64, PageSize::KIB_4)?,
        };
        Ok(KeyMaps {
            of_nodes: txn.create_array(of_nodes)?,
            dense: txn.create_array(ArraySpec::rows(4, PageSize::KIB_4)?)?,
            in_tree: 0,
        })
    }

    pub(crate) fn delete(self, txn: &mut WriteTxn, name: &str) -> Result<()> {
        txn.drop_array(self.of_nodes)?;
        txn.drop_array(self.dense)?;
        txn.delete_table(Tree::new(&tree_name(name)))?;
        Ok(())
    }

    /// The node that `key` names. `number` is the number that the key is, if it is one.
    pub(crate) fn node(
        &self,
        view: &impl KeyView,
        name: &str,
        key: &[u8],
        number: Option<u64>,
    ) -> Result<Option<u32>> {
        if let Some(number) = number {
            let dense = view.rows(self.dense)?;
            if number < u64::from(dense.len()) {
                let node = word(dense.get(number as u32)?);
                return Ok((node != NONE).then_some(node));
            }
        }
        if self.in_tree == 0 { Ok(None) } else { view.in_tree(name, key) }
    }

    /// The key of `node`, in `width` bytes or as many as it has.
    pub(crate) fn key<'v>(&self, view: &'v impl View, node: u32, width: Option<usize>) -> Result<&'v [u8]> {
        self.of_nodes(view, width)?.get(node)
    }

    /// The keys of all nodes, in `width` bytes or as many as they have.
    pub(crate) fn of_nodes<'v>(&self, view: &'v impl View, width: Option<usize>) -> Result<NodeKeys<'v>> {
        Ok(match width {
            Some(width) => NodeKeys::Fixed { rows: view.rows(self.of_nodes)?, width },
            None => NodeKeys::Varying(view.csr(self.of_nodes)?),
        })
    }

    /// Lets `key`, which names no node yet, name `node`, which is at most one behind the last that has a key.
    pub(crate) fn add(
        &mut self,
        txn: &mut WriteTxn,
        name: &str,
        key: &[u8],
        number: Option<u64>,
        node: u32,
    ) -> Result<()> {
        self.set_key_of_node(txn, node, key)?;
        let dense = txn.array(self.dense)?.rows;
        match number {
            Some(number) if number < u64::from(dense) => {
                txn.set_row(self.dense, number as u32, &node.to_le_bytes())?;
            }
            Some(number) if number == u64::from(dense) && dense < NONE => {
                txn.push_rows(self.dense, &node.to_le_bytes())?;
            }
            _ => {
                txn.open_table(Tree::new(&tree_name(name)))?.insert(key, node).map_err(Error::redb)?;
                self.in_tree += 1;
            }
        }
        Ok(())
    }

    /// Lets `key`, which names a node already, name `node` instead.
    pub(crate) fn rename(
        &mut self,
        txn: &mut WriteTxn,
        name: &str,
        key: &[u8],
        number: Option<u64>,
        node: u32,
    ) -> Result<()> {
        let old = self.node(txn, name, key, number)?;
        if let Some(old) = old {
            self.set_key_of_node(txn, old, &[])?;
        }
        self.set_key_of_node(txn, node, key)?;
        match number {
            Some(number) if number < u64::from(txn.array(self.dense)?.rows) => {
                txn.set_row(self.dense, number as u32, &node.to_le_bytes())?;
            }
            _ => {
                txn.open_table(Tree::new(&tree_name(name)))?.insert(key, node).map_err(Error::redb)?;
            }
        }
        Ok(())
    }

    /// Lets the numbers from the end of the dense array name the nodes from `first` on, `count` of each; only
    /// where they name nothing yet. `false` changes nothing: the keys have to be added one by one.
    pub(crate) fn add_numbers(
        &mut self,
        txn: &mut WriteTxn,
        first_number: u64,
        first_node: u32,
        keys: &[u8],
        width: usize,
    ) -> Result<bool> {
        let count = (keys.len() / width) as u32;
        let nodes = txn.array(self.of_nodes)?.rows;
        let dense = txn.array(self.dense)?.rows;
        if self.in_tree != 0 || first_number != u64::from(dense) || nodes != first_node {
            return Ok(false);
        }
        if dense.checked_add(count).is_none_or(|end| end == NONE) {
            return Ok(false);
        }
        let padded = row_bytes(width);
        if padded == width {
            txn.push_rows(self.of_nodes, keys)?;
        } else {
            let mut rows = vec![0; padded * count as usize];
            for (row, key) in rows.chunks_exact_mut(padded).zip(keys.chunks_exact(width)) {
                row[..width].copy_from_slice(key);
            }
            txn.push_rows(self.of_nodes, &rows)?;
        }
        let numbers: Vec<u8> = (first_node..first_node + count).flat_map(u32::to_le_bytes).collect();
        txn.push_rows(self.dense, &numbers)?;
        Ok(true)
    }

    /// Lets `key`, which named `node`, name nothing.
    pub(crate) fn remove(
        &mut self,
        txn: &mut WriteTxn,
        name: &str,
        key: &[u8],
        number: Option<u64>,
        node: u32,
    ) -> Result<()> {
        self.set_key_of_node(txn, node, &[])?;
        match number {
            Some(number) if number < u64::from(txn.array(self.dense)?.rows) => {
                txn.set_row(self.dense, number as u32, &NONE.to_le_bytes())?;
            }
            _ => {
                txn.open_table(Tree::new(&tree_name(name)))?.remove(key).map_err(Error::redb)?;
                self.in_tree -= 1;
            }
        }
        Ok(())
    }

    /// Renames every node after a build gave them new numbers; numbers from `nodes` on are not in use.
    pub(crate) fn renumber(
        &mut self,
        txn: &mut WriteTxn,
        name: &str,
        permutation: &Permutation,
        nodes: u32,
        width: Option<usize>,
    ) -> Result<()> {
        let renamed = |old: u32| permutation.new_id(old).to_le_bytes();
        // Keys, in the order of the new numbers, into an array of their own.
        let before = txn.array(self.of_nodes)?;
        let of_nodes = txn.create_array(before.spec)?;
        for node in 0..nodes {
            let key = self.key(txn, permutation.old_id(node), width)?.to_vec();
            match before.spec.kind() {
                Kind::Csr => {
                    txn.push_csr_row(of_nodes, &key)?;
                }
                Kind::Rows => {
                    let mut row = key;
                    row.resize(before.spec.unit_bytes(), 0);
                    txn.push_rows(of_nodes, &row)?;
                }
            }
        }
        txn.drop_array(self.of_nodes)?;
        self.of_nodes = of_nodes;
        for number in 0..txn.array(self.dense)?.rows {
            let row = txn.row_mut(self.dense, number)?;
            let old = word(row);
            if old != NONE {
                row.copy_from_slice(&renamed(old));
            }
        }
        if self.in_tree > 0 {
            let mut tree = txn.open_table(Tree::new(&tree_name(name)))?;
            let mut pairs = Vec::with_capacity(self.in_tree as usize);
            for pair in tree.iter().map_err(Error::redb)? {
                let (key, node) = pair.map_err(Error::redb)?;
                pairs.push((key.value().to_vec(), permutation.new_id(node.value())));
            }
            for (key, node) in pairs {
                tree.insert(key.as_slice(), node).map_err(Error::redb)?;
            }
        }
        Ok(())
    }

    /// Writes the key of a node; an empty one clears it.
    fn set_key_of_node(&self, txn: &mut WriteTxn, node: u32, key: &[u8]) -> Result<()> {
        let info = txn.array(self.of_nodes)?;
        if node >= info.rows {
            txn.set_len(self.of_nodes, node + 1)?;
        }
        match info.spec.kind() {
            Kind::Csr => txn.set_csr_row(self.of_nodes, node, key)?,
            Kind::Rows => {
                let row = txn.row_mut(self.of_nodes, node)?;
                row.fill(0);
                row[..key.len()].copy_from_slice(key);
            }
        }
        Ok(())
    }
}

fn word(row: &[u8]) -> u32 {
    u32::from_le_bytes([row[0], row[1], row[2], row[3]])
}
