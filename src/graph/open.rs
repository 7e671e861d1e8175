//! The graphs of a collection while a transaction changes it.

use std::collections::BTreeMap;

use redknot_storage::WriteTxn;

use super::edit::Editor;
use super::options::GraphOptions;
use super::record::GraphRecord;
use super::table;
use crate::error::{Error, Result};

/// The graphs of one collection of an open transaction, by name.
#[derive(Debug, Default)]
pub(crate) struct OpenGraphs(BTreeMap<String, OpenGraph>);

#[derive(Debug)]
struct OpenGraph {
    record: GraphRecord,
    /// What the table says.
    written: GraphRecord,
}

impl OpenGraphs {
    pub(crate) fn load(txn: &WriteTxn, collection: &str) -> Result<OpenGraphs> {
        let open =
            |(name, record): (String, GraphRecord)| (name, OpenGraph { written: record.clone(), record });
        Ok(OpenGraphs(table::all_in(txn, collection)?.into_iter().map(open).collect()))
    }

    pub(crate) fn create(
        &mut self,
        txn: &mut WriteTxn,
        collection: &str,
        name: &str,
        options: GraphOptions,
    ) -> Result<()> {
        crate::catalog::check_name(name)?;
        if self.0.contains_key(name) {
            return Err(Error::GraphExists { collection: collection.into(), name: name.into() });
        }
        let record = GraphRecord::create(txn, options)?;
        table::write(txn, collection, name, &record)?;
        self.0.insert(name.into(), OpenGraph { written: record.clone(), record });
        Ok(())
    }

    pub(crate) fn get_mut(&mut self, collection: &str, name: &str) -> Result<&mut GraphRecord> {
        let unknown = table::unknown(collection, name, self.0.keys());
        self.0.get_mut(name).map(|open| &mut open.record).ok_or(unknown)
    }

    /// Removes a graph; `false` where there is none of that name.
    pub(crate) fn delete(&mut self, txn: &mut WriteTxn, collection: &str, name: &str) -> Result<bool> {
        match self.0.remove(name) {
            Some(open) => table::remove(txn, collection, name, &open.record).map(|()| true),
            None => Ok(false),
        }
    }

    /// A row has gone, and its edges with it.
    pub(crate) fn node_removed(&mut self, txn: &mut WriteTxn, node: u32) -> Result<()> {
        self.0
            .values_mut()
            .try_for_each(|open| Editor { txn, record: &mut open.record }.remove_node(node).map(drop))
    }

    /// A row has another number; the new one had no edges.
    pub(crate) fn node_renamed(&mut self, txn: &mut WriteTxn, old: u32, new: u32) -> Result<()> {
        self.0.values_mut().try_for_each(|open| Editor { txn, record: &mut open.record }.rename(old, new))
    }

    /// Writes the records that have changed.
    pub(crate) fn write(&mut self, txn: &WriteTxn, collection: &str) -> Result<()> {
        for (name, open) in &mut self.0 {
            if open.record != open.written {
                table::write(txn, collection, name, &open.record)?;
                open.written = open.record.clone();
            }
        }
        Ok(())
    }
}
