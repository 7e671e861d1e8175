//! Looking at rows one by one.

use redknot_storage::RowsInOrder;

use super::reader::Reader;
use super::{FREE, level_of};
use crate::{Error, Neighbor};

/// Rows whose distances are computed in one call of the kernel.
const BATCH: usize = 32;

/// A query, compared with rows in the order in which they lie.
pub(crate) struct Scan<'s, 'v> {
    reader: &'s Reader<'v>,
    query: &'s [u8],
    scale: f32,
}

/// The `k` nearest of the rows seen so far.
pub(crate) struct Nearest<'n> {
    pub(crate) k: usize,
    /// Sorted.
    pub(crate) neighbors: &'n mut Vec<Neighbor>,
}

impl<'s, 'v> Scan<'s, 'v> {
    pub(crate) fn new(reader: &'s Reader<'v>, query: &'s [u8]) -> Scan<'s, 'v> {
        Scan { reader, query, scale: reader.kernel.scale(query) }
    }

    /// Merges the nearest of `nodes` into the sorted `neighbors`, of which `k` are kept; returns the distances
    /// computed.
    pub(crate) fn nodes(
        &self,
        nodes: impl Iterator<Item = u32>,
        k: usize,
        neighbors: &mut Vec<Neighbor>,
    ) -> Result<u64, Error> {
        let mut nearest = Nearest { k, neighbors };
        let mut distances = 0;
        let mut batch = Vec::with_capacity(BATCH);
        let mut rows = self.reader.vectors.in_order();
        for node in nodes {
            batch.push(node);
            if batch.len() == BATCH {
                distances += self.compare(&mut rows, &mut batch, &mut nearest)?;
            }
        }
        Ok(distances + self.compare(&mut rows, &mut batch, &mut nearest)?)
    }

    /// The same for every node in use that satisfies `filter`.
    pub(crate) fn all(
        &self,
        k: usize,
        mut filter: Option<&mut dyn FnMut(u32) -> Result<bool, Error>>,
        neighbors: &mut Vec<Neighbor>,
    ) -> Result<u64, Error> {
        let mut nearest = Nearest { k, neighbors };
        let mut distances = 0;
        let mut batch = Vec::with_capacity(BATCH);
        let mut rows = self.reader.vectors.in_order();
        for node in 0..self.reader.record.nodes {
            if level_of(self.reader.levels, node)? == FREE {
                continue;
            }
            if let Some(filter) = &mut filter
                && !filter(node)?
            {
                continue;
            }
            batch.push(node);
            if batch.len() == BATCH {
                distances += self.compare(&mut rows, &mut batch, &mut nearest)?;
            }
        }
        Ok(distances + self.compare(&mut rows, &mut batch, &mut nearest)?)
    }

    /// Compares the rows of a batch and empties it.
    fn compare(
        &self,
        stored: &mut RowsInOrder<'v>,
        batch: &mut Vec<u32>,
        nearest: &mut Nearest<'_>,
    ) -> Result<u64, Error> {
        let mut rows: [&[u8]; BATCH] = [&[]; BATCH];
        let mut distances = [0.0; BATCH];
        for (row, node) in rows.iter_mut().zip(batch.iter()) {
            *row = stored.get(*node)?;
        }
        let distances = &mut distances[..batch.len()];
        self.reader.kernel.distances(self.query, self.scale, &rows[..batch.len()], distances);
        for (id, distance) in batch.iter().zip(distances.iter()) {
            nearest.insert(Neighbor { id: *id, distance: *distance });
        }
        batch.clear();
        Ok(distances.len() as u64)
    }
}

impl Nearest<'_> {
    #[inline]
    pub(crate) fn insert(&mut self, neighbor: Neighbor) {
        if self.neighbors.len() >= self.k {
            match self.neighbors.last() {
                Some(worst) if neighbor.order(worst).is_lt() => {}
                _ => return,
            }
        }
        let at = self.neighbors.partition_point(|other| other.order(&neighbor).is_lt());
        self.neighbors.insert(at, neighbor);
        self.neighbors.truncate(self.k);
    }
}
