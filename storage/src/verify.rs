//! Checking the blocks of a file.

use redb::ReadableTableMetadata;

use crate::array::{ArrayId, ArrayInfo, Kind};
use crate::block::{self, PageSize};
use crate::csr;
use crate::error::{Error, Result};
use crate::snapshot::{Snapshot, View};

/// Something that [`crate::Storage::verify`] found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A block that its array must have is absent.
    MissingBlock {
        /// The array.
        array: ArrayId,
        /// Number of the block.
        block: u32,
    },
    /// A block fails its checksum, or does not fit its array.
    DamagedBlock {
        /// The array.
        array: ArrayId,
        /// Number of the block.
        block: u32,
        /// What is wrong.
        what: String,
    },
    /// Blocks that belong to no array.
    StrayBlocks {
        /// How many.
        count: u64,
    },
    /// What is read in place is not what redb reads.
    ReadsDiffer {
        /// The array.
        array: ArrayId,
        /// Number of the block.
        block: u32,
    },
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Finding::MissingBlock { array, block } => write!(f, "block {block} of array {array} is missing"),
            Finding::DamagedBlock { array, block, what } => {
                write!(f, "block {block} of array {array} is damaged: {what}")
            }
            Finding::StrayBlocks { count } => write!(f, "{count} blocks belong to no array"),
            Finding::ReadsDiffer { array, block } => {
                write!(f, "block {block} of array {array}: redb reads other bytes than the map shows")
            }
        }
    }
}

pub(crate) fn blocks(snapshot: &Snapshot) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut expected = 0;
    for info in snapshot.arrays() {
        let blocks = info.spec.blocks(info.rows) as u32;
        expected += u64::from(blocks);
        for number in 0..blocks {
            findings.extend(check_block(snapshot, &info, number)?);
        }
    }
    let missing = findings.iter().filter(|f| matches!(f, Finding::MissingBlock { .. })).count() as u64;
    let present = match snapshot.blocks_table() {
        Some(table) => table.len()?,
        None => 0,
    };
    let stray = (present + missing).saturating_sub(expected);
    if stray > 0 {
        findings.push(Finding::StrayBlocks { count: stray });
    }
    Ok(findings)
}

fn check_block(snapshot: &Snapshot, info: &ArrayInfo, number: u32) -> Result<Option<Finding>> {
    let (array, block) = (info.id, number);
    let Some(table) = snapshot.blocks_table() else {
        return Ok(Some(Finding::MissingBlock { array, block }));
    };
    let Some(guard) = table.get((array.0, block))? else {
        return Ok(Some(Finding::MissingBlock { array, block }));
    };
    if let Some(in_place) = snapshot.value_in_place(array, block)?
        && in_place != Some(guard.value())
    {
        return Ok(Some(Finding::ReadsDiffer { array, block }));
    }
    match check_value(info, number, guard.value()) {
        Ok(()) => Ok(None),
        Err(error) => Ok(Some(Finding::DamagedBlock { array, block, what: error.to_string() })),
    }
}

fn check_value(info: &ArrayInfo, number: u32, value: &[u8]) -> Result<()> {
    let payload = block::check(value, info.id, number)?;
    match info.spec.kind() {
        Kind::Csr => csr::check_payload(info, number, payload),
        Kind::Rows if PageSize::of_value(value.len()) == Some(info.spec.page()) => Ok(()),
        Kind::Rows => Err(Error::corrupt("the block fills a page of another size than its array says")),
    }
}

/// Bytes that the blocks of an array take in the file, page overhead included.
pub fn array_bytes(snapshot: &Snapshot, id: ArrayId) -> Result<u64> {
    let info = snapshot.array(id)?;
    let blocks = info.spec.blocks(info.rows) as u32;
    if info.spec.kind() == Kind::Rows {
        return Ok(u64::from(blocks) * info.spec.page().bytes() as u64);
    }
    let mut bytes = 0;
    for number in 0..blocks {
        let value_bytes = match snapshot.value_in_place(id, number)? {
            Some(value) => value.map(<[u8]>::len),
            None => match snapshot.blocks_table() {
                Some(table) => table.get((id.0, number))?.map(|guard| guard.value().len()),
                None => None,
            },
        };
        let value_bytes = value_bytes.ok_or(Error::MissingBlock { array: id, block: number })?;
        bytes += (value_bytes + block::LEAF_OVERHEAD) as u64;
    }
    Ok(bytes)
}
