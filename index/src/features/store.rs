//! Writing features into arrays of the file.

use redknot_storage::{ArraySpec, PageSize, View, WriteTxn};
use roaring::RoaringBitmap;

use super::row::{self, EDGE_BYTES, EDGE_ITEM_BYTES, NODE_BYTES};
use super::{FeatureRecord, Features};
use crate::Error;

/// Rows that are written between two looks at how much has changed.
const ROWS_PER_ROUND: u32 = 1024;
/// Rows of edge features to a block; links of a node, 20 or so, have 16 bytes each.
const EDGE_ROWS_PER_BLOCK: std::ops::RangeInclusive<u32> = 1..=64;

impl Features {
    /// Writes all features in one transaction. The caller writes the record, and drops the arrays of the one that it
    /// replaces ([`FeatureRecord::drop_arrays`]).
    pub fn store(&self, txn: &mut WriteTxn) -> Result<FeatureRecord, Error> {
        let record = self.create(txn)?;
        self.append(txn, &record, usize::MAX)?;
        Ok(record)
    }

    /// Creates empty arrays, to be filled by [`Features::append`] in several transactions where one would hold too much
    /// in memory. Until the record is written, nothing in the file names the arrays but whoever keeps their numbers.
    pub fn create(&self, txn: &mut WriteTxn) -> Result<FeatureRecord, Error> {
        Ok(FeatureRecord {
            nodes: txn.create_array(ArraySpec::rows(NODE_BYTES, PageSize::KIB_4)?)?,
            edges: txn.create_array(ArraySpec::csr(
                EDGE_ITEM_BYTES,
                self.edge_rows_per_block(),
                PageSize::KIB_4,
            )?)?,
            links: self.links,
            epoch: self.epoch,
            betweenness_epoch: self.epoch,
            precision: self.precision,
            stale_nodes: 0,
            pending: RoaringBitmap::new(),
        })
    }

    /// Goes on writing where the arrays of `record` end, until the transaction holds `dirty_bytes` of changed blocks;
    /// says whether everything is written.
    pub fn append(
        &self,
        txn: &mut WriteTxn,
        record: &FeatureRecord,
        dirty_bytes: usize,
    ) -> Result<bool, Error> {
        let total = self.nodes.len() as u32;
        let mut bytes = Vec::new();
        let mut first = txn.array(record.nodes)?.rows;
        while first < total {
            let end = total.min(first + ROWS_PER_ROUND);
            for node in first..end {
                bytes.clear();
                row::encode_edges(self.edges(node), &mut bytes);
                txn.push_csr_row(record.edges, &bytes)?;
            }
            bytes.clear();
            for node in &self.nodes[first as usize..end as usize] {
                row::encode_node(node, &mut bytes);
            }
            txn.push_rows(record.nodes, &bytes)?;
            first = end;
            if txn.dirty_bytes() >= dirty_bytes {
                break;
            }
        }
        Ok(first >= total)
    }

    /// The most rows to a block that nearly every block has room for.
    fn edge_rows_per_block(&self) -> u32 {
        let fits = |rows: u32| {
            let room = PageSize::KIB_4.payload_bytes() - (2 * rows as usize).next_multiple_of(8);
            let starts = self.offsets.iter().step_by(rows as usize);
            let ends = starts.clone().skip(1).chain(self.offsets.last());
            let blocks = starts.len();
            let too_full = starts.zip(ends).filter(|(start, end)| (*end - *start) * EDGE_BYTES > room);
            too_full.count() * 50 <= blocks
        };
        let (least, most) = (*EDGE_ROWS_PER_BLOCK.start(), *EDGE_ROWS_PER_BLOCK.end());
        (least..=most).rev().find(|rows| fits(*rows)).unwrap_or(least)
    }
}

impl FeatureRecord {
    /// Drops the arrays; the caller removes the record in the same transaction.
    pub fn drop_arrays(&self, txn: &mut WriteTxn) -> Result<(), Error> {
        for array in self.arrays() {
            txn.drop_array(array)?;
        }
        Ok(())
    }
}
