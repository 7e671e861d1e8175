//! Which rows a search has seen.

use crate::Error;

/// Rows in the order in which a search saw them, each once.
///
/// A bit a row says whether it is among them: the bits of the nodes that searches see one after the other, which are
/// numbered close to each other, are in few lines of the processor's cache. Emptied in the time that filling it took,
/// however many rows there are.
#[derive(Debug, Default)]
pub struct Visited {
    bits: Vec<u64>,
    /// Written from the front. What lies behind [`Visited::len`] is of searches before.
    seen: Vec<u32>,
    len: usize,
}

/// Rows whose bits are in one number.
const BITS: u32 = u64::BITS;
/// Most links of a row whose iterator doesn't say how many there may be.
const MANY: usize = 1 << 10;

impl Visited {
    /// Empties the set and makes room for rows `0..rows`.
    pub fn reset(&mut self, rows: usize) {
        for &id in &self.seen[..self.len] {
            self.bits[(id / BITS) as usize] = 0;
        }
        self.len = 0;
        let words = rows.div_ceil(BITS as usize);
        if self.bits.len() < words {
            self.bits.resize(words, 0);
        }
    }

    /// Adds a row. `Some(true)` if it was not in the set, `None` if the set has no room for that number.
    #[inline]
    pub fn insert(&mut self, id: u32) -> Option<bool> {
        let before = self.len;
        self.insert_all(std::iter::once(id)).ok()?;
        Some(self.len > before)
    }

    /// Adds rows; returns those that were not in the set.
    ///
    /// # Errors
    /// [`Error::RowOutOfRange`] where the set has no room for a number.
    #[inline]
    pub fn insert_all(&mut self, ids: impl Iterator<Item = u32>) -> Result<&[u32], Error> {
        let (start, most) = (self.len, ids.size_hint().1.unwrap_or(MANY));
        if self.seen.len() < start + most {
            self.seen.resize(start + most, 0);
        }
        // Slices, because the compiler cannot tell that writing one of the vectors leaves the other as it is.
        let (room, bits) = (&mut self.seen[start..], &mut self.bits[..]);
        let mut count = 0;
        for id in ids {
            let Some(word) = bits.get_mut((id / BITS) as usize) else {
                self.len = start + count;
                return Err(self.out_of_range(id));
            };
            let bit = 1 << (id % BITS);
            // Kept if the next one does not overwrite it: whether a row is new cannot be foreseen, so no branch on it.
            room[count] = id;
            count += usize::from(*word & bit == 0);
            *word |= bit;
        }
        self.len = start + count;
        Ok(&self.seen[start..self.len])
    }

    #[cold]
    fn out_of_range(&self, id: u32) -> Error {
        Error::RowOutOfRange { id, len: u32::try_from(self.bits.len() * BITS as usize).unwrap_or(u32::MAX) }
    }

    /// Whether a row is in the set.
    #[inline]
    pub fn contains(&self, id: u32) -> bool {
        self.bits.get((id / BITS) as usize).is_some_and(|word| word & (1 << (id % BITS)) != 0)
    }

    /// All rows in the set, in the order in which they were added.
    #[inline]
    pub fn seen(&self) -> &[u32] {
        &self.seen[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn agrees_with_a_set_and_a_list(
            searches in prop::collection::vec(
                (1usize..300, prop::collection::vec(prop::collection::vec(0u32..400, 0..20), 0..6)),
                1..6,
            ),
        ) {
            let (mut visited, mut room) = (Visited::default(), 0);
            for (rows, batches) in searches {
                visited.reset(rows);
                room = room.max(rows.next_multiple_of(64));
                let (mut set, mut list) = (HashSet::new(), Vec::new());
                for batch in batches {
                    let (inside, outside): (Vec<u32>, Vec<u32>) =
                        batch.into_iter().partition(|id| (*id as usize) < room);
                    let fresh: Vec<u32> = inside.iter().copied().filter(|id| set.insert(*id)).collect();
                    list.extend_from_slice(&fresh);
                    prop_assert_eq!(visited.insert_all(inside.into_iter()).unwrap(), fresh);
                    for id in outside {
                        prop_assert!(visited.insert_all([id].into_iter()).is_err());
                        prop_assert_eq!(visited.insert(id), None);
                        prop_assert!(!visited.contains(id));
                    }
                    prop_assert_eq!(visited.seen(), &list[..]);
                    prop_assert!((0..room as u32).all(|id| visited.contains(id) == set.contains(&id)));
                    if let Some(&id) = list.first() {
                        prop_assert_eq!(visited.insert(id), Some(false));
                    }
                }
            }
        }
    }
}
