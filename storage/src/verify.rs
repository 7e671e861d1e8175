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
    let damaged = |error: &Error| Finding::DamagedBlock { array, block, what: error.to_string() };
    let guard = match snapshot.value_from_redb(array, block) {
        Ok(Some(guard)) => guard,
        Ok(None) => return Ok(Some(Finding::MissingBlock { array, block })),
        Err(error @ Error::Corrupt { .. }) => return Ok(Some(damaged(&error))),
        Err(error) => return Err(error),
    };
    match snapshot.value_in_place(array, block) {
        Ok(Some(in_place)) if in_place != Some(guard.value()) => {
            return Ok(Some(Finding::ReadsDiffer { array, block }));
        }
        Ok(_) => {}
        Err(error) => return Ok(Some(damaged(&error))),
    }
    match check_value(info, number, guard.value()) {
        Ok(()) => Ok(None),
        Err(error) => Ok(Some(damaged(&error))),
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
    if info.spec.kind() == Kind::Rows {
        return Ok(info.spec.blocks(info.rows) as u64 * info.spec.page().bytes() as u64);
    }
    let mut bytes = 0;
    for block in 0..info.spec.blocks(info.rows) as u32 {
        let missing = Error::MissingBlock { array: id, block };
        let value = match snapshot.value_in_place(id, block)? {
            Some(value) => value.ok_or(missing)?.len(),
            None => snapshot.value_from_redb(id, block)?.ok_or(missing)?.value().len(),
        };
        bytes += (value + block::LEAF_OVERHEAD) as u64;
    }
    Ok(bytes)
}
