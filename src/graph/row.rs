//! The edges of one node, as they lie in a block.
//!
//! A row holds items of 12 bytes, sorted by node. A row of more than [`MAX_SHORT`] items lies in the array of long rows,
//! one to a block; what stands in its place is one item of node [`LONG`] with the number of that row. So whichever rows
//! a renumbering brings into one block, they fit, and the only limit is that of one row.

use redknot_storage::{ArrayId, Csr, View, WriteTxn};

use super::options::MAX_EDGES_OF_ROW;
use crate::error::{Error, Result};

/// Bytes of an item.
pub(crate) const ITEM_BYTES: usize = 12;
/// Most items of a row that stands in its block.
pub(crate) const MAX_SHORT: usize = 1023;
/// A block has at most 65,535 items.
pub(crate) const MAX_ROWS_PER_BLOCK: u32 = (MAX_EDGES_OF_ROW / MAX_SHORT) as u32;
/// Number of no node.
pub(crate) const LONG: u32 = u32::MAX;

/// One end of an edge, seen from the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Link {
    /// The node at the other end.
    pub(crate) node: u32,
    pub(crate) weight: f32,
    /// 0, or 1 more than the place of the type's name.
    pub(crate) kind: u32,
}

impl Link {
    fn from_bytes(bytes: &[u8; ITEM_BYTES]) -> Link {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Link { node: word(0), weight: f32::from_bits(word(4)), kind: word(8) }
    }

    pub(crate) fn to_bytes(self) -> [u8; ITEM_BYTES] {
        let mut bytes = [0; ITEM_BYTES];
        for (place, word) in bytes.chunks_exact_mut(4).zip([self.node, self.weight.to_bits(), self.kind]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// The items of a row.
pub(crate) fn links(row: &[u8]) -> impl ExactSizeIterator<Item = Link> + '_ {
    row.as_chunks::<ITEM_BYTES>().0.iter().map(Link::from_bytes)
}

/// The bytes of a row of `links`, which are sorted by node.
pub(crate) fn encode(links: &[Link]) -> Vec<u8> {
    links.iter().flat_map(|link| link.to_bytes()).collect()
}

/// The link to `node`.
pub(crate) fn find(row: &[u8], node: u32) -> Option<Link> {
    place(row, node).ok().map(|at| Link::from_bytes(&row.as_chunks::<ITEM_BYTES>().0[at]))
}

/// Where the link to `node` stands, or would.
fn place(row: &[u8], node: u32) -> std::result::Result<usize, usize> {
    row.as_chunks::<ITEM_BYTES>().0.binary_search_by_key(&node, |item| Link::from_bytes(item).node)
}

/// A row with `link` in it, in place of one to the same node, and whether there was one.
pub(crate) fn with(row: &[u8], link: Link) -> (Vec<u8>, bool) {
    let found = place(row, link.node);
    let (Ok(at) | Err(at)) = found;
    let (before, rest) = row.split_at(at * ITEM_BYTES);
    let after = if found.is_ok() { &rest[ITEM_BYTES..] } else { rest };
    ([before, link.to_bytes().as_slice(), after].concat(), found.is_ok())
}

/// A row without the link to `node`; `None` where it has none.
pub(crate) fn without(row: &[u8], node: u32) -> Option<Vec<u8>> {
    let at = place(row, node).ok()? * ITEM_BYTES;
    Some([&row[..at], &row[at + ITEM_BYTES..]].concat())
}

/// The number of the long row that stands elsewhere than in `row`.
pub(crate) fn long_row(row: &[u8]) -> Option<u32> {
    let mut items = links(row);
    items.next().filter(|link| link.node == LONG && row.len() == ITEM_BYTES).map(|link| link.kind)
}

/// What stands in the place of long row `number`.
fn in_place_of(number: u32) -> [u8; ITEM_BYTES] {
    Link { node: LONG, weight: 0.0, kind: number }.to_bytes()
}

/// One array of edges, for reading.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'v> {
    rows: Csr<'v>,
    long: Csr<'v>,
}

impl<'v> Rows<'v> {
    pub(crate) fn open(view: &'v impl View, array: ArrayId, long: ArrayId) -> Result<Rows<'v>> {
        for array in [array, long] {
            if view.array(array)?.spec.unit_bytes() != ITEM_BYTES {
                return Err(Error::corrupt(format!("array {array} holds no edges of a graph")));
            }
        }
        Ok(Rows { rows: view.csr(array)?, long: view.csr(long)? })
    }

    /// Rows from here on are empty.
    pub(crate) fn len(&self) -> u32 {
        self.rows.len()
    }

    /// The items of a node.
    pub(crate) fn get(&self, node: u32) -> Result<&'v [u8]> {
        let row = self.place(node)?;
        match long_row(row) {
            None => Ok(row),
            Some(number) => Ok(self.long.get(number)?),
        }
    }

    /// What stands in the block of a node.
    pub(crate) fn place(&self, node: u32) -> Result<&'v [u8]> {
        if node < self.rows.len() { Ok(self.rows.get(node)?) } else { Ok(&[]) }
    }
}

/// Replaces the items of a node, at most [`MAX_EDGES_OF_ROW`].
pub(crate) fn set(txn: &mut WriteTxn, array: ArrayId, long: ArrayId, node: u32, row: &[u8]) -> Result<()> {
    let before = Rows::open(txn, array, long)?.place(node)?;
    if before.is_empty() && row.is_empty() {
        return Ok(());
    }
    let old_long = long_row(before);
    if node >= txn.array(array)?.rows {
        txn.set_len(array, node + 1)?;
    }
    if row.len() <= MAX_SHORT * ITEM_BYTES {
        if let Some(number) = old_long {
            txn.set_csr_row(long, number, &[])?;
        }
        return Ok(txn.set_csr_row(array, node, row)?);
    }
    let number = match old_long {
        Some(number) => number,
        None => free_long_row(txn, long)?,
    };
    txn.set_csr_row(long, number, row)?;
    if old_long.is_none() {
        txn.set_csr_row(array, node, &in_place_of(number))?;
    }
    Ok(())
}

/// Appends the items of the next node.
pub(crate) fn push(txn: &mut WriteTxn, array: ArrayId, long: ArrayId, row: &[u8]) -> Result<()> {
    if row.len() <= MAX_SHORT * ITEM_BYTES {
        txn.push_csr_row(array, row)?;
        return Ok(());
    }
    let number = free_long_row(txn, long)?;
    txn.set_csr_row(long, number, row)?;
    txn.push_csr_row(array, &in_place_of(number))?;
    Ok(())
}

/// An empty long row. There are few: they are looked through.
fn free_long_row(txn: &mut WriteTxn, long: ArrayId) -> Result<u32> {
    let rows = txn.csr(long)?;
    for number in 0..rows.len() {
        if rows.get(number)?.is_empty() {
            return Ok(number);
        }
    }
    Ok(txn.push_csr_row(long, &[])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_edited_as_a_map_is() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut map = std::collections::BTreeMap::new();
        let mut row = Vec::new();
        for _ in 0..2000 {
            let node = rng.u32(..60);
            if rng.bool() {
                let link = Link { node, weight: rng.f32(), kind: rng.u32(..3) };
                let (next, replaced) = with(&row, link);
                assert_eq!(replaced, map.insert(node, link).is_some());
                row = next;
            } else {
                let next = without(&row, node);
                assert_eq!(next.is_some(), map.remove(&node).is_some());
                row = next.unwrap_or(row);
            }
            assert!(links(&row).eq(map.values().copied()));
            assert_eq!(find(&row, node), map.get(&node).copied());
        }
    }
}
