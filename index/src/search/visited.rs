//! Which rows a search has seen.

use crate::Error;

/// A set of row numbers that is emptied in constant time.
///
/// A row is in the set when its tag equals the current epoch. One byte a row keeps the tags in the processor's cache;
/// every 255th reset wipes them.
#[derive(Debug, Default)]
pub struct Visited {
    tags: Vec<u8>,
    epoch: u8,
}

impl Visited {
    /// Empties the set and makes room for rows `0..len`.
    pub fn reset(&mut self, len: usize) {
        if self.tags.len() < len {
            self.tags.resize(len, 0);
        }
        if self.epoch == u8::MAX {
            self.tags.fill(0);
            self.epoch = 0;
        }
        self.epoch += 1;
    }

    /// Adds a row. `Some(true)` if it was not in the set, `None` if the set has no room for that number.
    #[inline]
    pub fn insert(&mut self, id: u32) -> Option<bool> {
        let tag = self.tags.get_mut(id as usize)?;
        let fresh = *tag != self.epoch;
        *tag = self.epoch;
        Some(fresh)
    }

    /// Whether a row is in the set.
    #[inline]
    pub fn contains(&self, id: u32) -> bool {
        self.tags.get(id as usize).is_some_and(|tag| *tag == self.epoch)
    }
}

/// Adds `links`, which lead to rows `0..len`, to `visited`. Those that were not there are the first of `fresh`, which
/// grows as needed and is best kept from hop to hop; how many they are is returned.
#[inline]
pub(crate) fn keep_unvisited(
    links: impl Iterator<Item = u32>,
    len: u32,
    visited: &mut Visited,
    fresh: &mut Vec<u32>,
) -> Result<usize, Error> {
    let mut count = 0;
    for id in links {
        if count == fresh.len() {
            fresh.push(0);
        }
        // Kept if the next one does not overwrite it: whether a row is new cannot be foreseen, so no branch on it.
        fresh[count] = id;
        count += usize::from(visited.insert(id).ok_or_else(|| Error::RowOutOfRange { id, len })?);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_empties_the_set_however_often() {
        let mut visited = Visited::default();
        for round in 0..1000 {
            visited.reset(4);
            assert!(!visited.contains(round % 4));
            assert_eq!(visited.insert(round % 4), Some(true));
            assert!(visited.contains(round % 4) && !visited.contains(4));
            assert_eq!(visited.insert(round % 4), Some(false));
            assert_eq!(visited.insert((round + 1) % 4), Some(true));
            assert_eq!(visited.insert(4), None);
        }
    }
}
