//! Compressed sparse rows in blocks: rows of any length, each block with the ends of its own rows.
//!
//! Payload of a block with R rows: `end: [u16; R]`, zeros up to a multiple of 8 bytes, then the items of row 0,
//! row 1, … without gaps. Row i holds the items `end[i-1] .. end[i]`. What is left of the page is slack: a row
//! grows in place by moving the rows behind it.

use std::fmt;

use crate::array::{ArrayInfo, Blocks, Kind};
use crate::block::PageSize;
use crate::error::{Error, Result};
use crate::memory::prefetch;

/// Most items of one block: ends are 16 bits wide.
const MAX_ITEMS: usize = u16::MAX as usize;

/// Rows of any number of items, read in place. Slices borrow what the value came from, as with [`crate::Rows`].
#[derive(Clone, Copy)]
pub struct Csr<'a> {
    blocks: Blocks<'a>,
    item_bytes: usize,
    items_start: usize,
}

impl<'a> Csr<'a> {
    pub(crate) fn new(blocks: Blocks<'a>) -> Result<Csr<'a>> {
        match blocks.info.spec.kind() {
            Kind::Csr => Ok(Csr {
                blocks,
                item_bytes: blocks.info.spec.unit_bytes(),
                items_start: items_start(blocks.info.spec.rows_per_block()),
            }),
            Kind::Rows => Err(Error::InvalidSpec(format!(
                "array {} holds rows of one width, not CSR rows",
                blocks.info.id
            ))),
        }
    }

    /// Number of rows.
    #[inline(always)]
    pub fn len(&self) -> u32 {
        self.blocks.info.rows
    }

    /// True where there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items of row `row`, as bytes. Items of 4 bytes are aligned to 4, others likewise, those of
    /// 12 to 4.
    #[inline(always)]
    pub fn get(&self, row: u32) -> Result<&'a [u8]> {
        self.blocks.check_row(row)?;
        let (block, place) = self.blocks.rows_per_block.split(row);
        let payload = self.blocks.payload(block)?;
        let (start, end) = span(payload.bytes, place);
        // Ends were checked when the block was located; the slicing checks them again.
        Ok(&payload.bytes
            [self.items_start + start * self.item_bytes..self.items_start + end * self.item_bytes])
    }

    /// Fetches the ends of row `row` into the cache, if its block was read before.
    #[inline(always)]
    pub fn prefetch_ends(&self, row: u32) {
        let (block, place) = self.blocks.rows_per_block.split(row);
        if let Some(payload) = self.blocks.known(block) {
            prefetch(&payload.bytes[2 * place..2 * place + 2]);
        }
    }

    /// Fetches the items of row `row` into the cache, if its block was read before. Reads the row's ends: call
    /// [`Csr::prefetch_ends`] well before.
    #[inline(always)]
    pub fn prefetch(&self, row: u32) {
        let (block, place) = self.blocks.rows_per_block.split(row);
        if let Some(payload) = self.blocks.known(block) {
            let (start, end) = span(payload.bytes, place);
            let from = self.items_start + start * self.item_bytes;
            let to = self.items_start + end * self.item_bytes;
            if let Some(items) = payload.bytes.get(from..to) {
                prefetch(items);
            }
        }
    }
}

impl fmt::Debug for Csr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Csr").field("info", &self.blocks.info).finish_non_exhaustive()
    }
}

/// Where the items begin in a payload of `rows` rows.
fn items_start(rows: u32) -> usize {
    (2 * rows as usize).next_multiple_of(8)
}

#[inline(always)]
fn end_of(payload: &[u8], place: usize) -> usize {
    usize::from(u16::from_le_bytes([payload[2 * place], payload[2 * place + 1]]))
}

/// First item and end of the row at `place`.
#[inline(always)]
fn span(payload: &[u8], place: usize) -> (usize, usize) {
    let start = if place == 0 { 0 } else { end_of(payload, place - 1) };
    (start, end_of(payload, place))
}

/// Checks that the ends of a block rise and stay in its page.
pub(crate) fn check_payload(info: &ArrayInfo, block: u32, payload: &[u8]) -> Result<()> {
    let rows = info.spec.rows_per_block() as usize;
    if payload.len() < info.spec.page().payload_bytes() {
        return Err(Error::corrupt(format!(
            "block {block} of array {} has {} payload bytes, fewer than an ordinary one",
            info.id,
            payload.len()
        )));
    }
    let room = (payload.len() - items_start(info.spec.rows_per_block())) / info.spec.unit_bytes();
    let mut before = 0;
    for place in 0..rows {
        let end = end_of(payload, place);
        if end < before || end > room {
            return Err(Error::corrupt(format!(
                "block {block} of array {}: row {place} ends at item {end}, the row before at {before}, the page at {room}",
                info.id
            )));
        }
        before = end;
    }
    Ok(())
}

/// The page that block `block` needs once the row at `place` has `items` items.
pub(crate) fn page_for(
    info: &ArrayInfo,
    payload: &[u8],
    row: u32,
    place: usize,
    items: usize,
) -> Result<PageSize> {
    let rows = info.spec.rows_per_block() as usize;
    let (start, end) = span(payload, place);
    let total = end_of(payload, rows - 1) - (end - start) + items;
    let too_long = |limit: usize| Error::RowTooLong { array: info.id, row, items, total, limit };
    if total > MAX_ITEMS {
        return Err(too_long(MAX_ITEMS));
    }
    let start_of_items = items_start(info.spec.rows_per_block());
    let bytes = start_of_items + total * info.spec.unit_bytes();
    info.spec
        .page()
        .fitting(bytes)
        .ok_or_else(|| too_long((PageSize::MAX.payload_bytes() - start_of_items) / info.spec.unit_bytes()))
}

/// Replaces the row at `place` by `items` in a payload that [`page_for`] found large enough.
pub(crate) fn replace(info: &ArrayInfo, payload: &mut [u8], place: usize, items: &[u8]) {
    let unit = info.spec.unit_bytes();
    let rows = info.spec.rows_per_block() as usize;
    let base = items_start(info.spec.rows_per_block());
    let (start, end) = span(payload, place);
    let last = end_of(payload, rows - 1);
    let count = items.len() / unit;
    payload.copy_within(base + end * unit..base + last * unit, base + (start + count) * unit);
    payload[base + start * unit..base + (start + count) * unit].copy_from_slice(items);
    let new_last = last - (end - start) + count;
    // Bytes behind the last row stay zero, so that removed items do not linger in the file.
    if new_last < last {
        payload[base + new_last * unit..base + last * unit].fill(0);
    }
    for later in place..rows {
        let moved = end_of(payload, later) - (end - start) + count;
        payload[2 * later..2 * later + 2].copy_from_slice(&(moved as u16).to_le_bytes());
    }
}

/// Bytes in use of a payload: ends and items, without the slack.
pub(crate) fn used_bytes(info: &ArrayInfo, payload: &[u8]) -> usize {
    let rows = info.spec.rows_per_block();
    items_start(rows) + end_of(payload, rows as usize - 1) * info.spec.unit_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::{ArrayId, ArraySpec};

    /// Random edits of one block against a `Vec` of rows.
    #[test]
    fn edits_agree_with_a_vec_of_rows() {
        let spec = ArraySpec::csr(4, 9, PageSize::KIB_4).unwrap();
        let info = ArrayInfo { id: ArrayId(1), spec, rows: 9 };
        let mut rng = fastrand::Rng::with_seed(5);
        let mut payload = vec![0u8; PageSize::KIB_4.payload_bytes()];
        let mut model: Vec<Vec<u8>> = vec![Vec::new(); 9];
        for _ in 0..5000 {
            let place = rng.usize(..9);
            let items: Vec<u8> = (0..4 * rng.usize(..100)).map(|_| rng.u8(..)).collect();
            assert_eq!(page_for(&info, &payload, 0, place, items.len() / 4).unwrap(), PageSize::KIB_4);
            replace(&info, &mut payload, place, &items);
            model[place] = items;
            check_payload(&info, 0, &payload).unwrap();
            for (at, row) in model.iter().enumerate() {
                let (start, end) = span(&payload, at);
                assert_eq!(&payload[24 + 4 * start..24 + 4 * end], &row[..]);
            }
            assert!(payload[used_bytes(&info, &payload)..].iter().all(|byte| *byte == 0));
        }
        let bigger = page_for(&info, &payload, 0, 0, 2000).unwrap();
        assert!(bigger > PageSize::KIB_4);
        assert!(matches!(page_for(&info, &payload, 0, 0, 70_000), Err(Error::RowTooLong { .. })));
    }

    #[test]
    fn a_block_whose_ends_fall_is_refused() {
        let spec = ArraySpec::csr(4, 4, PageSize::KIB_4).unwrap();
        let info = ArrayInfo { id: ArrayId(1), spec, rows: 4 };
        let mut payload = vec![0u8; PageSize::KIB_4.payload_bytes()];
        payload[0..8].copy_from_slice(&[5, 0, 4, 0, 9, 0, 9, 0]);
        assert!(check_payload(&info, 0, &payload).is_err());
        payload[0..8].copy_from_slice(&[5, 0, 6, 0, 9, 0, 255, 255]);
        assert!(check_payload(&info, 0, &payload).is_err());
        payload[0..8].copy_from_slice(&[5, 0, 6, 0, 9, 0, 9, 0]);
        assert!(check_payload(&info, 0, &payload).is_ok());
    }
}
