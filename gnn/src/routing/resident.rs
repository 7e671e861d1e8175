//! The base layer and the keys of its nodes, copied to memory.

use memmap2::MmapMut;
use rayon::prelude::*;
use redknot_index::Reader;
use redknot_storage::{Rows, prefetch};

use super::RouteError;

/// Links in a cache line. Rows of links begin at lines.
const LINKS_PER_LINE: usize = 16;
/// Behind the last link of a row that is not full.
const NO_LINK: u32 = u32::MAX;
/// Nodes that a thread copies together.
const NODES_AT_ONCE: usize = 1024;

/// A copy of the base layer and of the key of every node, for searches to read instead of the file.
///
/// Every row of links has the same length, so a hop need not look up where they are, and the memory is asked for in large
/// pages: what searches read lies in a few of them, where the file's pages are as many as the processor has to look up
/// one by one. For databases that are read far more often than written: the copy stands for one committed state, and
/// when the graph changes, searches go back to the file.
pub struct ResidentGraph {
    /// `links_per_node` for each node, the unused ones [`NO_LINK`].
    links: MmapMut,
    links_per_node: usize,
    keys: MmapMut,
    key_bytes: usize,
    nodes: u32,
}

impl ResidentGraph {
    /// Copies the graph and the keys, on the threads of the current rayon pool.
    ///
    /// # Errors
    /// [`RouteError::Memory`] where that would take more than `max_bytes`, [`RouteError::Allocation`] where the system
    /// does not give as much; what reading the index or the keys fails with.
    pub fn new(reader: &Reader<'_>, keys: Rows<'_>, max_bytes: u64) -> Result<ResidentGraph, RouteError> {
        let (nodes, key_bytes) = (reader.linked_below(), keys.row_bytes());
        let count = |node| Ok::<_, RouteError>(reader.neighbors_both_ways(node)?.count());
        let most = (0..nodes).into_par_iter().map(count).try_reduce(|| 1, |a, b| Ok(a.max(b)))?;
        let links_per_node = most.next_multiple_of(LINKS_PER_LINE);
        let needed = u64::from(nodes) * (4 * links_per_node + key_bytes) as u64;
        if needed > max_bytes {
            return Err(RouteError::Memory { needed, max: max_bytes });
        }
        let map = |row_bytes| {
            map(nodes as usize * row_bytes).map_err(|source| RouteError::Allocation { needed, source })
        };
        let (links, copied) = (map(4 * links_per_node)?, map(key_bytes)?);
        let mut graph = ResidentGraph { links, links_per_node, keys: copied, key_bytes, nodes };
        graph.fill(reader, keys)?;
        Ok(graph)
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> u64 {
        u64::from(self.nodes) * (4 * self.links_per_node + self.key_bytes) as u64
    }

    /// Nodes are numbered below this.
    pub(super) fn nodes(&self) -> u32 {
        self.nodes
    }

    pub(super) fn key_bytes(&self) -> usize {
        self.key_bytes
    }

    fn fill(&mut self, reader: &Reader<'_>, keys: Rows<'_>) -> Result<(), RouteError> {
        let (row_bytes, key_bytes) = (4 * self.links_per_node, self.key_bytes);
        let links = self.links.par_chunks_mut(NODES_AT_ONCE * row_bytes);
        let copied = self.keys.par_chunks_mut(NODES_AT_ONCE * key_bytes);
        links.zip(copied).enumerate().try_for_each(|(part, (links, copied))| {
            let first = part * NODES_AT_ONCE;
            let rows = links.chunks_exact_mut(row_bytes).zip(copied.chunks_exact_mut(key_bytes));
            for (node, (row, key)) in (first as u32..self.nodes).zip(rows) {
                let places = row.as_chunks_mut::<4>().0;
                places.fill(NO_LINK.to_ne_bytes());
                let mut linked = false;
                for (place, link) in places.iter_mut().zip(reader.neighbors_both_ways(node)?) {
                    *place = link.to_ne_bytes();
                    linked = true;
                }
                // Nodes that are not linked may have no key, and nothing leads to them.
                if linked || node < keys.len() {
                    key.copy_from_slice(keys.get(node).map_err(RouteError::Keys)?);
                }
            }
            Ok(())
        })
    }

    /// The nodes that `node`, which lies below [`ResidentGraph::nodes`], links to, and those that link to it.
    #[inline]
    pub(super) fn links(&self, node: u32) -> impl Iterator<Item = u32> + '_ {
        let links = self.row(node).as_chunks::<4>().0.iter().map(|link| u32::from_ne_bytes(*link));
        links.take_while(|link| *link != NO_LINK)
    }

    /// The keys of nodes below [`ResidentGraph::nodes`], each of them on its way into the cache.
    #[inline]
    pub(super) fn fetch_keys<'a>(&'a self, nodes: &[u32], out: &mut [&'a [u8]]) {
        let (keys, key_bytes) = (&self.keys[..], self.key_bytes);
        for (&node, out) in nodes.iter().zip(out) {
            let key = &keys[node as usize * key_bytes..][..key_bytes];
            prefetch(key);
            *out = key;
        }
    }

    /// Fetches the links of a node into the cache.
    #[inline]
    pub(super) fn prefetch_links(&self, node: u32) {
        prefetch(self.row(node));
    }

    #[inline]
    fn row(&self, node: u32) -> &[u8] {
        let row_bytes = 4 * self.links_per_node;
        &self.links[node as usize * row_bytes..][..row_bytes]
    }
}

/// Zeroed memory, in large pages where the system has them.
fn map(bytes: usize) -> std::io::Result<MmapMut> {
    // No map has a length of 0.
    let map = MmapMut::map_anon(bytes.max(1))?;
    #[cfg(target_os = "linux")]
    // An advice: where it is not taken, searches are slower, and as good.
    map.advise(memmap2::Advice::HugePage).ok();
    Ok(map)
}

impl std::fmt::Debug for ResidentGraph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResidentGraph").field("nodes", &self.nodes).field("bytes", &self.bytes()).finish()
    }
}
