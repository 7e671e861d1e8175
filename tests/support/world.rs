//! What a database should hold, in plain collections.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::TableDefinition;

use super::edges::Edges;
use super::slot::Slot;

/// An ordinary table, changed in the same transactions as the collections.
pub(crate) const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");
/// Number of the last commit, counted in the same transactions.
pub(crate) const COMMITS: TableDefinition<(), u64> = TableDefinition::new("commits");

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) vector: Vec<f32>,
    pub(crate) payload: String,
}

/// Rows by the number that their key stands for.
pub(crate) type Rows = BTreeMap<u64, Arc<Row>>;

/// Content of the whole database.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct World {
    /// The collections that there may be.
    pub(crate) slots: Arc<[Slot]>,
    /// The collections that there are, by the place of their slot.
    pub(crate) collections: BTreeMap<usize, Rows>,
    /// The graphs that there are, likewise.
    pub(crate) graphs: BTreeMap<usize, Edges>,
    pub(crate) table: BTreeMap<u64, Vec<u8>>,
    pub(crate) commit: u64,
}

impl World {
    pub(crate) fn new(slots: &[Slot]) -> World {
        World {
            slots: slots.into(),
            collections: BTreeMap::new(),
            graphs: BTreeMap::new(),
            table: BTreeMap::new(),
            commit: 0,
        }
    }

    /// Rows of all collections.
    pub(crate) fn rows(&self) -> usize {
        self.collections.values().map(BTreeMap::len).sum()
    }
}
