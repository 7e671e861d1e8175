//! An HNSW graph in memory: what building works on, before the links go to the file.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use redknot_storage::prefetch;

use crate::{
    Error, Kernel, Neighbor, Permutation, Scratch, VectorRows, reorder,
    search::{Adjacency, MAX_ROWS, Query, Searcher},
};

/// Ends a row of links that is not full.
const NONE: u32 = u32::MAX;
/// The level of a row that is not in the graph.
const UNLINKED: u8 = u8::MAX;
/// The highest layer a row can reach. With `m` = 2, the least, 2^31 rows reach it.
pub(crate) const MAX_LEVEL: u8 = 31;

/// Smallest and largest number of links a row keeps in the upper layers.
pub(crate) const M_RANGE: std::ops::RangeInclusive<usize> = 2..=128;

/// A layered graph over rows `0..len`, some of which may not be linked yet.
///
/// Each row has a fixed number of link slots per layer, `m0` = 2·`m` in the base layer and `m` above, used from the
/// front. The slots are atomic: threads read rows without a lock while others rewrite them, and see in each slot an
/// old or a new link, both of which are rows of the graph. Writers hold a lock that the builder keeps per row.
#[derive(Debug)]
pub struct MemGraph {
    m: usize,
    base: Vec<AtomicU32>,
    upper: Vec<AtomicU32>,
    /// For each row with upper layers the number of its first row of slots in `upper`, else `NONE`.
    upper_start: Vec<u32>,
    levels: Vec<u8>,
    entry: Option<u32>,
}

impl MemGraph {
    /// A graph of `len` rows, none of them linked, with `m` links a row (twice that in the base layer).
    pub fn new(m: usize, len: u32) -> Result<Self, Error> {
        if !M_RANGE.contains(&m) {
            let (min, max) = (*M_RANGE.start() as u64, *M_RANGE.end() as u64);
            return Err(Error::Parameter { name: "m", got: m as u64, min, max });
        }
        let mut graph =
            Self { m, base: vec![], upper: vec![], upper_start: vec![], levels: vec![], entry: None };
        graph.grow(len)?;
        Ok(graph)
    }

    /// A graph whose rows have the given levels (`None`: not linked) and no links yet: what a stored graph is read into
    /// with [`MemGraph::set_links`]. The entry point is the first row of the highest level.
    pub fn with_levels(m: usize, levels: &[Option<u8>]) -> Result<Self, Error> {
        let len = u32::try_from(levels.len()).unwrap_or(u32::MAX);
        let mut graph = Self::new(m, len)?;
        for (id, level) in (0..len).zip(levels) {
            if let Some(level) = *level {
                if level > MAX_LEVEL {
                    let (got, max) = (u64::from(level), u64::from(MAX_LEVEL));
                    return Err(Error::Parameter { name: "level", got, min: 0, max });
                }
                graph.reserve_upper(id, level);
                graph.mark_linked(id, level);
            }
        }
        Ok(graph)
    }

    /// Makes room for rows up to `len`, which are not linked. A smaller `len` changes nothing.
    pub fn grow(&mut self, len: u32) -> Result<(), Error> {
        if len > MAX_ROWS {
            return Err(Error::TooManyRows { got: len, max: MAX_ROWS });
        }
        let len = (len as usize).max(self.levels.len());
        self.base.resize_with(len * self.m * 2, || AtomicU32::new(NONE));
        self.upper_start.resize(len, NONE);
        self.levels.resize(len, UNLINKED);
        Ok(())
    }

    /// Replaces the links of a linked row in one layer.
    pub fn set_links(&mut self, id: u32, layer: u8, links: &[u32]) -> Result<(), Error> {
        let invalid = |reason| Err(Error::InvalidLinks { id, layer, reason });
        if self.level(id).is_none_or(|level| level < layer) {
            return invalid("the row is not in that layer");
        }
        if links.len() > self.capacity(layer) {
            return invalid("more links than slots");
        }
        for (at, &link) in links.iter().enumerate() {
            if link == id {
                return invalid("a link to the row itself");
            }
            if self.level(link).is_none_or(|level| level < layer) {
                return invalid("a link to a row that is not in that layer");
            }
            if links[..at].contains(&link) {
                return invalid("a repeated link");
            }
        }
        self.store(id, layer, links.iter().copied());
        Ok(())
    }

    /// Number of rows, linked or not.
    pub fn len(&self) -> u32 {
        self.levels.len() as u32
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Links a row keeps in the upper layers; the base layer has twice as many.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Links a row keeps in `layer` at most.
    pub fn capacity(&self, layer: u8) -> usize {
        if layer == 0 { self.m * 2 } else { self.m }
    }

    /// The row where searches start: one of the highest level. `None` while nothing is linked.
    pub fn entry(&self) -> Option<u32> {
        self.entry
    }

    /// The highest layer that a row is in; `None` if it is not linked or out of range.
    pub fn level(&self, id: u32) -> Option<u8> {
        self.levels.get(id as usize).copied().filter(|&level| level != UNLINKED)
    }

    /// Makes `id`, which must be of the highest level, the row where searches start.
    pub fn set_entry(&mut self, id: u32) -> Result<(), Error> {
        if self.level(id).is_none_or(|level| level < self.top_level()) {
            return Err(Error::Damaged {
                what: format!("row {id}, where searches start, is not of the top level"),
            });
        }
        self.entry = Some(id);
        Ok(())
    }

    /// The level of the entry point, 0 for an empty graph.
    pub fn top_level(&self) -> u8 {
        self.entry.and_then(|entry| self.level(entry)).unwrap_or(0)
    }

    /// The rows that `id` links to in `layer`; none if it is not in that layer.
    pub fn links(&self, id: u32, layer: u8) -> impl Iterator<Item = u32> + '_ {
        self.slots(id, layer).iter().map(|slot| slot.load(Relaxed)).take_while(|&link| link != NONE)
    }

    /// The `k` nearest rows to `query`, found with a candidate list of `ef`.
    pub fn search<R: VectorRows + ?Sized>(
        &self,
        rows: &R,
        kernel: &Kernel,
        query: &[u8],
        k: usize,
        ef: usize,
        scratch: &mut Scratch,
    ) -> Result<Vec<Neighbor>, Error> {
        let Some(entry) = self.entry else { return Ok(Vec::new()) };
        let searcher = Searcher { graph: self, rows, kernel };
        let query = Query::new(kernel, query);
        let nearest = searcher.approach(query, entry, (1..=self.top_level()).rev(), scratch)?;
        searcher.beam(query, nearest, 0, ef.max(k), scratch)?;
        Ok(scratch.candidates.iter().take(k).collect())
    }

    /// A renumbering after which rows near each other lie side by side; unlinked rows come last, in order.
    pub fn page_order<R: VectorRows + ?Sized>(
        &self,
        rows: &R,
        kernel: &Kernel,
    ) -> Result<Permutation, Error> {
        reorder::cluster(self, 0, rows, kernel, &|| true)
    }

    /// The same graph with its rows renumbered.
    pub fn permute(&self, permutation: &Permutation) -> Result<Self, Error> {
        if permutation.len() != self.len() {
            return Err(Error::InvalidPermutation { len: self.len(), id: permutation.len() });
        }
        let levels: Vec<_> = permutation.old_ids().iter().map(|&old| self.level(old)).collect();
        let mut permuted = Self::with_levels(self.m, &levels)?;
        permuted.entry = self.entry.map(|old| permutation.new_id(old));
        for (new, &old) in (0..).zip(permutation.old_ids()) {
            for layer in 0..=self.level(old).unwrap_or(0) {
                permuted.store(new, layer, self.links(old, layer).map(|link| permutation.new_id(link)));
            }
        }
        Ok(permuted)
    }

    /// Makes room for the links of a row above the base layer.
    pub(crate) fn reserve_upper(&mut self, id: u32, level: u8) {
        if level > 0 {
            self.upper_start[id as usize] = (self.upper.len() / self.m) as u32;
            let slots = self.upper.len() + usize::from(level) * self.m;
            self.upper.resize_with(slots, || AtomicU32::new(NONE));
        }
    }

    /// Makes a row part of the graph, and its entry point if no other row is as high.
    pub(crate) fn mark_linked(&mut self, id: u32, level: u8) {
        if self.entry.is_none() || level > self.top_level() {
            self.entry = Some(id);
        }
        self.levels[id as usize] = level;
    }

    /// The slots of a row; empty if it has none in that layer.
    #[inline]
    pub(crate) fn slots(&self, id: u32, layer: u8) -> &[AtomicU32] {
        let id = id as usize;
        if layer == 0 {
            let stride = self.m * 2;
            return self.base.get(id * stride..(id + 1) * stride).unwrap_or(&[]);
        }
        match self.upper_start.get(id) {
            Some(&start) if start != NONE => {
                let first = (start as usize + usize::from(layer) - 1) * self.m;
                self.upper.get(first..first + self.m).unwrap_or(&[])
            }
            _ => &[],
        }
    }

    /// Rewrites the slots of a row. Links beyond its capacity are dropped.
    pub(crate) fn store(&self, id: u32, layer: u8, links: impl Iterator<Item = u32>) {
        let links = links.chain(std::iter::repeat(NONE));
        for (slot, link) in self.slots(id, layer).iter().zip(links) {
            slot.store(link, Relaxed);
        }
    }

    /// Puts a link into the first free slot of a row; false if there is none.
    pub(crate) fn append(&self, id: u32, layer: u8, link: u32) -> bool {
        let free = self.slots(id, layer).iter().find(|slot| slot.load(Relaxed) == NONE);
        free.inspect(|slot| slot.store(link, Relaxed)).is_some()
    }
}

impl Adjacency for MemGraph {
    fn len(&self) -> u32 {
        self.len()
    }

    #[inline]
    fn links(&self, id: u32, layer: u8) -> Result<impl Iterator<Item = u32>, Error> {
        Ok(self.links(id, layer))
    }

    fn prefetch_place(&self, _id: u32, _layer: u8) {}

    #[inline]
    fn prefetch(&self, id: u32, layer: u8) {
        prefetch(self.slots(id, layer));
    }
}
