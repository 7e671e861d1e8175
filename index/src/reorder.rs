//! Renumbering rows so that those near each other share pages.

mod cluster;

use crate::Error;
pub(crate) use cluster::cluster;

/// A renumbering of the rows of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permutation {
    /// For each new number the old one.
    old_ids: Vec<u32>,
    /// For each old number the new one.
    new_ids: Vec<u32>,
}

impl Permutation {
    /// The renumbering that puts row `old_ids[i]` at place `i`. Each row must be named once.
    pub fn new(old_ids: Vec<u32>) -> Result<Self, Error> {
        const MISSING: u32 = u32::MAX;
        let len = u32::try_from(old_ids.len()).unwrap_or(u32::MAX);
        let mut new_ids = vec![MISSING; old_ids.len()];
        for (new, &id) in (0..).zip(&old_ids) {
            match new_ids.get_mut(id as usize) {
                Some(place) if *place == MISSING => *place = new,
                _ => return Err(Error::InvalidPermutation { len, id }),
            }
        }
        Ok(Self { old_ids, new_ids })
    }

    /// Number of rows.
    pub fn len(&self) -> u32 {
        self.old_ids.len() as u32
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.old_ids.is_empty()
    }

    /// The new number of the row that was `old`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn new_id(&self, old: u32) -> u32 {
        self.new_ids[old as usize]
    }

    /// The old number of the row that is now `new`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn old_id(&self, new: u32) -> u32 {
        self.old_ids[new as usize]
    }

    /// For each new number, in order, the old one.
    pub fn old_ids(&self) -> &[u32] {
        &self.old_ids
    }
}
