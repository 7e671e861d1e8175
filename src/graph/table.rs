//! The table of graphs, and what concerns all graphs of a collection.

use std::collections::BTreeMap;

use redb::{AccessGuard, ReadableTable, StorageError, TableDefinition};
use redknot_index::Permutation;
use redknot_storage::{Snapshot, WriteTxn};

use super::edit::Editor;
use super::record::GraphRecord;
use crate::catalog::is_missing;
use crate::error::{Error, Result};

const GRAPHS: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("redknot.graphs");

type Pair<'a> = std::result::Result<
    (AccessGuard<'a, (&'static str, &'static str)>, AccessGuard<'a, &'static [u8]>),
    StorageError,
>;

/// The graphs of a collection in an open transaction, by name.
pub(crate) fn all_in(txn: &WriteTxn, collection: &str) -> Result<BTreeMap<String, GraphRecord>> {
    let table = txn.open_table(GRAPHS)?;
    records(collection, table.range((collection, "")..).map_err(Error::redb)?)
}

/// The same in a committed state.
pub(crate) fn all(snapshot: &Snapshot, collection: &str) -> Result<BTreeMap<String, GraphRecord>> {
    let table = match snapshot.open_table(GRAPHS) {
        Ok(table) => table,
        Err(error) if is_missing(&error) => {
            return Ok(BTreeMap::new());
        }
        Err(error) => return Err(error.into()),
    };
    records(collection, table.range((collection, "")..).map_err(Error::redb)?)
}

fn records<'a>(
    collection: &str,
    pairs: impl Iterator<Item = Pair<'a>>,
) -> Result<BTreeMap<String, GraphRecord>> {
    let mut records = BTreeMap::new();
    for pair in pairs {
        let (key, bytes) = pair.map_err(Error::redb)?;
        let (of, name) = key.value();
        if of != collection {
            break;
        }
        records.insert(name.to_owned(), GraphRecord::from_bytes(of, name, bytes.value())?);
    }
    Ok(records)
}

/// One graph of a committed state.
pub(crate) fn existing(snapshot: &Snapshot, collection: &str, name: &str) -> Result<GraphRecord> {
    let mut graphs = all(snapshot, collection)?;
    graphs.remove(name).ok_or_else(|| unknown(collection, name, graphs.keys()))
}

pub(crate) fn unknown<'a>(collection: &str, name: &str, known: impl Iterator<Item = &'a String>) -> Error {
    Error::UnknownGraph { collection: collection.into(), name: name.into(), known: known.cloned().collect() }
}

/// The collections that graphs are said to be of.
pub(crate) fn collections(snapshot: &Snapshot) -> Result<Vec<(String, String)>> {
    let table = match snapshot.open_table(GRAPHS) {
        Ok(table) => table,
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names = Vec::new();
    for pair in table.iter().map_err(Error::redb)? {
        let (key, _) = pair.map_err(Error::redb)?;
        let (collection, name) = key.value();
        names.push((collection.to_owned(), name.to_owned()));
    }
    Ok(names)
}

pub(crate) fn write(txn: &WriteTxn, collection: &str, name: &str, record: &GraphRecord) -> Result<()> {
    let bytes = record.to_bytes();
    txn.open_table(GRAPHS)?.insert((collection, name), bytes.as_slice()).map_err(Error::redb)?;
    Ok(())
}

/// Removes a graph with its edges.
pub(crate) fn remove(txn: &mut WriteTxn, collection: &str, name: &str, record: &GraphRecord) -> Result<()> {
    txn.open_table(GRAPHS)?.remove((collection, name)).map_err(Error::redb)?;
    record.drop_arrays(txn)
}

/// Removes all graphs of a collection.
pub(crate) fn drop_all(txn: &mut WriteTxn, collection: &str) -> Result<()> {
    for (name, record) in all_in(txn, collection)? {
        remove(txn, collection, &name, &record)?;
    }
    Ok(())
}

/// Gives the nodes of all graphs of a collection the numbers that a build gave its rows; `nodes` are in use.
pub(crate) fn renumber_all(
    txn: &mut WriteTxn,
    collection: &str,
    permutation: &Permutation,
    nodes: u32,
) -> Result<()> {
    for (name, mut record) in all_in(txn, collection)? {
        Editor { txn, record: &mut record }.renumber(permutation, nodes)?;
        write(txn, collection, &name, &record)?;
    }
    Ok(())
}
