//! Searching an index in its file.

use redknot_storage::{Rows, View};

use super::scan::Scan;
use super::{StoredLinks, StoredRows, UNLINKED, level_of};
use crate::search::{Adjacency, Query, SCRATCHES, Searcher, Trace};
use crate::{Error, IndexConfig, IndexRecord, Kernel, Neighbor, Scratch};

/// A distance costs this much more when the graph leads to the row than when rows are read in order.
const SCAN_ADVANTAGE: usize = 8;

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct SearchParams {
    /// Nearest rows to return.
    pub k: usize,
    /// Candidates kept while the graph is searched; raised to `k` where it is less.
    pub ef: usize,
}

/// What a search found and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Nearest first; equal distances by node number.
    pub neighbors: Vec<Neighbor>,
    /// True where every row that qualifies was looked at.
    pub exact: bool,
    /// Distances computed between the query and stored vectors.
    pub distances: u64,
    /// Nodes whose links were looked at, in all layers.
    pub hops: u64,
}

/// A predicate on nodes.
pub(crate) type NodeFilter<'f> = &'f mut dyn FnMut(u32) -> Result<bool, Error>;

/// An index in a snapshot or an open transaction, for searching.
#[derive(Clone, Copy)]
pub struct Reader<'v> {
    pub(crate) vectors: Rows<'v>,
    pub(crate) links: StoredLinks<'v>,
    pub(crate) levels: Rows<'v>,
    pub(crate) record: &'v IndexRecord,
    pub(crate) kernel: Kernel,
}

impl<'v> Reader<'v> {
    /// Opens the index that `record` describes.
    pub fn open(view: &'v impl View, record: &'v IndexRecord) -> Result<Reader<'v>, Error> {
        let reader = Reader {
            vectors: view.rows(record.arrays.vectors)?,
            links: StoredLinks {
                base: view.csr(record.arrays.links)?,
                upper: view.csr(record.arrays.upper)?,
            },
            levels: view.rows(record.arrays.levels)?,
            record,
            kernel: Kernel::new(record.config.metric, record.config.element)?,
        };
        if reader.vectors.row_bytes() != record.config.row_bytes() {
            return Err(Error::Damaged { what: "the array of vectors has rows of another length".into() });
        }
        let graph = [reader.links.base.len(), reader.links.upper.len()];
        if reader.vectors.len() != record.nodes || graph.iter().any(|rows| *rows > record.nodes) {
            return Err(Error::Damaged {
                what: "the arrays of the index have other lengths than its record".into(),
            });
        }
        Ok(reader)
    }

    /// Nodes in use: rows that a search may return.
    pub fn live(&self) -> u32 {
        self.record.live
    }

    /// The bytes of a stored vector.
    pub fn vector(&self, node: u32) -> Result<&'v [u8], Error> {
        Ok(self.vectors.get(node)?)
    }

    /// What the index is.
    pub fn config(&self) -> &'v IndexConfig {
        &self.record.config
    }

    /// What the file says of the index.
    pub fn record(&self) -> &'v IndexRecord {
        self.record
    }

    /// Nodes are numbered below this; some may be free or not linked.
    pub fn nodes(&self) -> u32 {
        self.record.nodes
    }

    /// Whether a node is in the graph.
    pub fn is_linked(&self, node: u32) -> Result<bool, Error> {
        Ok(level_of(self.levels, node)? < UNLINKED)
    }

    /// Nodes that have links are numbered below this.
    pub fn linked_below(&self) -> u32 {
        self.links.base.len()
    }

    /// The nodes that `node`, which is linked, links to in the base layer.
    pub fn neighbors(&self, node: u32) -> Result<impl Iterator<Item = u32>, Error> {
        let len = self.links.base.len();
        if node >= len {
            return Err(Error::RowOutOfRange { id: node, len });
        }
        self.links.links(node, 0)
    }

    /// The same and the nodes that link to `node`, as [`Probe::links_both_ways`](super::Probe::links_both_ways) has them.
    ///
    /// # Errors
    /// As [`Reader::neighbors`].
    pub fn neighbors_both_ways(&self, node: u32) -> Result<impl Iterator<Item = u32>, Error> {
        let len = self.links.base.len();
        if node >= len {
            return Err(Error::RowOutOfRange { id: node, len });
        }
        self.links.links_both_ways(node, self.most_both_ways())
    }

    /// A node that very many link to would take as long as a whole search.
    pub(super) fn most_both_ways(&self) -> usize {
        3 * self.record.config.m
    }

    /// The `k` rows nearest to `query`, which is encoded as the rows are.
    ///
    /// Rows that are not linked yet are scanned, so what is committed is found.
    pub fn search(&self, query: &[u8], params: SearchParams) -> Result<Found, Error> {
        self.search_traced(query, params, &mut ())
    }

    /// As [`Reader::search`], watched. Rows that are scanned are counted, and not told one by one.
    pub fn search_traced(
        &self,
        query: &[u8],
        params: SearchParams,
        trace: &mut impl Trace,
    ) -> Result<Found, Error> {
        self.check_query(query)?;
        SCRATCHES.with(|scratch| {
            // No more than there are can be kept.
            let ef = params.ef.max(params.k).min(self.record.live.max(1) as usize);
            let found = self.search_graph(query, ef, params.k, scratch, trace)?;
            self.complete(query, params.k, found)
        })
    }

    /// What the graph led to, and what it does not lead to: rows that are not linked yet, and others where it led to too
    /// few.
    pub(super) fn complete(&self, query: &[u8], k: usize, mut found: Found) -> Result<Found, Error> {
        let scan = Scan::new(self, query);
        found.distances += scan.nodes(self.record.unlinked.iter(), k, &mut found.neighbors)?;
        if found.neighbors.len() < k.min(self.record.live as usize) {
            // A graph that does not lead to that many rows: rather look at all than leave some out.
            let exact = self.search_exact(query, k, None)?;
            found = Found { distances: found.distances + exact.distances, hops: found.hops, ..exact };
        }
        Ok(found)
    }

    /// The `k` rows nearest to `query` that satisfy `filter`. The search widens until it has found `k`, and scans
    /// where that is cheaper: fewer than `k` are returned only where fewer satisfy the filter.
    pub fn search_filtered(
        &self,
        query: &[u8],
        params: SearchParams,
        filter: &mut dyn FnMut(u32) -> Result<bool, Error>,
    ) -> Result<Found, Error> {
        self.check_query(query)?;
        SCRATCHES.with(|scratch| self.widen(query, params, filter, scratch))
    }

    /// The `k` rows nearest to `query` of all that satisfy `filter`, by looking at each of them.
    pub fn search_exact(
        &self,
        query: &[u8],
        k: usize,
        filter: Option<&mut dyn FnMut(u32) -> Result<bool, Error>>,
    ) -> Result<Found, Error> {
        self.check_query(query)?;
        let mut found = Found { neighbors: Vec::new(), exact: true, distances: 0, hops: 0 };
        found.distances = Scan::new(self, query).all(k, filter, &mut found.neighbors)?;
        Ok(found)
    }

    pub(crate) fn check_query(&self, query: &[u8]) -> Result<(), Error> {
        let expected = self.vectors.row_bytes();
        if query.len() == expected {
            return Ok(());
        }
        Err(Error::RowLength { expected, got: query.len() })
    }

    /// The nearest linked nodes: greedy descent through the upper layers, then best-first search in the base layer.
    fn search_graph(
        &self,
        query: &[u8],
        ef: usize,
        keep: usize,
        scratch: &mut Scratch,
        trace: &mut impl Trace,
    ) -> Result<Found, Error> {
        let (distances, hops) = (scratch.distances(), scratch.hops());
        let mut found =
            Found { neighbors: Vec::new(), exact: self.record.entry.is_none(), distances: 0, hops: 0 };
        if let Some(entry) = self.record.entry {
            let rows = StoredRows::new(self.vectors);
            let searcher = Searcher { graph: &self.links, rows: &rows, kernel: &self.kernel };
            let query = Query::new(&self.kernel, query);
            let mut nearest = searcher.neighbor(query, entry)?;
            found.distances = 1;
            trace.enter(entry);
            trace.measure(nearest, true);
            for layer in (1..=self.record.top_level).rev() {
                nearest = searcher.descend_traced(query, nearest, layer, scratch, trace)?;
            }
            searcher.beam_traced(query, nearest, 0, ef, scratch, trace)?;
            found.neighbors.extend(scratch.candidates.iter().take(keep));
        }
        found.distances += scratch.distances() - distances;
        found.hops = scratch.hops() - hops;
        Ok(found)
    }

    /// Filters the candidates of ever wider searches.
    fn widen(
        &self,
        query: &[u8],
        params: SearchParams,
        filter: NodeFilter<'_>,
        scratch: &mut Scratch,
    ) -> Result<Found, Error> {
        let linked = (self.record.live - self.record.unlinked()) as usize;
        let mut ef = params.ef.max(params.k);
        let (mut distances, mut hops) = (0, 0);
        loop {
            let cost = ef.saturating_mul(self.record.config.m).saturating_mul(SCAN_ADVANTAGE);
            if self.record.entry.is_none() || cost >= linked {
                let mut found = self.search_exact(query, params.k, Some(filter))?;
                found.distances += distances;
                found.hops = hops;
                return Ok(found);
            }
            let mut found = self.search_graph(query, ef, ef, scratch, &mut ())?;
            distances += found.distances;
            hops += found.hops;
            let looked_at = found.neighbors.len();
            let mut passing = Vec::with_capacity(params.k);
            for neighbor in found.neighbors.drain(..) {
                if filter(neighbor.id)? {
                    passing.push(neighbor);
                }
            }
            if passing.len() >= params.k {
                passing.truncate(params.k);
                let unlinked = self.passing_unlinked(filter)?;
                let scanned = Scan::new(self, query).nodes(unlinked.into_iter(), params.k, &mut passing)?;
                return Ok(Found { neighbors: passing, exact: false, distances: distances + scanned, hops });
            }
            // As wide as the share that passed asks for, and half more; at least twice as wide as before.
            let share = (passing.len().max(1) as f64) / (looked_at.max(1) as f64);
            ef = ((params.k as f64 / share * 1.5) as usize).clamp(2 * ef, 64 * ef);
        }
    }

    fn passing_unlinked(&self, filter: NodeFilter<'_>) -> Result<Vec<u32>, Error> {
        let mut passing = Vec::new();
        for node in &self.record.unlinked {
            if filter(node)? {
                passing.push(node);
            }
        }
        Ok(passing)
    }
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("record", &self.record).finish_non_exhaustive()
    }
}
