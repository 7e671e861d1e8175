//! What is near a stored row, and how near given rows are to a query.

use super::reader::{Found, Reader, SearchParams};
use super::scan::{Nearest, Scan};
use super::{FREE, INCOMING, StoredRows, UNLINKED, level_of, words};
use crate::search::{Adjacency, Query, SCRATCHES, Searcher};
use crate::{Error, Neighbor};

/// Rows that are compared with a block of queries while they are in the processor's cache.
const TILE: usize = 32;

impl Reader<'_> {
    /// The `k` rows nearest to row `node`, itself left out. The search begins at the row itself, which is the nearest
    /// there is, and so needs no descent through the layers above. Rows that are not linked are scanned.
    pub fn search_near(&self, node: u32, params: SearchParams) -> Result<Found, Error> {
        let row = self.vectors.get(node)?;
        let with_itself = SearchParams { k: params.k + 1, ef: params.ef.max(params.k + 1) };
        let mut found = if level_of(self.levels, node)? < UNLINKED {
            self.search_from(node, row, with_itself)?
        } else {
            self.search(row, with_itself)?
        };
        found.neighbors.retain(|neighbor| neighbor.id != node);
        found.neighbors.truncate(params.k);
        Ok(found)
    }

    fn search_from(&self, node: u32, row: &[u8], params: SearchParams) -> Result<Found, Error> {
        let rows = StoredRows::new(self.vectors);
        let searcher = Searcher { graph: &self.links, rows: &rows, kernel: &self.kernel };
        let found = SCRATCHES.with(|scratch| -> Result<Found, Error> {
            let (distances, hops) = (scratch.distances(), scratch.hops());
            let query = Query::new(&self.kernel, row);
            let from = searcher.neighbor(query, node)?;
            searcher.beam(query, from, 0, params.ef, scratch)?;
            Ok(Found {
                neighbors: scratch.candidates.iter().take(params.k).collect(),
                exact: false,
                distances: scratch.distances() - distances + 1,
                hops: scratch.hops() - hops,
            })
        })?;
        self.complete(row, params.k, found)
    }

    /// For each of `nodes`, in their order, the `k` other rows nearest to it and at most `radius` away, by looking at
    /// all of them. A few dozen nodes at a time: each row is compared with all of them while it is in the cache.
    pub fn exact_near(&self, nodes: &[u32], k: usize, radius: f32) -> Result<Vec<Vec<Neighbor>>, Error> {
        let mut queries = Vec::with_capacity(nodes.len());
        for node in nodes {
            let row = self.vectors.get(*node)?;
            queries.push((*node, row, self.kernel.scale(row)));
        }
        let mut found = vec![Vec::new(); nodes.len()];
        let mut tile = Vec::with_capacity(TILE);
        let mut rows = self.vectors.in_order();
        for node in 0..self.record.nodes {
            if level_of(self.levels, node)? != FREE {
                tile.push((node, rows.get(node)?));
            }
            if tile.len() == TILE || node + 1 == self.record.nodes {
                self.compare_tile(&tile, &queries, k, radius, &mut found);
                tile.clear();
            }
        }
        Ok(found)
    }

    fn compare_tile(
        &self,
        tile: &[(u32, &[u8])],
        queries: &[(u32, &[u8], f32)],
        k: usize,
        radius: f32,
        found: &mut [Vec<Neighbor>],
    ) {
        let mut rows: [&[u8]; TILE] = [&[]; TILE];
        for (place, (_, row)) in rows.iter_mut().zip(tile) {
            *place = row;
        }
        let mut distances = [0.0; TILE];
        let distances = &mut distances[..tile.len()];
        for ((node, query, scale), neighbors) in queries.iter().zip(found) {
            self.kernel.distances(query, *scale, &rows[..tile.len()], distances);
            let mut nearest = Nearest { k, neighbors };
            for ((id, _), distance) in tile.iter().zip(distances.iter()) {
                if id != node && *distance <= radius {
                    nearest.insert(Neighbor { id: *id, distance: *distance });
                }
            }
        }
    }

    /// The `k` of `nodes`, which are in use, that are nearest to `query`, which is encoded as the rows are.
    pub fn nearest_of(
        &self,
        query: &[u8],
        nodes: impl Iterator<Item = u32>,
        k: usize,
    ) -> Result<Found, Error> {
        self.check_query(query)?;
        let mut found = Found { neighbors: Vec::new(), exact: true, distances: 0, hops: 0 };
        found.distances = Scan::new(self, query).nodes(nodes, k, &mut found.neighbors)?;
        Ok(found)
    }

    /// The nodes that `node` links to in the base layer; none where it is not linked.
    pub fn links_of(&self, node: u32) -> Result<impl Iterator<Item = u32>, Error> {
        let row = self.base_row(node)?;
        Ok(words(row).take_while(|word| word & INCOMING == 0))
    }

    /// The nodes that link to `node` in the base layer: those that it knows of, and those of its own links that link
    /// back, whose rows are read for it.
    pub fn links_to(&self, node: u32, from: &mut Vec<u32>) -> Result<(), Error> {
        from.clear();
        for word in words(self.base_row(node)?) {
            let other = word & !INCOMING;
            if word & INCOMING != 0 || self.links.links(other, 0)?.any(|back| back == node) {
                from.push(other);
            }
        }
        Ok(())
    }

    fn base_row(&self, node: u32) -> Result<&[u8], Error> {
        let linked = node < self.links.base.len() && level_of(self.levels, node)? < UNLINKED;
        if linked { Ok(self.links.base.get(node)?) } else { Ok(&[]) }
    }
}
