//! What a file says of one index.

use redknot_storage::{ArrayId, ArraySpec, PageSize, WriteTxn};
use roaring::RoaringBitmap;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::mem_graph::M_RANGE;
use crate::{Element, Error, Kernel, MAX_DIM, Metric, row_bytes};

/// Rows of `upper` to a block: nearly all of them are empty.
const UPPER_ROWS_PER_BLOCK: u32 = 512;
/// Rows of `links` to a block until a build has seen how long they are.
const LINK_ROWS_PER_BLOCK: u32 = 32;
/// Levels are bytes, packed into rows of this many.
pub(crate) const LEVELS_PER_ROW: u32 = 64;
/// No node, where an entry point is named.
pub(crate) const NO_NODE: u32 = u32::MAX;
const FORMAT: u16 = 2;

/// What an index is, fixed when it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexConfig {
    /// Coordinates of a vector; 1 to 65,536.
    pub dim: usize,
    /// What near means.
    pub metric: Metric,
    /// What coordinates are stored as.
    pub element: Element,
    /// Links of a node in each upper layer, half of those in the base layer; 2 to 128.
    pub m: usize,
    /// Candidates that are looked at to link a node; at least 1.
    pub ef_construction: usize,
    /// Seed of the levels that nodes are drawn to.
    pub seed: u64,
}

/// Largest `ef_construction`.
const MAX_EF_CONSTRUCTION: usize = 1 << 16;

impl IndexConfig {
    /// Fails where no index can be as the configuration says.
    pub fn check(&self) -> Result<(), Error> {
        let within = |name, got: usize, min: usize, max: usize| {
            if (min..=max).contains(&got) {
                return Ok(());
            }
            Err(Error::Parameter { name, got: got as u64, min: min as u64, max: max as u64 })
        };
        within("dim", self.dim, 1, MAX_DIM)?;
        within("m", self.m, *M_RANGE.start(), *M_RANGE.end())?;
        within("ef_construction", self.ef_construction, 1, MAX_EF_CONSTRUCTION)?;
        Kernel::new(self.metric, self.element)?;
        Ok(())
    }

    /// The instruction set that distances are computed with on this machine; `None` where the metric cannot be
    /// computed over the element type.
    pub fn isa(&self) -> Option<crate::Isa> {
        Kernel::new(self.metric, self.element).ok().map(|kernel| kernel.isa())
    }

    /// Bytes of a stored vector, padding included.
    pub fn row_bytes(&self) -> usize {
        row_bytes(self.dim, self.element)
    }
}

/// The arrays of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrays {
    pub(crate) vectors: ArrayId,
    /// Base layer: CSR of u32.
    pub(crate) links: ArrayId,
    /// Layers above: CSR of u32, for each of them a count and the links.
    pub(crate) upper: ArrayId,
    /// One byte a node.
    pub(crate) levels: ArrayId,
}

/// The state of an index: which arrays hold it, where searches start, what is not linked, what is free.
///
/// Kept by whoever owns the file's catalogue, and written there in the transaction that changed the index.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexRecord {
    pub(crate) config: IndexConfig,
    pub(crate) arrays: Arrays,
    /// Where searches start, `None` while nothing is linked.
    pub(crate) entry: Option<u32>,
    pub(crate) top_level: u8,
    /// Nodes in use or free: the rows of `vectors`.
    pub(crate) nodes: u32,
    /// Nodes in use.
    pub(crate) live: u32,
    /// No node below this one is free.
    pub(crate) free_from: u32,
    /// Nodes that are in use and not in the graph.
    pub(crate) unlinked: RoaringBitmap,
    /// Rises with every change of the graph.
    pub(crate) epoch: u64,
    /// Changes since it was last proved that every linked node can be reached; see `stored::connect`.
    pub(crate) unchecked: u32,
    /// Rows added or removed since all fragile rows were searched for; see `stored::findable`.
    pub(crate) unsearched: u32,
    /// What the open transaction changed. Not stored.
    pub(crate) changes: Changes,
    /// Where a build that was interrupted left its links.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Arrays that a build is writing, or was when it was interrupted.
    pub(crate) staging: Vec<ArrayId>,
}

/// What an open transaction changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Changes {
    /// Nodes in use that were added, or lost a link to them, in the base layer: searches may no longer find them.
    pub(crate) suspects: RoaringBitmap,
    /// Rows that were added or removed.
    pub(crate) rows: u32,
    /// Nodes whose links in the base layer changed; some may be free by now.
    pub(crate) relinked: RoaringBitmap,
}

/// A build under way, as it was last saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) links: ArrayId,
    pub(crate) upper: ArrayId,
    pub(crate) levels: ArrayId,
    pub(crate) entry: u32,
    /// Epoch of the index when the checkpoint was taken; it is of no use once the index has changed.
    pub(crate) epoch: u64,
}

/// Bytes of a record (docs/FORMAT.md, "Index"); the staged arrays and the bitmap of unlinked nodes follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    format: U16,
    metric: u8,
    element: u8,
    dim: U32,
    m: U32,
    ef_construction: U32,
    seed: U64,
    vectors: U64,
    links: U64,
    upper: U64,
    levels: U64,
    entry: U32,
    top_level: U32,
    nodes: U32,
    live: U32,
    free_from: U32,
    has_checkpoint: U32,
    unchecked: U32,
    unsearched: U32,
    epoch: U64,
    checkpoint_links: U64,
    checkpoint_upper: U64,
    checkpoint_levels: U64,
    checkpoint_entry: U32,
    staging: U32,
    checkpoint_epoch: U64,
}

impl IndexRecord {
    /// Creates the arrays of an empty index.
    pub fn create(txn: &mut WriteTxn, config: &IndexConfig) -> Result<IndexRecord, Error> {
        config.check()?;
        let vectors = txn.create_array(ArraySpec::rows(config.row_bytes(), PageSize::KIB_64)?)?;
        let (links, upper, levels) = IndexRecord::create_graph_arrays(txn, LINK_ROWS_PER_BLOCK)?;
        Ok(IndexRecord {
            config: *config,
            arrays: Arrays { vectors, links, upper, levels },
            entry: None,
            top_level: 0,
            nodes: 0,
            live: 0,
            free_from: 0,
            unlinked: RoaringBitmap::new(),
            epoch: 0,
            unchecked: 0,
            unsearched: 0,
            changes: Changes::default(),
            checkpoint: None,
            staging: Vec::new(),
        })
    }

    /// Empty arrays of links, upper links and levels.
    pub(crate) fn create_graph_arrays(
        txn: &mut WriteTxn,
        link_rows_per_block: u32,
    ) -> Result<(ArrayId, ArrayId, ArrayId), Error> {
        Ok((
            txn.create_array(ArraySpec::csr(4, link_rows_per_block, PageSize::KIB_4)?)?,
            txn.create_array(ArraySpec::csr(4, UPPER_ROWS_PER_BLOCK, PageSize::KIB_4)?)?,
            txn.create_array(ArraySpec::rows(LEVELS_PER_ROW as usize, PageSize::KIB_4)?)?,
        ))
    }

    /// Dimension, metric, element type and the parameters of the graph.
    pub fn config(&self) -> IndexConfig {
        self.config
    }

    /// Nodes in use: rows that a search may return.
    pub fn live(&self) -> u32 {
        self.live
    }

    /// Nodes in use or free; node numbers are below it.
    pub fn nodes(&self) -> u32 {
        self.nodes
    }

    /// Nodes that are in use and not in the graph: every search looks at each of them.
    pub fn unlinked(&self) -> u32 {
        self.unlinked.len() as u32
    }

    /// Highest layer of the graph.
    pub fn top_level(&self) -> u8 {
        self.top_level
    }

    /// Rises with every change of the graph.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The array of vectors.
    pub fn vectors(&self) -> ArrayId {
        self.arrays.vectors
    }

    /// The array of base-layer links, which unlinked nodes at the end may lie beyond.
    pub fn links(&self) -> ArrayId {
        self.arrays.links
    }

    /// All arrays of the index, those of an interrupted build included.
    pub fn arrays(&self) -> Vec<ArrayId> {
        let Arrays { vectors, links, upper, levels } = self.arrays;
        let mut arrays = vec![vectors, links, upper, levels];
        if let Some(checkpoint) = &self.checkpoint {
            arrays.extend([checkpoint.links, checkpoint.upper, checkpoint.levels]);
        }
        arrays.extend(&self.staging);
        arrays
    }

    /// Nodes whose links in the base layer changed in the open transaction since this was last called, added ones among
    /// them. A node may have been deleted since.
    pub fn take_relinked(&mut self) -> impl Iterator<Item = u32> + use<> {
        std::mem::take(&mut self.changes.relinked).into_iter()
    }

    /// The record as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let checkpoint = self.checkpoint.as_ref();
        let array = |of: fn(&Checkpoint) -> ArrayId| U64::new(checkpoint.map_or(0, |point| of(point).0));
        let head = Head {
            format: FORMAT.into(),
            metric: self.config.metric.code(),
            element: self.config.element.code(),
            dim: (self.config.dim as u32).into(),
            m: (self.config.m as u32).into(),
            ef_construction: (self.config.ef_construction as u32).into(),
            seed: self.config.seed.into(),
            vectors: self.arrays.vectors.0.into(),
            links: self.arrays.links.0.into(),
            upper: self.arrays.upper.0.into(),
            levels: self.arrays.levels.0.into(),
            entry: self.entry.unwrap_or(NO_NODE).into(),
            top_level: u32::from(self.top_level).into(),
            nodes: self.nodes.into(),
            live: self.live.into(),
            free_from: self.free_from.into(),
            has_checkpoint: u32::from(checkpoint.is_some()).into(),
            unchecked: self.unchecked.into(),
            unsearched: self.unsearched.into(),
            epoch: self.epoch.into(),
            checkpoint_links: array(|point| point.links),
            checkpoint_upper: array(|point| point.upper),
            checkpoint_levels: array(|point| point.levels),
            checkpoint_entry: checkpoint.map_or(NO_NODE, |point| point.entry).into(),
            staging: (self.staging.len() as u32).into(),
            checkpoint_epoch: checkpoint.map_or(0, |point| point.epoch).into(),
        };
        let mut bytes = head.as_bytes().to_vec();
        for array in &self.staging {
            bytes.extend_from_slice(&array.0.to_le_bytes());
        }
        let mut unlinked = self.unlinked.clone();
        unlinked.optimize();
        unlinked.serialize_into(&mut bytes).expect("writing into a vector does not fail");
        bytes
    }

    /// The record of these bytes; an error where they are no record.
    pub fn from_bytes(bytes: &[u8]) -> Result<IndexRecord, Error> {
        let (head, rest) = Head::read_from_prefix(bytes).map_err(|_| damaged("it is too short"))?;
        if !(1..=FORMAT).contains(&head.format.get()) {
            return Err(damaged("its format is unknown"));
        }
        let config = IndexConfig {
            dim: head.dim.get() as usize,
            metric: Metric::from_code(head.metric).ok_or_else(|| damaged("its metric is unknown"))?,
            element: Element::from_code(head.element)
                .ok_or_else(|| damaged("its element type is unknown"))?,
            m: head.m.get() as usize,
            ef_construction: head.ef_construction.get() as usize,
            seed: head.seed.get(),
        };
        config.check().map_err(|_| damaged("its configuration is none that an index can have"))?;
        let staging = (head.staging.get() as usize).checked_mul(8).and_then(|len| rest.split_at_checked(len));
        let (staging, rest) = staging.ok_or_else(|| damaged("it is too short"))?;
        let staging = staging.as_chunks::<8>().0.iter().map(|id| ArrayId(u64::from_le_bytes(*id))).collect();
        let unlinked = RoaringBitmap::deserialize_from(rest)
            .map_err(|_| damaged("its set of unlinked nodes cannot be read"))?;
        let node = |number: U32| (number.get() != NO_NODE).then_some(number.get());
        let record = IndexRecord {
            config,
            arrays: Arrays {
                vectors: ArrayId(head.vectors.get()),
                links: ArrayId(head.links.get()),
                upper: ArrayId(head.upper.get()),
                levels: ArrayId(head.levels.get()),
            },
            entry: node(head.entry),
            top_level: u8::try_from(head.top_level.get())
                .map_err(|_| damaged("its top level is too high"))?,
            nodes: head.nodes.get(),
            live: head.live.get(),
            // Format 1 names the first of a list here: any free node.
            free_from: if head.format.get() == FORMAT { head.free_from.get() } else { 0 },
            unlinked,
            epoch: head.epoch.get(),
            unchecked: head.unchecked.get(),
            unsearched: head.unsearched.get(),
            changes: Changes::default(),
            checkpoint: (head.has_checkpoint.get() != 0).then_some(Checkpoint {
                links: ArrayId(head.checkpoint_links.get()),
                upper: ArrayId(head.checkpoint_upper.get()),
                levels: ArrayId(head.checkpoint_levels.get()),
                entry: head.checkpoint_entry.get(),
                epoch: head.checkpoint_epoch.get(),
            }),
            staging,
        };
        record.check_numbers()?;
        Ok(record)
    }

    fn check_numbers(&self) -> Result<(), Error> {
        let beyond = |node: Option<u32>| node.is_some_and(|node| node >= self.nodes);
        if beyond(self.entry) || self.free_from > self.nodes || beyond(self.unlinked.max()) {
            return Err(damaged("it names a node beyond the last"));
        }
        if self.live > self.nodes || self.unlinked.len() > u64::from(self.live) {
            return Err(damaged("its counts contradict each other"));
        }
        if self.top_level > crate::mem_graph::MAX_LEVEL {
            return Err(damaged("its top level is too high"));
        }
        Ok(())
    }
}

fn damaged(what: &'static str) -> Error {
    Error::Damaged { what: format!("the record of the index: {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> IndexRecord {
        IndexRecord {
            config: IndexConfig {
                dim: 5,
                metric: Metric::Cosine,
                element: Element::F16,
                m: 16,
                ef_construction: 200,
                seed: 7,
            },
            arrays: Arrays { vectors: ArrayId(1), links: ArrayId(2), upper: ArrayId(3), levels: ArrayId(4) },
            entry: Some(9),
            top_level: 2,
            nodes: 100,
            live: 90,
            free_from: 0,
            unlinked: (40..60).collect(),
            epoch: 12,
            unchecked: 3,
            unsearched: 5,
            changes: Changes::default(),
            checkpoint: Some(Checkpoint {
                links: ArrayId(5),
                upper: ArrayId(6),
                levels: ArrayId(7),
                entry: 3,
                epoch: 12,
            }),
            staging: vec![ArrayId(8)],
        }
    }

    #[test]
    fn records_come_back() {
        let record = record();
        assert_eq!(IndexRecord::from_bytes(&record.to_bytes()).unwrap(), record);
    }

    #[test]
    fn damaged_records_are_errors_and_not_panics() {
        let bytes = record().to_bytes();
        for len in 0..bytes.len() {
            assert!(IndexRecord::from_bytes(&bytes[..len]).is_err(), "{len} bytes");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Either refused or another record; never a panic.
            if let Ok(other) = IndexRecord::from_bytes(&flipped) {
                assert!(other.entry.is_none_or(|entry| entry < other.nodes));
            }
        }
    }
}
