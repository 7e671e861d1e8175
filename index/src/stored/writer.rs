//! Changing an index inside a write transaction.

use std::ops::Range;

use redknot_storage::{View, WriteTxn};

use super::UNLINKED;
use crate::record::LEVELS_PER_ROW;
use crate::search::MAX_ROWS;
use crate::{Error, IndexRecord, Kernel};

/// An index in an open transaction, for changing. The caller writes the record back before it commits.
///
/// After an error other than one about the arguments the transaction must not be committed.
pub struct Writer<'t> {
    pub(crate) txn: &'t mut WriteTxn,
    pub(crate) record: &'t mut IndexRecord,
    pub(crate) kernel: Kernel,
}

impl<'t> Writer<'t> {
    /// Opens the index that `record` describes.
    pub fn open(txn: &'t mut WriteTxn, record: &'t mut IndexRecord) -> Result<Writer<'t>, Error> {
        let kernel = Kernel::new(record.config.metric, record.config.element)?;
        Ok(Writer { txn, record, kernel })
    }

    /// Appends rows without linking them, one behind the other in `rows`, and returns their numbers. Searches scan
    /// them until a build links them.
    pub fn append_unlinked(&mut self, rows: &[u8]) -> Result<Range<u32>, Error> {
        let row_bytes = self.record.config.row_bytes();
        if !rows.len().is_multiple_of(row_bytes) {
            return Err(Error::RowLength { expected: row_bytes, got: rows.len() });
        }
        let first = self.record.nodes;
        let end = self.room_for(rows.len() / row_bytes)?;
        self.txn.push_rows(self.record.arrays.vectors, rows)?;
        self.record.unlinked.insert_range(first..end);
        self.record.nodes = end;
        self.record.live += end - first;
        Ok(first..end)
    }

    /// The number of nodes once there are `more`.
    pub(crate) fn room_for(&self, more: usize) -> Result<u32, Error> {
        u32::try_from(more)
            .ok()
            .and_then(|more| self.record.nodes.checked_add(more))
            .filter(|end| *end <= MAX_ROWS)
            .ok_or(Error::TooManyRows { got: self.record.nodes.saturating_add(more as u32), max: MAX_ROWS })
    }

    /// Makes the arrays of the graph reach all nodes below `end`. Imports leave them short: what they do not reach
    /// is unlinked.
    pub(crate) fn extend_graph(&mut self, end: u32) -> Result<(), Error> {
        let arrays = self.record.arrays;
        for array in [arrays.links, arrays.upper] {
            if self.txn.array(array)?.rows < end {
                self.txn.set_len(array, end)?;
            }
        }
        let (have, need) = (self.txn.array(arrays.levels)?.rows, end.div_ceil(LEVELS_PER_ROW));
        for _ in have..need {
            self.txn.push_rows(arrays.levels, &[UNLINKED; LEVELS_PER_ROW as usize])?;
        }
        Ok(())
    }

    /// Sets the level code of a node, which the arrays of the graph reach.
    pub(crate) fn set_level(&mut self, node: u32, code: u8) -> Result<(), Error> {
        let row = self.txn.row_mut(self.record.arrays.levels, node / LEVELS_PER_ROW)?;
        row[(node % LEVELS_PER_ROW) as usize] = code;
        Ok(())
    }
}

impl std::fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("record", &self.record).finish_non_exhaustive()
    }
}
