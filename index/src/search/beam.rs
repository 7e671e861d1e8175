//! The two loops of HNSW search (Malkov & Yashunin 2016, algorithm 2): greedy descent and best-first search.

use super::{Neighbor, Scratch, Trace};
use crate::{Error, VectorRows, distance::Kernel};

/// Rows whose distances are computed in one call of the kernel.
const BATCH: usize = 32;
/// The links of a row that is so near to being expanded are about to be read.
const SOON: usize = 4;
/// The same as [`BATCH`] where the first rows are likely to decide.
const FEW: usize = 4;

/// The links of a layered graph.
pub(crate) trait Adjacency {
    /// Number of rows; a link to a row beyond it is an error.
    fn len(&self) -> u32;

    /// The rows that `id` links to in `layer`.
    fn links(&self, id: u32, layer: u8) -> Result<impl Iterator<Item = u32>, Error>;

    /// Tells the processor that `links(id, layer)` will be read in a while: fetches what [`Adjacency::prefetch`] reads.
    fn prefetch_place(&self, id: u32, layer: u8);

    /// Tells the processor that `links(id, layer)` will be read soon.
    fn prefetch(&self, id: u32, layer: u8);
}

/// A vector to search for, with what the kernel wants to know about it.
#[derive(Clone, Copy)]
pub(crate) struct Query<'q> {
    bytes: &'q [u8],
    scale: f32,
}

impl<'q> Query<'q> {
    pub(crate) fn new(kernel: &Kernel, bytes: &'q [u8]) -> Self {
        Self { bytes, scale: kernel.scale(bytes) }
    }
}

/// A graph, its vectors and their distance.
pub(crate) struct Searcher<'a, G, R: ?Sized> {
    pub(crate) graph: &'a G,
    pub(crate) rows: &'a R,
    pub(crate) kernel: &'a Kernel,
}

impl<'a, G: Adjacency, R: VectorRows + ?Sized> Searcher<'a, G, R> {
    /// One row with its distance from the query, which must be as long as the rows.
    pub(crate) fn neighbor(&self, query: Query<'_>, id: u32) -> Result<Neighbor, Error> {
        let row = self.rows.row(id)?;
        if row.len() != query.bytes.len() {
            return Err(Error::RowLength { expected: row.len(), got: query.bytes.len() });
        }
        let distance = self.kernel.distance(query.bytes, query.scale, row);
        Ok(Neighbor { id, distance })
    }

    /// Distances of many rows from the query, handed to `each` in order.
    #[inline]
    pub(crate) fn neighbors(
        &self,
        query: Query<'_>,
        ids: &[u32],
        mut each: impl FnMut(Neighbor),
    ) -> Result<(), Error> {
        let mut rows: [&[u8]; BATCH] = [&[]; BATCH];
        let mut distances = [0.0; BATCH];
        for ids in ids.chunks(BATCH) {
            for (row, &id) in rows.iter_mut().zip(ids) {
                *row = self.rows.row(id)?;
            }
            let distances = &mut distances[..ids.len()];
            self.kernel.distances(query.bytes, query.scale, &rows[..ids.len()], distances);
            ids.iter().zip(distances).for_each(|(&id, &mut distance)| each(Neighbor { id, distance }));
        }
        Ok(())
    }

    /// Whether one of the rows is nearer to the query than `distance`.
    #[inline]
    pub(crate) fn any_nearer(&self, query: Query<'_>, ids: &[u32], distance: f32) -> Result<bool, Error> {
        let mut rows: [&[u8]; FEW] = [&[]; FEW];
        let mut distances = [0.0; FEW];
        for ids in ids.chunks(FEW) {
            for (row, &id) in rows.iter_mut().zip(ids) {
                *row = self.rows.row(id)?;
            }
            let distances = &mut distances[..ids.len()];
            self.kernel.distances(query.bytes, query.scale, &rows[..ids.len()], distances);
            if distances.iter().any(|&other| other < distance) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves from `from` to a nearer neighbour for as long as there is one.
    pub(crate) fn descend(
        &self,
        query: Query<'_>,
        from: Neighbor,
        layer: u8,
        scratch: &mut Scratch,
    ) -> Result<Neighbor, Error> {
        self.descend_traced(query, from, layer, scratch, &mut ())
    }

    /// The same, watched.
    pub(crate) fn descend_traced(
        &self,
        query: Query<'_>,
        from: Neighbor,
        layer: u8,
        scratch: &mut Scratch,
        trace: &mut impl Trace,
    ) -> Result<Neighbor, Error> {
        let mut best = from;
        loop {
            let here = best.id;
            trace.descend(layer, here);
            scratch.links.clear();
            scratch.links.extend(self.graph.links(here, layer)?);
            scratch.hops += 1;
            scratch.distances += scratch.links.len() as u64;
            self.neighbors(query, &scratch.links, |neighbor| {
                let nearer = neighbor.distance < best.distance;
                trace.measure(neighbor, nearer);
                if nearer {
                    best = neighbor;
                }
            })?;
            if best.id == here {
                return Ok(best);
            }
        }
    }

    /// Descends through `layers` from `entry`.
    pub(crate) fn approach(
        &self,
        query: Query<'_>,
        entry: u32,
        layers: impl Iterator<Item = u8>,
        scratch: &mut Scratch,
    ) -> Result<Neighbor, Error> {
        let mut nearest = self.neighbor(query, entry)?;
        for layer in layers {
            nearest = self.descend(query, nearest, layer, scratch)?;
        }
        Ok(nearest)
    }

    /// Best-first search from `from`; leaves the `ef` nearest rows found in `scratch.candidates`.
    pub(crate) fn beam(
        &self,
        query: Query<'_>,
        from: Neighbor,
        layer: u8,
        ef: usize,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        self.beam_traced(query, from, layer, ef, scratch, &mut ())
    }

    /// The same, watched.
    pub(crate) fn beam_traced(
        &self,
        query: Query<'_>,
        from: Neighbor,
        layer: u8,
        ef: usize,
        scratch: &mut Scratch,
        trace: &mut impl Trace,
    ) -> Result<(), Error> {
        let Scratch { candidates, visited, distances, hops, .. } = scratch;
        visited.reset(self.graph.len() as usize);
        visited.insert(from.id);
        candidates.reset(ef);
        candidates.insert(from);
        let mut rows: [&[u8]; BATCH] = [&[]; BATCH];
        let mut computed = [0.0; BATCH];
        while let Some(id) = candidates.expand_next() {
            trace.expand(id, candidates.bound());
            let fresh = visited.insert_all(self.graph.links(id, layer)?)?;
            for next in candidates.unexpanded().take(2) {
                self.graph.prefetch(next, layer);
            }
            *hops += 1;
            *distances += fresh.len() as u64;
            self.rows.request(fresh);
            for ids in fresh.chunks(BATCH) {
                for (row, &id) in rows.iter_mut().zip(ids) {
                    *row = self.rows.row(id)?;
                }
                let (rows, computed) = (&rows[..ids.len()], &mut computed[..ids.len()]);
                self.kernel.distances(query.bytes, query.scale, rows, computed);
                for (&id, &mut distance) in ids.iter().zip(computed) {
                    let place = candidates.insert(Neighbor { id, distance });
                    trace.measure(Neighbor { id, distance }, place.is_some());
                    if place.is_some_and(|place| place < SOON) {
                        self.graph.prefetch_place(id, layer);
                    }
                }
            }
        }
        Ok(())
    }
}
