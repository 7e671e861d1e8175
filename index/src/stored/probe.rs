//! A query, and what a search that is not the greedy one wants of a stored graph.

use super::reader::{Found, Reader};
use super::scan::Scan;
use super::{StoredRows, UNLINKED, level_of};
use crate::search::{Adjacency, Query, Searcher};
use crate::{Error, Neighbor, Scratch, VectorRows, Visited};

/// A query against an index: base-layer links, distances, and what is not in the graph.
///
/// The parts of a search that orders the nodes in its own way; [`Reader::search`] is the greedy one.
#[derive(Clone, Copy)]
pub struct Probe<'q, 'v> {
    reader: Reader<'v>,
    rows: StoredRows<'v>,
    query: Query<'q>,
    bytes: &'q [u8],
}

impl<'v> Reader<'v> {
    /// Prepares `query`, which is encoded as the rows are.
    ///
    /// # Errors
    /// [`Error::RowLength`] where it does not have the bytes of a row.
    pub fn probe<'q>(&self, query: &'q [u8]) -> Result<Probe<'q, 'v>, Error> {
        self.check_query(query)?;
        let rows = StoredRows::new(self.vectors);
        Ok(Probe { reader: *self, rows, query: Query::new(&self.kernel, query), bytes: query })
    }
}

impl Probe<'_, '_> {
    /// Where greedy searches start; `None` while nothing is linked.
    pub fn entry(&self) -> Option<u32> {
        self.reader.record.entry
    }

    /// Where a greedy search enters the base layer: descends from [`Probe::entry`] through the layers above. `scratch`
    /// counts the hops and all distances but that of the entry. `None` while nothing is linked.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Storage`] where links or vectors cannot be read.
    pub fn approach(&self, scratch: &mut Scratch) -> Result<Option<Neighbor>, Error> {
        let record = self.reader.record;
        let Some(entry) = record.entry else { return Ok(None) };
        let searcher = Searcher { graph: &self.reader.links, rows: &self.rows, kernel: &self.reader.kernel };
        searcher.approach(self.query, entry, (1..=record.top_level).rev(), scratch).map(Some)
    }

    /// Whether a node is in use and in the graph.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Storage`] where its level cannot be read.
    pub fn is_linked(&self, node: u32) -> Result<bool, Error> {
        Ok(node < self.reader.links.base.len() && level_of(self.reader.levels, node)? < UNLINKED)
    }

    /// Empties `visited` and makes room for all nodes of the graph.
    pub fn reset(&self, visited: &mut Visited) {
        visited.reset(self.reader.links.base.len() as usize);
    }

    /// The nodes that `node` links to in the base layer.
    ///
    /// # Errors
    /// [`Error::Storage`] where they cannot be read.
    #[inline]
    pub fn links(&self, node: u32) -> Result<impl Iterator<Item = u32>, Error> {
        self.reader.links.links(node, 0)
    }

    /// The nodes that `node` links to in the base layer and those that link to it, each once: three times as many at most as a
    /// node links to in the upper layers. For searches to whom looking at a node costs little.
    ///
    /// # Errors
    /// [`Error::Storage`] where they cannot be read.
    #[inline]
    pub fn links_both_ways(&self, node: u32) -> Result<impl Iterator<Item = u32>, Error> {
        self.reader.links.links_both_ways(node, self.reader.most_both_ways())
    }

    /// Fetches into the cache what [`Probe::prefetch_links`] reads.
    #[inline]
    pub fn prefetch_place(&self, node: u32) {
        self.reader.links.prefetch_place(node, 0);
    }

    /// Fetches the base-layer links of a node into the cache; call [`Probe::prefetch_place`] well before.
    #[inline]
    pub fn prefetch_links(&self, node: u32) {
        self.reader.links.prefetch(node, 0);
    }

    /// Fetches the vector of a node into the cache.
    #[inline]
    pub fn prefetch_vector(&self, node: u32) {
        self.rows.prefetch(node);
    }

    /// Has the vectors of nodes read from the disk, without waiting for it, where searches of this thread had to wait.
    #[inline]
    pub fn request_vectors(&self, nodes: impl Iterator<Item = u32>) {
        if self.rows.waits {
            nodes.for_each(|node| self.rows.rows.request(node));
        }
    }

    /// Distances of many nodes from the query, handed to `each` in order.
    ///
    /// # Errors
    /// [`Error::Storage`] where a vector cannot be read; `each` may then have been called for some.
    #[inline]
    pub fn distances(&self, nodes: &[u32], each: impl FnMut(Neighbor)) -> Result<(), Error> {
        let searcher = Searcher { graph: &self.reader.links, rows: &self.rows, kernel: &self.reader.kernel };
        searcher.neighbors(self.query, nodes, each)
    }

    /// The `k` nearest rows of all, as [`Reader::search_exact`] finds them.
    ///
    /// # Errors
    /// [`Error::Storage`] where a vector cannot be read.
    pub fn search_exact(&self, k: usize) -> Result<Found, Error> {
        self.reader.search_exact(self.bytes, k, None)
    }

    /// Merges the nearest of the nodes that are not in the graph into the sorted `neighbors`, of which `k` are kept;
    /// returns the distances computed.
    ///
    /// # Errors
    /// [`Error::Storage`] where a vector cannot be read.
    pub fn scan_unlinked(&self, k: usize, neighbors: &mut Vec<Neighbor>) -> Result<u64, Error> {
        if self.reader.record.unlinked.is_empty() {
            return Ok(0);
        }
        Scan::new(&self.reader, self.bytes).nodes(self.reader.record.unlinked.iter(), k, neighbors)
    }
}

impl std::fmt::Debug for Probe<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe").field("reader", &self.reader).finish_non_exhaustive()
    }
}
